//! The lives of connections in the stream of events: complete, in order, each once.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use common::{finish_events, in_memory, join, next_event, quiet, shut_down, start_lines, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{
    BoxError, Event, HandshakeError, Initiator, Limit, Node, Peer, Protocol, Reason, Refusal, Side,
    testing::{Recorded, expect_next_event},
};

/// Follows the events, and knows at any time what may come next.
#[derive(Default)]
struct Books {
    open: BTreeMap<Peer, u64>,
    ended: BTreeMap<Peer, u64>,
    refused: u64,
}

impl Books {
    fn enter(&mut self, event: Event<String>) {
        match event {
            Event::Connected(peer) => {
                assert!(!self.ended.contains_key(&peer), "{peer} comes back");
                assert_eq!(self.open.insert(peer, 0), None, "{peer} connected twice");
            }
            Event::Message(message, peer) => {
                let next = self.open.get_mut(&peer).expect("a message of nobody");
                assert_eq!(message, next.to_string());
                *next += 1;
            }
            Event::Disconnected(peer, _) => {
                let messages = self.open.remove(&peer).expect("an end without a beginning");
                self.ended.insert(peer, messages);
            }
            Event::Refused(..) => self.refused += 1,
            other => panic!("unexpected {other:?}"),
        }
    }
}

/// Connects, sends a few numbers, and reads until the node has closed its side too.
async fn visit(node: SocketAddr, messages: u64) {
    let mut stream = TcpStream::connect(node).await.unwrap();
    let text: String = (0..messages).map(|n| format!("{n}\n")).collect();
    // A connection that is refused may be reset at any point of this.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn thousands_of_short_connections_are_all_told_in_order_and_counted() {
    const VISITORS: u64 = 40;
    const VISITS: u64 = 100;
    let listening = Node::builder().listen("127.0.0.1:0");
    let (node, inbound) = start_lines(listening).await;
    let mut events = inbound.into_events();
    let addr = node.local_addr().unwrap();
    for visitor in 0..VISITORS {
        tokio::spawn(async move {
            for visit_number in 0..VISITS {
                visit(addr, (visitor + visit_number) % 4).await;
            }
        });
    }
    let mut books = Books::default();
    while books.ended.len() < (VISITORS * VISITS) as usize {
        books.enter(next_event(&mut events).await);
    }
    assert_eq!((books.open.len(), books.refused), (0, 0));
    let messages: u64 = books.ended.values().sum();
    assert_eq!(messages, VISITORS * VISITS / 4 * (1 + 2 + 3));
    let stats = node.stats();
    assert_eq!(stats.messages_in, messages);
    assert_eq!((stats.connected, stats.disconnected), (4_000, 4_000));
    assert_eq!((stats.connections, node.peers()), (0, vec![]));
    finish_events(&node, events).await;
}

