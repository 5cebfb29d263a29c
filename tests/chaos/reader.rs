//! Who takes the events of a node, enters them in the books, and checks their order: `Connected`,
//! messages, `ReadClosed`, `Disconnected`, and nothing else of that connection after it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use wattle::{Event, Events, Peer};

use crate::{
    Chaos,
    account::{Account, Seen},
    books::End,
    codec::Message,
    failures::lock,
    rng::Rng,
};

/// The longest pause of a reader, in which it exerts backpressure.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(1500);

/// How long it reads between two pauses at least, so that everyone gets on.
const BETWEEN_PAUSES: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub(crate) enum Command {
    /// Take nothing for so long.
    Pause(Duration),
    /// Drop the stream: the node becomes write-only.
    Drop,
}

pub(crate) struct Reader {
    chaos: Arc<Chaos>,
    account: Arc<Account>,
    open: HashMap<Peer, Open>,
    ended: HashSet<Peer>,
    seen: Seen,
    rng: Rng,
}

struct Open {
    end: Arc<End>,
    read_closed: bool,
}

impl Reader {
    pub(crate) fn new(chaos: Arc<Chaos>, account: Arc<Account>, seed: u64) -> Self {
        Self {
            chaos,
            account,
            open: HashMap::new(),
            ended: HashSet::new(),
            seen: Seen::default(),
            rng: Rng::new(seed, 0),
        }
    }

    /// Reads until the stream ends, or is dropped by a command, or a while after all handles are gone:
    /// until then the node lives on for its reader.
    pub(crate) async fn run(
        mut self,
        mut events: Events<Message>,
        mut orders: mpsc::Receiver<Command>,
    ) {
        let mut orphaned = None;
        let mut paused = Instant::now();
        loop {
            let orphan = async {
                match orphaned {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                order = orders.recv(), if orphaned.is_none() && self.account.stats.get().is_none() => match order {
                    Some(Command::Pause(pause)) if paused.elapsed() > BETWEEN_PAUSES => {
                        if !self.pause(pause, &mut orders).await {
                            break;
                        }
                        paused = Instant::now();
                    }
                    Some(Command::Pause(_)) => {}
                    Some(Command::Drop) => break,
                    None if self.account.stats.get().is_some() => {}
                    None => orphaned = Some(Instant::now() + self.rng.millis(0, 300)),
                },
                () = orphan => break,
                event = events.recv() => match event {
                    Some(event) => self.take(event),
                    None => return self.finish(),
                },
            }
        }
        drop(events);
        self.account.totals.unwatched.store(true, SeqCst);
    }

    /// Whether to read on.
    async fn pause(&self, pause: Duration, orders: &mut mpsc::Receiver<Command>) -> bool {
        let over = sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return true,
                () = self.chaos.failures.stop.cancelled() => return true,
                order = orders.recv() => match order {
                    Some(Command::Drop) => return false,
                    Some(Command::Pause(_)) => {}
                    None => return true,
                },
            }
        }
    }

    fn wrong(&self, what: &str, peer: Peer) {
        let name = &self.account.totals.name;
        self.chaos.failures.report(format!("{name}: {what} {peer}"));
    }

    fn take(&mut self, event: Event<Message>) {
        match event {
            Event::Connected(peer) => self.connected(peer),
            Event::Message(message, peer) => {
                self.seen.messages += 1;
                match self.open.get(&peer) {
                    Some(open) if !open.read_closed => {
                        self.chaos.books.deliver(&open.end, &message)
                    }
                    _ => self.wrong("a message of a connection that isn't open:", peer),
                }
            }
            Event::ReadClosed(peer) => match self.open.get_mut(&peer) {
                Some(open) if !open.read_closed => open.read_closed = true,
                _ => self.wrong("ReadClosed of a connection that isn't open:", peer),
            },
            Event::Disconnected(peer, why) => {
                self.seen.disconnected += 1;
                self.seen.unsent += why.undelivered;
                self.ended.insert(peer);
                self.chaos.counts.ended(&why);
                match self.open.remove(&peer) {
                    Some(open) => self.chaos.books.ended(&open.end, &why),
                    None => self.wrong("Disconnected of a connection that isn't open:", peer),
                }
            }
            Event::Undelivered(_, messages) => self.seen.undelivered += messages,
            Event::Dropped(_, messages) => self.seen.dropped += messages,
            Event::Refused(_, refusal) => {
                self.seen.refused += 1;
                let text = format!("{refusal:?}");
                let end = text.rfind('(').unwrap_or(text.len());
                self.chaos.counts.add("refused by", &text[..end]);
            }
            Event::HandshakeFailed(peer, _) => {
                self.seen.handshakes_failed += 1;
                if self.open.contains_key(&peer) || self.ended.contains(&peer) {
                    self.wrong("HandshakeFailed of a connection:", peer);
                }
            }
            _ => {}
        }
    }

    fn connected(&mut self, peer: Peer) {
        self.seen.connected += 1;
        let Some(end) = self.chaos.books.end(peer.id()) else {
            return self.wrong("Connected without a handshake:", peer);
        };
        let open = Open {
            end,
            read_closed: false,
        };
        if self.open.insert(peer, open).is_some() || self.ended.contains(&peer) {
            self.wrong("Connected once more:", peer);
        }
    }

    /// The stream has ended.
    fn finish(mut self) {
        for peer in self.open.keys() {
            self.wrong("no Disconnected of", *peer);
        }
        let dialled = lock(&self.account.dialled);
        let unknown = dialled.iter().filter(|peer| !self.ended.contains(peer));
        self.seen.unknown_dialled = unknown.copied().collect();
        drop(dialled);
        if !self.account.ending.load(SeqCst) {
            let name = &self.account.totals.name;
            let text = format!("{name}: the stream ended, and the node wasn't shut down");
            self.chaos.failures.report(text);
        }
        let _ = self.account.seen.set(self.seen);
    }
}
