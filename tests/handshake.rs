//! Handshakes: any closure is a protocol without one, a codec switch loses nothing, and one that
//! fails, panics or never ends is told to whom it concerns and holds up nobody else.

mod common;

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use common::{in_memory, lines, listening, next_event, wind_up, within};
use futures::{sink::SinkExt, stream::StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
};
use tokio_test::io::{Builder as Script, Mock};
use tokio_util::codec::{Framed, FramedParts, LengthDelimitedCodec, LinesCodec};
use wattle::{
    BoxError, ConnectError, Event, HandshakeError, Inbound, Node, Peer, Protocol, Reason, Side,
    testing::Memory,
    transport::{AdoptOnly, ByteStream, Transport},
};

fn somebody() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

#[tokio::test]
async fn a_closure_is_a_protocol_whether_it_looks_at_the_peer_or_not() {
    let start = Node::builder().start(|_| LinesCodec::new_with_max_length(16));
    let (node, inbound): (Node<String>, Inbound<String>) = start.await.unwrap();
    wind_up(node, inbound).await;

    // The codec of each connection is its own: that of a peer is as long as its port says.
    let start =
        in_memory().start(|peer: Peer| LinesCodec::new_with_max_length(peer.addr().port().into()));
    let (node, inbound): (Node<String>, Inbound<String>) = start.await.unwrap();
    let mut events = inbound.into_events();
    for port in [4, 5] {
        let (ours, mut theirs) = duplex(64);
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let peer = within(node.adopt(ours, addr, Side::Dialer)).await.unwrap();
        assert!(matches!(next_event(&mut events).await, Event::Connected(p) if p == peer));
        theirs.write_all(b"12345\n").await.unwrap();
        match next_event(&mut events).await {
            Event::Message(text, _) => assert_eq!((text.as_str(), port), ("12345", 5)),
            Event::Disconnected(_, end) => {
                assert!(matches!(end.reason, Reason::Decode(_)), "{end}");
                assert_eq!(port, 4);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(within(node.shutdown()).await.is_clean());
}

/// Reads a line, answers with one that it leaves to the session to flush, and goes on in frames.
#[derive(Clone, Copy)]
enum Switch {
    MapCodec,
    Parts,
}

impl<S: ByteStream> Protocol<S> for Switch {
    type Io = S;
    type Codec = LengthDelimitedCodec;

    async fn handshake(
        &self,
        stream: S,
        _peer: Peer,
    ) -> Result<Framed<S, LengthDelimitedCodec>, BoxError> {
        let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(64));
        let theirs = lines.next().await.ok_or("no greeting")??;
        lines.feed(format!("welcome {theirs}")).await?;
        Ok(match self {
            Self::MapCodec => lines.map_codec(|_| LengthDelimitedCodec::new()),
            Self::Parts => {
                let old = lines.into_parts();
                let mut new = FramedParts::new::<Bytes>(old.io, LengthDelimitedCodec::new());
                (new.read_buf, new.write_buf) = (old.read_buf, old.write_buf);
                Framed::from_parts(new)
            }
        })
    }
}

#[tokio::test]
async fn what_comes_in_one_write_with_the_end_of_the_handshake_is_in_the_session() {
    for switch in [Switch::MapCodec, Switch::Parts] {
        let start = Node::builder().listen("127.0.0.1:0").start(switch);
        let (node, mut inbound): (Node<Bytes>, Inbound<BytesMut>) = within(start).await.unwrap();
        let mut remote = TcpStream::connect(node.local_addr().unwrap())
            .await
            .unwrap();
        remote
            .write_all(b"bob\n\0\0\0\x03one\0\0\0\x03two")
            .await
            .unwrap();

        let (message, peer) = within(inbound.recv()).await.unwrap();
        assert_eq!(message, "one");
        assert_eq!(within(inbound.recv()).await.unwrap().0, "two");
        assert_eq!(node.peer_stats(peer).unwrap().bytes_in, 14);
        within(node.send_to("bye".into(), peer)).await.unwrap();
        let mut answer = [0; 19];
        within(remote.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"welcome bob\n\0\0\0\x03bye");
        drop(remote);
        wind_up(node, inbound).await;
    }
}

#[tokio::test]
async fn wherever_the_bytes_are_split_a_codec_switch_loses_none() {
    const SENT: &[u8] = b"bob\n\0\0\0\x03one\0\0\0\x03two";
    const GREETING: usize = 4;
    for switch in [Switch::MapCodec, Switch::Parts] {
        for at in 1..SENT.len() {
            let start = Node::builder()
                .transport(AdoptOnly::<Mock>::new())
                .start(switch);
            let (node, mut inbound): (Node<Bytes>, Inbound<BytesMut>) = start.await.unwrap();
            let (first, second) = SENT.split_at(at);
            let mut script = Script::new();
            script.read(first);
            // The session flushes the answer before it waits for more.
            if at >= GREETING {
                script.write(b"welcome bob\n").read(second);
            } else {
                script.read(second).write(b"welcome bob\n");
            }
            let stream = script.build();
            let adopted = node.adopt(stream, somebody(), Side::Listener);
            within(adopted).await.unwrap();
            assert_eq!(
                within(inbound.recv()).await.unwrap().0,
                "one",
                "split at {at}"
            );
            assert_eq!(
                within(inbound.recv()).await.unwrap().0,
                "two",
                "split at {at}"
            );
            wind_up(node, inbound).await;
        }
    }
}

/// What the next handshake does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Agree,
    Fail,
    Panic,
    PanicAtOnce,
    Hang,
}

/// The error of the protocol's own.
#[derive(Debug, PartialEq)]
struct Disagreement(u32);

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "they speak version {}", self.0)
    }
}

