//! The way in: from the connection tasks to the one [`Inbound`] stream.
//!
//! ```text
//!  connection task ─ decode ─► local batch ─ hand over ─► its inbox ─┐ listed at most once
//!  connection task ─ decode ─► local batch ─ hand over ─► its inbox ─┼─► ready list ─► Inbound
//!  connection task ─ decode ─► local batch ─ hand over ─► its inbox ─┘     takes the first inbox's
//!                                                                          whole content
//! ```
//!
//! A connection appends batches to an inbox of its own, and puts the inbox on the node's ready list
//! when it isn't there. The consumer takes the first inbox off the list, swaps its whole content
//! out, and yields from that without a lock.
//!
//! # Invariants
//!
//! 1. An inbox that has content is listed, or its producer holds its lock and is about to list it.
//! 2. An inbox is listed once at most, so the ready list is no longer than there are connections.
//! 3. A producer that waits for room waits on an inbox with content, which is listed (1), so the
//!    consumer that takes it finds the waker. A reader that is dropped takes every listed inbox.
//! 4. The content is ordered: connected, messages, read closed, ended; each flag is set once.
//! 5. Locks are taken one at a time, and nothing of the user's is dropped or called under one.

use std::{
    collections::VecDeque,
    fmt, mem,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures::stream::{FusedStream, Stream};
use tokio::task::coop;

use crate::{
    config::Bounds,
    disconnect::Disconnect,
    error::{HandshakeError, Limit},
    peer::Peer,
    sync::Mutex,
};

/// How many notices wait for a reader; the oldest give way, as the counters in
/// [`Stats`](crate::Stats) know them all. A flood of refused connections must not fill the memory.
const NOTICES: usize = 1024;

/// How many emptied batches are kept to be filled again; a few more than cores that fill them.
const SPARES: usize = 16;

/// What happened, in order: the messages with the life of their connections around them.
///
/// Of each connection, [`Connected`](Event::Connected) is the first event and
/// [`Disconnected`](Event::Disconnected) the last, each exactly once, with every message that was
/// decoded in between.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<In> {
    /// A connection was established, its handshake included.
    Connected(Peer),
    /// A message came.
    Message(In, Peer),
    /// The remote ended its side cleanly, and the connection stays open for writing; only with
    /// [`Builder::allow_half_open`](crate::Builder::allow_half_open). No more messages will come.
    ReadClosed(Peer),
    /// A connection ended.
    Disconnected(Peer, Disconnect),
    /// This many messages were fed to an [`Outbound`](crate::Outbound) for a peer that was gone.
    /// What was queued when the connection ended is in [`Disconnect::undelivered`] instead.
    Undelivered(Peer, u64),
    /// An incoming connection from this address was refused.
    Refused(SocketAddr, Limit),
    /// The handshake of an incoming connection failed. (Of our own dialling, the caller learns it.)
    HandshakeFailed(Peer, HandshakeError),
}

/// The middle between the producers and the consumer.
pub(crate) struct Hub<In> {
    ready: Mutex<Ready<In>>,
}

struct Ready<In> {
    /// Inboxes with content, in the order of their turns.
    list: VecDeque<Arc<Inbox<In>>>,
    /// What belongs to no connection; the last [`NOTICES`] of them.
    notices: VecDeque<Event<In>>,
    /// Emptied batches, no more than [`SPARES`].
    spares: Vec<VecDeque<In>>,
    /// Connections that have not ended, and one for the node while it makes new ones.
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
    listed: bool,
    /// The producer, when it waits for room.
    blocked: Option<Waker>,
}

struct Batch<In> {
    connected: bool,
    messages: VecDeque<In>,
    read_closed: bool,
    ended: Option<Disconnect>,
}

