//! The codec of all nodes here, and how it fails.
//!
//! ```text
//! | body's length: u32 | link: u64 | id: u64 | flow: u16 | filler: the id's last byte, repeated |
//! ```

use std::{io, sync::Arc};

use bytes::{Buf, BufMut, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::books::{End, EndGuard};

/// Begins the text of every panic that is on purpose.
pub(crate) const ON_PURPOSE: &str = "on purpose:";

/// The largest body; larger than any message here.
pub(crate) const MAX_BODY: usize = 1 << 20;

const HEADER: usize = 18;

/// A numbered message: `link` is the id of the sender's end of the connection that it is for.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) link: u64,
    pub(crate) flow: u16,
    pub(crate) id: u64,
    /// Bytes of filler.
    pub(crate) size: usize,
}

/// How a codec fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Error,
    Panic,
}

/// A fault, and how many messages go well before.
pub(crate) type Later = Option<(u32, Fault)>;

#[derive(Debug)]
pub(crate) struct Codec {
    end: EndGuard,
    decoding: Later,
    encoding: Later,
}

impl Codec {
    pub(crate) fn new(end: EndGuard, decoding: Later, encoding: Later) -> Self {
        Self {
            end,
            decoding,
            encoding,
        }
    }

    fn end(&self) -> &Arc<End> {
        &self.end.0
    }
}

fn fail(later: &mut Later) -> io::Result<()> {
    match later {
        Some((0, Fault::Error)) => Err(io::Error::other("on purpose: an error")),
        Some((0, Fault::Panic)) => panic!("{ON_PURPOSE} a codec's panic"),
        Some((left, _)) => {
            *left -= 1;
            Ok(())
        }
        None => Ok(()),
    }
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Decoder for Codec {
    type Item = Message;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Message>> {
        let Some(length) = src.first_chunk::<4>() else {
            return Ok(None);
        };
        let body = u32::from_be_bytes(*length) as usize;
        if !(HEADER..=MAX_BODY).contains(&body) {
            return Err(invalid(format!("a body of {body} bytes")));
        }
        if src.len() < 4 + body {
            src.reserve(4 + body - src.len());
            return Ok(None);
        }
        fail(&mut self.decoding)?;
        let mut frame = src.split_to(4 + body);
        frame.advance(4);
        let message = Message {
            link: frame.get_u64(),
            id: frame.get_u64(),
            flow: frame.get_u16(),
            size: frame.len(),
        };
        if frame.iter().any(|&byte| byte != message.id as u8) {
            return Err(invalid(format!("{message:?} has another's filler")));
        }
        // What is larger ends the connection, and is thrown away.
        if 4 + body <= self.end().owner.max_frame {
            self.end().count_decoded();
        }
        Ok(Some(message))
    }
}

impl Encoder<Message> for Codec {
    type Error = io::Error;

    /// Fails with half a frame in the buffer, which the library has to take back.
    fn encode(&mut self, message: Message, dst: &mut BytesMut) -> io::Result<()> {
        put_header(&message, dst);
        fail(&mut self.encoding)?;
        dst.put_bytes(message.id as u8, message.size);
        self.end().count_encoded();
        Ok(())
    }
}

/// A frame without its filler.
pub(crate) fn put_header(message: &Message, dst: &mut BytesMut) {
    dst.reserve(4 + HEADER + message.size);
    dst.put_u32((HEADER + message.size) as u32);
    dst.put_u64(message.link);
    dst.put_u64(message.id);
    dst.put_u16(message.flow);
}

/// The codec of the handshake: the sender's id behind eight bytes that say that it is one of us.
#[derive(Debug)]
pub(crate) struct Hello;

pub(crate) const MAGIC: u64 = 0x5741_5454_4c45_4349;

impl Decoder for Hello {
    type Item = u64;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<u64>> {
        if src.len() < 16 {
            return Ok(None);
        }
        match src.get_u64() {
            MAGIC => Ok(Some(src.get_u64())),
            other => Err(invalid(format!("{other:#x} instead of the hello"))),
        }
    }
}

impl Encoder<u64> for Hello {
    type Error = io::Error;

    fn encode(&mut self, id: u64, dst: &mut BytesMut) -> io::Result<()> {
        dst.put_u64(MAGIC);
        dst.put_u64(id);
        Ok(())
    }
}
