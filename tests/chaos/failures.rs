//! What a check found: printed at once with the seed, ends the run, fails the test.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// More than this many say nothing new.
const PRINTED: usize = 20;

#[derive(Debug)]
pub(crate) struct Failures {
    seed: u64,
    found: Mutex<Vec<String>>,
    /// Cancelled when the run is over, by time or by a failure.
    pub(crate) stop: CancellationToken,
}

impl Failures {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            found: Mutex::default(),
            stop: CancellationToken::new(),
        })
    }

    pub(crate) fn report(&self, what: impl Into<String>) {
        let what = what.into();
        let mut found = lock(&self.found);
        if found.len() < PRINTED {
            eprintln!("FAILURE (WATTLE_CHAOS_SEED={}): {what}", self.seed);
            found.push(what);
        }
        drop(found);
        self.stop.cancel();
    }

    pub(crate) fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.report(what());
        }
    }

    pub(crate) fn assert_none(&self) {
        let found = lock(&self.found);
        let seed = self.seed;
        assert!(
            found.is_empty(),
            "WATTLE_CHAOS_SEED={seed}: {} failures: {found:#?}",
            found.len()
        );
    }
}

/// Locks what is whole even if somebody panicked.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
