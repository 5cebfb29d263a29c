//! Shutting down is graceful within a deadline, ends everything that is under way, and can be asked
//! for by several at once.

mod common;

use std::time::Duration;

use common::pairs::{End, pair};
use common::{
    Silent, black_hole, ending, in_memory, join, lines, listening, network, wind_up, within,
};
use futures::{
    future::{self, FutureExt, join3},
    sink::SinkExt,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use wattle::{
    ConnectError, Event, Inbound, Initiator, Node, NodeShutDown, NotSent, Peer, Reason, Transport,
    testing::eventually,
};

type Started = (Node<String>, Inbound<String>);

const DRAIN: Duration = Duration::from_secs(3);

#[tokio::test]
async fn everything_queued_is_delivered_before_the_end() {
    const COUNT: usize = 1000;
    let (bob, mut alice): (End<String, String>, End<String, String>) = pair(lines, lines).await;
    for number in 0..COUNT {
        bob.node.try_send_to(number.to_string(), bob.peer).unwrap();
    }
    let report = within(bob.node.shutdown()).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.connections, 1);
    for number in 0..COUNT {
        assert_eq!(alice.hear().await, number.to_string());
    }
    assert_eq!(bob.node.stats().messages_out, COUNT as u64);
    alice.finish().await;
}

#[tokio::test]
async fn two_nodes_with_full_queues_shut_down_at_once() {
    let builder = Node::builder()
        .max_inbound_messages(4)
        .max_outbound_bytes(1 << 16);
    let (alice, mut to_alice) = listening(builder.clone()).await;
    let (bob, to_bob) = listening(builder).await;
    let alice_at_bob = within(bob.connect(alice.local_addr().unwrap()))
        .await
        .unwrap();
    within(bob.send_to("hello".into(), alice_at_bob))
        .await
        .unwrap();
    let (_, bob_at_alice) = within(to_alice.recv()).await.unwrap();
    fill(&bob, alice_at_bob).await;
    fill(&alice, bob_at_alice).await;

    // Nobody takes a message, so each side could only wait for the other.
    let (alice_report, bob_report) = within(future::join(alice.shutdown(), bob.shutdown())).await;
    assert_eq!(
        (alice_report.connections, alice_report.drain_timeouts),
        (1, 0)
    );
    assert_eq!((bob_report.connections, bob_report.drain_timeouts), (1, 0));
    drop((to_alice, to_bob));
}

