//! One direction of a connection: bytes that are written at one end and arrive at the other.
//!
//! ```text
//!  write ─► segment ─► sent (bandwidth) ─► arrives (latency, jitter) ─► read
//!           └────────── at most the pipe's capacity ──────────┘
//! ```
//!
//! Nothing runs in between. Each segment knows from the start when it will arrive; a reader that finds
//! it on its way waits for that moment, and looks again when the conditions change.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem,
    ops::RangeInclusive,
    sync::Arc,
    task::{Context, Waker},
};

use fastrand::Rng;
use tokio::{io::ReadBuf, time::Instant};

use super::{
    Ending,
    clock::Moment,
    connection::Wakes,
    lane::{Lane, Scale, Traffic},
};
use crate::sync::Mutex;

/// How much a pipe holds, and how it cuts what goes through it.
#[derive(Debug, Clone)]
pub(crate) struct Bore {
    /// In bytes; what is written, under way or not read yet.
    pub(crate) capacity: usize,
    /// How much of a write is taken, and of what has come is read, at most.
    pub(crate) segment: RangeInclusive<usize>,
}

/// What came of an attempt.
pub(crate) enum Step<T> {
    Done(io::Result<T>),
    /// Whoever makes a difference wakes; and it is to be tried again at this time.
    Wait(Option<Instant>),
}

/// What became of so many bytes that were written.
pub(super) enum Taken {
    UnderWay(usize),
    /// They are, and a reset is behind them.
    Cut(usize),
    /// They got to where nobody is.
    Unheard(usize),
}

#[derive(Debug)]
pub(crate) struct Pipe {
    lane: Arc<Lane>,
    bore: Bore,
    state: Mutex<State>,
}

struct State {
    /// Written and not read; no more than the capacity.
    bytes: VecDeque<u8>,
    /// How the bytes lie on the way: none is empty, so there are no more of them than bytes.
    segments: VecDeque<Segment>,
    /// When the orderly end arrives; nothing comes behind it.
    end: Option<Moment>,
    reset: Option<Moment>,
    /// The reset comes behind what was written, and takes nothing of that with it.
    in_line: bool,
    /// The reset doesn't come from the other end, so that it arrives whatever the lane is like.
    struck: bool,
    /// Somebody was told of the reset; the others see a pipe that is broken.
    told: bool,
    /// The writer has nothing more to say.
    shut: bool,
    /// The reader is gone; what arrives is answered with a reset.
    abandoned: bool,
    /// Half-open: nothing arrives any more.
    lost: bool,
    /// How many bytes are let through, and what comes behind them.
    left: Option<(u64, Ending)>,
    /// Two, so that how a reader behaves makes no difference for how the writes are cut.
    reads: Rng,
    writes: Rng,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

struct Segment {
    len: usize,
    sent: Moment,
    arrives: Moment,
}

impl Pipe {
    pub(super) fn new(lane: &Arc<Lane>, bore: Bore, rng: &mut Rng) -> Self {
        let mut state = State {
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
        };
        state.limit(&mut lane.lock());
        Self {
            lane: lane.clone(),
            bore,
            state: Mutex::new(state),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State, &mut Traffic) -> T) -> T {
        let mut traffic = self.lane.lock();
        let mut state = self.state.lock();
        act(&mut state, &mut traffic)
    }

    /// Reads what has arrived.
    pub(super) fn read(
        &self,
        cx: &Context<'_>,
        buf: &mut ReadBuf<'_>,
        wakes: &mut Wakes,
    ) -> Step<()> {
        self.with(|state, traffic| {
            let in_line = state.in_line && state.has_unread(traffic);
            if state.is_reset(traffic) && state.end.is_none() && !in_line {
                state.discard();
                return Step::Done(match mem::replace(&mut state.told, true) {
                    false => Err(io::ErrorKind::ConnectionReset.into()),
                    true => Ok(()),
                });
            }
            let next = state.next_arrival();
            if next.is_some_and(|next| state.has_arrived(next, traffic)) {
                state.take(buf, &self.bore.segment);
                wakes.push(state.writer.take());
                return Step::Done(Ok(()));
            }
            wakes.register(&mut state.reader, cx);
            let next = next.or(state.reset);
            Step::Wait(next.and_then(|next| state.instant(next, traffic)))
        })
    }

