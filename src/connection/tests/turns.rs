//! A connection that always has something to do lets others have their turn.

use std::time::Duration;

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::*;
use crate::connection::{BYTES_IN_PER_POLL, COMPANY};

const LINE: usize = 4096;

/// One whose remote sends without end, and whose reader has room for all of it; with what keeps as many
/// others open.
fn flooded(others: usize) -> (Fixture, Vec<impl Sized>) {
    let fixture = Fixture::with(SessionConfig {
        inbound: at_most(usize::MAX),
        ..without_deadlines()
    });
    fixture.script.flood("x".repeat(LINE - 1) + "\n");
    let open = |_| {
        let peer = Peer::next(([127, 0, 0, 1], 1).into(), Side::Listener);
        fixture.hub.open(peer, at_most(1), None)
    };
    let others = (0..others).map(open).collect();
    (fixture, others)
}

#[test]
fn in_company_a_poll_takes_in_a_bounded_number_of_bytes() {
    let (mut fixture, others) = flooded(COMPANY - 1);
    let mut bytes_of_a_poll = || {
        assert!(fixture.poll().is_pending());
        assert_eq!(fixture.task.wakes(), 1, "it goes on");
        (fixture.received().len() * LINE) as u64
    };
    for _ in 0..3 {
        assert_eq!(bytes_of_a_poll(), BYTES_IN_PER_POLL);
    }
    drop(others);
    assert!(bytes_of_a_poll() > BYTES_IN_PER_POLL, "it is alone now");
}

#[test]
fn between_huge_messages_it_does_not_give_way() {
    const HUGE: usize = 512 * 1024;
    let (mut fixture, _others) = flooded(COMPANY - 1);
    fixture.script.flood("x".repeat(HUGE - 1) + "\n");
    for _ in 0..3 {
        assert!(fixture.poll().is_pending());
        let messages = fixture.received().len();
        assert!(messages > 1, "{messages} messages in a poll");
    }
}

/// A socket that becomes readable is seen by the runtime when it asks the operating system, which it does
/// seldom while a task makes itself ready again at once.
#[tokio::test]
async fn in_company_the_runtime_sees_what_else_has_come_between_two_polls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let theirs = TcpStream::connect(addr).await.unwrap();
    let (mut ours, _) = listener.accept().await.unwrap();
    assert!(ours.try_read(&mut [0]).is_err(), "nothing is there yet");

    let (mut fixture, _others) = flooded(COMPANY - 1);
    // What comes is thrown away, so nothing but itself ever stops it.
    fixture.reader = None;
    assert!(fixture.poll().is_pending());
    let reads_per_poll = fixture.script.reads_called();
    let script = fixture.script.clone();
    let busy = tokio::spawn(fixture.task.inner);

    assert_eq!(theirs.try_write(b"x").unwrap(), 1);
    let read = timeout(Duration::from_secs(60), ours.read_u8()).await;
    assert_eq!(read.expect("the connection lets others run").unwrap(), b'x');
    let polls = script.reads_called() / reads_per_poll;
    assert!(polls <= 10, "after {polls} polls of the busy connection");
    busy.abort();
}
