//! The books: every message that was sent, every end of a connection, until both are settled.
//!
//! Both ends of a connection are in this process. In their handshake they tell each other the ids of
//! their [`Peer`](wattle::Peer)s, by which the books join them.
//!
//! # Laws, of each direction of each connection
//!
//! 1. What arrives was sent on this very connection, arrives once, and in the order of its flow.
//! 2. What was given back to the sender, or was in a future that was dropped, does not arrive.
//! 3. Nothing is missing *before* something that arrived, other than what a policy dropped.
//! 4. When the receiver saw the end of the stream, nothing is missing but what the sender's
//!    `Disconnect` says is undelivered: so a message is delivered, or reported, or was in a connection
//!    that ended in another way.
//! 5. What the sender's `Disconnect` doesn't report as undelivered went through the encoder.
//! 6. An end that closes by itself, and in time, leaves no half of a message on the wire.
//! 7. A reader that stays gets all that was decoded before it gets `Disconnected`.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use wattle::{Disconnect, Peer, Reason};

use crate::{
    account::Totals,
    failures::{Failures, lock},
    page::{Fate, Page},
};

/// Ids with this bit belong to remotes that are no node.
pub(crate) const FOREIGN: u64 = 1 << 63;

/// The id in a message that goes to several; no peer has it.
pub(crate) const ANY: u64 = 0;

/// Few enough to go through, enough not to be fought over.
const SHARDS: usize = 16;

#[derive(Debug)]
pub(crate) struct Books {
    ends: [Mutex<HashMap<u64, Arc<End>>>; SHARDS],
    next_message: AtomicU64,
    pub(crate) failures: Arc<Failures>,
    pub(crate) delivered: AtomicU64,
    pub(crate) tally: Mutex<Tally>,
}

/// What settled connections came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) ends: u64,
    /// Directions in which nothing may be missing but what is reported, and what was.
    pub(crate) whole: u64,
    pub(crate) reported: u64,
    /// Messages in connections that ended in another way.
    pub(crate) cut_off: u64,
}

/// One end of a connection, and the page of what it sent.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) id: u64,
    pub(crate) owner: Arc<Totals>,
    remote: OnceLock<u64>,
    /// Its codec is dropped: nothing more is read or written.
    gone: AtomicBool,
    encoded: AtomicU64,
    decoded: AtomicU64,
    yielded: AtomicU64,
    ended: OnceLock<Ended>,
    page: Mutex<Page>,
}

/// What `Disconnected` said.
#[derive(Debug)]
struct Ended {
    undelivered: u64,
    saw_the_end: bool,
    inside_frame: bool,
    /// Closed by itself, and in time.
    closed: bool,
    /// In words.
    why: String,
}

/// Dropped with the codec.
#[derive(Debug)]
pub(crate) struct EndGuard(pub(crate) Arc<End>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.gone.store(true, SeqCst);
    }
}

/// An attempt to send one message. `end` is `None` when the connection was settled already.
#[derive(Debug)]
#[must_use = "an attempt has an outcome"]
pub(crate) struct Offer {
    end: Option<Arc<End>>,
    flow: u16,
    id: u64,
}

impl Books {
    pub(crate) fn new(failures: Arc<Failures>) -> Self {
        Self {
            ends: Default::default(),
            next_message: AtomicU64::new(1),
            failures,
            delivered: AtomicU64::new(0),
            tally: Mutex::default(),
        }
    }

    fn shard(&self, id: u64) -> &Mutex<HashMap<u64, Arc<End>>> {
        &self.ends[id as usize % SHARDS]
    }

    pub(crate) fn end(&self, id: u64) -> Option<Arc<End>> {
        lock(self.shard(id)).get(&id).cloned()
    }

