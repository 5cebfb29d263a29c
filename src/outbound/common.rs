//! What the queues of a node have in common.

use std::{fmt, sync::Arc};

use super::weight::{self, Weigher};
use crate::{
    budget::{Budget, Share},
    config::WhenFull,
    spares::Spares,
};

pub(crate) struct Common<Out> {
    /// The node's policy; a sink may have another.
    pub(super) when_full: WhenFull,
    pub(super) spares: Spares<Out>,
    weigher: Option<Arc<dyn Weigher<Out>>>,
    budget: Option<Arc<Budget>>,
}

impl<Out> Common<Out> {
    pub(crate) fn new(
        when_full: WhenFull,
        weigher: Option<Arc<dyn Weigher<Out>>>,
        budget: Option<Arc<Budget>>,
    ) -> Self {
        Self {
            when_full,
            spares: Spares::new(),
            weigher,
            budget,
        }
    }

    /// A new queue's share of the node's memory budget.
    pub(super) fn share(&self) -> Share {
        Share::of(self.budget.clone())
    }
}

/// Without a weigher and a budget, and senders wait.
impl<Out> Default for Common<Out> {
    fn default() -> Self {
        Self::new(WhenFull::Wait, None, None)
    }
}

impl<Out: 'static> Common<Out> {
    /// The size of a message, if it shows before it is encoded. Runs the user's weigher: not to be
    /// called under a lock.
    #[inline]
    pub(super) fn weigh(&self, message: &Out) -> Option<usize> {
        match &self.weigher {
            Some(weigher) => weigher.weigh(message),
            None => weight::known(message),
        }
    }
}

impl<Out> fmt::Debug for Common<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common").finish_non_exhaustive()
    }
}
