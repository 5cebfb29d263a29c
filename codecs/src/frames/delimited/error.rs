//! What can be wrong with a frame that ends with a delimiter: [`DelimitedError`].

use std::{error::Error, fmt, io};

use crate::Recoverable;

/// What is wrong with a frame of [`Delimited`](crate::Delimited). `at` is the byte of the stream that the frame begins
/// at, counted from where the codec began to decode.
#[derive(Debug)]
#[non_exhaustive]
pub enum DelimitedError {
    /// The remote sends a frame beyond the cap. The codec finds the next one by itself.
    TooLong {
        /// The cap on the payload in bytes.
        most: usize,
        /// Where the frame begins.
        at: u64,
    },
    /// The stream ended inside a frame.
    Truncated {
        /// How many bytes of the frame came.
        came: u64,
        /// Where the frame begins.
        at: u64,
    },
    /// A payload that is to be sent contains the delimiter, or begins one that ends with the bytes
    /// written behind the payload.
    ContainsDelimiter {
        /// Where in the payload the delimiter begins.
        position: usize,
    },
    /// A payload that is to be sent is beyond the cap.
    UnencodablyLong {
        /// The payload in bytes.
        len: usize,
        /// The most that could be sent.
        most: usize,
    },
    /// The transport's error.
    Io(io::Error),
}

impl fmt::Display for DelimitedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { most, at } => write!(
                f,
                "frame at byte {at}: no delimiter, expected one after at most {most} bytes of payload"
            ),
            Self::Truncated { came, at } => write!(
                f,
                "frame at byte {at}: the stream ended after {came} bytes of it, expected a delimiter"
            ),
            Self::ContainsDelimiter { position } => write!(
                f,
                "a payload to send with the delimiter at its byte {position}, expected none in it"
            ),
            Self::UnencodablyLong { len, most } => write!(
                f,
                "a payload of {len} bytes to send, expected at most {most}"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for DelimitedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for DelimitedError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The codec throws an oversized frame away up to its end.
impl Recoverable for DelimitedError {
    fn is_recoverable(&self) -> bool {
        matches!(self, Self::TooLong { .. })
    }
}
