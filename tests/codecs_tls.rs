//! TLS as the handshake of nodes that know each other by their certificates.

mod common;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::SinkExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, split},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::codec::Framed;
use wattle::{
    BoxError, ConnectError, Disconnect, Event, Events, HandshakeError, Initiator, Node, Peer,
    Protocol, Reason, Side,
};
use wattle_codecs::{
    Length, Prefixed,
    tls::{self, TlsError, TlsStream, rustls},
};

use rustls::{
    CertificateError, ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::WebPkiClientVerifier,
};

use common::pairs::{End, connected, dial, pair, payloads, serve, start};
use common::{finish_events, next_event, within};

const MOST: usize = 256 * 1024;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// One node's certificate and whom it trusts; whom it meets, it writes down.
#[derive(Clone)]
struct Secure {
    certificate: CertificateDer<'static>,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    met: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

impl Secure {
    /// With a certificate of this authority, for whoever trusts it, and trusting that one.
    fn new(authority: &Authority, trusted: &Authority) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, authority).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(trusted.der().clone()).unwrap();
        let roots = Arc::new(roots);
        let (chain, key) = (vec![certificate.clone()], PrivateKeyDer::from(key));
        let client = ClientConfig::builder()
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain.clone(), key.clone_key());
        let verifier = WebPkiClientVerifier::builder(roots).build().unwrap();
        let server = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key);
        Self {
            certificate,
            client: Arc::new(client.unwrap()),
            server: Arc::new(server.unwrap()),
            met: Arc::default(),
        }
    }

    /// The client's side without a node.
    async fn connect<IO>(&self, io: IO) -> Framed<TlsStream<IO>, Prefixed>
    where
        IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let session = tls::connect(io, self.client.clone(), name, |_| frames());
        within(session).await.expect("a session")
    }
}

fn frames() -> Prefixed {
    Prefixed::new(Length::U32, MOST)
}

impl Protocol for Secure {
    type Io = TlsStream<TcpStream>;
    type Codec = Prefixed;

    async fn handshake(
        &self,
        stream: TcpStream,
        peer: Peer,
    ) -> Result<Framed<TlsStream<TcpStream>, Prefixed>, BoxError> {
        let session = match peer.side() {
            Side::Dialer => {
                let name = ServerName::from(peer.addr().ip());
                tls::connect(stream, self.client.clone(), name, |_| frames()).await?
            }
            Side::Listener => tls::accept(stream, self.server.clone(), |_| frames()).await?,
        };
        let remote = tls::peer_certificates(&session)[0].clone();
        self.met.lock().unwrap().push(remote);
        Ok(session)
    }
}

/// Two that trust each other.
fn friends() -> (Secure, Secure) {
    let authority = authority("ours");
    let secure = || Secure::new(&authority, &authority);
    (secure(), secure())
}

/// Two connected nodes.
type Two = (End<Bytes, Bytes>, End<Bytes, Bytes>);

#[track_caller]
fn tls_error(error: &HandshakeError) -> &TlsError {
    match error {
        HandshakeError::Failed(error) => error.downcast_ref().expect("an error of TLS"),
        other => panic!("{other:?}"),
    }
}

