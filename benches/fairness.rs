//! What does a peer that floods cost those who say something once in a while?
//!
//! Ninety-nine quiet peers send 16 bytes every 20 ms each, and their messages' age is taken where they are
//! received; then the same while one more sends 4 KiB messages as fast as they are taken. All senders are
//! hand-wired, so that the contenders differ in who receives: `raw` (a task per connection), `pea2pea`, and
//! `wattle` (one `Inbound`).
//!
//! Cases: `calm-p99` and `flooded-p99`, in seconds, and `slowed`, the second divided by the first.

mod suite;

use std::{net::SocketAddr, time::Duration};

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

fn main() {
    let mut suite = Suite::begin("fairness");
    let contenders = [
        Contender::new("raw", || async {
            figures(raw::ages().await, raw::ages().await).await
        }),
        Contender::new("pea2pea", || async {
            figures(pea::ages().await, pea::ages().await).await
        }),
        Contender::new("wattle", || async {
            figures(node::ages().await, node::ages().await).await
        }),
    ];
    let cases = ["calm-p99", "flooded-p99", "slowed"].map(str::to_owned);
    let ours = suite.compare(&cases, &contenders);
    if let Some([.., slowed]) = ours.as_deref() {
        suite.tell(format!("ratio fairness/flooded-p99/calm {slowed:.2}"));
    }
    suite.end();
}

async fn figures(calm: Receiver, flooded: Receiver) -> Vec<f64> {
    let calm = percentile(measure(calm, false).await);
    let flooded = percentile(measure(flooded, true).await);
    vec![calm, flooded, flooded / calm]
}

fn percentile(mut ages: Vec<Duration>) -> f64 {
    ages.sort_unstable();
    ages[ages.len() * 99 / 100].as_secs_f64()
}

async fn measure((addr, ages): Receiver, flooded: bool) -> Vec<Duration> {
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
    if flooded {
        let mut writer = raw::Buffers::AsGiven.writer(connect(addr).await);
        flood.spawn(
            async move { while writer.feed(Bytes::from_static(&flow::BULK)).await.is_ok() {} },
        );
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