impl std::error::Error for Disagreement {}

/// Does what it is told, one handshake after the other, and then agrees to everything.
#[derive(Clone, Default)]
struct Acts(Arc<Mutex<VecDeque<Act>>>);

impl Acts {
    fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self(Arc::new(Mutex::new(acts.into_iter().collect())))
    }
}

impl<S: ByteStream> Protocol<S> for Acts {
    type Io = S;
    type Codec = LinesCodec;

    // Not an `async fn`, so that it can panic before there is a future.
    #[allow(clippy::manual_async_fn)]
    fn handshake(
        &self,
        stream: S,
        peer: Peer,
    ) -> impl Future<Output = Result<Framed<S, LinesCodec>, BoxError>> + Send {
        let act = self.0.lock().unwrap().pop_front().unwrap_or(Act::Agree);
        if let Act::PanicAtOnce = act {
            panic!("never started");
        }
        async move {
            match act {
                Act::Agree => Ok(Framed::new(stream, lines(peer))),
                Act::Fail => Err(Disagreement(7).into()),
                Act::Hang => std::future::pending().await,
                Act::Panic | Act::PanicAtOnce => panic!("unheard-of"),
            }
        }
    }
}

const LIMIT: Duration = Duration::from_secs(3);

fn assert_is(error: &HandshakeError, act: Act) {
    match (act, error) {
        (Act::Fail, HandshakeError::Failed(own)) => {
            assert_eq!(own.downcast_ref(), Some(&Disagreement(7)));
            assert!(error.to_string().contains("version 7"), "{error}");
        }
        (Act::Hang, HandshakeError::TimedOut(after)) => assert_eq!(*after, LIMIT),
        (Act::Panic, HandshakeError::Panicked(text)) => assert_eq!(&**text, "unheard-of"),
        (Act::PanicAtOnce, HandshakeError::Panicked(text)) => assert_eq!(&**text, "never started"),
        _ => panic!("{act:?}: {error:?}"),
    }
}

const FAILURES: [Act; 4] = [Act::Fail, Act::Panic, Act::PanicAtOnce, Act::Hang];

#[tokio::test(start_paused = true)]
async fn a_dialler_gets_the_error_and_its_room_is_free_again() {
    let network = Memory::new();
    let start = Node::builder()
        .transport(network.clone())
        .listen("127.0.0.1:0")
        .start(lines);
    let (alice, to_alice): (Node<String>, Inbound<String>) = start.await.unwrap();
    let builder = Node::builder().transport(network).handshake_timeout(LIMIT);
    let builder = builder.max_connections(1).max_pending(1);
    let (bob, to_bob): (Node<String>, Inbound<String>) =
        builder.start(Acts::new(FAILURES)).await.unwrap();

    let addr = alice.local_addr().unwrap();
    for act in FAILURES {
        let error = within(bob.connect(addr)).await.unwrap_err();
        let ConnectError::Handshake { peer, source, .. } = &error else {
            panic!("{act:?}: {error}");
        };
        assert_eq!((peer.addr(), peer.side()), (addr, Side::Dialer));
        assert_is(source, act);
        assert_eq!(bob.peers(), []);
    }
    within(bob.connect(addr)).await.expect("there is room");
    let stats = bob.stats();
    assert_eq!((stats.handshakes_failed, stats.timeouts.handshake), (4, 1));
    assert_eq!((stats.connected, stats.disconnected), (1, 0));
    wind_up(bob, to_bob).await;
    wind_up(alice, to_alice).await;
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_has_an_event_and_its_room_is_free_again() {
    let network = Memory::new();
    let builder = Node::builder().transport(network.clone());
    let builder = builder
        .listen("127.0.0.1:0")
        .max_connections(1)
        .max_pending(1)
        .handshake_timeout(LIMIT);
    let (node, inbound): (Node<String>, Inbound<String>) =
        builder.start(Acts::new(FAILURES)).await.unwrap();
    let mut events = inbound.into_events();

    let addr = node.local_addr().unwrap();
    for act in FAILURES {
        let mut remote = network.connect(addr).await.unwrap();
        match next_event(&mut events).await {
            Event::HandshakeFailed(peer, error) => {
                assert_eq!(peer.side(), Side::Listener);
                assert_is(&error, act);
            }
            other => panic!("{act:?}: {other:?}"),
        }
        assert_eq!(within(remote.read(&mut [0])).await.unwrap(), 0, "closed");
    }
    let mut remote = network.connect(addr).await.unwrap();
    assert!(matches!(next_event(&mut events).await, Event::Connected(_)));
    remote.write_all(b"hello\n").await.unwrap();
    assert!(matches!(next_event(&mut events).await, Event::Message(text, _) if text == "hello"));
    let stats = node.stats();
    assert_eq!((stats.handshakes_failed, stats.timeouts.handshake), (4, 1));
    drop(remote);
    assert!(within(node.shutdown()).await.is_clean());
}

#[tokio::test]
async fn a_factory_that_panics_costs_its_own_connection_alone() {
    let factory = |peer: Peer| match peer.side() {
        Side::Dialer => panic!("no codec for {}", peer.side() as u8),
        Side::Listener => lines(peer),
    };
    let (alice, to_alice) = listening(Node::builder()).await;
    let start = Node::builder().listen("127.0.0.1:0").start(factory);
    let (bob, to_bob): (Node<String>, Inbound<String>) = start.await.unwrap();

    let error = within(bob.connect(alice.local_addr().unwrap()))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ConnectError::Handshake { source: HandshakeError::Panicked(text), .. } if text.contains("no codec")),
        "{error}"
    );
    let connected = within(alice.connect(bob.local_addr().unwrap()));
    connected.await.expect("bob still listens");
    wind_up(alice, to_alice).await;
    wind_up(bob, to_bob).await;
}