    /// A new end, whose handshake begins.
    pub(crate) fn open(&self, peer: Peer, owner: &Arc<Totals>) -> EndGuard {
        let end = Arc::new(End {
            id: peer.id(),
            owner: owner.clone(),
            remote: OnceLock::new(),
            gone: AtomicBool::new(false),
            encoded: AtomicU64::new(0),
            decoded: AtomicU64::new(0),
            yielded: AtomicU64::new(0),
            ended: OnceLock::new(),
            page: Mutex::default(),
        });
        let before = lock(self.shard(end.id)).insert(end.id, end.clone());
        let never = || format!("the id of {peer} was used before");
        self.failures.check(before.is_none(), never);
        EndGuard(end)
    }

    /// Begins an attempt to send to a peer: before the library is asked, as the message may arrive
    /// before the sender knows that it was taken.
    pub(crate) fn offer(&self, peer: Peer, flow: u16) -> Offer {
        self.offer_again(peer, flow, self.next_id())
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_message.fetch_add(1, SeqCst)
    }

    /// The same for one more copy of a message.
    pub(crate) fn offer_again(&self, peer: Peer, flow: u16, id: u64) -> Offer {
        let end = self.end(peer.id());
        if let Some(end) = &end {
            lock(&end.page).offer(flow, id);
        }
        Offer { end, flow, id }
    }

    pub(crate) fn resolve(&self, offer: Offer, fate: Fate) {
        if let Some(end) = offer.end
            && let Err(wrong) = lock(&end.page).resolve(offer.flow, offer.id, fate)
        {
            self.failures.report(format!("{}: {wrong}", end.named()));
        }
    }

    /// A message from a remote with this id came out of the stream at this end.
    pub(crate) fn deliver(&self, at: &End, message: &crate::codec::Message) {
        at.yielded.fetch_add(1, SeqCst);
        self.delivered.fetch_add(1, SeqCst);
        let remote = at.remote.get().copied();
        if message.link != ANY && remote != Some(message.link) {
            let strange = format!("{}: {message:?} from {remote:?}", at.named());
            return self.failures.report(strange);
        }
        if message.link & FOREIGN != 0 {
            return;
        }
        let Some(from) = remote.and_then(|remote| self.end(remote)) else {
            let unknown = format!("{}: {message:?} of a settled connection", at.named());
            return self.failures.report(unknown);
        };
        match lock(&from.page).deliver(message.flow, message.id) {
            Ok(0) => {}
            Ok(missing) if from.owner.may_drop => {
                from.owner.holes.fetch_add(missing, SeqCst);
            }
            Ok(missing) => self.failures.report(format!(
                "{missing} messages are missing before {message:?} from {} to {}",
                from.named(),
                at.named()
            )),
            Err(wrong) => {
                let (from, at) = (from.named(), at.named());
                self.failures.report(format!("{from} to {at}: {wrong}"));
            }
        }
    }

    /// `Disconnected` came out of the stream at this end.
    pub(crate) fn ended(&self, end: &End, why: &Disconnect) {
        let ended = Ended {
            undelivered: why.undelivered,
            saw_the_end: matches!(
                why.reason,
                Reason::EndOfStream | Reason::EndInsideFrame { .. }
            ),
            inside_frame: matches!(why.reason, Reason::EndInsideFrame { .. }),
            closed: !why.drain_timed_out
                && matches!(
                    why.reason,
                    Reason::Disconnected | Reason::Shutdown | Reason::Encode(_)
                ),
            why: why.to_string(),
        };
        let (decoded, yielded) = (end.decoded.load(SeqCst), end.yielded.load(SeqCst));
        self.failures.check(decoded == yielded, || {
            format!(
                "{}: {decoded} messages decoded, {yielded} yielded before its end ({why})",
                end.named()
            )
        });
        self.failures.check(end.gone.load(SeqCst), || {
            format!("{}: its codec lives after its end ({why})", end.named())
        });
        let first = end.ended.set(ended).is_ok();
        let twice = || format!("{}: ended twice ({why})", end.named());
        self.failures.check(first, twice);
    }

