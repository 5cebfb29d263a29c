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
/// No code of the user's (codec, message, waker) runs while one of these is held, so a panic can't
/// leave its data half changed; see [`crate::inbound`] and [`crate::outbound`], which drop messages
/// and call wakers after the guard is gone.
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
