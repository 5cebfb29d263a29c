//! What is in a pipe, and when which of it arrives.

use std::{collections::VecDeque, io::IoSlice, ops::RangeInclusive, task::Waker};

use fastrand::Rng;
use tokio::{io::ReadBuf, time::Instant};

use super::super::{
    Ending,
    clock::Moment,
    lane::{Scale, Traffic},
};

/// A pipe at one moment. Everything in it happens under the locks of the lane and of the pipe.
pub(super) struct State {
    /// Written and not read; no more than the capacity.
    bytes: VecDeque<u8>,
    /// How the bytes lie on the way: none is empty, so there are no more of them than bytes.
    segments: VecDeque<Segment>,
    /// When the orderly end arrives; nothing comes behind it.
    pub(super) end: Option<Moment>,
    pub(super) reset: Option<Moment>,
    /// The reset comes behind what was written, and takes nothing of that with it.
    pub(super) in_line: bool,
    /// The reset doesn't come from the other end, so that it arrives whatever the lane is like.
    pub(super) struck: bool,
    /// Somebody was told of the reset; the others see a pipe that is broken.
    pub(super) told: bool,
    /// The writer has nothing more to say.
    pub(super) shut: bool,
    /// The reader is gone; what arrives is answered with a reset.
    pub(super) abandoned: bool,
    /// Half-open: nothing arrives any more.
    pub(super) lost: bool,
    /// How many bytes are let through, and what comes behind them.
    pub(super) left: Option<(u64, Ending)>,
    /// Two, so that how a reader behaves makes no difference for how the writes are cut.
    reads: Rng,
    pub(super) writes: Rng,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

struct Segment {
    len: usize,
    sent: Moment,
    arrives: Moment,
}

impl State {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self {
            bytes: VecDeque::new(),
            segments: VecDeque::new(),
            end: None,
            reset: None,
            in_line: false,
            struck: false,
            told: false,
            shut: false,
            abandoned: false,
            lost: false,
            left: None,
            reads: rng.fork(),
            writes: rng.fork(),
            reader: None,
            writer: None,
        }
    }

    /// How many bytes are in it.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn is_over(&self) -> bool {
        self.end.is_some() || self.reset.is_some()
    }

    pub(super) fn is_reset(&self, traffic: &Traffic) -> bool {
        self.struck || self.reset.is_some_and(|at| self.has_arrived(at, traffic))
    }

    /// Whether the end, of whichever kind, has arrived.
    pub(super) fn is_heard_of(&self, traffic: &Traffic) -> bool {
        let ended = self.end.is_some_and(|at| self.has_arrived(at, traffic));
        ended || self.is_reset(traffic)
    }

    pub(super) fn has_unread(&self, traffic: &Traffic) -> bool {
        let first = self.segments.front();
        first.is_some_and(|first| self.has_arrived(first.arrives, traffic))
    }

    pub(super) fn has_arrived(&self, moment: Moment, traffic: &Traffic) -> bool {
        !self.lost && !traffic.clock().is_stopped() && moment <= traffic.now()
    }

    /// When something that arrives at this moment is to be looked at again.
    pub(super) fn instant(&self, moment: Moment, traffic: &Traffic) -> Option<Instant> {
        if self.lost {
            return None;
        }
        traffic.clock().instant(moment)
    }

    /// When the next bytes arrive, or the end behind them.
    pub(super) fn next_arrival(&self) -> Option<Moment> {
        let first = self.segments.front();
        first.map(|first| first.arrives).or(self.end)
    }

    pub(super) fn take(&mut self, buf: &mut ReadBuf<'_>, sizes: &RangeInclusive<usize>) {
        let Some(first) = self.segments.front_mut() else {
            return;
        };
        let size = self.reads.usize(sizes.clone());
        let taken = first.len.min(size).min(buf.remaining());
        first.len -= taken;
        if first.len == 0 {
            self.segments.pop_front();
        }
        let (front, back) = self.bytes.as_slices();
        let in_front = taken.min(front.len());
        buf.put_slice(&front[..in_front]);
        buf.put_slice(&back[..taken - in_front]);
        self.bytes.drain(..taken);
    }

    pub(super) fn put(&mut self, slices: &[IoSlice<'_>], taken: usize, traffic: &mut Traffic) {
        let mut rest = taken;
        for slice in slices {
            let part = slice.len().min(rest);
            self.bytes.extend(&slice[..part]);
            rest -= part;
        }
        self.corrupt(taken, traffic.conditions().corruption);
        self.segment(taken, traffic);
        if let Some((left, _)) = &mut self.left {
            *left -= taken as u64;
        }
        self.cut_if_due(traffic);
    }

    /// Changes each of the last bytes with this probability.
    fn corrupt(&mut self, len: usize, probability: f64) {
        if probability == 0.0 {
            return;
        }
        let from = self.bytes.len() - len;
        for byte in self.bytes.range_mut(from..) {
            if self.writes.f64() < probability {
                *byte ^= self.writes.u8(1..);
            }
        }
    }

    fn segment(&mut self, len: usize, traffic: &mut Traffic) {
        let sent = traffic.send(len);
        let arrives = self.arrival(sent, traffic);
        match self.segments.back_mut() {
            Some(last) if last.arrives == arrives && last.sent == sent => last.len += len,
            _ => self.segments.push_back(Segment { len, sent, arrives }),
        }
    }

    /// When something that is sent now arrives: nothing overtakes in a stream.
    fn arrival(&mut self, sent: Moment, traffic: &Traffic) -> Moment {
        let arrives = sent.saturating_add(traffic.travel(&mut self.writes));
        let last = self.segments.back().map(|last| last.arrives);
        last.map_or(arrives, |last| last.max(arrives))
    }

    pub(super) fn end(&mut self, traffic: &mut Traffic) {
        let sent = traffic.send(0);
        self.end = Some(self.arrival(sent, traffic));
    }

    pub(super) fn reset(&mut self, traffic: &mut Traffic) {
        let now = traffic.now();
        self.reset = Some(self.arrival(now, traffic));
    }

    /// Takes back what has not arrived.
    pub(super) fn recall(&mut self, traffic: &Traffic) {
        while let Some(last) = self.segments.back()
            && !self.has_arrived(last.arrives, traffic)
        {
            let rest = self.bytes.len() - last.len;
            self.bytes.truncate(rest);
            self.segments.pop_back();
        }
        self.end = self.end.filter(|&end| self.has_arrived(end, traffic));
    }

    /// Takes the time that sending takes now for what isn't sent.
    pub(super) fn rescale(&mut self, scale: Scale) {
        for segment in &mut self.segments {
            let travel = segment.arrives.saturating_sub(segment.sent);
            segment.sent = scale.apply(segment.sent);
            segment.arrives = segment.sent.saturating_add(travel);
        }
    }

    pub(super) fn discard(&mut self) {
        self.bytes.clear();
        self.segments.clear();
    }

    /// Lets through what the conditions let through, from now on.
    pub(super) fn limit(&mut self, traffic: &mut Traffic) {
        self.left = traffic.conditions().cut;
        self.cut_if_due(traffic);
    }

    fn cut_if_due(&mut self, traffic: &mut Traffic) {
        match self.left {
            Some((0, Ending::End)) => self.end(traffic),
            Some((0, Ending::Reset)) => {
                self.in_line = true;
                self.reset(traffic);
            }
            _ => {}
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("bytes", &self.bytes.len())
            .field("end", &self.end)
            .field("reset", &self.reset)
            .finish_non_exhaustive()
    }
}
