//! What do peers that flood cost those who say something once in a while?
//!
//! Ninety-nine quiet peers send 16 bytes every 20 ms each, and their messages' age is taken where they are
//! received; then the same while one more sends messages as fast as they are taken, of 4 KiB and of 32 bytes,
//! and while a hundred more do so, of 4 KiB.
//! All senders are hand-wired, so that the contenders differ in who receives: `raw` (a task per connection),
//! `pea2pea`, and `wattle` (one `Inbound`).
//!
//! Cases: `calm-p99`, `flooded-p99`, `flooded32B-p99` and `flooded100-p99`, in seconds, and `slowed`, `slowed32B` and
//! `slowed100`, the others divided by the first.

mod suite;

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::SinkExt;
use suite::{Contender, Suite, flow, node, pea, raw};
use tokio::{
    net::TcpStream,
    task::{JoinHandle, JoinSet},
    time::{Instant, interval_at},
};

const QUIET: usize = 99;
const EVERY: Duration = Duration::from_millis(20);

/// Of each quiet peer, in each half of a round: some 5,000 in all.
const MESSAGES: usize = 50;

/// Who receives: where, and how old messages were when they came, when all senders are gone.
type Receiver = (SocketAddr, JoinHandle<Vec<Duration>>);

/// What floods.
const LARGE: &[u8] = &flow::BULK;
const SMALL: &[u8] = LARGE.split_at(32).0;

fn main() {
    let mut suite = Suite::begin("fairness");
    let contenders = [
        Contender::new("raw", || figures(raw::ages)),
        Contender::new("pea2pea", || figures(pea::ages)),
        Contender::new("wattle", || figures(node::ages)),
    ];
    let cases = [
        "calm-p99",
        "flooded-p99",
        "flooded32B-p99",
        "flooded100-p99",
        "slowed",
        "slowed32B",
        "slowed100",
    ];
    let ours = suite.compare(&cases.map(str::to_owned), &contenders);
    if let Some([.., large, small, many]) = ours.as_deref() {
        suite.tell(format!("ratio fairness/flooded-p99/calm {large:.2}"));
        suite.tell(format!("ratio fairness/flooded32B-p99/calm {small:.2}"));
        suite.tell(format!("ratio fairness/flooded100-p99/calm {many:.2}"));
    }
    suite.end();
}

async fn figures<F: Future<Output = Receiver>>(ages: fn() -> F) -> Vec<f64> {
    let mut p99s = Vec::new();
    for floods in [&[][..], &[LARGE], &[SMALL], &[LARGE; 100]] {
        p99s.push(percentile(measure(ages().await, floods).await));
    }
    let slowed: Vec<_> = p99s[1..].iter().map(|p99| p99 / p99s[0]).collect();
    [p99s, slowed].concat()
}

fn percentile(mut ages: Vec<Duration>) -> f64 {
    ages.sort_unstable();
    ages[ages.len() * 99 / 100].as_secs_f64()
}

async fn measure((addr, ages): Receiver, floods: &[&'static [u8]]) -> Vec<Duration> {
    let mut quiet = JoinSet::new();
    for n in 0..QUIET {
        let mut writer = raw::Buffers::AsGiven.writer(connect(addr).await);
        let begin = Instant::now() + EVERY + EVERY * n as u32 / QUIET as u32;
        quiet.spawn(async move {
            let mut ticks = interval_at(begin, EVERY);
            for _ in 0..MESSAGES {
                ticks.tick().await;
                writer.send(flow::stamp()).await.expect("it is taken");
            }
            writer
        });
    }
    let mut flood = JoinSet::new();
    for &message in floods {
        let mut writer = raw::Buffers::AsGiven.writer(connect(addr).await);
        flood.spawn(async move { while writer.feed(Bytes::from_static(message)).await.is_ok() {} });
    }
    let writers = quiet.join_all().await;
    flood.shutdown().await;
    drop(writers);
    ages.await.expect("no panic")
}

async fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).await.expect("it listens");
    stream.set_nodelay(true).expect("it is open");
    stream
}
