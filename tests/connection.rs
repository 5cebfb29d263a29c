//! What one connection does with messages and bytes, both ways.

mod common;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use common::{ending, expect_text, finish, finish_events, in_memory, join, next_event};
use common::{quiet, read_text, shut_down, start_lines, within};
use futures::SinkExt;
use tokio::{
    io::{AsyncWriteExt, duplex},
    task::yield_now,
};
use tokio_util::codec::{Decoder, Encoder, Framed, LengthDelimitedCodec, LinesCodec};
use wattle::{
    BoxError, Event, Inbound, Initiator, Node, Peer, Protocol, Reason, transport::ByteStream,
};

/// The n-th of the messages that the tests of order send: small and large ones in turn.
fn numbered(n: usize) -> String {
    let padding = [0, 3, 200, 0, 5_000, 17, 0, 70_000][n % 8];
    format!("{n} {}", "x".repeat(padding))
}

async fn expect_numbered(inbound: &mut Inbound<String>, peer: Peer, count: usize) -> usize {
    let mut bytes = 0;
    for n in 0..count {
        let (message, from) = within(inbound.recv()).await.unwrap();
        assert_eq!(message, numbered(n));
        assert_eq!(from, peer);
        bytes += message.len() + 1;
    }
    bytes
}

async fn send_numbered(node: Node<String>, peer: Peer, count: usize) {
    for n in 0..count {
        within(node.send_to(numbered(n), peer)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_keep_their_order_both_ways_at_once_and_are_counted_exactly() {
    const COUNT: usize = 4_000;
    let listening = Node::builder().listen("127.0.0.1:0");
    let (bob, mut to_bob) = start_lines(listening).await;
    let (alice, mut to_alice) = start_lines(Node::builder()).await;
    let to = within(alice.connect(bob.local_addr().unwrap()))
        .await
        .unwrap();
    let senders = tokio::spawn(send_numbered(alice.clone(), to, COUNT));
    let receive = tokio::spawn(async move {
        let bytes = expect_numbered(&mut to_alice, to, COUNT).await;
        (to_alice, bytes)
    });
    let (first, from) = within(to_bob.recv()).await.unwrap();
    assert_eq!(first, numbered(0));
    let back = tokio::spawn(send_numbered(bob.clone(), from, COUNT));
    for n in 1..COUNT {
        assert_eq!(within(to_bob.recv()).await.unwrap(), (numbered(n), from));
    }
    let (to_alice, bytes) = within(receive).await.unwrap();
    within(senders).await.unwrap();
    within(back).await.unwrap();
    finish(&alice, to_alice).await;
    finish(&bob, to_bob).await;
    for stats in [alice.stats(), bob.stats()] {
        assert_eq!((stats.messages_in, stats.messages_out), (4_000, 4_000));
        assert_eq!(
            (stats.bytes_in, stats.bytes_out),
            (bytes as u64, bytes as u64)
        );
        assert_eq!(stats.undelivered, 0);
    }
}

#[tokio::test]
async fn a_message_goes_out_without_a_flush() {
    let (node, inbound) = start_lines(in_memory()).await;
    let (peer, mut remote) = join(&node, 64).await;
    let (mut outbound, mut sink) = (node.outbound(), node.peer_sink(peer).unwrap());
    within(outbound.feed(("fed".to_owned(), peer)))
        .await
        .unwrap();
    expect_text(&mut remote, "fed\n").await;
    within(sink.feed("fed to the peer".to_owned()))
        .await
        .unwrap();
    expect_text(&mut remote, "fed to the peer\n").await;
    within(node.send_to("sent".to_owned(), peer)).await.unwrap();
    expect_text(&mut remote, "sent\n").await;
    node.try_send_to("tried".to_owned(), peer).unwrap();
    expect_text(&mut remote, "tried\n").await;
    assert_eq!(node.broadcast("to all".to_owned()).queued, 1);
    expect_text(&mut remote, "to all\n").await;
    drop(remote);
    finish(&node, inbound).await;
}

#[tokio::test]
async fn bytes_that_trickle_in_one_at_a_time_make_whole_messages() {
    let start = in_memory().start(|_| LengthDelimitedCodec::new());
    let (node, mut inbound): (Node<Bytes>, _) = start.await.unwrap();
    let (peer, mut remote) = join(&node, 1).await;
    for message in ["", "a", "trickled"] {
        for byte in (message.len() as u32)
            .to_be_bytes()
            .into_iter()
            .chain(message.bytes())
        {
            within(remote.write_all(&[byte])).await.unwrap();
            yield_now().await;
        }
        let (received, from) = within(inbound.recv()).await.unwrap();
        assert_eq!((&received[..], from), (message.as_bytes(), peer));
    }
    node.try_send_to("and back".into(), peer).unwrap();
    expect_text(&mut remote, "\0\0\0\x08and back").await;
    drop(remote);
    finish(&node, inbound).await;
}

#[tokio::test]
async fn a_message_larger_than_every_buffer_and_bound_passes_both_ways() {
    let tiny = in_memory()
        .max_inbound_bytes(16)
        .max_outbound_bytes(16)
        .write_boundary(16);
    let (node, mut inbound) = start_lines(tiny).await;
    let (peer, remote) = join(&node, 7).await;
    let (mut read, mut write) = tokio::io::split(remote);
    let large = "0123456789".repeat(30_000);
    let line = format!("{large}\n");
    let (sent, received) = (line.clone(), large.clone());
    let writing = tokio::spawn(async move {
        write.write_all(sent.as_bytes()).await.unwrap();
        write
    });
    assert_eq!(within(inbound.recv()).await.unwrap(), (received, peer));
    within(node.send_to(large, peer)).await.unwrap();
    let mut back = vec![0; line.len()];
    within(tokio::io::AsyncReadExt::read_exact(&mut read, &mut back))
        .await
        .unwrap();
    assert!(back == line.as_bytes(), "the message came back changed");
    drop((read, within(writing).await.unwrap()));
    finish(&node, inbound).await;
}

#[tokio::test]
async fn many_frames_in_one_read_are_as_many_messages() {
    let (node, mut inbound) = start_lines(in_memory()).await;
    let (ours, mut remote) = duplex(1 << 20);
    let text: String = (0..5_000).map(|n| format!("{n}\n")).collect();
    // All of it is there, and the remote's end behind it, before the node reads at all.
    within(remote.write_all(text.as_bytes())).await.unwrap();
    drop(remote);
    let peer = common::adopt(&node, ours).await;
    for n in 0..5_000 {
        let next = within(inbound.recv()).await.unwrap();
        assert_eq!(next, (n.to_string(), peer));
    }
    finish(&node, inbound).await;
}

#[tokio::test]
async fn what_a_remote_sent_before_it_went_away_comes_before_a_write_that_fails() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = inbound.into_events();
    let (ours, mut remote) = duplex(1 << 20);
    // Several batches, the first of which is decoded before the write is tried.
    within(remote.write_all("last words\n".repeat(1_000).as_bytes()))
        .await
        .unwrap();
    drop(remote);
    let peer = common::adopt(&node, ours).await;
    node.try_send_to("too late".to_owned(), peer).unwrap();
    assert!(matches!(next_event(&mut events).await, Event::Connected(_)));
    for _ in 0..1_000 {
        let event = next_event(&mut events).await;
        assert!(matches!(event, Event::Message(..)), "{event:?}");
    }
    let disconnect = ending(&mut events, peer).await;
    assert!(
        matches!(disconnect.reason, Reason::EndOfStream),
        "{disconnect}"
    );
    assert_eq!(disconnect.undelivered, 1);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn the_statistics_of_a_peer_count_messages_and_bytes_exactly() {
    let (node, mut inbound) = start_lines(in_memory()).await;
    let (peer, mut remote) = join(&node, 16).await;
    within(remote.write_all(b"one\ntwo\nunfin")).await.unwrap();
    for text in ["a", "bc"] {
        node.try_send_to(text.to_owned(), peer).unwrap();
    }
    quiet().await;
    let stats = node.peer_stats(peer).unwrap();
    assert_eq!((stats.messages_in, stats.bytes_in), (2, 13));
    assert_eq!((stats.messages_out, stats.bytes_out), (2, 5));
    assert_eq!(stats.queued, 0);
    // Of a message that fits half into the stream, the half is counted and the message is queued.
    node.try_send_to("0123456789ABCDEF".to_owned(), peer)
        .unwrap();
    quiet().await;
    let stats = node.peer_stats(peer).unwrap();
    assert_eq!((stats.messages_out, stats.bytes_out), (2, 16));
    assert_eq!(stats.queued, 1);
    expect_text(&mut remote, "a\nbc\n0123456789ABCDEF\n").await;
    assert_eq!(within(inbound.recv()).await.unwrap().0, "one");
    assert_eq!(within(inbound.recv()).await.unwrap().0, "two");
    drop(remote);
    assert_eq!(within(inbound.recv()).await.unwrap().0, "unfin");
    quiet().await;
    assert!(node.peer_stats(peer).is_none());
    let stats = node.stats();
    assert_eq!((stats.messages_in, stats.bytes_in), (3, 13));
    assert_eq!((stats.messages_out, stats.bytes_out), (3, 22));
    finish(&node, inbound).await;
}

/// Reads a line and feeds one, and leaves what is behind them in the buffers.
struct LeavesBytes;

impl<S: ByteStream> Protocol<S> for LeavesBytes {
    type Io = S;
    type Codec = LinesCodec;

    async fn handshake(&self, stream: S, _: Peer) -> Result<Framed<S, LinesCodec>, BoxError> {
        let mut framed = Framed::new(stream, LinesCodec::new_with_max_length(100));
        let version = futures::StreamExt::next(&mut framed).await;
        assert_eq!(version.ok_or("no version")??, "version");
        framed.feed("welcome").await?;
        Ok(framed)
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_a_handshake_leaves_in_the_buffers_belong_to_the_session() {
    let start = in_memory().start(LeavesBytes);
    let (node, mut inbound): (Node<String>, _) = start.await.unwrap();
    let (ours, mut remote) = duplex(64);
    within(remote.write_all(b"version\nhello\nwor"))
        .await
        .unwrap();
    let peer = common::adopt(&node, ours).await;
    // Nobody sends anything: what the handshake fed goes out by itself.
    expect_text(&mut remote, "welcome\n").await;
    let next = within(inbound.recv()).await.unwrap();
    assert_eq!(next, ("hello".to_owned(), peer));
    within(remote.write_all(b"ld\n")).await.unwrap();
    let next = within(inbound.recv()).await.unwrap();
    assert_eq!(next, ("world".to_owned(), peer));
    quiet().await;
    let stats = node.peer_stats(peer).unwrap();
    assert_eq!((stats.messages_in, stats.bytes_in), (2, 12));
    assert_eq!(stats.bytes_out, 8);
    node.try_send_to("bye".to_owned(), peer).unwrap();
    expect_text(&mut remote, "bye\n").await;
    drop(remote);
    finish(&node, inbound).await;
}

/// Every byte is a message. `!` fails after it was taken, so that going on would be possible; `?` is
/// encoded half, and fails then.
struct Touchy {
    decoded: Arc<AtomicUsize>,
}

impl Decoder for Touchy {
    type Item = char;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<char>> {
        if src.is_empty() {
            return Ok(None);
        }
        self.decoded.fetch_add(1, Ordering::Relaxed);
        match src.get_u8() {
            b'!' => Err(io::Error::other("touched")),
            byte => Ok(Some(byte.into())),
        }
    }
}

impl Encoder<char> for Touchy {
    type Error = io::Error;

    fn encode(&mut self, item: char, dst: &mut BytesMut) -> io::Result<()> {
        dst.put_slice(b"<");
        if item == '?' {
            dst.put_slice(b"half a message");
            return Err(io::Error::other("too much"));
        }
        dst.put_slice(&[item as u8, b'>']);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_decode_error_is_the_last_thing_that_is_decoded() {
    let decoded = Arc::new(AtomicUsize::new(0));
    let count = decoded.clone();
    let codec = move |_| Touchy {
        decoded: count.clone(),
    };
    let (node, inbound): (Node<char>, _) = in_memory().start(codec).await.unwrap();
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 64).await;
    within(remote.write_all(b"ab!cd!")).await.unwrap();
    assert!(matches!(next_event(&mut events).await, Event::Connected(p) if p == peer));
    assert!(matches!(next_event(&mut events).await, Event::Message('a', p) if p == peer));
    assert!(matches!(next_event(&mut events).await, Event::Message('b', p) if p == peer));
    let Event::Disconnected(who, disconnect) = next_event(&mut events).await else {
        panic!("the connection should have ended");
    };
    assert_eq!((who, disconnect.initiator), (peer, Initiator::Library));
    let Reason::Decode(error) = disconnect.reason else {
        panic!("unexpected reason: {}", disconnect.reason);
    };
    assert_eq!(
        error.downcast_ref::<io::Error>().unwrap().to_string(),
        "touched"
    );
    assert_eq!(decoded.load(Ordering::Relaxed), 3);
    assert_eq!(read_text(&mut remote).await, "");
    finish_events(&node, events).await;
    assert_eq!(decoded.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn an_encoder_that_fails_half_way_leaves_nothing_and_takes_nothing_with_it() {
    let decoded = Arc::new(AtomicUsize::new(0));
    let codec = move |_| Touchy {
        decoded: decoded.clone(),
    };
    let (node, inbound) = in_memory().start(codec).await.unwrap();
    let mut events = inbound.into_events();
    // What was encoded before doesn't fit into the stream, so it waits behind the failure.
    let (peer, mut remote) = join(&node, 4).await;
    for message in ['1', '2', '3', '?', '4'] {
        node.try_send_to(message, peer).unwrap();
    }
    assert_eq!(read_text(&mut remote).await, "<1><2><3>");
    drop(remote);
    let disconnect = ending(&mut events, peer).await;
    assert_eq!(disconnect.initiator, Initiator::Library);
    let Reason::Encode(error) = &disconnect.reason else {
        panic!("unexpected reason: {}", disconnect.reason);
    };
    assert_eq!(error.to_string(), "too much");
    assert_eq!(disconnect.undelivered, 2);
    let stats = node.stats();
    assert_eq!((stats.messages_out, stats.bytes_out), (3, 9));
    assert_eq!(stats.undelivered, 2);
    shut_down(&node).await;
}
