//! Emptied batches that wait to be filled again.

use std::{collections::VecDeque, fmt, mem};

use crate::sync::Mutex;

/// How many batches are kept: a few more than cores that fill them.
const SPARES: usize = 16;

/// How much memory one may have to be kept.
const SPARE_BYTES: usize = 64 * 1024;

/// The emptied batches of a node: an idle connection has none, and a busy one finds one that has
/// grown already.
pub(crate) struct Spares<T>(Mutex<Vec<VecDeque<T>>>);

impl<T> Spares<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// An empty batch, which has room if one could be had.
    pub(crate) fn take(&self) -> VecDeque<T> {
        self.0.lock().pop().unwrap_or_default()
    }

    /// Keeps an emptied batch if it is of use.
    #[inline]
    pub(crate) fn give(&self, batch: &mut VecDeque<T>) {
        // Mostly there is none, and to drop it costs more than to look.
        if batch.capacity() != 0 {
            self.keep(mem::take(batch));
        }
    }

    fn keep(&self, batch: VecDeque<T>) {
        debug_assert!(batch.is_empty());
        if (1..=SPARE_BYTES / size_of::<T>().max(1)).contains(&batch.capacity()) {
            let mut spares = self.0.lock();
            if spares.len() < SPARES {
                spares.push(batch);
            }
        }
    }

    /// Gives all memory back.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl<T> fmt::Debug for Spares<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spares").finish_non_exhaustive()
    }
}
