//! Turns among connections that always have more to do.
//!
//! A runtime runs its tasks in the order in which they were woken. If each of hundreds of flooded
//! connections woke itself again, one that says something once in a while would wait for a turn of all of
//! them. So only a few of them are called at a time; the others wait here, first come, first called.

use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::yield_now,
};
use tokio_util::sync::PollSemaphore;

/// How many are called at a time, for each of the runtime's workers: enough that none of them runs out of work,
/// and few enough that the others' wait for them is a millisecond or two.
pub(crate) const CALLED_PER_WORKER: usize = 8;

/// The line of those that have more to do. It is as long as there are connections.
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    /// For connections that run on the runtime in which this is called.
    pub(crate) fn new() -> Self {
        let workers = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        Self(Arc::new(Semaphore::new(CALLED_PER_WORKER * workers)))
    }

    /// The place of one that has its turn, and hasn't lined up yet.
    pub(crate) fn place(&self) -> Place {
        Place {
            calls: PollSemaphore::new(self.0.clone()),
            stands: Stands::HasTurn,
        }
    }
}

/// A connection's place in the line. Who drops it after it was called passes the call on.
pub(crate) struct Place {
    calls: PollSemaphore,
    stands: Stands,
}

enum Stands {
    InLine,
    /// One of the few: it has its turn when the runtime has seen what has come for others. (Without a permit
    /// the semaphore would be closed, which nobody does.)
    Called {
        _permit: Option<OwnedSemaphorePermit>,
    },
    /// The next one was called when the turn began: whom it wakes from now on the runtime runs first, and a
    /// codec that waits for something holds nobody up who is in line.
    HasTurn,
}

impl Place {
    /// Moves on, if it can; until it has its turn, the task is woken for the next look.
    pub(crate) fn look(&mut self, cx: &mut Context<'_>) {
        match self.stands {
            Stands::InLine => {
                if let Poll::Ready(_permit) = self.calls.poll_acquire(cx) {
                    self.stands = Stands::Called { _permit };
                    let _ = pin!(yield_now()).poll(cx);
                }
            }
            Stands::Called { .. } | Stands::HasTurn => self.stands = Stands::HasTurn,
        }
    }

    /// Goes to the end of the line, if it has had its turn.
    pub(crate) fn line_up(&mut self, cx: &mut Context<'_>) {
        if self.has_turn() {
            self.stands = Stands::InLine;
            self.look(cx);
        }
    }

    pub(crate) fn has_turn(&self) -> bool {
        matches!(self.stands, Stands::HasTurn)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stands {
            Stands::InLine => "in line",
            Stands::Called { .. } => "called",
            Stands::HasTurn => "has its turn",
        })
    }
}

#[cfg(test)]
mod tests;
