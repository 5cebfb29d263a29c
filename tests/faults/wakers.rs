//! The wakers of a program's futures are its own as well: one that panics, or holds what it waits for.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Wake, Waker},
    thread,
};

use futures::{FutureExt, SinkExt, StreamExt};
use tokio::io::AsyncReadExt;
use wattle::{Inbound, Node, PeerSink};

use super::{
    scene::{Fault, Scene},
    text::{Text, text},
};
use crate::common::{WATCHDOG, in_memory, join, lines, quiet, within};

/// Panics when it is woken.
struct Panics(AtomicUsize);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("in wake");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_waker_panics_costs_no_connection() {
    let mut scene = Scene::new(Fault::None).await;
    let panics = Arc::new(Panics(AtomicUsize::new(0)));
    let waker = Waker::from(panics.clone());
    let polled = scene
        .events
        .poll_next_unpin(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    scene.hears(b"hello\n").await;
    quiet().await;
    assert_eq!(panics.0.load(Ordering::SeqCst), 1);
    assert_eq!(scene.message().await, "hello");
    assert_eq!(scene.node.peers().len(), 2);
    drop(scene.remote);
    scene.remote = tokio::io::duplex(1).0;
    scene.end().await;
    scene.assert_over().await;
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_no_other_from_being_woken() {
    let mut scene = Scene::new(Fault::None).await;
    let (node, victim) = (scene.node.clone(), scene.victim);
    let panics = Arc::new(Panics(AtomicUsize::new(0)));
    let waker = Waker::from(panics.clone());
    let mut first = Box::pin(node.disconnect(victim));
    let polled = first.poll_unpin(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    let second = tokio::spawn({
        let node = node.clone();
        async move { node.disconnect(victim).await }
    });
    scene.serve().await;
    drop(scene.remote);
    scene.remote = tokio::io::duplex(1).0;
    assert!(within(second).await.unwrap().is_some());
    assert_eq!(panics.0.load(Ordering::SeqCst), 1);
    assert!(within(first).await.is_some());
    scene.end().await;
    drop(node);
    scene.assert_over().await;
}

/// Holds a sink, which is dropped with it.
struct Holds(#[allow(dead_code, reason = "to be dropped")] Mutex<PeerSink<Text>>);

impl Wake for Holds {
    fn wake(self: Arc<Self>) {}
}

/// Runs a test in a thread of its own, because a deadlock can't be timed out.
fn ends(test: impl Future<Output = ()> + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(test);
        let _ = done.send(());
    });
    let ended = is_done.recv_timeout(WATCHDOG);
    assert!(ended.is_ok(), "it should end, and without a panic");
}

fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) {
    let polled = future.poll_unpin(&mut Context::from_waker(waker));
    assert!(polled.is_pending());
}

/// A sink whose flush waits: more than the stream takes at once is in it.
async fn stuck() -> (Scene, PeerSink<Text>, Waker) {
    let scene = Scene::new(Fault::None).await;
    let mut sink = scene.node.peer_sink(scene.victim).unwrap();
    let holds = Waker::from(Arc::new(Holds(Mutex::new(sink.clone()))));
    sink.feed(text(&"x".repeat(200))).await.unwrap();
    poll_once(&mut sink.flush(), &holds);
    (scene, sink, holds)
}

#[test]
fn a_waker_that_holds_what_it_waits_for_can_be_replaced() {
    ends(async {
        let (mut scene, mut sink, holds) = stuck().await;
        // From here on the queue has the only one.
        drop(holds);
        poll_once(&mut sink.flush(), Waker::noop());
        let mut heard = [0; 201];
        within(scene.remote.read_exact(&mut heard)).await.unwrap();
        scene.serve().await;
    });
}

#[test]
fn a_waker_that_holds_what_it_waits_for_can_be_forgotten() {
    ends(async {
        let (mut scene, sink, holds) = stuck().await;
        drop((holds, sink));
        scene.serve().await;
    });
}

/// Holds a node, whose last handle may be dropped with it.
struct HoldsNode(#[allow(dead_code, reason = "to be dropped")] Mutex<Node<String>>);

impl Wake for HoldsNode {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_reader_whose_waker_holds_the_node_can_be_polled_by_another() {
    ends(async {
        let (node, mut inbound): (Node<String>, Inbound<String>) =
            in_memory().start(lines).await.unwrap();
        let (_, remote) = join(&node, 64).await;
        let holds = Waker::from(Arc::new(HoldsNode(Mutex::new(node))));
        poll_once(&mut Box::pin(inbound.recv()), &holds);
        drop(holds);
        poll_once(&mut Box::pin(inbound.recv()), Waker::noop());
        drop(remote);
        // The reader itself is the last handle, so the node goes on.
        quiet().await;
        drop(inbound);
    });
}
