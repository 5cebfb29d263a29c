//! The middle between the connection tasks and the reader: an inbox per connection, and the list of
//! those that have something.
//!
//! # Invariants
//!
//! 1. An inbox that has content is listed, or its producer holds its lock and is about to list it.
//! 2. An inbox is listed once at most, and the ready list is bounded although connections end on it. On
//!    it are those that are open; those that the remote ended with messages unread, which keep their
//!    permit until they are taken, so they count as if they were open; fewer than 2 × [`STORIES`] whose
//!    whole story without messages waits; and those that ended without messages after the reader had
//!    heard of their beginning, which were open at that time. Beyond the limits come only those with
//!    unread messages that the program dialled or ended itself.
//! 3. A producer that waits for room waits on an inbox with content, which is listed (1), so the
//!    consumer that takes it finds the waker. A reader that is dropped takes every listed inbox.
//! 4. The content is ordered: connected, messages, read closed, dropped, ended; each flag is set once.
//! 5. Locks are taken one at a time; no message is dropped, no waker called and no room given back
//!    under one.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use super::{
    Event,
    inbox::{Batch, Content, Inbox},
};
use crate::{
    budget::Budget, config::Bounds, disconnect::contain, peer::Peer, spares::Spares, sync::Mutex,
    turns::Turns, waiters::wake,
};

mod ends;
#[cfg(test)]
mod tests;

pub(crate) use ends::{Ender, Hold, Producer};

/// How many notices wait for a reader; the oldest give way, as the counters in
/// [`Stats`](crate::Stats) know them all. A flood of refused connections must not fill the memory.
const NOTICES: usize = 1024;

/// Of the connections that came and went without a message before anybody heard of them, so many are
/// told at least, the newest; the older ones are forgotten, each as a whole. They are forgotten as many at
/// a time, so that looking through the ready list for them costs each connection next to nothing.
const STORIES: usize = if cfg!(wattle_loom) { 1 } else { 1024 };

/// The middle between the producers and the consumer.
pub(crate) struct Hub<In> {
    /// Connections that have not ended: a number to decide by, with nothing behind it that would have to be
    /// ordered.
    connections: AtomicUsize,
    turns: Turns,
    ready: Mutex<Ready<In>>,
    spares: Spares<In>,
}

struct Ready<In> {
    /// Inboxes with content, in the order of their turns.
    list: VecDeque<Arc<Inbox<In>>>,
    /// What belongs to no connection; the last [`NOTICES`] of them.
    notices: VecDeque<Event<In>>,
    /// Inboxes that had a whole story without a message when their connection ended, the oldest first;
    /// fewer than 2 × [`STORIES`]. They may have been taken since.
    stories: VecDeque<Arc<Inbox<In>>>,
    /// Whether the last turn was a notice: they alternate with the peers.
    noticed: bool,
    /// Connections that have not ended, one for the node while it makes new ones, and one for each who
    /// may still have a notice.
    open: usize,
    /// Whether the node makes new connections.
    accepting: bool,
    /// Whether anybody reads.
    reading: bool,
    consumer: Option<Waker>,
}

/// What the reader gets next.
pub(super) enum Turn<In> {
    /// A peer's turn, with all that waited of it.
    Of(Peer, Batch<In>),
    /// Something that belongs to no connection.
    Notice(Event<In>),
    /// The end: no connection is left, and none will be made.
    Over,
}

