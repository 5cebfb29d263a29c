//! Nodes connect, talk, part and meet again; what they say of it is exact, and what resolves has
//! happened (no test here waits for anything else).

mod common;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
};

use common::{in_memory, join, lines, listening, next_event, quiet, wind_up, within};
use futures::{future::FutureExt, sink::SinkExt, stream::StreamExt};
use tokio::io::duplex;
use wattle::{Event, Inbound, Initiator, Node, NotSent, Reason, Side};

#[tokio::test]
async fn two_nodes_connect_talk_part_and_meet_again() {
    let (alice, mut to_alice) = listening(Node::builder().name("alice")).await;
    let (bob, mut to_bob) = listening(Node::builder().name("bob")).await;
    let addr = alice.local_addr().unwrap();
    let mut seen = Vec::new();

    for round in 0..3 {
        let alice_at_bob = within(bob.connect(addr)).await.unwrap();
        assert_eq!(alice_at_bob.addr(), addr);
        assert_eq!(alice_at_bob.side(), Side::Dialer);

        let question = format!("question {round}");
        let sent = bob.send_to(question.clone(), alice_at_bob);
        within(sent).await.unwrap();
        let (heard, bob_at_alice) = within(to_alice.recv()).await.unwrap();
        assert_eq!(heard, question);
        assert_eq!(bob_at_alice.side(), Side::Listener);

        let answer = format!("answer {round}");
        let sent = alice.send_to(answer.clone(), bob_at_alice);
        within(sent).await.unwrap();
        let (heard, from) = within(to_bob.recv()).await.unwrap();
        assert_eq!((heard, from), (answer, alice_at_bob));

        let ended = within(bob.disconnect(alice_at_bob)).await.unwrap();
        assert!(matches!(ended.reason, Reason::Disconnected), "{ended}");
        assert_eq!(ended.initiator, Initiator::Local);
        seen.extend([alice_at_bob.id(), bob_at_alice.id()]);
    }
    let mut distinct = seen.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), seen.len(), "an id was used twice: {seen:?}");

    wind_up(bob, to_bob).await;
    wind_up(alice, to_alice).await;
}

#[tokio::test]
async fn connect_resolves_when_the_peer_is_there() {
    let (alice, to_alice) = listening(Node::builder()).await;
    let (bob, to_bob) = listening(Node::builder()).await;

    let peer = within(bob.connect(alice.local_addr().unwrap()))
        .await
        .unwrap();
    assert_eq!(bob.peers(), [peer]);
    assert_eq!(bob.find(peer.addr()), Some(peer));
    assert_eq!(bob.peer_stats(peer).unwrap().messages_out, 0);
    assert_eq!(bob.peer_sink(peer).unwrap().peer(), peer);
    assert_eq!(bob.stats().connections, 1);
    bob.try_send_to("at once".into(), peer).unwrap();

    wind_up(bob, to_bob).await;
    wind_up(alice, to_alice).await;
}

#[tokio::test]
async fn disconnect_resolves_when_the_peer_is_gone_on_both_sides() {
    let (alice, to_alice) = listening(Node::builder()).await;
    let (bob, to_bob) = listening(Node::builder()).await;
    let mut alice_sees = to_alice.into_events();
    let peer = within(bob.connect(alice.local_addr().unwrap()))
        .await
        .unwrap();
    assert!(matches!(
        next_event(&mut alice_sees).await,
        Event::Connected(_)
    ));

    within(bob.disconnect(peer)).await.unwrap();
    assert_eq!(bob.peers(), []);
    assert_eq!(bob.find(peer.addr()), None);
    assert_eq!(bob.peer_stats(peer), None);
    assert!(bob.peer_sink(peer).is_none());
    assert_eq!(bob.stats().connections, 0);
    let refused = bob.try_send_to("late".into(), peer).unwrap_err();
    assert_eq!(refused.reason, NotSent::NotConnected);
    assert_eq!(refused.into_message(), "late");
    let refused = within(bob.send_to("later".into(), peer)).await.unwrap_err();
    assert_eq!(refused.peer, peer);
    assert_eq!(refused.into_message(), "later");
    // The graceful end waited for alice to close her side.
    assert_eq!(alice.peers(), []);

    assert!(within(bob.disconnect(peer)).await.is_none());
    assert!(!bob.abort(peer));
    wind_up(bob, to_bob).await;
    assert!(within(alice.shutdown()).await.is_clean());
}

