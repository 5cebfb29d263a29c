//! The deadlines of an established connection, on one timer.
//!
//! Nothing is armed per message: the connection says what has moved whenever it is about to wait,
//! and the timer, when it fires, either finds a deadline passed or is set again.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Which deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    Idle,
    Write,
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
    /// Whether it waits for the stream to take bytes.
    pub(crate) writing: bool,
    /// Bytes sent so far.
    pub(crate) sent: u64,
}

#[derive(Debug)]
pub(crate) struct Deadlines {
    idle: Stall,
    write: Stall,
    drain: Option<Instant>,
    /// Boxed when first needed: most connections never wait for a deadline.
    timer: Option<Pin<Box<Sleep>>>,
}

/// How long something may last without a number growing.
#[derive(Debug)]
struct Stall {
    limit: Option<Duration>,
    since: Option<(Instant, u64)>,
}

impl Stall {
    fn new(limit: Option<Duration>) -> Self {
        Self { limit, since: None }
    }

    /// When it has lasted too long, if it goes on like this.
    fn due(&mut self, active: bool, number: u64) -> Option<Instant> {
        let limit = self.limit.filter(|_| active);
        let Some(limit) = limit else {
            self.since = None;
            return None;
        };
        match self.since {
            Some((since, then)) if then == number => since.checked_add(limit),
            _ => {
                let now = Instant::now();
                self.since = Some((now, number));
                now.checked_add(limit)
            }
        }
    }
}

impl Deadlines {
    pub(crate) fn new(idle: Option<Duration>, write: Option<Duration>) -> Self {
        Self {
            idle: Stall::new(idle),
            write: Stall::new(write),
            drain: None,
            timer: None,
        }
    }

    /// From now on only the drain counts.
    pub(crate) fn drain_within(&mut self, limit: Duration) {
        self.idle.limit = None;
        self.write.limit = None;
        self.drain = Instant::now().checked_add(limit);
    }

    /// Ready when a deadline has passed; otherwise the task is woken when one might have.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, activity: Activity) -> Poll<Deadline> {
        loop {
            let due = [
                (
                    self.idle.due(activity.reading, activity.received),
                    Deadline::Idle,
                ),
                (
                    self.write.due(activity.writing, activity.sent),
                    Deadline::Write,
                ),
                (self.drain, Deadline::Drain),
            ];
            let due = due
                .into_iter()
                .filter_map(|(at, deadline)| Some((at?, deadline)));
            let Some((at, deadline)) = due.min_by_key(|(at, _)| *at) else {
                return Poll::Pending;
            };
            if at <= Instant::now() {
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
}
