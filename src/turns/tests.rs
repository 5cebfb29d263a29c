use std::task::Waker;

use futures_test::task::{AwokenCount, new_count_waker};
use tokio::runtime::Builder;

use super::*;

/// A task with a place in the line.
struct Task {
    place: Place,
    waker: Waker,
    wakes: AwokenCount,
}

impl Task {
    /// One that has had its turn, and lines up again.
    fn lines_up(turns: &Turns) -> Self {
        let (waker, wakes) = new_count_waker();
        let mut task = Self {
            place: turns.place(),
            waker,
            wakes,
        };
        task.line_up();
        task
    }

    fn line_up(&mut self) {
        self.place.line_up(&mut Context::from_waker(&self.waker));
    }

    /// Runs it once, which it must have been woken for.
    fn runs(&mut self, wakes: usize) {
        assert_eq!(
            self.wakes.get(),
            wakes,
            "wakes of one that is {:?}",
            self.place
        );
        self.place.look(&mut Context::from_waker(&self.waker));
    }
}

fn stand(tasks: &[Task]) -> Vec<String> {
    tasks
        .iter()
        .map(|task| format!("{:?}", task.place))
        .collect()
}

fn at_a_time(called: usize) -> Turns {
    Turns(Arc::new(Semaphore::new(called)))
}

#[test]
fn only_so_many_are_called_and_a_turn_that_begins_calls_the_next() {
    let turns = at_a_time(2);
    let mut tasks = [(); 4].map(|()| Task::lines_up(&turns));
    assert_eq!(stand(&tasks), ["called", "called", "in line", "in line"]);

    tasks[1].runs(1);
    assert_eq!(stand(&tasks)[1], "has its turn");
    tasks[2].runs(1);
    assert_eq!(
        stand(&tasks)[2],
        "called",
        "the runtime has a look before its turn"
    );
    assert_eq!(tasks[3].wakes.get(), 0);

    tasks[1].line_up();
    assert_eq!(stand(&tasks), ["called", "in line", "called", "in line"]);
    tasks[0].runs(1);
    tasks[3].runs(1);
    tasks[2].runs(2);
    assert_eq!(stand(&tasks)[2], "has its turn");
    tasks[1].runs(2);
    assert_eq!(
        stand(&tasks),
        ["has its turn", "called", "has its turn", "called"]
    );
}

#[test]
fn with_fewer_than_may_be_called_each_is_called_at_once() {
    let turns = at_a_time(2);
    let mut task = Task::lines_up(&turns);
    for turn in 1..5 {
        task.runs(turn);
        assert!(task.place.has_turn());
        task.line_up();
        assert!(!task.place.has_turn(), "the runtime has a look first");
    }
}

#[test]
fn to_be_run_before_its_turn_has_come_costs_nobody_a_place() {
    let turns = at_a_time(1);
    let mut tasks = [(); 3].map(|()| Task::lines_up(&turns));
    for _ in 0..3 {
        tasks[1].runs(0);
        tasks[1].line_up();
        tasks[0].line_up();
    }
    assert_eq!(stand(&tasks), ["called", "in line", "in line"]);
    tasks[0].runs(1);
    tasks[1].runs(1);
    assert_eq!(stand(&tasks), ["has its turn", "called", "in line"]);
}

#[test]
fn who_leaves_passes_the_call_on() {
    let turns = at_a_time(1);
    let [called, waiting, mut next, mut last] = [(); 4].map(|()| Task::lines_up(&turns));
    drop(waiting);
    drop(called);
    assert_eq!(next.wakes.get(), 1);
    // Woken, and gone before it could run.
    next.place = turns.place();
    last.runs(1);
    last.runs(2);
    assert!(last.place.has_turn());
    assert_eq!(turns.0.available_permits(), 1);
}

#[test]
fn each_worker_of_the_runtime_has_as_many_to_run() {
    assert_eq!(Turns::new().0.available_permits(), CALLED_PER_WORKER);
    let runtime = Builder::new_multi_thread().worker_threads(3).build();
    let _inside = runtime.as_ref().expect("it starts").enter();
    assert_eq!(Turns::new().0.available_permits(), 3 * CALLED_PER_WORKER);
}
