//! The options of a node as values, their defaults, and what makes no sense.

use std::time::Duration;

use crate::error::StartError;

/// Room for a mid-sized network; an open connection costs about 2 KB of memory and a descriptor.
const MAX_CONNECTIONS: usize = 1024;

/// A burst of handshakes; each may hold a buffer and a descriptor for the handshake timeout.
const MAX_PENDING: usize = 256;

/// Enough to hand over and to take turns rarely, little enough to stay in the cache.
const QUEUE_MESSAGES: usize = 1024;

/// A queue that outgrows the cache costs more than rare hand-overs save.
const QUEUE_BYTES: usize = 512 * 1024;

/// `tokio_util`'s own 8 KiB means a system call every few messages.
const WRITE_BOUNDARY: usize = 64 * 1024;

/// Longer than the first retransmissions of a lost SYN (1 s, 3 s, 7 s).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Several round trips around the world, with some cryptography.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Long enough for a remote that pauses, short enough to notice one that is dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a caller of `disconnect` or `shutdown` is kept waiting by a remote that doesn't read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) name: Option<String>,
    pub(crate) max_connections: usize,
    pub(crate) max_pending: usize,
    pub(crate) allow_duplicates: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) session: SessionConfig,
}

/// What a single connection needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionConfig {
    pub(crate) inbound: Bounds,
    pub(crate) outbound: Bounds,
    pub(crate) write_boundary: usize,
    pub(crate) allow_half_open: bool,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    pub(crate) drain_timeout: Duration,
}

/// How much a queue holds: it takes no more when either is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Bounds {
    pub(crate) fn admit(&self, messages: usize, bytes: usize) -> bool {
        messages < self.messages && bytes < self.bytes
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            max_connections: MAX_CONNECTIONS,
            max_pending: MAX_PENDING,
            allow_duplicates: false,
            connect_timeout: CONNECT_TIMEOUT,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            session: SessionConfig::default(),
        }
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        let bounds = Bounds {
            messages: QUEUE_MESSAGES,
            bytes: QUEUE_BYTES,
        };
        Self {
            inbound: bounds,
            outbound: bounds,
            write_boundary: WRITE_BOUNDARY,
            allow_half_open: false,
            idle_timeout: None,
            write_timeout: Some(WRITE_TIMEOUT),
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

impl Config {
    /// Sets what depends on other options: what wasn't given is as usual, and no more than the option
    /// that bounds it.
    pub(crate) fn settle(&mut self, max_pending: Option<usize>, write_boundary: Option<usize>) {
        let usual = MAX_PENDING.min(self.max_connections);
        self.max_pending = max_pending.unwrap_or(usual);
        let usual = WRITE_BOUNDARY.min(self.session.outbound.bytes);
        self.session.write_boundary = write_boundary.unwrap_or(usual);
    }

    pub(crate) fn validate(&self) -> Result<(), StartError> {
        let session = &self.session;
        for (option, value) in [
            ("max_connections", self.max_connections),
            ("max_pending", self.max_pending),
            ("max_inbound_messages", session.inbound.messages),
            ("max_inbound_bytes", session.inbound.bytes),
            ("max_outbound_messages", session.outbound.messages),
            ("max_outbound_bytes", session.outbound.bytes),
            ("write_boundary", session.write_boundary),
        ] {
            if value == 0 {
                return Err(StartError::invalid(option, value, "it must be at least 1"));
            }
        }
        for (option, value) in [
            ("connect_timeout", Some(self.connect_timeout)),
            ("handshake_timeout", Some(self.handshake_timeout)),
            ("idle_timeout", session.idle_timeout),
            ("write_timeout", session.write_timeout),
            ("drain_timeout", Some(session.drain_timeout)),
        ] {
            if let Some(value) = value.filter(Duration::is_zero) {
                let reason = "a deadline of zero would fail everything";
                return Err(StartError::invalid(option, value, reason));
            }
        }
        self.validate_together()
    }

    fn validate_together(&self) -> Result<(), StartError> {
        if self.max_pending > self.max_connections {
            let reason = format!(
                "pending connections count as connections, and max_connections is {}",
                self.max_connections
            );
            return Err(StartError::invalid("max_pending", self.max_pending, reason));
        }
        let session = &self.session;
        if session.write_boundary > session.outbound.bytes {
            let reason = format!(
                "a write starts at this many bytes, and max_outbound_bytes lets only {} gather",
                session.outbound.bytes
            );
            let value = session.write_boundary;
            return Err(StartError::invalid("write_boundary", value, reason));
        }
        Ok(())
    }
}
