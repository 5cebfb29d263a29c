//! Handshakes that lie, or that fail in a way that is hard to tell; `tests/handshake.rs` has those that
//! just fail, panic or never end.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
};

use futures::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::Handle,
    task::yield_now,
};
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{
    BoxError, ConnectError, Event, Events, HandshakeError, Inbound, Node, Peer, Protocol,
    Transport,
    testing::{Memory, MemoryStream},
    transport::ByteStream,
};

use super::scene::{Bomb, SOON, Unspeakable, listen};
use crate::common::{lines, next_event, quiet, within};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Agree,
    /// Fails with an error that panics when it is looked at.
    ErrorPanics,
    /// Panics with a payload that panics when it is dropped.
    PanicsTwice,
    /// Never ends, and panics when it is dropped.
    DropPanics,
    /// Never ends, and never waits either.
    Spins,
    /// Agrees on another stream than it was given.
    OtherStream,
    /// Agrees when the node has begun to shut down.
    ShutsDown,
}

/// A handshake that does what it is told until it is told otherwise.
#[derive(Clone)]
struct Moody {
    act: Arc<Mutex<Act>>,
    /// The remote ends of other streams.
    others: Arc<Mutex<Vec<DuplexStream>>>,
    node: Arc<OnceLock<Node<String>>>,
}

struct DropPanics;

impl Drop for DropPanics {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "handshake dropped");
    }
}

impl Moody {
    fn act(&self) -> Act {
        *self.act.lock().unwrap()
    }

    fn another(&self) -> DuplexStream {
        let (ours, theirs) = duplex(64);
        self.others.lock().unwrap().push(theirs);
        ours
    }
}

impl<S: ByteStream> Protocol<S> for Moody {
    type Io = Box<dyn ByteStream>;
    type Codec = LinesCodec;

    async fn handshake(
        &self,
        stream: S,
        peer: Peer,
    ) -> Result<Framed<Self::Io, LinesCodec>, BoxError> {
        match self.act() {
            Act::Agree => {}
            Act::ErrorPanics => return Err(Unspeakable.into()),
            Act::PanicsTwice => std::panic::panic_any(Bomb),
            Act::DropPanics => {
                let _until_dropped = DropPanics;
                return std::future::pending().await;
            }
            Act::Spins => loop {
                yield_now().await;
                // So that time goes on.
                std::thread::yield_now();
            },
            Act::OtherStream => return Ok(Framed::new(Box::new(self.another()), lines(peer))),
            Act::ShutsDown => {
                let node = self.node.get().expect("the node").clone();
                assert!(node.shutdown().now_or_never().is_none());
            }
        }
        Ok(Framed::new(Box::new(stream), lines(peer)))
    }
}

/// A node that listens, with room for two, and a bystander who is connected to it.
struct Scene {
    network: Memory,
    protocol: Moody,
    node: Node<String>,
    events: Events<String>,
    bystander: (Peer, MemoryStream),
    /// Somebody else who listens.
    there: SocketAddr,
    other: (Node<String>, Inbound<String>),
}

impl Scene {
    async fn new() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let network = Memory::new();
        let protocol = Moody {
            act: Arc::new(Mutex::new(Act::Agree)),
            others: Arc::default(),
            node: Arc::default(),
        };
        let builder = || Node::builder().transport(network.clone()).listen(any);
        let ours = builder().max_connections(2).max_pending(1);
        let ours = ours.handshake_timeout(SOON);
        let (node, inbound): (Node<String>, Inbound<String>) =
            ours.start(protocol.clone()).await.unwrap();
        let other: (Node<String>, Inbound<String>) = builder().start(lines).await.unwrap();
        let mut events = inbound.into_events();
        let remote = within(network.connect(node.local_addr().unwrap()))
            .await
            .unwrap();
        let Event::Connected(peer) = next_event(&mut events).await else {
            panic!("the bystander should be connected");
        };
        Self {
            network,
            protocol,
            node,
            events,
            bystander: (peer, remote),
            there: other.0.local_addr().unwrap(),
            other,
        }
    }

    fn will(&self, act: Act) {
        *self.protocol.act.lock().unwrap() = act;
    }

    async fn dials(&self) -> MemoryStream {
        let dialled = self.network.connect(self.node.local_addr().unwrap());
        within(dialled).await.expect("it listens")
    }

    /// The bystander talks and is talked to.
    async fn serve(&mut self) {
        let (peer, remote) = &mut self.bystander;
        within(remote.write_all(b"well?\n")).await.unwrap();
        match next_event(&mut self.events).await {
            Event::Message(heard, from) => assert_eq!((&*heard, from), ("well?", *peer)),
            _ => panic!("the bystander said something"),
        }
        let sent = within(self.node.send_to("well.".into(), *peer)).await;
        sent.expect("the bystander is connected");
        let mut answer = [0; 6];
        within(remote.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"well.\n");
    }

    /// There is room for another, and nothing is left at the end.
    async fn assert_well(mut self) {
        self.will(Act::Agree);
        self.serve().await;
        let connected = within(self.node.connect(self.there)).await;
        connected.expect("there is room");
        drop(self.bystander);
        assert!(within(self.node.shutdown()).await.is_clean());
        within(self.other.0.shutdown()).await;
        drop((self.node, self.events, self.other, self.protocol));
        quiet().await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "tasks");
    }
}

