//! When each message is due.

use std::time::Duration;

use tokio::time::Instant;

use super::plan::{Mode, Plan};

/// The times of a run, which are fixed when it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) begin: Instant,
    /// The end of the warm-up.
    pub(super) measured_from: Instant,
    /// Nothing is due any more.
    pub(super) end: Instant,
    /// Nothing is waited for any more.
    pub(super) last: Instant,
    pub(super) mode: Mode,
    /// How many connections take turns.
    pub(super) connections: u64,
}

impl Schedule {
    pub(super) fn new(plan: &Plan, connections: usize, begin: Instant) -> Self {
        let measured_from = begin + plan.warm_up;
        let end = measured_from + plan.duration;
        Self {
            begin,
            measured_from,
            end,
            last: end + plan.linger,
            mode: plan.mode,
            connections: connections as u64,
        }
    }

    /// The number of the n-th message of a connection: they take turns.
    pub(super) fn number(&self, connection: u64, nth: u64) -> u64 {
        nth * self.connections + connection
    }

    /// When a message of an open loop is to be sent.
    pub(super) fn due(&self, number: u64, rate: f64) -> Instant {
        self.begin + Duration::from_secs_f64(number as f64 / rate)
    }

    /// How many messages of an open loop are due within the time that is measured.
    pub(super) fn planned(&self) -> Option<u64> {
        let Mode::Open { rate } = self.mode else {
            return None;
        };
        Some(self.due_before(self.end, rate) - self.due_before(self.measured_from, rate))
    }

    /// How many messages are due at this time, those of this very moment included.
    pub(super) fn due_by(&self, when: Instant, rate: f64) -> u64 {
        self.due_before(when + Duration::from_nanos(1), rate)
    }

    fn due_before(&self, when: Instant, rate: f64) -> u64 {
        let span = when.saturating_duration_since(self.begin);
        let mut number = (span.as_secs_f64() * rate).ceil() as u64;
        // The product may be rounded to the other side of a whole number.
        while number > 0 && self.due(number - 1, rate) >= when {
            number -= 1;
        }
        while self.due(number, rate) < when {
            number += 1;
        }
        number
    }
}
