//! A remote that was given up leaves nothing behind, not in the operating system either: it is reset.
//! One that did its part has all that was written for it.

mod common;

use std::{io::ErrorKind, time::Duration};

use common::{ending, finish_events, lines, within};
use futures::SinkExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wattle::{
    Builder, Event, Node, Peer, Reason, Timeout, Transport, WhenFull,
    testing::{Memory, Recorded, expect_next_event},
};

/// For deadlines with which nothing competes.
const SOON: Duration = Duration::from_millis(50);

async fn connected(builder: Builder) -> (Node<String>, Recorded<String>, Peer, TcpStream) {
    let builder = builder.listen("127.0.0.1:0");
    let (node, inbound) = within(builder.start(lines)).await.unwrap();
    let mut events = Recorded::new(inbound);
    let addr = node.local_addr().unwrap();
    let remote = within(TcpStream::connect(addr)).await.unwrap();
    let peer = expect_next_event!(events, Event::Connected(peer) => peer);
    (node, events, peer, remote)
}

/// Sends until nobody takes any more.
async fn fill(node: &Node<String>, peer: Peer) {
    let line = "x".repeat(8000);
    while node.try_send_to(line.clone(), peer).is_ok() || !is_stuck(node, peer).await {}
}

/// Whether the connection has stopped writing, as the operating system takes no more.
async fn is_stuck(node: &Node<String>, peer: Peer) -> bool {
    let written = || node.peer_stats(peer).map(|stats| stats.bytes_out);
    let before = written();
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    before == written()
}

/// What the remote sees behind all that was sent to it.
async fn end_seen(mut remote: TcpStream) -> Result<Vec<u8>, ErrorKind> {
    let mut all = Vec::new();
    let read = within(remote.read_to_end(&mut all)).await;
    read.map(|_| all).map_err(|error| error.kind())
}

#[tokio::test]
async fn a_remote_that_takes_nothing_is_reset() {
    let (node, mut events, peer, remote) = connected(Node::builder().write_timeout(SOON)).await;
    fill(&node, peer).await;
    let ended = ending(&mut events, peer).await;
    assert!(
        matches!(ended.reason, Reason::TimedOut(Timeout::Write)),
        "{ended}"
    );
    assert_eq!(end_seen(remote).await, Err(ErrorKind::ConnectionReset));
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn a_remote_in_memory_that_takes_nothing_is_reset() {
    let memory = Memory::new();
    let builder = Node::builder()
        .transport(memory.clone())
        .listen("10.0.0.1:0");
    let started = within(builder.write_timeout(SOON).start(lines)).await;
    let (node, inbound) = started.unwrap();
    let mut events = Recorded::new(inbound);
    let addr = node.local_addr().unwrap();
    let mut remote = within(memory.connect(addr)).await.unwrap();
    let peer = expect_next_event!(events, Event::Connected(peer) => peer);
    let large = "x".repeat(1 << 20);
    within(node.send_to(large, peer)).await.unwrap();
    let ended = ending(&mut events, peer).await;
    assert!(
        matches!(ended.reason, Reason::TimedOut(Timeout::Write)),
        "{ended}"
    );
    let read = within(remote.read(&mut [0; 8])).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    finish_events(&node, events).await;
}

#[tokio::test]
async fn a_remote_whose_queue_is_full_is_reset() {
    let full = Node::builder().when_full(WhenFull::Disconnect);
    let (node, mut events, peer, remote) = connected(full).await;
    while node.try_send_to("x".repeat(8000), peer).is_ok() {}
    let ended = ending(&mut events, peer).await;
    assert!(matches!(ended.reason, Reason::QueueFull), "{ended}");
    assert_eq!(end_seen(remote).await, Err(ErrorKind::ConnectionReset));
    finish_events(&node, events).await;
}

/// A remote that has begun to read, slowly and all the time, and gets to the end of it.
async fn reads_slowly(mut remote: TcpStream) -> Result<usize, ErrorKind> {
    let (mut buffer, mut all) = ([0; 4096], 0);
    loop {
        match within(remote.read(&mut buffer)).await {
            Ok(0) => return Ok(all),
            Ok(read) => all += read,
            Err(error) => return Err(error.kind()),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_remote_that_reads_slowly_loses_nothing_of_what_was_written() {
    for drains in [false, true] {
        let builder = Node::builder().drain_timeout(SOON);
        let builder = match drains {
            true => builder,
            false => builder.idle_timeout(SOON),
        };
        let (node, mut events, peer, remote) = connected(builder).await;
        let reading = tokio::spawn(reads_slowly(remote));
        let mut sink = node.peer_sink(peer).unwrap();
        for _ in 0..200 {
            within(sink.feed("x".repeat(7999))).await.unwrap();
        }
        within(sink.flush()).await.unwrap();
        if drains {
            within(node.disconnect(peer)).await.unwrap();
        }
        let ended = ending(&mut events, peer).await;
        assert_eq!(ended.undelivered, 0);
        assert_eq!(within(reading).await.unwrap(), Ok(200 * 8000), "{ended}");
        drop((sink, events));
        within(node.shutdown()).await;
    }
}

#[tokio::test]
async fn a_remote_that_does_not_let_the_connection_be_closed_is_reset() {
    let (node, mut events, peer, remote) = connected(Node::builder().drain_timeout(SOON)).await;
    fill(&node, peer).await;
    let ended = within(node.disconnect(peer)).await.unwrap();
    assert!(ended.drain_timed_out, "{ended}");
    ending(&mut events, peer).await;
    assert_eq!(end_seen(remote).await, Err(ErrorKind::ConnectionReset));
    drop(events);
    within(node.shutdown()).await;
}

#[tokio::test]
async fn what_was_written_before_a_decode_error_an_abort_or_the_end_is_not_thrown_away() {
    let large = "x".repeat(8000);
    let expected = format!("{large}\n").repeat(20);
    for how in 0..3 {
        let (node, mut events, peer, mut remote) = connected(Node::builder()).await;
        let mut sink = node.peer_sink(peer).unwrap();
        for _ in 0..20 {
            within(sink.feed(large.clone())).await.unwrap();
        }
        within(sink.flush()).await.unwrap();
        match how {
            0 => remote.write_all(b"\xff\n").await.unwrap(),
            1 => assert!(node.abort(peer)),
            _ => remote.shutdown().await.unwrap(),
        }
        ending(&mut events, peer).await;
        let seen = end_seen(remote).await;
        assert!(
            seen == Ok(expected.clone().into_bytes()),
            "{how}: {:?}",
            seen.err()
        );
        drop(sink);
        finish_events(&node, events).await;
    }
}
