//! What a load came to: [`Report`].

use std::{net::SocketAddr, time::Duration};

use super::{
    error::Failure,
    plan::{Mode, Plan},
    tally::{Counts, Record},
    timeline::{Interval, per_second},
};

mod json;
mod table;

/// What a [`Load`](super::Load) came to. As text it is a table, with `{:#}` one that has the
/// timeline in it, too; [`to_json`](Report::to_json) is for programs.
///
/// Messages of the warm-up are in none of the counts and latencies.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The address that was dialled.
    pub addr: SocketAddr,
    /// Open or closed loop.
    pub mode: Mode,
    /// How many connections were asked for.
    pub connections: usize,
    /// How many of them were made.
    pub connected: usize,
    /// How many of those that were made have failed.
    pub failed: u64,
    /// How the connections failed that did, those that were not made included; the kinds in order.
    pub failures: Vec<Failure>,
    /// How long the load was warmed up.
    pub warm_up: Duration,
    /// How long it was measured: as long as was asked for, and until the last reply if that came later;
    /// shorter if all connections failed.
    pub duration: Duration,
    /// Requests that were sent.
    pub sent: u64,
    /// Replies that came.
    pub received: u64,
    /// Requests that were sent and had no reply when their connection failed or there was no time left.
    /// They are in no percentile.
    pub lost: u64,
    /// Requests of an open loop that were due and couldn't be sent: as many as may be were outstanding,
    /// the connection took no more bytes, or it had failed. They are in no percentile.
    pub unsent: u64,
    /// Messages that came and were no replies, by [`Load::replies`](super::Load::replies).
    pub others: u64,
    /// Replies that came when no request was outstanding.
    pub unmatched: u64,
    /// Bytes that were sent in the time that is measured, and behind it. What is under way when the
    /// warm-up ends is counted where it is then.
    pub bytes_sent: u64,
    /// Bytes that came, likewise.
    pub bytes_received: u64,
    /// Replies per second of [`duration`](Report::duration).
    pub rate: f64,
    /// How long replies took from when their requests **were to be sent**.
    pub latency: Latencies,
    /// How long replies took from when their requests were sent: handed to the connection, to be written at
    /// once. In a closed loop this is the same.
    pub service: Latencies,
    /// What happened when.
    pub timeline: Vec<Interval>,
}

/// How long replies took. It is measured in nanoseconds; percentiles are right to a thousandth (up to an
/// hour), the others exactly. All are zero if there are none.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Latencies {
    /// How many there are.
    pub count: u64,
    /// The shortest.
    pub min: Duration,
    /// The mean.
    pub mean: Duration,
    /// Half of them are not above this.
    pub p50: Duration,
    /// 90 % are not above this.
    pub p90: Duration,
    /// 99 % are not above this.
    pub p99: Duration,
    /// 99.9 % are not above this.
    pub p99_9: Duration,
    /// The longest.
    pub max: Duration,
    record: Box<Record>,
}

impl Latencies {
    fn new(record: Record) -> Self {
        let count = record.histogram.len();
        let mean = record.sum.checked_div(u128::from(count)).unwrap_or(0);
        Self {
            count,
            min: Duration::from_nanos(if count == 0 { 0 } else { record.min }),
            mean: Duration::from_nanos(mean as u64),
            p50: record.at(0.5),
            p90: record.at(0.9),
            p99: record.at(0.99),
            p99_9: record.at(0.999),
            max: record.at(1.0),
            record: Box::new(record),
        }
    }

    /// The latency that this share of them, from 0 to 1, is not above.
    pub fn at(&self, quantile: f64) -> Duration {
        self.record.at(quantile)
    }
}

/// What a run hands over for its report.
pub(super) struct Outcome {
    pub(super) connected: usize,
    pub(super) failed: u64,
    pub(super) planned: Option<u64>,
    pub(super) elapsed: Duration,
    pub(super) counts: Counts,
    pub(super) latency: Record,
    pub(super) service: Record,
    pub(super) failures: Vec<Failure>,
    pub(super) timeline: Vec<Interval>,
}

impl Report {
    pub(super) fn new(addr: SocketAddr, plan: &Plan, outcome: Outcome) -> Self {
        let counts = outcome.counts;
        let unsent = outcome.planned.map(|planned| planned - counts.sent);
        Self {
            addr,
            mode: plan.mode,
            connections: plan.connections,
            connected: outcome.connected,
            failed: outcome.failed,
            failures: outcome.failures,
            warm_up: plan.warm_up,
            duration: outcome.elapsed,
            sent: counts.sent,
            received: counts.received,
            lost: counts.sent - counts.received,
            unsent: unsent.unwrap_or(0),
            others: counts.others,
            unmatched: counts.unmatched,
            bytes_sent: counts.bytes_sent,
            bytes_received: counts.bytes_received,
            rate: per_second(counts.received, outcome.elapsed),
            latency: Latencies::new(outcome.latency),
            service: Latencies::new(outcome.service),
            timeline: outcome.timeline,
        }
    }

    /// Whether every message was sent and answered, and no connection failed.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.lost == 0 && self.unsent == 0
    }
}
