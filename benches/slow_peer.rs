//! What do ninety-nine peers lose when a hundredth takes nothing?
//!
//! One who sends has a task per peer, as each would have; all those who receive are hand-wired. 256 bytes a
//! message, `LengthDelimitedCodec`. The hundredth is connected and never reads; it is sent as much as the
//! others, which is as much as it takes and a queue's content.
//!
//! What such a peer costs in memory is a case of `memory`.
//!
//! Cases: `calm` and `stalled`, in messages per second that the ninety-nine get, without the hundredth and
//! with it; `kept`, the second divided by the first in the same round.

mod suite;

use std::{future::Future, net::SocketAddr, time::Instant};

use suite::{
    Contender, Suite, node, pea, raw,
    spread::{Senders, addresses},
};

/// Those who read.
const READING: usize = 99;

/// To each, in a round.
const MESSAGES: usize = 20_000;

fn main() {
    let mut suite = Suite::begin("slow_peer");
    let contenders = [
        contender("raw", raw::send),
        contender("pea2pea", pea::send),
        contender("wattle", node::send),
    ];
    let cases = ["calm", "stalled", "kept"].map(str::to_owned);
    let ours = suite.compare(&cases, &contenders);
    if let Some([.., kept]) = ours.as_deref() {
        suite.tell(format!("ratio slow_peer/stalled/calm {kept:.2}"));
    }
    suite.end();
}

fn contender<S>(name: &'static str, send: fn(Vec<SocketAddr>, usize) -> S) -> Contender
where
    S: Future<Output = Senders> + 'static,
{
    Contender::new(name, move || async move {
        let calm = rate(send, READING).await;
        let stalled = rate(send, READING + 1).await;
        vec![calm, stalled, stalled / calm]
    })
}

/// Messages per second that reach those who read. Who comes behind them stays in the listener's backlog: the
/// connection is there, and nobody takes anything from it.
async fn rate<S>(send: fn(Vec<SocketAddr>, usize) -> S, peers: usize) -> f64
where
    S: Future<Output = Senders> + 'static,
{
    let (addr, all_received) = raw::receive(READING, READING * MESSAGES).await;
    let senders = send(addresses(peers, addr.port()), peers * MESSAGES).await;
    let began = Instant::now();
    senders.start().await;
    let end = all_received.await.expect("no panic");
    let took = began.elapsed();
    senders.end().await;
    end.come().await;
    (READING * MESSAGES) as f64 / took.as_secs_f64()
}
