//! The sink of one peer: [`PeerSink`].

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::sink::Sink;

use super::{Offered, Queue, Routes};
use crate::{config::WhenFull, error::PeerGone, peer::Peer, waiters::WaiterId};

/// The sink of one peer: `Sink<Out>` with that peer's backpressure and errors, and nobody else's.
///
/// `flush` resolves when everything fed through this handle was handed to the operating system, in
/// whole flushes of the connection, as with [`Outbound`](crate::Outbound). The error is that the peer is gone, or
/// being disconnected. A message that was fed but never written is then counted in
/// [`Disconnect::undelivered`](crate::Disconnect::undelivered); one that was fed too late for that is
/// reported as [`Event::Undelivered`](crate::Event::Undelivered). Closing the sink flushes it and
/// does not close the connection.
///
/// # Cancel safety
///
/// As with every sink, `SinkExt::send` that is dropped may or may not have fed its message.
/// [`Node::send_to`](crate::Node::send_to) has one outcome.
pub struct PeerSink<Out> {
    queue: Arc<Queue<Out>>,
    routes: Arc<dyn Routes<Out>>,
    id: WaiterId,
    seq: u64,
    /// What happens when there is no room.
    when_full: WhenFull,
    /// Whether to look for room: there was none after the last message, or nothing was sent yet.
    full: bool,
}

impl<Out> PeerSink<Out> {
    pub(crate) fn new(queue: Arc<Queue<Out>>, routes: Arc<dyn Routes<Out>>) -> Self {
        Self {
            when_full: queue.sink_policy(None),
            queue,
            routes,
            id: WaiterId::next(),
            seq: 0,
            full: true,
        }
    }

    /// The same handle with a policy of its own for a full queue, instead of
    /// [the node's](crate::Builder::when_full). Clones of it have the same. Unless it
    /// [waits](WhenFull::Wait), it is always ready.
    #[must_use = "it gives the handle back"]
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.when_full = self.queue.sink_policy(Some(policy));
        self
    }

    /// Whom it sends to.
    pub fn peer(&self) -> Peer {
        self.queue.peer()
    }

    fn gone(&self) -> PeerGone {
        PeerGone(self.queue.peer())
    }
}

impl<Out: 'static> PeerSink<Out> {
    #[cold]
    fn offer(&mut self, message: Out) -> Result<(), PeerGone> {
        match self.queue.offer(message, self.when_full) {
            Offered::Queued(seq) => self.seq = seq,
            Offered::Dropped(message) => {
                drop(message);
                // The policy may be that it ends.
                return match self.queue.is_closed() {
                    true => Err(self.gone()),
                    false => Ok(()),
                };
            }
            Offered::Full(message) | Offered::Closed(message) => return self.lose(message),
        }
        Ok(())
    }

    #[cold]
    fn lose(&self, message: Out) -> Result<(), PeerGone> {
        self.routes.undelivered(self.peer(), 1);
        drop(message);
        Err(self.gone())
    }
}

impl<Out: 'static> Sink<Out> for PeerSink<Out> {
    type Error = PeerGone;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), PeerGone>> {
        let this = self.get_mut();
        if this.queue.is_closed() {
            return Poll::Ready(Err(this.gone()));
        }
        if this.full && this.when_full == WhenFull::Wait {
            ready!(this.queue.poll_room(cx, this.id)).map_err(|()| this.gone())?;
            this.full = false;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Out) -> Result<(), PeerGone> {
        let this = self.get_mut();
        if this.when_full != WhenFull::Wait {
            return this.offer(message);
        }
        match this.queue.push_ready(message) {
            Ok((seq, room)) => {
                (this.seq, this.full) = (seq, !room);
                Ok(())
            }
            Err(message) => this.lose(message),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), PeerGone>> {
        let written = self.queue.poll_written(cx, self.id, self.seq);
        written.map_err(|()| self.gone())
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), PeerGone>> {
        self.poll_flush(cx)
    }
}

/// A new handle, with nothing of its own to flush.
impl<Out> Clone for PeerSink<Out> {
    fn clone(&self) -> Self {
        let mut clone = Self::new(self.queue.clone(), self.routes.clone());
        clone.when_full = self.when_full;
        clone
    }
}

impl<Out> Drop for PeerSink<Out> {
    fn drop(&mut self) {
        self.queue.forget(self.id);
    }
}

// Nothing in it is pinned, whatever `Out` is.
impl<Out> Unpin for PeerSink<Out> {}

impl<Out> fmt::Debug for PeerSink<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerSink")
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
