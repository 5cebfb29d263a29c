//! Chaos: a pool of up to 32 nodes over TCP on this host, and 16 workers that do at random whatever can
//! be done to them, while books are kept that have to be exact in the end.
//!
//! ```sh
//! cargo test --test chaos -- --nocapture                       # five seconds; thirty in CI
//! WATTLE_CHAOS_SECONDS=3600 cargo test --test chaos -- --nocapture threads
//! WATTLE_CHAOS_SEED=1 WATTLE_CHAOS_THREADS=2 cargo test --test chaos -- --nocapture threads
//! ```
//!
//! The seed is printed at the start and with every failure. It determines the options of the nodes and
//! the mix of actions, which is rolled again each second, but not the order in which threads and
//! sockets get on: a failure comes back with its seed more often than with another, and not always. At
//! the end it prints how often what was done and met. For hours, nothing else is needed: what is settled
//! leaves the books, so the memory that they take doesn't grow.
//!
//! # What goes wrong on purpose
//!
//! Nodes have tiny queues, short deadlines, few connections, any policy for full queues, a memory budget,
//! a cap on frames; handshakes, codecs and filters that fail, panic or stall; readers that pause or go
//! away. Futures are dropped midway, sinks with what they hold. Listeners come and go, limits and bans
//! change. Remotes that are no nodes send garbage, half a frame, byte by byte, reset, close half, or stall.
//!
//! # What is checked while it runs
//!
//! By a thread of its own ([`watchdog`]), which also notices when the runtime itself doesn't get on:
//!
//! - No operation takes longer than its bound, which follows from the options of its node.
//! - Limits are kept, also when they change ([`ceiling`]). No counter goes back.
//! - Messages are delivered. Descriptors and tasks stay below their ceilings.
//!
//! By whoever reads events ([`reader`]): the order of the events of each connection. By the books ([`books`]):
//! each message arrives where it was sent to, once, in order, with its own bytes, and none that was
//! not taken.
//!
//! # What is checked at the end
//!
//! - Of each connection ([`books`]): a message is delivered, or reported, or was in a connection that
//!   ended. *Ended* means that the receiver did not see the end of the sender's stream: it was reset, or
//!   closed from the receiver's side, or its reader had gone. Wherever the receiver did see the end, what is
//!   missing is no more than what the sender's `Disconnect` says; and wherever anything is missing,
//!   nothing that was sent behind it has arrived, unless a policy was told to drop.
//! - Of each node ([`account`]): its counters, its events and what the workers did add up. (Of a node that is
//!   dropped rather than shut down nobody can ask.)
//! - Of each node that is left ([`exam`]): when there is room for one connection, one gets in.
//! - As many tasks and descriptors as at the start.
//!
//! What it has found has tests of its own ([`found`]).

mod common;

#[path = "chaos/account.rs"]
mod account;
#[path = "chaos/books.rs"]
mod books;
#[path = "chaos/ceiling.rs"]
mod ceiling;
#[path = "chaos/codec.rs"]
mod codec;
#[path = "chaos/counts.rs"]
mod counts;
#[path = "chaos/exam.rs"]
mod exam;
#[path = "chaos/failures.rs"]
mod failures;
#[path = "chaos/foreign.rs"]
mod foreign;
#[path = "chaos/found.rs"]
mod found;
#[path = "chaos/gate.rs"]
mod gate;
#[path = "chaos/mix.rs"]
mod mix;
#[path = "chaos/options.rs"]
mod options;
#[path = "chaos/page.rs"]
mod page;
#[path = "chaos/pool.rs"]
mod pool;
#[path = "chaos/protocol.rs"]
mod protocol;
#[path = "chaos/reader.rs"]
mod reader;
#[path = "chaos/rng.rs"]
mod rng;
#[path = "chaos/sending.rs"]
mod sending;
#[path = "chaos/watchdog.rs"]
mod watchdog;
#[path = "chaos/worker.rs"]
mod worker;

