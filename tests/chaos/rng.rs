//! Random numbers of which each user has a stream of its own, all determined by the seed.

use std::time::Duration;

use crate::common::random;

#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The stream of this number, of this seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut state = seed ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93);
        random(&mut state);
        Self(state)
    }

    pub(crate) fn next(&mut self) -> u64 {
        random(&mut self.0)
    }

    /// Less than `bound`, which must not be zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True so many times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub(crate) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() {
            return None;
        }
        from.get(self.below(from.len() as u64) as usize)
    }

    /// Something, so many times in a thousand.
    pub(crate) fn maybe<T>(
        &mut self,
        per_mille: u64,
        make: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        self.chance(per_mille).then(|| make(self))
    }
}
