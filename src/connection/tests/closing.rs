//! Closing, stage by stage. It has a deadline, so there is a runtime with a clock that stands still.

use std::{io::ErrorKind, time::Duration};

use super::*;
use crate::outbound::Order;

/// How it ends when our side can't read on while two messages are queued; asserts that both are
/// written all the same, and nothing more is taken.
fn ended_with_two_queued(reading_ends: impl FnOnce(&Fixture)) -> Disconnect {
    let mut fixture = Fixture::with(SessionConfig {
        max_frame_bytes: Some(8),
        ..without_deadlines()
    });
    fixture.script.takes(0);
    fixture.push("a");
    fixture.settle_pending();
    fixture.push("b");
    reading_ends(&fixture);
    fixture.settle_pending();
    assert!(matches!(
        fixture.queue.push("late".to_owned()),
        Pushed::Closed(_)
    ));
    fixture.script.takes_all();
    let ended = fixture.settle_ended();
    assert!(!ended.drain_timed_out);
    assert_eq!(fixture.received(), ["last"]);
    assert_eq!(fixture.script.written(), "a\nb\n");
    assert!(fixture.script.is_shut());
    assert_eq!(fixture.queue.abandon().1, 0);
    ended
}

#[tokio::test(start_paused = true)]
async fn an_end_of_stream_lets_what_is_queued_be_written() {
    let ended = ended_with_two_queued(|fixture| {
        fixture.script.data("last\n");
        fixture.script.eof();
    });
    assert_ended!(ended, Reason::EndOfStream, Remote);
}

