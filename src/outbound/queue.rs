//! One peer's outbound queue: between the senders and the connection task.
//!
//! Senders push under a short lock. The task swaps the whole queue out, encodes it, and comes back
//! for more; what it has published as `written` is what flushes wait for.
//!
//! # Invariants
//!
//! 1. `written <= fed`. `fed` counts what was taken into the queue, `written` what was handed to the
//!    operating system or dropped on the way there; what is between is in the queue, in the task's
//!    batch, or in its write buffer, or is the one that overflowed the queue, which ended there. Only what is in the queue can be dropped: it stands behind all
//!    that the task has taken, and the task counts it with the next batch that it takes.
//! 2. A sender that finds no room registers under the same lock, and `take` empties the queue and
//!    wakes every registered sender; so does closing.
//! 3. `awaiting` is set only by `park`, under the same lock that found the queue empty; the next
//!    push clears it and wakes the task. A task that isn't awaiting looks at the queue again before
//!    it parks.
//! 4. An order is stored before the task is woken, and the task's waker is registered before it
//!    looks for orders.
//! 5. A drop is counted under the lock while the queue is open, and the task is woken to report it; what
//!    it hasn't reported is left to whoever ends the queue, when no more can come.
//! 6. The phase goes from open to closing to ended, never back. Nothing enters a queue that isn't
//!    open.

use std::{collections::VecDeque, mem, sync::Arc, task::Waker};

use super::common::Common;
use crate::{
    budget::Share,
    config::Bounds,
    disconnect::Disconnect,
    peer::Peer,
    registry::Link,
    stats::{PeerCounters, PeerStats},
    sync::{AtomicBool, AtomicU8, Mutex},
    waiters::{Taken, Waiters},
};

mod senders;
mod task;

/// How many messages of unknown size are let in before the first is encoded: enough to begin with,
/// and few if they turn out to be large.
const FIRST: usize = 16;

#[derive(Debug)]
pub(crate) struct Queue<Out> {
    peer: Peer,
    bounds: Bounds,
    counters: PeerCounters,
    order: AtomicU8,
    /// Whether the phase isn't open any more, for a look without the lock.
    closed: AtomicBool,
    /// Whether messages were dropped that nobody has reported yet.
    unreported: AtomicBool,
    state: Mutex<State<Out>>,
    common: Arc<Common<Out>>,
}

struct State<Out> {
    messages: VecDeque<Out>,
    /// What they weigh, in bytes.
    bytes: usize,
    /// What a message weighs whose size only shows when it is encoded: as much as those in the task's
    /// last batch on average, and at first a share of the bound.
    weight: usize,
    /// What the messages weigh that the task is encoding.
    taken: usize,
    /// The part of the node's memory budget that all of them hold.
    share: Share,
    fed: u64,
    written: u64,
    /// Boxed, as most queues never drop anything.
    drops: Option<Box<Drops>>,
    /// How often the queue has been emptied.
    emptied: u32,
    phase: Phase,
    task: Option<Waker>,
    awaiting: bool,
    /// Senders that wait for room.
    room: Waiters,
    /// Those that wait for `written` to grow, or for the end.
    progress: Waiters,
}

/// Messages that were dropped because there was no room.
#[derive(Debug, Default)]
struct Drops {
    /// Those that never came in.
    newest: u64,
    /// Those that were taken out of the queue, how many of them the task knows of, and how many are
    /// counted in `written`.
    oldest: u64,
    told: u64,
    written: u64,
    /// How many of both are reported.
    reported: u64,
}

enum Phase {
    Open,
    Closing,
    Ended(Box<Disconnect>),
}

/// What the connection task is told to do. A later order overrides an earlier one if it is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Write what is queued, then close.
    Disconnect = 1,
    /// The same, because the node ends.
    ShutDown = 2,
    /// End at once, because the queue was full.
    Overflow = 3,
    /// End at once.
    Abort = 4,
}

/// What became of a message that was pushed.
pub(crate) enum Pushed<Out> {
    /// It is in the queue; it is written when `written` reaches this.
    Queued(u64),
    /// The queue is full; here it is again.
    Full(Out),
    /// The queue takes no more; here it is again.
    Closed(Out),
}