/// What the error has to be.
fn is_told(act: Act, error: &HandshakeError) -> bool {
    match (act, error) {
        (Act::ErrorPanics, HandshakeError::Failed(error)) => error.is::<Unspeakable>(),
        (Act::PanicsTwice, HandshakeError::Panicked(_)) => true,
        (Act::DropPanics | Act::Spins, HandshakeError::TimedOut(after)) => *after == SOON,
        _ => false,
    }
}

async fn assert_told_to_its_dialler(act: Act) {
    let _listening = listen();
    let mut scene = Scene::new().await;
    scene.will(act);
    let (node, there) = (scene.node.clone(), scene.there);
    let connecting = tokio::spawn(async move { node.connect(there).await });
    scene.serve().await;
    let told = match within(connecting).await {
        Ok(Err(ConnectError::Handshake { source, .. })) => is_told(act, &source),
        _ => false,
    };
    assert!(told, "{act:?}");
    let timed_out = u64::from(matches!(act, Act::DropPanics | Act::Spins));
    let stats = scene.node.stats();
    assert_eq!(
        (stats.handshakes_failed, stats.timeouts.handshake),
        (1, timed_out)
    );
    scene.assert_well().await;
}

async fn assert_told_to_its_acceptor(act: Act) {
    let _listening = listen();
    let mut scene = Scene::new().await;
    scene.will(act);
    let mut remote = scene.dials().await;
    match next_event(&mut scene.events).await {
        Event::HandshakeFailed(_, error) => assert!(is_told(act, &error), "{act:?}"),
        _ => panic!("{act:?} should be told"),
    }
    assert_eq!(within(remote.read(&mut [0])).await.unwrap(), 0, "closed");
    assert_eq!(scene.node.stats().handshakes_failed, 1);
    scene.assert_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_with_an_error_that_panics_when_it_is_told_is_told_to_its_dialler() {
    assert_told_to_its_dialler(Act::ErrorPanics).await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_panics_with_what_panics_is_told_to_its_dialler() {
    assert_told_to_its_dialler(Act::PanicsTwice).await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_panics_when_it_is_timed_out_is_told_to_its_dialler() {
    assert_told_to_its_dialler(Act::DropPanics).await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_with_an_error_that_panics_when_it_is_told_is_told_to_its_acceptor() {
    assert_told_to_its_acceptor(Act::ErrorPanics).await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_panics_with_what_panics_is_told_to_its_acceptor() {
    assert_told_to_its_acceptor(Act::PanicsTwice).await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_panics_when_it_is_timed_out_is_told_to_its_acceptor() {
    assert_told_to_its_acceptor(Act::DropPanics).await;
}

/// With a clock that runs, because nothing ever waits.
#[tokio::test]
async fn a_handshake_that_never_waits_keeps_nobody_from_their_turn() {
    let mut scene = Scene::new().await;
    scene.will(Act::Spins);
    let remote = scene.dials().await;
    for _ in 0..10 {
        scene.serve().await;
    }
    drop(scene.bystander);
    let report = within(scene.node.shutdown()).await;
    assert!(report.is_clean(), "{report}");
    drop((remote, scene.other));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_agrees_on_another_stream_has_its_session_there() {
    let mut scene = Scene::new().await;
    scene.will(Act::OtherStream);
    let mut remote = scene.dials().await;
    let Event::Connected(peer) = next_event(&mut scene.events).await else {
        panic!("it should agree");
    };
    assert_eq!(within(remote.read(&mut [0])).await.unwrap(), 0, "closed");
    let mut other = scene.protocol.others.lock().unwrap().pop().unwrap();
    within(other.write_all(b"over here\n")).await.unwrap();
    match next_event(&mut scene.events).await {
        Event::Message(text, from) => assert_eq!((&*text, from), ("over here", peer)),
        event => panic!("{event:?}"),
    }
    scene.serve().await;
    drop(other);
    match next_event(&mut scene.events).await {
        Event::Disconnected(gone, _) => assert_eq!(gone, peer),
        event => panic!("{event:?}"),
    }
    scene.assert_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_agrees_when_the_node_has_begun_to_shut_down_makes_no_connection() {
    for dialler in [true, false] {
        let mut scene = Scene::new().await;
        let _ = scene.protocol.node.set(scene.node.clone());
        scene.will(Act::ShutsDown);
        if dialler {
            let refused = within(scene.node.connect(scene.there)).await.unwrap_err();
            assert!(
                matches!(
                    refused,
                    ConnectError::ShutDown
                        | ConnectError::Handshake {
                            source: HandshakeError::ShutDown,
                            ..
                        }
                ),
                "{refused}"
            );
        } else {
            let mut remote = scene.dials().await;
            assert_eq!(within(remote.read(&mut [0])).await.unwrap(), 0, "closed");
        }
        drop(scene.bystander);
        assert!(within(scene.node.shutdown()).await.is_clean());
        while let Some(event) = within(scene.events.recv()).await {
            assert!(!matches!(event, Event::Connected(_)), "{event:?}");
        }
        let stats = scene.node.stats();
        assert_eq!((stats.connected, stats.disconnected), (1, 1));
    }
}
