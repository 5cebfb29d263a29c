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

use std::{
    fmt, mem,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::stream::{FusedStream, Stream};
use tokio::task::coop;

use crate::{
    disconnect::Disconnect,
    error::{HandshakeError, Refusal},
    peer::Peer,
};

mod hub;
mod inbox;

use hub::Turn;
pub(crate) use hub::{Ender, Hub, Producer};
use inbox::Batch;

/// What happened, in order: the messages with the life of their connections around them.
///
/// Of each connection, [`Connected`](Event::Connected) is the first event and
/// [`Disconnected`](Event::Disconnected) the last, each exactly once, with every message that was
/// decoded in between. (Of connections that came and went without a message while nobody read, only
/// the newest are told, each from beginning to end; see [`Inbound::into_events`].)
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
    /// This many messages were fed to an [`Outbound`](crate::Outbound) or a
    /// [`PeerSink`](crate::PeerSink) for a peer that was gone or being disconnected. What was queued
    /// when the connection ended is in [`Disconnect::undelivered`] instead.
    ///
    /// It is about a sink, and not in line with the events of the connection: it may come before the
    /// peer's own [`Disconnected`](Event::Disconnected) or behind it.
    Undelivered(Peer, u64),
    /// This many messages were dropped because the peer's outbound queue was full, since the last such
    /// event of the peer; see [`WhenFull`](crate::WhenFull). All are reported before the peer's
    /// [`Disconnected`](Event::Disconnected).
    Dropped(Peer, u64),
    /// An incoming connection from this address was refused.
    Refused(SocketAddr, Refusal),
    /// The handshake of an incoming connection failed. (That of our own dialling or adopting fails
    /// for the caller.)
    HandshakeFailed(Peer, HandshakeError),
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
/// Don't keep one that you don't read. Messages wait also when their connection has ended, and an
/// incoming connection that the program didn't end itself goes on counting for the [limits](crate::Limits)
/// until they are taken: at some point nobody comes in. Those of ended connections that the program
/// dialled or ended itself are bounded by nothing but the number of these.
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
        std::future::poll_fn(
            #[inline(always)]
            |cx| self.poll_recv(cx),
        )
        .await
    }

    /// The stream with the lifecycle of the connections in it. What happened since the node was
    /// started is not missing, but for what was passed over on the way to the messages that were
    /// taken already. Of what is in line with no open connection ([`Event::Refused`],
    /// [`Event::HandshakeFailed`], [`Event::Undelivered`]) the last 1,024 wait to be taken. Of
    /// connections that ended without a message before anything of them was taken, all that happened waits
    /// for at least the last 1,024; the older ones are forgotten, each as a whole. The counters in
    /// [`Stats`](crate::Stats) know them all.
    pub fn into_events(self) -> Events<In> {
        self.events
    }

    /// What is left of a turn is taken right where it is asked for.
    #[inline(always)]
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<(In, Peer)>> {
        loop {
            if let Some(item) = self.events.pop_message() {
                return Poll::Ready(Some(item));
            }
            if !ready!(self.events.poll_message(cx)) {
                return Poll::Ready(None);
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

    #[inline(always)]
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
        if batch.dropped > 0 {
            return Some(Event::Dropped(peer, mem::take(&mut batch.dropped)));
        }
        let ended = batch
            .ended
            .take()
            .map(|disconnect| Event::Disconnected(peer, *disconnect));
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
            if let Some(notice) = ready!(self.poll_turn(cx)) {
                return Poll::Ready(Some(notice));
            }
        }
    }

    /// Waits until a message is next, passing over whatever else there is; says no at the end.
    #[inline(never)]
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if !self.batch.connected && !self.batch.messages.is_empty() {
                return Poll::Ready(true);
            }
            if self.pop().is_some() {
                continue;
            }
            if self.terminated {
                return Poll::Ready(false);
            }
            ready!(self.poll_turn(cx));
        }
    }

    /// Waits for the next turn, which is a notice if it is nobody's.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event<In>>> {
        // A reader that is never pending would keep its worker from everything else.
        let turn = ready!(coop::poll_proceed(cx));
        let next = ready!(self.hub.poll_turn(cx, &mut self.batch.messages));
        turn.made_progress();
        match next {
            Turn::Of(peer, batch) => (self.turn, self.batch) = (Some(peer), batch),
            Turn::Notice(notice) => return Poll::Ready(Some(notice)),
            Turn::Over => self.terminated = true,
        }
        Poll::Ready(None)
    }
}

impl<In> Drop for Events<In> {
    fn drop(&mut self) {
        self.hub.stop_reading();
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
