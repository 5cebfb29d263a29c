//! What a step is, and what it says of itself.

use std::{fmt, panic::Location, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

use super::{dump::Count, failure::Ending};
use crate::disconnect::BoxError;

/// How a script expects the other side to end the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closed {
    /// Its side of the stream ends, between two messages.
    Orderly,
    /// A reset. Over TCP that is also what comes of closing a socket with something unread.
    Reset,
    /// One or the other.
    Either,
}

pub(super) type Encode<C> =
    Arc<dyn Fn(&mut C, &mut BytesMut) -> Result<(), BoxError> + Send + Sync>;

type EncodeOnce<C> = Box<dyn FnOnce(&mut C, &mut BytesMut) -> Result<(), BoxError> + Send>;

pub(super) type Matches<C> = Arc<dyn Fn(&<C as Decoder>::Item) -> bool + Send + Sync>;

pub(super) struct Step<C: Decoder> {
    pub(super) deed: Deed<C>,
    /// How long it waits for the other side.
    pub(super) within: Duration,
    pub(super) written_at: &'static Location<'static>,
}

pub(super) enum Deed<C: Decoder> {
    Send {
        text: String,
        encode: Encode<C>,
    },
    SendBytes(Bytes),
    Trickle {
        bytes: Bytes,
        piece_size: usize,
        every: Duration,
    },
    HalfClose,
    Reset,
    Stall(Duration),
    Expect {
        what: String,
        matches: Matches<C>,
    },
    ExpectClosed(Closed),
    ExpectSilence(Duration),
}

/// A reply that is to be encoded once.
pub(super) struct Message<C> {
    pub(super) text: String,
    pub(super) encode: EncodeOnce<C>,
}

/// What is done with a message beside the script.
pub(super) enum Answer<C> {
    Nothing,
    Reply(Message<C>),
}

impl Closed {
    pub(super) fn is(self, ending: &Ending) -> bool {
        match ending {
            Ending::Orderly => self != Self::Reset,
            Ending::Reset => self != Self::Orderly,
            _ => false,
        }
    }
}

impl<C: Decoder> Deed<C> {
    /// Whether it needs our side of the connection open.
    pub(super) fn writes(&self) -> bool {
        matches!(
            self,
            Self::Send { .. } | Self::SendBytes(_) | Self::Trickle { .. } | Self::HalfClose
        )
    }
}

impl<C: Decoder> Clone for Step<C> {
    fn clone(&self) -> Self {
        Self {
            deed: self.deed.clone(),
            ..*self
        }
    }
}

impl<C: Decoder> Clone for Deed<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Send { text, encode } => Self::Send {
                text: text.clone(),
                encode: encode.clone(),
            },
            Self::SendBytes(bytes) => Self::SendBytes(bytes.clone()),
            Self::Trickle {
                bytes,
                piece_size,
                every,
            } => Self::Trickle {
                bytes: bytes.clone(),
                piece_size: *piece_size,
                every: *every,
            },
            Self::HalfClose => Self::HalfClose,
            Self::Reset => Self::Reset,
            Self::Stall(duration) => Self::Stall(*duration),
            Self::Expect { what, matches } => Self::Expect {
                what: what.clone(),
                matches: matches.clone(),
            },
            Self::ExpectClosed(how) => Self::ExpectClosed(*how),
            Self::ExpectSilence(duration) => Self::ExpectSilence(*duration),
        }
    }
}

/// As it stands behind "expected".
impl<C: Decoder> fmt::Display for Deed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { text, .. } => write!(f, "to send {text}"),
            Self::SendBytes(bytes) => write!(f, "to send {}", Count(bytes.len())),
            Self::Trickle {
                bytes,
                piece_size,
                every,
            } => {
                let (bytes, piece) = (Count(bytes.len()), Count(*piece_size));
                write!(f, "to send {bytes}, {piece} every {every:?}")
            }
            Self::HalfClose => f.write_str("to end our side"),
            Self::Reset => f.write_str("to reset the connection"),
            Self::Stall(duration) => write!(f, "to stall for {duration:?}"),
            Self::Expect { what, .. } => f.write_str(what),
            Self::ExpectClosed(Closed::Orderly) => f.write_str("the end of the stream"),
            Self::ExpectClosed(Closed::Reset) => f.write_str("a reset"),
            Self::ExpectClosed(Closed::Either) => f.write_str("the end of the stream or a reset"),
            Self::ExpectSilence(duration) => write!(f, "silence for {duration:?}"),
        }
    }
}
