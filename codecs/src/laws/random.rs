//! The kit's own random numbers: SplitMix64, so that a seed means the same run everywhere and
//! whoever checks a codec needs no further dependency.

/// A generator that a seed determines.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64 by Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, and 0 if that is 0. The bias of the remainder is of no concern here.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % (bound.max(1) as u64)) as usize
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    /// Cuts within a stream of `len` bytes, in order, at most `most` of them.
    pub(super) fn cuts(&mut self, len: usize, most: usize) -> Vec<usize> {
        let mut cuts: Vec<_> = (0..1 + self.below(most))
            .map(|_| 1 + self.below(len.saturating_sub(1)))
            .filter(|&cut| cut < len)
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }
}
