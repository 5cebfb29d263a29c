//! What is wrong with a message: [`FormatError`].

use std::{error::Error, fmt};

/// What is wrong with a message of a format that has an error of type `P` for reading and one of
/// type `W` for writing.
#[derive(Debug)]
#[non_exhaustive]
pub enum FormatError<P, W = P> {
    /// The bytes aren't such a message.
    Parse(P),
    /// The message ends before the frame does.
    Trailing {
        /// The bytes that the message has.
        parsed: usize,
        /// The bytes that the frame has.
        len: usize,
    },
    /// The message nests deeper than it may.
    TooDeep {
        /// The most levels.
        most: usize,
    },
    /// The message has more elements in its sequences and maps than its bytes can stand for.
    TooMany {
        /// The most elements in a message of so many bytes.
        most: usize,
    },
    /// The message that is to be sent can't be written in this format.
    Write(W),
}

impl<P, W> FormatError<P, W> {
    /// The message, unless `rest` bytes of the frame's `len` are left behind it.
    #[cfg(any(feature = "cbor", feature = "messagepack", feature = "postcard"))]
    pub(super) fn unless_trailing<T>(message: T, rest: usize, len: usize) -> Result<T, Self> {
        if rest == 0 {
            return Ok(message);
        }
        Err(Self::Trailing {
            parsed: len - rest,
            len,
        })
    }
}

impl<P: fmt::Display, W: fmt::Display> fmt::Display for FormatError<P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse(error) => error.fmt(f),
            Self::Trailing { parsed, len } => {
                write!(
                    f,
                    "the message ends after {parsed} bytes, expected it to take all {len}"
                )
            }
            Self::TooDeep { most } => {
                write!(f, "the message nests deeper than {most} levels")
            }
            Self::TooMany { most } => {
                write!(
                    f,
                    "the message has more elements than its bytes allow, expected at most {most}"
                )
            }
            Self::Write(error) => error.fmt(f),
        }
    }
}

impl<P: Error, W: Error> Error for FormatError<P, W> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Parse(error) => error.source(),
            Self::Write(error) => error.source(),
            _ => None,
        }
    }
}
