//! The actions that send. A worker's messages to one connection are a flow for each way of sending:
//! within it they arrive in order.

use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use futures::{Sink, SinkExt};
use tokio::time::timeout;
use wattle::{Peer, SendError, WhenFull};

use crate::{
    books::{ANY, Offer},
    codec::Message,
    options::POLICIES,
    page::Fate,
    pool::Member,
    reader::LONGEST_PAUSE,
    worker::Worker,
};

/// Numbers of flows: the way of sending times this, plus the number of the worker.
const WORKERS: u16 = 64;
const DIRECT: u16 = 0;
const BROADCAST: u16 = 1;
const OUTBOUND: u16 = 2;
const PEER_SINK: u16 = 3;

impl Worker {
    fn flow(&self, way: u16) -> u16 {
        way * WORKERS + self.number as u16
    }

    /// Mostly small, now and then larger than any queue.
    fn size(&mut self) -> usize {
        let most = match self.rng.below(100) {
            0 => 100 * 1024,
            1..10 => 4 * 1024,
            _ => 128,
        };
        self.rng.below(most) as usize
    }

    /// The longest that a sender waits: until a reader goes on, or the connection is given up.
    fn send_bound(member: &Member) -> Duration {
        2 * LONGEST_PAUSE + member.options.write_timeout + member.options.drain_timeout
    }

    /// Several messages to one peer; with a patience, the future is dropped after it.
    pub(crate) async fn send(&mut self, member: &Arc<Member>, patience: Option<Duration>) {
        let Some(peer) = member.peer(&mut self.rng) else {
            return;
        };
        let bound = Self::send_bound(member);
        for _ in 0..self.rng.between(1, 16) {
            let offer = self.chaos.books.offer(peer, self.flow(DIRECT));
            let message = offer.message(peer.id(), self.size());
            let send = member.node.send_to(message, peer);
            let send = timeout(patience.unwrap_or(Duration::MAX), send);
            match self.watch("send_to", member, bound, send).await {
                Ok(sent) => {
                    if !self.sent(member, offer, sent) {
                        return;
                    }
                }
                Err(_elapsed) => {
                    self.chaos.counts.add("dropped midway", "send_to");
                    return self.chaos.books.resolve(offer, Fate::Refused);
                }
            }
        }
    }

    pub(crate) fn try_send(&mut self, member: &Member) {
        let Some(peer) = member.peer(&mut self.rng) else {
            return;
        };
        for _ in 0..self.rng.between(1, 32) {
            let offer = self.chaos.books.offer(peer, self.flow(DIRECT));
            let message = offer.message(peer.id(), self.size());
            let sent = member.node.try_send_to(message, peer);
            if !self.sent(member, offer, sent) {
                return;
            }
        }
    }

    /// Whether it was taken.
    fn sent(&self, member: &Member, offer: Offer, sent: Result<(), SendError<Message>>) -> bool {
        match sent {
            Ok(()) => {
                member.fed(1);
                self.chaos.books.resolve(offer, Fate::Queued);
                true
            }
            Err(error) => {
                let other = || format!("another message came back: {:?}", error.message);
                let same = error.message.id == offer.id();
                self.chaos.failures.check(same, other);
                let reason = format!("{:?}", error.reason);
                self.chaos.counts.add("not sent", reason);
                self.chaos.books.resolve(offer, Fate::Refused);
                false
            }
        }
    }

    pub(crate) fn broadcast(&mut self, member: &Member) {
        let (flow, size) = (self.flow(BROADCAST), self.size());
        let books = self.chaos.books.clone();
        let id = books.next_id();
        let (all, rng) = (self.rng.chance(500), &mut self.rng);
        let mut offers = Vec::new();
        let message = Message {
            link: ANY,
            flow,
            id,
            size,
        };
        let report = member.node.broadcast_where(message, |peer| {
            let wanted = all || rng.chance(500);
            if wanted {
                offers.push((peer, books.offer_again(peer, flow, id)));
            }
            wanted
        });
        let mut fed = report.queued;
        if let WhenFull::DropNewest | WhenFull::Disconnect = member.options.when_full {
            // Dropped or undelivered, and counted as such, other than with `Wait` and `Reject`.
            fed += report.full.len();
        }
        member.fed(fed as u64);
        // Those that were being closed are neither queued nor named.
        let certain = report.queued + report.full.len() == offers.len();
        for (peer, offer) in offers {
            let fate = match report.full.contains(&peer) {
                true => Fate::Refused,
                false if certain => Fate::Queued,
                false => Fate::Unknown,
            };
            books.resolve(offer, fate);
        }
    }

