//! `testing::Load` in memory and under paused time, where counts and latencies are exact; and over TCP.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{SinkExt, StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    runtime::Handle,
    time::{Instant, sleep, timeout},
};
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{
    BoxError, Event, Node, Peer, Protocol, Transport,
    testing::load::{FailureKind, Load, LoadError, Report},
    transport::{AdoptOnly, Tcp},
};

mod common;
#[path = "testing_load/ending.rs"]
mod ending;
#[path = "testing_load/failing.rs"]
mod failing;
#[path = "testing_load/loops.rs"]
mod loops;
#[path = "testing_load/reporting.rs"]
mod reporting;
#[path = "testing_load/server.rs"]
mod server;

use common::{lines, quiet, within};
use server::{Served, answers, echo_after, echo_but_for, silent};

/// Nobody looks at it.
const ADDR: &str = "10.0.0.1:7";

const SECOND: Duration = Duration::from_secs(1);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Percentiles are right to a thousandth.
#[track_caller]
fn assert_about(got: Duration, wanted: Duration) {
    let off = got.abs_diff(wanted);
    assert!(off <= wanted / 1000, "{got:?} instead of {wanted:?}");
}

fn number(n: u64) -> String {
    n.to_string()
}

/// A load of lines.
type LinesLoad<T> = Load<fn(Peer) -> LinesCodec, fn(u64) -> String, T>;

/// A load of lines with their numbers.
fn load_on<T: Transport>(server: T) -> LinesLoad<T> {
    let load: LinesLoad<Tcp> = Load::new(ADDR, lines, number);
    load.transport(server)
}

#[track_caller]
fn assert_counts(report: &Report, [sent, received, lost, unsent]: [u64; 4]) {
    let counts = [report.sent, report.received, report.lost, report.unsent];
    assert_eq!(counts, [sent, received, lost, unsent], "{report}");
    assert_eq!(report.latency.count, received);
    assert_eq!(report.service.count, received);
}

/// The one kind of failure that there is, of so many connections.
#[track_caller]
fn assert_failed(report: &Report, kind: FailureKind, connections: u64) {
    let failures: Vec<_> = report
        .failures
        .iter()
        .map(|f| (f.kind, f.connections))
        .collect();
    assert_eq!(failures, [(kind, connections)], "{report}");
}
