//! The nodes: up to [`SLOTS`] at a time.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use wattle::{Events, Limits, Node, Peer, StartError, Stats};

use crate::{
    Chaos,
    account::Account,
    ceiling::{self, Ceiling},
    codec::Message,
    failures::{Failures, lock},
    options::Options,
    protocol::Chaotic,
    reader::Command,
    rng::Rng,
};

pub(crate) const SLOTS: usize = 32;

/// How late a deadline may be on a busy machine before a limit that was lowered has to be kept by those
/// who were on their way in.
const LATE: Duration = Duration::from_secs(5);

/// Addresses where a node listened once, for diallers.
const STALE: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Pool {
    slots: [Mutex<Option<Arc<Member>>>; SLOTS],
    started: AtomicU64,
    stale: Mutex<Vec<SocketAddr>>,
}

/// A node in the pool. Workers that use it hold it for so long; dropping the last drops its handle.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) node: Node<Message>,
    pub(crate) options: Options,
    pub(crate) account: Arc<Account>,
    pub(crate) commands: mpsc::Sender<Command>,
    /// `shutdown` has resolved.
    pub(crate) is_shut_down: AtomicBool,
    ceilings: Mutex<[Ceiling; ceiling::SEEN]>,
    last: Mutex<Stats>,
}

impl Pool {
    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.slots
            .iter()
            .filter_map(|slot| lock(slot).clone())
            .collect()
    }

    pub(crate) fn any(&self, rng: &mut Rng) -> Option<Arc<Member>> {
        rng.pick(&self.members()).cloned()
    }

    pub(crate) fn take(&self, rng: &mut Rng) -> Option<Arc<Member>> {
        let from = rng.below(SLOTS as u64) as usize;
        let slots = self.slots.iter().cycle().skip(from).take(SLOTS);
        slots.filter_map(|slot| lock(slot).take()).next()
    }

    /// Takes this node out of the pool, if it is still in it.
    pub(crate) fn remove(&self, member: &Arc<Member>) {
        for slot in &self.slots {
            let removed = lock(slot).take_if(|each| Arc::ptr_eq(each, member));
            drop(removed);
        }
    }

    pub(crate) fn free_slot(&self, rng: &mut Rng) -> Option<usize> {
        let free: Vec<_> = (0..SLOTS)
            .filter(|&slot| lock(&self.slots[slot]).is_none())
            .collect();
        rng.pick(&free).copied()
    }

    /// An address to dial: nearly always one where a node listens.
    pub(crate) fn address(&self, rng: &mut Rng) -> Option<SocketAddr> {
        let stale = rng.chance(50);
        let listening = self.any(rng).and_then(|member| member.node.local_addr());
        match listening {
            Some(addr) if !stale => Some(addr),
            _ => rng.pick(&lock(&self.stale)).copied(),
        }
    }

    pub(crate) fn remember(&self, addr: SocketAddr) {
        let mut stale = lock(&self.stale);
        if stale.len() < STALE {
            stale.push(addr);
        } else {
            let at = addr.port() as usize % STALE;
            stale[at] = addr;
        }
    }

    /// Starts a node; its reader is a task.
    pub(crate) async fn start(
        &self,
        chaos: &Arc<Chaos>,
        slot: usize,
        rng: &mut Rng,
    ) -> Result<Arc<Member>, StartError> {
        let number = self.started.fetch_add(1, SeqCst);
        let (name, options) = (format!("node {number}"), Options::random(rng, slot));
        let failures = chaos.failures.clone();
        let account = Account::new(name.clone(), &options, failures);
        let account = Arc::new(account);
        let protocol = Chaotic {
            books: chaos.books.clone(),
            totals: account.totals.clone(),
            faults: options.faults,
            rng: Mutex::new(Rng::new(rng.next(), number)),
        };
        let builder = options.builder(&name);
        let (node, inbound) = if options.weighed {
            let weigher = |message: &Message| message.size;
            builder.weigher(weigher).start(protocol).await?
        } else {
            builder.start(protocol).await?
        };
        if let Some(addr) = node.local_addr() {
            self.remember(addr);
        }
        let (commands, orders) = mpsc::channel(4);
        let limits = ceiling::of(&node.admission().limits());
        let member = Arc::new(Member {
            node,
            account: account.clone(),
            commands,
            is_shut_down: AtomicBool::new(false),
            ceilings: Mutex::new(limits.map(Ceiling::of)),
            last: Mutex::default(),
            options,
        });
        let events: Events<Message> = inbound.into_events();
        chaos.read(events, orders, account, rng.next());
        let occupied = lock(&self.slots[slot]).replace(member.clone());
        // Another worker was quicker: its node is dropped.
        drop(occupied);
        Ok(member)
    }
}

