//! How many messages go through in a second, by size and number of connections?
//!
//! Over loopback, `LengthDelimitedCodec` at both ends, counted where they are received. Contenders:
//!
//! - `raw`: `FramedRead` and `FramedWrite` as tokio-util gives them, a task per connection;
//! - `tuned`: the same with buffers and a boundary of 64 KiB;
//! - `pea2pea`, and `wattle`, which is used through `Node`, `Inbound`, `PeerSink` and `broadcast`.
//!
//! Cases: `10x16B` is ten senders and one node that receives, `to10x16B` one node that sends to ten, and
//! `all100x16B` one that sends the same to a hundred.

mod suite;

use std::{future::Future, time::Duration};

use suite::{
    Contender, Suite,
    chart::{self, Panel},
    flow::{Flow, SIZES, size_name},
    node, pea,
    raw::{self, Buffers},
};

const CONTENDERS: [&str; 4] = ["raw", "tuned", "pea2pea", "wattle"];

/// How many connections.
const CONNECTIONS: [usize; 3] = [1, 10, 100];

/// How many are told the same.
const AUDIENCE: usize = 100;

fn main() {
    let mut suite = Suite::begin("throughput");
    let quick = suite.quick();
    for flow in flows(quick) {
        let hand_wired = raw::stream;
        compare(
            &mut suite,
            "",
            flow,
            hand_wired,
            pea::many_to_one,
            node::many_to_one,
        );
    }
    for flow in flows(quick) {
        let hand_wired = raw::stream;
        compare(
            &mut suite,
            "to",
            flow,
            hand_wired,
            pea::one_to_many,
            node::one_to_many,
        );
    }
    for flow in SIZES.map(|size| Flow::new(AUDIENCE, size, quick)) {
        let hand_wired = raw::broadcast;
        compare(
            &mut suite,
            "all",
            flow,
            hand_wired,
            pea::broadcast,
            node::broadcast,
        );
    }
    if let Some(file) = suite.chart() {
        let panels = CONNECTIONS.map(|connections| panel(&suite, connections));
        chart::write(file, &CONTENDERS, &panels).expect("a chart");
    }
    suite.end();
}

/// What so many senders to one node reach.
fn panel(suite: &Suite, connections: usize) -> Panel {
    let group = |size| {
        let case = Flow::new(connections, size, suite.quick()).name();
        Some((size_name(size), suite.medians(&case)?.to_vec()))
    };
    Panel {
        title: format!("{connections} → 1, messages per second ÷ raw"),
        groups: SIZES.into_iter().filter_map(group).collect(),
    }
}

fn flows(quick: bool) -> impl Iterator<Item = Flow> {
    let of_size = move |connections| move |size| Flow::new(connections, size, quick);
    CONNECTIONS
        .into_iter()
        .flat_map(move |n| SIZES.map(of_size(n)))
}

/// A flow, in the ways of all contenders.
fn compare<R, P, W>(
    suite: &mut Suite,
    way: &str,
    flow: Flow,
    raw: impl Fn(Flow, Buffers) -> R + Copy + 'static,
    pea2pea: impl Fn(Flow) -> P + Copy + 'static,
    wattle: impl Fn(Flow) -> W + Copy + 'static,
) where
    R: Future<Output = Duration> + 'static,
    P: Future<Output = Duration> + 'static,
    W: Future<Output = Duration> + 'static,
{
    let contenders = [
        rate(CONTENDERS[0], flow, move |flow| raw(flow, Buffers::AsGiven)),
        rate(CONTENDERS[1], flow, move |flow| raw(flow, Buffers::Large)),
        rate(CONTENDERS[2], flow, pea2pea),
        rate(CONTENDERS[3], flow, wattle),
    ];
    suite.compare(&[format!("{way}{}", flow.name())], &contenders);
}

/// Messages per second.
fn rate<F>(name: &'static str, flow: Flow, run: impl Fn(Flow) -> F + Copy + 'static) -> Contender
where
    F: Future<Output = Duration> + 'static,
{
    Contender::new(name, move || async move {
        vec![flow.total() as f64 / run(flow).await.as_secs_f64()]
    })
}