#[tokio::test(start_paused = true)]
async fn a_decode_error_lets_what_is_queued_be_written() {
    let ended = ended_with_two_queued(|fixture| fixture.script.data("last\n!\nnever\n"));
    assert_ended!(ended, Reason::Decode(_), Library);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_too_large_lets_what_is_queued_be_written() {
    let whole = ended_with_two_queued(|fixture| fixture.script.data("last\nlong line\nnever\n"));
    assert_ended!(whole, Reason::FrameTooLarge { bytes: 10, max: 8 }, Library);
    let begun = ended_with_two_queued(|fixture| fixture.script.data("last\nlong line"));
    assert_ended!(begun, Reason::FrameTooLarge { bytes: 9, max: 8 }, Library);
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_an_error_is_thrown_away_while_there_is_something_to_write() {
    for bad in ["!\n", "a line that is too long"] {
        let mut fixture = Fixture::with(SessionConfig {
            max_frame_bytes: Some(8),
            ..without_deadlines()
        });
        fixture.script.takes(0);
        fixture.push("a");
        fixture.script.data(bad);
        fixture.settle_pending();
        fixture.script.data("more");
        assert_eq!(fixture.task.wakes(), 1);
        fixture.settle_pending();
        assert!(!fixture.script.has_more());
        fixture.script.takes_all();
        // Nobody waits for the remote to end its side.
        fixture.settle_ended();
        assert_eq!(fixture.script.written(), "a\n");
        assert_eq!(fixture.received(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_it_is_closed_belongs_to_no_frame() {
    let mut fixture = Fixture::with(SessionConfig {
        max_frame_bytes: Some(8),
        ..without_deadlines()
    });
    fixture.script.data("begun");
    fixture.settle_pending();
    fixture.queue.order(Order::Disconnect);
    fixture.settle_pending();
    let held = fixture.task.inner.framed.read_buffer().capacity();
    assert_eq!(held, 0);
    for _ in 0..10 {
        fixture.script.data("and more of it");
        fixture.settle_pending();
    }
    fixture.script.eof();
    assert_ended!(fixture.settle_ended(), Reason::Disconnected, Local);
}

#[tokio::test(start_paused = true)]
async fn a_decode_error_waits_for_a_remote_that_does_not_read_no_longer_than_the_drain_timeout() {
    let mut fixture = Fixture::new();
    fixture.script.takes(0);
    fixture.push("a");
    fixture.script.data("!\n");
    fixture.settle_pending();
    tokio::time::advance(Duration::from_secs(3600)).await;
    let ended = fixture.settle_ended();
    assert!(ended.drain_timed_out);
    assert_ended!(ended, Reason::Decode(_), Library);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_writes_shuts_and_waits_for_the_remote() {
    let mut fixture = Fixture::new();
    fixture.settle_pending();
    fixture.push("a");
    fixture.queue.order(Order::Disconnect);
    fixture.settle_pending();
    assert_eq!(fixture.script.written(), "a\n");
    assert!(fixture.script.is_shut());

    // What comes meanwhile is thrown away, even what the codec could not decode.
    fixture.script.data("b\n!\nc\n");
    assert_eq!(fixture.task.wakes(), 1);
    fixture.settle_pending();
    fixture.script.eof();
    assert_eq!(fixture.task.wakes(), 1);
    assert_ended!(fixture.settle_ended(), Reason::Disconnected, Local);
    assert_eq!(fixture.received(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_told_from_a_disconnect() {
    let mut fixture = Fixture::new();
    fixture.queue.order(Order::ShutDown);
    fixture.settle_pending();
    fixture.script.eof();
    assert_ended!(fixture.settle_ended(), Reason::Shutdown, Local);
}

#[tokio::test(start_paused = true)]
async fn a_reset_while_it_waits_for_the_remote_is_the_remotes_end() {
    let mut fixture = Fixture::new();
    fixture.queue.order(Order::Disconnect);
    fixture.settle_pending();
    fixture.script.read_error(ErrorKind::ConnectionReset);
    assert_ended!(fixture.settle_ended(), Reason::Disconnected, Local);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_while_it_is_drained_keeps_the_first_reason() {
    let mut fixture = Fixture::new();
    fixture.script.takes(0);
    fixture.push("a");
    fixture.script.eof();
    fixture.settle_pending();
    fixture.script.fails_writes(ErrorKind::BrokenPipe);
    assert_eq!(fixture.task.wakes(), 1);
    let ended = fixture.settle_ended();
    assert!(!ended.drain_timed_out);
    assert_ended!(ended, Reason::EndOfStream, Remote);
    assert_eq!(fixture.queue.abandon().1, 1);
}

#[tokio::test(start_paused = true)]
async fn half_open_means_writing_goes_on_after_the_end() {
    let mut fixture = Fixture::with(SessionConfig {
        allow_half_open: true,
        ..without_deadlines()
    });
    fixture.script.data("a\n");
    fixture.script.eof();
    fixture.settle_pending();
    let next = fixture.next_event();
    assert!(matches!(next, Poll::Ready(Some(Event::Message(message, _))) if message == "a"));
    let next = fixture.next_event();
    assert!(matches!(next, Poll::Ready(Some(Event::ReadClosed(_)))));
    assert!(fixture.next_event().is_pending());

    let reads = fixture.script.reads_called();
    fixture.push("b");
    assert_eq!(fixture.task.wakes(), 1);
    fixture.settle_pending();
    assert_eq!(fixture.script.written(), "b\n");
    assert_eq!(fixture.script.reads_called(), reads, "an end is an end");
    assert!(!fixture.script.is_shut());

    fixture.queue.order(Order::Disconnect);
    assert_ended!(fixture.settle_ended(), Reason::Disconnected, Local);
    assert!(fixture.script.is_shut());
}

#[tokio::test(start_paused = true)]
async fn an_encoder_that_fails_leaves_no_bytes_and_is_not_called_again() {
    let mut fixture = Fixture::new();
    for message in ["a", "b", "!", "c"] {
        fixture.push(message);
    }
    fixture.settle_pending();
    assert_eq!(fixture.script.written(), "a\nb\n");
    assert!(fixture.script.is_shut());
    fixture.script.eof();
    assert_ended!(fixture.settle_ended(), Reason::Encode(_), Library);
    assert_eq!(fixture.queue.abandon().1, 2);
}

#[tokio::test(start_paused = true)]
async fn a_broken_pipe_comes_after_what_the_remote_had_sent_and_its_end() {
    let mut fixture = Fixture::new();
    fixture.settle_pending();
    let (text, lines) = lines(700);
    fixture.push("a");
    fixture.script.data(text);
    fixture.script.eof();
    fixture.script.fails_writes(ErrorKind::BrokenPipe);
    assert_ended!(fixture.settle_ended(), Reason::EndOfStream, Remote);
    assert_eq!(fixture.received(), lines);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_is_a_better_reason_than_a_reset_on_writing() {
    let mut fixture = Fixture::with(SessionConfig {
        max_frame_bytes: Some(8),
        ..without_deadlines()
    });
    fixture.settle_pending();
    fixture.push("a");
    fixture.script.data("longer than eight\n");
    fixture.script.fails_writes(ErrorKind::ConnectionReset);
    assert_ended!(
        fixture.settle_ended(),
        Reason::FrameTooLarge { .. },
        Library
    );
}

#[tokio::test(start_paused = true)]
async fn a_broken_pipe_comes_after_what_a_slow_reader_has_no_room_for() {
    let mut fixture = Fixture::with(SessionConfig {
        inbound: at_most(2),
        ..without_deadlines()
    });
    fixture.settle_pending();
    let (text, lines) = lines(9);
    fixture.push("a");
    fixture.script.data(text);
    fixture.script.eof();
    fixture.script.fails_writes(ErrorKind::BrokenPipe);
    let mut received = Vec::new();
    let ended = loop {
        if let Poll::Ready(ended) = fixture.settle() {
            break ended;
        }
        assert!(received.len() < lines.len(), "it waits for ever");
        received.append(&mut fixture.received());
    };
    received.append(&mut fixture.received());
    assert_ended!(ended, Reason::EndOfStream, Remote);
    assert_eq!(received, lines);
}

/// A pipe breaks when the remote had ended its side. If it hadn't, a write is told of the reset, and
/// reading finds an end that is none.
#[tokio::test(start_paused = true)]
async fn a_reset_on_writing_comes_after_what_the_remote_had_sent_and_is_no_end() {
    let mut fixture = Fixture::new();
    fixture.settle_pending();
    let (text, lines) = lines(700);
    fixture.push("a");
    fixture.script.data(text);
    fixture.script.eof();
    fixture.script.fails_writes(ErrorKind::ConnectionReset);
    assert_ended!(fixture.settle_ended(), Reason::Reset(_), Remote);
    assert_eq!(fixture.received(), lines);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_dropped_with_its_connection() {
    let mut fixture = Fixture::new();
    fixture.queue.order(Order::Abort);
    assert_ended!(fixture.settle_ended(), Reason::Aborted, Local);
    let script = fixture.script.clone();
    drop(fixture);
    assert!(script.is_dropped());
}
