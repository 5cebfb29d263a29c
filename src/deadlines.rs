//! The deadlines of an established connection, on one timer.
//!
//! Nothing is armed per message: the connection says what has moved whenever it is about to wait,
//! and the timer, when it fires, either finds a deadline passed or is set again.
//!
//! How long a remote is silent and how long it takes for a frame is told by a stopwatch that stands
//! still while we are the ones who don't read: what was used up by then stays used up, and no more
//! is.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::SessionConfig;

/// Which deadline passed. Of several, the one that passed first; of those that passed in the same
/// instant the first of these, which says the most about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    Frame,
    Write,
    Idle,
    Drain,
}

/// What the connection is doing when it is about to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Activity {
    /// Whether it waits for bytes; not when it waits for its reader to take messages, which would
    /// punish the peer for our own slowness.
    pub(crate) reading: bool,
    /// Bytes received so far; any number that grows with what the remote does.
    pub(crate) received: u64,
    /// The frame that has begun and isn't whole.
    pub(crate) frame: Option<Begun>,
    /// Whether it waits for the stream to take bytes.
    pub(crate) writing: bool,
    /// Bytes sent so far.
    pub(crate) sent: u64,
}

/// A frame that isn't whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    /// How many were whole before it, which tells it from others.
    pub(crate) number: u64,
    /// Bytes of it that have come.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Deadlines {
    /// Boxed, as there is none without an option that asks for it.
    reading: Option<Box<Reading>>,
    write: Stall,
    drain: Drain,
    /// Boxed when first needed: most connections never wait for a deadline.
    timer: Option<Pin<Box<Sleep>>>,
}

/// The deadlines of a remote that is to send something.
#[derive(Debug)]
struct Reading {
    stopwatch: Stopwatch,
    idle_limit: Option<Duration>,
    /// Since when nothing has come.
    silent: Option<Mark>,
    frame_limit: Option<Duration>,
    /// Bytes of a frame per second that earn it another second.
    frame_rate: Option<u32>,
    /// Since when the frame is under way.
    begun: Option<Mark>,
}

/// What the stopwatch showed when a number became what it is.
#[derive(Debug, Clone, Copy)]
struct Mark {
    number: u64,
    shown: Duration,
}

/// The time during which it was running.
#[derive(Debug, Default)]
struct Stopwatch {
    /// Shown when it last stood still.
    shown: Duration,
    /// Since when it is running.
    since: Option<Instant>,
}

/// How long writing may last without a byte being taken.
#[derive(Debug)]
struct Stall {
    limit: Option<Duration>,
    since: Option<(Instant, u64)>,
}

/// How long closing may last.
#[derive(Debug, Clone, Copy)]
enum Drain {
    /// From when it begins.
    Within(Duration),
    /// It has begun; what is too far away to be told never comes.
    Until(Option<Instant>),
}

impl Stopwatch {
    fn run(&mut self, running: bool, now: Instant) {
        match self.since {
            None if running => self.since = Some(now),
            Some(_) if !running => {
                self.shown = self.shows(now);
                self.since = None;
            }
            _ => {}
        }
    }

    fn shows(&self, now: Instant) -> Duration {
        let running = self.since.map(|since| now.saturating_duration_since(since));
        self.shown.saturating_add(running.unwrap_or_default())
    }

    /// When it will show this, if it goes on running.
    fn reaches(&self, time: Duration) -> Option<Instant> {
        self.since?.checked_add(time.saturating_sub(self.shown))
    }
}

impl Mark {
    /// Since when the number is this one.
    fn since(mark: &mut Option<Self>, number: u64, shown: Duration) -> Duration {
        let kept = mark.filter(|mark| mark.number == number);
        mark.insert(kept.unwrap_or(Self { number, shown })).shown
    }
}

impl Reading {
    fn new(config: &SessionConfig) -> Option<Box<Self>> {
        config.idle_timeout.or(config.frame_timeout)?;
        Some(Box::new(Self {
            stopwatch: Stopwatch::default(),
            idle_limit: config.idle_timeout,
            silent: None,
            frame_limit: config.frame_timeout,
            frame_rate: config.min_frame_rate,
            begun: None,
        }))
    }

