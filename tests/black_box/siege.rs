//! A siege: an attack, a well-behaved client that is served all the while, and what is left behind.
//!
//! # How it is measured that the client is served
//!
//! The client asks without a pause and notes how long each answer takes: undisturbed before the attack,
//! during it, and undisturbed again after it. Of a round, the 99th percentile during the attack may be
//! [`TIMES_SLOWER`] times the larger one of before and after, as other programs may have disturbed either.
//! A round that was too slow is repeated, [`ROUNDS`] rounds at most: noise passes, a weakness doesn't.
//!
//! Attackers and client are on the echo's machine, and stand for others that are not. So, where the system
//! allows it, the client has its time at once ([`CLIENT`]) and the echo before other programs ([`ECHO`]);
//! and attackers have only what nobody else wants ([`ATTACKER`]).
//!
//! An `echo` that was built without optimisation is slow enough by itself to keep the processors busy.
//! What is below [`SCHEDULING`] is not judged of it. The one that `WATTLE_ECHO` names is judged by the
//! factor alone.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    os::linux::net::SocketAddrExt,
    os::unix::net::{SocketAddr as UnixAddr, UnixListener},
    panic::resume_unwind,
    process::Command,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::echo::{Echo, Footprint, LastWords, Process, wait_until};
use crate::common::WATCHDOG;

/// How many answers make a percentile, so that a few of them are beyond the 99th. (An attack that ends
/// by itself may see fewer.)
const SAMPLES: u64 = 1000;

/// The slow-down that an attack may cause.
const TIMES_SLOWER: f64 = 5.0;

/// What the kernel alone may make a program wait that wants to run beside some that do so, too: a
/// few of its time slices of several milliseconds.
pub(crate) const SCHEDULING: Duration = Duration::from_millis(20);

/// How often an attack is tried at most.
const ROUNDS: usize = 6;

/// How much resident memory may grow by an attack, in KiB. What was freed stays with the allocator's
/// arenas, one per thread, in pieces of 128 KiB and more; most are made by the attack before the one
/// that is measured. The ten thousand who connect and disconnect would leave more than twice as much
/// behind if each leaked one kilobyte.
const RESIDENT_NOISE: usize = 4 * 1024;

/// Tasks of `echo` that are no connections: the listener.
const OTHER_TASKS: u64 = 1;

/// What an attack sees.
pub(crate) struct Siege<'a> {
    pub(crate) echo: Process,
    pub(crate) addr: SocketAddr,
    /// Descriptors of the echo without attackers.
    pub(crate) descriptors: usize,
    answers: &'a AtomicU64,
}

impl Siege<'_> {
    /// Attacks in waves of so many attackers, until there were `least` of them and the client's answers
    /// make a percentile. Tells how many there were.
    pub(crate) fn in_waves_of(&self, size: u64, least: u64, mut wave: impl FnMut()) -> u64 {
        let enough = self.enough();
        let mut attackers = 0;
        while attackers < least || self.answers.load(Relaxed) < enough {
            wave();
            attackers += size;
        }
        attackers
    }

    /// Keeps things as they are until the client's answers make a percentile.
    pub(crate) fn hold(&self) {
        let enough = self.enough();
        wait_until(|| match self.answers.load(Relaxed) {
            n if n >= enough => Ok(()),
            n => Err(format!("the client was answered {n} times of {enough}")),
        });
    }

    fn enough(&self) -> u64 {
        self.answers.load(Relaxed) + SAMPLES
    }
}

/// What is besieged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The flags of the `echo`.
    pub(crate) flags: &'a [&'a str],
    /// How many descriptors it may have, if that is limited.
    pub(crate) descriptors: Option<usize>,
    /// How much resident memory it may keep, in KiB.
    pub(crate) noise: usize,
}

impl<'a> Target<'a> {
    pub(crate) fn with(flags: &'a [&'a str]) -> Self {
        Self {
            flags,
            descriptors: None,
            noise: RESIDENT_NOISE,
        }
    }
}

