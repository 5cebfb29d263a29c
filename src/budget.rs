//! The memory of all queues of a node together.
//!
//! A queue may grow while it holds less than what is left of the budget: *dynamic thresholds*, after
//! Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches" (1998).
//! Nobody has to know how many want something: `n` hogs end up with an equal part each, and with one
//! such part left over for those who need little.
//!
//! The rule is not for queues that are empty; they take a message in any case. So whoever waits for
//! room waits for its own queue to be taken, and never for another's: there is nothing to wake across
//! queues, and nothing to be stuck on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    /// A number to decide by, with nothing behind it that would have to be ordered.
    used: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
        })
    }

    fn left(&self) -> usize {
        self.limit.saturating_sub(self.used.load(Relaxed))
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }
}

/// What one queue holds of the budget, if there is one; it gives that back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share {
    budget: Option<Arc<Budget>>,
    held: usize,
}

impl Share {
    pub(crate) fn of(budget: Option<Arc<Budget>>) -> Self {
        Self { budget, held: 0 }
    }

    /// Whether it may hold more.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        let budget = self.budget.as_ref();
        budget.is_none_or(|budget| self.held < budget.left())
    }

    #[inline]
    pub(crate) fn hold(&mut self, bytes: usize) {
        if let Some(budget) = &self.budget {
            // A lie about the size of a message must not overflow what the others hold.
            let bytes = bytes.min(budget.limit.saturating_sub(self.held));
            self.held += bytes;
            budget.used.fetch_add(bytes, Relaxed);
        }
    }

    #[inline]
    pub(crate) fn give_back(&mut self, bytes: usize) {
        if let Some(budget) = &self.budget {
            let bytes = bytes.min(self.held);
            self.held -= bytes;
            budget.used.fetch_sub(bytes, Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hogs_end_up_with_equal_parts_and_one_is_left() {
        let budget = Budget::new(1000);
        for hogs in [1, 3, 9] {
            let mut shares: Vec<_> = (0..hogs).map(|_| Share::of(Some(budget.clone()))).collect();
            while shares.iter().any(Share::has_room) {
                let hungry = shares.iter_mut().filter(|share| share.has_room());
                hungry.for_each(|share| share.hold(1));
            }
            let part = 1000 / (hogs + 1);
            for share in &shares {
                assert!(
                    share.held.abs_diff(part) <= hogs,
                    "{} of {hogs}",
                    share.held
                );
            }
            assert!(Share::of(Some(budget.clone())).has_room());
            drop(shares);
            assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn a_lie_about_a_size_costs_only_who_told_it() {
        let budget = Budget::new(1000);
        let (mut liar, mut other) = (
            Share::of(Some(budget.clone())),
            Share::of(Some(budget.clone())),
        );
        liar.hold(usize::MAX);
        liar.hold(usize::MAX);
        assert_eq!(budget.used(), 1000);
        other.hold(5);
        liar.give_back(usize::MAX);
        assert_eq!(budget.used(), 5);
        drop((liar, other));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn without_a_budget_there_is_always_room() {
        let mut share = Share::default();
        share.hold(usize::MAX);
        assert!(share.has_room());
        share.give_back(usize::MAX);
    }
}
