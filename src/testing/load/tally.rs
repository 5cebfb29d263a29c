//! What the connections have measured, in a few shards that they share.
//!
//! A histogram is a quarter of a megabyte, too much for each of thousands of connections; one for
//! all would be one lock for all. So there are as many as there are cores, and a connection goes to
//! its own with a batch of samples at a time.

use std::{mem, sync::Arc, thread::available_parallelism, time::Duration};

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::sync::Mutex;

/// Samples that a connection gathers before it locks the tally.
const BATCH: usize = 64;

/// More cores than this rarely find each other at one lock.
const MAX_SHARDS: usize = 16;

/// What is longer counts as this long in a percentile; the maximum is exact.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Within a thousandth of a value.
const DIGITS: u8 = 3;

/// Latencies in nanoseconds, whose extremes and sum are exact.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) histogram: Histogram<u64>,
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) sum: u128,
}

impl Record {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, DIGITS);
        Self {
            histogram: histogram.expect("these bounds are right"),
            min: u64::MAX,
            max: 0,
            sum: 0,
        }
    }

    fn add(&mut self, nanos: u64) {
        self.histogram.saturating_record(nanos);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
        self.sum += u128::from(nanos);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let merged = self.histogram.add(&other.histogram);
        merged.expect("all have the same bounds");
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
    }

    pub(super) fn clear(&mut self) {
        self.histogram.reset();
        (self.min, self.max, self.sum) = (u64::MAX, 0, 0);
    }

    /// The value that this share of the samples does not exceed; 0 if there is none.
    pub(super) fn at(&self, quantile: f64) -> Duration {
        let nanos = self.histogram.value_at_quantile(quantile);
        // A bucket's end may be a little above all that is in it.
        Duration::from_nanos(if quantile >= 1.0 {
            self.max
        } else {
            nanos.min(self.max)
        })
    }
}

/// Sums of what was measured, without the warm-up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) others: u64,
    pub(super) unmatched: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
}

impl Counts {
    pub(super) fn add(&mut self, more: Self) {
        self.sent += more.sent;
        self.received += more.received;
        self.others += more.others;
        self.unmatched += more.unmatched;
        self.bytes_sent += more.bytes_sent;
        self.bytes_received += more.bytes_received;
    }
}

/// What a request took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// From when it was to be sent, in nanoseconds.
    pub(super) latency: u64,
    /// From when it was sent.
    pub(super) service: u64,
}

#[derive(Debug)]
pub(super) struct Shard {
    pub(super) latency: Record,
    pub(super) service: Record,
    /// The latencies of the current interval.
    pub(super) interval: Record,
    pub(super) counts: Counts,
    pub(super) last_reply: Option<Instant>,
}

impl Shard {
    fn new() -> Self {
        Self {
            latency: Record::new(),
            service: Record::new(),
            interval: Record::new(),
            counts: Counts::default(),
            last_reply: None,
        }
    }

    fn take_in(&mut self, samples: &[Sample], counts: Counts, last_reply: Option<Instant>) {
        for sample in samples {
            self.latency.add(sample.latency);
            self.service.add(sample.service);
            self.interval.add(sample.latency);
        }
        self.counts.add(counts);
        self.last_reply = self.last_reply.max(last_reply);
    }
}

/// All shards; its clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    shards: Arc<[Mutex<Shard>]>,
}

impl Tally {
    pub(super) fn new(connections: usize) -> Self {
        let cores = available_parallelism().map_or(1, |cores| cores.get());
        let shards = cores.min(MAX_SHARDS).min(connections).max(1);
        Self {
            shards: (0..shards).map(|_| Mutex::new(Shard::new())).collect(),
        }
    }

    /// Where a connection writes its samples.
    pub(super) fn log(&self, connection: usize) -> Log {
        Log {
            tally: self.clone(),
            shard: connection % self.shards.len(),
            samples: Vec::new(),
            counts: Counts::default(),
            last_reply: None,
        }
    }

    /// Takes the latencies of the current interval out of it, and tells the counts up to now.
    pub(super) fn take_interval(&self, into: &mut Record, spare: &mut Record) -> Counts {
        let mut counts = Counts::default();
        for shard in self.shards.iter() {
            {
                let mut shard = shard.lock();
                mem::swap(&mut shard.interval, spare);
                counts.add(shard.counts);
            }
            into.merge(spare);
            spare.clear();
        }
        counts
    }

    /// All there is, in one.
    pub(super) fn sum(&self) -> (Record, Record, Counts, Option<Instant>) {
        let (mut latency, mut service) = (Record::new(), Record::new());
        let (mut counts, mut last_reply) = (Counts::default(), None);
        for shard in self.shards.iter() {
            let shard = shard.lock();
            latency.merge(&shard.latency);
            service.merge(&shard.service);
            counts.add(shard.counts);
            last_reply = last_reply.max(shard.last_reply);
        }
        (latency, service, counts, last_reply)
    }
}

/// A connection's way to the tally; what was gathered goes there when it is dropped, too, so that a
/// connection that panics has its numbers in it.
#[derive(Debug)]
pub(super) struct Log {
    tally: Tally,
    shard: usize,
    samples: Vec<Sample>,
    pub(super) counts: Counts,
    last_reply: Option<Instant>,
}

impl Log {
    pub(super) fn reply(&mut self, sample: Sample, now: Instant) {
        self.counts.received += 1;
        self.last_reply = Some(now);
        self.samples.push(sample);
        if self.samples.len() == BATCH {
            self.hand_over();
        }
    }

    pub(super) fn hand_over(&mut self) {
        let counts = mem::take(&mut self.counts);
        let mut shard = self.tally.shards[self.shard].lock();
        shard.take_in(&self.samples, counts, self.last_reply);
        drop(shard);
        self.samples.clear();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.hand_over();
    }
}
