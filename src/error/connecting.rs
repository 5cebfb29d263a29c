//! A connection that didn't come about.

use std::{error::Error, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use super::Limit;
use crate::{disconnect::SharedError, peer::Peer};

/// [`Node::connect`](crate::Node::connect) or one of its kin did not give a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name could not be resolved to an address.
    Resolve(io::Error),
    /// The address is this node's own.
    SelfConnect(SocketAddr),
    /// There is a connection to this address that we dialled, and a second one was not allowed
    /// ([`Builder::allow_duplicates`](crate::Builder::allow_duplicates)).
    AlreadyConnected(Peer),
    /// Another task is dialling this address at the moment, or shakes hands with who answered, and a
    /// second connection was not allowed.
    AlreadyDialing(SocketAddr),
    /// The remote host refused the connection: nobody listens there.
    Refused {
        /// The address that was dialled.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// No stream came about within the connect timeout. (A handshake that took too long is a
    /// [`HandshakeError::TimedOut`].)
    TimedOut {
        /// The address that was dialled.
        addr: SocketAddr,
        /// The connect timeout.
        after: Duration,
    },
    /// Any other failure to connect.
    Io {
        /// The address that was dialled.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The stream was there, but the handshake failed.
    Handshake {
        /// The peer that it would have been.
        peer: Peer,
        /// How the handshake failed.
        source: HandshakeError,
    },
    /// A limit of this node is reached.
    Limit(Limit),
    /// The node's transport has streams of another type.
    WrongStream {
        /// The type of the transport's streams.
        expected: &'static str,
        /// The type of the stream that was given.
        got: &'static str,
    },
    /// The node is shut down.
    ShutDown,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(source) => write!(f, "can't resolve the address: {source}"),
            Self::SelfConnect(addr) => write!(f, "{addr} is this node's own address"),
            Self::AlreadyConnected(peer) => write!(
                f,
                "already connected to {} as #{} (see `allow_duplicates`)",
                peer.addr(),
                peer.id()
            ),
            Self::AlreadyDialing(addr) => {
                write!(f, "already dialling {addr} (see `allow_duplicates`)")
            }
            Self::Refused { addr, .. } => write!(f, "{addr} refused the connection"),
            Self::TimedOut { addr, after } => write!(f, "no connection to {addr} within {after:?}"),
            Self::Io { addr, source } => write!(f, "can't connect to {addr}: {source}"),
            Self::Handshake { peer, source } => write!(f, "handshake with {peer}: {source}"),
            Self::Limit(limit) => limit.fmt(f),
            Self::WrongStream { expected, got } => {
                write!(
                    f,
                    "the node's transport has streams of type {expected}, not {got}"
                )
            }
            Self::ShutDown => f.write_str("the node is shut down"),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Resolve(source) | Self::Refused { source, .. } | Self::Io { source, .. } => {
                Some(source)
            }
            Self::Handshake { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// [`Node::adopt`](crate::Node::adopt) did not make a connection of a stream.
pub struct AdoptError<S> {
    /// The stream, unless the handshake had taken it already.
    pub stream: Option<S>,
    /// What went wrong.
    pub error: ConnectError,
}

impl<S> fmt::Display for AdoptError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream not adopted: {}", self.error)
    }
}

/// Without the stream, so that it need not be `Debug`.
impl<S> fmt::Debug for AdoptError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdoptError")
            .field("stream given back", &self.stream.is_some())
            .field("error", &self.error)
            .finish()
    }
}

impl<S> Error for AdoptError<S> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// A handshake did not end in a session.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The protocol returned this error.
    Failed(SharedError),
    /// It took longer than the handshake timeout.
    TimedOut(Duration),
    /// The protocol panicked; the text is the panic's message.
    Panicked(Arc<str>),
    /// The node was shut down meanwhile.
    ShutDown,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::TimedOut(after) => write!(f, "not finished within {after:?}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::ShutDown => f.write_str("the node was shut down"),
        }
    }
}

impl Error for HandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}
