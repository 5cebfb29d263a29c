//! A sound codec, and bugs to plant in it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{cell::Cell, io, rc::Rc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::laws::{Law, Laws, Violation};

pub(crate) type Decode = fn(&mut State, &mut BytesMut) -> io::Result<Option<Bytes>>;
pub(crate) type Encode = fn(&mut State, &[u8], &mut BytesMut) -> io::Result<()>;

/// What the bugs keep between calls.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) cap: usize,
    pub(crate) announced: Option<usize>,
    pub(crate) calls: usize,
    pub(crate) taken: BytesMut,
    pub(crate) shared: Rc<Cell<usize>>,
}

/// A codec with a length of two bytes, most significant first; parts of it are put in the place of sound
/// ones.
pub(crate) struct Planted {
    pub(crate) state: State,
    pub(crate) decode: Decode,
    pub(crate) decode_eof: Decode,
    pub(crate) encode: Encode,
}

pub(crate) const CAP: usize = 64;

impl Planted {
    pub(crate) fn sound() -> Self {
        Self {
            state: State {
                cap: CAP,
                ..State::default()
            },
            decode: sound_decode,
            decode_eof: sound_eof,
            encode: sound_encode,
        }
    }

    pub(crate) fn decoding(decode: Decode) -> impl Fn() -> Self + Clone {
        move || Self {
            decode,
            ..Self::sound()
        }
    }

    pub(crate) fn ending(decode_eof: Decode) -> impl Fn() -> Self + Clone {
        move || Self {
            decode_eof,
            ..Self::sound()
        }
    }

    pub(crate) fn encoding(encode: Encode) -> impl Fn() -> Self + Clone {
        move || Self {
            encode,
            ..Self::sound()
        }
    }
}

impl Decoder for Planted {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        (self.decode)(&mut self.state, src)
    }

    /// With a bug in `decode`, the end of the stream calls that too.
    fn decode_eof(&mut self, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        match (self.decode)(&mut self.state, src)? {
            None => (self.decode_eof)(&mut self.state, src),
            item => Ok(item),
        }
    }
}

impl Encoder<Bytes> for Planted {
    type Error = io::Error;

    fn encode(&mut self, message: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        (self.encode)(&mut self.state, &message, dst)
    }
}

pub(crate) fn error<T>(text: &str) -> io::Result<T> {
    Err(io::Error::other(text.to_owned()))
}

pub(crate) fn announced(src: &[u8]) -> Option<usize> {
    let field = src.first_chunk::<2>()?;
    Some(usize::from(u16::from_be_bytes(*field)))
}

pub(crate) fn sound_decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
    match announced(src) {
        Some(len) if len > state.cap => error("too long"),
        Some(len) if src.len() >= 2 + len => {
            src.advance(2);
            Ok(Some(src.split_to(len).freeze()))
        }
        _ => Ok(None),
    }
}

pub(crate) fn sound_eof(_: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
    if src.is_empty() {
        Ok(None)
    } else {
        error("truncated")
    }
}

pub(crate) fn sound_encode(
    state: &mut State,
    message: &[u8],
    dst: &mut BytesMut,
) -> io::Result<()> {
    if message.len() > state.cap {
        return error("too long");
    }
    dst.put_u16(message.len() as u16);
    dst.put_slice(message);
    Ok(())
}

pub(crate) fn messages() -> [Bytes; 4] {
    [
        Bytes::from("abc"),
        Bytes::new(),
        Bytes::from("x"),
        Bytes::from(vec![1; CAP]),
    ]
}

pub(crate) fn all_of<'a>(planted: impl Fn() -> Planted + 'a) -> Laws<'a, Planted, Planted, Bytes> {
    let uncapped = || Planted {
        state: State {
            cap: usize::from(u16::MAX),
            ..State::default()
        },
        ..Planted::sound()
    };
    Laws::new(planted, messages())
        .cap(2 + CAP)
        .oversized([vec![1; CAP + 1].into(), vec![1; 5_000].into()])
        .uncapped(uncapped)
}

/// The law catches the bug, and so does the kit as a whole.
#[track_caller]
pub(crate) fn caught_by(law: Law, planted: impl Fn() -> Planted + Clone) -> Violation {
    let alone = all_of(planted.clone()).law(law);
    let violation = alone.expect_err("the law alone sees nothing wrong");
    assert_eq!(violation.law(), law, "{violation}");
    assert!(all_of(planted).check().is_err());
    violation
}

/// And no other law does: the bug is one that only this law is there for.
#[track_caller]
pub(crate) fn caught_only_by(law: Law, planted: impl Fn() -> Planted + Clone) -> Violation {
    for other in Law::ALL.into_iter().filter(|&other| other != law) {
        if let Err(violation) = all_of(planted.clone()).law(other) {
            panic!("caught by another law: {violation}");
        }
    }
    caught_by(law, planted)
}
