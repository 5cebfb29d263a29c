//! Noise as the handshake of nodes: who talks to whom is known by keys, and whatever isn't right doesn't
//! get in, or doesn't stay.

mod common;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::codec::{Encoder, Framed};
use wattle::{
    BoxError, ConnectError, Disconnect, Event, HandshakeError, Initiator, Node, Peer, Protocol,
    Reason, Side,
};
use wattle_codecs::noise::{Keypair, Noise, NoiseCodec, NoiseError, PublicKey, snow};

use common::pairs::{End, connected, dial, pair, payloads, serve, start};
use common::{finish_events, next_event, within};

const MOST: usize = 256 * 1024;

/// Noise, whose remotes' keys are written down.
#[derive(Clone)]
struct Secure {
    noise: Noise,
    met: Arc<Mutex<Vec<PublicKey>>>,
}

impl Secure {
    /// With a new key; tells its public one.
    fn new() -> (Self, PublicKey) {
        let keypair = Keypair::generate().unwrap();
        let public = keypair.public();
        (Self::with(Noise::xx(keypair, MOST)), public)
    }

    fn with(noise: Noise) -> Self {
        let met = Arc::default();
        Self { noise, met }
    }

    /// Talks to this one alone.
    fn expecting(self, remote: PublicKey) -> Self {
        Self::with(self.noise.remote(remote))
    }

    fn met(&self) -> Vec<PublicKey> {
        self.met.lock().unwrap().clone()
    }
}

impl Protocol for Secure {
    type Io = TcpStream;
    type Codec = NoiseCodec;

    async fn handshake(
        &self,
        stream: TcpStream,
        peer: Peer,
    ) -> Result<Framed<TcpStream, NoiseCodec>, BoxError> {
        let session = match peer.side() {
            Side::Dialer => self.noise.initiate(stream).await?,
            Side::Listener => self.noise.respond(stream).await?,
        };
        let remote = session.remote_static.ok_or("XX hands over a key")?;
        self.met.lock().unwrap().push(remote);
        Ok(session.framed)
    }
}

/// Two connected nodes.
type Two = (End<Bytes, Bytes>, End<Bytes, Bytes>);

async fn tcp(addr: std::net::SocketAddr) -> TcpStream {
    within(TcpStream::connect(addr)).await.expect("it listens")
}

