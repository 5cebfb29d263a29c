//! What can be wrong with an envelope: [`EnvelopeError`].

use std::{error::Error, fmt, io};

use bytes::Bytes;

use crate::Recoverable;

/// What is wrong with a frame of [`Envelope`](crate::Envelope). Bytes of the stream are counted from
/// where the codec began to decode.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Other bytes stand where the magic is expected.
    BadMagic {
        /// The magic.
        expected: Bytes,
        /// What stands there: at least one byte, and no more than have come.
        came: Bytes,
        /// The byte of the stream that the magic begins at.
        at: u64,
    },
    /// The checksum isn't that of the frame. The frame has been consumed.
    BadChecksum {
        /// The checksum of what came.
        expected: Bytes,
        /// The checksum that came.
        came: Bytes,
        /// The byte of the stream that the frame begins at.
        at: u64,
    },
    /// The remote announces a frame beyond the cap.
    TooLong {
        /// The length as it was announced.
        announced: u64,
        /// The cap on the payload in bytes.
        most: usize,
        /// The byte of the stream that the frame begins at.
        at: u64,
    },
    /// The remote announces a length that is less than what it counts beside the payload.
    TooShort {
        /// The length as it was announced.
        announced: u64,
        /// The least that it can be.
        least: usize,
        /// The byte of the stream that the frame begins at.
        at: u64,
    },
    /// A varint that doesn't end within ten bytes, or is beyond 64 bits.
    Overlong {
        /// The byte of the stream that the frame begins at.
        at: u64,
    },
    /// The stream ended inside a frame.
    Truncated {
        /// How many bytes of the frame came, the header's included.
        came: usize,
        /// How many it has; if not all of the header came, at least.
        least: usize,
        /// The byte of the stream that the frame begins at.
        at: u64,
    },
    /// A payload that is to be sent is beyond the cap, or beyond what the length can say.
    UnencodablyLong {
        /// The payload in bytes.
        len: usize,
        /// The most that could be sent.
        most: usize,
    },
    /// The transport's error.
    Io(io::Error),
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadMagic { expected, came, at } => {
                write!(f, "magic at byte {at}: {came:x}, expected {expected:x}")
            }
            Self::BadChecksum { expected, came, at } => write!(
                f,
                "frame at byte {at}: checksum {came:x}, expected {expected:x}"
            ),
            Self::TooLong {
                announced,
                most,
                at,
            } => write!(
                f,
                "frame at byte {at}: length {announced}, expected at most {most} bytes of payload"
            ),
            Self::TooShort {
                announced,
                least,
                at,
            } => write!(
                f,
                "frame at byte {at}: length {announced}, expected at least {least}"
            ),
            Self::Overlong { at } => write!(
                f,
                "frame at byte {at}: the length is a varint of more than 64 bits or 10 bytes"
            ),
            Self::Truncated { came, least, at } => write!(
                f,
                "frame at byte {at}: the stream ended after {came} bytes of it, expected at least {least}"
            ),
            Self::UnencodablyLong { len, most } => write!(
                f,
                "a payload of {len} bytes to send, expected at most {most}"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for EnvelopeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for EnvelopeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A frame with a wrong checksum has been consumed, the next one begins behind it.
impl Recoverable for EnvelopeError {
    fn is_recoverable(&self) -> bool {
        matches!(self, Self::BadChecksum { .. })
    }
}