/// Lays siege to a new `echo`. An attack tells how many attackers there were; they have to be gone
/// from the echo soon after it.
///
/// Returns what the echo says at its end, and how many attackers there were in all.
pub(crate) fn lay_siege(
    target: Target<'_>,
    attack: impl Fn(&Siege<'_>) -> u64 + Sync,
) -> (LastWords, u64) {
    let _alone = Alone::wait();
    // Inherited by the echo.
    schedule(ECHO);
    let echo = Echo::start(target.flags, target.descriptors);
    schedule(CLIENT);
    let mut client = Client::connect(echo.addr);
    client.undisturbed();
    let fresh = echo.process.footprint();
    // Not measured: what is made once and kept (buffers, arenas) is made now.
    let mut attackers = round(&echo, &mut client, fresh, &attack).attackers;
    let before = echo.process.footprint();
    for rounds in 1.. {
        let round = round(&echo, &mut client, fresh, &attack);
        attackers += round.attackers;
        println!("{:.2} times slower, {round:?}", round.times_slower());
        if round.is_served(echo.not_judged) {
            break;
        }
        assert!(rounds < ROUNDS, "not served in {rounds} rounds: {round:?}");
    }
    let after = echo.process.footprint();
    println!("{fresh:?}\n{before:?}\n{after:?}");
    assert_eq!(after.descriptors, fresh.descriptors, "descriptors");
    assert_eq!(after.threads, before.threads, "threads");
    let grown = after.resident.saturating_sub(before.resident);
    assert!(grown <= target.noise, "{grown} KiB more than before");
    echo.process.signal("-TERM");
    client.ends();
    let last_words = echo.last_words();
    assert_books(&last_words);
    (last_words, attackers)
}

/// How long answers took at the 99th percentile.
#[derive(Debug)]
struct Round {
    attackers: u64,
    before: Duration,
    during: Duration,
    after: Duration,
}

impl Round {
    fn times_slower(&self) -> f64 {
        self.during.div_duration_f64(self.before.max(self.after))
    }

    fn is_served(&self, not_judged: Duration) -> bool {
        self.during <= not_judged || self.times_slower() <= TIMES_SLOWER
    }
}

fn round(
    echo: &Echo,
    client: &mut Client,
    fresh: Footprint,
    attack: &(impl Fn(&Siege<'_>) -> u64 + Sync),
) -> Round {
    let before = client.undisturbed();
    let answers = AtomicU64::new(0);
    let siege = Siege {
        echo: echo.process,
        addr: echo.addr,
        descriptors: fresh.descriptors,
        answers: &answers,
    };
    let (attackers, during) = thread::scope(|scope| {
        let attack = scope.spawn(|| {
            schedule(ATTACKER);
            attack(&siege)
        });
        let during = client.measure(|n| {
            answers.store(n, Relaxed);
            !attack.is_finished()
        });
        let attackers = attack.join().unwrap_or_else(|panic| resume_unwind(panic));
        (attackers, during)
    });
    echo.process.descriptors_return_to(fresh.descriptors);
    Round {
        attackers,
        before,
        during,
        after: client.undisturbed(),
    }
}

/// Who has the processors before whom: the program that says so, and how.
type Scheduling = (&'static str, &'static [&'static str]);

/// 87 times the weight of a program that nobody gave more.
const ECHO: Scheduling = ("renice", &["-n", "-20", "-p"]);
/// Before all that isn't of the kind.
const CLIENT: Scheduling = ("chrt", &["--rr", "--pid", "1"]);
/// Behind all others: what nobody else wants.
const ATTACKER: Scheduling = ("chrt", &["--idle", "--pid", "0"]);

/// Gives this thread, and those that it starts, their time in another way, if the system allows it.
fn schedule((program, arguments): Scheduling) {
    let thread = fs::read_link("/proc/thread-self").expect("it is Linux");
    let id = thread.file_name().expect("the thread's id comes last");
    let output = Command::new(program).args(arguments).arg(id).output();
    match output {
        Ok(output) if output.status.success() => {}
        other => println!("the scheduling stays as it is: {other:?}"),
    }
}

/// What must be true after any attack.
fn assert_books(last_words: &LastWords) {
    println!("{last_words:?}");
    // The client.
    last_words.assert("connections", 1);
    last_words.assert("tasks", 1 + OTHER_TASKS);
    last_words.assert("ended.shutdown", 1);
    last_words.assert("timeouts.drain", 0);
    last_words.assert("handshakes_failed", 0);
    last_words.assert("disconnected", last_words.number("connected"));
    let came = last_words.number("messages_in");
    let [out, undelivered, dropped] =
        ["messages_out", "undelivered", "dropped"].map(|name| last_words.number(name));
    assert_eq!(came, out + undelivered + dropped, "{last_words:?}");
}

/// What the client says.
pub(crate) const CLIENTS_LINE: &str = "are you there?\n";

/// One that behaves well.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("echo listens");
        stream.set_nodelay(true).expect("it is open");
        stream.set_read_timeout(Some(WATCHDOG)).expect("it is open");
        let stream = BufReader::new(stream);
        Self { stream }
    }

    /// Asks, and tells how long the answer took.
    pub(crate) fn ask(&mut self) -> Duration {
        let begun = Instant::now();
        let mut line = String::new();
        let sent = self.stream.get_mut().write_all(CLIENTS_LINE.as_bytes());
        let read = sent.and_then(|()| self.stream.read_line(&mut line));
        read.unwrap_or_else(|error| panic!("the well-behaved client is not served: {error}"));
        assert_eq!(line, CLIENTS_LINE, "the well-behaved client");
        begun.elapsed()
    }

    /// The echo ends the connection, and the client does so, too.
    fn ends(mut self) {
        let end = self.stream.read_line(&mut String::new());
        assert_eq!(end.expect("no reset"), 0);
    }

    fn undisturbed(&mut self) -> Duration {
        self.measure(|answers| answers < SAMPLES)
    }

    /// Asks as long as `go_on`, which is told the number of answers; the 99th percentile, which of less
    /// than a hundred answers is the slowest.
    fn measure(&mut self, mut go_on: impl FnMut(u64) -> bool) -> Duration {
        let mut took = Vec::new();
        loop {
            took.push(self.ask());
            if !go_on(took.len() as u64) {
                break;
            }
        }
        let nth = took.len() * 99 / 100;
        *took.select_nth_unstable(nth).1
    }
}

/// The right to disturb the machine: one siege at a time, among threads and among processes.
pub(crate) struct Alone(#[allow(dead_code, reason = "held, not used")] UnixListener);

impl Alone {
    /// A name can be bound once, and is free again when its owner is gone, however it went.
    pub(crate) fn wait() -> Self {
        let name = format!("wattle black box of {}", env!("CARGO_MANIFEST_DIR"));
        let name = UnixAddr::from_abstract_name(name).expect("it is short");
        loop {
            match UnixListener::bind_addr(&name) {
                Ok(name) => return Self(name),
                Err(_taken) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}
