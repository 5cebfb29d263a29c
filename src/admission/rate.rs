//! How many may come over time.

use tokio::time::Instant;

use crate::config::AcceptRate;

/// A token bucket, computed when it is asked: there is no timer.
///
/// A connection costs as many units as its rate has nanoseconds, and every nanosecond brings as many
/// units as the rate has connections. So a refill is a whole number of units, and nothing is rounded
/// however often the bucket is asked. All products fit: a `Duration` has less than 2⁹⁵ nanoseconds,
/// and connections are counted in 32 bits.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: AcceptRate,
    units: u128,
    /// When it was refilled last.
    at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: AcceptRate, now: Instant) -> Self {
        let units = capacity(rate);
        Self {
            rate,
            units,
            at: now,
        }
    }

    /// The bucket of another rate, with as many whole connections as there were left, so that a change
    /// in the midst of a flood doesn't let in a burst.
    pub(super) fn changed(mut self, rate: AcceptRate, now: Instant) -> Self {
        if rate == self.rate {
            return self;
        }
        self.refill(now);
        let left = self.units / cost(self.rate);
        Self {
            rate,
            units: (left * cost(rate)).min(capacity(rate)),
            at: now,
        }
    }

    pub(super) fn rate(&self) -> AcceptRate {
        self.rate
    }

    pub(super) fn has_one(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.units >= cost(self.rate)
    }

    /// Takes what [`has_one`](Self::has_one) has found.
    pub(super) fn take_one(&mut self) {
        self.units -= cost(self.rate);
    }

    fn refill(&mut self, now: Instant) {
        // Whoever asked for the time first may get here second.
        let elapsed = now.saturating_duration_since(self.at).as_nanos();
        self.at = self.at.max(now);
        let gained = elapsed * u128::from(self.rate.connections.get());
        self.units = self.units.saturating_add(gained).min(capacity(self.rate));
    }
}

fn cost(rate: AcceptRate) -> u128 {
    rate.per.as_nanos()
}

fn capacity(rate: AcceptRate) -> u128 {
    u128::from(rate.connections.get()) * cost(rate)
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use super::*;

    fn rate(connections: u32, per: Duration) -> AcceptRate {
        let connections = NonZeroU32::new(connections).unwrap();
        AcceptRate { connections, per }
    }

    fn drained(rate: AcceptRate, now: Instant) -> Bucket {
        let mut bucket = Bucket::full(rate, now);
        let burst = (0..).take_while(|_| take(&mut bucket, now)).count();
        assert_eq!(burst, rate.connections.get() as usize);
        bucket
    }

    fn take(bucket: &mut Bucket, now: Instant) -> bool {
        let has_one = bucket.has_one(now);
        if has_one {
            bucket.take_one();
        }
        has_one
    }

    #[test]
    fn nothing_is_lost_or_won_by_rounding_however_often_it_is_asked() {
        // A third of a second has no whole number of nanoseconds.
        let (start, rate) = (Instant::now(), rate(3, Duration::from_secs(1)));
        let mut bucket = drained(rate, start);
        let step = Duration::from_nanos(999_983);
        let mut let_in = 0;
        for n in 1..=100_000 {
            let elapsed = n * step;
            let_in += u128::from(take(&mut bucket, start + elapsed));
            assert_eq!(
                let_in,
                elapsed.as_nanos() * 3 / 1_000_000_000,
                "{elapsed:?}"
            );
        }
    }

    #[test]
    fn a_long_time_fills_it_and_no_more() {
        let (start, rate) = (Instant::now(), rate(2, Duration::from_millis(10)));
        let mut bucket = drained(rate, start);
        let later = start + Duration::from_secs(100 * 365 * 24 * 3600);
        let mut take = || take(&mut bucket, later);
        assert_eq!([take(), take(), take()], [true, true, false]);
    }

    #[test]
    fn the_largest_rates_are_computed_all_the_same() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1 << 40);
        let mut bucket = Bucket::full(rate(u32::MAX, Duration::MAX), start);
        assert!(take(&mut bucket, start) && take(&mut bucket, later));
        let mut bucket = Bucket::full(rate(u32::MAX, Duration::from_nanos(1)), start);
        assert!(take(&mut bucket, start) && take(&mut bucket, later));
    }

    #[test]
    fn time_that_seems_to_go_back_is_no_time() {
        let (start, rate) = (Instant::now(), rate(1, Duration::from_secs(1)));
        let later = start + Duration::from_secs(2);
        let mut bucket = drained(rate, start);
        assert!(take(&mut bucket, later));
        assert!(!bucket.has_one(start));
        assert!(!bucket.has_one(later + Duration::from_millis(999)));
        assert!(bucket.has_one(later + Duration::from_secs(1)));
    }

    #[test]
    fn a_change_keeps_what_is_left_and_no_more_than_fits() {
        let start = Instant::now();
        let (slow, fast) = (
            rate(2, Duration::from_secs(60)),
            rate(100, Duration::from_secs(1)),
        );
        let mut bucket = drained(slow, start).changed(fast, start);
        assert!(!bucket.has_one(start), "no burst by a change");
        assert!(bucket.has_one(start + Duration::from_millis(10)));

        let mut bucket = Bucket::full(fast, start).changed(slow, start);
        let mut take = || take(&mut bucket, start);
        assert_eq!([take(), take(), take()], [true, true, false]);
    }
}
