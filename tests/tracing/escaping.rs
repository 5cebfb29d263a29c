//! Values that a remote sent are escaped: no log is forged, no terminal is driven with them.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use bytes::BytesMut;
use futures::stream::StreamExt;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_util::codec::{Decoder, Encoder, Framed};
use tracing::Level;
use wattle::{
    BoxError, ConnectError, Event, Node, Peer, Protocol, Side, Transport,
    testing::Memory,
    transport::{Acceptor, ByteStream},
};

use crate::{
    common::{ending, in_memory, join, next_event, quiet, shut_down, start_lines, wind_up, within},
    told::{life_of, log, named, span_of, told_by},
};

/// What a remote would send to somebody who prints it: ends the line, adds one of its own, moves the
/// cursor, colours (also with the one-byte escape of old terminals), turns the writing direction.
const HOSTILE: &str =
    "\x1b[2J\r\n2026-01-01T00:00:00Z  INFO wattle: all is well\x07\u{9b}31m\u{202e}\0";

/// Complains of whatever comes, in the remote's own words.
struct Complaining {
    handshake: bool,
    panics: bool,
}

impl Decoder for Complaining {
    type Item = ();
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<()>> {
        let text = String::from_utf8_lossy(src).into_owned();
        match text.ends_with('\0') {
            true if self.panics => panic!("{text}"),
            true => Err(io::Error::other(text)),
            false => Ok(None),
        }
    }
}

impl Encoder<String> for Complaining {
    type Error = io::Error;

    fn encode(&mut self, text: String, _: &mut BytesMut) -> io::Result<()> {
        Err(io::Error::other(text))
    }
}

impl<S: ByteStream> Protocol<S> for Complaining {
    type Io = S;
    type Codec = Self;

    async fn handshake(&self, stream: S, _: Peer) -> Result<Framed<S, Self>, BoxError> {
        let mut framed = Framed::new(stream, Self { ..*self });
        if self.handshake {
            framed.next().await.ok_or("nothing came")??;
        }
        Ok(framed)
    }
}

/// Asserts that this many of what a node has told had the hostile text in it, harmless.
fn assert_escaped(name: &str, times: usize) {
    let quoted = HOSTILE.escape_debug().to_string();
    let harmless = |text: &str| !text.contains(|c: char| c.is_control() || c == '\u{202e}');
    let told = told_by(name, |_| true);
    let values = || told.iter().flat_map(|told| told.fields.0.values());
    assert_eq!(
        values().filter(|value| value.contains(&quoted)).count(),
        times
    );
    assert!(values().all(|value| harmless(value)), "{told:#?}");

    let name = format!("node{{name={name:?}}}");
    let text: Vec<_> = log()
        .text
        .iter()
        .filter(|text| text.contains(&name))
        .cloned()
        .collect();
    assert_eq!(
        text.iter().filter(|text| text.contains(&quoted)).count(),
        times
    );
    let line = |text: &String| text.strip_suffix('\n').is_some_and(harmless);
    assert!(text.iter().all(line), "{text:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_words_of_a_remote_are_escaped_when_its_connection_ends() {
    for (name, panics) in [("hostile bytes", false), ("hostile panic", true)] {
        let protocol = Complaining {
            handshake: false,
            panics,
        };
        let (node, inbound) = named(name, in_memory()).start(protocol).await.unwrap();
        let mut events = inbound.into_events();
        let (peer, mut remote) = join(&node, 1024).await;
        remote.write_all(HOSTILE.as_bytes()).await.unwrap();
        let end = ending(&mut events, peer).await;
        assert!(
            end.to_string().contains(HOSTILE),
            "what the program gets is the very text"
        );

        // What a remote sent may come back from an encoder, as in an echo.
        let (peer, _remote) = join(&node, 1024).await;
        within(node.send_to(HOSTILE.to_owned(), peer))
            .await
            .unwrap();
        ending(&mut events, peer).await;
        within(node.shutdown()).await;
        assert_escaped(name, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_handshake_is_told_with_the_words_of_the_remote_escaped() {
    for (name, panics) in [
        ("hostile greeting", false),
        ("hostile greeting, panic", true),
    ] {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let network = Memory::new();
        let builder = named(name, Node::builder().transport(network.clone()));
        let protocol = Complaining {
            handshake: true,
            panics,
        };
        let started = builder.start::<_, String>(protocol).await;
        let (node, inbound) = started.unwrap();
        let addr = node.listen(any).await.unwrap();
        let mut events = inbound.into_events();

        let mut remote = within(network.connect(addr)).await.unwrap();
        remote.write_all(HOSTILE.as_bytes()).await.unwrap();
        let Event::HandshakeFailed(accepted, error) = next_event(&mut events).await else {
            panic!("the handshake of an incoming connection fails");
        };
        let mut listener = network.bind(any).await.unwrap();
        let ours = network.connect(listener.local_addr().unwrap()).await;
        let (mut remote, _) = within(listener.accept()).await.unwrap();
        remote.write_all(HOSTILE.as_bytes()).await.unwrap();
        let adopted = within(node.adopt(ours.unwrap(), addr, Side::Dialer)).await;
        let Err(ConnectError::Handshake { peer: dialled, .. }) = adopted.map_err(|e| e.error)
        else {
            panic!("the handshake of our own connection fails");
        };
        shut_down(&node).await;

        let error = error.to_string();
        let failed = |peer| format!("{}: handshake failed error={error:?}", span_of(peer));
        assert_eq!(life_of(name)[1..3], [failed(accepted), failed(dialled)]);
        assert_escaped(name, 2);
    }
}

/// A transport that shakes hands before it gives streams, and fails with the remote's words.
struct Accepting {
    failed: bool,
}

impl Transport for Accepting {
    type Stream = DuplexStream;
    type Acceptor = Self;

    async fn bind(&self, _: SocketAddr) -> io::Result<Self> {
        Ok(Self { failed: false })
    }

    async fn connect(&self, _: SocketAddr) -> io::Result<DuplexStream> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Acceptor for Accepting {
    type Stream = DuplexStream;

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(DuplexStream, SocketAddr)>> {
        match std::mem::replace(&mut self.failed, true) {
            false => Poll::Ready(Err(io::Error::other(HOSTILE))),
            true => Poll::Pending,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 1).into())
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_while_accepting_is_a_warning_with_the_words_of_the_remote_escaped() {
    let builder = Node::builder().transport(Accepting { failed: false });
    let builder = named("hostile accept", builder).listen("127.0.0.1:1");
    let (node, inbound) = start_lines(builder).await;
    quiet().await;
    wind_up(node, inbound).await;
    let warnings = told_by("hostile accept", |level| level == Level::WARN);
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert_escaped("hostile accept", 1);
}
