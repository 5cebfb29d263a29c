//! Wakers of the futures that wait for the same thing.

use std::{
    collections::BTreeMap,
    mem,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Waker},
};

use crate::disconnect::contain;

/// Names one waiting future or sink handle, so that it holds one place in a list at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaiterId(u64);

impl WaiterId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The futures to wake when something happens; all of them at once, because each then looks again.
///
/// Its bound: one place per waiting future or handle, each owned by a caller that can drop it.
/// They are woken in the order in which they began. Waking all instead of one at a time means that a
/// waiter that is dropped after its wake can't take the wake of another with it.
#[derive(Debug, Default)]
pub(crate) struct Waiters(BTreeMap<WaiterId, Waker>);

impl Waiters {
    /// Gives the waker that it replaces.
    #[must_use = "drop it after the lock is released: it may own what takes the same lock"]
    pub(crate) fn register(&mut self, id: WaiterId, cx: &Context<'_>) -> Option<Waker> {
        match self.0.get(&id) {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => self.0.insert(id, cx.waker().clone()),
        }
    }

    #[must_use = "drop it after the lock is released: it may own what takes the same lock"]
    pub(crate) fn remove(&mut self, id: WaiterId) -> Option<Waker> {
        self.0.remove(&id)
    }

    /// Takes all of them out, to be woken when the lock that guards the list is released.
    pub(crate) fn take(&mut self) -> Taken {
        Taken((!self.0.is_empty()).then(|| mem::take(&mut self.0)))
    }
}

/// Those who waited. Mostly nobody did, and then it is nothing: to iterate over an empty map, or to drop it,
/// costs a hundred instructions.
#[derive(Debug, Default)]
#[must_use = "wake them after the lock is released"]
pub(crate) struct Taken(Option<BTreeMap<WaiterId, Waker>>);

impl Taken {
    #[inline]
    pub(crate) fn wake(self) {
        let Some(waiters) = self.0 else { return };
        for waker in waiters.into_values() {
            wake(Some(waker));
        }
    }
}

/// Wakes a task if there is one; never to be called under a lock. A waker is the user's and may panic:
/// that is no reason for another not to be woken.
pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        contain(|| waker.wake());
    }
}
