//! The way out: from the user's sinks to the connection tasks.
//!
//! ```text
//!  Outbound ──┐
//!  PeerSink ──┼─► the peer's queue ─ taken whole ─► connection task ─ encode ─► socket
//!  send_to ───┘
//! ```

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::sink::Sink;

use crate::{config::WhenFull, error::NodeShutDown, peer::Peer, waiters::WaiterId};

mod common;
mod peer_sink;
mod queue;
mod waiting;
mod weight;

pub(crate) use common::Common;
pub use peer_sink::PeerSink;
#[cfg(test)]
pub(crate) use queue::Pushed;
pub(crate) use queue::{Done, Offered, Order, Queue};
pub(crate) use waiting::{Ending, Push};
pub(crate) use weight::own as own_weigher;
pub use weight::{AsEncoded, Weigher};

/// What the sinks need of their node.
pub(crate) trait Routes<Out>: Send + Sync {
    /// The queue of a connected peer.
    fn route(&self, peer: Peer) -> Option<Arc<Queue<Out>>>;
    /// Whether the node has shut down.
    fn is_shut_down(&self) -> bool;
    /// Counts and reports messages for a peer that is gone.
    fn undelivered(&self, peer: Peer, messages: u64);
}

/// The node's one sink: `Sink<(Out, Peer)>`, so that `inbound.map(..).forward(outbound)` is a
/// program.
///
/// A message goes into the queue of its peer, and from there onto the wire as soon as the connection
/// can write, without a flush. `flush` resolves when everything fed through this handle was handed
/// to the operating system, or its peer is gone. Its only error is that the node has shut down: a
/// peer that leaves doesn't disturb the others. What is fed for a peer that is gone is counted in
/// [`Stats::undelivered`](crate::Stats::undelivered) and reported as
/// [`Event::Undelivered`](crate::Event::Undelivered).
///
/// A connection counts as written whole flushes of its own: a message is, when all that was encoded
/// with it is. So `flush` may wait for some messages behind the last one of this handle as well, and
/// of a connection that ends in the middle of a write, messages may count as undelivered that were
/// written.
///
/// Where a full queue stops it (see [`WhenFull`] for what else there is): the handle holds one message whose peer has no room, and is ready
/// again when that is queued, or its peer is gone (which a remote that takes nothing at all is at
/// the write timeout). So a slow peer slows down what goes through the same handle. For isolation
/// take a [`PeerSink`] per peer, or clone the handle: clones hold their own message. The message that
/// is held is lost when its peer is disconnected, however gracefully, or when the handle is dropped;
/// it is counted and reported as undelivered. Closing a handle flushes it and closes nothing else.
///
/// # Cancel safety
///
/// As with every sink, `SinkExt::send` that is dropped may or may not have fed its message.
/// [`Node::send_to`](crate::Node::send_to) has one outcome.
pub struct Outbound<Out> {
    routes: Arc<dyn Routes<Out>>,
    id: WaiterId,
    /// Instead of the node's policy.
    when_full: Option<WhenFull>,
    /// A message for the last peer, which has no room.
    stuck: Option<Out>,
    /// Who was sent to last.
    last: Option<Fed<Out>>,
    /// Whom else this handle may have unwritten messages for.
    others: BTreeMap<Peer, Fed<Out>>,
    /// At which number of others to look which of them are settled.
    sweep_at: usize,
}

/// A peer's queue, and how much of it this handle has to see written.
struct Fed<Out> {
    queue: Arc<Queue<Out>>,
    seq: u64,
}

/// How many other peers a handle remembers before it looks whose messages are written. As the number
/// doubles with what stays, a handle remembers at most twice the peers that have something unwritten.
const SWEEP_AT: usize = 64;

impl<Out> Outbound<Out> {
    pub(crate) fn new(routes: Arc<dyn Routes<Out>>) -> Self {
        Self {
            routes,
            id: WaiterId::next(),
            when_full: None,
            stuck: None,
            last: None,
            others: BTreeMap::new(),
            sweep_at: SWEEP_AT,
        }
    }

