//! What goes otherwise in a play than it was recorded.

use std::{error::Error, fmt, io, net::SocketAddr, time::Duration};

use bytes::Bytes;

use crate::testing::capture::CapturedFrame;

/// How many bytes of a frame are shown.
const SHOWN: usize = 32;

/// How many of them come before the first that differs.
const SHOWN_BEFORE: usize = 8;

/// How much of a message's text is shown, in characters.
const MESSAGE_SHOWN: usize = 200;

/// How a replay went otherwise than the capture. Frames are counted from 0 among those that the peer has to
/// say.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayError {
    /// There is nobody to play with.
    Connect {
        /// The address that was dialled.
        addr: SocketAddr,
        /// Why it can't be reached.
        error: io::Error,
    },
    /// The stream failed.
    Io(io::Error),
    /// Something else came.
    Mismatch(Box<Mismatch>),
    /// More came than was recorded.
    TooMuch {
        /// What came, as far as it was read.
        came: Bytes,
    },
    /// The peer ended its side before all had come.
    Ended {
        /// Which frame was missing.
        number: usize,
        /// How many bytes of it had come.
        came: usize,
        /// The frame as it was recorded.
        missing: Box<CapturedFrame>,
    },
    /// The next bytes, or the end, didn't come in time.
    TimedOut {
        /// For how long nothing came.
        patience: Duration,
        /// Which frame was missing.
        number: usize,
        /// How many bytes of it had come.
        came: usize,
        /// The frame as it was recorded; without one, the peer should have ended its side.
        missing: Option<Box<CapturedFrame>>,
    },
    /// The peer didn't take what was said in time.
    NotTaken {
        /// For how long it took nothing.
        patience: Duration,
    },
}

/// A frame that was not what was recorded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Mismatch {
    /// Which frame it was.
    pub number: usize,
    /// The first byte of it that differs.
    pub offset: usize,
    /// What was recorded.
    pub expected: CapturedFrame,
    /// What came, from the beginning of the frame as far as it was read, which may be beyond its end.
    pub came: Bytes,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            offset,
            expected,
            came,
        } = self;
        write!(
            f,
            "frame {number} (line {} of the capture) differs at byte {offset}: expected {}, got {}",
            expected.line,
            Dump::around(&expected.bytes, *offset),
            Dump::around(came, *offset)
        )?;
        show_message(f, expected)
    }
}

fn show_message(f: &mut fmt::Formatter<'_>, frame: &CapturedFrame) -> fmt::Result {
    match &frame.message {
        Some(message) if message.len() <= MESSAGE_SHOWN => {
            write!(f, "; the message was {message}")
        }
        Some(message) => {
            let shown: String = message.chars().take(MESSAGE_SHOWN).collect();
            write!(f, "; the message was {shown}…")
        }
        None => Ok(()),
    }
}

/// Some of the bytes, as text where they are any, and in hexadecimal.
struct Dump<'a> {
    bytes: &'a [u8],
    before: bool,
    after: bool,
}

impl<'a> Dump<'a> {
    fn around(bytes: &'a [u8], offset: usize) -> Self {
        let start = match offset {
            0..SHOWN => 0,
            _ => offset - SHOWN_BEFORE,
        };
        let end = bytes.len().min(start + SHOWN);
        Self {
            bytes: &bytes[start..end],
            before: start > 0,
            after: end < bytes.len(),
        }
    }
}

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dots = |dots: bool| if dots { "…" } else { "" };
        let (before, after) = (dots(self.before), dots(self.after));
        write!(f, "{before}\"{}\"{after} (", self.bytes.escape_ascii())?;
        for (i, byte) in self.bytes.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { addr, error } => write!(f, "{addr} can't be reached: {error}"),
            Self::Io(error) => write!(f, "the stream failed: {error}"),
            Self::Mismatch(mismatch) => write!(f, "{mismatch}"),
            Self::TooMuch { came } => {
                write!(
                    f,
                    "nothing more was recorded, got {}",
                    Dump::around(came, 0)
                )
            }
            Self::Ended {
                number,
                came,
                missing,
            } => {
                f.write_str("the peer ended its side; missing is ")?;
                show_missing(f, *number, *came, missing)
            }
            Self::TimedOut {
                patience,
                number,
                came,
                missing,
            } => {
                write!(f, "nothing came for {patience:?}; missing is ")?;
                match missing {
                    Some(missing) => show_missing(f, *number, *came, missing),
                    None => f.write_str("the end of the peer's side"),
                }
            }
            Self::NotTaken { patience } => {
                write!(f, "the peer took nothing of what was said for {patience:?}")
            }
        }
    }
}

fn show_missing(
    f: &mut fmt::Formatter<'_>,
    number: usize,
    came: usize,
    missing: &CapturedFrame,
) -> fmt::Result {
    let CapturedFrame { line, bytes, .. } = missing;
    write!(f, "frame {number} (line {line} of the capture) ")?;
    if came > 0 {
        write!(f, "from byte {came} on ")?;
    }
    write!(f, "{}", Dump::around(bytes, came))?;
    show_message(f, missing)
}

impl Error for ReplayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect { error, .. } | Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ReplayError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
