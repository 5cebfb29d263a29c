//! The example `echo` as a process, and what `/proc` tells of it.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::siege::SCHEDULING;
use crate::common::{WATCHDOG, path_of_example};

/// How often a condition is looked at that nothing tells of.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A running `echo`; killed when dropped.
pub(crate) struct Echo {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    pub(crate) addr: SocketAddr,
    pub(crate) process: Process,
    /// How long an answer may take before it is asked why.
    pub(crate) not_judged: Duration,
}

/// What an attacker on the same host can see of it, and do to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u32);

/// What the process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Resident memory, in KiB.
    pub(crate) resident: usize,
}

/// What it said at its end.
#[derive(Debug)]
pub(crate) struct LastWords {
    statistics: Value,
    /// The lines of its log.
    pub(crate) log: Vec<String>,
}

impl Echo {
    /// With some options, and with no more than so many descriptors if that is given.
    pub(crate) fn start(options: &[&str], descriptors: Option<usize>) -> Self {
        let mut child = command(options, descriptors)
            .env("RUST_LOG", "wattle=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("echo starts");
        let stdout = lines_of(child.stdout.take().expect("it is piped"));
        let stderr = lines_of(child.stderr.take().expect("it is piped"));
        let first = stdout.recv_timeout(WATCHDOG);
        let first = first.unwrap_or_else(|_| panic!("echo said: {:?}", rest_of(&stderr)));
        let addr = first.strip_prefix("listening on ").map(str::parse);
        let Some(Ok(addr)) = addr else {
            panic!("echo begins with {first:?}");
        };
        Self {
            process: Process(child.id()),
            not_judged: match optimised() {
                Some(_) => Duration::ZERO,
                None => SCHEDULING,
            },
            child,
            stdout,
            stderr,
            addr,
        }
    }

    /// Waits for its end, which must be a success.
    pub(crate) fn last_words(mut self) -> LastWords {
        let last = self.stdout.recv_timeout(WATCHDOG);
        let last = last.unwrap_or_else(|_| panic!("no last line within {WATCHDOG:?}"));
        let statistics = serde_json::from_str(&last);
        let statistics = statistics.unwrap_or_else(|error| panic!("{error} in {last:?}"));
        let log = rest_of(&self.stderr);
        let status = self.child.wait().expect("it can be waited for");
        assert!(status.success(), "{status}, {log:#?}");
        LastWords { statistics, log }
    }
}

impl Process {
    pub(crate) fn footprint(&self) -> Footprint {
        Footprint {
            descriptors: self.descriptors(),
            threads: self.status("Threads:"),
            resident: self.status("VmRSS:"),
        }
    }

    /// The most resident memory that it had so far, in KiB.
    pub(crate) fn resident_at_most(&self) -> usize {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> usize {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|n| n.parse().ok()).expect("a number")
    }

    pub(crate) fn descriptors(&self) -> usize {
        self.descriptors_below(usize::MAX)
    }

    /// How many of those that a limit of so many allows; others may have been handed down to it.
    fn descriptors_below(&self, limit: usize) -> usize {
        let dir = format!("/proc/{}/fd", self.0);
        let open = fs::read_dir(dir).expect("echo is running");
        let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers.filter(|number: &usize| *number < limit).count()
    }

    /// Waits until it can have no more descriptors.
    #[track_caller]
    pub(crate) fn runs_out_of_descriptors(&self, limit: usize) {
        wait_until(|| match self.descriptors_below(limit) {
            n if n == limit => Ok(()),
            n => Err(format!("echo has {n} descriptors of {limit}")),
        });
    }

    /// Waits until it has no more descriptors than this.
    pub(crate) fn descriptors_return_to(&self, descriptors: usize) {
        wait_until(|| match self.descriptors() {
            n if n == descriptors => Ok(()),
            n => Err(format!("echo has {n} descriptors instead of {descriptors}")),
        });
    }

    /// How much of a processor it has used so far.
    pub(crate) fn processor_time(&self) -> Duration {
        // Behind the name, which may have spaces in it: utime and stime are the 12th and 13th, in
        // hundredths of a second on every Linux (`USER_HZ`).
        let stat = self.proc("stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|n| n.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(10 * ticks)
    }

    fn proc(&self, file: &str) -> String {
        let file = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(file).expect("echo is running")
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.0.to_string();
        let kill = Command::new("kill").args([signal, &id]).status();
        assert!(kill.expect("kill runs").success());
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl LastWords {
    /// A number of the statistics, such as `timeouts.frame`.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        let pointer = format!("/{}", name.replace('.', "/"));
        match self.statistics.pointer(&pointer) {
            Some(number) => number.as_u64().expect("a whole number"),
            None => panic!("no {name} in {}", self.statistics),
        }
    }

    #[track_caller]
    pub(crate) fn assert(&self, name: &str, wanted: u64) {
        let number = self.number(name);
        assert_eq!(number, wanted, "{name} in {}", self.statistics);
    }
}

/// The path of a program that was built to be fast.
fn optimised() -> Option<PathBuf> {
    env::var_os("WATTLE_ECHO").map(PathBuf::from)
}

fn command(options: &[&str], descriptors: Option<usize>) -> Command {
    let echo = optimised().unwrap_or_else(|| path_of_example("echo"));
    let mut command = match descriptors {
        None => Command::new(echo),
        Some(most) => {
            let mut sh = Command::new("sh");
            let script = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
            sh.args(["-c", &script]).arg(echo);
            sh
        }
    };
    command.args(options);
    command
}

/// The lines of a pipe as they come; a thread reads them, so that they hold up nobody.
fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// What is left of them until the end.
fn rest_of(lines: &Receiver<String>) -> Vec<String> {
    let mut rest = Vec::new();
    while let Ok(line) = lines.recv_timeout(WATCHDOG) {
        rest.push(line);
    }
    rest
}

/// How many bytes the kernel still holds for clients of a port on this host, of connections that its
/// program has closed.
pub(crate) fn left_in_the_kernel(port: u16) -> usize {
    /// Closed by the program, and the remote has not acknowledged all: `TCP_FIN_WAIT1`.
    const FIN_WAIT_1: &str = "04";
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let port = format!(":{port:04X}");
    let bytes = table.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let (unsent, _unread) = fields.next()?.split_once(':')?;
        let is_left = local.ends_with(&port) && state == FIN_WAIT_1;
        is_left.then(|| usize::from_str_radix(unsent, 16).expect("it is hexadecimal"))
    });
    bytes.sum()
}

/// Waits for what shows only when it is looked at; the last `Err` says in the failure what was wrong.
#[track_caller]
pub(crate) fn wait_until(mut holds: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while let Err(what) = holds() {
        assert!(begun.elapsed() < WATCHDOG, "after {WATCHDOG:?}: {what}");
        thread::sleep(LOOK_EVERY);
    }
}
