//! What happened when.

use std::{mem, time::Duration};

use tokio::time::Instant;

use super::{
    plan::Plan,
    tally::{Counts, Record, Tally},
};

/// One stretch of a load's time.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Interval {
    /// When it began, from the beginning of what is measured.
    pub start: Duration,
    /// How long it was.
    pub duration: Duration,
    /// Messages that were sent in it.
    pub sent: u64,
    /// Replies that came in it. Its latencies are those of these.
    pub received: u64,
    /// Replies per second.
    pub rate: f64,
    /// Half of the latencies are not above this; zero if no reply came.
    pub p50: Duration,
    /// 90 % are not above this.
    pub p90: Duration,
    /// 99 % are not above this.
    pub p99: Duration,
    /// 99.9 % are not above this.
    pub p99_9: Duration,
    /// The longest latency.
    pub max: Duration,
}

/// How far a load is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Connections that were made.
    pub connected: usize,
    /// Connections that were asked for.
    pub connections: usize,
    /// How much of the time is over that is measured, and of what comes behind; `None` as long as
    /// connections are being made, and in the warm-up.
    pub elapsed: Option<Duration>,
    /// How long is measured.
    pub duration: Duration,
    /// Messages sent.
    pub sent: u64,
    /// Replies received.
    pub received: u64,
    /// Connections that have failed since they were made.
    pub failed: u64,
}

impl Progress {
    pub(super) fn connecting(plan: &Plan, connected: usize) -> Self {
        Self {
            connected,
            connections: plan.connections,
            elapsed: None,
            duration: plan.duration,
            sent: 0,
            received: 0,
            failed: 0,
        }
    }
}

/// The timeline up to now.
#[derive(Debug)]
pub(super) struct Timeline {
    measured_from: Instant,
    end: Instant,
    interval: Duration,
    /// When the current interval began.
    since: Instant,
    before: Counts,
    /// Room for one interval's latencies, used again and again.
    room: Record,
    spare: Record,
    intervals: Vec<Interval>,
}

impl Timeline {
    pub(super) fn new(measured_from: Instant, end: Instant, interval: Duration) -> Self {
        Self {
            measured_from,
            end,
            interval,
            since: measured_from,
            before: Counts::default(),
            room: Record::new(),
            spare: Record::new(),
            intervals: Vec::new(),
        }
    }

    /// When the current interval is over. One ends with what is measured, so that none is half in it.
    pub(super) fn next(&self) -> Instant {
        let next = self.since + self.interval;
        if self.since < self.end {
            next.min(self.end)
        } else {
            next
        }
    }

    /// Ends the current interval.
    pub(super) fn close(&mut self, tally: &Tally, now: Instant) {
        let counts = tally.take_interval(&mut self.room, &mut self.spare);
        let duration = now.saturating_duration_since(self.since);
        let received = counts.received - self.before.received;
        let sent = counts.sent - self.before.sent;
        if duration.is_zero() && received == 0 && sent == 0 {
            return;
        }
        let room = &self.room;
        self.intervals.push(Interval {
            start: self.since.saturating_duration_since(self.measured_from),
            duration,
            sent,
            received,
            rate: per_second(received, duration),
            p50: room.at(0.5),
            p90: room.at(0.9),
            p99: room.at(0.99),
            p99_9: room.at(0.999),
            max: room.at(1.0),
        });
        self.room.clear();
        self.before = counts;
        self.since = now;
    }

    /// When the current interval began.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Sums up to the end of the last interval.
    pub(super) fn counts(&self) -> Counts {
        self.before
    }

    /// All intervals, without those at the end in which nothing happened any more.
    pub(super) fn into_intervals(mut self) -> Vec<Interval> {
        let end = self.end - self.measured_from;
        let idle = |last: &Interval| last.start >= end && last.sent == 0 && last.received == 0;
        while self.intervals.last().is_some_and(idle) {
            self.intervals.pop();
        }
        mem::take(&mut self.intervals)
    }
}

/// How many per second; none in no time.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() {
        return 0.0;
    }
    count as f64 / time.as_secs_f64()
}