#[tokio::test]
async fn shutdown_resolves_when_nothing_is_left() {
    let (alice, to_alice) = listening(Node::builder()).await;
    let (bob, to_bob) = listening(Node::builder()).await;
    let addr = alice.local_addr().unwrap();
    let peer = within(bob.connect(addr)).await.unwrap();

    let report = within(bob.shutdown()).await;
    assert_eq!(report.connections, 1);
    assert!(report.is_clean(), "{report}");
    assert_eq!(bob.peers(), []);
    assert_eq!(bob.local_addr(), None);
    assert_eq!(bob.stats().connections, 0);
    assert!(bob.send_to("late".into(), peer).await.is_err());
    assert_eq!(alice.peers(), []);

    wind_up(alice, to_alice).await;
    std::net::TcpListener::bind(addr).expect("the port is free again");
    drop(to_bob);
}

#[tokio::test]
async fn several_connections_to_one_address_are_told_apart() {
    let (alice, mut to_alice) = listening(Node::builder()).await;
    let (bob, to_bob) = listening(Node::builder().allow_duplicates(true)).await;
    let addr = alice.local_addr().unwrap();
    let first = within(bob.connect(addr)).await.unwrap();
    let second = within(bob.connect(addr)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(first.addr(), second.addr());
    assert_eq!(bob.find(addr), Some(first), "the older one");

    within(bob.send_to("second".into(), second)).await.unwrap();
    let (_, from_second) = within(to_alice.recv()).await.unwrap();
    within(bob.send_to("first".into(), first)).await.unwrap();
    let (_, from_first) = within(to_alice.recv()).await.unwrap();
    assert_ne!(from_first, from_second);
    assert_eq!(alice.find(from_first.addr()), Some(from_first));

    within(bob.disconnect(first)).await.unwrap();
    assert_eq!(bob.peers(), [second]);
    assert_eq!(bob.find(addr), Some(second));
    wind_up(bob, to_bob).await;
    wind_up(alice, to_alice).await;
}

#[tokio::test]
async fn totals_stay_exact_when_connections_end() {
    const ROUNDS: u64 = 3;
    const EACH: u64 = 100;
    let (alice, mut to_alice) = listening(Node::builder()).await;
    let (bob, to_bob) = listening(Node::builder()).await;

    for round in 1..=ROUNDS {
        let peer = within(bob.connect(alice.local_addr().unwrap()))
            .await
            .unwrap();
        let mut sink = bob.peer_sink(peer).unwrap();
        for _ in 0..EACH {
            within(sink.feed("12345".into())).await.unwrap();
        }
        within(sink.flush()).await.unwrap();
        let open = bob.peer_stats(peer).unwrap();
        assert_eq!((open.messages_out, open.bytes_out), (EACH, 6 * EACH));
        assert_eq!(open.queued, 0);
        for _ in 0..EACH {
            within(to_alice.recv()).await.unwrap();
        }
        assert_eq!(bob.stats().messages_out, round * EACH);
        within(bob.disconnect(peer)).await.unwrap();

        for (node, traffic) in [(&bob, (0, EACH)), (&alice, (EACH, 0))] {
            let stats = node.stats();
            let (messages_in, messages_out) = traffic;
            assert_eq!(stats.connections, 0);
            assert_eq!((stats.connected, stats.disconnected), (round, round));
            assert_eq!(stats.messages_in, round * messages_in);
            assert_eq!(stats.messages_out, round * messages_out);
            assert_eq!(stats.bytes_in, round * 6 * messages_in);
            assert_eq!(stats.bytes_out, round * 6 * messages_out);
            assert_eq!(stats.undelivered, 0);
        }
    }
    wind_up(bob, to_bob).await;
    wind_up(alice, to_alice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_come_and_go_all_at_once_leave_exact_books() {
    const NODES: u64 = 8;
    const ROUNDS: u64 = 20;
    let (alice, mut to_alice) = listening(Node::builder()).await;
    let addr = alice.local_addr().unwrap();
    let visits: Vec<_> = (0..NODES)
        .map(|_| tokio::spawn(visit(addr, ROUNDS)))
        .collect();
    for _ in 0..NODES * ROUNDS {
        within(to_alice.recv()).await.unwrap();
    }
    for visit in visits {
        within(visit).await.unwrap();
    }
    let node = alice.clone();
    wind_up(alice, to_alice).await;
    let stats = node.stats();
    assert_eq!(stats.connected, NODES * ROUNDS);
    assert_eq!(stats.disconnected, NODES * ROUNDS);
    assert_eq!(stats.messages_in, NODES * ROUNDS);
    assert_eq!(stats.connections, 0);
}

/// Connects, says something and leaves, again and again.
async fn visit(addr: SocketAddr, rounds: u64) {
    let (node, inbound) = listening(Node::builder().max_connections(1)).await;
    for round in 0..rounds {
        let peer = within(node.connect(addr)).await.unwrap();
        within(node.send_to(round.to_string(), peer)).await.unwrap();
        within(node.disconnect(peer)).await.unwrap();
    }
    let stats = node.stats();
    assert_eq!((stats.connected, stats.disconnected), (rounds, rounds));
    assert_eq!((stats.messages_out, stats.undelivered), (rounds, 0));
    wind_up(node, inbound).await;
}

/// Wakes nobody, but connects: as early as anybody could who was woken.
struct ConnectAtWake {
    node: Node<String>,
    connected: Mutex<Option<bool>>,
}

impl Wake for ConnectAtWake {
    fn wake(self: Arc<Self>) {
        let mut connected = self.connected.lock().unwrap();
        if connected.is_none() {
            let (ours, _theirs) = duplex(64);
            let addr = SocketAddr::from(([127, 0, 0, 1], 9));
            let adopted = self.node.adopt(ours, addr, Side::Dialer);
            *connected = adopted.now_or_never().map(|adopted| adopted.is_ok());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_room_of_a_connection_is_free_when_its_end_is_told() {
    for by_event in [false, true] {
        let start = in_memory().max_connections(1).start(lines);
        let (node, inbound): (_, Inbound<String>) = within(start).await.unwrap();
        let mut events = inbound.into_events();
        let (peer, remote) = join(&node, 64).await;
        assert!(matches!(next_event(&mut events).await, Event::Connected(_)));

        let at_wake = Arc::new(ConnectAtWake {
            node: node.clone(),
            connected: Mutex::default(),
        });
        let waker = Waker::from(at_wake.clone());
        let mut cx = Context::from_waker(&waker);
        let mut disconnect = Box::pin(node.disconnect(peer));
        if by_event {
            assert!(node.abort(peer));
            assert!(events.poll_next_unpin(&mut cx).is_pending());
        } else {
            assert!(disconnect.as_mut().poll(&mut cx).is_pending());
        }
        drop(remote);
        quiet().await;
        assert_eq!(*at_wake.connected.lock().unwrap(), Some(true));
        drop(disconnect);
        assert!(within(node.shutdown()).await.is_clean());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_taken_is_counted() {
    let (node, mut inbound) = listening(Node::builder()).await;
    let (remote, silence) = listening(Node::builder()).await;
    let peer = within(remote.connect(node.local_addr().unwrap()))
        .await
        .unwrap();
    for n in 1..=300 {
        within(remote.send_to(n.to_string(), peer)).await.unwrap();
        let (_, from) = within(inbound.recv()).await.unwrap();
        assert_eq!(node.peer_stats(from).unwrap().messages_in, n);
        assert_eq!(node.stats().messages_in, n);
    }
    wind_up(remote, silence).await;
    wind_up(node, inbound).await;
}