impl Member {
    pub(crate) fn peer(&self, rng: &mut Rng) -> Option<Peer> {
        rng.pick(&self.node.peers()).copied()
    }

    /// Counts messages that the node has to account for.
    pub(crate) fn fed(&self, messages: u64) {
        self.account.totals.fed.fetch_add(messages, SeqCst);
    }

    pub(crate) fn describe(&self) -> String {
        let name = &self.account.totals.name;
        let (stats, options) = (self.node.stats(), &self.options);
        format!("{name}: {stats:?} {options:?}")
    }

    /// Changes limits, and with them what the watchdog allows.
    pub(crate) fn change_limits(&self, failures: &Failures, change: impl FnOnce(&mut Limits)) {
        let mut ceilings = lock(&self.ceilings);
        let admission = self.node.admission();
        let mut limits = admission.limits();
        change(&mut limits);
        limits.max_pending = self.options.max_pending.min(limits.max_connections);
        limits.pending_for_dialing = limits.pending_for_dialing.min(limits.max_pending - 1);
        if let Err(error) = admission.set_limits(limits) {
            failures.report(format!("{limits:?}: {error}"));
        }
        for (ceiling, most) in ceilings.iter_mut().zip(ceiling::of(&limits)) {
            ceiling.set(most);
        }
    }

    /// Leaves room for one connection, from wherever it comes.
    pub(crate) fn limit_to_one(&self, failures: &Failures) {
        self.change_limits(failures, |limits| {
            *limits = Limits::default();
            limits.max_connections = 1;
        });
        let admission = self.node.admission();
        admission.remove_filter();
        for (net, _) in admission.banned() {
            admission.unban(net);
        }
    }

    /// What holds at any time.
    pub(crate) fn check(&self, failures: &Failures) {
        let mut ceilings = lock(&self.ceilings);
        let numbers = ceiling::number(&self.node);
        let on_their_way = self.options.connect_timeout + self.options.handshake_timeout + LATE;
        for (ceiling, number) in ceilings.iter_mut().zip(numbers) {
            let before = *ceiling;
            failures.check(ceiling.allows(number, on_their_way), || {
                format!("{number} are above {before:?}: {}", self.describe())
            });
        }
        drop(ceilings);
        let stats = self.node.stats();
        let mut last = lock(&self.last);
        let counters = |stats: &Stats| {
            [
                stats.connected,
                stats.disconnected,
                stats.messages_in,
                stats.messages_out,
                stats.bytes_in,
                stats.bytes_out,
                stats.undelivered,
                stats.dropped,
                stats.handshakes_failed,
            ]
        };
        let (before, after) = (counters(&last), counters(&stats));
        let grown = before
            .iter()
            .zip(after)
            .all(|(before, after)| *before <= after);
        failures.check(grown, || format!("a counter went back: {last:?} {stats:?}"));
        *last = stats;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // All sinks were dropped before this.
        if self.is_shut_down.load(SeqCst) {
            let _ = self.account.stats.set(self.node.stats());
        }
    }
}