    /// Feeds an `Outbound` for several peers, and flushes it, or drops it with what it holds.
    pub(crate) async fn outbound(&mut self, member: &Arc<Member>) {
        let mut sink = member.node.outbound();
        if let Some(policy) = self.own_policy(member) {
            sink = sink.when_full(policy);
        }
        let mut held = None;
        for _ in 0..self.rng.between(1, 24) {
            if !self.ready(member, &mut sink, &mut held).await {
                break;
            }
            let Some(peer) = member.peer(&mut self.rng) else {
                break;
            };
            let offer = self.chaos.books.offer(peer, self.flow(OUTBOUND));
            let message = offer.message(peer.id(), self.size());
            match sink.start_send_unpin((message, peer)) {
                Ok(()) => {
                    member.fed(1);
                    held = Some(offer);
                }
                Err(_) => self.chaos.books.resolve(offer, Fate::Refused),
            }
        }
        if self.rng.chance(500) {
            self.flush(member, &mut sink, &mut held).await;
        }
        drop(sink);
        self.settle(&mut held, Fate::Unknown);
    }

    /// Waits, not for ever, until the sink is ready; what it held is queued then, or its peer is gone.
    async fn ready<S>(
        &mut self,
        member: &Arc<Member>,
        sink: &mut S,
        held: &mut Option<Offer>,
    ) -> bool
    where
        S: Sink<(Message, Peer)> + Unpin,
    {
        let patience = self.rng.millis(0, 50);
        let ready = poll_fn(|cx| Pin::new(&mut *sink).poll_ready(cx));
        let ready = timeout(patience, ready);
        let ready = self
            .watch("Outbound::poll_ready", member, patience, ready)
            .await;
        if ready.is_ok() {
            self.settle(held, Fate::Fed);
        }
        matches!(ready, Ok(Ok(())))
    }

    async fn flush<S>(&mut self, member: &Arc<Member>, sink: &mut S, held: &mut Option<Offer>)
    where
        S: Sink<(Message, Peer)> + Unpin,
    {
        let bound = 8 * Self::send_bound(member);
        let patience = self.patience();
        let flush = timeout(patience, sink.flush());
        match self.watch("Outbound::flush", member, bound, flush).await {
            Ok(_) => self.settle(held, Fate::Fed),
            Err(_elapsed) => self.chaos.counts.add("dropped midway", "Outbound::flush"),
        }
    }

    fn settle(&self, held: &mut Option<Offer>, fate: Fate) {
        if let Some(offer) = held.take() {
            self.chaos.books.resolve(offer, fate);
        }
    }

    /// What a sink is to do when there is no room, if it shall differ from its node.
    fn own_policy(&mut self, member: &Member) -> Option<WhenFull> {
        if !member.options.own_policies || self.rng.chance(500) {
            return None;
        }
        self.rng.pick(&POLICIES).copied()
    }

    /// For ever, or not.
    fn patience(&mut self) -> Duration {
        self.rng
            .maybe(700, |rng| rng.millis(0, 50))
            .unwrap_or(Duration::MAX)
    }

    pub(crate) async fn peer_sink(&mut self, member: &Arc<Member>) {
        let Some(peer) = member.peer(&mut self.rng) else {
            return;
        };
        let Some(mut sink) = member.node.peer_sink(peer) else {
            return;
        };
        if let Some(policy) = self.own_policy(member) {
            sink = sink.when_full(policy);
        }
        let bound = Self::send_bound(member);
        for _ in 0..self.rng.between(1, 24) {
            let patience = self.patience();
            let ready = timeout(patience, poll_fn(|cx| sink.poll_ready_unpin(cx)));
            let ready = self
                .watch("PeerSink::poll_ready", member, bound, ready)
                .await;
            if !matches!(ready, Ok(Ok(()))) {
                break;
            }
            let offer = self.chaos.books.offer(peer, self.flow(PEER_SINK));
            let message = offer.message(peer.id(), self.size());
            // What it doesn't take any more is counted as undelivered, too.
            member.fed(1);
            let fate = match sink.start_send_unpin(message) {
                Ok(()) => Fate::Queued,
                Err(_gone) => Fate::Refused,
            };
            self.chaos.books.resolve(offer, fate);
        }
        if self.rng.chance(500) {
            let flush = timeout(self.patience(), sink.flush());
            let flushed = self
                .watch("PeerSink::flush", member, 2 * bound, flush)
                .await;
            if flushed.is_err() {
                self.chaos.counts.add("dropped midway", "PeerSink::flush");
            }
        }
    }
}
