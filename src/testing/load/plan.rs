//! The options of a load, their defaults, and what makes no sense.

use std::{fmt, net::SocketAddr, time::Duration};

use crate::error::InvalidOption;

/// Long enough for percentiles, short enough to be waited for.
const DURATION: Duration = Duration::from_secs(10);

/// As long as a node waits for a remote that is to close; a reply that comes later is of no use to anybody.
const LINGER: Duration = Duration::from_secs(5);

/// What people read rates in.
const INTERVAL: Duration = Duration::from_secs(1);

/// As a node's queues hold; 16 KiB of times.
const MAX_OUTSTANDING: usize = 1024;

/// As a node's.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Intervals of a timeline: a day in seconds, at about 100 bytes each.
const MAX_INTERVALS: u128 = 24 * 60 * 60;

/// Two bytes' worth of addresses behind `127.0.0.1`, enough for as many connections as there are
/// descriptors.
pub(super) const MAX_SOURCES: u32 = 1 << 16;

/// Times are counted in nanoseconds in 64 bits; this is far from the end of them.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A nanosecond is the smallest distance there is between two messages.
const FASTEST: f64 = 1e9;

/// When messages are sent; see [`Load`](super::Load).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// At times that are fixed beforehand.
    Open {
        /// Messages per second, over all connections.
        rate: f64,
    },
    /// When a reply has come.
    Closed {
        /// How many requests are under way on each connection.
        in_flight: usize,
    },
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { rate } => write!(f, "open loop, {rate} messages/s"),
            Self::Closed { in_flight } => {
                write!(f, "closed loop, {in_flight} in flight per connection")
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) mode: Mode,
    pub(super) connections: usize,
    pub(super) sources: u32,
    pub(super) duration: Duration,
    pub(super) warm_up: Duration,
    pub(super) linger: Duration,
    pub(super) interval: Duration,
    pub(super) max_outstanding: usize,
    pub(super) connect_timeout: Duration,
    /// Whether a thread keeps the times of an open loop, instead of the runtime's timers.
    pub(super) pacer_thread: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            mode: Mode::Closed { in_flight: 1 },
            connections: 1,
            sources: 1,
            duration: DURATION,
            warm_up: Duration::ZERO,
            linger: LINGER,
            interval: INTERVAL,
            max_outstanding: MAX_OUTSTANDING,
            connect_timeout: CONNECT_TIMEOUT,
            pacer_thread: true,
        }
    }
}

impl Plan {
    /// The most requests that a connection has under way.
    pub(super) fn window(&self) -> usize {
        match self.mode {
            Mode::Open { .. } => self.max_outstanding,
            Mode::Closed { in_flight } => in_flight,
        }
    }

    pub(super) fn validate(&self) -> Result<(), InvalidOption> {
        for (option, value) in [
            ("connections", self.connections),
            ("max_outstanding", self.max_outstanding),
            ("sources", self.sources as usize),
        ] {
            if value == 0 {
                return Err(InvalidOption::new(option, 0, "it must be at least 1"));
            }
        }
        self.validate_mode()?;
        self.validate_times()?;
        if self.sources > MAX_SOURCES {
            let reason = format!("it can't be more than {MAX_SOURCES}");
            return Err(InvalidOption::new("sources", self.sources, reason));
        }
        Ok(())
    }

    fn validate_mode(&self) -> Result<(), InvalidOption> {
        match self.mode {
            // What is not a number is not above zero either.
            Mode::Open { rate } if !(rate > 0.0 && rate <= FASTEST) => {
                let reason = "it must be above 0 and not above a billion per second";
                Err(InvalidOption::new("rate", rate, reason))
            }
            Mode::Closed { in_flight: 0 } => {
                let reason = "nothing would ever be sent";
                Err(InvalidOption::new("in_flight", 0, reason))
            }
            _ => Ok(()),
        }
    }

    fn validate_times(&self) -> Result<(), InvalidOption> {
        for (option, value) in [
            ("duration", self.duration),
            ("interval", self.interval),
            ("connect_timeout", self.connect_timeout),
        ] {
            if value.is_zero() {
                return Err(InvalidOption::new(option, value, "it can't be zero"));
            }
        }
        for (option, value) in [
            ("duration", self.duration),
            ("warm_up", self.warm_up),
            ("linger", self.linger),
            ("interval", self.interval),
            ("connect_timeout", self.connect_timeout),
        ] {
            if value > LONGEST {
                return Err(InvalidOption::new(option, value, "it can't be over a year"));
            }
        }
        let intervals = (self.duration + self.linger).as_nanos() / self.interval.as_nanos();
        if intervals > MAX_INTERVALS {
            let reason =
                format!("there would be {intervals} of them, and {MAX_INTERVALS} are kept");
            return Err(InvalidOption::new("interval", self.interval, reason));
        }
        Ok(())
    }

    /// Checks what depends on the address.
    pub(super) fn validate_for(&self, addr: SocketAddr) -> Result<(), InvalidOption> {
        let loopback = addr.is_ipv4() && addr.ip().is_loopback();
        if self.sources > 1 && !loopback {
            let reason = format!("several of 127.0.0.0/8 can't dial {addr}, name them instead");
            return Err(InvalidOption::new("sources", self.sources, reason));
        }
        Ok(())
    }
}
