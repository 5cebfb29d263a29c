//! The clock of an open loop: wakes each connection when its next message is due.
//!
//! The runtime's timers go by milliseconds, and the poll of the operating system that they wait in does
//! so again: a message would go out a millisecond late on average, and latencies count from when it was
//! due. A thread that sleeps is late by less than a tenth of that. It knows the schedule, so
//! connections have nothing to tell it but where to wake them.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread::{self, Thread},
    time::Duration,
};

use futures::task::AtomicWaker;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{plan::Mode, schedule::Schedule};

/// The shortest sleep: shorter ones would cost more of a core than they make messages punctual.
const NAP: Duration = Duration::from_micros(50);

/// The longest sleep, after which it looks whether it is still needed. (It is told when it isn't.)
const LOOK: Duration = Duration::from_millis(100);

/// The thread of a run. It ends when this is dropped.
pub(super) struct Pacer {
    shared: Arc<Shared>,
    thread: Thread,
}

struct Shared {
    wakers: Vec<AtomicWaker>,
    stopped: AtomicBool,
}

impl Pacer {
    /// Starts the thread; `None` in a closed loop, which needs none, and where there can't be another
    /// thread.
    pub(super) fn start(schedule: Schedule) -> Option<Self> {
        let Mode::Open { rate } = schedule.mode else {
            return None;
        };
        let wakers = (0..schedule.connections).map(|_| AtomicWaker::new());
        let shared = Arc::new(Shared {
            wakers: wakers.collect(),
            stopped: AtomicBool::new(false),
        });
        let pacing = shared.clone();
        let thread = thread::Builder::new().name("wattle load".to_owned());
        let started = thread.spawn(move || pacing.pace(schedule, rate)).ok()?;
        let thread = started.thread().clone();
        Some(Self { shared, thread })
    }

    fn slot(&self, connection: u64) -> Slot {
        Slot {
            shared: self.shared.clone(),
            connection: connection as usize,
        }
    }
}

impl Shared {
    fn pace(&self, schedule: Schedule, rate: f64) {
        let mut next = 0;
        while !self.stopped.load(Ordering::Acquire) {
            let now = Instant::now();
            let due = schedule.due_by(now.min(schedule.end), rate);
            self.wake(next..due);
            next = due;
            let then = schedule.due(next, rate);
            if then >= schedule.end {
                return;
            }
            let sleep = then.saturating_duration_since(Instant::now());
            thread::park_timeout(sleep.clamp(NAP, LOOK));
        }
    }

    /// Wakes those whose messages have these numbers, each once.
    fn wake(&self, numbers: std::ops::Range<u64>) {
        let connections = self.wakers.len() as u64;
        let once = numbers.end.saturating_sub(connections).max(numbers.start);
        for number in once..numbers.end {
            self.wakers[(number % connections) as usize].wake();
        }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl fmt::Debug for Pacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pacer").finish_non_exhaustive()
    }
}

/// Where the pacer wakes a connection.
pub(super) struct Slot {
    shared: Arc<Shared>,
    connection: usize,
}

/// How a connection waits for the time of its next message.
pub(super) enum Wait {
    Pacer(Slot),
    Timer(Pin<Box<Sleep>>),
}

impl Wait {
    pub(super) fn new(pacer: Option<&Pacer>, connection: u64, begin: Instant) -> Self {
        match pacer {
            Some(pacer) => Self::Pacer(pacer.slot(connection)),
            None => Self::Timer(Box::pin(sleep_until(begin))),
        }
    }

    /// Ready when it is time, with the time that it is.
    pub(super) fn poll_until(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<Instant> {
        let now = Instant::now();
        if now >= due {
            return Poll::Ready(now);
        }
        match self {
            // The clock is read again when the waker is there: the pacer may have looked in between.
            Self::Pacer(slot) => {
                slot.shared.wakers[slot.connection].register(cx.waker());
                let now = Instant::now();
                if now >= due {
                    return Poll::Ready(now);
                }
                Poll::Pending
            }
            Self::Timer(timer) => {
                if timer.deadline() != due {
                    timer.as_mut().reset(due);
                }
                timer.as_mut().poll(cx).map(|()| Instant::now())
            }
        }
    }
}