impl<In> Default for Batch<In> {
    fn default() -> Self {
        Self {
            connected: false,
            messages: VecDeque::new(),
            read_closed: false,
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
                spares: Vec::new(),
                open: 1,
                accepting: true,
                reading: true,
                consumer: None,
            }),
        })
    }

    /// The two ends of a new connection: what its task pushes into, and what says that it ended.
    /// `None` when no new connections are made.
    pub(crate) fn open(
        self: &Arc<Self>,
        peer: Peer,
        bounds: Bounds,
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

    fn connection_ended(&self) {
        let mut ready = self.ready.lock();
        ready.open -= 1;
        let waker = ready.waker_at_end();
        drop(ready);
        wake(waker);
    }

    fn spare(&self) -> VecDeque<In> {
        self.ready.lock().spares.pop().unwrap_or_default()
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

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
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
        content.bytes = 0;
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
            if !self
                .bounds
                .admit(content.batch.messages.len(), content.bytes)
            {
                content.blocked = Some(cx.waker().clone());
                return Poll::Pending;
            }
            self.full = false;
        }
        Poll::Ready(())
    }

    pub(crate) fn push(&mut self, message: In) {
        self.local.push_back(message);
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
            !bounds.admit(content.batch.messages.len(), content.bytes)
        });
    }

    /// Gets an emptied batch to fill, when more messages are about to come.
    pub(crate) fn expect_more(&mut self) {
        if self.local.capacity() == 0 {
            self.local = self.hub.spare();
        }
    }

    /// Gives the memory of the local batch back, when none are about to come.
    pub(crate) fn expect_none(&mut self) {
        if self.local.is_empty() {
            self.local = VecDeque::new();
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

/// What makes `Disconnected` the last event of a connection.
pub(crate) struct Ender<In> {
    hub: Arc<Hub<In>>,
    inbox: Arc<Inbox<In>>,
    ended: bool,
}

impl<In> Ender<In> {
    /// Ends the connection for the consumer. The producer must be gone by then.
    pub(crate) fn end(mut self, disconnect: Disconnect) {
        let ended = |content: &mut Content<In>| content.batch.ended = Some(disconnect);
        self.inbox.update(&self.hub, ended);
        self.ended = true;
        self.hub.connection_ended();
    }
}

/// Without an `end` the connection was never announced, and ends in silence.
impl<In> Drop for Ender<In> {
    fn drop(&mut self) {
        if !self.ended {
            self.hub.connection_ended();
        }
    }
}

/// Something that keeps the node alive as long as its stream is there.
pub(crate) type KeepAlive = Arc<dyn Send + Sync>;

/// The messages of all peers of a node, with who sent them: `Stream<Item = (In, Peer)>`.
///
/// The stream ends (`None`) when the node has been [shut down](crate::Node::shutdown) and every
/// message that was decoded has been yielded. A peer that leaves, for whatever reason, doesn't end
/// it; to see peers come and go, turn it [into events](Inbound::into_events).
///
/// Messages that aren't taken stay in bounded queues, one per connection; a connection whose queue
/// is full stops reading its socket, and only its own. Dropping the `Inbound` makes the node
/// write-only: it reads and discards, so it still notices the end of a connection.
///
/// # Fairness
///
/// Peers take turns. In its turn a peer has all that waits of it, which is one queue's content at
/// most; a message of a quiet peer comes after at most that much of each other ready peer.
///
/// # Examples
///
/// ```no_run
/// # use futures::StreamExt;
/// # async fn example(mut inbound: wattle::Inbound<String>) {
/// while let Some((message, peer)) = inbound.next().await {
///     println!("{peer}: {message}");
/// }
/// # }
/// ```
pub struct Inbound<In> {
    events: Events<In>,
}

/// The messages of all peers with the life of their connections in line:
/// `Stream<Item = `[`Event<In>`](Event)`>`.
///
/// It behaves as [`Inbound`], which it is made from.
pub struct Events<In> {
    hub: Arc<Hub<In>>,
    /// Whose turn it is, and what is left of it.
    turn: Option<Peer>,
    batch: Batch<In>,
    terminated: bool,
    _keep_alive: KeepAlive,
}

impl<In> Inbound<In> {
    pub(crate) fn new(hub: Arc<Hub<In>>, keep_alive: KeepAlive) -> Self {
        Self {
            events: Events {
                hub,
                turn: None,
                batch: Batch::default(),
                terminated: false,
                _keep_alive: keep_alive,
            },
        }
    }

    /// The next message, or `None` when the node is shut down: `next` for those who don't import
    /// `StreamExt`.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped has taken nothing.
    pub async fn recv(&mut self) -> Option<(In, Peer)> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The stream with the lifecycle of the connections in it. Nothing that happened since the node
    /// was started and wasn't taken yet is missing.
    pub fn into_events(self) -> Events<In> {
        self.events
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<(In, Peer)>> {
        loop {
            if let Some(item) = self.events.pop_message() {
                return Poll::Ready(Some(item));
            }
            match ready!(self.events.poll_recv(cx)) {
                Some(Event::Message(message, peer)) => {
                    return Poll::Ready(Some((message, peer)));
                }
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<In> Events<In> {
    /// The next event, or `None` when the node is shut down: `next` for those who don't import
    /// `StreamExt`.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped has taken nothing.
    pub async fn recv(&mut self) -> Option<Event<In>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn pop_message(&mut self) -> Option<(In, Peer)> {
        match self.turn {
            Some(peer) if !self.batch.connected => self
                .batch
                .messages
                .pop_front()
                .map(|message| (message, peer)),
            _ => None,
        }
    }

    /// The next event of the turn; `None` ends the turn.
    fn pop(&mut self) -> Option<Event<In>> {
        let peer = self.turn?;
        let batch = &mut self.batch;
        if mem::take(&mut batch.connected) {
            return Some(Event::Connected(peer));
        }
        if let Some(message) = batch.messages.pop_front() {
            return Some(Event::Message(message, peer));
        }
        if mem::take(&mut batch.read_closed) {
            return Some(Event::ReadClosed(peer));
        }
        let ended = batch
            .ended
            .take()
            .map(|disconnect| Event::Disconnected(peer, disconnect));
        if ended.is_none() {
            self.turn = None;
        }
        ended
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event<In>>> {
        loop {
            if let Some(event) = self.pop() {
                return Poll::Ready(Some(event));
            }
            if self.terminated {
                return Poll::Ready(None);
            }
            // A reader that is never pending would keep its worker from everything else.
            let turn = ready!(coop::poll_proceed(cx));
            match ready!(self.poll_turn(cx)) {
                Some(event) => {
                    turn.made_progress();
                    return Poll::Ready(Some(event));
                }
                None => turn.made_progress(),
            }
        }
    }

    /// Waits for the next turn or notice, or for the end. A turn is begun and gives `None`.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event<In>>> {
        let spent = mem::take(&mut self.batch.messages);
        let mut ready = self.hub.ready.lock();
        if spent.capacity() > 0 && ready.spares.len() < SPARES {
            ready.spares.push(spent);
        }
        if let Some(notice) = ready.notices.pop_front() {
            return Poll::Ready(Some(notice));
        }
        if let Some(inbox) = ready.list.pop_front() {
            drop(ready);
            self.batch = inbox.take();
            self.turn = Some(inbox.peer);
            return Poll::Ready(None);
        }
        if ready.open == 0 {
            self.terminated = true;
            return Poll::Ready(None);
        }
        match &mut ready.consumer {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl<In> Drop for Events<In> {
    fn drop(&mut self) {
        let mut ready = self.hub.ready.lock();
        ready.reading = false;
        let (list, notices, spares, waker) = (
            mem::take(&mut ready.list),
            mem::take(&mut ready.notices),
            mem::take(&mut ready.spares),
            ready.consumer.take(),
        );
        drop(ready);
        drop((notices, spares, waker));
        for inbox in list {
            inbox.discard();
        }
    }
}

impl<In> Stream for Inbound<In> {
    type Item = (In, Peer);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx)
    }
}

impl<In> FusedStream for Inbound<In> {
    fn is_terminated(&self) -> bool {
        self.events.is_terminated()
    }
}

impl<In> Stream for Events<In> {
    type Item = Event<In>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx)
    }
}

impl<In> FusedStream for Events<In> {
    fn is_terminated(&self) -> bool {
        self.terminated && self.turn.is_none()
    }
}

// Nothing in them is pinned, whatever `In` is.
impl<In> Unpin for Inbound<In> {}
impl<In> Unpin for Events<In> {}

impl<In> fmt::Debug for Inbound<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").finish_non_exhaustive()
    }
}

impl<In> fmt::Debug for Events<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