    /// Settles all connections that are over, and tells how many ends are left.
    pub(crate) fn settle(&self) -> usize {
        let all: Vec<_> = self
            .ends
            .iter()
            .flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>())
            .collect();
        for end in all {
            let remote = end.remote.get().and_then(|remote| self.end(*remote));
            let over = end.is_over() && remote.as_ref().is_none_or(|remote| remote.is_over());
            // One that has gone meanwhile was settled with its remote.
            if !over || self.end(end.id).is_none() {
                continue;
            }
            self.close_page(&end, remote.as_deref());
            lock(self.shard(end.id)).remove(&end.id);
            if let Some(remote) = remote
                && remote.remote.get() == Some(&end.id)
            {
                self.close_page(&remote, Some(&end));
                lock(self.shard(remote.id)).remove(&remote.id);
            }
        }
        self.ends.iter().map(|shard| lock(shard).len()).sum()
    }

    /// The laws at the end of one direction.
    fn close_page(&self, from: &End, to: Option<&End>) {
        let page = lock(&from.page);
        let missing = page.missing();
        let mut tally = lock(&self.tally);
        tally.ends += 1;
        let holes = from.owner.holes.load(SeqCst);
        if let Some(&dropped) = from.owner.dropped.get() {
            self.failures.check(holes <= dropped, || {
                format!("{}: {holes} missing, {dropped} dropped", from.named())
            });
        }
        let Some(ended) = from.ended.get() else {
            return tally.cut_off += missing;
        };
        let (queued, encoded) = (page.queued, from.encoded.load(SeqCst));
        let reported = ended.undelivered;
        if !from.owner.may_drop {
            self.failures.check(queued <= encoded + reported, || {
                let name = from.named();
                format!("{name}: {queued} queued, {encoded} encoded, {reported} reported")
            });
        }
        let at_end = to.and_then(|to| to.ended.get());
        let half = at_end.is_some_and(|at_end| ended.closed && at_end.inside_frame);
        self.failures.check(!half, || {
            let name = from.named();
            format!("{name} ({}) left half a frame at {to:?}", ended.why)
        });
        let saw_the_end = at_end.is_some_and(|at_end| at_end.saw_the_end);
        if !saw_the_end || from.owner.may_drop {
            return tally.cut_off += missing;
        }
        tally.whole += 1;
        tally.reported += missing;
        self.failures.check(missing <= reported, || {
            let sent = format!("{} ({})", from.named(), ended.why);
            format!("{missing} of {queued} missing that {sent} sent to {to:?}: {page:?}")
        });
    }

    /// Those that are not settled, for a failure.
    pub(crate) fn unsettled(&self) -> Vec<String> {
        let shards = self.ends.iter();
        let ends = shards.flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>());
        ends.take(8)
            .map(|end| format!("{}: {end:?}", end.named()))
            .collect()
    }
}

impl End {
    pub(crate) fn named(&self) -> String {
        format!("#{} of {}", self.id, self.owner.name)
    }

    /// The remote told its id.
    pub(crate) fn join(&self, remote: u64) {
        let _ = self.remote.set(remote);
    }

    pub(crate) fn count_encoded(&self) {
        self.encoded.fetch_add(1, SeqCst);
    }

    pub(crate) fn count_decoded(&self) {
        self.decoded.fetch_add(1, SeqCst);
        self.owner.decoded.fetch_add(1, SeqCst);
    }

    /// Nothing more will be sent, received or said.
    fn is_over(&self) -> bool {
        self.gone.load(SeqCst)
            && (self.ended.get().is_some() || self.owner.is_silent())
            && lock(&self.page).pending == 0
    }
}

impl Offer {
    pub(crate) fn message(&self, link: u64, size: usize) -> crate::codec::Message {
        crate::codec::Message {
            link,
            flow: self.flow,
            id: self.id,
            size,
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}
