//! 200 milliseconds each way, and every twentieth packet lost.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, timeout};
use wattle::{Disconnect, Event, Node, Peer, Reason};

use super::{
    common::seed,
    hosts::Hosts,
    transfer::{LineEnd, connect, join},
    wire::Way,
};

const FAR: Way = Way {
    delay: Duration::from_millis(200),
    loss: 5,
};

/// How many lines go over at a time, enough for dozens of packets to be lost, and how many questions
/// are asked one after the other.
const LINES: usize = 2000;
const QUESTIONS: usize = 5;

/// Of a packet that is lost five times in a row the kernel waits ten seconds for the sixth.
const PATIENCE: Duration = Duration::from_secs(60);

async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// The next message.
async fn hear(end: &mut LineEnd) -> String {
    match patiently("a message", end.events.recv()).await {
        Some(Event::Message(message, peer)) if peer == end.peer => message,
        other => panic!("expected a message, got {other:?}"),
    }
}

fn line(number: usize) -> String {
    format!("{number:>50}")
}

async fn send_lines(node: &Node<String>, peer: Peer) {
    for number in 0..LINES {
        let send = node.send_to(line(number), peer).await;
        send.expect("it is connected");
    }
}

async fn hear_lines(end: &mut LineEnd) {
    for number in 0..LINES {
        assert_eq!(hear(end).await, line(number));
    }
}

/// Both ends send at the same time.
async fn exchange(alice: &mut LineEnd, bob: &mut LineEnd) {
    let sender = |end: &LineEnd| {
        let (node, peer) = (end.node.clone(), end.peer);
        async move { send_lines(&node, peer).await }
    };
    tokio::join!(
        sender(alice),
        sender(bob),
        hear_lines(alice),
        hear_lines(bob)
    );
}

async fn ask(asking: &mut LineEnd, asked: &mut LineEnd) {
    let begin = Instant::now();
    for number in 0..QUESTIONS {
        let send = asking.node.send_to(format!("{number}?"), asking.peer);
        send.await.expect("it is connected");
        let question = hear(asked).await;
        let send = asked.node.send_to(format!("{question}!"), asked.peer);
        send.await.expect("it is connected");
        assert_eq!(hear(asking).await, format!("{number}?!"));
    }
    // So that the way is as far as it should be.
    assert!(begin.elapsed() >= 2 * FAR.delay * QUESTIONS as u32);
}

#[tokio::test]
async fn over_a_long_and_lossy_way_everything_comes_in_order_and_ends_cleanly() {
    let Some((hosts, wire)) = Hosts::far_apart(FAR, seed()).await else {
        return;
    };
    let patient = || {
        let builder = Node::builder().connect_timeout(PATIENCE);
        builder.drain_timeout(PATIENCE).idle_timeout(PATIENCE)
    };
    let connecting = connect(&hosts, patient(), patient());
    let (mut alice, mut bob) = patiently("a connection", connecting).await;
    exchange(&mut alice, &mut bob).await;
    ask(&mut alice, &mut bob).await;
    ask(&mut bob, &mut alice).await;

    let told = send_and_disconnect(&mut alice, &mut bob).await;
    assert!(matches!(told.reason, Reason::Disconnected), "{told}");
    assert!(!told.drain_timed_out && told.undelivered == 0, "{told}");

    // Another connection, and a shutdown with lines on their way.
    let again = join((alice.node, alice.events), (bob.node, bob.events), &hosts);
    let (alice, mut bob) = patiently("a connection", again).await;
    send_lines(&alice.node, alice.peer).await;
    let (report, ()) = tokio::join!(
        patiently("a shutdown", alice.node.shutdown()),
        hear_lines_and_the_end(&mut bob)
    );
    assert!(report.is_clean(), "{report}");
    let report = patiently("a shutdown", bob.node.shutdown()).await;
    assert!(report.is_clean(), "{report}");
    assert!(wire.lost() > 0, "the way should be lossy");
}

async fn send_and_disconnect(alice: &mut LineEnd, bob: &mut LineEnd) -> Disconnect {
    send_lines(&alice.node, alice.peer).await;
    let (told, ()) = tokio::join!(
        patiently("a disconnect", alice.node.disconnect(alice.peer)),
        hear_lines_and_the_end(bob)
    );
    alice.ending().await;
    told.expect("it was connected")
}

async fn hear_lines_and_the_end(end: &mut LineEnd) {
    hear_lines(end).await;
    match patiently("the end", end.events.recv()).await {
        Some(Event::Disconnected(_, why)) => {
            assert!(matches!(why.reason, Reason::EndOfStream), "{why}");
        }
        other => panic!("expected the end, got {other:?}"),
    }
}
