//! Two pipes in opposite directions, and what becomes of the one when the other ends, as in TCP.

use std::{
    io::IoSlice,
    sync::Arc,
    task::{Context, Waker},
};

use fastrand::Rng;
use tokio::io::ReadBuf;

use super::{
    lane::Lane,
    pipe::{Bore, Pipe, Step, Taken},
};

/// A direction of a connection, and the end that writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From who has opened it.
    Forth,
    /// To who has opened it.
    Back,
}

impl Way {
    fn opposite(self) -> Self {
        match self {
            Self::Forth => Self::Back,
            Self::Back => Self::Forth,
        }
    }
}

/// What is done with wakers when no lock is held any more: they are the user's, and may take the same.
#[derive(Default)]
pub(crate) struct Wakes {
    due: Vec<Waker>,
    /// Others have taken their place: nobody waits with them.
    replaced: Vec<Waker>,
}

impl Wakes {
    pub(super) fn push(&mut self, waker: Option<Waker>) {
        self.due.extend(waker);
    }

    /// Remembers in this place whom to wake.
    pub(super) fn register(&mut self, place: &mut Option<Waker>, cx: &Context<'_>) {
        let same = |waker: &Waker| waker.will_wake(cx.waker());
        if !place.as_ref().is_some_and(same) {
            self.replaced.extend(place.replace(cx.waker().clone()));
        }
    }

    pub(super) fn wake(self) {
        self.due.into_iter().for_each(Waker::wake);
        drop(self.replaced);
    }
}

/// How an end goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    /// In an orderly way, unless something that had come was not read: then with a reset.
    Close,
    /// With a reset that overtakes what was written.
    Reset,
    /// With a reset behind what was written.
    ResetBehind,
}

/// A connection. Its ends hold it; the lanes that carry it don't.
#[derive(Debug)]
pub(crate) struct Connection {
    forth: Pipe,
    back: Pipe,
}

impl Connection {
    pub(crate) fn new(forth: &Arc<Lane>, back: &Arc<Lane>, bore: &Bore, seed: u64) -> Arc<Self> {
        let mut rng = Rng::with_seed(seed);
        let connection = Arc::new(Self {
            forth: Pipe::new(forth, bore.clone(), &mut rng),
            back: Pipe::new(back, bore.clone(), &mut rng),
        });
        forth.carry(&connection, Way::Forth);
        back.carry(&connection, Way::Back);
        connection
    }

    pub(super) fn pipe(&self, way: Way) -> &Pipe {
        match way {
            Way::Forth => &self.forth,
            Way::Back => &self.back,
        }
    }

    /// Wakes those who may wait for what happens in this direction: its reader, who writes
    /// in the other direction (for a reset), and its writer (for an answer to what arrived where
    /// nobody is).
    pub(super) fn wake(&self, way: Way, wakes: &mut Wakes) {
        self.pipe(way).wake_reader(wakes);
        self.pipe(way.opposite()).wake_writer(wakes);
        self.pipe(way).wake_writer(wakes);
    }

    /// Reads at the end that writes `own`.
    pub(crate) fn read(&self, own: Way, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Step<()> {
        let mut wakes = Wakes::default();
        if self.pipe(own).was_unheard() {
            // Whoever waits to write looks again by itself at the moment at which the first byte arrives.
            self.pipe(own.opposite()).abort();
        }
        let step = self.pipe(own.opposite()).read(cx, buf, &mut wakes);
        wakes.wake();
        step
    }

    /// Writes at the end that writes `own`.
    pub(crate) fn write(&self, own: Way, cx: &Context<'_>, bytes: &[IoSlice<'_>]) -> Step<usize> {
        let mut wakes = Wakes::default();
        if self.pipe(own).was_unheard() {
            self.reset(own.opposite(), &mut wakes);
        }
        let step = self.try_write(own, cx, bytes, &mut wakes);
        wakes.wake();
        step
    }

    fn try_write(
        &self,
        own: Way,
        cx: &Context<'_>,
        bytes: &[IoSlice<'_>],
        wakes: &mut Wakes,
    ) -> Step<usize> {
        let inward = self.pipe(own.opposite());
        if let Err(error) = inward.check() {
            return Step::Done(Err(error));
        }
        match self.pipe(own).write(cx, bytes, wakes) {
            // A reset that came in between didn't find who waits.
            Step::Wait(room) => match inward.check() {
                Ok(reset) => Step::Wait([room, reset].into_iter().flatten().min()),
                Err(error) => Step::Done(Err(error)),
            },
            Step::Done(Ok(Taken::UnderWay(bytes))) => Step::Done(Ok(bytes)),
            Step::Done(Ok(Taken::Unheard(bytes))) => {
                self.reset(own.opposite(), wakes);
                Step::Done(Ok(bytes))
            }
            Step::Done(Ok(Taken::Cut(bytes))) => {
                // Nobody reads what the other end waits to write.
                inward.wake_writer(wakes);
                Step::Done(Ok(bytes))
            }
            Step::Done(Err(error)) => Step::Done(Err(error)),
        }
    }

    /// Resets in one direction, as the host of an end does when that is gone, or when something arrives
    /// where it was.
    fn reset(&self, way: Way, wakes: &mut Wakes) {
        if self.pipe(way).abort() {
            self.pipe(way).wake_reader(wakes);
        }
    }

    /// Ends what the end writes.
    pub(crate) fn finish(&self, own: Way) {
        let mut wakes = Wakes::default();
        self.pipe(own).finish(&mut wakes);
        wakes.wake();
    }

    /// The end is gone.
    pub(crate) fn close(&self, own: Way, parting: Parting) {
        let mut wakes = Wakes::default();
        let inward = self.pipe(own.opposite());
        match (parting, inward.abandon()) {
            (Parting::Close, false) => self.pipe(own).finish(&mut wakes),
            (Parting::Close, true) | (Parting::Reset, _) => self.reset(own, &mut wakes),
            (Parting::ResetBehind, _) => self.pipe(own).break_off(&mut wakes),
        }
        // Last, so that it finds all of this, also if it has begun to wait in between.
        inward.wake_writer(&mut wakes);
        wakes.wake();
    }
}
