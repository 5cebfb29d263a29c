//! A report as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Latencies, Report};
use crate::testing::load::{error::Failure, plan::Mode, timeline::Interval};

fn mode(mode: &Mode) -> Value {
    match mode {
        Mode::Open { rate } => json!({ "loop": "open", "rate": rate }),
        Mode::Closed { in_flight } => json!({ "loop": "closed", "in_flight": in_flight }),
    }
}

/// Nanoseconds, of which half a millennium fits.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn latencies(of: &Latencies) -> Value {
    json!({
        "count": of.count,
        "min": nanos(of.min),
        "mean": nanos(of.mean),
        "p50": nanos(of.p50),
        "p90": nanos(of.p90),
        "p99": nanos(of.p99),
        "p99.9": nanos(of.p99_9),
        "max": nanos(of.max),
    })
}

fn failure(failure: &Failure) -> Value {
    json!({
        "kind": failure.kind.name(),
        "connections": failure.connections,
        "first": failure.first,
    })
}

fn interval(interval: &Interval) -> Value {
    json!({
        "start": nanos(interval.start),
        "duration": nanos(interval.duration),
        "sent": interval.sent,
        "received": interval.received,
        "rate": interval.rate,
        "p50": nanos(interval.p50),
        "p90": nanos(interval.p90),
        "p99": nanos(interval.p99),
        "p99.9": nanos(interval.p99_9),
        "max": nanos(interval.max),
    })
}

impl Report {
    /// The report as a JSON object with the names of its fields, but for `p99.9`. All times are in
    /// nanoseconds, rates are per second.
    pub fn to_json(&self) -> Value {
        json!({
            "addr": self.addr.to_string(),
            "mode": mode(&self.mode),
            "connections": self.connections,
            "connected": self.connected,
            "failed": self.failed,
            "failures": self.failures.iter().map(failure).collect::<Vec<_>>(),
            "warm_up": nanos(self.warm_up),
            "duration": nanos(self.duration),
            "sent": self.sent,
            "received": self.received,
            "lost": self.lost,
            "unsent": self.unsent,
            "others": self.others,
            "unmatched": self.unmatched,
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
            "rate": self.rate,
            "latency": latencies(&self.latency),
            "service": latencies(&self.service),
            "timeline": self.timeline.iter().map(interval).collect::<Vec<_>>(),
        })
    }
}
