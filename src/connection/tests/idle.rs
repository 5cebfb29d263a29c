//! An idle connection holds no buffers and no batches.

use super::*;

/// No block is held: not one with room, and not one that could be had back for new bytes either.
fn assert_holds_nothing(fixture: &mut Fixture) {
    let connection = &mut fixture.task.inner;
    let held = |buffer: &mut BytesMut| buffer.capacity() > 0 || buffer.try_reclaim(1);
    assert!(!held(connection.framed.read_buffer_mut()), "to read into");
    assert!(!held(connection.framed.write_buffer_mut()), "to write from");
    assert_eq!(connection.batch.capacity(), 0);
}

#[test]
fn a_new_connection_that_waits_holds_no_buffers() {
    let mut fixture = Fixture::new();
    fixture.settle_pending();
    assert_holds_nothing(&mut fixture);
}

#[test]
fn a_connection_after_traffic_holds_no_buffers() {
    let mut fixture = Fixture::new();
    let (text, lines) = lines(900);
    fixture.script.data(text);
    for line in &lines {
        fixture.push(line);
    }
    fixture.settle_pending();
    assert_eq!(fixture.received(), lines);
    fixture.settle_pending();
    assert_holds_nothing(&mut fixture);
}

#[test]
fn a_buffer_that_was_used_to_its_last_byte_is_given_back_too() {
    // Any size between is right once: a write buffer's, a read buffer's, or what they grew to.
    for size in [1024, 2048, 4096, 8 * 1024, 16 * 1024, 32 * 1024] {
        let mut fixture = Fixture::new();
        fixture.push(&"x".repeat(size - 1));
        fixture.settle_pending();
        fixture.script.data("y".repeat(size - 1) + "\n");
        fixture.settle_pending();
        assert_eq!(fixture.received()[0].len(), size - 1);
        fixture.settle_pending();
        assert_holds_nothing(&mut fixture);
    }
}

#[test]
fn a_frame_that_is_half_there_keeps_its_buffer_and_no_other() {
    let mut fixture = Fixture::new();
    fixture.script.data("half");
    fixture.settle_pending();
    let connection = &fixture.task.inner;
    assert_eq!(&connection.framed.read_buffer()[..], b"half");
    assert_eq!(connection.framed.write_buffer().capacity(), 0);
}

/// A connection that waits in the middle of a frame, of which so many bytes have come, behind so many
/// lines.
fn begun(size: usize, before: usize) -> Fixture {
    let mut fixture = Fixture::new();
    // It reads into a block of ours from now on, and not into what a new `Framed` comes with.
    fixture.settle_pending();
    let (text, lines) = lines(before);
    fixture.script.data(text + &"x".repeat(size));
    fixture.settle_pending();
    assert_eq!(fixture.received(), lines);
    assert_eq!(fixture.task.inner.framed.read_buffer().len(), size);
    fixture
}

/// Whether it holds more than a few times what has come, be it the block that this has come in.
fn holds_more(fixture: &mut Fixture) -> bool {
    let buffer = fixture.task.inner.framed.read_buffer_mut();
    let size = buffer.len();
    buffer.capacity() > 4 * size || (size < 16_384 && buffer.try_reclaim(64 * 1024 - size))
}

fn finish(fixture: &mut Fixture) {
    let size = fixture.task.inner.framed.read_buffer().len();
    fixture.script.data("y\nz");
    fixture.settle_pending();
    assert_eq!(fixture.received(), ["x".repeat(size) + "y"]);
    assert_eq!(&fixture.task.inner.framed.read_buffer()[..], b"z");
}

/// For sizes up to a block of ours and beyond, in a block that is new or has been used already.
#[test]
fn a_frame_that_has_begun_holds_a_few_times_what_came_of_it_at_most() {
    for size in [1, 100, 1023, 16_384, 40_000, 200_000] {
        for before in [0, 9] {
            let mut fixture = begun(size, before);
            assert!(!holds_more(&mut fixture), "{size} behind {before}");
            finish(&mut fixture);
        }
    }
}

/// Of a size that is worth no copy at each wait, a few may: those that are busy, if nobody abuses it.
#[test]
fn few_connections_hold_a_block_for_a_frame_that_has_begun() {
    let mut finished = Vec::new();
    for size in [1024, 2048, 4096] {
        for before in [0, 9] {
            let mut fixtures: Vec<_> = (0..100).map(|_| begun(size, before)).collect();
            let mut holding = 0;
            for fixture in &mut fixtures {
                holding += usize::from(holds_more(fixture));
            }
            // Those of the rounds before have given theirs back: some by going on, some by their end.
            assert!((1..=64).contains(&holding), "{holding} of {size} bytes");
            fixtures.truncate(80);
            fixtures.iter_mut().for_each(finish);
            finished.append(&mut fixtures);
        }
    }
}

#[test]
fn a_buffer_that_has_grown_much_is_not_lent_again() {
    let after_a_line_of = |size: usize| {
        let mut fixture = Fixture::new();
        fixture.script.data("x".repeat(size) + "\n");
        fixture.settle_pending();
        assert_eq!(fixture.received().len(), 1);
        fixture
    };
    // A little is left of it, which is kept.
    after_a_line_of((1 << 20) - 15_000);
    let mut fixture = after_a_line_of(20_000);
    fixture.script.data("begun");
    fixture.settle_pending();
    let held = fixture.task.inner.framed.read_buffer().capacity();
    assert!(held <= 256 * 1024, "{held} bytes");
}

#[test]
fn a_connection_whose_remote_has_ended_its_side_holds_no_buffers() {
    let mut fixture = Fixture::with(SessionConfig {
        allow_half_open: true,
        ..without_deadlines()
    });
    fixture.script.data("a\n");
    fixture.script.eof();
    fixture.settle_pending();
    assert_holds_nothing(&mut fixture);
}

#[test]
fn a_connection_that_waits_for_its_reader_holds_no_empty_buffer() {
    let mut fixture = Fixture::with(SessionConfig {
        inbound: at_most(2),
        ..without_deadlines()
    });
    fixture.script.data("a\nb\n");
    fixture.settle_pending();
    assert_holds_nothing(&mut fixture);
}
