//! What happened so far, in numbers: [`Stats`] of a node, [`PeerStats`] of a connection.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::{
    disconnect::{Disconnect, Reason, Timeout},
    error::{HandshakeError, Limit, Refusal},
};

/// A snapshot of a node's counters, from its start on, ended connections included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How long the node exists.
    pub uptime: Duration,
    /// Connections that are open.
    pub connections: usize,
    /// Connections that have been opened, by us or by a remote.
    pub connected: u64,
    /// Connections that have ended.
    pub disconnected: u64,
    /// The same by reason.
    pub ended: Ended,
    /// Messages that were decoded.
    pub messages_in: u64,
    /// Messages that were handed to the operating system.
    pub messages_out: u64,
    /// Bytes that were read, handshakes not included.
    pub bytes_in: u64,
    /// Bytes that were written, handshakes not included.
    pub bytes_out: u64,
    /// Messages that were accepted for a peer and not known to be handed to the operating system
    /// whole when the peer was gone.
    pub undelivered: u64,
    /// Messages that were dropped because their peer's queue was full; see
    /// [`WhenFull`](crate::WhenFull).
    pub dropped: u64,
    /// Incoming connections that were refused.
    pub refused: Refused,
    /// Handshakes, ours and theirs, that did not end in a session; those that took too long
    /// included.
    pub handshakes_failed: u64,
    /// Deadlines that passed.
    pub timeouts: Timeouts,
}

/// Connections that have ended, by reason; see [`Reason`], which has a variant for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// The remote closed its side between two frames.
    pub end_of_stream: u64,
    /// The remote closed its side in the middle of a frame.
    pub end_inside_frame: u64,
    /// The remote reset the connection.
    pub reset: u64,
    /// Any other error of the stream.
    pub io: u64,
    /// What came could not be decoded.
    pub decode: u64,
    /// A message could not be encoded.
    pub encode: u64,
    /// A frame was too large.
    pub frame_too_large: u64,
    /// The outbound queue was full.
    pub queue_full: u64,
    /// A deadline passed; which, [`Timeouts`] says.
    pub timed_out: u64,
    /// The program disconnected.
    pub disconnected: u64,
    /// The program aborted, or the runtime dropped the connection.
    pub aborted: u64,
    /// The node was shut down.
    pub shutdown: u64,
    /// The codec or the stream panicked.
    pub panicked: u64,
}

/// Incoming connections that were refused, by reason; see [`Refusal`] and [`Limit`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The limit of connections in all.
    pub max_connections: u64,
    /// The limit of incoming connections.
    pub max_incoming: u64,
    /// The limit of pending connections.
    pub max_pending: u64,
    /// The limit of connections from one address.
    pub max_per_ip: u64,
    /// The limit of pending connections from one address.
    pub max_pending_per_ip: u64,
    /// The limit of connections from one subnet.
    pub max_per_subnet: u64,
    /// The limit of pending connections from one subnet.
    pub max_pending_per_subnet: u64,
    /// Too many in a short time.
    pub accept_rate: u64,
    /// Their address is banned.
    pub banned: u64,
    /// The filter said no, or panicked.
    pub filtered: u64,
    /// The program refused them.
    pub declined: u64,
    /// The program [ignored](crate::Incoming::ignore) them.
    pub ignored: u64,
}

/// Deadlines that passed, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Dialling took too long.
    pub connect: u64,
    /// A handshake took too long.
    pub handshake: u64,
    /// A remote was silent for too long.
    pub idle: u64,
    /// A frame took too long.
    pub frame: u64,
    /// A remote did not read for too long.
    pub write: u64,
    /// A connection that was being closed could not be drained in time.
    pub drain: u64,
}

/// A snapshot of one connection's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStats {
    /// Since when the connection is open.
    pub connected_at: Instant,
    /// Messages that were decoded.
    pub messages_in: u64,
    /// Messages that were handed to the operating system.
    pub messages_out: u64,
    /// Bytes that were read, the handshake not included.
    pub bytes_in: u64,
    /// Bytes that were written, the handshake not included.
    pub bytes_out: u64,
    /// Messages that were accepted and are not handed to the operating system yet.
    pub queued: u64,
    /// Messages that were dropped because the queue was full; see [`WhenFull`](crate::WhenFull).
    pub dropped: u64,
}

