//! A codec or a message that panics takes down its own connection, with that as the reason, and
//! nothing else.

mod common;

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::BytesMut;
use common::{listening, next_event, wind_up, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::codec::{Decoder, Encoder, LinesCodec, LinesCodecError};
use wattle::{Disconnect, Event, Events, Inbound, Initiator, Node, Peer, Reason};

/// Lines, with places where it panics.
struct Fragile {
    lines: LinesCodec,
    drop_panics: bool,
}

impl Fragile {
    fn new(_peer: Peer) -> Self {
        Self {
            lines: LinesCodec::new_with_max_length(64),
            drop_panics: false,
        }
    }
}

impl Decoder for Fragile {
    type Item = Text;
    type Error = LinesCodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Text>, LinesCodecError> {
        let line = self.lines.decode(src)?;
        match line.as_deref() {
            Some("panic in decode") => panic!("decode {}", src.len()),
            Some("panic in drop") => self.drop_panics = true,
            _ => {}
        }
        Ok(line.map(Text))
    }
}

impl Encoder<Text> for Fragile {
    type Error = LinesCodecError;

    fn encode(&mut self, text: Text, dst: &mut BytesMut) -> Result<(), LinesCodecError> {
        dst.extend_from_slice(b"half a line");
        assert_ne!(text.0, "panic in encode");
        dst.clear();
        self.lines.encode(&text.0, dst)
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.drop_panics, "codec dropped");
    }
}

/// A message that can panic when it is cloned or dropped.
#[derive(Debug, PartialEq)]
struct Text(String);

impl Clone for Text {
    fn clone(&self) -> Self {
        assert_ne!(self.0, "panic in clone");
        Self(self.0.clone())
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        if self.0 == "bomb" && !std::thread::panicking() {
            panic!("message dropped");
        }
    }
}

fn text(text: &str) -> Text {
    Text(text.to_owned())
}

/// A node of fragile connections, with two remotes: the second must notice nothing.
struct Scene {
    node: Node<Text>,
    events: Events<Text>,
    victim: (TcpStream, Peer),
    bystander: (TcpStream, Peer),
}

impl Scene {
    async fn new() -> Self {
        let start = Node::builder().listen("127.0.0.1:0").start(Fragile::new);
        let (node, inbound): (Node<Text>, Inbound<Text>) = within(start).await.unwrap();
        let mut events = inbound.into_events();
        let addr = node.local_addr().unwrap();
        let victim = join(addr, &mut events).await;
        let bystander = join(addr, &mut events).await;
        Self {
            node,
            events,
            victim,
            bystander,
        }
    }

    async fn victim_says(&mut self, bytes: &[u8]) {
        within(self.victim.0.write_all(bytes)).await.unwrap();
    }

    /// The next event is the end of the victim.
    async fn end_of_victim(&mut self) -> Disconnect {
        match next_event(&mut self.events).await {
            Event::Disconnected(peer, end) if peer == self.victim.1 => end,
            other => panic!("{other:?}"),
        }
    }

    /// The victim has ended of a panic with this text; everything else works.
    async fn assert_panicked(mut self, panic: &str) {
        let end = self.end_of_victim().await;
        assert!(
            matches!(&end.reason, Reason::Panicked(text) if text.contains(panic)),
            "{end}"
        );
        assert_eq!(end.initiator, Initiator::Library);
        let mut rest = Vec::new();
        let _closed_or_reset = within(self.victim.0.read_to_end(&mut rest)).await;
        self.assert_all_else_works().await;
    }

    async fn assert_all_else_works(mut self) {
        assert_eq!(self.node.peers(), [self.bystander.1]);
        let (remote, peer) = &mut self.bystander;
        within(remote.write_all(b"well?\n")).await.unwrap();
        match next_event(&mut self.events).await {
            Event::Message(heard, from) => assert_eq!((heard, from), (text("well?"), *peer)),
            other => panic!("{other:?}"),
        }
        within(self.node.send_to(text("well."), *peer))
            .await
            .unwrap();
        let mut answer = [0; 6];
        within(remote.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"well.\n");
        let newcomer = join(self.node.local_addr().unwrap(), &mut self.events).await;
        drop((newcomer, self.bystander, self.victim));
        let report = within(self.node.shutdown()).await;
        assert!(report.is_clean(), "{report}");
        while within(self.events.recv()).await.is_some() {}
    }
}

