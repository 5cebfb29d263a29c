//! How long does a message take: to a peer and back, and along a chain of nodes?
//!
//! `LengthDelimitedCodec` at both ends, 16 bytes, one message under way at a time; the median and the 99th
//! percentile, in seconds. Contenders: `raw` (`FramedRead` and `FramedWrite` by hand, a task per connection),
//! `pea2pea`, and `wattle`.
//!
//! Cases: `ping` is there and back; `busy` is the same while another connection brings 4 KiB messages to the one
//! that answers, as fast as it takes them; `chain10` and `chain100` are one way along so many hops.

mod suite;

use std::time::Duration;

use suite::{Contender, Suite, node, pea, raw};

/// Pings of a round; so that some are beyond the 99th percentile.
const PINGS: usize = 2000;

/// Messages that are passed along a chain in a round.
const PASSES: usize = 300;

fn main() {
    let mut suite = Suite::begin("latency");
    for (case, busy) in [("ping", false), ("busy", true)] {
        let contenders = [
            Contender::new("raw", move || async move {
                percentiles(raw::ping(PINGS, busy).await)
            }),
            Contender::new("pea2pea", move || async move {
                percentiles(pea::ping(PINGS, busy).await)
            }),
            Contender::new("wattle", move || async move {
                percentiles(node::ping(PINGS, busy).await)
            }),
        ];
        suite.compare(&cases(case), &contenders);
    }
    for hops in [10, 100] {
        let contenders = [
            Contender::new("raw", move || async move {
                percentiles(raw::chain(hops, PASSES).await)
            }),
            Contender::new("pea2pea", move || async move {
                percentiles(pea::chain(hops, PASSES).await)
            }),
            Contender::new("wattle", move || async move {
                percentiles(node::chain(hops, PASSES).await)
            }),
        ];
        suite.compare(&cases(&format!("chain{hops}")), &contenders);
    }
    suite.end();
}

fn cases(case: &str) -> [String; 2] {
    [case.to_owned(), format!("{case}-p99")]
}

/// The median and the 99th percentile, in seconds.
fn percentiles(mut took: Vec<Duration>) -> Vec<f64> {
    took.sort_unstable();
    let [half, most] = [took.len() / 2, took.len() * 99 / 100];
    vec![took[half].as_secs_f64(), took[most].as_secs_f64()]
}
