//! From the stream to the reader.

use std::{io::ErrorKind, task::Poll};

use super::*;

#[test]
fn a_task_that_waits_for_data_is_woken_by_it() {
    let mut fixture = Fixture::new();
    fixture.settle_pending();
    fixture.script.data("a\n");
    assert_eq!(fixture.task.wakes(), 1);
    fixture.settle_pending();
    assert_eq!(fixture.received(), ["a"]);
}

#[test]
fn the_frames_of_a_segment_are_one_batch_and_wake_the_reader_once() {
    let mut fixture = Fixture::new();
    assert!(fixture.next_event().is_pending());
    fixture.script.data("a\nb\nc\n");
    fixture.settle_pending();
    assert_eq!(fixture.reader_wakes(), 1);
    assert_eq!(fixture.received(), ["a", "b", "c"]);
    // One for the segment, one that was pending.
    assert_eq!(fixture.script.reads_called(), 2);
}

#[test]
fn a_reader_that_has_something_to_take_is_not_woken_again() {
    let mut fixture = Fixture::new();
    assert!(fixture.next_event().is_pending());
    for data in ["a\n", "b\n", "c\n"] {
        fixture.script.data(data);
        fixture.settle_pending();
    }
    assert_eq!(fixture.reader_wakes(), 1);
    assert_eq!(fixture.received(), ["a", "b", "c"]);
}

#[test]
fn a_frame_in_pieces_is_delivered_when_it_is_whole() {
    let mut fixture = Fixture::new();
    for piece in ["he", "ll"] {
        fixture.script.data(piece);
        fixture.settle_pending();
        assert_eq!(fixture.received(), [""; 0]);
    }
    fixture.script.data("o\nwor");
    fixture.settle_pending();
    assert_eq!(fixture.received(), ["hello"]);
    fixture.script.data("ld\n");
    fixture.settle_pending();
    assert_eq!(fixture.received(), ["world"]);
}

#[test]
fn a_full_inbox_stops_the_reading_until_the_reader_takes() {
    let mut fixture = Fixture::with(SessionConfig {
        inbound: at_most(2),
        ..without_deadlines()
    });
    for data in ["a\nb\n", "c\n", "d\n", "e\n"] {
        fixture.script.data(data);
    }
    fixture.settle_pending();
    assert_eq!(fixture.script.reads_called(), 1);

    // Nothing but the reader lets it go on.
    fixture.push("out");
    fixture.settle_pending();
    assert_eq!(fixture.script.reads_called(), 1);
    assert_eq!(fixture.received(), ["a", "b"]);
    assert_eq!(fixture.task.wakes(), 1);

    fixture.settle_pending();
    assert_eq!(fixture.script.reads_called(), 3);
    assert_eq!(fixture.received(), ["c", "d"]);
    fixture.settle_pending();
    assert_eq!(fixture.received(), ["e"]);
}

#[test]
fn an_inbox_is_full_by_bytes_too() {
    let mut fixture = Fixture::with(SessionConfig {
        inbound: Bounds {
            messages: 100,
            bytes: 10,
        },
        ..without_deadlines()
    });
    fixture.script.data("123456789\n");
    fixture.script.data("more\n");
    fixture.settle_pending();
    assert_eq!(fixture.script.reads_called(), 1);
    assert_eq!(fixture.received(), ["123456789"]);
    fixture.settle_pending();
    assert_eq!(fixture.received(), ["more"]);
}

#[test]
fn a_reader_that_is_dropped_frees_a_task_that_waits_for_room() {
    let mut fixture = Fixture::with(SessionConfig {
        inbound: at_most(1),
        ..without_deadlines()
    });
    fixture.script.data(lines(100).0);
    fixture.script.read_error(ErrorKind::ConnectionReset);
    fixture.settle_pending();
    fixture.reader = None;
    assert_eq!(fixture.task.wakes(), 1);
    assert_ended!(fixture.settle_ended(), Reason::Reset(_), Remote);
}

#[test]
fn many_frames_come_in_order_over_several_polls() {
    let mut fixture = Fixture::with(SessionConfig {
        inbound: at_most(100_000),
        ..without_deadlines()
    });
    let (text, lines) = lines(10_000);
    fixture.script.data(text);
    assert!(fixture.poll().is_pending());
    assert_eq!(fixture.task.wakes(), 1, "it lets others run, and goes on");
    assert!(fixture.received().len() < lines.len());

    let mut fixture = Fixture::new();
    fixture.script.data(lines.join("\n") + "\n");
    let mut received = Vec::new();
    while received.len() < lines.len() {
        assert!(fixture.poll().is_pending());
        let before = received.len();
        received.append(&mut fixture.received());
        assert!(received.len() > before, "it goes no further");
    }
    assert_eq!(received, lines);
}

#[test]
fn the_first_decode_error_ends_it_after_what_was_decoded() {
    let mut fixture = Fixture::new();
    fixture.script.data("a\nb\n!\nc\n");
    assert_ended!(fixture.settle_ended(), Reason::Decode(_), Library);
    assert_eq!(fixture.received(), ["a", "b"]);
}

#[test]
fn an_end_inside_a_frame_is_told_from_a_clean_one() {
    let mut fixture = Fixture::new();
    fixture.script.data("a\nhal");
    fixture.script.eof();
    let ended = fixture.settle_ended();
    assert_ended!(ended, Reason::EndInsideFrame { buffered: 3, .. }, Remote);
    assert_eq!(fixture.received(), ["a"]);
}