/// What became of a message that was offered under a policy.
pub(crate) enum Offered<Out> {
    /// It is in the queue, with this number.
    Queued(u64),
    /// The queue is full, and the message is to be dropped for that; it is counted, as dropped or as
    /// one that was never written.
    Dropped(Out),
    /// The queue is full; here it is again.
    Full(Out),
    /// The queue takes no more; here it is again.
    Closed(Out),
}

impl<Out> From<Pushed<Out>> for Offered<Out> {
    fn from(pushed: Pushed<Out>) -> Self {
        match pushed {
            Pushed::Queued(seq) => Self::Queued(seq),
            Pushed::Full(message) => Self::Full(message),
            Pushed::Closed(message) => Self::Closed(message),
        }
    }
}

/// What the task has done since it took the last batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// How many messages, of all that were ever fed, are written or were dropped.
    pub(crate) written: u64,
    /// How many of them were dropped.
    pub(crate) skipped: u64,
    /// Mean encoded size of the last messages, if there were any.
    pub(crate) weight: Option<usize>,
}

impl<Out> Queue<Out> {
    pub(crate) fn new(peer: Peer, bounds: Bounds, common: Arc<Common<Out>>) -> Self {
        Self {
            peer,
            bounds,
            counters: PeerCounters::new(),
            order: AtomicU8::new(0),
            closed: AtomicBool::new(false),
            unreported: AtomicBool::new(false),
            state: Mutex::new(State {
                messages: VecDeque::new(),
                bytes: 0,
                weight: bounds.bytes.div_ceil(FIRST),
                taken: 0,
                share: common.share(),
                fed: 0,
                written: 0,
                drops: None,
                emptied: 0,
                phase: Phase::Open,
                task: None,
                awaiting: false,
                room: Waiters::default(),
                progress: Waiters::default(),
            }),
            common,
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    pub(crate) fn counters(&self) -> &PeerCounters {
        &self.counters
    }

    pub(crate) fn stats(&self) -> PeerStats {
        let state = self.state.lock();
        let queued = state.unwritten();
        let drops = state.drops.as_ref();
        let dropped = drops.map_or(0, |drops| drops.all());
        drop(state);
        self.counters.snapshot(queued, dropped)
    }
}

impl<Out> Queue<Out> {
    /// An empty queue takes one message in any case.
    fn has_room(&self, state: &State<Out>) -> bool {
        self.bounds.admit(state.messages.len(), state.bytes)
            && (state.messages.is_empty() || state.share.has_room())
    }
}

impl Drops {
    fn all(&self) -> u64 {
        self.newest + self.oldest
    }

    /// How many messages were dropped in front of those that the task takes now.
    fn tell(&mut self) -> u64 {
        self.oldest - mem::replace(&mut self.told, self.oldest)
    }
}

impl<Out> State<Out> {
    fn is_closed(&self) -> bool {
        !matches!(self.phase, Phase::Open)
    }

    /// Messages that are neither written nor dropped.
    fn unwritten(&self) -> u64 {
        let drops = self.drops.as_ref();
        let dropped = drops.map_or(0, |drops| drops.oldest - drops.written);
        (self.fed - self.written) - dropped
    }

    fn drops(&mut self) -> &mut Drops {
        self.drops.get_or_insert_default()
    }

    /// The task that waits for a message, which it now has.
    #[cold]
    fn awaited(&mut self) -> Option<Waker> {
        self.awaiting = false;
        self.task.clone()
    }

    /// Takes the oldest message out for good.
    fn drop_oldest(&mut self) -> Option<Out> {
        let oldest = self.messages.pop_front()?;
        self.drops().oldest += 1;
        if self.messages.is_empty() {
            // Whatever was wrong in the sum of the weights ends here.
            self.emptied = self.emptied.wrapping_add(1);
            self.lighten(self.bytes);
        }
        Some(oldest)
    }

    /// The queue weighs less.
    fn lighten(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.share.give_back(bytes);
    }

    /// The task is done with what it took.
    fn release_taken(&mut self) {
        let taken = mem::take(&mut self.taken);
        self.share.give_back(taken);
    }

    fn publish(&mut self, done: Done) -> Taken {
        if let Some(weight) = done.weight {
            self.weight = weight;
        }
        if done.written == self.written {
            return Taken::default();
        }
        self.written = done.written;
        if let Some(drops) = &mut self.drops {
            drops.written = done.skipped;
        }
        self.progress.take()
    }
}

impl<Out> Link for Arc<Queue<Out>> {
    fn peer(&self) -> Peer {
        self.peer
    }
}
