//! The time of one direction of a link.

use std::time::Duration;

use tokio::time::Instant;

/// A moment on a [`Clock`]: how long that had run by then.
pub(super) type Moment = Duration;

/// A clock that stands still while nothing moves. So whatever is under way when a link stalls has the
/// rest of its way before it when the link goes on.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    /// How long it has stood still so far.
    stood: Duration,
    stopped: Option<Instant>,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
            stood: Duration::ZERO,
            stopped: None,
        }
    }

    pub(super) fn now(&self) -> Moment {
        let now = self.stopped.unwrap_or_else(Instant::now);
        (now - self.started).saturating_sub(self.stood)
    }

    /// When it will be that moment; `None` if that is not to be said: the clock stands still, or it
    /// would be later than any time there is.
    pub(super) fn instant(&self, moment: Moment) -> Option<Instant> {
        if self.stopped.is_some() {
            return None;
        }
        self.started.checked_add(self.stood.checked_add(moment)?)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Stops it or lets it run on.
    pub(super) fn hold(&mut self, still: bool) {
        match (still, self.stopped) {
            (true, None) => self.stopped = Some(Instant::now()),
            (false, Some(since)) => {
                self.stood += since.elapsed();
                self.stopped = None;
            }
            _ => {}
        }
    }
}
