//! A report as text.

use std::{fmt, time::Duration};

use super::{Latencies, Report};

/// A time with three or four digits and its unit.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let text = match self.0.as_nanos() {
            0 => "0".to_owned(),
            1..1_000 => format!("{} ns", self.0.as_nanos()),
            1_000..1_000_000 => format!("{:.1} µs", seconds * 1e6),
            1_000_000..1_000_000_000 => format!("{:.2} ms", seconds * 1e3),
            _ => format!("{seconds:.3} s"),
        };
        f.pad(&text)
    }
}

/// The columns of a line of latencies.
fn times(f: &mut fmt::Formatter<'_>, times: [Duration; 5]) -> fmt::Result {
    for time in times {
        write!(f, " {:>10}", Time(time))?;
    }
    writeln!(f)
}

fn latencies(f: &mut fmt::Formatter<'_>, what: &str, of: &Latencies) -> fmt::Result {
    write!(f, "{what:<16} {:>10}", Time(of.mean))?;
    times(f, [of.p50, of.p90, of.p99, of.p99_9, of.max])
}

impl Report {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            addr,
            mode,
            connected,
            connections,
            ..
        } = self;
        writeln!(
            f,
            "{addr}: {mode}, {connected} of {connections} connections"
        )?;
        write!(f, "measured for {}", Time(self.duration))?;
        if !self.warm_up.is_zero() {
            write!(f, " after {} of warm-up", Time(self.warm_up))?;
        }
        writeln!(f)
    }

    fn counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sent,
            received,
            lost,
            unsent,
            rate,
            ..
        } = self;
        writeln!(
            f,
            "sent {sent}, received {received} ({rate:.1}/s), lost {lost}, unsent {unsent}"
        )?;
        if self.others > 0 || self.unmatched > 0 {
            let (others, unmatched) = (self.others, self.unmatched);
            writeln!(f, "came besides: {others} others, {unmatched} unasked")?;
        }
        writeln!(
            f,
            "bytes sent {}, received {}",
            self.bytes_sent, self.bytes_received
        )
    }

    fn intervals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["p50", "p90", "p99", "p99.9", "max"];
        write!(f, "{:<16} {:>10}", "from", "replies/s")?;
        heads.iter().try_for_each(|head| write!(f, " {head:>10}"))?;
        writeln!(f)?;
        for interval in &self.timeline {
            let start = Time(interval.start);
            write!(f, "{start:<16} {:>10.1}", interval.rate)?;
            let (p50, p90, p99) = (interval.p50, interval.p90, interval.p99);
            times(f, [p50, p90, p99, interval.p99_9, interval.max])?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.counts(f)?;
        for failure in &self.failures {
            writeln!(f, "failed: {failure}")?;
        }
        writeln!(
            f,
            "\n{:<16} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "", "mean", "p50", "p90", "p99", "p99.9", "max"
        )?;
        latencies(f, "latency", &self.latency)?;
        latencies(f, "from the sending", &self.service)?;
        if f.alternate() {
            writeln!(f)?;
            self.intervals(f)?;
        }
        Ok(())
    }
}