impl<In> Hub<In> {
    /// For connections that run on the runtime in which this is called.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            connections: AtomicUsize::new(0),
            turns: Turns::new(),
            ready: Mutex::new(Ready {
                list: VecDeque::new(),
                notices: VecDeque::new(),
                stories: VecDeque::new(),
                noticed: false,
                open: 1,
                accepting: true,
                reading: true,
                consumer: None,
            }),
            spares: Spares::new(),
        })
    }

    /// The two ends of a new connection: what its task pushes into, and what says that it ended.
    /// `None` when no new connections are made.
    pub(crate) fn open(
        self: &Arc<Self>,
        peer: Peer,
        bounds: Bounds,
        budget: Option<Arc<Budget>>,
    ) -> Option<(Producer<In>, Ender<In>)> {
        let mut ready = self.ready.lock();
        if !ready.accepting {
            return None;
        }
        ready.open += 1;
        drop(ready);
        self.connections.fetch_add(1, Relaxed);
        let inbox = Arc::new(Inbox::new(peer, budget));
        let producer = Producer::new(self.clone(), inbox.clone(), bounds);
        Some((producer, Ender::new(self.clone(), inbox)))
    }

    /// Keeps the stream from ending as long as somebody may still have a notice.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold<In> {
        self.ready.lock().open += 1;
        Hold::new(self.clone())
    }

    /// No new connections: the stream ends when those that are open have ended.
    pub(crate) fn stop_accepting(&self) {
        let mut ready = self.ready.lock();
        if mem::replace(&mut ready.accepting, false) {
            ready.open -= 1;
            let waker = ready.waker_at_end();
            drop(ready);
            wake(waker);
        }
    }

    /// Reports what belongs to no open connection.
    pub(crate) fn notify(&self, notice: Event<In>) {
        let mut ready = self.ready.lock();
        if !ready.reading {
            return;
        }
        let dropped = match (&notice, ready.notices.back_mut()) {
            (Event::Undelivered(peer, more), Some(Event::Undelivered(last, n))) if last == peer => {
                *n += more;
                None
            }
            _ => {
                ready.notices.push_back(notice);
                (ready.notices.len() > NOTICES).then(|| ready.notices.pop_front())
            }
        };
        let waker = ready.consumer.take();
        drop(ready);
        drop(dropped);
        wake(waker);
    }

    /// The reader's next turn, or why there is none. What it has emptied can be filled again.
    pub(super) fn poll_turn(&self, cx: &Context<'_>, spent: &mut VecDeque<In>) -> Poll<Turn<In>> {
        self.spares.give(spent);
        let mut ready = self.ready.lock();
        let notices_turn = !mem::take(&mut ready.noticed) || ready.list.is_empty();
        if notices_turn && let Some(notice) = ready.notices.pop_front() {
            ready.noticed = true;
            return Poll::Ready(Turn::Notice(notice));
        }
        if let Some(inbox) = ready.list.pop_front() {
            drop(ready);
            return Poll::Ready(Turn::Of(inbox.peer, inbox.take()));
        }
        if ready.open == 0 {
            return Poll::Ready(Turn::Over);
        }
        let known = ready.consumer.as_ref();
        if !known.is_some_and(|waker| waker.will_wake(cx.waker())) {
            let replaced = ready.consumer.replace(cx.waker().clone());
            drop(ready);
            // It may own what takes the same lock.
            drop(replaced);
        }
        Poll::Pending
    }

    /// Nobody reads any more: what is there and what comes is thrown away.
    pub(super) fn stop_reading(&self) {
        let mut ready = self.ready.lock();
        ready.reading = false;
        let (list, stories, notices, waker) = (
            mem::take(&mut ready.list),
            mem::take(&mut ready.stories),
            mem::take(&mut ready.notices),
            ready.consumer.take(),
        );
        drop(ready);
        self.spares.clear();
        // All producers go on before the first message is dropped, which may panic.
        let batches: Vec<_> = list.iter().map(|inbox| inbox.take()).collect();
        drop((stories, notices, waker, batches));
    }

    /// Changes the content of an inbox, and lists it if it wasn't.
    fn update<R>(&self, inbox: &Arc<Inbox<In>>, change: impl FnOnce(&mut Content<In>) -> R) -> R {
        let (result, list) = inbox.change(change);
        if list {
            self.list(inbox.clone());
        }
        result
    }

    /// Puts an inbox with content on the list. Its `listed` must have been set under its lock.
    fn list(&self, inbox: Arc<Inbox<In>>) {
        let mut ready = self.ready.lock();
        if ready.reading {
            ready.list.push_back(inbox);
            let waker = ready.consumer.take();
            drop(ready);
            wake(waker);
        } else {
            drop(ready);
            inbox.discard();
        }
    }

    /// Remembers a whole story without a message, and forgets old ones.
    fn remember(&self, story: Arc<Inbox<In>>) {
        let mut ready = self.ready.lock();
        // The reader may have gone since it was listed.
        if !ready.reading {
            return;
        }
        ready.stories.push_back(story);
        if ready.stories.len() < 2 * STORIES {
            return;
        }
        let old: Vec<_> = ready.stories.drain(..STORIES).collect();
        drop(ready);
        self.forget(&old);
    }

    fn forget(&self, old: &[Arc<Inbox<In>>]) {
        let forgotten: Vec<_> = old.iter().filter_map(|inbox| inbox.forget()).collect();
        if forgotten.is_empty() {
            return;
        }
        // They are empty, so nothing of the user's is dropped under the lock.
        let mut ready = self.ready.lock();
        ready.list.retain(|inbox| !inbox.is_forgotten());
        drop(ready);
        // A reason may have the user's error in it, which may panic: that ends nobody's connection.
        for story in forgotten {
            contain(|| drop(story));
        }
    }

    fn release(&self) {
        let mut ready = self.ready.lock();
        ready.open -= 1;
        let waker = ready.waker_at_end();
        drop(ready);
        wake(waker);
    }
}

impl<In> Ready<In> {
    fn waker_at_end(&mut self) -> Option<Waker> {
        if self.open == 0 {
            self.consumer.take()
        } else {
            None
        }
    }
}