    fn idle_due(&mut self, received: u64, now: Instant) -> Option<Instant> {
        let limit = self.idle_limit?;
        let silent = Mark::since(&mut self.silent, received, self.stopwatch.shows(now));
        self.stopwatch.reaches(silent.checked_add(limit)?)
    }

    fn frame_due(&mut self, frame: Option<Begun>, now: Instant) -> Option<Instant> {
        let limit = self.frame_limit?;
        let Some(frame) = frame else {
            self.begun = None;
            return None;
        };
        let begun = Mark::since(&mut self.begun, frame.number, self.stopwatch.shows(now));
        let earned = self.frame_rate.map(|rate| time_at(rate, frame.bytes));
        let limit = limit.checked_add(earned.unwrap_or_default())?;
        self.stopwatch.reaches(begun.checked_add(limit)?)
    }
}

/// How long so many bytes take at a rate of bytes per second.
fn time_at(rate: u32, bytes: u64) -> Duration {
    const NANOS: u64 = 1_000_000_000;
    let rate = u64::from(rate.max(1));
    Duration::new(bytes / rate, (bytes % rate * NANOS / rate) as u32)
}

impl Stall {
    /// When it has lasted too long, if it goes on like this.
    fn due(&mut self, active: bool, number: u64, now: Instant) -> Option<Instant> {
        if !active {
            self.since = None;
            return None;
        }
        let limit = self.limit?;
        let kept = self.since.filter(|(_, then)| *then == number);
        let (since, _) = *self.since.insert(kept.unwrap_or((now, number)));
        since.checked_add(limit)
    }
}

impl Drain {
    fn due(self) -> Option<Instant> {
        match self {
            Self::Within(_) => None,
            Self::Until(at) => at,
        }
    }
}

impl Deadlines {
    pub(crate) fn new(config: &SessionConfig) -> Self {
        Self {
            reading: Reading::new(config),
            write: Stall {
                limit: config.write_timeout,
                since: None,
            },
            drain: Drain::Within(config.drain_timeout),
            timer: None,
        }
    }

    /// From now on only the drain counts.
    pub(crate) fn begin_drain(&mut self) {
        self.reading = None;
        self.write.limit = None;
        if let Drain::Within(limit) = self.drain {
            self.drain = Drain::Until(Instant::now().checked_add(limit));
        }
    }

    /// Ready when a deadline has passed; otherwise the task is woken when one might have.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, activity: Activity) -> Poll<Deadline> {
        if self.reading.is_none() && self.drain.due().is_none() && !activity.writing {
            self.write.since = None;
            return Poll::Pending;
        }
        loop {
            let now = Instant::now();
            let Some((at, deadline)) = self.next(activity, now) else {
                return Poll::Pending;
            };
            if at <= now {
                return Poll::Ready(deadline);
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            // One that fires too early costs a look; one that is set again for every batch, more.
            if timer.deadline() > at || timer.is_elapsed() {
                timer.as_mut().reset(at);
            }
            match timer.as_mut().poll(cx) {
                Poll::Ready(()) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Which deadline passes next, and when, if nothing moves.
    fn next(&mut self, activity: Activity, now: Instant) -> Option<(Instant, Deadline)> {
        let (frame, idle) = match &mut self.reading {
            None => (None, None),
            Some(reading) => {
                reading.stopwatch.run(activity.reading, now);
                (
                    reading.frame_due(activity.frame, now),
                    reading.idle_due(activity.received, now),
                )
            }
        };
        let write = self.write.due(activity.writing, activity.sent, now);
        let due = [
            frame.map(|at| (at, Deadline::Frame)),
            write.map(|at| (at, Deadline::Write)),
            idle.map(|at| (at, Deadline::Idle)),
            self.drain.due().map(|at| (at, Deadline::Drain)),
        ];
        due.into_iter().flatten().min()
    }

    /// For when the timer is set, if it ever was.
    #[cfg(test)]
    pub(crate) fn timer_set_for(&self) -> Option<Instant> {
        self.timer.as_ref().map(|timer| timer.deadline())
    }
}
