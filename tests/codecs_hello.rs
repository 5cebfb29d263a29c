//! The exchange of hellos as the handshake of nodes.

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::codec::Framed;
use wattle::{BoxError, ConnectError, Event, HandshakeError, Node, Peer, Protocol, Reason, Side};
use wattle_codecs::{
    Length, Prefixed,
    hello::{Agreed, Hello, HelloError, Refusal},
};

use common::pairs::{End, connected, dial, pair, payloads, serve, start};
use common::{finish_events, next_event, within};

const MOST: usize = 256 * 1024;

/// Frames that are another in each version; whom it meets, it writes down.
#[derive(Clone)]
struct Greeting {
    hello: Hello,
    check: fn(&Agreed) -> Result<(), Refusal>,
    met: Arc<Mutex<Vec<(Side, Agreed)>>>,
}

impl Greeting {
    fn new(hello: Hello) -> Self {
        Self {
            hello,
            check: |_| Ok(()),
            met: Arc::default(),
        }
    }

    fn met(&self) -> Vec<(Side, Agreed)> {
        std::mem::take(&mut self.met.lock().unwrap())
    }
}

impl Protocol for Greeting {
    type Io = TcpStream;
    type Codec = Prefixed;

    async fn handshake(
        &self,
        stream: TcpStream,
        peer: Peer,
    ) -> Result<Framed<TcpStream, Prefixed>, BoxError> {
        let codec = |agreed: &Agreed| match agreed.version {
            1 => Prefixed::new(Length::U32, MOST),
            _ => Prefixed::new(Length::Varint, MOST),
        };
        let (session, agreed) = self.hello.exchange(stream, self.check, codec).await?;
        self.met.lock().unwrap().push((peer.side(), agreed));
        Ok(session)
    }
}

/// Asserts that this is what the protocol said.
macro_rules! assert_failed {
    ($error:expr, $expected:pat $(if $guard:expr)?) => {
        let HandshakeError::Failed(error) = &$error else {
            panic!("{:?}", $error);
        };
        let error = error.downcast_ref::<HelloError>();
        assert!(matches!(error, Some($expected) $(if $guard)?), "{error:?}");
    };
}