    /// The same handle with a policy of its own for full queues, instead of
    /// [the node's](crate::Builder::when_full). Clones of it have the same.
    #[must_use = "it gives the handle back"]
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.when_full = Some(policy);
        self
    }

    /// Makes a peer the last one, unless it isn't connected.
    fn turn_to(&mut self, peer: Peer) -> bool {
        let is_last = |last: &Fed<Out>| last.queue.peer() == peer;
        if self.last.as_ref().is_some_and(is_last) {
            return true;
        }
        let next = match self.others.remove(&peer) {
            Some(fed) => fed,
            None => match self.routes.route(peer) {
                Some(queue) => Fed { queue, seq: 0 },
                None => return false,
            },
        };
        if let Some(last) = self.last.replace(next) {
            self.others.insert(last.queue.peer(), last);
            self.sweep();
        }
        true
    }

    fn sweep(&mut self) {
        if self.others.len() >= self.sweep_at {
            self.others.retain(|_, fed| !fed.queue.is_settled(fed.seq));
            self.sweep_at = SWEEP_AT.max(2 * self.others.len());
        }
    }

    fn lose_stuck(&mut self) {
        if let (Some(_), Some(last)) = (self.stuck.take(), &self.last) {
            self.routes.undelivered(last.queue.peer(), 1);
        }
    }
}

impl<Out: 'static> Outbound<Out> {
    /// Offers a message to the last peer.
    fn offer(&mut self, message: Out) -> Offered<Out> {
        let Some(last) = &mut self.last else {
            return Offered::Closed(message);
        };
        let policy = last.queue.sink_policy(self.when_full);
        let offered = last.queue.offer(message, policy);
        if let Offered::Queued(seq) = offered {
            last.seq = seq;
        }
        offered
    }

    fn poll_stuck(&mut self, cx: &Context<'_>) -> Poll<()> {
        if let (Some(_), Some(last)) = (&self.stuck, &mut self.last) {
            match ready!(last.queue.poll_push(cx, self.id, &mut self.stuck)) {
                Ok(seq) => last.seq = seq,
                Err(()) => self.lose_stuck(),
            }
        }
        Poll::Ready(())
    }
}

impl<Out: 'static> Sink<(Out, Peer)> for Outbound<Out> {
    type Error = NodeShutDown;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), NodeShutDown>> {
        let this = self.get_mut();
        ready!(this.poll_stuck(cx));
        Poll::Ready(if this.routes.is_shut_down() {
            Err(NodeShutDown)
        } else {
            Ok(())
        })
    }

    fn start_send(self: Pin<&mut Self>, item: (Out, Peer)) -> Result<(), NodeShutDown> {
        let this = self.get_mut();
        // Only a caller that didn't wait until the sink was ready finds one here.
        this.lose_stuck();
        let (message, peer) = item;
        let offered = match this.turn_to(peer) {
            true => this.offer(message),
            false => Offered::Closed(message),
        };
        match offered {
            Offered::Queued(_) => {}
            Offered::Full(message) => this.stuck = Some(message),
            Offered::Dropped(message) => drop(message),
            Offered::Closed(message) => {
                // First, because the message may panic when it is dropped.
                this.routes.undelivered(peer, 1);
                drop(message);
            }
        }
        Ok(())
    }

    /// One peer at a time: all have to be written, in whatever order they are.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), NodeShutDown>> {
        let this = self.get_mut();
        ready!(this.poll_stuck(cx));
        if let Some(last) = &this.last {
            let _gone_or_written = ready!(last.queue.poll_written(cx, this.id, last.seq));
        }
        while let Some(entry) = this.others.first_entry() {
            let fed = entry.get();
            let _gone_or_written = ready!(fed.queue.poll_written(cx, this.id, fed.seq));
            entry.remove();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), NodeShutDown>> {
        self.poll_flush(cx)
    }
}

/// A new handle, with nothing of its own to flush.
impl<Out> Clone for Outbound<Out> {
    fn clone(&self) -> Self {
        let mut clone = Self::new(self.routes.clone());
        clone.when_full = self.when_full;
        clone
    }
}

impl<Out> Drop for Outbound<Out> {
    fn drop(&mut self) {
        for fed in self.last.iter().chain(self.others.values()) {
            fed.queue.forget(self.id);
        }
        self.lose_stuck();
    }
}

// Nothing in it is pinned, whatever `Out` is.
impl<Out> Unpin for Outbound<Out> {}

impl<Out> fmt::Debug for Outbound<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}
