//! What went otherwise than written: [`Failure`].

use std::{error::Error, fmt, io, panic::Location, sync::Arc, time::Duration};

use super::{dump::Count, transcript::Transcript};
use crate::disconnect::BoxError;

/// What went otherwise than the script says.
///
/// Both its `Display` and its `Debug` text are the whole story, for people to read: `unwrap` shows it.
///
/// ```text
/// step 2 of 3 (tests/kv.rs:12): expected "VALUE 1", but "VALUE 2" came
///   0.000341s           dialled 127.0.0.1:7000
///   0.000412s  step 1   → "GET key"  8 bytes: "GET key\n"
///   0.000954s  step 2   ← "VALUE 2"  8 bytes: "VALUE 2\n"
/// ```
#[non_exhaustive]
pub struct Failure {
    /// The step that failed; `None` if there was no connection to play on.
    pub step: Option<FailedStep>,
    /// What was to happen, such as `"PONG"` or `silence for 1s`.
    pub expected: String,
    /// What happened instead.
    pub instead: Instead,
    /// All that happened until then.
    pub transcript: Box<Transcript>,
}

/// Which step failed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FailedStep {
    /// Its number; the first is 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// Where it is written.
    pub written_at: &'static Location<'static>,
}

/// What happened instead of what was expected.
#[derive(Debug)]
#[non_exhaustive]
pub enum Instead {
    /// Another message came, or one came where none should; this is its `Debug` text.
    Message(String),
    /// So many bytes came that aren't a whole message, where nothing should come.
    Bytes(usize),
    /// The codec could not decode what came.
    Undecodable(BoxError),
    /// The codec could not encode what was to be sent.
    Unencodable(BoxError),
    /// The connection was ended.
    Closed(Ending),
    /// The connection was not ended.
    StillOpen {
        /// How long the step waited.
        within: Duration,
    },
    /// No message came.
    Nothing {
        /// How long the step waited.
        within: Duration,
        /// How many bytes of an unfinished message have come.
        bytes: usize,
    },
    /// The other side didn't take what was sent.
    NotTaken {
        /// How long the step waited.
        within: Duration,
        /// How many bytes it took.
        written: usize,
        /// Of how many.
        of: usize,
    },
    /// Dialling, listening or accepting failed.
    NoConnection(io::Error),
    /// The handshake failed.
    NoSession(BoxError),
    /// There was no connection, or no session on it.
    NotConnected {
        /// How long it took at most.
        within: Duration,
    },
    /// The script can't be played; the text says why.
    Impossible(&'static str),
}

/// How the other side ended the connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Ending {
    /// Its side of the stream ended between two messages.
    Orderly,
    /// Its side of the stream ended in the middle of a message.
    InsideMessage {
        /// How much of the message has come.
        bytes: usize,
    },
    /// It reset the connection.
    Reset,
    /// Any other error of the stream.
    Broken(Arc<io::Error>),
}

impl Ending {
    pub(super) fn of(error: io::Error) -> Self {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset};
        match error.kind() {
            ConnectionReset | ConnectionAborted => Self::Reset,
            _ => Self::Broken(Arc::new(error)),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orderly => f.write_str("the other side ended the stream"),
            Self::InsideMessage { bytes } => {
                let bytes = Count(*bytes);
                write!(
                    f,
                    "the other side ended the stream inside a message, after {bytes} of it"
                )
            }
            Self::Reset => f.write_str("the other side reset the connection"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

/// As it stands behind "but".
impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(text) => write!(f, "{text} came"),
            Self::Bytes(bytes) => write!(f, "{} of a message came", Count(*bytes)),
            Self::Undecodable(error) => write!(f, "what came can't be decoded: {error}"),
            Self::Unencodable(error) => write!(f, "it can't be encoded: {error}"),
            Self::Closed(ending) => ending.fmt(f),
            Self::StillOpen { within } => {
                write!(f, "the connection was still open after {within:?}")
            }
            Self::Nothing { within, bytes: 0 } => write!(f, "nothing came within {within:?}"),
            Self::Nothing { within, bytes } => {
                let bytes = Count(*bytes);
                write!(f, "only {bytes} of a message came within {within:?}")
            }
            Self::NotTaken {
                within,
                written,
                of,
            } => {
                let of = Count(*of);
                write!(
                    f,
                    "the other side took only {written} of {of} within {within:?}"
                )
            }
            Self::NoConnection(error) => write!(f, "that failed: {error}"),
            Self::NoSession(error) => write!(f, "the handshake failed: {error}"),
            Self::NotConnected { within } => write!(f, "it took more than {within:?}"),
            Self::Impossible(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for FailedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, line) = (self.written_at.file(), self.written_at.line());
        write!(f, "step {} of {} ({file}:{line})", self.number, self.of)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = &self.step {
            write!(f, "{step}: ")?;
        }
        write!(f, "expected {}, but {}", self.expected, self.instead)?;
        match self.transcript.is_empty() {
            true => Ok(()),
            false => write!(f, "\n{}", self.transcript),
        }
    }
}

/// The same text: it is what `unwrap` shows.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.instead {
            Instead::Undecodable(error)
            | Instead::Unencodable(error)
            | Instead::NoSession(error) => Some(error.as_ref()),
            Instead::NoConnection(error) => Some(error),
            Instead::Closed(Ending::Broken(error)) => Some(error),
            _ => None,
        }
    }
}
