//! A connection that wasn't let in.

use std::{error::Error, fmt, sync::Arc};

use crate::config::AcceptRate;

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

impl Error for Refusal {}

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

impl Error for Limit {}
