//! A network that didn't come about: [`NetworkError`].

use std::{error::Error, fmt, time::Duration};

use crate::{
    error::{ConnectError, ListenError, StartError},
    testing::TopologyError,
};

/// A network could not be started, or an edge of it not opened or closed.
#[derive(Debug)]
#[non_exhaustive]
pub enum NetworkError {
    /// There is no such graph.
    Topology(TopologyError),
    /// A node could not be started.
    Start {
        /// The node.
        node: usize,
        /// What it said.
        source: StartError,
    },
    /// A node could not listen on loopback.
    Listen {
        /// The node.
        node: usize,
        /// What it said.
        source: ListenError,
    },
    /// A node doesn't listen any more, so that nobody can connect to it.
    NotListening {
        /// The node.
        node: usize,
    },
    /// A node could not connect to another.
    Connect {
        /// The node that dialled.
        dialer: usize,
        /// The node that was dialled.
        listener: usize,
        /// What the dialer said.
        source: ConnectError,
    },
    /// The dialer's end of a connection ended before the listener's was established: the listener
    /// refused it, say, or its handshake failed.
    Lost {
        /// The node that dialled.
        dialer: usize,
        /// The node that was dialled.
        listener: usize,
        /// What happened lately to both.
        report: String,
    },
    /// One end of a connection was opened or closed, and the other did not follow in time.
    TimedOut {
        /// The node that dialled, or that disconnected.
        first: usize,
        /// The node that did not follow.
        second: usize,
        /// How long it was waited for.
        after: Duration,
        /// What happened lately to both.
        report: String,
    },
    /// There is no connection between two nodes that the network knows of.
    NotConnected {
        /// One of them.
        first: usize,
        /// The other.
        second: usize,
    },
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topology(error) => error.fmt(f),
            Self::Start { node, source } => write!(f, "node {node}: {source}"),
            Self::Listen { node, source } => write!(f, "node {node}: {source}"),
            Self::NotListening { node } => write!(f, "node {node} doesn't listen"),
            Self::Connect {
                dialer,
                listener,
                source,
            } => write!(f, "node {dialer} to node {listener}: {source}"),
            Self::Lost {
                dialer,
                listener,
                report,
            } => write!(
                f,
                "node {dialer} was connected to node {listener}, which ended that before it was \
                 established on its side\n{report}"
            ),
            Self::TimedOut {
                first,
                second,
                after,
                report,
            } => write!(
                f,
                "node {second} did not follow node {first} within {after:?}\n{report}"
            ),
            Self::NotConnected { first, second } => {
                write!(f, "node {first} and node {second} are not connected")
            }
        }
    }
}

impl Error for NetworkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Topology(error) => Some(error),
            Self::Start { source, .. } => Some(source),
            Self::Listen { source, .. } => Some(source),
            Self::Connect { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<TopologyError> for NetworkError {
    fn from(error: TopologyError) -> Self {
        Self::Topology(error)
    }
}
