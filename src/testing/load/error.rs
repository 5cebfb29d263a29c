//! What went wrong, with the whole load or with one of its connections.

use std::{collections::BTreeMap, error::Error, fmt, io, net::SocketAddr};

use crate::{
    disconnect::Reason,
    error::{ConnectError, InvalidOption},
};

/// [`Load::run`](super::Load::run) made no load.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// An option makes no sense.
    InvalidOption(InvalidOption),
    /// The name could not be resolved to an address.
    Resolve {
        /// The name.
        addr: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Not one connection could be made.
    NotConnected {
        /// The address that was dialled.
        addr: SocketAddr,
        /// Why, by kind.
        failures: Vec<Failure>,
    },
}

impl From<InvalidOption> for LoadError {
    fn from(error: InvalidOption) -> Self {
        Self::InvalidOption(error)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidOption(error) => error.fmt(f),
            Self::Resolve { addr, source } => write!(f, "can't resolve {addr:?}: {source}"),
            Self::NotConnected { addr, failures } => {
                write!(f, "no connection to {addr}")?;
                failures
                    .iter()
                    .try_for_each(|failure| write!(f, "; {failure}"))
            }
        }
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Resolve { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Connections that failed in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// How.
    pub kind: FailureKind,
    /// How many.
    pub connections: u64,
    /// What the first of them said.
    pub first: String,
}

/// `3 × reset: connection reset: ...`
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            connections,
            first,
        } = self;
        write!(f, "{connections} × {kind}: {first}")
    }
}

/// How a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FailureKind {
    /// Nobody listened.
    Refused,
    /// It was not there within the connect timeout.
    ConnectTimedOut,
    /// Any other failure to connect.
    Connect,
    /// Its handshake failed, or took too long.
    Handshake,
    /// The server closed it.
    EndOfStream,
    /// The server closed it within a message.
    EndInsideFrame,
    /// The server reset it.
    Reset,
    /// Any other error of the stream.
    Io,
    /// The codec could not decode what came.
    Decode,
    /// The codec could not encode a message.
    Encode,
    /// The codec panicked, or one of the load's closures.
    Panicked,
}

impl FailureKind {
    pub(super) fn of_connect(error: &ConnectError) -> Self {
        match error {
            ConnectError::Refused { .. } => Self::Refused,
            ConnectError::TimedOut { .. } => Self::ConnectTimedOut,
            ConnectError::Handshake { .. } => Self::Handshake,
            _ => Self::Connect,
        }
    }

    pub(super) fn of_reason(reason: &Reason) -> Self {
        match reason {
            Reason::EndOfStream => Self::EndOfStream,
            Reason::EndInsideFrame { .. } => Self::EndInsideFrame,
            Reason::Reset(_) => Self::Reset,
            Reason::Decode(_) => Self::Decode,
            Reason::Encode(_) => Self::Encode,
            Reason::Panicked(_) => Self::Panicked,
            _ => Self::Io,
        }
    }

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ConnectTimedOut => "connect_timed_out",
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::EndOfStream => "end_of_stream",
            Self::EndInsideFrame => "end_inside_frame",
            Self::Reset => "reset",
            Self::Io => "io",
            Self::Decode => "decode",
            Self::Encode => "encode",
            Self::Panicked => "panicked",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The failures so far; as many entries as there are kinds.
#[derive(Debug, Default)]
pub(super) struct Failures {
    by_kind: BTreeMap<FailureKind, Failure>,
}

impl Failures {
    pub(super) fn add(&mut self, kind: FailureKind, what: impl fmt::Display) {
        let failure = self.by_kind.entry(kind).or_insert_with(|| Failure {
            kind,
            connections: 0,
            first: what.to_string(),
        });
        failure.connections += 1;
    }

    pub(super) fn into_vec(self) -> Vec<Failure> {
        self.by_kind.into_values().collect()
    }
}
