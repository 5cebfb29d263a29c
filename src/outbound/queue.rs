//! One peer's outbound queue: between the senders and the connection task.
//!
//! Senders push under a short lock. The task swaps the whole queue out, encodes it, and comes back
//! for more; what it has published as `written` is what flushes wait for.
//!
//! # Invariants
//!
//! 1. `written <= fed`. `fed` counts what was taken into the queue, `written` what was handed to the
//!    operating system; what is between is in the queue, in the task's batch, or in its write
//!    buffer.
//! 2. A sender that finds no room registers under the same lock, and `take` empties the queue and
//!    wakes every registered sender; so does closing.
//! 3. `awaiting` is set only by `park`, under the same lock that found the queue empty; the next
//!    push clears it and wakes the task. A task that isn't awaiting looks at the queue again before
//!    it parks.
//! 4. An order is stored before the task is woken, and the task's waker is registered before it
//!    looks for orders.
//! 5. The phase goes from open to closing to ended, never back. Nothing enters a queue that isn't
//!    open.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use super::weight;
use crate::{
    config::Bounds,
    disconnect::Disconnect,
    peer::Peer,
    spares::Spares,
    stats::{PeerCounters, PeerStats},
    sync::{AtomicBool, AtomicU8, Mutex},
    waiters::{WaiterId, Waiters, wake},
};

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
    state: Mutex<State<Out>>,
    spares: Arc<Spares<Out>>,
}

struct State<Out> {
    messages: VecDeque<Out>,
    /// What they weigh, in bytes.
    bytes: usize,
    /// What a message weighs whose size only shows when it is encoded: as much as those in the task's
    /// last batch on average, and at first a share of the bound.
    weight: usize,
    fed: u64,
    written: u64,
    phase: Phase,
    task: Option<Waker>,
    awaiting: bool,
    /// Senders that wait for room.
    room: Waiters,
    /// Those that wait for `written` to grow, or for the end.
    progress: Waiters,
}

enum Phase {
    Open,
    Closing,
    Ended(Disconnect),
}

/// What the connection task is told to do. A later order overrides an earlier one if it is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Write what is queued, then close.
    Disconnect = 1,
    /// The same, because the node ends.
    ShutDown = 2,
    /// End at once.
    Abort = 3,
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

/// What the task has done since it took the last batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// How many messages, of all that were ever fed, are written.
    pub(crate) written: u64,
    /// Mean encoded size of the last messages, if there were any.
    pub(crate) weight: Option<usize>,
}

impl<Out> Queue<Out> {
    pub(crate) fn new(peer: Peer, bounds: Bounds, spares: Arc<Spares<Out>>) -> Self {
        Self {
            peer,
            bounds,
            counters: PeerCounters::new(),
            order: AtomicU8::new(0),
            closed: AtomicBool::new(false),
            state: Mutex::new(State {
                messages: VecDeque::new(),
                bytes: 0,
                weight: bounds.bytes.div_ceil(FIRST),
                fed: 0,
                written: 0,
                phase: Phase::Open,
                task: None,
                awaiting: false,
                room: Waiters::default(),
                progress: Waiters::default(),
            }),
            spares,
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
        let queued = state.fed - state.written;
        drop(state);
        self.counters.snapshot(queued, 0)
    }
}

/// What senders push.
impl<Out: 'static> Queue<Out> {
    /// Queues a message if there is room.
    pub(crate) fn push(&self, message: Out) -> Pushed<Out> {
        let mut state = self.state.lock();
        if state.is_closed() {
            Pushed::Closed(message)
        } else if !self.has_room(&state) {
            Pushed::Full(message)
        } else {
            let (seq, task) = self.enter(&mut state, message);
            drop(state);
            wake(task);
            Pushed::Queued(seq)
        }
    }

    /// Queues a message of a sink that was ready, and says whether there is room for another. Other
    /// senders may have taken the room since, so a queue can outgrow its bound by one message per
    /// sink.
    pub(crate) fn push_ready(&self, message: Out) -> Result<(u64, bool), Out> {
        let mut state = self.state.lock();
        if state.is_closed() {
            return Err(message);
        }
        let (seq, task) = self.enter(&mut state, message);
        let room = self.has_room(&state);
        drop(state);
        wake(task);
        Ok((seq, room))
    }

