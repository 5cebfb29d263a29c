//! The law of splits, and the smallest split that breaks it.

use std::{fmt::Debug, slice};

use tokio_util::codec::{Decoder, Encoder};

use super::{Law, Laws, Violation, kit::CASES, random::Random, stream::Case, violation::chunks};

/// How many bytes all the runs of one kind of split may take together, so that large messages are
/// tried at fewer splits instead of for minutes.
const WORK: usize = 8 * 1024 * 1024;
/// A stream up to this size is split at every byte, and each of its split points is tried.
pub(super) const EVERY_BYTE: usize = 4 * 1024;
/// How many split points at most are tried for each random case.
const RUNS_PER_CASE: usize = EVERY_BYTE / CASES;
/// Around each frame's ends in a longer stream: headers and delimiters are there.
const NEAR: usize = 24;
/// How often a failing split is tried with fewer cuts.
const TRIES: usize = 2_000;

impl<E, D, Out> Laws<'_, E, D, Out>
where
    E: Encoder<Out, Error: Debug>,
    D: Decoder<Item: Debug, Error: Debug>,
    Out: Clone + Debug,
{
    /// [`Law::EverySplit`]: each message alone at each split point, at two neighbouring ones, at
    /// random ones, and byte by byte; and all messages together.
    ///
    /// # Errors
    ///
    /// The violation, with the fewest cuts that still show it.
    pub fn every_split(&self) -> Result<(), Violation> {
        let mut random = self.random(Law::EverySplit);
        for message in &self.messages {
            self.splits_of(slice::from_ref(message), &mut random)?;
        }
        match self.messages.len() {
            1 => Ok(()),
            _ => self.splits_of(&self.messages, &mut random),
        }
    }

    fn splits_of(&self, messages: &[Out], random: &mut Random) -> Result<(), Violation> {
        let stream = self.stream(Law::EverySplit, messages)?;
        let everywhere = everywhere(&stream.ends, random);
        let runs = self.runs(stream.wire.len());
        for cut in sample(&everywhere, runs, random) {
            self.split(messages, &[cut])?;
        }
        for cut in sample(&everywhere, runs, random) {
            self.split(messages, &[cut, cut + 1])?;
        }
        for _ in 0..self.cases {
            let cuts = random.cuts(stream.wire.len(), 8);
            self.split(messages, &cuts)
                .map_err(|broken| self.smallest(messages, cuts, broken))?;
        }
        self.split(messages, &everywhere)
            .map_err(|broken| self.smallest(messages, everywhere, broken))
    }

    /// At how many points a stream of so many bytes is split, or ends.
    pub(super) fn runs(&self, len: usize) -> usize {
        let runs = (WORK / len.max(1)).clamp(16, EVERY_BYTE);
        runs.min(RUNS_PER_CASE * self.cases).max(1)
    }

    pub(super) fn split(&self, messages: &[Out], cuts: &[usize]) -> Result<(), Violation> {
        let stream = self.stream(Law::EverySplit, messages)?;
        let mut reader = self.reader(stream.decoder);
        let events = reader.feed(chunks(&stream.wire, cuts));
        let case = Case {
            law: Law::EverySplit,
            messages,
            wire: &stream.wire,
            cuts,
        };
        self.are(case, &events, messages)
    }

    /// The same violation with fewer cuts.
    fn smallest(&self, messages: &[Out], cuts: Vec<usize>, broken: Violation) -> Violation {
        let cuts = fewest(cuts, |cuts| self.split(messages, cuts).is_err());
        self.split(messages, &cuts).err().unwrap_or(broken)
    }
}

/// Every byte of a short stream; of a long one the bytes near the ends of its frames, and some
/// more.
pub(super) fn everywhere(ends: &[usize], random: &mut Random) -> Vec<usize> {
    let len = ends.last().copied().unwrap_or(0);
    if len <= EVERY_BYTE {
        return (1..len).collect();
    }
    let near = |end: usize| end.saturating_sub(NEAR)..end + NEAR;
    let ends = [0].into_iter().chain(ends.iter().copied());
    let mut cuts: Vec<_> = ends.take(EVERY_BYTE / NEAR).flat_map(near).collect();
    cuts.extend((0..NEAR).map(|_| random.below(len)));
    cuts.retain(|cut| (1..len).contains(cut));
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// All of them, or so many of them, in order.
fn sample(all: &[usize], most: usize, random: &mut Random) -> Vec<usize> {
    if all.len() <= most {
        return all.to_vec();
    }
    let step = all.len() / most;
    let chosen = all.chunks(step.max(1));
    chosen.map(|few| few[random.below(few.len())]).collect()
}

/// Leaves out what can be left out so that it still fails: halves first, then less and less.
pub(super) fn fewest<T: Clone>(mut all: Vec<T>, fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut size = all.len().div_ceil(2);
    let mut tries = 0;
    while size > 0 {
        let mut at = 0;
        while at < all.len() && tries < TRIES {
            let end = all.len().min(at + size);
            let rest = [&all[..at], &all[end..]].concat();
            tries += 1;
            if fails(&rest) {
                all = rest;
            } else {
                at = end;
            }
        }
        size /= 2;
    }
    all
}