#[tokio::test]
async fn silent_remotes_do_not_hold_up_those_who_speak() {
    const SILENT: usize = 20;
    let acts = Acts::new([Act::Hang; SILENT]);
    let start = Node::builder().listen("127.0.0.1:0").start(acts.clone());
    let (node, mut inbound): (Node<String>, Inbound<String>) = start.await.unwrap();
    let addr = node.local_addr().unwrap();
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(within(TcpStream::connect(addr)).await.unwrap());
    }
    let mut remote = within(TcpStream::connect(addr)).await.unwrap();
    remote.write_all(b"hello\n").await.unwrap();
    assert_eq!(within(inbound.recv()).await.unwrap().0, "hello");
    assert!(
        acts.0.lock().unwrap().is_empty(),
        "the silent ones came first"
    );
    assert_eq!(node.stats().connections, 1, "a pending one is no peer");

    // Shutting down doesn't wait for them either, and closes them.
    drop(remote);
    wind_up(node, inbound).await;
    for mut remote in silent {
        assert_eq!(within(remote.read(&mut [0])).await.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn a_handshake_that_is_under_way_at_shutdown_says_so() {
    let (node, inbound): (Node<String>, Inbound<String>) =
        in_memory().start(Acts::new([Act::Hang])).await.unwrap();
    let (ours, _theirs) = duplex(64);
    let (adopted, report) = tokio::join!(
        within(node.adopt(ours, somebody(), Side::Dialer)),
        within(node.shutdown())
    );
    let refused = adopted.unwrap_err();
    assert!(
        matches!(
            refused.error,
            ConnectError::Handshake {
                source: HandshakeError::ShutDown,
                ..
            }
        ),
        "{refused}"
    );
    assert!(refused.stream.is_none(), "the handshake had it");
    assert!(report.is_clean());
    drop(inbound);
}

#[tokio::test]
async fn a_session_with_another_stream_and_codec_than_it_began_with() {
    /// Wraps the stream of the transport into one of its own.
    struct Boxed;

    impl Protocol<DuplexStream> for Boxed {
        type Io = std::pin::Pin<Box<dyn Wrapped>>;
        type Codec = LinesCodec;

        async fn handshake(
            &self,
            stream: DuplexStream,
            peer: Peer,
        ) -> Result<Framed<Self::Io, LinesCodec>, BoxError> {
            Ok(Framed::new(Box::pin(stream), lines(peer)))
        }
    }

    trait Wrapped: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send {}
    impl Wrapped for DuplexStream {}

    let start = in_memory().start(Boxed);
    let (node, mut inbound): (Node<String>, Inbound<String>) = start.await.unwrap();
    let (ours, mut theirs) = duplex(64);
    let adopted = node.adopt(ours, somebody(), Side::Listener);
    let peer = within(adopted).await.unwrap();
    theirs.write_all(b"hello\n").await.unwrap();
    assert_eq!(
        within(inbound.recv()).await,
        Some(("hello".to_owned(), peer))
    );
    drop(theirs);
    wind_up(node, inbound).await;
}
