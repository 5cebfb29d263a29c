//! Listening: on what, until when, for how many.

mod common;

use std::{io, time::Duration};

use common::{Silent, assert_heard, lines, listening, wind_up, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wattle::{
    Event, Inbound, Limit, ListenError, Node, Refusal, StartError, Transport,
    testing::{Memory, Recorded, expect_next_event},
    transport::Tcp,
};

type Started = (Node<String>, Inbound<String>);

/// Waits until the node closes or resets a connection.
async fn assert_closed(mut remote: TcpStream) {
    match within(remote.read(&mut [0])).await {
        Ok(0) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_listens_where_it_is_told_and_tells_the_real_ports() {
    let builder = Node::builder().listen("127.0.0.1:0").listen("localhost:0");
    let (node, mut inbound): Started = builder.start(lines).await.unwrap();
    let third = node.listen(("localhost", 0)).await.unwrap();

    let addrs = node.local_addrs();
    assert_eq!(addrs.len(), 3);
    assert_eq!(node.local_addr(), Some(addrs[0]));
    assert_eq!(addrs[2], third);
    for addr in addrs {
        assert_ne!(addr.port(), 0);
        assert!(addr.ip().is_loopback());
        assert_heard(addr, &mut inbound).await;
    }
    wind_up(node, inbound).await;
}

#[tokio::test]
async fn a_node_that_was_not_told_to_listens_nowhere() {
    let (node, inbound): Started = Node::builder().start(lines).await.unwrap();
    assert_eq!(node.local_addr(), None);
    assert_eq!(node.local_addrs(), []);
    assert!(!within(node.stop_listening()).await);
    wind_up(node, inbound).await;
}

#[tokio::test]
async fn stop_listening_frees_the_ports_and_keeps_the_connections() {
    let builder = Node::builder().listen("127.0.0.1:0").listen("127.0.0.1:0");
    let (node, mut inbound): Started = builder.start(lines).await.unwrap();
    let addrs = node.local_addrs();
    let mut remote = assert_heard(addrs[0], &mut inbound).await;

    assert!(within(node.stop_listening()).await);
    assert_eq!(node.local_addrs(), []);
    for addr in &addrs {
        let error = TcpStream::connect(addr).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        std::net::TcpListener::bind(addr).expect("the port is free at once");
    }
    within(remote.write_all(b"still here\n")).await.unwrap();
    assert_eq!(within(inbound.recv()).await.unwrap().0, "still here");

    assert_eq!(node.listen(addrs[0]).await.unwrap(), addrs[0]);
    assert_heard(addrs[0], &mut inbound).await;
    drop(remote);
    wind_up(node, inbound).await;
}

#[tokio::test]
async fn shutdown_frees_the_ports_and_ends_the_listening() {
    let (node, inbound) = listening(Node::builder()).await;
    let addr = node.local_addr().unwrap();
    let other = node.clone();
    wind_up(node, inbound).await;
    std::net::TcpListener::bind(addr).expect("the port is free at once");
    let error = within(other.listen(addr)).await.unwrap_err();
    assert!(matches!(error, ListenError::ShutDown), "{error}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let (first, first_inbound) = listening(Node::builder()).await;
    let taken = first.local_addr().unwrap();
    let in_use = |error: &ListenError| {
        assert!(
            matches!(error, ListenError::Io { addr, source, .. }
                if *addr == taken && source.kind() == io::ErrorKind::AddrInUse),
            "{error}"
        );
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
    };

    let builder = Node::builder().listen("127.0.0.1:0").listen(taken);
    match within(builder.start::<_, String>(lines)).await {
        Err(StartError::Listen(error)) => in_use(&error),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two nodes have one port"),
    }
    let (second, second_inbound) = listening(Node::builder()).await;
    in_use(&within(second.listen(taken)).await.unwrap_err());
    assert_eq!(second.local_addrs().len(), 1, "what works goes on");
    wind_up(second, second_inbound).await;
    wind_up(first, first_inbound).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_port_is_shared_only_where_all_say_so() {
    let builder = Node::builder().transport(Tcp::new().reuse_port(true));
    let first = builder.clone().listen("127.0.0.1:0");
    let first: Started = first.start(lines).await.unwrap();
    let addr = first.0.local_addr().unwrap();
    let second: Started = builder.listen(addr).start(lines).await.unwrap();
    assert_eq!(second.0.local_addr(), Some(addr));
    let third = Node::builder().listen(addr);
    assert!(third.start::<_, String>(lines).await.is_err());
    wind_up(first.0, first.1).await;
    wind_up(second.0, second.1).await;
}

#[tokio::test]
async fn who_comes_beyond_the_limit_is_refused_closed_and_counted() {
    let (node, mut inbound) = listening(Node::builder().max_connections(1)).await;
    let addr = node.local_addr().unwrap();
    let first = assert_heard(addr, &mut inbound).await;
    let mut events = Recorded::new(inbound);

    for round in 1..=3 {
        let remote = TcpStream::connect(addr).await.unwrap();
        let from = remote.local_addr().unwrap();
        let (at, limit) = expect_next_event!(events, Event::Refused(at, why) => (at, why));
        assert_eq!((at, limit), (from, Refusal::Limit(Limit::Connections(1))));
        assert_closed(remote).await;
        let refused = node.stats().refused;
        assert_eq!((refused.max_connections, refused.max_pending), (round, 0));
    }
    drop(first);
    expect_next_event!(events, Event::Disconnected(..));
    // Its room is free by the time of the event.
    let remote = TcpStream::connect(addr).await.unwrap();
    expect_next_event!(events, Event::Connected(_));
    drop(remote);
    assert!(within(node.shutdown()).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_too_many_shake_hands_is_refused_closed_and_counted() {
    let network = Memory::new();
    let builder = Node::builder().transport(network.clone());
    let builder = builder
        .listen("127.0.0.1:0")
        .max_pending(2)
        .handshake_timeout(Duration::from_secs(3));
    let (node, inbound): Started = builder.start(Silent).await.unwrap();
    let mut events = Recorded::new(inbound);
    let addr = node.local_addr().unwrap();

    let _pending = [
        network.connect(addr).await.unwrap(),
        network.connect(addr).await.unwrap(),
    ];
    let mut third = network.connect(addr).await.unwrap();
    let limit = expect_next_event!(events, Event::Refused(_, why) => why);
    assert_eq!(limit, Refusal::Limit(Limit::Pending(2)));
    assert_eq!(within(third.read(&mut [0])).await.unwrap(), 0);
    let refused = node.stats().refused;
    assert_eq!((refused.max_connections, refused.max_pending), (0, 1));
    for _ in 0..2 {
        expect_next_event!(events, Event::HandshakeFailed(..));
    }
    assert!(within(node.shutdown()).await.is_clean());
}

#[tokio::test]
async fn every_call_of_stop_listening_waits_for_the_same_sockets() {
    let (node, inbound) = listening(Node::builder()).await;
    let addr = node.local_addr().unwrap();
    let mut dropped = tokio_test::task::spawn(node.stop_listening());
    assert!(dropped.poll().is_pending());
    drop(dropped);
    assert!(within(node.stop_listening()).await);
    let _free = std::net::TcpListener::bind(addr).unwrap();
    assert!(!within(node.stop_listening()).await);
    wind_up(node, inbound).await;
}
