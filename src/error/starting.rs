//! A node that didn't start, or doesn't listen.

use std::{error::Error, fmt, io, net::SocketAddr};

/// [`Builder::start`](crate::Builder::start) did not start a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An option, or two that contradict each other, make no sense.
    InvalidOption(InvalidOption),
    /// An address to listen on could not be bound.
    Listen(ListenError),
}

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

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::InvalidOption(_) => None,
            Self::Listen(error) => error.source(),
        }
    }
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

impl Error for InvalidOption {}

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

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(source) => write!(f, "can't resolve the address: {source}"),
            Self::Io { addr, source } => write!(f, "can't listen on {addr}: {source}"),
            Self::ShutDown => f.write_str("can't listen: the node is shut down"),
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
