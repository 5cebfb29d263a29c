//! How much memory does an idle connection take, and how much a node?
//!
//! Resident bytes of the process, as Linux counts them in `/proc/self/smaps_rollup`, divided by the number of
//! connections (or nodes). What the kernel holds for a socket isn't in it. What the allocator keeps back is: glibc's,
//! which isn't told to trim, so this is what one sees from outside.
//!
//! Each measurement is in a fresh process, the server, and its clients, which are hand-wired and the same for all
//! contenders, in another; the benchmark starts itself again for both, and they talk in lines. Eight connections come
//! and go before the first reading, so that what the runtime's threads and the first connections allocate for all
//! isn't counted. Then the clients open all connections, and on each, when it has been opened and once more when all are
//! open, twenty messages of 256 B and one of 4 KiB go to the server and back. When the clients have them all,
//! nothing is under way any more, and a reading counts that comes out the same three times in a row.
//!
//! Contenders, all with `LengthDelimitedCodec`: `raw` (a task with a `Framed` per connection, as tokio-util gives it),
//! `pea2pea` with initial buffers of 8 KiB, which is what `Framed` has (its own would be 64 KiB), and `wattle`.
//!
//! Cases: `1000` and `8000` connections; `stalled`, a single one whose remote sends messages of 4 KiB and never reads
//! what comes back, until nothing more is taken from it: what is queued for it and from it; `node`, one of 200 that listen and have no connections (raw has no nodes).

mod suite;

use std::{
    env, fs,
    io::{Read, Write, stdin},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use suite::{
    Contender, Suite, echo,
    process::{self, Process},
};

const CONNECTIONS: [usize; 2] = [1000, 8000];

/// That are started.
const NODES: usize = 200;

/// Nearly the same in each.
const ROUNDS: usize = 3;
const QUICK_ROUNDS: usize = 1;

/// Clients that open connections at the same time; fewer than a listener keeps waiting.
const DIALERS: usize = 8;

/// How often each connection that warms the server up is used, so that all its threads have had some to do.
const WARM_UPS: usize = 50;

/// Descriptors of a process that aren't connections.
const OTHER_DESCRIPTORS: usize = 50;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["serve", who] => serve(who),
        ["start", who] => start(who),
        ["dial", addr, number] => {
            dial(addr.parse().expect("ours"), number.parse().expect("ours"));
        }
        ["stall", addr] => stall(addr.parse().expect("ours")),
        _ => compare(),
    }
}

fn compare() {
    let mut suite = Suite::begin("memory").with_rounds(ROUNDS, QUICK_ROUNDS);
    if resident().is_none() {
        println!("skipped: memory: there is no /proc/self/smaps_rollup, which Linux has");
        return;
    }
    for number in CONNECTIONS {
        let wanted = number + OTHER_DESCRIPTORS;
        if let Some(most) = process::descriptors().filter(|most| *most < wanted) {
            println!(
                "skipped: memory/{number}: it takes {wanted} descriptors (ulimit -n), and {most} is the limit"
            );
            continue;
        }
        let contenders = ["raw", "pea2pea", "wattle"]
            .map(|who| Contender::new(who, move || async move { vec![connection(who, number)] }));
        tell(&mut suite, &number.to_string(), &contenders);
    }
    let contenders = ["raw", "pea2pea", "wattle"]
        .map(|who| Contender::new(who, move || async move { vec![stalled(who)] }));
    tell(&mut suite, "stalled", &contenders);
    let contenders = ["pea2pea", "wattle"]
        .map(|who| Contender::new(who, move || async move { vec![node(who)] }));
    tell(&mut suite, "node", &contenders);
    suite.end();
}

/// The comparison, and our own figure beside it, which must be below a fixed one.
fn tell(suite: &mut Suite, case: &str, contenders: &[Contender]) {
    if let Some(ours) = suite.compare(&[case.to_owned()], contenders) {
        suite.tell(format!("figure memory/{case}/wattle {:.0}", ours[0]));
    }
}

/// What one of so many connections takes.
fn connection(who: &str, number: usize) -> f64 {
    let mut server = Process::start(&["serve", who]);
    let addr = server.answer();
    let mut clients = Process::start(&["dial", &addr, &number.to_string()]);
    clients.ask("warm up");
    let before: f64 = server.ask("measure").parse().expect("a number");
    clients.ask("open");
    let after: f64 = server.ask("measure").parse().expect("a number");
    (after - before) / number as f64
}

/// What a connection takes whose remote doesn't read.
fn stalled(who: &str) -> f64 {
    let mut server = Process::start(&["serve", who]);
    let addr = server.answer();
    let mut client = Process::start(&["stall", &addr]);
    client.ask("warm up");
    let before: f64 = server.ask("measure").parse().expect("a number");
    client.ask("send");
    let after: f64 = server.ask("measure").parse().expect("a number");
    after - before
}

