//! Deadlines on a clock that the test moves: they pass whatever else goes on.

use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::{Timeout, outbound::Order};

const LIMIT: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(1);

fn with_deadlines(idle: Option<Duration>, write: Option<Duration>) -> Fixture {
    Fixture::with(SessionConfig {
        inbound: at_most(1),
        idle_timeout: idle,
        write_timeout: write,
        drain_timeout: LIMIT,
        ..SessionConfig::default()
    })
}

#[tokio::test(start_paused = true)]
async fn a_silent_remote_runs_into_the_idle_timeout() {
    let mut fixture = with_deadlines(Some(LIMIT), None);
    fixture.settle_pending();
    advance(LIMIT / 2).await;
    fixture.script.data("a");
    fixture.settle_pending();
    advance(LIMIT - MOMENT).await;
    fixture.settle_pending();
    advance(2 * MOMENT).await;
    assert_eq!(fixture.task.wakes(), 1);
    let ended = fixture.settle_ended();
    assert_ended!(ended, Reason::TimedOut(Timeout::Idle), Library);
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_we_do_not_read_is_not_the_remotes() {
    let mut fixture = with_deadlines(Some(LIMIT), None);
    fixture.script.data("a\n");
    fixture.settle_pending();
    advance(2 * LIMIT).await;
    fixture.settle_pending();
    assert_eq!(fixture.received(), ["a"]);
    fixture.settle_pending();
    advance(LIMIT - MOMENT).await;
    fixture.settle_pending();
    advance(2 * MOMENT).await;
    let ended = fixture.settle_ended();
    assert_ended!(ended, Reason::TimedOut(Timeout::Idle), Library);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_takes_nothing_runs_into_the_write_timeout() {
    let mut fixture = with_deadlines(None, Some(LIMIT));
    fixture.script.takes(0);
    fixture.settle_pending();
    advance(2 * LIMIT).await;
    fixture.push("abc");
    fixture.settle_pending();
    advance(LIMIT - MOMENT).await;
    fixture.script.takes(1);
    fixture.settle_pending();
    advance(LIMIT - MOMENT).await;
    fixture.settle_pending();
    advance(2 * MOMENT).await;
    assert_eq!(fixture.task.wakes(), 1);
    let ended = fixture.settle_ended();
    assert_ended!(ended, Reason::TimedOut(Timeout::Write), Library);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_floods_and_takes_nothing_runs_into_the_write_timeout() {
    let mut fixture = with_deadlines(None, Some(LIMIT));
    fixture.reader = None;
    fixture.script.flood("a\n");
    fixture.script.takes(0);
    fixture.push("abc");
    assert!(fixture.poll().is_pending());
    advance(LIMIT + MOMENT).await;
    let Poll::Ready(ended) = fixture.poll() else {
        panic!("it isn't noticed");
    };
    assert_ended!(ended, Reason::TimedOut(Timeout::Write), Library);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_does_not_close_runs_into_the_drain_timeout() {
    let mut fixture = with_deadlines(None, None);
    fixture.queue.order(Order::Disconnect);
    fixture.settle_pending();
    advance(LIMIT + MOMENT).await;
    assert_eq!(fixture.task.wakes(), 1);
    let ended = fixture.settle_ended();
    assert!(ended.drain_timed_out);
    assert_ended!(ended, Reason::Disconnected, Local);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_floods_runs_into_the_drain_timeout_too() {
    let mut fixture = with_deadlines(None, None);
    fixture.script.flood("a\n");
    fixture.queue.order(Order::Disconnect);
    assert!(fixture.poll().is_pending());
    advance(LIMIT + MOMENT).await;
    let Poll::Ready(ended) = fixture.poll() else {
        panic!("it isn't noticed");
    };
    assert!(ended.drain_timed_out);
    assert_ended!(ended, Reason::Disconnected, Local);
}

#[tokio::test(start_paused = true)]
async fn the_drain_timeout_is_the_last_that_counts() {
    let mut fixture = with_deadlines(Some(LIMIT / 10), Some(LIMIT / 10));
    fixture.script.takes(0);
    fixture.push("a");
    fixture.queue.order(Order::Disconnect);
    fixture.settle_pending();
    advance(LIMIT / 2).await;
    fixture.settle_pending();
    advance(LIMIT / 2 + MOMENT).await;
    assert!(fixture.settle_ended().drain_timed_out);
}
