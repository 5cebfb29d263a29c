//! The middle between the connection tasks and the reader: an inbox per connection, and the list of
//! those that have something.
//!
//! # Invariants
//!
//! 1. An inbox that has content is listed, or its producer holds its lock and is about to list it.
//! 2. An inbox is listed once at most, so the ready list is no longer than there are connections.
//! 3. A producer that waits for room waits on an inbox with content, which is listed (1), so the
//!    consumer that takes it finds the waker. A reader that is dropped takes every listed inbox.
//! 4. The content is ordered: connected, messages, read closed, dropped, ended; each flag is set once.
//! 5. Locks are taken one at a time; no message is dropped and no waker called under one.

use std::{
    collections::VecDeque,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::Event;
use crate::{
    budget::{Budget, Share},
    config::Bounds,
    disconnect::Disconnect,
    peer::Peer,
    spares::Spares,
    sync::Mutex,
    waiters::wake,
};

/// How many notices wait for a reader; the oldest give way, as the counters in
/// [`Stats`](crate::Stats) know them all. A flood of refused connections must not fill the memory.
const NOTICES: usize = 1024;

/// The middle between the producers and the consumer.
pub(crate) struct Hub<In> {
    ready: Mutex<Ready<In>>,
    spares: Spares<In>,
}

struct Ready<In> {
    /// Inboxes with content, in the order of their turns.
    list: VecDeque<Arc<Inbox<In>>>,
    /// What belongs to no connection; the last [`NOTICES`] of them.
    notices: VecDeque<Event<In>>,
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

/// What one connection has for the consumer.
struct Inbox<In> {
    peer: Peer,
    content: Mutex<Content<In>>,
}

struct Content<In> {
    batch: Batch<In>,
    bytes: usize,
    /// The part of the node's memory budget that this is.
    share: Share,
    listed: bool,
    /// The producer, when it waits for room.
    blocked: Option<Waker>,
}

/// The content of an inbox.
pub(super) struct Batch<In> {
    pub(super) connected: bool,
    pub(super) messages: VecDeque<In>,
    pub(super) read_closed: bool,
    /// Outbound messages that were dropped.
    pub(super) dropped: u64,
    /// Boxed, as every idle connection has room for it.
    pub(super) ended: Option<Box<Disconnect>>,
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

impl<In> Default for Batch<In> {
    fn default() -> Self {
        Self {
            connected: false,
            messages: VecDeque::new(),
            read_closed: false,
            dropped: 0,
            ended: None,
        }
    }
}

impl<In> Hub<In> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            ready: Mutex::new(Ready {
                list: VecDeque::new(),
                notices: VecDeque::new(),
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
        let inbox = Arc::new(Inbox {
            peer,
            content: Mutex::new(Content {
                batch: Batch::default(),
                bytes: 0,
                share: Share::of(budget),
                listed: false,
                blocked: None,
            }),
        });
        let producer = Producer {
            hub: self.clone(),
            inbox: inbox.clone(),
            bounds,
            local: VecDeque::new(),
            local_bytes: 0,
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
        let (list, notices, waker) = (
            mem::take(&mut ready.list),
            mem::take(&mut ready.notices),
            ready.consumer.take(),
        );
        drop(ready);
        self.spares.clear();
        // All producers go on before the first message is dropped, which may panic.
        let batches: Vec<_> = list.iter().map(|inbox| inbox.take()).collect();
        drop((notices, waker, batches));
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

impl<In> Content<In> {
    /// When it is empty, there is room in any case.
    fn has_room(&self, bounds: Bounds) -> bool {
        let messages = self.batch.messages.len();
        bounds.admit(messages, self.bytes) && (messages == 0 || self.share.has_room())
    }
}

impl<In> Inbox<In> {
    /// Changes the content, and lists the inbox if it wasn't.
    fn update<R>(self: &Arc<Self>, hub: &Hub<In>, change: impl FnOnce(&mut Content<In>) -> R) -> R {
        let mut content = self.content.lock();
        let result = change(&mut content);
        let listed = mem::replace(&mut content.listed, true);
        drop(content);
        if !listed {
            hub.list(self.clone());
        }
        result
    }

    /// Takes the whole content, and lets the producer go on.
    fn take(&self) -> Batch<In> {
        let mut content = self.content.lock();
        let batch = mem::take(&mut content.batch);
        let bytes = mem::take(&mut content.bytes);
        content.share.give_back(bytes);
        content.listed = false;
        let producer = content.blocked.take();
        drop(content);
        wake(producer);
        batch
    }

    /// What happens to content that nobody reads.
    fn discard(&self) {
        drop(self.take());
    }
}

/// The connection task's end: decoded messages go in here.
///
/// Messages are gathered in a local batch and handed over together. Dropping the producer hands
/// over what it still has.
pub(crate) struct Producer<In> {
    hub: Arc<Hub<In>>,
    inbox: Arc<Inbox<In>>,
    bounds: Bounds,
    local: VecDeque<In>,
    local_bytes: usize,
    /// Whether the inbox had no room after the last hand-over.
    full: bool,
}

impl<In> Producer<In> {
    /// Makes `Connected` the first event of the connection.
    pub(crate) fn announce(&self) {
        let announced = |content: &mut Content<In>| content.batch.connected = true;
        self.inbox.update(&self.hub, announced);
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

    /// Hands the local batch over; `bytes` is what it took on the wire.
    pub(crate) fn hand_over(&mut self, bytes: usize) {
        self.local_bytes += bytes;
        if self.local.is_empty() {
            return;
        }
        let (bounds, local, local_bytes) = (
            self.bounds,
            &mut self.local,
            mem::take(&mut self.local_bytes),
        );
        self.full = self.inbox.update(&self.hub, |content| {
            if content.batch.messages.is_empty() {
                mem::swap(&mut content.batch.messages, local);
            } else {
                content.batch.messages.append(local);
            }
            content.bytes += local_bytes;
            content.share.hold(local_bytes);
            !content.has_room(bounds)
        });
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
        self.inbox.update(&self.hub, closed);
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
        self.inbox.update(&self.hub, dropped);
    }

    /// Ends the connection for the consumer. The producer must be gone by then.
    pub(crate) fn end(mut self, disconnect: Disconnect) {
        let disconnect = Box::new(disconnect);
        let ended = |content: &mut Content<In>| content.batch.ended = Some(disconnect);
        self.inbox.update(&self.hub, ended);
        self.ended = true;
        self.hub.release();
    }
}

/// Without an `end` the connection was never announced, and ends in silence.
impl<In> Drop for Ender<In> {
    fn drop(&mut self) {
        if !self.ended {
            self.hub.release();
        }
    }
}
