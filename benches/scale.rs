//! What does a message cost when the same traffic comes over more connections?
//!
//! Half a million messages of 256 bytes in all, in bursts of twenty, over 10, 100, 1,000 and 5,000 connections;
//! `LengthDelimitedCodec` at both ends. The other ends are hand-wired and the same for all contenders, which
//! differ in who receives, or in who sends: `raw` (a task per connection), `pea2pea`, and `wattle` (one
//! node). All run in one process, so that a figure is what a message costs at both of its ends and in the
//! kernel.
//!
//! Cases: `100` is a receiver with a hundred connections, `to100` a sender; both in seconds of the clock per
//! message, and with `-cpu` in seconds of processors' time. `flat` and `toflat` are the cost over the most
//! connections divided by that over the fewest, in the same round.

mod suite;

use std::{future::Future, net::SocketAddr, time::Instant};

use suite::{
    Contender, Suite, cpu_time, node, pea, raw,
    spread::{End, Receiver, Senders, addresses},
};
use tokio::task::JoinHandle;

/// How many connections.
const CONNECTIONS: [usize; 4] = [10, 100, 1_000, 5_000];

/// Messages in all.
const MESSAGES: usize = 500_000;

fn main() {
    let mut suite = Suite::begin("scale");
    let contenders = [
        receiving("raw", raw::receive),
        receiving("pea2pea", pea::receive),
        receiving("wattle", node::receive),
    ];
    compare(&mut suite, "", &contenders);
    let contenders = [
        sending("raw", raw::send),
        sending("pea2pea", pea::send),
        sending("wattle", node::send),
    ];
    compare(&mut suite, "to", &contenders);
    suite.end();
}

fn compare(suite: &mut Suite, way: &str, contenders: &[Contender]) {
    let cost = CONNECTIONS.map(|n| [format!("{way}{n}"), format!("{way}{n}-cpu")]);
    let mut cases = cost.concat();
    cases.extend([format!("{way}flat"), format!("{way}flat-cpu")]);
    let Some(ours) = suite.compare(&cases, contenders) else {
        return;
    };
    let (most, fewest) = (CONNECTIONS[CONNECTIONS.len() - 1], CONNECTIONS[0]);
    let [.., flat, flat_cpu] = ours[..] else {
        return;
    };
    suite.tell(format!("ratio scale/{way}{most}/{fewest} {flat:.2}"));
    suite.tell(format!(
        "ratio scale/{way}{most}-cpu/{fewest} {flat_cpu:.2}"
    ));
}

/// One who receives so many messages over so many connections.
fn receiving<R>(name: &'static str, receive: fn(usize, usize) -> R) -> Contender
where
    R: Future<Output = Receiver> + 'static,
{
    Contender::new(name, move || {
        costs(async move |connections| {
            let (addr, all) = receive(connections, MESSAGES).await;
            let senders = raw::send(vec![addr; connections], MESSAGES).await;
            run(senders, all).await
        })
    })
}

/// One who sends so many messages, a part of them to each of these addresses.
fn sending<S>(name: &'static str, send: fn(Vec<SocketAddr>, usize) -> S) -> Contender
where
    S: Future<Output = Senders> + 'static,
{
    Contender::new(name, move || {
        costs(async move |connections| {
            let (addr, all) = raw::receive(connections, MESSAGES).await;
            let senders = send(addresses(connections, addr.port()), MESSAGES).await;
            run(senders, all).await
        })
    })
}

/// The times that it took, by the clock and by the processors.
async fn run(senders: Senders, all_received: JoinHandle<End>) -> [f64; 2] {
    let (began, used) = (Instant::now(), cpu_time());
    senders.start().await;
    let end = all_received.await.expect("no panic");
    let (took, used) = (began.elapsed(), cpu_time().zip(used));
    senders.end().await;
    end.come().await;
    let cpu = used.map_or(f64::NAN, |(after, before)| (after - before).as_secs_f64());
    [took.as_secs_f64(), cpu]
}

/// The costs of a message by number of connections, and how the last relates to the first.
async fn costs(run: impl AsyncFn(usize) -> [f64; 2]) -> Vec<f64> {
    let mut figures = Vec::new();
    for connections in CONNECTIONS {
        let took = run(connections).await;
        figures.extend(took.map(|took| took / MESSAGES as f64));
    }
    let [fewest, fewest_cpu, .., most, most_cpu] = figures[..] else {
        unreachable!("there are several");
    };
    figures.extend([most / fewest, most_cpu / fewest_cpu]);
    figures
}
