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
    io::{self, IoSlice},
    mem,
    ops::RangeInclusive,
    sync::Arc,
    task::Context,
};

use fastrand::Rng;
use tokio::{io::ReadBuf, time::Instant};

use super::{
    connection::Wakes,
    lane::{Lane, Scale, Traffic},
};
use crate::sync::Mutex;

mod state;

use state::State;

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

impl Pipe {
    pub(super) fn new(lane: &Arc<Lane>, bore: Bore, rng: &mut Rng) -> Self {
        let mut state = State::new(rng);
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
            let room = self.bore.capacity - state.len();
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
            if state.is_empty() {
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

    /// Resets it behind what was written.
    pub(super) fn break_off(&self, wakes: &mut Wakes) {
        self.with(|state, traffic| {
            if !mem::replace(&mut state.shut, true) && !state.is_over() {
                state.in_line = true;
                state.reset(traffic);
                wakes.push(state.reader.take());
            }
        });
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
        state.rescale(scale);
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