/// What one of many nodes takes.
fn node(who: &str) -> f64 {
    let mut nodes = Process::start(&["start", who]);
    let before: f64 = nodes.answer().parse().expect("a number");
    let after: f64 = nodes.ask("more").parse().expect("a number");
    (after - before) / NODES as f64
}

/// The server's process: says where it listens, and what it takes whenever it is asked.
fn serve(who: &str) {
    let runtime = suite::runtime();
    let addr = runtime.block_on(async {
        match who {
            "raw" => echo::raw().await,
            "pea2pea" => echo::pea2pea().await,
            _ => echo::wattle().await,
        }
    });
    println!("{addr}");
    for _ in stdin().lines() {
        println!("{}", settled());
    }
}

/// The process of the nodes: says what it takes with one, and with so many more.
fn start(who: &str) {
    let runtime = suite::runtime();
    let mut started = Vec::new();
    let mut start = || match who {
        "pea2pea" => drop(runtime.block_on(echo::pea2pea())),
        _ => started.push(runtime.block_on(echo::listening())),
    };
    start();
    println!("{}", settled());
    for _ in stdin().lines() {
        (0..NODES).for_each(|_| start());
        println!("{}", settled());
    }
}

/// The clients' process: some connections to warm up, then all of them, each step when it is told to.
fn dial(addr: SocketAddr, number: usize) {
    let mut lines = stdin().lines();
    lines.next();
    let few = open(addr, DIALERS);
    (0..WARM_UPS).for_each(|_| use_all(&few));
    drop(few);
    println!("warm");
    lines.next();
    let all = open(addr, number);
    use_all(&all);
    println!("idle");
    lines.next();
}

/// A client that sends and doesn't read, until it can't send.
fn stall(addr: SocketAddr) {
    let mut lines = stdin().lines();
    lines.next();
    let few = open(addr, DIALERS);
    (0..WARM_UPS).for_each(|_| use_all(&few));
    println!("warm");
    lines.next();
    let mut stream = connect(addr);
    let timeout = stream.set_write_timeout(Some(STALLED));
    timeout.expect("it is not zero");
    let message = frame(4096);
    while stream.write_all(&message).is_ok() {}
    println!("stalled");
    lines.next();
}

/// When nothing was taken for so long, nothing will be.
const STALLED: Duration = Duration::from_millis(500);

/// So many connections, in a share for each dialer; each has been used when it is open.
fn open(addr: SocketAddr, number: usize) -> Vec<Vec<TcpStream>> {
    let share = |first: usize| (first..number).step_by(DIALERS).map(|_| connect(addr));
    thread::scope(|scope| {
        let dialer = |first| scope.spawn(move || share(first).inspect(exchange).collect());
        let dialers: Vec<_> = (0..DIALERS).map(dialer).collect();
        let opened = dialers.into_iter().map(|dialer| dialer.join());
        opened.map(|share| share.expect("no panic")).collect()
    })
}

fn use_all(shares: &[Vec<TcpStream>]) {
    thread::scope(|scope| {
        for share in shares {
            scope.spawn(move || share.iter().for_each(exchange));
        }
    });
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("it listens");
    stream.set_nodelay(true).expect("it is open");
    // Closed without a trace: no port is kept for a minute.
    let linger = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    linger.expect("it is open");
    stream
}

/// Messages there and back.
fn exchange(mut stream: &TcpStream) {
    let sent: Vec<u8> = [256; 20]
        .into_iter()
        .chain([4096])
        .flat_map(frame)
        .collect();
    stream.write_all(&sent).expect("it is read");
    let mut echoed = vec![0; sent.len()];
    stream.read_exact(&mut echoed).expect("it is sent back");
    assert_eq!(echoed, sent);
}

fn frame(size: u32) -> Vec<u8> {
    let mut frame = size.to_be_bytes().to_vec();
    frame.resize(frame.len() + size as usize, 0x5a);
    frame
}

/// How often a reading must come out the same, and what is between two of them.
const READINGS: usize = 3;
const BETWEEN: Duration = Duration::from_millis(10);

/// Bytes, when they don't change any more.
fn settled() -> usize {
    let read = || resident().expect("it was there before");
    let (mut last, mut same) = (read(), 1);
    while same < READINGS {
        thread::sleep(BETWEEN);
        let next = read();
        same = if next == last { same + 1 } else { 1 };
        last = next;
    }
    last
}

/// Counted exactly; `statm` and `status` may be some 100 KiB off, as they leave out what a processor has counted
/// for itself.
fn resident() -> Option<usize> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
