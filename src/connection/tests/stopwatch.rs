//! The deadlines alone: what counts as time, and which of them is told.

use std::time::Duration;

use tokio::time::advance;

use super::{
    deadlines::{LIMIT, MOMENT, with_frame_timeout},
    *,
};
use crate::deadlines::{Activity, Begun, Deadline, Deadlines};

/// A connection that waits for more of its second frame.
const WAITS: Activity = Activity {
    reading: true,
    received: 5,
    frame: Some(Begun {
        number: 1,
        bytes: 2,
    }),
    writing: false,
    sent: 0,
};

/// Which deadline has passed.
fn passed(deadlines: &mut Deadlines, activity: Activity) -> Option<Deadline> {
    let poll = |deadlines: &mut Deadlines, cx: &mut Context<'_>| deadlines.poll(cx, activity);
    match Polled::new(deadlines).enter(|deadlines, cx| poll(deadlines, cx)) {
        Poll::Ready(deadline) => Some(deadline),
        Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_used_up_before_a_pause_stays_used_up() {
    let idle = SessionConfig {
        idle_timeout: Some(LIMIT),
        ..without_deadlines()
    };
    for (config, expected) in [
        (with_frame_timeout(None), Deadline::Frame),
        (idle, Deadline::Idle),
    ] {
        let mut deadlines = Deadlines::new(&config);
        for _ in 0..3 {
            assert_eq!(passed(&mut deadlines, WAITS), None);
            advance(LIMIT / 4).await;
            let paused = Activity {
                reading: false,
                ..WAITS
            };
            assert_eq!(passed(&mut deadlines, paused), None);
            advance(100 * LIMIT).await;
            assert_eq!(passed(&mut deadlines, paused), None);
        }
        assert_eq!(passed(&mut deadlines, WAITS), None);
        advance(LIMIT / 4 - MOMENT).await;
        assert_eq!(passed(&mut deadlines, WAITS), None);
        advance(MOMENT).await;
        assert_eq!(passed(&mut deadlines, WAITS), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn another_frame_or_another_byte_begins_at_zero() {
    let mut deadlines = Deadlines::new(&SessionConfig {
        idle_timeout: Some(2 * LIMIT),
        ..with_frame_timeout(None)
    });
    assert_eq!(passed(&mut deadlines, WAITS), None);
    advance(LIMIT - MOMENT).await;
    let next = Activity {
        frame: Some(Begun {
            number: 2,
            bytes: 1,
        }),
        ..WAITS
    };
    assert_eq!(passed(&mut deadlines, next), None);
    advance(LIMIT - MOMENT).await;
    let more = Activity {
        received: 6,
        ..next
    };
    assert_eq!(passed(&mut deadlines, more), None);
    let none = Activity {
        frame: None,
        ..more
    };
    advance(MOMENT).await;
    assert_eq!(passed(&mut deadlines, none), None);
    // The same frame again, for all that the number says.
    assert_eq!(passed(&mut deadlines, more), None);
    advance(LIMIT - MOMENT).await;
    assert_eq!(passed(&mut deadlines, more), None);
    advance(MOMENT).await;
    assert_eq!(passed(&mut deadlines, more), Some(Deadline::Frame));
    assert_eq!(passed(&mut deadlines, none), None);
    advance(LIMIT - MOMENT).await;
    assert_eq!(passed(&mut deadlines, none), Some(Deadline::Idle));
}

#[tokio::test(start_paused = true)]
async fn of_several_deadlines_the_earliest_is_told_and_of_one_instant_the_one_that_says_most() {
    let stalled = Activity {
        writing: true,
        ..WAITS
    };
    let config = |frame: Duration, write: Duration, idle: Duration| SessionConfig {
        idle_timeout: Some(idle),
        write_timeout: Some(write),
        frame_timeout: Some(frame),
        ..without_deadlines()
    };
    let later = LIMIT + MOMENT;
    for (config, expected) in [
        (config(LIMIT, LIMIT, LIMIT), Deadline::Frame),
        (config(later, LIMIT, LIMIT), Deadline::Write),
        (config(later, later, LIMIT), Deadline::Idle),
        (config(later, LIMIT, later), Deadline::Write),
    ] {
        let mut deadlines = Deadlines::new(&config);
        assert_eq!(passed(&mut deadlines, stalled), None);
        // All of them, by the time it is looked at.
        advance(2 * LIMIT).await;
        assert_eq!(passed(&mut deadlines, stalled), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_that_is_over_is_forgotten() {
    let mut deadlines = Deadlines::new(&SessionConfig {
        write_timeout: Some(LIMIT),
        ..without_deadlines()
    });
    let stalled = Activity {
        writing: true,
        ..WAITS
    };
    // As with a stream that has a buffer of its own: none of ours is taken in between.
    for _ in 0..3 {
        assert_eq!(passed(&mut deadlines, stalled), None);
        advance(LIMIT - MOMENT).await;
        assert_eq!(passed(&mut deadlines, WAITS), None);
    }
    assert_eq!(passed(&mut deadlines, stalled), None);
    advance(LIMIT).await;
    assert_eq!(passed(&mut deadlines, stalled), Some(Deadline::Write));
}

#[tokio::test(start_paused = true)]
async fn the_largest_limits_never_pass() {
    let config = SessionConfig {
        idle_timeout: Some(Duration::MAX),
        write_timeout: Some(Duration::MAX),
        frame_timeout: Some(Duration::MAX),
        min_frame_rate: Some(1),
        ..without_deadlines()
    };
    let mut deadlines = Deadlines::new(&config);
    let activity = Activity {
        writing: true,
        frame: Some(Begun {
            number: 0,
            bytes: u64::MAX,
        }),
        ..WAITS
    };
    for _ in 0..2 {
        assert_eq!(passed(&mut deadlines, activity), None);
        advance(1_000_000 * LIMIT).await;
    }
}
