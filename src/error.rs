//! What can go wrong, one type per operation. Why a connection *ended* is a
//! [`Disconnect`](crate::Disconnect).

use std::{error::Error, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use crate::{config::AcceptRate, disconnect::SharedError, peer::Peer};

/// [`Builder::start`](crate::Builder::start) did not start a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An option, or two that contradict each other, make no sense.
    InvalidOption(InvalidOption),
    /// An address to listen on could not be bound.
    Listen(ListenError),
}

/// An option that makes no sense, or contradicts another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidOption {
    /// Its name, which is that of the builder's method.
    pub option: &'static str,
    /// The value that was given.
    pub value: String,
    /// Why it can't be used.
    pub reason: String,
}

/// An address could not be listened on.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenError {
    /// The name could not be resolved to an address.
    Resolve(io::Error),
    /// The address could not be bound.
    Io {
        /// The address.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The node is shut down.
    ShutDown,
}

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

/// [`Node::adopt`](crate::Node::adopt) did not make a connection of a stream.
pub struct AdoptError<S> {
    /// The stream, unless the handshake had taken it already.
    pub stream: Option<S>,
    /// What went wrong.
    pub error: ConnectError,
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

/// Why an incoming connection was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A limit is reached.
    Limit(Limit),
    /// The address is [banned](crate::Admission::ban).
    Banned,
    /// The [filter](crate::Builder::filter) said no.
    Filtered,
    /// The filter panicked; the text is the panic's message.
    FilterPanicked(Arc<str>),
    /// The program [refused](crate::Incoming::refuse) it, or dropped it undecided.
    Declined,
}

/// Which limit kept a connection out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// As many connections as [`Builder::max_connections`](crate::Builder::max_connections) allows
    /// are open or pending.
    Connections(usize),
    /// As many incoming connections as [`Builder::max_incoming`](crate::Builder::max_incoming) allows
    /// are open or pending.
    Incoming(usize),
    /// As many connections as [`Builder::max_pending`](crate::Builder::max_pending) allows are being
    /// dialled or shake hands. For an incoming one it is what is left of them beside
    /// [`Builder::pending_for_dialing`](crate::Builder::pending_for_dialing).
    Pending(usize),
    /// As many connections from this address as
    /// [`Builder::max_per_ip`](crate::Builder::max_per_ip) allows are open or pending.
    PerIp(usize),
    /// As many connections from this address as
    /// [`Builder::max_pending_per_ip`](crate::Builder::max_pending_per_ip) allows shake hands.
    PendingPerIp(usize),
    /// As many connections from this subnet as
    /// [`Builder::max_per_subnet`](crate::Builder::max_per_subnet) allows are open or pending.
    PerSubnet(usize),
    /// As many connections from this subnet as
    /// [`Builder::max_pending_per_subnet`](crate::Builder::max_pending_per_subnet) allows shake
    /// hands.
    PendingPerSubnet(usize),
    /// More connections than [`Builder::accept_rate`](crate::Builder::accept_rate) allows came in so
    /// short a time.
    AcceptRate(AcceptRate),
}

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

/// The error of a [`PeerSink`](crate::PeerSink): its peer is gone, or being disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerGone(pub Peer);

/// The error of an [`Outbound`](crate::Outbound): the node has shut down, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeShutDown;

impl StartError {
    /// An option that makes no sense; for the `validate` of a
    /// [`Transport`](crate::Transport::validate) of one's own.
    pub fn invalid(
        option: &'static str,
        value: impl fmt::Debug,
        reason: impl Into<String>,
    ) -> Self {
        Self::InvalidOption(InvalidOption::new(option, value, reason))
    }
}

impl InvalidOption {
    pub(crate) fn new(
        option: &'static str,
        value: impl fmt::Debug,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            option,
            value: format!("{value:?}"),
            reason: reason.into(),
        }
    }
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

impl From<InvalidOption> for StartError {
    fn from(error: InvalidOption) -> Self {
        Self::InvalidOption(error)
    }
}

impl From<ListenError> for StartError {
    fn from(error: ListenError) -> Self {
        Self::Listen(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidOption(error) => error.fmt(f),
            Self::Listen(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            option,
            value,
            reason,
        } = self;
        write!(f, "option `{option}` can't be {value}: {reason}")
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(source) => write!(f, "can't resolve the address: {source}"),
            Self::Io { addr, source } => write!(f, "can't listen on {addr}: {source}"),
            Self::ShutDown => f.write_str("can't listen: the node is shut down"),
        }
    }
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

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => limit.fmt(f),
            Self::Banned => f.write_str("the address is banned"),
            Self::Filtered => f.write_str("the filter said no"),
            Self::FilterPanicked(message) => write!(f, "the filter panicked: {message}"),
            Self::Declined => f.write_str("the program declined it"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (max, what) = match self {
            Self::Connections(max) => (max, "connections"),
            Self::Incoming(max) => (max, "incoming connections"),
            Self::Pending(max) => (max, "pending connections"),
            Self::PerIp(max) => (max, "connections from one address"),
            Self::PendingPerIp(max) => (max, "pending connections from one address"),
            Self::PerSubnet(max) => (max, "connections from one subnet"),
            Self::PendingPerSubnet(max) => (max, "pending connections from one subnet"),
            Self::AcceptRate(AcceptRate { connections, per }) => {
                return write!(
                    f,
                    "the limit of {connections} incoming connections in {per:?} is reached"
                );
            }
        };
        write!(f, "the limit of {max} {what} is reached")
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the queue is full",
            Self::NotConnected => "not connected",
        })
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

impl fmt::Display for PeerGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not connected", self.0)
    }
}

impl fmt::Display for NodeShutDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the node is shut down")
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::InvalidOption(_) => None,
            Self::Listen(error) => error.source(),
        }
    }
}

impl Error for ListenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Resolve(source) | Self::Io { source, .. } => Some(source),
            Self::ShutDown => None,
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

impl Error for HandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}

impl<S> Error for AdoptError<S> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl<Out> Error for SendError<Out> {}
impl Error for InvalidOption {}
impl Error for Limit {}
impl Error for Refusal {}
impl Error for PeerGone {}
impl Error for NodeShutDown {}