    /// Writes what there is room for.
    pub(super) fn write(
        &self,
        cx: &Context<'_>,
        slices: &[IoSlice<'_>],
        wakes: &mut Wakes,
    ) -> Step<Taken> {
        let wanted = slices.iter().map(|slice| slice.len()).sum::<usize>();
        self.with(|state, traffic| {
            if state.shut {
                return Step::Done(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if wanted == 0 {
                return Step::Done(Ok(Taken::UnderWay(0)));
            }
            if state.is_over() {
                // What comes behind the end of a link goes nowhere, and is noticed when it gets there.
                return Step::Done(Ok(match state.is_heard_of(traffic) {
                    true => Taken::Unheard(wanted),
                    false => Taken::UnderWay(wanted),
                }));
            }
            let room = self.bore.capacity - state.bytes.len();
            if room == 0 {
                wakes.register(&mut state.writer, cx);
                let next = state.next_arrival().filter(|_| state.abandoned);
                return Step::Wait(next.and_then(|next| state.instant(next, traffic)));
            }
            let segment = state.writes.usize(self.bore.segment.clone());
            let left = state.left.map_or(u64::MAX, |(left, _)| left);
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let taken = [wanted, room, segment, traffic.piece(), left];
            let taken = taken.into_iter().min().unwrap_or(0);
            if state.segments.is_empty() {
                wakes.push(state.reader.take());
            }
            state.put(slices, taken, traffic);
            Step::Done(Ok(match state.reset {
                Some(_) => Taken::Cut(taken),
                None => Taken::UnderWay(taken),
            }))
        })
    }

    /// Ends it behind what was written.
    pub(super) fn finish(&self, wakes: &mut Wakes) {
        self.with(|state, traffic| {
            if !mem::replace(&mut state.shut, true) && !state.is_over() {
                state.end(traffic);
                wakes.push(state.reader.take());
            }
        });
    }

    /// Resets it from where it is written; what is under way doesn't arrive. Whether that is news for its
    /// reader.
    pub(super) fn abort(&self) -> bool {
        self.with(|state, traffic| {
            state.shut = true;
            let first = state.reset.is_none();
            if first {
                state.recall(traffic);
                state.reset(traffic);
            }
            first
        })
    }

    /// Nobody reads it any more, which its writer has to know. Whether something had arrived that was not
    /// read.
    pub(super) fn abandon(&self) -> bool {
        self.with(|state, traffic| {
            state.abandoned = true;
            let unread = state.has_unread(traffic) && !state.is_reset(traffic);
            if unread {
                state.discard();
            }
            unread
        })
    }

    /// Whether something has arrived where nobody is; tells it once.
    pub(super) fn was_unheard(&self) -> bool {
        self.with(|state, traffic| {
            let deaf = state.abandoned || (state.is_reset(traffic) && !state.in_line);
            let unheard = deaf && state.has_unread(traffic);
            if unheard {
                state.discard();
            }
            unheard
        })
    }

    /// When to look again whether a reset has arrived; the error of one that has.
    pub(super) fn check(&self) -> io::Result<Option<Instant>> {
        self.with(|state, traffic| {
            if !state.is_reset(traffic) {
                let reset = state.reset;
                return Ok(reset.and_then(|reset| state.instant(reset, traffic)));
            }
            let told = mem::replace(&mut state.told, true);
            Err(match told || state.end.is_some() {
                true => io::ErrorKind::BrokenPipe.into(),
                false => io::ErrorKind::ConnectionReset.into(),
            })
        })
    }

    /// Resets it from without, under the lock of its lane.
    pub(super) fn reset_now(&self, traffic: &Traffic) {
        let mut state = self.state.lock();
        if state.reset.is_some_and(|at| state.has_arrived(at, traffic)) {
            return;
        }
        state.discard();
        state.end = None;
        state.reset = Some(traffic.now());
        state.in_line = false;
        state.struck = true;
    }

    /// Takes the conditions over, under the lock of its lane.
    pub(super) fn changed(&self, traffic: &mut Traffic, scale: Scale, other_cut: bool) {
        let mut state = self.state.lock();
        for segment in &mut state.segments {
            let travel = segment.arrives.saturating_sub(segment.sent);
            segment.sent = scale.apply(segment.sent);
            segment.arrives = segment.sent.saturating_add(travel);
        }
        if other_cut && !state.is_over() {
            state.limit(traffic);
        }
    }

    /// Nothing arrives any more.
    pub(super) fn lose(&self) {
        self.state.lock().lost = true;
    }

    pub(super) fn wake_reader(&self, wakes: &mut Wakes) {
        wakes.push(self.state.lock().reader.take());
    }

    pub(super) fn wake_writer(&self, wakes: &mut Wakes) {
        wakes.push(self.state.lock().writer.take());
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.end.is_some() || self.reset.is_some()
    }

    fn is_reset(&self, traffic: &Traffic) -> bool {
        self.struck || self.reset.is_some_and(|at| self.has_arrived(at, traffic))
    }

    /// Whether the end, of whichever kind, has arrived.
    fn is_heard_of(&self, traffic: &Traffic) -> bool {
        let ended = self.end.is_some_and(|at| self.has_arrived(at, traffic));
        ended || self.is_reset(traffic)
    }

    fn has_unread(&self, traffic: &Traffic) -> bool {
        let first = self.segments.front();
        first.is_some_and(|first| self.has_arrived(first.arrives, traffic))
    }

    fn has_arrived(&self, moment: Moment, traffic: &Traffic) -> bool {
        !self.lost && !traffic.clock().is_stopped() && moment <= traffic.now()
    }

    /// When something that arrives at this moment is to be looked at again.
    fn instant(&self, moment: Moment, traffic: &Traffic) -> Option<Instant> {
        if self.lost {
            return None;
        }
        traffic.clock().instant(moment)
    }

    /// When the next bytes arrive, or the end behind them.
    fn next_arrival(&self) -> Option<Moment> {
        let first = self.segments.front();
        first.map(|first| first.arrives).or(self.end)
    }

    fn take(&mut self, buf: &mut ReadBuf<'_>, sizes: &RangeInclusive<usize>) {
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

    fn put(&mut self, slices: &[IoSlice<'_>], taken: usize, traffic: &mut Traffic) {
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

    fn end(&mut self, traffic: &mut Traffic) {
        let sent = traffic.send(0);
        self.end = Some(self.arrival(sent, traffic));
    }

    fn reset(&mut self, traffic: &mut Traffic) {
        let now = traffic.now();
        self.reset = Some(self.arrival(now, traffic));
    }

    /// Takes back what has not arrived.
    fn recall(&mut self, traffic: &Traffic) {
        while let Some(last) = self.segments.back()
            && !self.has_arrived(last.arrives, traffic)
        {
            let rest = self.bytes.len() - last.len;
            self.bytes.truncate(rest);
            self.segments.pop_back();
        }
        self.end = self.end.filter(|&end| self.has_arrived(end, traffic));
    }

    fn discard(&mut self) {
        self.bytes.clear();
        self.segments.clear();
    }

    /// Lets through what the conditions let through, from now on.
    fn limit(&mut self, traffic: &mut Traffic) {
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
