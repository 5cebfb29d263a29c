//! What does a node cost over a hand-wired `Framed`, and against pea2pea?
//!
//! Messages per second at the receiving program over loopback, `LengthDelimitedCodec` at both ends,
//! the three contenders interleaved in one process (A B C, A B C, …) on a runtime of two threads:
//!
//! - `raw`: `FramedWrite` and `FramedRead` as tokio-util gives them, a task per connection;
//! - `pea2pea`: one receiving node, a sending node per connection;
//! - `wattle`: the same with this crate, a `PeerSink` per sender, one `Inbound` at the receiver.
//!
//! ```text
//! cargo bench --bench overhead            # 9 rounds
//! cargo bench --bench overhead -- --quick # 3 rounds
//! cargo bench --bench overhead -- --only 1x16B --profile wattle # alone, for a profiler
//! ```
//!
//! The lines `ratio overhead/CASE/AGAINST VALUE` give the median over the rounds of wattle's rate
//! divided by the other's in the same round: above 1 is better.

use std::{
    env, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use pea2pea::{
    Config, ConnectionSide, Pea2Pea,
    protocols::{Reading, Writing},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::{Barrier, Notify},
    task::JoinSet,
};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use wattle::{Inbound, Node};

/// Connections, bytes of a message, messages over all connections.
const CASES: [(usize, usize, usize); 4] = [
    (1, 16, 1_000_000),
    (1, 4096, 100_000),
    (10, 16, 1_000_000),
    (10, 4096, 100_000),
];

#[derive(Debug, Clone, Copy)]
struct Case {
    connections: usize,
    size: usize,
    messages: usize,
}

impl Case {
    fn name(&self) -> String {
        let size = match self.size {
            size if size % 1024 == 0 => format!("{}KiB", size / 1024),
            size => format!("{size}B"),
        };
        format!("{}x{size}", self.connections)
    }

    fn per_connection(&self) -> usize {
        self.messages / self.connections
    }

    fn total(&self) -> usize {
        self.per_connection() * self.connections
    }

    fn payload(&self) -> Bytes {
        Bytes::from(vec![0x5a; self.size])
    }
}

fn main() {
    let args: Vec<String> = env::args().collect();
    let rounds = if args.iter().any(|arg| arg == "--quick") {
        3
    } else {
        9
    };
    let profile = args.iter().skip_while(|arg| *arg != "--profile").nth(1);
    let only = args.iter().skip_while(|arg| *arg != "--only").nth(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut lines = Vec::new();
    println!("{rounds} rounds, medians, messages per second (lowest - highest)\n");
    println!("| connections x size | raw | pea2pea | wattle | ÷ raw | ÷ pea2pea |");
    println!("|---|---|---|---|---|---|");
    for (connections, size, messages) in CASES {
        let case = Case {
            connections,
            size,
            messages,
        };
        if only.is_some_and(|only| *only != case.name()) {
            continue;
        }
        if let Some(contender) = profile {
            for _ in 0..rounds {
                let took = runtime.block_on(async {
                    match contender.as_str() {
                        "raw" => raw(case).await.expect("raw"),
                        "pea2pea" => pea2pea(case).await.expect("pea2pea"),
                        _ => wattle(case).await,
                    }
                });
                println!("{took:?}");
            }
            continue;
        }
        let rates: Vec<[f64; 3]> = (0..=rounds)
            .map(|_| round(&runtime, case))
            .skip(1)
            .collect();
        let of = |contender: usize| rates.iter().map(move |rates| rates[contender]);
        let to_raw = median(rates.iter().map(|rates| rates[2] / rates[0]));
        let to_pea2pea = median(rates.iter().map(|rates| rates[2] / rates[1]));
        let [raw, pea2pea, wattle] = [0, 1, 2].map(|contender| spread(of(contender)));
        let name = case.name();
        println!("| {name} | {raw} | {pea2pea} | {wattle} | {to_raw:.2} | {to_pea2pea:.2} |");
        lines.push(format!("ratio overhead/{name}/raw {to_raw:.2}"));
        lines.push(format!("ratio overhead/{name}/pea2pea {to_pea2pea:.2}"));
    }
    println!("\n{}", lines.join("\n"));
}

/// One after the other, each in a fresh set of connections.
fn round(runtime: &Runtime, case: Case) -> [f64; 3] {
    let rate = |took: Duration| case.total() as f64 / took.as_secs_f64();
    runtime.block_on(async {
        [
            rate(raw(case).await.expect("raw")),
            rate(pea2pea(case).await.expect("pea2pea")),
            rate(wattle(case).await),
        ]
    })
}

async fn raw(case: Case) -> io::Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let start = Arc::new(Barrier::new(case.connections + 1));
    let (mut senders, mut receivers) = (JoinSet::new(), JoinSet::new());
    for _ in 0..case.connections {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let start = start.clone();
        senders.spawn(async move {
            let mut sink = FramedWrite::new(stream, LengthDelimitedCodec::new());
            let payload = case.payload();
            start.wait().await;
            for _ in 0..case.per_connection() {
                sink.feed(payload.clone()).await.expect("feed");
            }
            SinkExt::<Bytes>::flush(&mut sink).await.expect("flush");
            sink
        });
        let (stream, _) = listener.accept().await?;
        receivers.spawn(async move {
            let mut stream = FramedRead::new(stream, LengthDelimitedCodec::new());
            for _ in 0..case.per_connection() {
                stream.next().await.expect("a message").expect("no error");
            }
        });
    }
    start.wait().await;
    let began = Instant::now();
    receivers.join_all().await;
    Ok(began.elapsed())
}

async fn wattle(case: Case) -> Duration {
    let (node, mut inbound): (Node<Bytes>, Inbound<BytesMut>) = Node::builder()
        .listen("127.0.0.1:0")
        .start(|_| LengthDelimitedCodec::new())
        .await
        .expect("start");
    let addr = node.local_addr().expect("an address");
    let start = Arc::new(Barrier::new(case.connections + 1));
    let mut senders = JoinSet::new();
    for _ in 0..case.connections {
        let (node, inbound): (Node<Bytes>, Inbound<BytesMut>) = Node::builder()
            .start(|_| LengthDelimitedCodec::new())
            .await
            .expect("start");
        let peer = node.connect(addr).await.expect("connect");
        let mut sink = node.peer_sink(peer).expect("a peer");
        let start = start.clone();
        senders.spawn(async move {
            let payload = case.payload();
            start.wait().await;
            for _ in 0..case.per_connection() {
                sink.feed(payload.clone()).await.expect("feed");
            }
            sink.flush().await.expect("flush");
            (node, inbound)
        });
    }
    let receiver = tokio::spawn(async move {
        for _ in 0..case.total() {
            inbound.next().await.expect("a message");
        }
    });
    start.wait().await;
    let began = Instant::now();
    receiver.await.expect("receiver");
    let took = began.elapsed();
    for (sender, _inbound) in senders.join_all().await {
        sender.shutdown().await;
    }
    node.shutdown().await;
    took
}

#[derive(Clone)]
struct Pea {
    node: pea2pea::Node,
    received: Arc<AtomicUsize>,
    expected: usize,
    done: Arc<Notify>,
}

impl Pea {
    fn new(listen: bool, expected: usize) -> Self {
        let config = Config {
            listener_addr: listen.then(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            max_connections: 200,
            max_connections_per_ip: 200,
            ..Config::default()
        };
        Self {
            node: pea2pea::Node::new(config),
            received: Arc::default(),
            expected,
            done: Arc::default(),
        }
    }
}

impl Pea2Pea for Pea {
    fn node(&self) -> &pea2pea::Node {
        &self.node
    }
}

impl Reading for Pea {
    // The queue of the other contenders.
    const MESSAGE_QUEUE_DEPTH: usize = 1024;
    type Message = BytesMut;
    type Codec = LengthDelimitedCodec;

    fn codec(&self, _addr: SocketAddr, _side: ConnectionSide) -> Self::Codec {
        LengthDelimitedCodec::new()
    }

    async fn process_message(&self, _source: SocketAddr, _message: BytesMut) {
        if self.received.fetch_add(1, Ordering::Relaxed) + 1 == self.expected {
            self.done.notify_one();
        }
    }
}

impl Writing for Pea {
    const MESSAGE_QUEUE_DEPTH: usize = 1024;
    type Message = Bytes;
    type Codec = LengthDelimitedCodec;

    fn codec(&self, _addr: SocketAddr, _side: ConnectionSide) -> Self::Codec {
        LengthDelimitedCodec::new()
    }
}

async fn pea2pea(case: Case) -> io::Result<Duration> {
    let receiver = Pea::new(true, case.total());
    receiver.enable_reading().await;
    receiver.node.toggle_listener().await?;
    let addr = receiver.node.listening_addr().await?;
    let start = Arc::new(Barrier::new(case.connections + 1));
    let mut senders = JoinSet::new();
    for _ in 0..case.connections {
        let sender = Pea::new(false, 0);
        sender.enable_writing().await;
        sender.node.connect(addr).await?;
        let start = start.clone();
        senders.spawn(async move {
            let payload = case.payload();
            start.wait().await;
            for _ in 0..case.per_connection() {
                // It has no send that waits for room: a full queue is an error.
                while sender.unicast_fast(addr, payload.clone()).is_err() {
                    tokio::task::yield_now().await;
                }
            }
            sender
        });
    }
    start.wait().await;
    let began = Instant::now();
    receiver.done.notified().await;
    let took = began.elapsed();
    for sender in senders.join_all().await {
        sender.node.shut_down().await;
    }
    receiver.node.shut_down().await;
    Ok(took)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn spread(rates: impl Iterator<Item = f64> + Clone) -> String {
    let (lowest, highest) = (
        rates.clone().fold(f64::INFINITY, f64::min),
        rates.clone().fold(0.0, f64::max),
    );
    format!(
        "{} ({} - {})",
        short(median(rates)),
        short(lowest),
        short(highest)
    )
}

fn short(rate: f64) -> String {
    if rate >= 1e6 {
        format!("{:.2} M", rate / 1e6)
    } else {
        format!("{:.0} k", rate / 1e3)
    }
}
