//! What watches the run from a thread of its own, which goes on when the runtime does not.
//!
//! - No operation is older than its bound. The bounds follow from the options of the node that it is
//!   for, plus [`SLACK`] for a machine that has other things to do.
//! - Messages are delivered: their number grows within [`PROGRESS`].
//! - Descriptors and tasks stay below their ceilings, no node has more connections than its limits
//!   allow, and no counter goes back.

use std::{
    fs, process,
    sync::{Arc, Mutex, Weak, atomic::Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use crate::{Chaos, failures::lock, pool::Member};

/// What a busy machine may add to any bound.
pub(crate) const SLACK: Duration = Duration::from_secs(20);

/// Within this time some message is delivered.
const PROGRESS: Duration = Duration::from_secs(30);

/// After the first failure the run has this long to come to its end.
const LAST_RESORT: Duration = Duration::from_secs(60);

/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// Above all that 32 nodes with their connections, and those that are being closed, may have.
const MOST_DESCRIPTORS: usize = 4000;
const MOST_TASKS: usize = 6000;

/// What each worker is doing.
#[derive(Debug)]
pub(crate) struct Ops {
    slots: Vec<Mutex<Option<Op>>>,
}

#[derive(Debug)]
struct Op {
    what: &'static str,
    member: Weak<Member>,
    since: Instant,
    bound: Duration,
}

impl Ops {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            slots: (0..slots).map(|_| Mutex::default()).collect(),
        }
    }

    /// Watches an operation: it has to resolve, or to be dropped, within its bound and the slack.
    pub(crate) async fn watch<F: Future>(
        &self,
        slot: usize,
        what: &'static str,
        member: &Weak<Member>,
        bound: Duration,
        operation: F,
    ) -> F::Output {
        *lock(&self.slots[slot]) = Some(Op {
            what,
            member: member.clone(),
            since: Instant::now(),
            bound: bound + SLACK,
        });
        let output = operation.await;
        *lock(&self.slots[slot]) = None;
        output
    }

    fn check(&self, chaos: &Chaos) {
        for (slot, op) in self.slots.iter().enumerate() {
            let mut op = lock(op);
            let late = op.as_ref().is_some_and(|op| op.since.elapsed() > op.bound);
            // Taken, so that it is told once.
            if let Some(op) = op.take_if(|_| late) {
                let node = op.member.upgrade().map(|member| member.describe());
                let (what, bound) = (op.what, op.bound);
                let text = format!("worker {slot}: {what} takes longer than {bound:?}: {node:#?}");
                chaos.failures.report(text);
            }
        }
    }
}

/// Open descriptors, where the system tells.
pub(crate) fn descriptors() -> Option<usize> {
    // One of them is the directory that is being read.
    fs::read_dir("/proc/self/fd")
        .ok()
        .map(|dir| dir.count().saturating_sub(1))
}

/// Starts the thread; it ends when the run has ended.
pub(crate) fn start(chaos: &Arc<Chaos>, runtime: Handle) -> thread::JoinHandle<()> {
    let chaos = chaos.clone();
    thread::spawn(move || {
        let mut progress = (0, Instant::now());
        let mut stopped = None;
        while !chaos.over.is_cancelled() {
            thread::sleep(LOOK);
            look(&chaos, &runtime);
            if !chaos.failures.stop.is_cancelled() {
                check_progress(&chaos, &mut progress);
            } else if stopped.get_or_insert_with(Instant::now).elapsed() > LAST_RESORT {
                eprintln!("the run doesn't come to its end: {:#?}", chaos.ops);
                process::exit(101);
            }
        }
    })
}

fn look(chaos: &Chaos, runtime: &Handle) {
    chaos.ops.check(chaos);
    let tasks = runtime.metrics().num_alive_tasks();
    let too_many = || format!("{tasks} tasks");
    chaos.failures.check(tasks < MOST_TASKS, too_many);
    chaos.peaks.tasks.fetch_max(tasks, SeqCst);
    if let Some(open) = descriptors() {
        chaos.peaks.descriptors.fetch_max(open, SeqCst);
        let too_many = || format!("{open} descriptors");
        chaos.failures.check(open < MOST_DESCRIPTORS, too_many);
    }
    for member in chaos.pool.members() {
        member.check(&chaos.failures);
    }
}

fn check_progress(chaos: &Chaos, progress: &mut (u64, Instant)) {
    let delivered = chaos.books.delivered.load(SeqCst);
    if delivered > progress.0 {
        *progress = (delivered, Instant::now());
    }
    let stuck = progress.1.elapsed() > PROGRESS;
    let text = || format!("no message in {PROGRESS:?}, after {delivered}");
    chaos.failures.check(!stuck, text);
}
