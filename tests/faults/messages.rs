//! Messages that panic when they are cloned or dropped, wherever they are by then.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;
use futures::{FutureExt, SinkExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wattle::{Event, Inbound, Node, Peer, Reason, WhenFull};

use super::{
    codec::Codec,
    scene::{Census, Fault, Options, Scene},
    text::{Text, text},
};
use crate::common::{in_memory, join, quiet, within};

/// More than a connection has under way, so that it stays in the connection.
fn large() -> String {
    "x".repeat(200)
}

#[tokio::test(start_paused = true)]
async fn a_message_that_panics_when_it_is_encoded_away_ends_its_connection() {
    let mut scene = Scene::new(Fault::None).await;
    // The encoder drops it.
    scene.says("bomb");
    let end = scene.end().await;
    assert!(matches!(&end.reason, Reason::Panicked(text) if &**text == "message dropped"));
    assert_eq!(end.undelivered, 1);
    assert_eq!(scene.assert_over().await.undelivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_panics_when_it_is_dropped_at_an_abort_hurts_nobody() {
    let mut scene = Scene::new(Fault::None).await;
    scene.says("bomb");
    assert!(scene.node.abort(scene.victim));
    let end = scene.end().await;
    assert!(matches!(end.reason, Reason::Aborted), "{end}");
    assert_eq!(end.undelivered, 1);
    assert_eq!(scene.assert_over().await.undelivered, 1);
}

/// A connection that is stuck in a write, in the middle of a batch with one more message, which the
/// task has taken. What is said from now on stays in the queue.
async fn stuck_with(taken: &str, options: fn(Options) -> Options) -> Scene {
    let mut scene = Scene::with(Fault::None, options).await;
    scene.says(&large());
    scene.says(taken);
    quiet().await;
    scene.serve().await;
    scene
}

async fn stuck_in_a_batch(options: fn(Options) -> Options) -> Scene {
    stuck_with("with the task", options).await
}

#[tokio::test(start_paused = true)]
async fn a_queued_message_that_panics_when_it_is_dropped_at_the_write_timeout_hurts_nobody() {
    let mut scene = stuck_in_a_batch(|options| options.write_boundary(1)).await;
    scene.says("bomb");
    scene.serve().await;
    let end = scene.end().await;
    assert!(matches!(end.reason, Reason::TimedOut(_)), "{end}");
    assert_eq!(end.undelivered, 3);
    let stats = scene.assert_over().await;
    assert_eq!((stats.undelivered, stats.timeouts.write), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_taken_message_that_panics_when_it_is_dropped_at_the_write_timeout_is_the_reason() {
    let mut scene = stuck_with("bomb", |options| options.write_boundary(1)).await;
    assert_eq!(scene.node.peers().len(), 2, "it isn't encoded");
    scene.serve().await;
    let end = scene.end().await;
    assert!(matches!(&end.reason, Reason::Panicked(text) if &**text == "message dropped"));
    assert_eq!(end.undelivered, 2);
    assert_eq!(scene.assert_over().await.undelivered, 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_panics_when_it_is_dropped_at_the_shutdown_is_reported() {
    let mut scene = stuck_in_a_batch(|options| options.write_boundary(1)).await;
    scene.says("bomb");
    let report = within(scene.node.shutdown()).await;
    assert_eq!((report.connections, report.undelivered), (2, 3));
    let (mut ended, stats) = (0, scene.node.stats());
    while let Some(event) = within(scene.events.recv()).await {
        if let Event::Disconnected(_, end) = event {
            assert!(matches!(end.reason, Reason::Shutdown), "{end}");
            ended += 1;
        }
    }
    assert_eq!((ended, stats.disconnected), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_panics_when_it_makes_room_for_another_is_told_as_dropped() {
    let drop_oldest = |options: Options| {
        let options = options.write_boundary(1).max_outbound_messages(2);
        options.when_full(WhenFull::DropOldest)
    };
    let mut scene = stuck_in_a_batch(drop_oldest).await;
    scene.says("bomb");
    scene.says("behind it");
    let (node, victim) = (scene.node.clone(), scene.victim);
    let mut sink = node.peer_sink(victim).unwrap();
    let send = AssertUnwindSafe(|| sink.start_send_unpin(text("newest")));
    assert!(catch_unwind(send).is_ok(), "it is not the sender's");
    match scene.next().await {
        Event::Dropped(peer, 1) => assert_eq!(peer, victim),
        event => panic!("{event:?}"),
    }
    let mut heard = vec![0; large().len()];
    within(scene.remote.read_exact(&mut heard)).await.unwrap();
    within(scene.remote.shutdown()).await.unwrap();
    assert_eq!(scene.wire().await, "\nwith the task\nbehind it\nnewest\n");
    scene.end().await;
    drop((node, sink));
    assert_eq!(scene.assert_over().await.undelivered, 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_panics_when_nobody_reads_it_ends_its_connection() {
    let count = Census::default();
    let codec = move |_: Peer| Codec::new(Fault::None, count.enter());
    let start = in_memory().max_connections(2).start(codec);
    let (node, inbound): (Node<Text>, Inbound<Text>) = within(start).await.unwrap();
    drop(inbound);
    let (victim, mut remote) = join(&node, 64).await;
    let (bystander, mut other) = join(&node, 64).await;
    within(remote.write_all(b"bomb\n")).await.unwrap();
    assert_eq!(within(remote.read(&mut [0])).await.unwrap(), 0, "closed");
    quiet().await;
    assert_eq!(node.peers(), [bystander]);
    assert!(within(node.disconnect(victim)).await.is_none());
    within(node.send_to(text("well."), bystander))
        .await
        .unwrap();
    let mut heard = [0; 6];
    within(other.read_exact(&mut heard)).await.unwrap();
    drop(other);
    let newcomer = join(&node, 64).await;
    drop(newcomer);
    assert!(within(node.shutdown()).await.is_clean());
    assert_eq!(node.stats().disconnected, 3);
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_thrown_away_with_their_reader_panic_in_whoever_drops_it() {
    let mut scene = Scene::new(Fault::None).await;
    scene.hears(b"bomb\n").await;
    quiet().await;
    let Scene { node, events, .. } = scene;
    assert!(catch_unwind(AssertUnwindSafe(|| drop(events))).is_err());
    // The node goes on as one that only writes.
    assert_eq!(node.broadcast(text("all")).queued, 2);
    drop(scene.remote);
    within(node.disconnect(scene.victim)).await;
    assert_eq!(node.peers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_panics_when_it_is_not_taken_is_counted_all_the_same() {
    let mut scene = Scene::new(Fault::None).await;
    let (node, victim) = (scene.node.clone(), scene.victim);
    let (mut outbound, mut sink) = (node.outbound(), node.peer_sink(victim).unwrap());
    within(futures::future::poll_fn(|cx| sink.poll_ready_unpin(cx)))
        .await
        .unwrap();
    node.abort(victim);
    scene.end().await;
    for lost in 1..=2 {
        let panics = AssertUnwindSafe(|| match lost {
            1 => drop(sink.start_send_unpin(text("bomb"))),
            _ => drop(outbound.start_send_unpin((text("bomb"), victim))),
        });
        let mut panics = panics;
        assert!(catch_unwind(AssertUnwindSafe(|| (panics.0)())).is_err());
        match scene.next().await {
            Event::Undelivered(peer, 1) => assert_eq!(peer, victim),
            event => panic!("{event:?}"),
        }
        assert_eq!(node.stats().undelivered, lost);
    }
    drop((node, outbound, sink));
    scene.assert_over().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_panics_when_it_is_cloned_panics_in_its_broadcast_alone() {
    let mut scene = Scene::new(Fault::None).await;
    let node = scene.node.clone();
    let broadcast = AssertUnwindSafe(|| node.broadcast(text("no clones")));
    assert!(catch_unwind(broadcast).is_err());
    let choice = AssertUnwindSafe(|| node.broadcast_where(text("all"), |_| panic!("choice")));
    assert!(catch_unwind(choice).is_err());
    assert_eq!(node.stats().messages_out, 0);

    assert_eq!(node.broadcast(text("all")).queued, 2);
    let mut heard = [0; 4];
    within(scene.remote.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"all\n");
    within(scene.remote.shutdown()).await.unwrap();
    scene.end().await;
    drop(node);
    // What the bystander heard of it.
    scene.bystander_hears("all\n").await;
    scene.assert_over().await;
}

/// A message whose clones are counted, so that one of them fails.
#[derive(Debug)]
struct Nth(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Clone for Nth {
    fn clone(&self) -> Self {
        let before = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        assert_ne!(before, 1, "the second clone");
        Self(self.0.clone())
    }
}

/// Encodes each as a line; decodes none.
struct Lines;

impl tokio_util::codec::Encoder<Nth> for Lines {
    type Error = std::io::Error;

    fn encode(&mut self, _: Nth, dst: &mut BytesMut) -> std::io::Result<()> {
        dst.extend_from_slice(b"line\n");
        Ok(())
    }
}

impl tokio_util::codec::Decoder for Lines {
    type Item = ();
    type Error = std::io::Error;

    fn decode(&mut self, _: &mut BytesMut) -> std::io::Result<Option<()>> {
        Ok(None)
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_before_a_clone_that_panics_has_got_the_message() {
    let start = in_memory().start(|_: Peer| Lines);
    let (node, _inbound): (Node<Nth>, Inbound<()>) = within(start).await.unwrap();
    let mut remotes = Vec::new();
    for _ in 0..3 {
        remotes.push(join(&node, 64).await.1);
    }
    let clones = std::sync::Arc::default();
    let broadcast = AssertUnwindSafe(|| node.broadcast(Nth(clones)));
    assert!(catch_unwind(broadcast).is_err());
    quiet().await;
    assert_eq!(node.stats().messages_out, 1);
    // All are served by the next.
    let clones = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(10));
    assert_eq!(node.broadcast(Nth(clones)).queued, 3);
    let mut lines = 0;
    for mut remote in remotes {
        let mut heard = [0; 10];
        within(remote.read_exact(&mut heard[..5])).await.unwrap();
        quiet().await;
        let more = remote.read(&mut heard[5..]).now_or_never();
        lines += 1 + usize::from(more.is_some());
    }
    assert_eq!(lines, 4);
    within(node.shutdown()).await;
}
