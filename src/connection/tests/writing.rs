//! From the queue to the stream.

use std::io::ErrorKind;

use futures::sink::Sink;

use super::*;
use crate::{PeerSink, outbound::Routes, waiters::WaiterId};

struct NoRoutes;

impl Routes<String> for NoRoutes {
    fn route(&self, _: Peer) -> Option<Arc<Queue<String>>> {
        None
    }

    fn is_shut_down(&self) -> bool {
        false
    }

    fn undelivered(&self, _: Peer, _: u64) {}
}

#[test]
fn a_new_sink_is_not_ready_when_the_queue_is_full() {
    let mut fixture = Fixture::with(SessionConfig {
        outbound: at_most(1),
        ..without_deadlines()
    });
    fixture.push("a");
    let mut sink = Polled::new(PeerSink::new(fixture.queue.clone(), Arc::new(NoRoutes)));
    let mut ready = || {
        sink.enter(|sink, cx| Pin::new(sink).poll_ready(cx))
            .is_ready()
    };
    assert!(!ready());
    fixture.settle_pending();
    assert!(ready());
}

#[test]
fn a_parked_task_is_woken_by_the_first_message_alone() {
    let mut fixture = Fixture::new();
    fixture.settle_pending();
    fixture.push("a");
    assert_eq!(fixture.task.wakes(), 1);
    fixture.push("b");
    assert_eq!(fixture.task.wakes(), 1);
    fixture.settle_pending();
    assert_eq!(fixture.script.written(), "a\nb\n");
    fixture.push("c");
    assert_eq!(fixture.task.wakes(), 1);
}

#[test]
fn a_task_that_waits_for_the_stream_is_woken_by_the_stream_alone() {
    let mut fixture = Fixture::new();
    fixture.script.takes(0);
    fixture.push("a");
    fixture.settle_pending();
    fixture.push("b");
    assert_eq!(fixture.task.wakes(), 0);
    fixture.script.takes_all();
    assert_eq!(fixture.task.wakes(), 1);
    fixture.settle_pending();
    assert_eq!(fixture.script.written(), "a\nb\n");
}

#[test]
fn a_queue_is_written_at_once_and_flushed_when_it_runs_empty() {
    let mut fixture = Fixture::new();
    for message in ["a", "b", "c"] {
        fixture.push(message);
    }
    fixture.settle_pending();
    assert_eq!(fixture.script.write_sizes(), [6]);
    assert_eq!(fixture.script.flushed(), 6);
}

#[test]
fn what_reaches_the_boundary_is_written_before_more_is_encoded() {
    let mut fixture = Fixture::with(SessionConfig {
        write_boundary: 8,
        ..without_deadlines()
    });
    for message in ["aaa", "bbb", "ccc", "ddd", "eee"] {
        fixture.push(message);
    }
    fixture.settle_pending();
    assert_eq!(fixture.script.write_sizes(), [8, 8, 4]);
}

#[test]
fn partial_writes_lose_nothing() {
    let (text, lines) = lines(200);
    for (at_once, boundary) in [(1, 8), (3, 64), (7, 1 << 16)] {
        let mut fixture = Fixture::with(SessionConfig {
            write_boundary: boundary,
            ..without_deadlines()
        });
        fixture.script.takes_at_once(at_once);
        for line in &lines {
            fixture.push(line);
        }
        fixture.settle_pending();
        assert_eq!(fixture.script.written(), text);
    }
}

#[test]
fn a_stalled_stream_goes_on_where_it_stopped() {
    let (text, lines) = lines(200);
    let mut fixture = Fixture::with(SessionConfig {
        write_boundary: 16,
        ..without_deadlines()
    });
    for line in &lines {
        fixture.push(line);
    }
    let mut written = 0;
    while written < text.len() {
        fixture.script.takes(5);
        fixture.settle_pending();
        written += 5.min(text.len() - written);
        assert_eq!(fixture.script.written(), text[..written]);
    }
}

#[test]
fn a_sender_that_waits_for_room_is_woken_when_the_queue_is_taken() {
    let mut fixture = Fixture::with(SessionConfig {
        outbound: at_most(1),
        ..without_deadlines()
    });
    fixture.push("a");
    let mut sender = Polled::new(WaiterId::next());
    let queue = fixture.queue.clone();
    let room = move |sender: &mut Polled<WaiterId>| {
        let queue = queue.clone();
        sender.enter(move |id, cx| queue.poll_room(cx, *id))
    };
    assert!(room(&mut sender).is_pending());
    fixture.settle_pending();
    assert_eq!(sender.wakes(), 1);
    assert!(room(&mut sender).is_ready());
}

#[test]
fn a_flush_waits_until_its_messages_are_written() {
    let mut fixture = Fixture::new();
    fixture.script.takes(2);
    fixture.push("a");
    fixture.push("b");
    let queue = fixture.queue.clone();
    let mut flush = Polled::new(WaiterId::next());
    assert!(
        flush
            .enter(|id, cx| queue.poll_written(cx, *id, 2))
            .is_pending()
    );
    fixture.settle_pending();
    assert_eq!(flush.wakes(), 0);
    fixture.script.takes_all();
    fixture.settle_pending();
    assert_eq!(flush.wakes(), 1);
    assert!(
        flush
            .enter(|id, cx| queue.poll_written(cx, *id, 2))
            .is_ready()
    );
}

#[test]
fn what_a_stream_with_a_buffer_of_its_own_has_not_flushed_is_not_written() {
    let mut fixture = Fixture::with(SessionConfig {
        write_boundary: 4,
        ..without_deadlines()
    });
    fixture.script.block_flush(true);
    fixture.push("aaa");
    fixture.push("bbb");
    fixture.settle_pending();
    // Another reason to be polled than that the stream has flushed.
    fixture.script.data("x\n");
    fixture.settle_pending();
    fixture.push("ccc");
    fixture.settle_pending();
    let queue = fixture.queue.clone();
    let mut flush = Polled::new(WaiterId::next());
    assert!(
        flush
            .enter(|id, cx| queue.poll_written(cx, *id, 1))
            .is_pending()
    );
    assert_eq!(fixture.script.flushed(), 0);

    fixture.script.block_flush(false);
    assert_eq!(fixture.task.wakes(), 1);
    fixture.settle_pending();
    assert_eq!(fixture.script.flushed(), 12);
    assert!(
        flush
            .enter(|id, cx| queue.poll_written(cx, *id, 3))
            .is_ready()
    );
}

#[test]
fn an_error_of_the_stream_ends_it_and_what_was_not_written_is_counted() {
    let mut fixture = Fixture::new();
    fixture.push("a");
    fixture.settle_pending();
    fixture.push("b");
    fixture.push("c");
    fixture.script.fails_writes(ErrorKind::BrokenPipe);
    assert_ended!(fixture.settle_ended(), Reason::Reset(_), Remote);
    assert_eq!(fixture.queue.abandon().1, 2);
}

#[test]
fn a_stream_that_takes_nothing_is_an_error() {
    let mut fixture = Fixture::new();
    fixture.script.takes_at_once(0);
    fixture.push("a");
    assert_ended!(fixture.settle_ended(), Reason::Io(_), Library);
}
