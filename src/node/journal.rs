//! What happened lately to a node's connections, in words, and a wake-up whenever something has: what the
//! kit for tests waits on and shows when it has waited in vain.
//!
//! It observes without taking anything out of the stream of events, which is the program's.

use std::{collections::VecDeque, fmt, time::Duration};

use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use crate::sync::Mutex;

/// Enough to see what led to a failure; a node that is attacked would fill any number.
const KEPT: usize = 32;

/// An error of the user's may be of any length.
const MOST_CHARS: usize = 300;

#[derive(Debug)]
pub(crate) struct Journal {
    started: Instant,
    changes: Notify,
    last: Mutex<VecDeque<Entry>>,
}

/// What happened, and how long after the start of the node.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    at: Duration,
    text: String,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            changes: Notify::new(),
            last: Mutex::new(VecDeque::new()),
        }
    }

    pub(super) fn note(&self, text: String) {
        let text = match text.char_indices().nth(MOST_CHARS) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        let at = self.started.elapsed();
        let mut last = self.last.lock();
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back(Entry { at, text });
    }

    /// Wakes all who wait for a change.
    pub(super) fn changed(&self) {
        self.changes.notify_waiters();
    }

    /// Resolves with the first change after this call, whether or not it has been polled by then.
    pub(crate) fn next_change(&self) -> Notified<'_> {
        self.changes.notified()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.last.lock().iter().cloned().collect()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:.6} s  {}", self.at.as_secs_f64(), self.text)
    }
}