#[track_caller]
fn noise_error(error: &HandshakeError) -> &NoiseError {
    match error {
        HandshakeError::Failed(error) => error.downcast_ref().expect("an error of Noise"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_know_each_other_and_messages_of_all_sizes_go_both_ways() {
    let ((alice, alice_key), (bob, bob_key)) = (Secure::new(), Secure::new());
    let alice = alice.expecting(bob_key);
    let (mut dialer, mut listener): Two = pair(alice.clone(), bob.clone()).await;
    assert_eq!((alice.met(), bob.met()), (vec![bob_key], vec![alice_key]));
    let sent = payloads();
    let (forth, back) = tokio::join!(listener.exchange(&sent), dialer.exchange(&sent));
    assert!(forth == sent && back == sent, "not what was sent");
    // A length and a tag for each of up to 65,519 bytes, of which a message of 200 KiB has four.
    let plain: usize = sent.iter().map(Bytes::len).sum();
    let frames = sent.len() + 3 * 3;
    assert_eq!(dialer.node.stats().bytes_out, (plain + 18 * frames) as u64);
    dialer.finish().await;
    listener.finish().await;
}

#[tokio::test]
async fn what_the_dialer_sends_at_once_arrives() {
    let ((alice, _), (bob, _)) = (Secure::new(), Secure::new());
    let (node, mut events, addr) = serve(Node::builder(), bob).await;
    let mut dialers: Vec<End<Bytes, Bytes>> = Vec::new();
    for _ in 0..10 {
        let dialer = dial(alice.clone(), addr).await;
        dialer.say("first").await;
        dialer.say("second").await;
        dialers.push(dialer);
    }
    for _ in 0..10 {
        let peer = connected(&mut events).await;
        let mut listener: End<Bytes, Bytes> = End {
            node: node.clone(),
            events,
            peer,
        };
        assert_eq!(listener.hear().await, "first");
        assert_eq!(listener.hear().await, "second");
        events = listener.events;
    }
    for dialer in dialers {
        dialer.finish().await;
    }
    finish_events(&node, events).await;
}

#[tokio::test]
async fn a_dialer_that_finds_another_key_goes_no_further() {
    let ((alice, alice_key), (bob, bob_key)) = (Secure::new(), Secure::new());
    let alice = alice.expecting(alice_key);
    let (node, mut events, addr) = serve(Node::builder(), bob.clone()).await;
    let (dialing, at_dialer) = start(Node::builder(), alice).await;
    let (node, dialing): (Node<Bytes>, Node<Bytes>) = (node, dialing);
    match within(dialing.connect(addr)).await {
        Err(ConnectError::Handshake { source, .. }) => match noise_error(&source) {
            NoiseError::WrongRemote { expected, came } => {
                assert_eq!(**expected, alice_key);
                assert_eq!(came.as_deref(), Some(&bob_key));
            }
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    }
    // The other one has not even seen the dialer's key.
    match next_event(&mut events).await {
        Event::HandshakeFailed(_, error) => {
            let closed = matches!(noise_error(&error), NoiseError::Closed { message: 3 });
            assert!(closed, "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bob.met(), []);
    finish_events(&dialing, at_dialer).await;
    finish_events(&node, events).await;
}

#[tokio::test]
async fn a_listener_keeps_out_whom_it_does_not_expect() {
    let ((alice, alice_key), (bob, bob_key)) = (Secure::new(), Secure::new());
    let bob = bob.expecting(bob_key);
    // The dialer has the last word in XX, and learns of the refusal from the end.
    let (node, mut events, addr) = serve(Node::builder(), bob).await;
    let mut dialer: End<Bytes, Bytes> = dial(alice, addr).await;
    match next_event(&mut events).await {
        Event::HandshakeFailed(_, error) => match noise_error(&error) {
            NoiseError::WrongRemote { came, .. } => assert_eq!(came.as_deref(), Some(&alice_key)),
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    }
    assert_eq!(dialer.ending().await.initiator, Initiator::Remote);
    dialer.finish().await;
    let node: Node<Bytes> = node;
    finish_events(&node, events).await;
}

#[tokio::test]
async fn who_speaks_in_the_clear_fails_at_the_timeout_at_the_latest_and_holds_up_nobody() {
    let ((alice, _), (bob, _)) = (Secure::new(), Secure::new());
    let timeout = Duration::from_secs(1);
    let options = Node::builder().handshake_timeout(timeout);
    let (node, mut events, addr) = serve(options, bob).await;

    // As a length, "GE" is 18,245.
    let mut http = tcp(addr).await;
    http.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut dialer: End<Bytes, Bytes> = dial(alice, addr).await;
    dialer.say("pea").await;
    let mut failed = None;
    let mut said = None;
    while failed.is_none() || said.is_none() {
        match next_event(&mut events).await {
            Event::HandshakeFailed(_, error) => failed = Some(error),
            Event::Message(message, peer) => {
                said = Some(message);
                within(node.send_to(Bytes::from("bean"), peer))
                    .await
                    .unwrap();
            }
            Event::Connected(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let timed_out = matches!(failed, Some(HandshakeError::TimedOut(after)) if after == timeout);
    assert!(timed_out, "{failed:?}");
    assert_eq!(said.unwrap(), "pea");
    assert_eq!(dialer.hear().await, "bean");
    // What closes, or can't be a key, is known before.
    for (wire, end, told) in [
        (&b"GET /\n"[..], true, "ended after 6 bytes of 18247"),
        (b"\0\x05hello", false, "5 bytes don't hold the keys"),
    ] {
        let mut remote = tcp(addr).await;
        remote.write_all(wire).await.unwrap();
        if end {
            remote.shutdown().await.unwrap();
        }
        match next_event(&mut events).await {
            Event::HandshakeFailed(_, error) => {
                let text = noise_error(&error).to_string();
                assert!(text.contains(told), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
    dialer.finish().await;
    finish_events(&node, events).await;
}

/// A session with a remote that has no node; what it writes is up to the test.
async fn session_with(bytes: impl FnOnce(&mut NoiseCodec) -> BytesMut) -> Disconnect {
    let (node, mut events, addr) = serve(Node::builder(), Secure::new().0).await;
    let mut honest: End<Bytes, Bytes> = dial(Secure::new().0, addr).await;
    let other = connected(&mut events).await;
    let stranger = Secure::new().0.noise;
    let session = within(stranger.initiate(tcp(addr).await)).await;
    let mut session = session.unwrap().framed;
    let peer = connected(&mut events).await;
    let bytes = bytes(session.codec_mut());
    session.get_mut().write_all(&bytes).await.unwrap();
    session.get_mut().shutdown().await.unwrap();

    let mut listener: End<Bytes, Bytes> = End { node, events, peer };
    assert_eq!(listener.hear().await, "pea");
    let end = listener.ending().await;
    // The other connection has nothing to do with it.
    listener.peer = other;
    honest.say("bean").await;
    assert_eq!(listener.hear().await, "bean");
    listener.say("pod").await;
    assert_eq!(honest.hear().await, "pod");
    honest.finish().await;
    listener.finish().await;
    end
}

fn seal(codec: &mut NoiseCodec, message: &'static str) -> BytesMut {
    let mut wire = BytesMut::new();
    codec.encode(Bytes::from(message), &mut wire).unwrap();
    wire
}

#[track_caller]
fn decode_error(end: &Disconnect) -> &NoiseError {
    assert_eq!(end.initiator, Initiator::Library);
    match &end.reason {
        Reason::Decode(error) => error.downcast_ref().expect("an error of Noise"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_frame_that_was_tampered_with_is_the_end_of_its_connection() {
    let end = session_with(|codec| {
        let mut wire = seal(codec, "pea");
        let mut tampered = seal(codec, "bean");
        tampered[3] ^= 1;
        wire.unsplit(tampered);
        wire
    })
    .await;
    let error = decode_error(&end);
    let tampered = matches!(
        error,
        NoiseError::Tampered {
            expected: 1,
            at: 21
        }
    );
    assert!(tampered, "{error}");
    assert!(
        end.to_string().contains("message 1 doesn't decrypt"),
        "{end}"
    );
}

#[tokio::test]
async fn a_frame_that_comes_again_is_the_end_of_its_connection() {
    let end = session_with(|codec| {
        let pea = seal(codec, "pea");
        [&pea[..], &pea].concat()[..].into()
    })
    .await;
    let error = decode_error(&end);
    let replayed = matches!(
        error,
        NoiseError::Replayed {
            came: 0,
            at: 21,
            ..
        }
    );
    assert!(replayed, "{error}");
}

#[tokio::test]
async fn a_stream_that_just_ends_inside_a_frame_is_told_from_one_that_ends_between_two() {
    let end = session_with(|codec| seal(codec, "pea")).await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    assert_eq!(end.initiator, Initiator::Remote);

    let end = session_with(|codec| {
        let mut wire = seal(codec, "pea");
        wire.unsplit(seal(codec, "bean").split_to(10));
        wire
    })
    .await;
    assert_eq!(end.initiator, Initiator::Remote);
    let Reason::EndInsideFrame {
        buffered: 10,
        source,
    } = &end.reason
    else {
        panic!("{end}");
    };
    match source.downcast_ref::<NoiseError>() {
        Some(NoiseError::Truncated { expected, came, at }) => {
            assert_eq!((*expected, *came, *at), (22, 10, 21));
        }
        other => panic!("{other:?}"),
    }
}

/// Reads a Noise message with its length.
async fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let len = within(stream.read_u16()).await.unwrap();
    let mut message = vec![0; len.into()];
    within(stream.read_exact(&mut message)).await.unwrap();
    message
}

/// A Noise message with its length.
fn frame(write: impl FnOnce(&mut [u8]) -> Result<usize, snow::Error>) -> Vec<u8> {
    let mut message = [0; 200];
    let len = write(&mut message).unwrap();
    [&(len as u16).to_be_bytes(), &message[..len]].concat()
}

#[tokio::test]
async fn what_comes_in_one_write_with_the_end_of_the_handshake_is_in_the_session() {
    let (node, mut events, addr) = serve(Node::builder(), Secure::new().0).await;
    let params = "Noise_XX_25519_ChaChaPoly_BLAKE2s".parse().unwrap();
    let keypair = Keypair::generate().unwrap();
    let builder = snow::Builder::new(params);
    let builder = builder.local_private_key(keypair.private()).unwrap();
    let mut state = builder.build_initiator().unwrap();

    let mut remote = tcp(addr).await;
    let hello = frame(|to| state.write_message(&[], to));
    remote.write_all(&hello).await.unwrap();
    let answer = receive(&mut remote).await;
    state.read_message(&answer, &mut [0; 200]).unwrap();
    let mut wire = frame(|to| state.write_message(&[], to));
    let mut state = state.into_transport_mode().unwrap();
    for message in ["one", "two"] {
        wire.extend(frame(|to| state.write_message(message.as_bytes(), to)));
    }
    remote.write_all(&wire).await.unwrap();

    let peer = connected(&mut events).await;
    let mut listener: End<Bytes, Bytes> = End { node, events, peer };
    assert_eq!(listener.hear().await, "one");
    assert_eq!(listener.hear().await, "two");
    let bytes_in = listener.node.peer_stats(peer).unwrap().bytes_in;
    assert_eq!(bytes_in, 2 * (2 + 3 + 16));
    drop(remote);
    let end = listener.ending().await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    listener.finish().await;
}
