//! Futures that are dropped at each of their awaits.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    thread,
};

use tokio::runtime::Handle;

use super::{hesitant::Rhythm, quiet, random, seed};

/// More polls than any future here needs.
const MANY_POLLS: usize = 500;

/// How many random rhythms each future is tried with, beside the steady one.
const ROUNDS: usize = 6;

/// When the future is dropped, after its last poll.
#[derive(Clone, Copy, Debug)]
enum Cut {
    AtOnce,
    /// When nothing else can go on, so that it has been woken if it ever is.
    Settled,
}

/// One drop, told if a test fails there.
struct Case {
    polls: usize,
    cut: Cut,
    rhythm: Rhythm,
}

impl Drop for Case {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("{self:?}");
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { polls, cut, rhythm } = self;
        write!(f, "dropped after {polls} polls, {cut:?}, {rhythm:?}")
    }
}

/// Polls a future when it is woken, and gives up at the last of so many polls.
struct Polls<F> {
    future: F,
    left: usize,
}

impl<F: Future + Unpin> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match Pin::new(&mut self.future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Drops a future after 0, 1, 2… polls, until it finishes before that, each time in a world of its own:
/// `set` makes one, `act` is the future, and `check` gets what is left, what came of the future, and
/// whether it was polled at all. It is polled only when it is woken, in different orders of who is
/// woken first (`WATTLE_SEED`); nothing may be left running. There have to be `least` awaits at least,
/// for that to mean anything.
///
/// Only for paused time.
pub(crate) async fn drop_at_every_await<W, T>(
    least: usize,
    set: impl AsyncFn(Rhythm) -> W,
    act: impl AsyncFn(&mut W) -> T,
    check: impl AsyncFn(W, Option<T>, bool),
) {
    let mut state = seed();
    let rhythms = (0..ROUNDS).map(|_| Some(random(&mut state)));
    for rhythm in [None].into_iter().chain(rhythms) {
        for cut in [Cut::AtOnce, Cut::Settled] {
            let mut polls = 0;
            while !drop_after(polls, cut, rhythm, &set, &act, &check).await {
                polls += 1;
                assert!(polls < MANY_POLLS, "it never finishes");
            }
            // The last poll is the one in which it finished.
            let enough = rhythm.is_some() || polls > least;
            assert!(enough, "{polls} polls, for {least} awaits");
        }
    }
}

/// One of them; whether the future finished.
async fn drop_after<W, T>(
    polls: usize,
    cut: Cut,
    rhythm: Option<u64>,
    set: &impl AsyncFn(Rhythm) -> W,
    act: &impl AsyncFn(&mut W) -> T,
    check: &impl AsyncFn(W, Option<T>, bool),
) -> bool {
    let tasks = Handle::current().metrics().num_alive_tasks();
    let (rhythm, conductor) = Rhythm::start(rhythm);
    let case = Case {
        polls,
        cut,
        rhythm: rhythm.clone(),
    };
    let mut world = set(rhythm).await;
    let output = {
        let future = pin!(act(&mut world));
        let mut polled = Polls {
            future,
            left: polls,
        };
        let output = super::within(&mut polled).await;
        if let (None, Cut::Settled) = (&output, cut) {
            quiet().await;
        }
        output
    };
    let finished = output.is_some();
    check(world, output, polls > 0).await;
    conductor.abort();
    let _cancelled = conductor.await;
    quiet().await;
    let left = Handle::current().metrics().num_alive_tasks();
    assert_eq!(left, tasks, "tasks are left");
    drop(case);
    finished
}