#[test]
fn an_error_of_the_stream_is_told_from_the_codecs() {
    for kind in [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted] {
        let mut fixture = Fixture::new();
        fixture.script.data("a\n");
        fixture.script.read_error(kind);
        assert_ended!(fixture.settle_ended(), Reason::Reset(_), Remote);
        assert_eq!(fixture.received(), ["a"]);
    }
    let mut fixture = Fixture::new();
    fixture.script.read_error(ErrorKind::TimedOut);
    assert_ended!(fixture.settle_ended(), Reason::Io(_), Library);
}

#[test]
fn an_end_that_the_stream_itself_finds_too_early_is_the_remotes() {
    let mut fixture = Fixture::new();
    fixture.script.data("a\nhal");
    fixture.script.read_error(ErrorKind::UnexpectedEof);
    assert_ended!(fixture.settle_ended(), Reason::Io(_), Remote);
    assert_eq!(fixture.received(), ["a"]);
}

#[test]
fn what_the_handshake_left_is_decoded_before_anything_is_read() {
    let script = Script::default();
    let mut framed = Framed::new(script.stream(), Text::default());
    framed.read_buffer_mut().extend_from_slice(b"left\n");
    framed.write_buffer_mut().extend_from_slice(b"hi\n");

    // `Framed` looks at its buffer first only if it is made with it.
    let parts = framed.into_parts();
    let peer = Peer::next(([127, 0, 0, 1], 1).into(), Side::Dialer);
    let hub = Hub::new();
    let (producer, _ender) = hub.open(peer, at_most(9), None).expect("it is accepting");
    let queue = Arc::new(Queue::<String>::new(peer, at_most(9), Arc::default()));
    let framed = Framed::from_parts(parts);
    let connection = Connection::new(framed, producer, queue, without_deadlines());
    let mut task = Polled::new(connection);
    let polled: Poll<Disconnect> = task.enter(|connection, cx| Pin::new(connection).poll(cx));
    assert!(polled.is_pending());
    assert_eq!(script.written(), "hi\n");
    let mut inbound = Polled::new(Inbound::new(hub, Arc::new(())));
    let next = inbound.enter(|inbound, cx| Pin::new(inbound).poll_next(cx));
    assert!(matches!(next, Poll::Ready(Some((message, _))) if message == "left"));
}

/// Gives its decoder more bytes than came, as one may that unpacks in place.
struct Unpacking;

impl Decoder for Unpacking {
    type Item = usize;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<usize>> {
        match src.first() {
            None => Ok(None),
            Some(b'*') => {
                src.clear();
                src.extend_from_slice(&[0; 1000]);
                Ok(Some(0))
            }
            Some(_) => Ok(Some(src.split().len())),
        }
    }
}

impl Encoder<usize> for Unpacking {
    type Error = io::Error;

    fn encode(&mut self, _: usize, _: &mut BytesMut) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_codec_may_put_more_into_the_buffer_than_came() {
    let script = Script::default();
    let peer = Peer::next(([127, 0, 0, 1], 1).into(), Side::Dialer);
    let hub = Hub::new();
    let (producer, _ender) = hub.open(peer, at_most(9), None).expect("it is accepting");
    let queue = Arc::new(Queue::<usize>::new(peer, at_most(9), Arc::default()));
    let framed = Framed::new(script.stream(), Unpacking);
    let connection = Connection::new(framed, producer, queue, without_deadlines());
    let mut task = Polled::new(connection);
    script.data("*");
    let polled: Poll<Disconnect> = task.enter(|connection, cx| Pin::new(connection).poll(cx));
    assert!(polled.is_pending());
    let mut inbound = Polled::new(Inbound::new(hub, Arc::new(())));
    for expected in [0, 1000] {
        let next = inbound.enter(|inbound, cx| Pin::new(inbound).poll_next(cx));
        assert!(matches!(next, Poll::Ready(Some((n, _))) if n == expected));
    }
}

#[test]
fn a_flood_of_notices_does_not_hold_up_messages() {
    let mut fixture = Fixture::new();
    fixture.script.data("a\n");
    fixture.settle_pending();
    let notice = |hub: &Hub<String>| {
        let addr = ([127, 0, 0, 1], 2).into();
        hub.notify(Event::Refused(addr, crate::Refusal::Banned));
    };
    let hub = fixture.hub.clone();
    notice(&hub);
    for _ in 0..3 {
        // Another comes for each that is taken.
        notice(&hub);
        match fixture.next_event() {
            Poll::Ready(Some(Event::Message(..))) => return,
            Poll::Ready(Some(Event::Refused(..))) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the message doesn't get its turn");
}

/// Where a block ends inside a message, what has begun of it must be moved to the next.
#[test]
fn large_messages_of_one_size_are_read_into_blocks_that_end_where_they_do() {
    for size in [10_000, 32_768, 50_000, 120_000] {
        let line = "x".repeat(size - 1) + "\n";
        let mut fixture = Fixture::new();
        fixture.script.data(line.repeat(3));
        fixture.settle_pending();
        assert_eq!(fixture.received().len(), 3);
        let before = fixture.script.read_sizes().len();
        fixture.script.data(line.repeat(4));
        fixture.settle_pending();
        assert_eq!(fixture.received().len(), 4);
        let reads = fixture.script.read_sizes().split_off(before);
        assert!(
            reads.iter().all(|read| read % size == 0),
            "{size}: {reads:?}"
        );
    }
}
