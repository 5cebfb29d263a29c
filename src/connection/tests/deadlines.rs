//! Deadlines on a clock that the test moves: they pass whatever else goes on.

use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::{Timeout, outbound::Order};

pub(super) const LIMIT: Duration = Duration::from_secs(10);
pub(super) const MOMENT: Duration = Duration::from_millis(1);

fn with_deadlines(idle: Option<Duration>, write: Option<Duration>) -> Fixture {
    Fixture::with(SessionConfig {
        inbound: at_most(1),
        idle_timeout: idle,
        write_timeout: write,
        drain_timeout: LIMIT,
        ..SessionConfig::default()
    })
}

pub(super) fn with_frame_timeout(rate: Option<u32>) -> SessionConfig {
    SessionConfig {
        frame_timeout: Some(LIMIT),
        min_frame_rate: rate,
        ..without_deadlines()
    }
}

/// Nothing happens until a moment before this much time has passed, and then the connection ends.
async fn assert_times_out(fixture: &mut Fixture, after: Duration, timeout: Timeout) {
    advance(after - MOMENT).await;
    fixture.settle_pending();
    advance(2 * MOMENT).await;
    assert_eq!(fixture.task.wakes(), 1);
    let ended = fixture.settle_ended();
    assert!(
        matches!(ended.reason, Reason::TimedOut(passed) if passed == timeout),
        "{ended}"
    );
    assert_eq!(ended.initiator, Initiator::Library);
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

#[tokio::test(start_paused = true)]
async fn a_frame_that_drips_in_runs_into_the_frame_timeout_and_not_into_the_idle_timeout() {
    let mut fixture = Fixture::with(SessionConfig {
        idle_timeout: Some(LIMIT / 2),
        ..with_frame_timeout(None)
    });
    fixture.script.data("whole\n");
    fixture.settle_pending();
    for _ in 0..4 {
        advance(LIMIT / 4).await;
        fixture.script.data("x");
        fixture.settle_pending();
    }
    assert_times_out(&mut fixture, LIMIT / 4, Timeout::Frame).await;
    assert_eq!(fixture.received(), ["whole"]);
}

#[tokio::test(start_paused = true)]
async fn each_frame_has_the_whole_time_and_between_frames_there_is_no_limit() {
    let mut fixture = Fixture::with(with_frame_timeout(None));
    fixture.script.data("be");
    fixture.settle_pending();
    for _ in 0..5 {
        advance(LIMIT - MOMENT).await;
        // The next one begins with the end of this one.
        fixture.script.data("gun\nbe");
        fixture.settle_pending();
        assert_eq!(fixture.received(), ["begun"]);
        fixture.settle_pending();
    }
    fixture.script.data("gun\n");
    fixture.settle_pending();
    advance(100 * LIMIT).await;
    fixture.settle_pending();
    fixture.script.data("be");
    fixture.settle_pending();
    assert_times_out(&mut fixture, LIMIT, Timeout::Frame).await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_at_the_least_rate_is_given_the_time() {
    let mut fixture = Fixture::with(with_frame_timeout(Some(10)));
    for second in 0..100 {
        fixture.script.data("0123456789");
        fixture.settle_pending();
        assert_eq!(
            fixture.task.inner.framed.read_buffer().len() % 10,
            0,
            "{second}"
        );
        advance(Duration::from_secs(1)).await;
    }
    // A thousand bytes have earned a hundred seconds, which are over.
    assert_times_out(&mut fixture, LIMIT, Timeout::Frame).await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_at_less_than_the_least_rate_is_not() {
    let mut fixture = Fixture::with(with_frame_timeout(Some(10)));
    for _ in 0..19 {
        fixture.script.data("01234");
        fixture.settle_pending();
        advance(Duration::from_secs(1)).await;
    }
    // Ten seconds, and half a second for each that has passed.
    assert_times_out(&mut fixture, Duration::from_millis(500), Timeout::Frame).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_inbox_stops_the_clock_of_a_frame_and_of_silence() {
    for (config, timeout) in [
        (with_frame_timeout(None), Timeout::Frame),
        (
            SessionConfig {
                idle_timeout: Some(LIMIT),
                ..without_deadlines()
            },
            Timeout::Idle,
        ),
    ] {
        let mut fixture = Fixture::with(SessionConfig {
            inbound: at_most(1),
            ..config
        });
        fixture.script.data("one\ntwo\nbegun");
        for message in ["one", "two"] {
            fixture.settle_pending();
            for _ in 0..10 {
                advance(60 * LIMIT).await;
                fixture.settle_pending();
            }
            assert_eq!(fixture.received(), [message]);
        }
        fixture.settle_pending();
        assert_times_out(&mut fixture, LIMIT, timeout).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_has_ended_its_side_owes_no_frame() {
    let mut fixture = Fixture::with(SessionConfig {
        allow_half_open: true,
        ..with_frame_timeout(None)
    });
    fixture.script.data("a\n");
    fixture.script.eof();
    fixture.settle_pending();
    advance(100 * LIMIT).await;
    fixture.settle_pending();
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_has_begun_does_not_shorten_the_drain() {
    let mut fixture = Fixture::with(SessionConfig {
        drain_timeout: 3 * LIMIT,
        ..with_frame_timeout(None)
    });
    fixture.script.data("begun");
    fixture.settle_pending();
    fixture.queue.order(Order::Disconnect);
    fixture.settle_pending();
    advance(2 * LIMIT).await;
    fixture.settle_pending();
    advance(LIMIT + MOMENT).await;
    assert!(fixture.settle_ended().drain_timed_out);
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_does_not_touch_the_timer() {
    let mut fixture = Fixture::with(SessionConfig {
        idle_timeout: Some(LIMIT),
        ..with_frame_timeout(None)
    });
    fixture.script.data("be");
    fixture.settle_pending();
    let set_for = fixture.task.inner.deadlines.timer_set_for();
    assert!(set_for.is_some());
    for _ in 0..5_000 {
        advance(MOMENT).await;
        fixture.push("out");
        fixture.script.data("gun\nbe");
        fixture.settle_pending();
        assert_eq!(fixture.received(), ["begun"]);
        assert_eq!(fixture.task.inner.deadlines.timer_set_for(), set_for);
    }
    // When it fires, it is set once, for the frame that is under way by then.
    advance(LIMIT / 2).await;
    assert_eq!(fixture.task.wakes(), 1);
    fixture.settle_pending();
    let set_again = fixture.task.inner.deadlines.timer_set_for();
    assert_eq!(set_again, set_for.map(|at| at + LIMIT / 2));
}

#[test]
fn without_deadlines_there_is_no_timer() {
    // Nor a runtime that could have made one.
    let mut fixture = Fixture::new();
    fixture.script.data("whole\nbegun");
    fixture.push("out");
    fixture.settle_pending();
    assert_eq!(fixture.task.inner.deadlines.timer_set_for(), None);
}
