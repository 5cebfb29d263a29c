//! Orders reach the task whatever it waits for, and a task that moves takes its wakers along.

use super::*;
use crate::outbound::Order;

fn aborted(fixture: &mut Fixture) {
    assert_eq!(fixture.task.wakes(), 0);
    fixture.queue.order(Order::Abort);
    assert_eq!(fixture.task.wakes(), 1);
    assert_ended!(fixture.settle_ended(), Reason::Aborted, Local);
}

#[test]
fn an_order_wakes_a_task_that_waits_for_data() {
    let mut fixture = Fixture::new();
    fixture.settle_pending();
    aborted(&mut fixture);
}

#[test]
fn an_order_wakes_a_task_that_waits_for_the_stream_to_take_bytes() {
    let mut fixture = Fixture::new();
    fixture.script.takes(0);
    fixture.push("a");
    fixture.settle_pending();
    aborted(&mut fixture);
    assert_eq!(fixture.queue.abandon().1, 1);
}

#[test]
fn an_order_wakes_a_task_that_waits_for_its_reader() {
    let mut fixture = Fixture::with(SessionConfig {
        inbound: at_most(1),
        ..without_deadlines()
    });
    fixture.script.data("a\nb\n");
    fixture.settle_pending();
    aborted(&mut fixture);
    assert_eq!(fixture.received(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_order_wakes_a_task_that_waits_for_the_remote_to_close() {
    let mut fixture = Fixture::new();
    fixture.queue.order(Order::Disconnect);
    fixture.settle_pending();
    assert!(fixture.script.is_shut());
    aborted(&mut fixture);
}

#[tokio::test(start_paused = true)]
async fn an_order_wakes_a_task_that_drains_into_a_stalled_stream() {
    let mut fixture = Fixture::new();
    fixture.script.takes(0);
    fixture.push("a");
    fixture.queue.order(Order::Disconnect);
    fixture.settle_pending();
    assert!(!fixture.script.is_shut());
    aborted(&mut fixture);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_wakes_a_task_in_each_state_too() {
    let config = SessionConfig {
        inbound: at_most(1),
        ..without_deadlines()
    };
    let waits_for_data = Fixture::with(config);
    let waits_for_its_reader = Fixture::with(config);
    waits_for_its_reader.script.data("a\nb\n");
    let waits_for_the_stream = Fixture::with(config);
    waits_for_the_stream.script.takes(0);
    waits_for_the_stream.push("a");
    for mut fixture in [waits_for_data, waits_for_its_reader, waits_for_the_stream] {
        fixture.settle_pending();
        fixture.queue.order(Order::Disconnect);
        assert_eq!(fixture.task.wakes(), 1);
        fixture.script.takes_all();
        fixture.settle_pending();
        assert!(fixture.script.is_shut());
        fixture.script.eof();
        assert_eq!(fixture.task.wakes(), 1);
        assert_ended!(fixture.settle_ended(), Reason::Disconnected, Local);
    }
}

#[test]
fn an_order_that_came_before_the_first_poll_is_seen() {
    let mut fixture = Fixture::new();
    fixture.queue.order(Order::Disconnect);
    fixture.queue.order(Order::Abort);
    assert_ended!(fixture.settle_ended(), Reason::Aborted, Local);
}

#[test]
fn a_lesser_order_does_not_take_back_a_greater() {
    let mut fixture = Fixture::new();
    fixture.queue.order(Order::Abort);
    fixture.queue.order(Order::Disconnect);
    assert_ended!(fixture.settle_ended(), Reason::Aborted, Local);
}

#[test]
fn a_task_that_moved_is_woken_where_it_is_by_stream_and_queue() {
    let mut fixture = Fixture::new();
    fixture.settle_pending();
    let old_wakes = fixture.task.move_to_another_task();
    fixture.settle_pending();
    fixture.script.data("a\n");
    assert_eq!((old_wakes(), fixture.task.wakes()), (0, 1));
    fixture.settle_pending();
    fixture.push("b");
    assert_eq!((old_wakes(), fixture.task.wakes()), (0, 1));
    fixture.settle_pending();
    fixture.queue.order(Order::Abort);
    assert_eq!((old_wakes(), fixture.task.wakes()), (0, 1));
}

#[test]
fn a_task_that_moved_is_woken_where_it_is_by_its_reader() {
    let mut fixture = Fixture::with(SessionConfig {
        inbound: at_most(1),
        ..without_deadlines()
    });
    fixture.script.data("a\nb\n");
    fixture.settle_pending();
    let old_wakes = fixture.task.move_to_another_task();
    fixture.settle_pending();
    assert_eq!(fixture.received(), ["a"]);
    assert_eq!((old_wakes(), fixture.task.wakes()), (0, 1));
}

#[test]
fn a_reader_that_moved_is_woken_where_it_is() {
    let mut fixture = Fixture::new();
    assert!(fixture.next_event().is_pending());
    let reader = fixture.reader.as_mut().expect("it is there");
    let old_wakes = reader.move_to_another_task();
    assert!(fixture.next_event().is_pending());
    fixture.script.data("a\n");
    fixture.settle_pending();
    assert_eq!((old_wakes(), fixture.reader_wakes()), (0, 1));
}