use std::{
    collections::hash_map::RandomState,
    env,
    future::Future,
    hash::BuildHasher,
    panic,
    str::FromStr,
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use wattle::Events;

use account::Account;
use books::Books;
use codec::Message;
use counts::Counts;
use failures::{Failures, lock};
use pool::Pool;
use reader::{Command, Reader};
use watchdog::{Ops, SLACK, descriptors};
use worker::Worker;

/// How many act at the same time.
const WORKERS: usize = 16;

/// How long a mix of actions lasts.
const EPOCH: Duration = Duration::from_secs(1);

/// How long a run takes when nothing else is said.
const IN_CI: Duration = Duration::from_secs(30);
const BY_HAND: Duration = Duration::from_secs(5);

/// The most that the run on one thread takes.
const ON_ONE_THREAD: Duration = Duration::from_secs(5);

/// How many remotes there are at a time that are no nodes.
const FOREIGNERS: usize = 32;

/// What all parts of a run share.
#[derive(Debug)]
struct Chaos {
    seed: u64,
    epoch: AtomicU64,
    failures: Arc<Failures>,
    books: Arc<Books>,
    pool: Pool,
    ops: Ops,
    counts: Counts,
    peaks: Peaks,
    foreigners: Arc<Semaphore>,
    /// Readers and foreigners.
    tasks: Mutex<JoinSet<()>>,
    /// Cancelled when there is nothing more to watch.
    over: CancellationToken,
}

/// The most that there were at a time.
#[derive(Debug, Default)]
struct Peaks {
    descriptors: AtomicUsize,
    tasks: AtomicUsize,
}

impl Chaos {
    fn new(seed: u64) -> Arc<Self> {
        let failures = Failures::new(seed);
        Arc::new(Self {
            seed,
            epoch: AtomicU64::new(0),
            books: Arc::new(Books::new(failures.clone())),
            failures,
            pool: Pool::default(),
            ops: Ops::new(WORKERS + 1),
            counts: Counts::default(),
            peaks: Peaks::default(),
            foreigners: Arc::new(Semaphore::new(FOREIGNERS)),
            tasks: Mutex::default(),
            over: CancellationToken::new(),
        })
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while let Some(ended) = tasks.try_join_next() {
            self.check_task(ended);
        }
        tasks.spawn(task);
    }

    fn check_task(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended {
            self.failures.report(format!("a task of the test: {error}"));
        }
    }

    /// Gives a node its reader.
    fn read(
        self: &Arc<Self>,
        events: Events<Message>,
        orders: mpsc::Receiver<Command>,
        account: Arc<Account>,
        seed: u64,
    ) {
        let reader = Reader::new(self.clone(), account, seed);
        self.spawn(reader.run(events, orders));
    }

    /// Counts epochs and settles what is over until the time is up or something failed.
    async fn conduct(&self, duration: Duration) {
        let begin = Instant::now();
        let mut epochs = interval(EPOCH);
        while begin.elapsed() < duration && !self.failures.stop.is_cancelled() {
            tokio::select! {
                _ = epochs.tick() => {}
                () = self.failures.stop.cancelled() => {}
                () = sleep(duration.saturating_sub(begin.elapsed())) => {}
            }
            self.epoch.fetch_add(1, SeqCst);
            self.books.settle();
        }
        self.failures.stop.cancel();
    }

    /// Waits for all that was started by the test.
    async fn join_all(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        let join = async {
            while let Some(ended) = tasks.join_next().await {
                self.check_task(ended);
            }
        };
        if timeout(SLACK, join).await.is_err() {
            self.failures.report("readers and foreigners don't end");
        }
    }

    /// Nodes that were dropped end in the background, and tell nobody: so it looks again and again.
    async fn expect_nothing_left(&self, before: Left) {
        let begin = Instant::now();
        let mut left = Left::now(self);
        while left != before && begin.elapsed() < SLACK {
            sleep(Duration::from_millis(10)).await;
            left = Left::now(self);
        }
        let unsettled = self.books.unsettled();
        let text = || format!("left behind: {left:?}, at the start: {before:?}, {unsettled:#?}");
        self.failures.check(left == before, text);
    }

    /// What was done and met.
    fn print(&self, begin: Instant) {
        self.counts.print(begin);
        let delivered = self.books.delivered.load(SeqCst);
        println!(
            "{delivered} messages delivered; {:?}",
            lock(&self.books.tally)
        );
        println!("at a time at most: {:?}", self.peaks);
    }
}

/// What must be the same at the end as at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    tasks: usize,
    descriptors: Option<usize>,
    ends: usize,
}

impl Left {
    fn now(chaos: &Chaos) -> Self {
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            ends: chaos.books.settle(),
            descriptors: descriptors(),
        }
    }
}

/// The run, and the end of everything that it started.
async fn run(chaos: Arc<Chaos>, duration: Duration) {
    let before = Left::now(&chaos);
    let begin = Instant::now();
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        workers.spawn(Worker::new(&chaos, number).run());
    }
    chaos.conduct(duration).await;
    while let Some(ended) = workers.join_next().await {
        chaos.check_task(ended);
    }
    chaos.print(begin);
    chaos.empty_the_pool(Worker::new(&chaos, WORKERS)).await;
    chaos.join_all().await;
    chaos.expect_nothing_left(before).await;
}

/// Descriptors are the process's, so whatever opens some is done alone; a runtime does, too.
fn alone(mut runtime: Builder, work: impl FnOnce(&Runtime)) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = lock(&ONE);
    quiet_panics();
    let runtime = runtime.enable_all().build().expect("a runtime");
    work(&runtime);
}

/// Runs chaos on a runtime for a time, and fails if anything was found.
fn survive(runtime: &Runtime, duration: Duration) {
    let seed = variable("WATTLE_CHAOS_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("WATTLE_CHAOS_SEED={seed}, for {duration:?}");
    let chaos = Chaos::new(seed);
    let watchdog = watchdog::start(&chaos, runtime.handle().clone());
    runtime.block_on(run(chaos.clone(), duration));
    chaos.over.cancel();
    watchdog.join().expect("the watchdog should not panic");
    chaos.failures.assert_none();
}

/// Panics on purpose are part of the test, and say nothing to who reads its output.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            if !text.is_some_and(|text| text.starts_with(codec::ON_PURPOSE)) {
                usual(info);
            }
        }));
    });
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    let parsed = text.parse().ok();
    Some(parsed.unwrap_or_else(|| panic!("{name} can't be {text:?}")))
}

fn duration() -> Duration {
    let in_ci = env::var_os("CI").is_some() || env::var_os("WATTLE_REQUIRE_TOOLS").is_some();
    let usual = if in_ci { IN_CI } else { BY_HAND };
    variable("WATTLE_CHAOS_SECONDS").map_or(usual, Duration::from_secs)
}

#[test]
fn whatever_is_done_to_many_nodes_on_several_threads_the_books_are_exact() {
    let threads = variable("WATTLE_CHAOS_THREADS").unwrap_or(4);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads);
    alone(builder, |runtime| survive(runtime, duration()));
}

#[test]
fn whatever_is_done_to_many_nodes_on_one_thread_the_books_are_exact() {
    let duration = duration().min(ON_ONE_THREAD);
    alone(Builder::new_current_thread(), |runtime| {
        survive(runtime, duration)
    });
}