#[tokio::test]
async fn under_a_limit_every_connection_is_either_told_or_refused() {
    const VISITORS: u64 = 16;
    const VISITS: u64 = 100;
    let few = Node::builder().max_connections(4).max_pending(4);
    let few = few.pending_for_dialing(0);
    let (node, inbound) = start_lines(few.listen("127.0.0.1:0")).await;
    let mut events = inbound.into_events();
    let addr = node.local_addr().unwrap();
    for _ in 0..VISITORS {
        tokio::spawn(async move {
            for _ in 0..VISITS {
                visit(addr, 1).await;
            }
        });
    }
    let mut books = Books::default();
    while books.ended.len() as u64 + books.refused < VISITORS * VISITS {
        books.enter(next_event(&mut events).await);
        assert!(books.open.len() <= 4, "more than the limit are open");
    }
    let stats = node.stats();
    assert_eq!(stats.disconnected, books.ended.len() as u64);
    assert_eq!(stats.refused.max_connections, books.refused);
    assert_eq!(stats.refused.max_pending, 0);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn connected_comes_first_and_disconnected_last_with_all_messages_between_them() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = inbound.into_events();
    // Nothing is taken until everything has happened.
    let mut peers = Vec::new();
    for messages in [0, 1, 5_000] {
        let (peer, mut remote) = join(&node, 1 << 20).await;
        let text: String = (0..messages).map(|n| format!("{n}\n")).collect();
        within(remote.write_all(text.as_bytes())).await.unwrap();
        peers.push((peer, messages));
    }
    quiet().await;
    let mut books = Books::default();
    while books.ended.len() < peers.len() {
        books.enter(next_event(&mut events).await);
    }
    assert_eq!(books.ended.into_iter().collect::<Vec<_>>(), peers);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_the_events_are_asked_for_late() {
    let (node, inbound) = start_lines(in_memory()).await;
    let (gone, mut remote) = join(&node, 64).await;
    within(remote.write_all(b"0\n1\n")).await.unwrap();
    quiet().await;
    drop(remote);
    let (staying, mut remote) = join(&node, 64).await;
    within(remote.write_all(b"0\n")).await.unwrap();
    quiet().await;
    let mut events = inbound.into_events();
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(format!("{:?}", next_event(&mut events).await));
    }
    let expected = [
        format!("Connected({gone:?})"),
        format!("Message(\"0\", {gone:?})"),
        format!("Message(\"1\", {gone:?})"),
    ];
    assert_eq!(told[..3], expected);
    assert!(
        told[3].starts_with(&format!("Disconnected({gone:?}, ")),
        "{}",
        told[3]
    );
    assert_eq!(told[4], format!("Connected({staying:?})"));
    assert_eq!(told[5], format!("Message(\"0\", {staying:?})"));
    drop(remote);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_was_begun_as_messages_goes_on_as_events() {
    let (node, mut inbound) = start_lines(in_memory()).await;
    let (peer, mut remote) = join(&node, 64).await;
    within(remote.write_all(b"taken\nleft\n")).await.unwrap();
    drop(remote);
    quiet().await;
    assert_eq!(
        within(inbound.recv()).await,
        Some(("taken".to_owned(), peer))
    );
    let mut events = Recorded::new(inbound);
    let message = expect_next_event!(events, Event::Message(message, _) => message);
    assert_eq!(message, "left");
    let (who, disconnect) = expect_next_event!(events, Event::Disconnected(who, why) => (who, why));
    assert_eq!((who, disconnect.initiator), (peer, Initiator::Remote));
    finish_events(&node, events).await;
}

#[tokio::test]
async fn a_refused_connection_is_an_event_and_closed_at_once() {
    let one = Node::builder().max_connections(1).max_pending(1);
    let (node, inbound) = start_lines(one.listen("127.0.0.1:0")).await;
    let mut events = Recorded::new(inbound);
    let addr = node.local_addr().unwrap();
    let first = within(TcpStream::connect(addr)).await.unwrap();
    let peer = expect_next_event!(events, Event::Connected(peer) => peer);
    assert_eq!(
        (peer.addr(), peer.side()),
        (first.local_addr().unwrap(), Side::Listener)
    );
    for _ in 0..3 {
        let mut refused = within(TcpStream::connect(addr)).await.unwrap();
        let (who, limit) = expect_next_event!(events, Event::Refused(who, limit) => (who, limit));
        assert_eq!(who, refused.local_addr().unwrap());
        assert_eq!(limit, Refusal::Limit(Limit::Connections(1)));
        assert_eq!(within(refused.read(&mut [0])).await.unwrap(), 0);
    }
    assert_eq!(node.stats().refused.max_connections, 3);
    drop(first);
    expect_next_event!(events, Event::Disconnected(who, _) if *who == peer);
    // Whoever has seen the end can rely on there being room again.
    let second = within(TcpStream::connect(addr)).await.unwrap();
    expect_next_event!(events, Event::Connected(_));
    drop(second);
    finish_events(&node, events).await;
}

#[tokio::test]
async fn a_flood_of_refused_connections_does_not_hold_up_the_messages() {
    let one = Node::builder().max_connections(1).max_pending(1);
    let (node, inbound) = start_lines(one.listen("127.0.0.1:0")).await;
    let mut events = Recorded::new(inbound);
    let addr = node.local_addr().unwrap();
    let mut first = within(TcpStream::connect(addr)).await.unwrap();
    expect_next_event!(events, Event::Connected(_));
    // The flood is ahead of the reader all the time.
    for _ in 0..20 {
        visit(addr, 0).await;
    }
    within(first.write_all(b"0\n")).await.unwrap();
    while node.stats().messages_in == 0 {
        visit(addr, 0).await;
    }
    for _ in 0..3 {
        visit(addr, 0).await;
        if let Event::Message(message, _) = next_event(&mut events).await {
            assert_eq!(message, "0");
            drop(first);
            return finish_events(&node, events).await;
        }
    }
    panic!("the message waits for the end of the flood");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_seen_the_end_of_a_connection_finds_room_for_another() {
    let listening = Node::builder().listen("127.0.0.1:0");
    let (server, server_inbound) = start_lines(listening).await;
    let (node, inbound) = start_lines(Node::builder().max_connections(1).max_pending(1)).await;
    let addr = server.local_addr().unwrap();
    for round in 0..500 {
        let peer = within(node.connect(addr)).await;
        let peer = peer.unwrap_or_else(|error| panic!("in round {round}: {error}"));
        within(node.disconnect(peer)).await.unwrap();
    }
    shut_down(&node).await;
    shut_down(&server).await;
    drop((inbound, server_inbound));
}

/// Its handshakes fail.
struct Unwilling;

impl Protocol for Unwilling {
    type Io = TcpStream;
    type Codec = LinesCodec;

    async fn handshake(
        &self,
        _: TcpStream,
        peer: Peer,
    ) -> Result<Framed<TcpStream, LinesCodec>, BoxError> {
        Err(format!("no business with {}", peer.addr()).into())
    }
}

#[tokio::test]
async fn a_handshake_that_fails_is_an_event_of_who_was_dialled_and_an_error_of_who_dialled() {
    let start = Node::builder().listen("127.0.0.1:0").start(Unwilling);
    let (node, inbound): (Node<String>, _) = start.await.unwrap();
    let mut events = Recorded::new(inbound);
    let mut remote = within(TcpStream::connect(node.local_addr().unwrap()))
        .await
        .unwrap();
    let Event::HandshakeFailed(peer, HandshakeError::Failed(error)) = next_event(&mut events).await
    else {
        panic!("the handshake should have failed");
    };
    assert_eq!(peer.addr(), remote.local_addr().unwrap());
    assert_eq!(
        error.to_string(),
        format!("no business with {}", peer.addr())
    );
    assert_eq!(within(remote.read(&mut [0])).await.unwrap(), 0);

    let (dialler, its_inbound): (Node<String>, _) = Node::builder().start(Unwilling).await.unwrap();
    let error = within(dialler.connect(node.local_addr().unwrap()))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("no business with 127.0.0.1"),
        "{error}"
    );
    expect_next_event!(events, Event::HandshakeFailed(..));
    assert_eq!(node.stats().handshakes_failed, 2);
    assert_eq!(node.stats().connected, 0);
    finish_events(&node, events).await;
    shut_down(&dialler).await;
    // It has neither a connection nor a notice to tell.
    assert!(within(its_inbound.into_events().recv()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_remotes_side_is_an_event_in_half_open_mode_only() {
    for half_open in [false, true] {
        let (node, inbound) = start_lines(in_memory().allow_half_open(half_open)).await;
        let mut events = Recorded::new(inbound);
        let (peer, mut remote) = join(&node, 64).await;
        within(remote.write_all(b"last\n")).await.unwrap();
        within(remote.shutdown()).await.unwrap();
        expect_next_event!(events, Event::Connected(_));
        expect_next_event!(events, Event::Message(..));
        if half_open {
            expect_next_event!(events, Event::ReadClosed(p) if *p == peer);
            quiet().await;
            assert_eq!(node.peers(), [peer]);
            within(node.disconnect(peer)).await.unwrap();
        }
        let (who, disconnect) =
            expect_next_event!(events, Event::Disconnected(who, why) => (who, why));
        assert_eq!(who, peer);
        assert_eq!(matches!(disconnect.reason, Reason::EndOfStream), !half_open);
        finish_events(&node, events).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_connections_that_a_shutdown_closes_have_their_ends_told() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = inbound.into_events();
    let mut open = BTreeSet::new();
    for _ in 0..50 {
        let (peer, remote) = join(&node, 64).await;
        drop(remote);
        open.insert(peer);
    }
    // No task of theirs has run yet, so it is the shutdown that they see first.
    let report = within(node.shutdown()).await;
    assert_eq!(report.connections, 50);
    while let Some(event) = within(events.recv()).await {
        if let Event::Disconnected(peer, disconnect) = event {
            assert!(open.remove(&peer), "{peer} ended twice");
            assert!(
                matches!(disconnect.reason, Reason::Shutdown),
                "{disconnect}"
            );
            assert_eq!(disconnect.initiator, Initiator::Local);
        }
    }
    assert_eq!(open, BTreeSet::new());
}
