//! The end of a node: a flag and a token that its tasks watch, and a count of those that still run.

use std::{
    fmt,
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// How a node ended: what [`Node::shutdown`](crate::Node::shutdown) returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that were open when the shutdown began.
    pub connections: usize,
    /// Messages that were accepted and not written, counted since the shutdown began.
    pub undelivered: u64,
    /// Connections that could not be drained within the drain timeout.
    pub drain_timeouts: u64,
}

impl ShutdownReport {
    /// Whether every connection was closed with everything handed to the operating system, and the
    /// remote's end seen. What the remote sent meanwhile was thrown away, and what it did with ours is
    /// its own affair.
    pub fn is_clean(&self) -> bool {
        self.undelivered == 0 && self.drain_timeouts == 0
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections closed, {} messages undelivered, {} drain timeouts",
            self.connections, self.undelivered, self.drain_timeouts
        )
    }
}

#[derive(Debug, Default)]
pub(crate) struct Shutdown {
    begun: AtomicBool,
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Begins the shutdown; `false` if it had begun.
    pub(crate) fn begin(&self) -> bool {
        let first = !self.begun.swap(true, Ordering::AcqRel);
        self.token.cancel();
        self.tasks.close();
        first
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Keeps the shutdown from completing while something is entered that it has to end; `None` if it
    /// has begun. Not to be held across an await: a future that nobody polls would keep it for ever.
    pub(crate) fn enter(&self) -> Option<TaskTrackerToken> {
        let token = self.tasks.token();
        (!self.has_begun()).then_some(token)
    }

    /// Runs a future until the shutdown begins: `None` if that came first.
    pub(crate) async fn unless_begun<F: Future>(&self, future: F) -> Option<F::Output> {
        self.token.run_until_cancelled(future).await
    }

    /// A token that is cancelled with the shutdown, or before.
    pub(crate) fn child_token(&self) -> CancellationToken {
        self.token.child_token()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits until the shutdown has begun and all tasks have ended.
    pub(crate) async fn complete(&self) {
        self.tasks.wait().await;
    }
}