/// The counters of one connection. Only its task writes them, once per batch.
#[derive(Debug)]
pub(crate) struct PeerCounters {
    connected_at: Instant,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl PeerCounters {
    pub(crate) fn new() -> Self {
        Self {
            connected_at: Instant::now(),
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }
    }

    pub(crate) fn record_in(&self, messages: u64, bytes: u64) {
        self.messages_in.store(messages, Relaxed);
        self.bytes_in.store(bytes, Relaxed);
    }

    pub(crate) fn record_out(&self, messages: u64, bytes: u64) {
        self.messages_out.store(messages, Relaxed);
        self.bytes_out.store(bytes, Relaxed);
    }

    pub(crate) fn snapshot(&self, queued: u64, dropped: u64) -> PeerStats {
        PeerStats {
            connected_at: self.connected_at,
            messages_in: self.messages_in.load(Relaxed),
            messages_out: self.messages_out.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            queued,
            dropped,
        }
    }
}

impl Stats {
    /// Adds the traffic of a connection, open or ended.
    pub(crate) fn add_traffic(&mut self, peer: &PeerStats) {
        self.messages_in += peer.messages_in;
        self.messages_out += peer.messages_out;
        self.bytes_in += peer.bytes_in;
        self.bytes_out += peer.bytes_out;
        self.dropped += peer.dropped;
    }

    pub(crate) fn add_ending(&mut self, disconnect: &Disconnect) {
        self.disconnected += 1;
        self.undelivered += disconnect.undelivered;
        self.timeouts.drain += u64::from(disconnect.drain_timed_out);
        *self.ended.by(&disconnect.reason) += 1;
        match disconnect.reason {
            Reason::TimedOut(Timeout::Idle) => self.timeouts.idle += 1,
            Reason::TimedOut(Timeout::Frame) => self.timeouts.frame += 1,
            Reason::TimedOut(Timeout::Write) => self.timeouts.write += 1,
            _ => {}
        }
    }

    pub(crate) fn add_refusal(&mut self, refusal: &Refusal) {
        let refused = &mut self.refused;
        *match refusal {
            Refusal::Limit(limit) => match limit {
                Limit::Connections(_) => &mut refused.max_connections,
                Limit::Incoming(_) => &mut refused.max_incoming,
                Limit::Pending(_) => &mut refused.max_pending,
                Limit::PerIp(_) => &mut refused.max_per_ip,
                Limit::PendingPerIp(_) => &mut refused.max_pending_per_ip,
                Limit::PerSubnet(_) => &mut refused.max_per_subnet,
                Limit::PendingPerSubnet(_) => &mut refused.max_pending_per_subnet,
                Limit::AcceptRate(_) => &mut refused.accept_rate,
            },
            Refusal::Banned => &mut refused.banned,
            Refusal::Filtered | Refusal::FilterPanicked(_) => &mut refused.filtered,
            Refusal::Declined => &mut refused.declined,
        } += 1;
    }

    pub(crate) fn add_failed_handshake(&mut self, error: &HandshakeError) {
        self.handshakes_failed += 1;
        if let HandshakeError::TimedOut(_) = error {
            self.timeouts.handshake += 1;
        }
    }
}

impl Ended {
    fn by(&mut self, reason: &Reason) -> &mut u64 {
        match reason {
            Reason::EndOfStream => &mut self.end_of_stream,
            Reason::EndInsideFrame { .. } => &mut self.end_inside_frame,
            Reason::Reset(_) => &mut self.reset,
            Reason::Io(_) => &mut self.io,
            Reason::Decode(_) => &mut self.decode,
            Reason::Encode(_) => &mut self.encode,
            Reason::FrameTooLarge { .. } => &mut self.frame_too_large,
            Reason::QueueFull => &mut self.queue_full,
            Reason::TimedOut(_) => &mut self.timed_out,
            Reason::Disconnected => &mut self.disconnected,
            Reason::Aborted => &mut self.aborted,
            Reason::Shutdown => &mut self.shutdown,
            Reason::Panicked(_) => &mut self.panicked,
        }
    }
}
