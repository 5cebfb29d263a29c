//! Messages that are told apart by their size alone.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

/// Each message has this many bytes.
pub(crate) struct FixedSize(pub(crate) usize);

impl Decoder for FixedSize {
    type Item = BytesMut;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<BytesMut>> {
        if buffer.len() < self.0 {
            buffer.reserve(self.0 - buffer.len());
            return Ok(None);
        }
        Ok(Some(buffer.split_to(self.0)))
    }
}

impl Encoder<Bytes> for FixedSize {
    type Error = io::Error;

    fn encode(&mut self, message: Bytes, buffer: &mut BytesMut) -> io::Result<()> {
        buffer.extend_from_slice(&message);
        Ok(())
    }
}
