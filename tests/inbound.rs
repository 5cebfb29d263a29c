//! The one stream of messages: whose turn it is, how much waits for it, and when it ends.

mod common;

use std::{
    collections::BTreeSet,
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Buf, BytesMut};
use common::{expect_text, finish, in_memory, join, quiet, shut_down, start_lines, within};
use futures::{FutureExt, StreamExt, stream::FusedStream};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    task::JoinHandle,
};
use tokio_util::codec::{Decoder, Encoder};
use wattle::{Inbound, Node, Peer};

/// What a message of the tests below takes on the wire.
const SIZE: usize = 100;

/// Messages of [`SIZE`] bytes, each a number; counts how many were decoded.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Counting {
    fn decoded(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Decoder for Counting {
    type Item = u64;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<u64>> {
        if src.len() < SIZE {
            return Ok(None);
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        let mut message = src.split_to(SIZE);
        Ok(Some(message.get_u64()))
    }
}

impl Encoder<Infallible> for Counting {
    type Error = io::Error;

    fn encode(&mut self, item: Infallible, _: &mut BytesMut) -> io::Result<()> {
        match item {}
    }
}

fn message(number: u64) -> [u8; SIZE] {
    let mut message = [0; SIZE];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}

/// Writes so many messages, and stays.
fn flood(mut remote: DuplexStream, count: u64) -> JoinHandle<DuplexStream> {
    tokio::spawn(async move {
        for number in 0..count {
            remote.write_all(&message(number)).await.unwrap();
        }
        remote
    })
}

/// A node with these bounds, what its codec counts, and a peer that has sent what it could of
/// `count` messages while nobody reads them.
async fn flooded(
    messages: usize,
    bytes: usize,
    count: u64,
) -> (
    Node<Infallible>,
    Inbound<u64>,
    Counting,
    JoinHandle<DuplexStream>,
) {
    let counting = Counting::default();
    let codec = counting.clone();
    let (node, inbound) = in_memory()
        .max_inbound_messages(messages)
        .max_inbound_bytes(bytes)
        .start(move |_| codec.clone())
        .await
        .unwrap();
    let (_, remote) = join(&node, 64 * 1024).await;
    let remote = flood(remote, count);
    quiet().await;
    (node, inbound, counting, remote)
}

#[tokio::test(start_paused = true)]
async fn no_more_messages_are_decoded_ahead_than_the_bound_and_a_batch() {
    for most in [1, 10, 300, 1024] {
        let (node, mut inbound, counting, remote) = flooded(most, 1 << 30, 10_000).await;
        let batch = most.min(256);
        let ahead = counting.decoded();
        assert!((most..most + batch).contains(&ahead), "{ahead} for {most}");
        // One that is taken makes room for what waits, and no more than that.
        assert_eq!(within(inbound.recv()).await.unwrap().0, 0);
        quiet().await;
        let more = counting.decoded() - ahead;
        assert!((most..most + batch).contains(&more), "{more} for {most}");
        for number in 1..10_000 {
            assert_eq!(within(inbound.recv()).await.unwrap().0, number);
        }
        drop(within(remote).await.unwrap());
        finish(&node, inbound).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_bytes_are_decoded_ahead_than_the_bound_and_a_batch() {
    for most in [1, SIZE, 10_000, 300_000] {
        let (node, mut inbound, counting, remote) = flooded(1 << 20, most, 10_000).await;
        // A message that is larger than what is left goes in whole.
        let batch = most.min(128 * 1024) + SIZE;
        let ahead = counting.decoded() * SIZE;
        assert!((most..most + batch).contains(&ahead), "{ahead} for {most}");
        for number in 0..10_000 {
            assert_eq!(within(inbound.recv()).await.unwrap().0, number);
        }
        drop(within(remote).await.unwrap());
        finish(&node, inbound).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_messages_are_not_taken_is_stopped_and_no_other() {
    const CAPACITY: usize = 1_000;
    const BOUND: usize = 10_000;
    let (node, mut inbound) = start_lines(in_memory().max_inbound_bytes(BOUND)).await;
    let (flooder, mut flooding) = join(&node, CAPACITY).await;
    let (quieter, mut other) = join(&node, CAPACITY).await;
    let line = [b'x'; 99].iter().chain(b"\n").copied().collect::<Vec<_>>();
    let mut written = 0;
    while let Some(done) = write_unless_stalled(&mut flooding, &line).await {
        written += done;
        assert!(written < 1 << 20, "nothing stops the sender");
    }
    // At most the bound, a batch that was under way, what was read and not decoded, and the pipe.
    assert!(
        (BOUND..2 * BOUND + 16 * 1024 + CAPACITY).contains(&written),
        "{written}"
    );
    assert_eq!(node.peer_stats(flooder).unwrap().messages_out, 0);

    // The other's socket is read all the while, and the first one's is written.
    for _ in 0..50 {
        assert_eq!(write_unless_stalled(&mut other, &line).await, Some(100));
    }
    quiet().await;
    assert_eq!(node.peer_stats(quieter).unwrap().messages_in, 50);
    node.try_send_to("still there".to_owned(), flooder).unwrap();
    expect_text(&mut flooding, "still there\n").await;

    // Once its messages are taken, it can go on.
    let mut taken = 0;
    while within(inbound.recv()).await.unwrap().1 == flooder {
        taken += 1;
    }
    assert!(taken >= BOUND / 100);
    assert_eq!(write_unless_stalled(&mut flooding, &line).await, Some(100));
    drop((flooding, other));
    let rest = tokio::spawn(async move { while inbound.recv().await.is_some() {} });
    quiet().await;
    assert_eq!(node.stats().disconnected, 2);
    shut_down(&node).await;
    within(rest).await.unwrap();
}

/// Writes a whole line, or as much as is taken before nothing can go on; `None` when that is nothing.
async fn write_unless_stalled(remote: &mut DuplexStream, line: &[u8]) -> Option<usize> {
    quiet().await;
    let written = remote.write(line).now_or_never();
    written.map(|written| written.expect("the node should be there"))
}

/// A node with many small batches in the air, whose reader is in the middle of one of them.
async fn among_flooders(
    flooders: usize,
) -> (Node<String>, Inbound<String>, Vec<JoinHandle<DuplexStream>>) {
    let (node, mut inbound) = start_lines(in_memory().max_inbound_messages(8)).await;
    let mut flooding = Vec::new();
    for _ in 0..flooders {
        let (_, mut remote) = join(&node, 1024).await;
        flooding.push(tokio::spawn(async move {
            for _ in 0..5_000 {
                remote.write_all(b"flood\n").await.unwrap();
            }
            remote
        }));
    }
    quiet().await;
    for _ in 0..3 {
        within(inbound.recv()).await.unwrap();
    }
    (node, inbound, flooding)
}

#[tokio::test(start_paused = true)]
async fn peers_that_always_have_something_get_one_turn_each_per_round() {
    const FLOODERS: usize = 5;
    let (node, mut inbound, flooding) = among_flooders(FLOODERS).await;
    let mut turns: Vec<Peer> = Vec::new();
    for _ in 0..2_000 {
        // Whoever has been read is ready again before the next message is taken.
        quiet().await;
        let (_, peer) = within(inbound.recv()).await.unwrap();
        if turns.last() != Some(&peer) {
            turns.push(peer);
        }
    }
    assert!(turns.len() >= 2_000 / 15, "{} turns", turns.len());
    for round in turns.windows(FLOODERS) {
        let peers: BTreeSet<_> = round.iter().collect();
        assert_eq!(peers.len(), FLOODERS, "somebody was passed over: {round:?}");
    }
    for _ in 2_003..FLOODERS * 5_000 {
        within(inbound.recv()).await.unwrap();
    }
    for remote in flooding {
        drop(within(remote).await.unwrap());
    }
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_peer_waits_for_one_batch_of_each_other_peer_at_most() {
    // The bound is soft by one batch, and a batch is no larger than the bound here.
    const BATCH: usize = 15;
    for flooders in [1, 5] {
        let (node, mut inbound, flooding) = among_flooders(flooders).await;
        let (quieter, mut remote) = join(&node, 64).await;
        let mut taken = 3;
        for round in 0..20 {
            let mut before = 0;
            within(remote.write_all(b"quiet\n")).await.unwrap();
            quiet().await;
            let mut turns: Vec<(Peer, usize)> = Vec::new();
            loop {
                let (message, peer) = within(inbound.recv()).await.unwrap();
                if message == "quiet" {
                    assert_eq!(peer, quieter);
                    break;
                }
                before += 1;
                match turns.last_mut() {
                    Some((last, count)) if *last == peer => *count += 1,
                    _ => turns.push((peer, 1)),
                }
            }
            taken += before;
            // The turn that was under way, and then one of each.
            assert!(
                before <= BATCH * (flooders + 1),
                "{before} in round {round}: {turns:?}"
            );
            assert!(
                turns.len() <= flooders + 1,
                "unfair in round {round}: {turns:?}"
            );
        }
        drop(remote);
        for _ in taken..flooders * 5_000 {
            within(inbound.recv()).await.unwrap();
        }
        for remote in flooding {
            drop(within(remote).await.unwrap());
        }
        finish(&node, inbound).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_after_a_shutdown_when_all_that_was_decoded_is_taken() {
    let (node, mut inbound) = start_lines(in_memory()).await;
    let (peer, mut remote) = join(&node, 1024).await;
    for number in 0..100 {
        within(remote.write_all(format!("{number}\n").as_bytes()))
            .await
            .unwrap();
    }
    quiet().await;
    drop(remote);
    shut_down(&node).await;
    for number in 0..100 {
        assert!(!inbound.is_terminated());
        let next = within(inbound.next()).await;
        assert_eq!(next, Some((number.to_string(), peer)));
    }
    assert!(!inbound.is_terminated());
    assert_eq!(within(inbound.next()).await, None);
    assert!(inbound.is_terminated());
    assert_eq!(within(inbound.next()).await, None, "it stays at its end");
    assert_eq!(within(inbound.recv()).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_recv_that_is_dropped_has_taken_nothing() {
    let (node, mut inbound) = start_lines(in_memory()).await;
    let (peer, mut remote) = join(&node, 1024).await;
    for number in 0..10 {
        assert_eq!(inbound.recv().now_or_never(), None);
        within(remote.write_all(format!("{number}\n").as_bytes()))
            .await
            .unwrap();
        assert_eq!(inbound.recv().now_or_never(), None, "nothing has run yet");
        let next = within(inbound.recv()).await;
        assert_eq!(next, Some((number.to_string(), peer)));
    }
    drop(remote);
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_reader_the_node_reads_on_and_notices_the_end_of_a_connection() {
    let (node, inbound) = start_lines(in_memory().max_inbound_messages(2)).await;
    let (early, mut remote) = join(&node, 64).await;
    let early_flood = tokio::spawn(async move {
        for _ in 0..10_000 {
            remote.write_all(b"for nobody\n").await.unwrap();
        }
        remote
    });
    // This one is stopped, and is let go on when the reader goes.
    quiet().await;
    assert!(node.peer_stats(early).unwrap().messages_in <= 4);
    drop(inbound);
    let mut early_remote = within(early_flood).await.unwrap();
    let (late, mut late_remote) = join(&node, 64).await;
    for _ in 0..1_000 {
        within(late_remote.write_all(b"for nobody either\n"))
            .await
            .unwrap();
    }
    quiet().await;
    assert_eq!(node.stats().messages_in, 11_000);
    for (peer, remote) in [(early, &mut early_remote), (late, &mut late_remote)] {
        within(node.send_to("still sending".to_owned(), peer))
            .await
            .unwrap();
        expect_text(remote, "still sending\n").await;
    }
    drop((early_remote, late_remote));
    quiet().await;
    assert_eq!(node.peers(), []);
    assert_eq!(node.stats().disconnected, 2);
    shut_down(&node).await;
}
