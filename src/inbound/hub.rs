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
    admission::Permit,
    budget::Budget,
    config::Bounds,
    disconnect::{Disconnect, contain},
    peer::Peer,
    spares::Spares,
    sync::Mutex,
    waiters::wake,
};

/// How many notices wait for a reader; the oldest give way, as the counters in
/// [`Stats`](crate::Stats) know them all. A flood of refused connections must not fill the memory.
const NOTICES: usize = 1024;

/// Of the connections that came and went without a message before anybody heard of them, so many are
/// told at least, the newest; the older ones are forgotten, each as a whole. They are forgotten as many at
/// a time, so that looking through the ready list for them costs each connection next to nothing.
const STORIES: usize = if cfg!(wattle_loom) { 1 } else { 1024 };

/// A batch of so many messages is moved out of the memory it was decoded into, which stays with the
/// connection's core: to get it back from the consumer's, line by line, takes longer, and decoding would
/// wait for it. Fewer are handed over with their memory.
const MOVED_FROM: usize = if cfg!(wattle_loom) { 2 } else { 32 };

/// The middle between the producers and the consumer.
pub(crate) struct Hub<In> {
    /// Connections that have not ended: a number to decide by, with nothing behind it that would have to be
    /// ordered.
    connections: AtomicUsize,
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
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            connections: AtomicUsize::new(0),
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
        let producer = Producer {
            hub: self.clone(),
            inbox: inbox.clone(),
            bounds,
            local: VecDeque::new(),
            full: false,
        };
        let ender = Ender {
            hub: self.clone(),
            inbox,
            ended: false,
        };
        Some((producer, ender))
    }

    /// Keeps the stream from ending as long as somebody may still have a notice.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold<In> {
        self.ready.lock().open += 1;
        Hold(self.clone())
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

/// The connection task's end: decoded messages go in here.
///
/// Messages are gathered in a local batch and handed over together; unless they are few, in other memory
/// than they were decoded into. Dropping the producer hands over what it still has.
pub(crate) struct Producer<In> {
    hub: Arc<Hub<In>>,
    inbox: Arc<Inbox<In>>,
    bounds: Bounds,
    local: VecDeque<In>,
    /// Whether the inbox had no room after the last hand-over.
    full: bool,
}

impl<In> Producer<In> {
    /// Makes `Connected` the first event of the connection.
    pub(crate) fn announce(&self) {
        let announced = |content: &mut Content<In>| content.batch.connected = true;
        self.hub.update(&self.inbox, announced);
    }

    /// Waits until the inbox takes another batch. Its bound is soft by one batch: what is decoded
    /// always goes in.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.full {
            let mut content = self.inbox.content.lock();
            if !content.has_room(self.bounds) {
                content.blocked = Some(cx.waker().clone());
                return Poll::Pending;
            }
            self.full = false;
        }
        Poll::Ready(())
    }

    /// How many connections the node has, this one among them.
    pub(crate) fn connections(&self) -> usize {
        self.hub.connections.load(Relaxed)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    #[inline]
    pub(crate) fn push(&mut self, message: In) {
        if self.local.capacity() == 0 {
            self.begin_batch();
        }
        self.local.push_back(message);
    }

    #[cold]
    fn begin_batch(&mut self) {
        self.local = self.hub.spares.take();
    }

    /// The number of messages in the local batch.
    pub(crate) fn pushed(&self) -> usize {
        self.local.len()
    }

    /// Hands the local batch over, if there is one; `bytes` is what it took on the wire.
    pub(crate) fn hand_over(&mut self, bytes: usize) {
        if self.local.is_empty() {
            return;
        }
        let few = self.local.len() < MOVED_FROM;
        let mut spare = (!few).then(|| self.hub.spares.take());
        let (bounds, local) = (self.bounds, &mut self.local);
        self.full = self.hub.update(&self.inbox, |content| {
            let messages = &mut content.batch.messages;
            if messages.is_empty() {
                mem::swap(messages, spare.as_mut().unwrap_or(local));
            }
            if !local.is_empty() {
                messages.append(local);
            }
            content.bytes += bytes;
            content.share.hold(bytes);
            !content.has_room(bounds)
        });
        if let Some(mut unused) = spare {
            self.hub.spares.give(&mut unused);
        }
    }

    /// Gives the memory of the local batch back, when no messages are about to come.
    pub(crate) fn rest(&mut self) {
        if self.local.is_empty() {
            self.hub.spares.give(&mut self.local);
        }
    }

    /// Reports that the remote has ended its side and the connection stays.
    pub(crate) fn read_closed(&mut self) {
        self.hand_over(0);
        let closed = |content: &mut Content<In>| content.batch.read_closed = true;
        self.hub.update(&self.inbox, closed);
    }
}

impl<In> Drop for Producer<In> {
    fn drop(&mut self) {
        self.hand_over(0);
    }
}

/// Somebody who may still have a notice for the stream.
pub(crate) struct Hold<In>(Arc<Hub<In>>);

impl<In> Drop for Hold<In> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// What tells of a connection's losses, and makes `Disconnected` its last event.
pub(crate) struct Ender<In> {
    hub: Arc<Hub<In>>,
    inbox: Arc<Inbox<In>>,
    ended: bool,
}

impl<In> Ender<In> {
    /// Reports that so many outbound messages were dropped.
    pub(crate) fn dropped(&self, messages: u64) {
        let dropped = |content: &mut Content<In>| content.batch.dropped += messages;
        self.hub.update(&self.inbox, dropped);
    }

    /// Ends the connection for the consumer. The producer must be gone by then.
    ///
    /// As long as messages of it wait, it keeps the permit; otherwise that is given back before anybody
    /// can know of the end.
    pub(crate) fn end(mut self, disconnect: Disconnect, permit: Option<Permit>) {
        drop(permit.and_then(|permit| self.inbox.keep(permit)));
        let disconnect = Box::new(disconnect);
        let ended = |content: &mut Content<In>| content.batch.ended = Some(disconnect);
        self.hub.update(&self.inbox, ended);
        if self.inbox.has_bare_story() {
            self.hub.remember(self.inbox.clone());
        }
        self.ended = true;
        self.hub.release();
    }
}

/// Without an `end` the connection was never announced, and ends in silence.
impl<In> Drop for Ender<In> {
    fn drop(&mut self) {
        self.hub.connections.fetch_sub(1, Relaxed);
        if !self.ended {
            self.hub.release();
        }
    }
}

#[cfg(test)]
mod tests;
