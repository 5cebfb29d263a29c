//! Locks and atomics of the hand-over, exchangeable for `loom`'s when it is modelled.

#[cfg(not(wattle_loom))]
mod imp {
    pub(crate) use std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8},
    };
}

#[cfg(wattle_loom)]
mod imp {
    pub(crate) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8},
    };
}

use std::{fmt, sync::PoisonError};

pub(crate) use imp::{AtomicBool, AtomicU8, MutexGuard};

/// A mutex that doesn't poison.
///
/// No codec runs, no message is dropped and no waker is woken while one of these is held, so no panic
/// of the user's can leave its data half changed; see [`crate::inbound`] and [`crate::outbound`], which
/// do that after the guard is gone. (A waker may be cloned or replaced under one, which changes
/// nothing else.)
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}