    /// Queues the message as soon as there is room; `Err` when the queue takes no more. The message
    /// stays where it is unless it was queued.
    pub(crate) fn poll_push(
        &self,
        cx: &Context<'_>,
        id: WaiterId,
        message: &mut Option<Out>,
    ) -> Poll<Result<u64, ()>> {
        loop {
            let Some(taken) = message.take() else {
                return Poll::Ready(Err(()));
            };
            match self.push(taken) {
                Pushed::Queued(seq) => return Poll::Ready(Ok(seq)),
                Pushed::Full(back) => *message = Some(back),
                Pushed::Closed(back) => {
                    *message = Some(back);
                    return Poll::Ready(Err(()));
                }
            }
            if self.poll_room(cx, id).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Takes a message in, and gives the task to be woken if it waits for one.
    fn enter(&self, state: &mut State<Out>, message: Out) -> (u64, Option<Waker>) {
        if state.messages.capacity() == 0 {
            state.messages = self.spares.take();
        }
        let bytes = weight::known(&message).unwrap_or(state.weight);
        state.bytes = state.bytes.saturating_add(bytes);
        state.messages.push_back(message);
        state.fed += 1;
        let waiting = mem::take(&mut state.awaiting);
        let task = if waiting { state.task.clone() } else { None };
        (state.fed, task)
    }
}

/// What senders wait for, and what handles tell the task.
impl<Out> Queue<Out> {
    /// Whether the queue takes no more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Waits for room; `Err` when the queue takes no more.
    pub(crate) fn poll_room(&self, cx: &Context<'_>, id: WaiterId) -> Poll<Result<(), ()>> {
        let mut state = self.state.lock();
        if state.is_closed() {
            Poll::Ready(Err(()))
        } else if self.has_room(&state) {
            Poll::Ready(Ok(()))
        } else {
            state.room.register(id, cx);
            Poll::Pending
        }
    }

    /// Waits until the first `seq` messages are written; `Err` when the connection ended before.
    pub(crate) fn poll_written(
        &self,
        cx: &Context<'_>,
        id: WaiterId,
        seq: u64,
    ) -> Poll<Result<(), ()>> {
        let mut state = self.state.lock();
        if state.written >= seq {
            Poll::Ready(Ok(()))
        } else if let Phase::Ended(_) = state.phase {
            Poll::Ready(Err(()))
        } else {
            state.progress.register(id, cx);
            Poll::Pending
        }
    }

    /// Whether nothing more can happen to the first `seq` messages.
    pub(crate) fn is_settled(&self, seq: u64) -> bool {
        let state = self.state.lock();
        state.written >= seq || matches!(state.phase, Phase::Ended(_))
    }

    /// Waits until the connection has ended.
    pub(crate) fn poll_ended(&self, cx: &Context<'_>, id: WaiterId) -> Poll<Disconnect> {
        let mut state = self.state.lock();
        if let Phase::Ended(disconnect) = &state.phase {
            return Poll::Ready(disconnect.clone());
        }
        state.progress.register(id, cx);
        Poll::Pending
    }

    /// Forgets a waiter that is dropped.
    pub(crate) fn forget(&self, id: WaiterId) {
        let mut state = self.state.lock();
        state.room.remove(id);
        state.progress.remove(id);
    }

    /// Closes the queue and tells the task what to do.
    pub(crate) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        self.close();
        let task = self.state.lock().task.clone();
        wake(task);
    }

    fn has_room(&self, state: &State<Out>) -> bool {
        self.bounds.admit(state.messages.len(), state.bytes)
    }
}

/// The connection task's side.
impl<Out> Queue<Out> {
    /// Registers the task's waker. To be called before anything else in every poll.
    pub(crate) fn register(&self, waker: &Waker) {
        self.state.lock().task = Some(waker.clone());
    }

    /// What the task is told to do, if anything.
    pub(crate) fn ordered(&self) -> Option<Order> {
        match self.order.load(Ordering::Acquire) {
            1 => Some(Order::Disconnect),
            2 => Some(Order::ShutDown),
            3 => Some(Order::Abort),
            _ => None,
        }
    }

    /// Swaps the queue with the task's empty batch, and says whether there was anything.
    pub(crate) fn take(&self, batch: &mut VecDeque<Out>, done: Done) -> bool {
        debug_assert!(batch.is_empty());
        let mut state = self.state.lock();
        let progress = state.publish(done);
        mem::swap(&mut state.messages, batch);
        state.bytes = 0;
        let room = if batch.is_empty() {
            Waiters::default()
        } else {
            state.room.take()
        };
        drop(state);
        room.wake();
        progress.wake();
        !batch.is_empty()
    }

    /// Makes the next push wake the task, unless there is something already. The memory of the queue
    /// and of the task's batch is given back.
    pub(crate) fn park(&self, batch: &mut VecDeque<Out>, done: Done) -> bool {
        let mut state = self.state.lock();
        let progress = state.publish(done);
        let empty = state.messages.is_empty();
        let mut spare = VecDeque::new();
        if empty {
            state.awaiting = true;
            spare = mem::take(&mut state.messages);
        }
        drop(state);
        progress.wake();
        if empty {
            self.spares.give(spare);
            self.spares.give(mem::take(batch));
        }
        empty
    }

    /// Tells what is done while the task waits in the middle of a batch, or ends.
    pub(crate) fn publish(&self, done: Done) {
        let progress = self.state.lock().publish(done);
        progress.wake();
    }

    /// Takes no more messages; what is in the queue stays.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        if let Phase::Open = state.phase {
            state.phase = Phase::Closing;
            self.closed.store(true, Ordering::Release);
        }
        let room = state.room.take();
        drop(state);
        room.wake();
    }

    /// Closes the queue, and gives what is in it and the number of messages that were never written.
    pub(crate) fn abandon(&self) -> (VecDeque<Out>, u64) {
        self.close();
        let mut state = self.state.lock();
        state.task = None;
        (mem::take(&mut state.messages), state.fed - state.written)
    }

    /// Records how the connection ended, and wakes everyone.
    pub(crate) fn end(&self, disconnect: Disconnect) {
        let mut state = self.state.lock();
        state.phase = Phase::Ended(disconnect);
        let (room, progress) = (state.room.take(), state.progress.take());
        drop(state);
        room.wake();
        progress.wake();
    }
}

impl<Out> State<Out> {
    fn is_closed(&self) -> bool {
        !matches!(self.phase, Phase::Open)
    }

    fn publish(&mut self, done: Done) -> Waiters {
        if let Some(weight) = done.weight {
            self.weight = weight;
        }
        if done.written == self.written {
            return Waiters::default();
        }
        self.written = done.written;
        self.progress.take()
    }
}
