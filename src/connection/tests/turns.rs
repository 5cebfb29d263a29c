//! A connection that always has something to do lets others have their turn.

use std::time::Duration;

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use super::*;
use crate::{
    connection::{BYTES_IN_PER_POLL, COMPANY},
    inbound::Producer,
    outbound::Order,
    turns::{CALLED_PER_WORKER, Place},
};

const LINE: usize = 4096;

/// What keeps another connection open.
type Other = (Producer<String>, Ender<String>);

/// One whose remote sends without end, and whose reader has room for all of it; with what keeps as many
/// others open.
fn flooded(others: usize) -> (Fixture, Vec<Other>) {
    let fixture = flooded_among(Hub::new());
    let open = |_| {
        let peer = Peer::next(([127, 0, 0, 1], 1).into(), Side::Listener);
        fixture.hub.open(peer, at_most(1), None)
    };
    let others = (0..others).filter_map(open).collect();
    (fixture, others)
}

fn flooded_among(hub: Arc<Hub<String>>) -> Fixture {
    let config = SessionConfig {
        inbound: at_most(usize::MAX),
        ..without_deadlines()
    };
    let fixture = Fixture::among(hub, b"", Text::default(), config);
    fixture.script.flood("x".repeat(LINE - 1) + "\n");
    fixture
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

/// Others that were called before, as many as are called at a time.
fn all_called(others: &[Other]) -> Vec<Place> {
    let (producer, _) = others.first().expect("there are some");
    let lines_up = || {
        let mut place = producer.turns().place();
        place.line_up(&mut Context::from_waker(Waker::noop()));
        place
    };
    let called: Vec<_> = (0..CALLED_PER_WORKER).map(|_| lines_up()).collect();
    assert_eq!(
        format!("{:?} {:?}", called.last(), lines_up()),
        "Some(called) in line"
    );
    called
}

#[test]
fn in_line_a_connection_writes_and_does_not_read_until_its_turn_comes() {
    let (mut fixture, others) = flooded(COMPANY - 1);
    let called = all_called(&others);
    assert!(fixture.poll().is_pending());
    assert_eq!(fixture.task.wakes(), 0, "others were called before");
    let messages_per_turn = fixture.received().len();
    assert_ne!(messages_per_turn, 0);

    for line in ["a", "b"] {
        fixture.push(line);
        assert_eq!(fixture.task.wakes(), 1);
        assert!(fixture.poll().is_pending());
        assert_eq!(fixture.task.wakes(), 0);
    }
    assert_eq!(fixture.script.written(), "a\nb\n");
    assert_eq!(fixture.received().len(), 0);

    drop(called);
    assert_eq!(fixture.task.wakes(), 1, "it is called");
    assert!(fixture.poll().is_pending());
    assert_eq!(fixture.received().len(), 0, "the runtime has a look first");
    assert_eq!(fixture.task.wakes(), 1);
    assert!(fixture.poll().is_pending());
    assert_eq!(fixture.received().len(), messages_per_turn);
}

#[test]
fn in_line_a_connection_can_be_ended() {
    for order in [Order::Disconnect, Order::Abort] {
        let (mut fixture, others) = flooded(COMPANY - 1);
        let _called = all_called(&others);
        assert!(fixture.poll().is_pending());
        fixture.queue.order(order);
        assert_eq!(fixture.task.wakes(), 1);
        fixture.script.eof();
        fixture.settle_ended();
    }
}

/// One that is flooded no more gives its place in the line up: it would keep others from being called.
#[test]
fn who_has_nothing_more_to_do_leaves_the_line() {
    let (mut fixture, others) = flooded(COMPANY - 1);
    assert!(fixture.poll().is_pending());
    fixture.script.ebb();
    fixture.settle_pending();
    assert!(fixture.task.inner.place.is_none());
    all_called(&others);
}

/// A runtime runs its tasks in the order in which they were woken.
#[tokio::test]
async fn beside_any_number_of_flooded_connections_one_waits_for_a_few_turns() {
    const FLOODED: usize = 20 * CALLED_PER_WORKER;
    const ROUND_TRIPS: usize = 50;
    let hub = Hub::new();
    let floods = [(); FLOODED].map(|()| flooded_among(hub.clone()));
    let mut reads_per_turn = 0;
    let mut kept = Vec::new();
    for mut flood in floods {
        // What comes is thrown away, so nothing but itself ever stops it.
        flood.reader = None;
        assert!(flood.poll().is_pending());
        reads_per_turn = flood.script.reads_called();
        tokio::spawn(flood.task.inner);
        kept.push((flood.script, flood._ender));
    }
    let turns = move || {
        let reads: usize = kept.iter().map(|(script, _)| script.reads_called()).sum();
        reads / reads_per_turn
    };

    let (ask, mut asked) = mpsc::channel(1);
    let (answer, mut answers) = mpsc::channel(1);
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            answer.send(()).await.expect("it waits for it");
        }
    });
    let asks = tokio::spawn(async move {
        let mut waited = Vec::new();
        for _ in 0..ROUND_TRIPS {
            let before = turns();
            ask.send(()).await.expect("it is there");
            answers.recv().await.expect("it answers");
            waited.push(turns() - before);
        }
        waited
    });
    let waited = asks.await.expect("it ends");
    assert!(waited.iter().any(|turns| *turns > 0), "others had turns");
    for turns in waited {
        assert!(
            turns <= 3 * CALLED_PER_WORKER,
            "a round trip took {turns} turns"
        );
    }
}
