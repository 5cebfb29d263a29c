//! The connection task's side of a queue.

use std::{collections::VecDeque, mem, sync::atomic::Ordering, task::Waker};

use super::{Done, Order, Phase, Queue, State};
use crate::{budget::Share, disconnect::Disconnect, waiters::Taken};

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
            3 => Some(Order::Overflow),
            4 => Some(Order::Abort),
            _ => None,
        }
    }

    /// Swaps the queue with the task's empty batch. If there was anything, says how many messages
    /// were dropped in front of it since the last time.
    pub(crate) fn take(&self, batch: &mut VecDeque<Out>, done: Done) -> Option<u64> {
        debug_assert!(batch.is_empty());
        let mut state = self.state.lock();
        let progress = state.publish(done);
        if state.messages.is_empty() {
            drop(state);
            progress.wake();
            return None;
        }
        mem::swap(&mut state.messages, batch);
        state.emptied = state.emptied.wrapping_add(1);
        state.release_taken();
        state.taken = mem::take(&mut state.bytes);
        let skipped = state.drops.as_mut().map_or(0, |drops| drops.tell());
        let room = state.room.take();
        drop(state);
        room.wake();
        progress.wake();
        Some(skipped)
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
            state.release_taken();
            spare = mem::take(&mut state.messages);
        }
        drop(state);
        progress.wake();
        if empty {
            self.common.spares.give(&mut spare);
            self.common.spares.give(batch);
        }
        empty
    }

    /// Tells what is done while the task waits in the middle of a batch, or ends.
    pub(crate) fn publish(&self, done: Done) {
        let progress = self.state.lock().publish(done);
        progress.wake();
    }

    /// Whether a message was accepted and is neither written nor dropped.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.state.lock().unwritten() > 0
    }

    /// How many messages were dropped since the last time that this was asked.
    pub(crate) fn take_dropped(&self) -> u64 {
        if !self.unreported.load(Ordering::Acquire) {
            return 0;
        }
        let mut state = self.state.lock();
        self.unreported.store(false, Ordering::Release);
        let drops = state.drops();
        let all = drops.all();
        all - mem::replace(&mut drops.reported, all)
    }

    /// Takes no more messages; what is in the queue stays.
    pub(crate) fn close(&self) {
        let room = self.close_in(&mut self.state.lock());
        room.wake();
    }

    /// The same under the lock; who waits for room is to be woken without it.
    pub(super) fn close_in(&self, state: &mut State<Out>) -> Taken {
        if !state.is_closed() {
            state.phase = Phase::Closing;
            self.closed.store(true, Ordering::Release);
        }
        state.room.take()
    }

    /// Closes the queue, and gives what is in it and the number of messages that were never written.
    pub(crate) fn abandon(&self) -> (VecDeque<Out>, u64) {
        self.close();
        let mut state = self.state.lock();
        state.task = None;
        state.share = Share::default();
        (mem::take(&mut state.messages), state.unwritten())
    }

    /// Records how the connection ended, and wakes everyone.
    pub(crate) fn end(&self, disconnect: Disconnect) {
        let disconnect = Box::new(disconnect);
        let mut state = self.state.lock();
        state.phase = Phase::Ended(disconnect);
        let (room, progress) = (state.room.take(), state.progress.take());
        drop(state);
        room.wake();
        progress.wake();
    }
}
