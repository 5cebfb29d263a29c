//! What happens when a remote ends its side and keeps reading.

mod common;

use std::{net::SocketAddr, time::Duration};

use common::{ending, expect_text, finish_events, in_memory, join, next_event, quiet, read_text};
use common::{shut_down, start_lines, within};
use futures::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tokio_util::codec::LengthDelimitedCodec;
use wattle::{Event, Initiator, Node, NotSent, Reason, Timeout};

#[tokio::test(start_paused = true)]
async fn by_default_the_end_closes_the_connection_after_what_is_queued_was_written() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 8).await;
    for n in 0..100 {
        node.try_send_to(format!("queued {n}"), peer).unwrap();
    }
    quiet().await;
    within(remote.shutdown()).await.unwrap();
    quiet().await;
    // It is on its way out: nothing new is taken, and what was taken before still comes.
    let error = node.try_send_to("too late".to_owned(), peer).unwrap_err();
    assert_eq!(error.reason, NotSent::NotConnected);
    let queued: String = (0..100).map(|n| format!("queued {n}\n")).collect();
    assert_eq!(read_text(&mut remote).await, queued);
    let disconnect = ending(&mut events, peer).await;
    assert!(
        matches!(disconnect.reason, Reason::EndOfStream),
        "{disconnect}"
    );
    assert_eq!(disconnect.initiator, Initiator::Remote);
    assert_eq!(disconnect.undelivered, 0);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn by_default_a_remote_that_ends_and_does_not_read_is_left_after_the_drain_timeout() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 8).await;
    node.try_send_to("more than fits".to_owned(), peer).unwrap();
    within(remote.shutdown()).await.unwrap();
    let disconnect = ending(&mut events, peer).await;
    assert!(
        matches!(disconnect.reason, Reason::EndOfStream),
        "{disconnect}"
    );
    assert_eq!(disconnect.undelivered, 1);
    assert_eq!(node.stats().timeouts.drain, 1);
    drop(remote);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_is_written_to_until_we_disconnect() {
    let (node, inbound) = start_lines(in_memory().allow_half_open(true)).await;
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 8).await;
    within(remote.write_all(b"a\nb")).await.unwrap();
    within(remote.shutdown()).await.unwrap();
    assert!(matches!(next_event(&mut events).await, Event::Connected(p) if p == peer));
    assert!(matches!(next_event(&mut events).await, Event::Message(m, _) if m == "a"));
    assert!(matches!(next_event(&mut events).await, Event::Message(m, _) if m == "b"));
    assert!(matches!(next_event(&mut events).await, Event::ReadClosed(p) if p == peer));
    for n in 0..100 {
        node.try_send_to(format!("answer {n}"), peer).unwrap();
        expect_text(&mut remote, &format!("answer {n}\n")).await;
    }
    node.try_send_to("and the last one".to_owned(), peer)
        .unwrap();
    let disconnect = tokio::spawn({
        let node = node.clone();
        async move { node.disconnect(peer).await }
    });
    assert_eq!(read_text(&mut remote).await, "and the last one\n");
    let disconnect = within(disconnect).await.unwrap().unwrap();
    assert!(
        matches!(disconnect.reason, Reason::Disconnected),
        "{disconnect}"
    );
    assert_eq!(disconnect.initiator, Initiator::Local);
    assert!(matches!(next_event(&mut events).await, Event::Disconnected(p, _) if p == peer));
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn a_half_open_remote_is_idle_when_it_takes_nothing_either() {
    let patient = in_memory().allow_half_open(true);
    let patient = patient.idle_timeout(Duration::from_secs(1));
    let (node, inbound) = start_lines(patient).await;
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 64).await;
    within(remote.shutdown()).await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(900)).await;
        node.try_send_to("still open".to_owned(), peer).unwrap();
        expect_text(&mut remote, "still open\n").await;
    }
    let silent = Instant::now();
    let disconnect = ending(&mut events, peer).await;
    assert_eq!(silent.elapsed().as_secs(), 1);
    assert!(
        matches!(disconnect.reason, Reason::TimedOut(Timeout::Idle)),
        "{disconnect}"
    );
    assert_eq!(disconnect.undelivered, 0);
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn a_half_open_remote_that_is_gone_is_noticed_by_a_write() {
    let (node, inbound) = start_lines(in_memory().allow_half_open(true)).await;
    let mut events = inbound.into_events();
    let (peer, remote) = join(&node, 64).await;
    drop(remote);
    while !matches!(next_event(&mut events).await, Event::ReadClosed(p) if p == peer) {}
    node.try_send_to("to nobody".to_owned(), peer).unwrap();
    let disconnect = ending(&mut events, peer).await;
    assert!(
        matches!(disconnect.reason, Reason::Reset(_)),
        "{disconnect}"
    );
    assert_eq!(disconnect.initiator, Initiator::Remote);
    assert_eq!(disconnect.undelivered, 1);
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_inside_a_frame_is_no_half_close() {
    let start = in_memory().allow_half_open(true);
    let start = start.start(|_| LengthDelimitedCodec::new());
    let (node, inbound): (Node<bytes::Bytes>, _) = start.await.unwrap();
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 64).await;
    within(remote.write_all(b"\0\0\0\x05abc")).await.unwrap();
    within(remote.shutdown()).await.unwrap();
    let disconnect = ending(&mut events, peer).await;
    assert!(
        matches!(disconnect.reason, Reason::EndInsideFrame { .. }),
        "{disconnect}"
    );
    finish_events(&node, events).await;
}

/// An echo over TCP; what `printf 'a\nb\n' | nc -N` does.
async fn half_close_and_read(addr: SocketAddr) -> TcpStream {
    let mut client = within(TcpStream::connect(addr)).await.unwrap();
    within(client.write_all(b"a\nb\n")).await.unwrap();
    within(client.shutdown()).await.unwrap();
    let mut echoed = [0; 4];
    within(client.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"a\nb\n");
    client
}

#[tokio::test]
async fn an_echo_node_with_half_open_answers_a_client_that_has_ended_its_side() {
    let half_open = Node::builder().listen("127.0.0.1:0").allow_half_open(true);
    let (node, inbound) = start_lines(half_open).await;
    let addr = node.local_addr().unwrap();
    let echo = tokio::spawn(inbound.map(Ok).forward(node.outbound()));
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(half_close_and_read(addr).await);
    }
    assert_eq!(node.peers().len(), 20, "they stay open");
    shut_down(&node).await;
    for mut client in clients {
        assert_eq!(within(client.read(&mut [0])).await.unwrap(), 0);
    }
    within(echo).await.unwrap().unwrap();
}