/// Dials in vain; tells what either side has as its error.
async fn refused(dialer: Greeting, listener: Greeting) -> (HandshakeError, HandshakeError) {
    let (node, mut events, addr) = serve(Node::builder(), listener).await;
    let (dialing, at_dialer) = start(Node::builder(), dialer).await;
    let nodes: [&Node<Bytes>; 2] = [&node, &dialing];
    let told = match within(dialing.connect(addr)).await {
        Err(ConnectError::Handshake { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    let noticed = match next_event(&mut events).await {
        Event::HandshakeFailed(peer, error) => {
            assert_eq!(peer.side(), Side::Listener);
            error
        }
        other => panic!("{other:?}"),
    };
    for node in nodes {
        assert_eq!(node.stats().handshakes_failed, 1);
    }
    finish_events(&dialing, at_dialer).await;
    finish_events(&node, events).await;
    (told, noticed)
}

#[tokio::test]
async fn the_highest_common_version_is_what_both_speak() {
    for (versions, highest) in [(1..=1, 1), (1..=5, 3), (3..=3, 3)] {
        let old = Greeting::new(Hello::new(b"peas", 1..=3).features(0b011).identity("old"));
        let new = Greeting::new(
            Hello::new(b"peas", versions)
                .features(0b110)
                .identity("new"),
        );
        let (mut dialer, mut listener): (End<Bytes, Bytes>, End<Bytes, Bytes>) =
            pair(old.clone(), new.clone()).await;
        for (greeting, side, remote) in [(&old, Side::Dialer, "new"), (&new, Side::Listener, "old")]
        {
            let met = greeting.met();
            assert_eq!(met.len(), 1);
            let (at, agreed) = &met[0];
            assert_eq!(
                (*at, agreed.version, agreed.features),
                (side, highest, 0b010)
            );
            assert_eq!(agreed.remote.identity, remote);
        }
        let sent = payloads();
        let (forth, back) = tokio::join!(listener.exchange(&sent), dialer.exchange(&sent));
        assert!(forth == sent && back == sent, "not what was sent");
        dialer.finish().await;
        listener.finish().await;
    }
}

#[tokio::test]
async fn no_common_version_is_told_to_both() {
    let old = Greeting::new(Hello::new(b"peas", 1..=2));
    let new = Greeting::new(Hello::new(b"peas", 3..=4));
    let (told, noticed) = refused(old, new).await;
    assert_failed!(told, HelloError::NoCommonVersion { ours, theirs } if (ours, theirs) == (&(1..=2), &(3..=4)));
    assert_failed!(noticed, HelloError::NoCommonVersion { ours, .. } if *ours == (3..=4));
}

#[tokio::test]
async fn whoever_refuses_the_other_side_is_told_why() {
    let polite = || Greeting::new(Hello::new(b"peas", 1..=2));
    let grumpy = || Greeting {
        check: |agreed| {
            Err(Refusal::new(
                300,
                format!("not in version {}", agreed.version),
            ))
        },
        ..polite()
    };
    let reason = |refusal: &Refusal| (refusal.code(), refusal.text()) == (300, "not in version 2");
    let (told, noticed) = refused(polite(), grumpy()).await;
    assert_failed!(told, HelloError::Refused { refusal } if reason(refusal));
    assert_failed!(noticed, HelloError::Declined { refusal } if reason(refusal));

    let (told, noticed) = refused(grumpy(), polite()).await;
    assert_failed!(told, HelloError::Declined { refusal } if reason(refusal));
    assert_failed!(noticed, HelloError::Refused { refusal } if reason(refusal));
    let text = noticed.to_string();
    assert!(text.contains("300, \"not in version 2\""), "{text}");
}

#[tokio::test]
async fn another_protocol_and_features_that_are_missing_are_told_as_such() {
    let peas = || Hello::new(b"peas", 1..=2);
    let beans = Hello::new(b"beans", 1..=2);
    let (told, noticed) = refused(Greeting::new(peas()), Greeting::new(beans)).await;
    // Who finds it first may be gone before the other has read as much.
    let magic = |error: &HandshakeError| error.to_string().contains("another protocol");
    assert!(magic(&told) || magic(&noticed), "{told}, {noticed}");

    let choosy = Greeting::new(peas().required(0b100));
    let (told, noticed) = refused(Greeting::new(peas().features(0b11)), choosy).await;
    assert_failed!(told, HelloError::Refused { refusal } if refusal.code() == Refusal::MISSING_FEATURES);
    assert_failed!(
        noticed,
        HelloError::MissingFeatures {
            required: 0b100,
            theirs: 0b11
        }
    );
}

/// The bytes of a side that speaks version 1 and accepts whatever comes, and is called nothing.
const HELLO: &[u8] = b"peas\0\x12\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\0";
const VERDICT: &[u8] = b"\0\0\0";

#[tokio::test]
async fn what_comes_in_one_write_with_the_handshake_is_in_the_session() {
    let greeting = Greeting::new(Hello::new(b"peas", 1..=2));
    let (node, mut events, addr) = serve(Node::builder(), greeting).await;
    let mut remote = TcpStream::connect(addr).await.unwrap();
    let frames = b"\0\0\0\x03one\0\0\0\x03two\0\0";
    let all = [HELLO, VERDICT, frames].concat();
    remote.write_all(&all).await.unwrap();

    let peer = connected(&mut events).await;
    let mut listener: End<Bytes, Bytes> = End { node, events, peer };
    assert_eq!(listener.hear().await, "one");
    assert_eq!(listener.hear().await, "two");
    assert_eq!(
        listener.node.peer_stats(peer).unwrap().bytes_in,
        frames.len() as u64
    );
    // And what was cut goes on.
    remote.write_all(b"\0\x05three").await.unwrap();
    assert_eq!(listener.hear().await, "three");
    listener.say("bye").await;
    let mut answer = vec![0; HELLO.len() + VERDICT.len() + 7];
    within(remote.read_exact(&mut answer)).await.unwrap();
    assert!(answer.ends_with(b"\0\0\0\0\0\x03bye"), "{answer:?}");
    drop(remote);
    let end = listener.ending().await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    listener.finish().await;
}

#[tokio::test]
async fn what_the_dialer_sends_at_once_arrives() {
    let greeting = Greeting::new(Hello::new(b"peas", 1..=2));
    let (node, mut events, addr) = serve(Node::builder(), greeting.clone()).await;
    for _ in 0..20 {
        let mut dialer: End<Bytes, Bytes> = dial(greeting.clone(), addr).await;
        dialer.say("first").await;
        dialer.say("second").await;
        let peer = connected(&mut events).await;
        let mut listener = End {
            node: node.clone(),
            events,
            peer,
        };
        assert_eq!(listener.hear().await, "first");
        assert_eq!(listener.hear().await, "second");
        let _: &Node<Bytes> = &listener.node;
        dialer.node.disconnect(dialer.peer).await;
        listener.ending().await;
        dialer.ending().await;
        dialer.finish().await;
        events = listener.events;
    }
    finish_events(&node, events).await;
}

#[tokio::test]
async fn a_remote_that_says_hello_and_no_more_has_the_handshake_timeout_as_its_end() {
    let greeting = Greeting::new(Hello::new(b"peas", 1..=2));
    let timeout = Duration::from_millis(50);
    let options = Node::builder().handshake_timeout(timeout);
    let (node, mut events, addr) = serve(options, greeting.clone()).await;
    let node: Node<Bytes> = node;
    let mut remote = TcpStream::connect(addr).await.unwrap();
    remote.write_all(HELLO).await.unwrap();
    match next_event(&mut events).await {
        Event::HandshakeFailed(_, HandshakeError::TimedOut(after)) => assert_eq!(after, timeout),
        other => panic!("{other:?}"),
    }
    finish_events(&node, events).await;
}