async fn join(addr: SocketAddr, events: &mut Events<Text>) -> (TcpStream, Peer) {
    let remote = within(TcpStream::connect(addr)).await.unwrap();
    match next_event(events).await {
        Event::Connected(peer) => (remote, peer),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_panic_in_decode_ends_its_connection_after_what_was_decoded() {
    let mut scene = Scene::new().await;
    scene.victim_says(b"before\npanic in decode\nrest").await;
    match next_event(&mut scene.events).await {
        Event::Message(heard, peer) => {
            assert_eq!((heard, peer), (text("before"), scene.victim.1));
        }
        other => panic!("{other:?}"),
    }
    scene.assert_panicked("decode 4").await;
}

#[tokio::test]
async fn a_panic_in_encode_ends_its_connection_and_leaves_no_half_message() {
    let scene = Scene::new().await;
    let victim = scene.victim.1;
    scene
        .node
        .try_send_to(text("panic in encode"), victim)
        .unwrap();
    scene.node.try_send_to(text("lost"), victim).unwrap();
    let mut scene = scene;
    let end = scene.end_of_victim().await;
    assert!(matches!(end.reason, Reason::Panicked(_)), "{end}");
    assert_eq!(end.undelivered, 2);
    let mut wire = Vec::new();
    let _closed_or_reset = within(scene.victim.0.read_to_end(&mut wire)).await;
    assert_eq!(wire, b"");
    assert_eq!(scene.node.stats().undelivered, 2);
    scene.assert_all_else_works().await;
}

#[tokio::test]
async fn a_codec_that_panics_when_it_is_dropped_is_told_as_a_panic() {
    let mut scene = Scene::new().await;
    scene.victim_says(b"panic in drop\n").await;
    assert!(matches!(
        next_event(&mut scene.events).await,
        Event::Message(..)
    ));
    within(scene.victim.0.shutdown()).await.unwrap();
    scene.assert_panicked("codec dropped").await;
}

#[tokio::test]
async fn a_codec_that_panics_twice_is_told_as_the_first() {
    let mut scene = Scene::new().await;
    scene.victim_says(b"panic in drop\npanic in decode\n").await;
    assert!(matches!(
        next_event(&mut scene.events).await,
        Event::Message(..)
    ));
    scene.assert_panicked("decode 0").await;
}

#[tokio::test]
async fn a_message_that_panics_when_it_is_dropped_ends_its_connection() {
    let scene = Scene::new().await;
    // The encoder drops it.
    let victim = scene.victim.1;
    scene.node.try_send_to(text("bomb"), victim).unwrap();
    scene.assert_panicked("message dropped").await;
}

#[tokio::test]
async fn a_message_that_panics_when_it_is_dropped_unsent_hurts_nobody() {
    let mut scene = Scene::new().await;
    let victim = scene.victim.1;
    scene.node.try_send_to(text("bomb"), victim).unwrap();
    assert!(scene.node.abort(victim));
    let end = scene.end_of_victim().await;
    assert!(matches!(end.reason, Reason::Aborted), "{end}");
    assert_eq!(end.undelivered, 1);
    scene.assert_all_else_works().await;
}

#[tokio::test]
async fn a_message_that_panics_when_nobody_reads_it_ends_its_connection() {
    let start = Node::builder().listen("127.0.0.1:0").start(Fragile::new);
    let (node, inbound): (Node<Text>, Inbound<Text>) = within(start).await.unwrap();
    let addr = node.local_addr().unwrap();
    drop(inbound);
    let mut victim = within(TcpStream::connect(addr)).await.unwrap();
    let (bob, to_bob) = listening(Node::builder()).await;
    let bystander = within(bob.connect(addr)).await.unwrap();

    within(victim.write_all(b"bomb\n")).await.unwrap();
    let _closed_or_reset = within(victim.read(&mut [0])).await;
    within(bob.send_to("well?".into(), bystander))
        .await
        .unwrap();
    within(bob.disconnect(bystander)).await.unwrap();
    assert_eq!(node.peers(), []);
    wind_up(bob, to_bob).await;
    assert!(within(node.shutdown()).await.is_clean());
    assert_eq!(node.stats().disconnected, 2);
}

#[tokio::test]
async fn a_message_that_panics_when_it_is_cloned_panics_in_its_broadcast_alone() {
    let mut scene = Scene::new().await;
    let node = scene.node.clone();
    let broadcast = AssertUnwindSafe(|| node.broadcast(text("panic in clone")));
    assert!(catch_unwind(broadcast).is_err());

    assert_eq!(node.broadcast(text("all")).queued, 2);
    for (remote, _) in [&mut scene.victim, &mut scene.bystander] {
        let mut heard = [0; 4];
        within(remote.read_exact(&mut heard)).await.unwrap();
        assert_eq!(&heard, b"all\n");
    }
    within(scene.victim.0.shutdown()).await.unwrap();
    let end = scene.end_of_victim().await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    drop(node);
    scene.assert_all_else_works().await;
}
