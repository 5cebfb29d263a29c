//! How many connections there may be: [`Limits`].

use std::{num::NonZeroU32, time::Duration};

use super::{at_least_one, not_zero};
use crate::error::InvalidOption;

/// Room for a mid-sized network; an open connection costs about 2 KB of memory and a descriptor.
const MAX_CONNECTIONS: usize = 1024;

/// A burst of handshakes; each may hold a buffer and a descriptor for the handshake timeout.
const MAX_PENDING: usize = 256;

/// Of the pending connections one in so many is kept for our own dialling.
const DIALING_SHARE: usize = 4;

/// The usual size of a network that one party controls: a /24 is the smallest that is routed on the
/// Internet, and a /64 is what a single host with IPv6 has to itself.
const IPV4_PREFIX: u8 = 24;
const IPV6_PREFIX: u8 = 64;

/// How many connections there may be, of what kind, and from where.
///
/// They are given to the [`Builder`](crate::Builder), and can be looked at and changed while the
/// node runs: [`Admission::limits`](crate::Admission::limits),
/// [`Admission::set_limits`](crate::Admission::set_limits). Connections that are there already stay
/// when a limit is lowered beneath them.
///
/// Those per address and per subnet, and the accept rate, are about incoming connections; whom we dial is
/// our own decision. An IPv4 address mapped into IPv6 (`::ffff:a.b.c.d`) counts as the IPv4
/// address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// [`Builder::max_connections`](crate::Builder::max_connections).
    pub max_connections: usize,
    /// [`Builder::max_incoming`](crate::Builder::max_incoming).
    pub max_incoming: Option<usize>,
    /// [`Builder::max_pending`](crate::Builder::max_pending).
    pub max_pending: usize,
    /// [`Builder::pending_for_dialing`](crate::Builder::pending_for_dialing).
    pub pending_for_dialing: usize,
    /// [`Builder::max_per_ip`](crate::Builder::max_per_ip).
    pub max_per_ip: Option<usize>,
    /// [`Builder::max_pending_per_ip`](crate::Builder::max_pending_per_ip).
    pub max_pending_per_ip: Option<usize>,
    /// [`Builder::max_per_subnet`](crate::Builder::max_per_subnet).
    pub max_per_subnet: Option<usize>,
    /// [`Builder::max_pending_per_subnet`](crate::Builder::max_pending_per_subnet).
    pub max_pending_per_subnet: Option<usize>,
    /// How many bits of an IPv4 address make its subnet; 24 by default.
    pub ipv4_prefix: u8,
    /// How many bits of an IPv6 address make its subnet; 64 by default.
    pub ipv6_prefix: u8,
    /// [`Builder::accept_rate`](crate::Builder::accept_rate).
    pub accept_rate: Option<AcceptRate>,
}

/// How many incoming connections are let in over time: a bucket of so many, refilled evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AcceptRate {
    /// How many may come at once, when none came for a while.
    pub connections: NonZeroU32,
    /// In what time as many again may come.
    pub per: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: MAX_CONNECTIONS,
            max_incoming: None,
            max_pending: MAX_PENDING,
            pending_for_dialing: MAX_PENDING / DIALING_SHARE,
            max_per_ip: None,
            max_pending_per_ip: None,
            max_per_subnet: None,
            max_pending_per_subnet: None,
            ipv4_prefix: IPV4_PREFIX,
            ipv6_prefix: IPV6_PREFIX,
            accept_rate: None,
        }
    }
}

impl Limits {
    /// Sets what depends on other limits: what wasn't given is as usual, and no more than the limit
    /// that bounds it.
    pub(super) fn settle(&mut self, max_pending: Option<usize>, for_dialing: Option<usize>) {
        let usual = MAX_PENDING.min(self.max_connections);
        self.max_pending = max_pending.unwrap_or(usual);
        let usual = self.max_pending / DIALING_SHARE;
        self.pending_for_dialing = for_dialing.unwrap_or(usual);
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidOption> {
        at_least_one([
            ("max_connections", Some(self.max_connections)),
            ("max_incoming", self.max_incoming),
            ("max_pending", Some(self.max_pending)),
            ("max_per_ip", self.max_per_ip),
            ("max_pending_per_ip", self.max_pending_per_ip),
            ("max_per_subnet", self.max_per_subnet),
            ("max_pending_per_subnet", self.max_pending_per_subnet),
        ])?;
        not_zero([("accept_rate", self.accept_rate.map(|rate| rate.per))])?;
        self.validate_prefixes()?;
        if self.max_pending > self.max_connections {
            let reason = format!(
                "pending connections count as connections, and max_connections is {}",
                self.max_connections
            );
            return Err(InvalidOption::new("max_pending", self.max_pending, reason));
        }
        if self.pending_for_dialing >= self.max_pending {
            let reason = format!(
                "no incoming connection could be pending, as max_pending is {}",
                self.max_pending
            );
            let value = self.pending_for_dialing;
            return Err(InvalidOption::new("pending_for_dialing", value, reason));
        }
        Ok(())
    }

    fn validate_prefixes(&self) -> Result<(), InvalidOption> {
        for (option, value, most) in [
            ("ipv4_prefix", self.ipv4_prefix, 32),
            ("ipv6_prefix", self.ipv6_prefix, 128),
        ] {
            if value > most {
                let reason = format!("an address has {most} bits");
                return Err(InvalidOption::new(option, value, reason));
            }
        }
        Ok(())
    }
}
