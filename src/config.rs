//! The options of a node as values, their defaults, and what makes no sense.

use std::time::Duration;

use crate::error::InvalidOption;

mod limits;

pub use limits::{AcceptRate, Limits};

/// Enough to hand over and to take turns rarely, little enough to stay in the cache.
const QUEUE_MESSAGES: usize = 1024;

/// A queue that outgrows the cache costs more than rare hand-overs save.
const QUEUE_BYTES: usize = 512 * 1024;

/// Twice what `tokio_util`'s length-delimited codec takes when it isn't told otherwise.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

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
    pub(crate) limits: Limits,
    pub(crate) allow_duplicates: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) memory_budget: Option<usize>,
    pub(crate) session: SessionConfig,
}

/// Options whose usual value depends on others; `None` if they weren't given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dependent {
    pub(crate) max_pending: Option<usize>,
    pub(crate) pending_for_dialing: Option<usize>,
    pub(crate) write_boundary: Option<usize>,
}

/// What a single connection needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionConfig {
    pub(crate) inbound: Bounds,
    pub(crate) outbound: Bounds,
    pub(crate) when_full: WhenFull,
    pub(crate) write_boundary: usize,
    pub(crate) allow_half_open: bool,
    pub(crate) max_frame_bytes: Option<usize>,
    pub(crate) frame_timeout: Option<Duration>,
    /// Bytes per second.
    pub(crate) min_frame_rate: Option<u32>,
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

/// What becomes of a message for a peer whose outbound queue is full: chosen for a node with
/// [`Builder::when_full`](crate::Builder::when_full), and for a sink with
/// [`Outbound::when_full`](crate::Outbound::when_full) or
/// [`PeerSink::when_full`](crate::PeerSink::when_full).
///
/// Every message that is dropped is counted in [`Stats::dropped`](crate::Stats::dropped) and
/// [`PeerStats::dropped`](crate::PeerStats::dropped), and reported as
/// [`Event::Dropped`](crate::Event::Dropped).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// The sender waits for room; one that can't wait ([`Node::try_send_to`](crate::Node::try_send_to),
    /// [`Node::broadcast`](crate::Node::broadcast)) is told that the queue is full.
    #[default]
    Wait,
    /// The sender doesn't wait: [`Node::send_to`](crate::Node::send_to) gives the message back with
    /// [`NotSent::Full`](crate::NotSent::Full). A sink can't give it back; there it is dropped, as
    /// with `DropNewest`.
    Reject,
    /// The oldest messages in the queue are dropped to make room: for what is soon out of date, such as
    /// positions or prices. Those that the connection is about to write stay.
    DropOldest,
    /// The message itself is dropped: for what may be lost, such as samples.
    DropNewest,
    /// The connection is ended at once, with [`Reason::QueueFull`](crate::Reason::QueueFull): for
    /// protocols where a peer that missed something has to start over anyway. What was in the queue is
    /// counted in [`Disconnect::undelivered`](crate::Disconnect::undelivered). So is the message itself,
    /// unless it comes back with [`NotSent::NotConnected`](crate::NotSent::NotConnected).
    Disconnect,
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
            limits: Limits::default(),
            allow_duplicates: false,
            connect_timeout: CONNECT_TIMEOUT,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            memory_budget: None,
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
            when_full: WhenFull::Wait,
            write_boundary: WRITE_BOUNDARY,
            allow_half_open: false,
            max_frame_bytes: Some(MAX_FRAME_BYTES),
            frame_timeout: None,
            min_frame_rate: None,
            idle_timeout: None,
            write_timeout: Some(WRITE_TIMEOUT),
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

impl Config {
    /// Sets what depends on other options: what wasn't given is as usual, and no more than the option
    /// that bounds it.
    pub(crate) fn settle(&mut self, given: Dependent) {
        self.limits
            .settle(given.max_pending, given.pending_for_dialing);
        let usual = WRITE_BOUNDARY.min(self.session.outbound.bytes);
        self.session.write_boundary = given.write_boundary.unwrap_or(usual);
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidOption> {
        self.limits.validate()?;
        let session = &self.session;
        at_least_one([
            ("max_inbound_messages", Some(session.inbound.messages)),
            ("max_inbound_bytes", Some(session.inbound.bytes)),
            ("max_outbound_messages", Some(session.outbound.messages)),
            ("max_outbound_bytes", Some(session.outbound.bytes)),
            ("memory_budget", self.memory_budget),
            ("write_boundary", Some(session.write_boundary)),
            ("max_frame_bytes", session.max_frame_bytes),
            (
                "min_frame_rate",
                session.min_frame_rate.map(|rate| rate as usize),
            ),
        ])?;
        not_zero([
            ("connect_timeout", Some(self.connect_timeout)),
            ("handshake_timeout", Some(self.handshake_timeout)),
            ("frame_timeout", session.frame_timeout),
            ("idle_timeout", session.idle_timeout),
            ("write_timeout", session.write_timeout),
            ("drain_timeout", Some(session.drain_timeout)),
        ])?;
        session.validate_together()
    }
}

impl SessionConfig {
    fn validate_together(&self) -> Result<(), InvalidOption> {
        if self.write_boundary > self.outbound.bytes {
            let reason = format!(
                "a write starts at this many bytes, and max_outbound_bytes lets only {} gather",
                self.outbound.bytes
            );
            let value = self.write_boundary;
            return Err(InvalidOption::new("write_boundary", value, reason));
        }
        if let (Some(rate), None) = (self.min_frame_rate, self.frame_timeout) {
            let reason = "it lengthens the frame_timeout, which isn't set";
            return Err(InvalidOption::new("min_frame_rate", rate, reason));
        }
        Ok(())
    }
}

fn at_least_one<const N: usize>(
    options: [(&'static str, Option<usize>); N],
) -> Result<(), InvalidOption> {
    match options.into_iter().find(|(_, value)| *value == Some(0)) {
        Some((option, _)) => Err(InvalidOption::new(option, 0, "it must be at least 1")),
        None => Ok(()),
    }
}

fn not_zero<const N: usize>(
    options: [(&'static str, Option<Duration>); N],
) -> Result<(), InvalidOption> {
    for (option, value) in options {
        if let Some(value) = value.filter(Duration::is_zero) {
            let reason = "a time of zero would fail everything";
            return Err(InvalidOption::new(option, value, reason));
        }
    }
    Ok(())
}
