//! Frames of one size: [`Fixed`].

use std::{error::Error, fmt, io};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::make_room;
use crate::{Recoverable, position::Position};

/// Frames that all have the same size, with nothing between them.
///
/// ```text
///     |<- size ->|<- size ->|
///     +----------+----------+---      Fixed::new(3)      "abc"  →  61 62 63
///     | payload  | payload  | …
///     +----------+----------+---
/// ```
///
/// # Errors
///
/// [`FixedError`]. Only the end of the stream can be wrong in what comes.
///
/// # Examples
///
/// ```
/// use bytes::BytesMut;
/// use tokio_util::codec::Decoder;
/// use wattle_codecs::Fixed;
///
/// let mut codec = Fixed::new(3);
/// let mut wire = BytesMut::from("abcdefg");
/// assert_eq!(codec.decode(&mut wire)?.unwrap(), "abc");
/// assert_eq!(codec.decode(&mut wire)?.unwrap(), "def");
/// assert_eq!(codec.decode(&mut wire)?, None);
/// # Ok::<(), wattle_codecs::FixedError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Fixed {
    size: usize,
    position: Position,
}

impl Fixed {
    /// Frames of `size` bytes.
    ///
    /// # Panics
    ///
    /// If the size is 0: there would be no end of frames in no bytes at all.
    pub fn new(size: usize) -> Self {
        assert!(size > 0, "a frame of a fixed size has at least one byte");
        Self {
            size,
            position: Position::default(),
        }
    }
}

impl Decoder for Fixed {
    type Item = Bytes;
    type Error = FixedError;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, FixedError> {
        if src.len() < self.size {
            make_room(src, self.size);
            return Ok(None);
        }
        self.position.advance(self.size);
        Ok(Some(src.split_to(self.size).freeze()))
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, FixedError> {
        match self.decode(src)? {
            None if !src.is_empty() => Err(FixedError::Truncated {
                expected: self.size,
                came: src.len(),
                at: self.position.get(),
            }),
            frame => Ok(frame),
        }
    }
}

impl Encoder<Bytes> for Fixed {
    type Error = FixedError;

    #[inline]
    fn encode(&mut self, payload: Bytes, dst: &mut BytesMut) -> Result<(), FixedError> {
        if payload.len() != self.size {
            return Err(FixedError::WrongSize {
                expected: self.size,
                came: payload.len(),
            });
        }
        dst.extend_from_slice(&payload);
        Ok(())
    }
}

/// What is wrong with a frame of [`Fixed`].
#[derive(Debug)]
#[non_exhaustive]
pub enum FixedError {
    /// A payload that is to be sent isn't of the frames' size.
    WrongSize {
        /// The size of the frames in bytes.
        expected: usize,
        /// The payload in bytes.
        came: usize,
    },
    /// The stream ended inside a frame.
    Truncated {
        /// The size of the frames in bytes.
        expected: usize,
        /// How many bytes of the frame came.
        came: usize,
        /// The byte of the stream that the frame begins at, counted from where the codec began to
        /// decode.
        at: u64,
    },
    /// The transport's error.
    Io(io::Error),
}

impl fmt::Display for FixedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongSize { expected, came } => {
                write!(f, "a payload of {came} bytes to send, expected {expected}")
            }
            Self::Truncated { expected, came, at } => write!(
                f,
                "frame at byte {at}: the stream ended after {came} bytes of it, expected {expected}"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for FixedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for FixedError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Recoverable for FixedError {
    fn is_recoverable(&self) -> bool {
        false
    }
}
