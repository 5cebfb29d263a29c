//! The account of one node: what went in and out of it, and whether its own counters say the same.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use wattle::{Peer, Stats};

use crate::{failures::Failures, options::Options};

/// As many events that belong to no connection wait for the reader at most; see
/// `Inbound::into_events`.
const NOTICES: u64 = 1024;

/// What the ends of a node's connections add up to; they keep it.
#[derive(Debug)]
pub(crate) struct Totals {
    pub(crate) name: String,
    /// Whether its policy may drop messages from the middle of a queue.
    pub(crate) may_drop: bool,
    /// The largest frame that its codecs may give to the library.
    pub(crate) max_frame: usize,
    /// Messages that the library took, by any way of sending.
    pub(crate) fed: AtomicU64,
    pub(crate) decoded: AtomicU64,
    /// Messages that did not arrive, before others that did.
    pub(crate) holes: AtomicU64,
    /// What the node says that its policy dropped, in the end.
    pub(crate) dropped: OnceLock<u64>,
    /// Its events aren't read any more.
    pub(crate) unwatched: AtomicBool,
    closed: AtomicBool,
}

/// What a reader counted, if it read to the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) connected: u64,
    pub(crate) disconnected: u64,
    pub(crate) messages: u64,
    pub(crate) refused: u64,
    pub(crate) handshakes_failed: u64,
    pub(crate) undelivered: u64,
    pub(crate) dropped: u64,
    /// What `Disconnected` said.
    pub(crate) unsent: u64,
    pub(crate) unknown_dialled: Vec<Peer>,
}

/// Closed when nobody uses the node any more and its reader has ended.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) totals: Arc<Totals>,
    failures: Arc<Failures>,
    options: String,
    pub(crate) dialled: Mutex<Vec<Peer>>,
    /// Connects that failed in the handshake.
    pub(crate) handshakes_failed: AtomicU64,
    /// `shutdown` was called.
    pub(crate) ending: AtomicBool,
    /// Its counters after `shutdown` resolved and the last sink was dropped.
    pub(crate) stats: OnceLock<Stats>,
    /// What the reader counted, if it read to the end.
    pub(crate) seen: OnceLock<Seen>,
}

impl Totals {
    /// Whether no event of this node will be seen any more.
    pub(crate) fn is_silent(&self) -> bool {
        self.unwatched.load(SeqCst) || self.closed.load(SeqCst)
    }
}

impl Account {
    pub(crate) fn new(name: String, options: &Options, failures: Arc<Failures>) -> Self {
        let totals = Totals {
            name,
            may_drop: options.may_drop(),
            max_frame: options.max_frame_bytes.unwrap_or(usize::MAX),
            fed: AtomicU64::new(0),
            decoded: AtomicU64::new(0),
            holes: AtomicU64::new(0),
            dropped: OnceLock::new(),
            unwatched: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        };
        Self {
            totals: Arc::new(totals),
            failures,
            options: format!("{options:?}"),
            dialled: Mutex::default(),
            handshakes_failed: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            stats: OnceLock::new(),
            seen: OnceLock::new(),
        }
    }

    fn equal(&self, what: &str, counted: u64, told: u64) {
        self.failures
            .check(counted == told, || self.differ(what, counted, told));
    }

    fn at_most(&self, what: &str, counted: u64, told: u64) {
        self.failures
            .check(counted <= told, || self.differ(what, counted, told));
    }

    fn differ(&self, what: &str, counted: u64, told: u64) -> String {
        format!(
            "{}: {what}: counted {counted}, the node says {told}\n  {:?}\n  {:?}\n  {}",
            self.totals.name,
            self.stats.get(),
            self.seen.get(),
            self.options
        )
    }

    /// What holds for the counters of a node that was shut down, whoever watched.
    fn audit(&self, stats: &Stats) {
        let totals = &self.totals;
        self.equal("open connections", 0, stats.connections as u64);
        self.equal(
            "connected = disconnected",
            stats.connected,
            stats.disconnected,
        );
        self.equal(
            "messages decoded",
            totals.decoded.load(SeqCst),
            stats.messages_in,
        );
        let accounted = stats.messages_out + stats.undelivered + stats.dropped;
        self.equal("messages fed", totals.fed.load(SeqCst), accounted);
    }

    /// What holds for the events, when all were read.
    fn compare(&self, stats: &Stats, seen: &Seen) {
        self.equal("Connected", seen.connected, stats.connected);
        self.equal("Disconnected", seen.disconnected, stats.disconnected);
        self.equal("messages yielded", seen.messages, stats.messages_in);
        let unsent = seen.unsent + seen.undelivered;
        let refused = total_refused(stats);
        let failed = seen.handshakes_failed + self.handshakes_failed.load(SeqCst);
        self.at_most(
            "messages reported as undelivered",
            unsent,
            stats.undelivered,
        );
        self.equal("messages reported as dropped", seen.dropped, stats.dropped);
        self.at_most("refused", seen.refused, refused);
        self.at_most("failed handshakes", failed, stats.handshakes_failed);
        let notices = refused + stats.handshakes_failed + stats.undelivered;
        if notices < NOTICES {
            self.equal("refused", seen.refused, refused);
        }
        let unknown = &seen.unknown_dialled;
        self.failures.check(unknown.is_empty(), || {
            format!("{}: no Connected of {unknown:?}", self.totals.name)
        });
    }
}

fn total_refused(stats: &Stats) -> u64 {
    let refused = &stats.refused;
    refused.max_connections
        + refused.max_incoming
        + refused.max_pending
        + refused.max_per_ip
        + refused.max_pending_per_ip
        + refused.max_per_subnet
        + refused.max_pending_per_subnet
        + refused.accept_rate
        + refused.banned
        + refused.filtered
        + refused.declined
}

impl Drop for Account {
    fn drop(&mut self) {
        self.totals.closed.store(true, SeqCst);
        if let Some(stats) = self.stats.get() {
            let _ = self.totals.dropped.set(stats.dropped);
            self.audit(stats);
            if let Some(seen) = self.seen.get() {
                self.compare(stats, seen);
            }
        }
    }
}