/// The next event, which has to be a failed handshake.
async fn failed(events: &mut Events<Bytes>) -> HandshakeError {
    match next_event(events).await {
        Event::HandshakeFailed(_, error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_know_each_other_and_messages_of_all_sizes_go_both_ways() {
    let (alice, bob) = friends();
    let (mut dialer, mut listener): Two = pair(alice.clone(), bob.clone()).await;
    assert_eq!(*alice.met.lock().unwrap(), [bob.certificate]);
    assert_eq!(*bob.met.lock().unwrap(), [alice.certificate]);
    let sent = payloads();
    let (forth, back) = tokio::join!(listener.exchange(&sent), dialer.exchange(&sent));
    assert!(forth == sent && back == sent, "not what was sent");
    // A node that closes says so.
    let end = within(dialer.node.disconnect(dialer.peer)).await.unwrap();
    assert!(matches!(end.reason, Reason::Disconnected), "{end}");
    let end = listener.ending().await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    dialer.ending().await;
    dialer.finish().await;
    listener.finish().await;
}

#[tokio::test]
async fn what_the_dialer_sends_at_once_arrives() {
    let (alice, bob) = friends();
    let (node, mut events, addr) = serve(Node::builder(), bob).await;
    for _ in 0..10 {
        let mut dialer: End<Bytes, Bytes> = dial(alice.clone(), addr).await;
        dialer.say("first").await;
        dialer.say("second").await;
        let peer = connected(&mut events).await;
        let mut listener: End<Bytes, Bytes> = End {
            node: node.clone(),
            events,
            peer,
        };
        assert_eq!(listener.hear().await, "first");
        assert_eq!(listener.hear().await, "second");
        listener.say("third").await;
        assert_eq!(dialer.hear().await, "third");
        dialer.finish().await;
        listener.ending().await;
        events = listener.events;
    }
    finish_events(&node, events).await;
}

#[tokio::test]
async fn a_dialer_that_does_not_trust_the_listener_goes_no_further() {
    let (ours, hers) = (authority("ours"), authority("hers"));
    let (bob, mallory) = (Secure::new(&ours, &ours), Secure::new(&hers, &hers));
    let (node, mut events, addr) = serve(Node::builder(), bob).await;
    let (dialing, at_dialer) = start(Node::builder(), mallory).await;
    let (node, dialing): (Node<Bytes>, Node<Bytes>) = (node, dialing);
    match within(dialing.connect(addr)).await {
        Err(ConnectError::Handshake { source, .. }) => match tls_error(&source) {
            TlsError::Certificate { error } => assert_eq!(*error, CertificateError::UnknownIssuer),
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    }
    let error = failed(&mut events).await;
    let told = matches!(tls_error(&error), TlsError::RemoteRefused { .. });
    assert!(told, "{error}");
    finish_events(&dialing, at_dialer).await;
    finish_events(&node, events).await;
}

#[tokio::test]
async fn a_listener_that_does_not_trust_the_dialer_says_so_in_the_session() {
    let (ours, hers) = (authority("ours"), authority("hers"));
    // Mallory has no reason to doubt Bob.
    let (bob, mallory) = (Secure::new(&ours, &ours), Secure::new(&hers, &ours));
    let (node, mut events, addr) = serve(Node::builder(), bob).await;
    let mut dialer: End<Bytes, Bytes> = dial(mallory, addr).await;
    let error = failed(&mut events).await;
    match tls_error(&error) {
        TlsError::Certificate { error } => assert_eq!(*error, CertificateError::UnknownIssuer),
        other => panic!("{other}"),
    }
    let end = dialer.ending().await;
    let Reason::Io(error) = &end.reason else {
        panic!("{end}");
    };
    let refused = matches!(TlsError::from(&**error), TlsError::RemoteRefused { .. });
    assert!(refused, "{end}");
    dialer.finish().await;
    let node: Node<Bytes> = node;
    finish_events(&node, events).await;
}

#[tokio::test]
async fn who_speaks_in_the_clear_or_not_at_all_does_not_get_in_and_holds_up_nobody() {
    let (alice, bob) = friends();
    let timeout = Duration::from_secs(1);
    let options = Node::builder().handshake_timeout(timeout);
    let (node, mut events, addr) = serve(options, bob).await;
    let mut http = TcpStream::connect(addr).await.unwrap();
    http.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = failed(&mut events).await;
    assert!(
        matches!(tls_error(&error), TlsError::NotTls { .. }),
        "{error}"
    );

    let silent = TcpStream::connect(addr).await.unwrap();
    let dialer: End<Bytes, Bytes> = dial(alice, addr).await;
    dialer.say("pea").await;
    let (mut heard, mut error) = (None, None);
    while heard.is_none() || error.is_none() {
        match next_event(&mut events).await {
            Event::Message(message, _) => heard = Some(message),
            Event::HandshakeFailed(_, failed) => error = Some(failed),
            Event::Connected(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard.unwrap(), "pea");
    let timed_out = matches!(error, Some(HandshakeError::TimedOut(after)) if after == timeout);
    assert!(timed_out, "{error:?}");
    drop(silent);
    dialer.finish().await;
    let node: Node<Bytes> = node;
    finish_events(&node, events).await;
}

/// How a session ends that a remote without a node ends in its way.
async fn ended_by(
    end: impl AsyncFnOnce(&mut Framed<TlsStream<TcpStream>, Prefixed>),
) -> Disconnect {
    let (alice, bob) = friends();
    let (node, mut events, addr) = serve(Node::builder(), bob).await;
    let mut session = alice.connect(TcpStream::connect(addr).await.unwrap()).await;
    let peer = connected(&mut events).await;
    let mut listener: End<Bytes, Bytes> = End { node, events, peer };
    within(session.send(Bytes::from("pea"))).await.unwrap();
    assert_eq!(listener.hear().await, "pea");
    end(&mut session).await;
    let disconnect = listener.ending().await;
    listener.finish().await;
    disconnect
}

#[tokio::test]
async fn a_stream_that_ends_without_saying_so_was_cut_off_by_the_remote() {
    let end = ended_by(async |session| {
        let (tcp, _) = session.get_mut().get_mut();
        tcp.shutdown().await.unwrap();
    })
    .await;
    assert_eq!(end.initiator, Initiator::Remote);
    let Reason::Io(error) = &end.reason else {
        panic!("{end}");
    };
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(matches!(TlsError::from(&**error), TlsError::Ended), "{end}");
}

#[tokio::test]
async fn a_stream_that_says_that_it_ends_has_ended() {
    let end = ended_by(async |session| within(session.close()).await.unwrap()).await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    assert_eq!(end.initiator, Initiator::Remote);
}

#[tokio::test]
async fn what_was_tampered_with_is_told_as_an_error_of_tls() {
    let end = ended_by(async |session| {
        let (tcp, _) = session.get_mut().get_mut();
        // A record of application data, of 20 bytes that nobody has encrypted.
        let record = [&[0x17, 3, 3, 0, 20][..], &[7; 20]].concat();
        tcp.write_all(&record).await.unwrap();
    })
    .await;
    let Reason::Io(error) = &end.reason else {
        panic!("{end}");
    };
    assert_eq!(end.initiator, Initiator::Library);
    let told = TlsError::from(&**error);
    let decrypt = matches!(told, TlsError::Tls(rustls::Error::DecryptError));
    assert!(decrypt, "{told:?}");
}

/// Carries the client's first record to the server, all that comes back, and the rest of what the client
/// has written in one piece, as soon as it is asked to.
fn relay(client: DuplexStream, server: TcpStream) -> (JoinHandle<()>, Arc<tokio::sync::Notify>) {
    let go = Arc::new(tokio::sync::Notify::new());
    let asked = go.clone();
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = server.into_split();
    let forth = async move {
        let mut head = [0; 5];
        from_client.read_exact(&mut head).await.unwrap();
        let len = u16::from_be_bytes([head[3], head[4]]);
        let mut hello = head.to_vec();
        hello.resize(5 + usize::from(len), 0);
        from_client.read_exact(&mut hello[5..]).await.unwrap();
        to_server.write_all(&hello).await.unwrap();
        asked.notified().await;
        let mut rest = vec![0; 16 * 1024];
        let len = from_client.read(&mut rest).await.unwrap();
        to_server.write_all(&rest[..len]).await.unwrap();
        copy(&mut from_client, &mut to_server).await.unwrap();
        to_server.shutdown().await.unwrap();
    };
    let back = async move {
        // The client may be gone before all of it is read.
        let _ = copy(&mut from_server, &mut to_client).await;
    };
    let both = tokio::spawn(async move {
        tokio::join!(forth, back);
    });
    (both, go)
}

#[tokio::test]
async fn what_comes_in_one_write_with_the_end_of_the_handshake_is_in_the_session() {
    let (alice, bob) = friends();
    let (node, mut events, addr): (Node<Bytes>, Events<Bytes>, SocketAddr) =
        serve(Node::builder(), bob).await;
    let (client, ours) = duplex(16 * 1024);
    let (relay, go) = relay(ours, TcpStream::connect(addr).await.unwrap());
    // The client has the last word, and says more before that has left.
    let mut session = alice.connect(client).await;
    session.send("one".into()).await.unwrap();
    session.send("two".into()).await.unwrap();
    go.notify_one();

    let peer = connected(&mut events).await;
    let mut listener = End { node, events, peer };
    assert_eq!(listener.hear().await, "one");
    assert_eq!(listener.hear().await, "two");
    session.close().await.unwrap();
    let end = listener.ending().await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    listener.finish().await;
    drop(session);
    within(relay).await.unwrap();
}
