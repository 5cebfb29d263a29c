//! A message that wasn't taken.

use std::{error::Error, fmt};

use crate::peer::Peer;

/// A message was not taken; here it is again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<Out> {
    /// The message.
    pub message: Out,
    /// For whom it was.
    pub peer: Peer,
    /// Why it was not taken.
    pub reason: NotSent,
}

impl<Out> SendError<Out> {
    pub(crate) fn new(message: Out, peer: Peer, reason: NotSent) -> Self {
        Self {
            message,
            peer,
            reason,
        }
    }

    /// The message that was not taken.
    pub fn into_message(self) -> Out {
        self.message
    }
}

impl<Out> fmt::Display for SendError<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message for {} not taken: {}", self.peer, self.reason)
    }
}

/// Without the message, so that it need not be `Debug`.
impl<Out> fmt::Debug for SendError<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("peer", &self.peer)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<Out> Error for SendError<Out> {}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotSent {
    /// The peer's queue is full, and the sender doesn't wait:
    /// [`Node::try_send_to`](crate::Node::try_send_to), or
    /// [`WhenFull::Reject`](crate::WhenFull::Reject).
    Full,
    /// The peer is not connected, or its connection is being closed.
    NotConnected,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the queue is full",
            Self::NotConnected => "not connected",
        })
    }
}

/// The error of a [`PeerSink`](crate::PeerSink): its peer is gone, or being disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerGone(pub Peer);

impl fmt::Display for PeerGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not connected", self.0)
    }
}

impl Error for PeerGone {}

/// The error of an [`Outbound`](crate::Outbound): the node has shut down, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeShutDown;

impl fmt::Display for NodeShutDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the node is shut down")
    }
}

impl Error for NodeShutDown {}
