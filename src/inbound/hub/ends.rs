//! The ends of a connection in the hub: what its task pushes into, what says that it ended; and what keeps the
//! stream from ending meanwhile.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

use super::{
    super::inbox::{Content, Inbox},
    Hub,
};
use crate::{admission::Permit, config::Bounds, disconnect::Disconnect, turns::Turns};

/// A batch of so many messages is moved out of the memory it was decoded into, which stays with the
/// connection's core: to get it back from the consumer's, line by line, takes longer, and decoding would
/// wait for it. Fewer are handed over with their memory.
const MOVED_FROM: usize = if cfg!(wattle_loom) { 2 } else { 32 };

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
    pub(super) fn new(hub: Arc<Hub<In>>, inbox: Arc<Inbox<In>>, bounds: Bounds) -> Self {
        Self {
            hub,
            inbox,
            bounds,
            local: VecDeque::new(),
            full: false,
        }
    }

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

    /// Where the node's connections line up that have more to do.
    pub(crate) fn turns(&self) -> &Turns {
        &self.hub.turns
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

impl<In> Hold<In> {
    pub(super) fn new(hub: Arc<Hub<In>>) -> Self {
        Self(hub)
    }
}

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
    pub(super) fn new(hub: Arc<Hub<In>>, inbox: Arc<Inbox<In>>) -> Self {
        Self {
            hub,
            inbox,
            ended: false,
        }
    }

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