/// Sends until nothing more goes in: pipe and queues are full.
async fn fill(node: &Node<String>, peer: Peer) {
    let text = "x".repeat(4000);
    let mut full_in_a_row = 0;
    while full_in_a_row < 10 {
        match node.try_send_to(text.clone(), peer) {
            Ok(()) => full_in_a_row = 0,
            Err(_) => full_in_a_row += 1,
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_cut_at_the_drain_timeout() {
    let (node, inbound): Started = in_memory().drain_timeout(DRAIN).start(lines).await.unwrap();
    let mut events = inbound.into_events();
    let (deaf, remote) = join(&node, 16).await;
    let (_attentive, mut other) = join(&node, 1024).await;
    for _ in 0..10 {
        node.try_send_to("x".repeat(10), deaf).unwrap();
    }
    let begin = Instant::now();
    let reading = async {
        let mut rest = Vec::new();
        other.read_to_end(&mut rest).await.unwrap();
        other.shutdown().await.unwrap();
        assert!(begin.elapsed() < DRAIN, "one peer waits for another");
    };
    let (report, ()) = within(future::join(node.shutdown(), reading)).await;
    assert_eq!(begin.elapsed().as_secs(), DRAIN.as_secs());
    assert_eq!((report.connections, report.drain_timeouts), (2, 1));
    // Sixteen bytes went out, but of a batch that was never written to its end.
    assert_eq!(report.undelivered, 10);
    assert!(!report.is_clean());
    assert_eq!(node.stats().timeouts.drain, 1);

    let end = ending(&mut events, deaf).await;
    assert!(matches!(end.reason, Reason::Shutdown), "{end}");
    assert_eq!((end.initiator, end.undelivered), (Initiator::Local, 10));
    drop(remote);
}

#[tokio::test]
async fn all_who_shut_down_wait_for_the_same_end() {
    let (alice, to_alice) = listening(Node::builder()).await;
    let (bob, mut to_bob) = listening(Node::builder()).await;
    within(bob.connect(alice.local_addr().unwrap()))
        .await
        .unwrap();
    let other = bob.clone();
    let calls = join3(bob.shutdown(), other.shutdown(), bob.shutdown());
    let (first, second, third) = within(calls).await;
    assert_eq!((first, first), (second, third));
    assert_eq!(first.connections, 1);
    assert_eq!(within(bob.shutdown()).await, first, "later, too");
    assert!(within(to_bob.recv()).await.is_none());
    wind_up(alice, to_alice).await;
}

#[tokio::test]
async fn a_shutdown_that_is_dropped_goes_on() {
    let (alice, mut to_alice) = listening(Node::builder()).await;
    let (bob, mut to_bob) = listening(Node::builder()).await;
    let peer = within(bob.connect(alice.local_addr().unwrap()))
        .await
        .unwrap();
    bob.try_send_to("last words".into(), peer).unwrap();
    assert!(bob.shutdown().now_or_never().is_none());
    assert!(bob.send_to("more".into(), peer).await.is_err());

    assert!(within(to_bob.recv()).await.is_none());
    assert_eq!(within(to_alice.recv()).await.unwrap().0, "last words");
    assert!(within(bob.shutdown()).await.is_clean());
    wind_up(alice, to_alice).await;
}

#[tokio::test(start_paused = true)]
async fn senders_that_wait_for_room_get_their_message_back() {
    let builder = in_memory().drain_timeout(DRAIN).max_outbound_messages(1);
    let (node, inbound): Started = builder.start(lines).await.unwrap();
    let (peer, remote) = join(&node, 1).await;
    fill(&node, peer).await;

    let waiting = node.send_to("mine".into(), peer);
    let mut sink = node.peer_sink(peer).unwrap();
    let mut outbound = node.outbound();
    outbound.feed(("stuck".into(), peer)).await.unwrap();
    let undelivered = node.stats().undelivered;
    let both = join3(
        waiting,
        sink.feed("its own".into()),
        outbound.feed(("next".into(), peer)),
    );
    let (report, (sent, fed, out)) = within(future::join(node.shutdown(), both)).await;
    let back = sent.unwrap_err();
    assert_eq!(back.reason, NotSent::NotConnected);
    assert_eq!(back.into_message(), "mine");
    assert_eq!(fed.unwrap_err().0, peer);
    assert_eq!(out, Err(NodeShutDown));
    assert_eq!(report.drain_timeouts, 1);
    assert!(node.stats().undelivered > undelivered, "the stuck one");
    drop((remote, inbound));
}

#[tokio::test(start_paused = true)]
async fn what_is_being_dialled_and_who_is_shaking_hands_ends() {
    let network = network();
    let builder = Node::builder().transport(network.clone());
    let builder = builder.listen("127.0.0.1:0");
    let (node, inbound): Started = builder.start(Silent).await.unwrap();
    let addr = node.local_addr().unwrap();
    let mut pending = network.connect(addr).await.unwrap();
    let begin = Instant::now();

    let dialling = node.connect(black_hole());
    let (error, report) = within(future::join(dialling, node.shutdown())).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ConnectError::ShutDown), "{error}");
    assert!(report.is_clean());
    assert_eq!(within(pending.read(&mut [0])).await.unwrap_or(0), 0);
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "no deadline passed"
    );
    drop(inbound);
}

#[tokio::test]
async fn what_was_decoded_before_is_still_yielded() {
    let (node, mut inbound) = listening(Node::builder()).await;
    let mut remote = TcpStream::connect(node.local_addr().unwrap())
        .await
        .unwrap();
    within(remote.write_all(b"one\n")).await.unwrap();
    let (one, peer) = within(inbound.recv()).await.unwrap();
    assert_eq!(one, "one");
    within(remote.write_all(b"two\nthree\n")).await.unwrap();
    eventually(&node, || node.peer_stats(peer).unwrap().messages_in == 3).await;
    drop(remote);
    assert!(within(node.shutdown()).await.is_clean());
    assert_eq!(within(inbound.recv()).await.unwrap().0, "two");
    assert_eq!(within(inbound.recv()).await.unwrap().0, "three");
    assert!(within(inbound.recv()).await.is_none());
    assert!(within(inbound.recv()).await.is_none(), "for good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_learns_of_the_end_and_dials_again_does_not_get_in() {
    for _ in 0..50 {
        let (node, inbound) = listening(Node::builder()).await;
        let addr = node.local_addr().unwrap();
        let mut remote = within(TcpStream::connect(addr)).await.unwrap();
        let remote = tokio::spawn(async move {
            let end = within(remote.read(&mut [0])).await.unwrap();
            (end, within(TcpStream::connect(addr)).await.is_err())
        });
        let mut events = inbound.into_events();
        assert!(matches!(
            within(events.recv()).await,
            Some(Event::Connected(_))
        ));
        within(node.shutdown()).await;
        assert_eq!(within(remote).await.unwrap(), (0, true));
        assert!(matches!(
            within(events.recv()).await,
            Some(Event::Disconnected(..))
        ));
        assert!(within(events.recv()).await.is_none());
    }
}
