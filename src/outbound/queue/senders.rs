//! The senders' side of a queue.

use std::{
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
};

use super::{Offered, Order, Phase, Pushed, Queue, State};
use crate::{
    config::WhenFull,
    disconnect::{Disconnect, contain},
    waiters::{WaiterId, wake},
};

/// What senders push.
impl<Out: 'static> Queue<Out> {
    /// Queues a message if there is room.
    pub(crate) fn push(&self, message: Out) -> Pushed<Out> {
        let weight = self.common.weigh(&message);
        self.push_weighed(message, weight)
    }

    fn push_weighed(&self, message: Out, weight: Option<usize>) -> Pushed<Out> {
        let mut state = self.state.lock();
        if state.is_closed() {
            Pushed::Closed(message)
        } else if !self.has_room(&state) {
            Pushed::Full(message)
        } else {
            let (seq, task) = self.enter(&mut state, message, weight);
            drop(state);
            wake(task);
            Pushed::Queued(seq)
        }
    }

    /// Queues a message of a sink that was ready, and says whether there is room for another. Other
    /// senders may have taken the room since, so a queue can outgrow its bound by one message per
    /// sink.
    pub(crate) fn push_ready(&self, message: Out) -> Result<(u64, bool), Out> {
        let weight = self.common.weigh(&message);
        let mut state = self.state.lock();
        if state.is_closed() {
            return Err(message);
        }
        let (seq, task) = self.enter(&mut state, message, weight);
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

    /// Queues a message, or does what the policy says when there is no room.
    pub(crate) fn offer(&self, message: Out, when_full: WhenFull) -> Offered<Out> {
        let weight = self.common.weigh(&message);
        let message = match self.push_weighed(message, weight) {
            Pushed::Full(message) => message,
            pushed => return pushed.into(),
        };
        match when_full {
            WhenFull::Wait | WhenFull::Reject => Offered::Full(message),
            WhenFull::DropOldest => self.drop_oldest_for(message, weight),
            WhenFull::DropNewest => self.drop_newest(message),
            WhenFull::Disconnect => match self.overflow(1) {
                true => Offered::Dropped(message),
                false => Offered::Closed(message),
            },
        }
    }

    /// Ends the connection because there was no room. What is `lost` counts as fed, and as never
    /// written. A connection that is about to end in another way ends in that way; then this says no.
    pub(crate) fn overflow(&self, lost: u64) -> bool {
        let mut state = self.state.lock();
        if state.is_closed() {
            return false;
        }
        state.fed += lost;
        self.order
            .fetch_max(Order::Overflow as u8, Ordering::AcqRel);
        let (room, task) = (self.close_in(&mut state), state.task.clone());
        drop(state);
        room.wake();
        wake(task);
        true
    }

    /// Drops a message for which there is no room, unless the queue has been closed meanwhile: then
    /// its books are closed, too.
    fn drop_newest(&self, message: Out) -> Offered<Out> {
        let mut state = self.state.lock();
        if state.is_closed() {
            return Offered::Closed(message);
        }
        state.drops().newest += 1;
        let task = self.to_report(&state);
        drop(state);
        wake(task);
        Offered::Dropped(message)
    }

    /// Makes room by dropping the oldest messages.
    fn drop_oldest_for(&self, message: Out, weight: Option<usize>) -> Offered<Out> {
        let mut pushed = Pushed::Full(message);
        while let Pushed::Full(message) = pushed {
            self.drop_oldest();
            pushed = self.push_weighed(message, weight);
        }
        pushed.into()
    }

    /// Drops the oldest message, if there is one and the queue is open. It is weighed and dropped without
    /// the lock, as both may be the user's code; what it weighed is given back unless the queue was
    /// emptied meanwhile.
    fn drop_oldest(&self) {
        let mut state = self.state.lock();
        if state.is_closed() {
            return;
        }
        let mean = state.bytes.div_ceil(state.messages.len().max(1));
        let Some(oldest) = state.drop_oldest() else {
            return;
        };
        let task = self.to_report(&state);
        // It may have been weighed by a mean that was another then.
        let (emptied, mut weight) = (state.emptied, mean);
        drop(state);
        wake(task);
        // A panic of it, or of its weigher, is not the sender's.
        contain(|| weight = self.common.weigh(&oldest).unwrap_or(mean));
        let mut state = self.state.lock();
        if state.emptied == emptied {
            state.lighten(weight);
        }
        drop(state);
        contain(|| drop(oldest));
    }

    /// The task to be woken when a message was dropped, unless it is going to look anyway.
    fn to_report(&self, state: &State<Out>) -> Option<Waker> {
        match self.unreported.swap(true, Ordering::AcqRel) {
            true => None,
            false => state.task.clone(),
        }
    }

    /// Takes a message in, and gives the task to be woken if it waits for one.
    #[inline(always)]
    fn enter(
        &self,
        state: &mut State<Out>,
        message: Out,
        weight: Option<usize>,
    ) -> (u64, Option<Waker>) {
        if state.messages.capacity() == 0 {
            self.begin_batch(state);
        }
        let bytes = weight.unwrap_or(state.weight);
        state.bytes = state.bytes.saturating_add(bytes);
        state.share.hold(bytes);
        state.messages.push_back(message);
        state.fed += 1;
        let task = if state.awaiting {
            state.awaited()
        } else {
            None
        };
        (state.fed, task)
    }

    #[cold]
    fn begin_batch(&self, state: &mut State<Out>) {
        state.messages = self.common.spares.take();
    }
}

/// What senders wait for, and what handles tell the task.
impl<Out> Queue<Out> {
    /// The node's policy.
    pub(crate) fn when_full(&self) -> WhenFull {
        self.common.when_full
    }

    /// What a sink does when there is no room: its own policy or the node's. It can't give a message
    /// back.
    pub(crate) fn sink_policy(&self, own: Option<WhenFull>) -> WhenFull {
        match own.unwrap_or(self.when_full()) {
            WhenFull::Reject => WhenFull::DropNewest,
            policy => policy,
        }
    }

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
            let replaced = state.room.register(id, cx);
            drop(state);
            drop(replaced);
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
            let replaced = state.progress.register(id, cx);
            drop(state);
            drop(replaced);
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
            return Poll::Ready(Disconnect::clone(disconnect));
        }
        let replaced = state.progress.register(id, cx);
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// Forgets a waiter that is dropped.
    pub(crate) fn forget(&self, id: WaiterId) {
        let mut state = self.state.lock();
        let wakers = (state.room.remove(id), state.progress.remove(id));
        drop(state);
        drop(wakers);
    }

    /// Closes the queue and tells the task what to do.
    pub(crate) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        self.close();
        let task = self.state.lock().task.clone();
        wake(task);
    }
}
