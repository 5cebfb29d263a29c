//! Nodes over memory and what tests ask of them.

use std::{
    fmt::Debug,
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    panic::Location,
    pin::{Pin, pin},
    sync::atomic::{AtomicU16, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    future::{Either, select},
    stream::{Stream, StreamExt},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    net::TcpStream,
    task::yield_now,
    time::sleep,
};
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{
    BoxError, Builder, Disconnect, Event, Inbound, Node, Peer, Protocol, Side, Transport, testing,
    transport::{AdoptOnly, ByteStream},
};

use super::within;

/// Waits until no task can go on. Only for paused time, where the clock moves when all are idle.
pub(crate) async fn quiet() {
    sleep(Duration::from_millis(1)).await;
}

/// Starts a node that speaks lines.
pub(crate) async fn start_lines<T: Transport>(
    builder: Builder<T>,
) -> (Node<String>, Inbound<String>) {
    let codec = |_| LinesCodec::new_with_max_length(1 << 20);
    builder.start(codec).await.expect("the node should start")
}

/// The options of a node whose streams are of type `S`, and are brought by the test.
pub(crate) fn adopting<S: ByteStream>() -> Builder<AdoptOnly<S>> {
    Node::builder().transport(AdoptOnly::new())
}

/// Streams in memory, brought by the test.
pub(crate) type Duplex = AdoptOnly<DuplexStream>;

/// The options of a node whose streams are in memory.
pub(crate) fn in_memory() -> Builder<Duplex> {
    adopting()
}

/// A connection in memory, and its remote end; each direction holds `capacity` bytes.
pub(crate) async fn join<Out: Send + 'static>(
    node: &Node<Out>,
    capacity: usize,
) -> (Peer, DuplexStream) {
    let (ours, theirs) = duplex(capacity);
    (adopt(node, ours).await, theirs)
}

/// A network in memory with a [`black_hole`].
pub(crate) fn network() -> testing::Memory {
    let memory = testing::Memory::new();
    memory.vanish(black_hole().ip());
    memory
}

/// Where packets vanish, from the range for documentation (RFC 5737).
pub(crate) fn black_hole() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 7))
}

/// Makes a connection of a stream, under an address of its own.
pub(crate) async fn adopt<Out: Send + 'static, S: ByteStream>(node: &Node<Out>, stream: S) -> Peer {
    static PORT: AtomicU16 = AtomicU16::new(1);
    let port = PORT.fetch_add(1, Ordering::Relaxed);
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let adopted = within(node.adopt(stream, addr, Side::Listener)).await;
    adopted.expect("the stream should be adopted")
}

/// Reads exactly this text.
pub(crate) async fn expect_text(stream: &mut DuplexStream, expected: &str) {
    let mut text = vec![0; expected.len()];
    within(stream.read_exact(&mut text)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&text), expected);
}

/// Reads until the end of the stream.
pub(crate) async fn read_text(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    text
}

/// The next event.
#[track_caller]
pub(crate) fn next_event<In>(
    events: &mut (impl Stream<Item = Event<In>> + Unpin),
) -> impl Future<Output = Event<In>> {
    let event = within(events.next());
    async move { event.await.expect("there should be another event") }
}

/// How this connection ended; what comes before is skipped.
pub(crate) async fn ending<In>(
    events: &mut (impl Stream<Item = Event<In>> + Unpin),
    peer: Peer,
) -> Disconnect {
    loop {
        if let Event::Disconnected(who, disconnect) = next_event(events).await
            && who == peer
        {
            return disconnect;
        }
    }
}

/// Shuts a node down, and asserts that everything was written and nothing is left.
pub(crate) async fn finish<Out: Send + 'static, In: Debug>(
    node: &Node<Out>,
    mut inbound: Inbound<In>,
) {
    shut_down(node).await;
    if let Some(more) = within(inbound.recv()).await {
        panic!("nobody expected {more:?}");
    }
}

/// The same for a node whose events are read; no message may be left in them.
pub(crate) async fn finish_events<Out: Send + 'static, In: Debug>(
    node: &Node<Out>,
    mut events: impl Stream<Item = Event<In>> + Unpin,
) {
    shut_down(node).await;
    while let Some(event) = within(events.next()).await {
        assert!(!matches!(event, Event::Message(..)), "unexpected {event:?}");
    }
}

/// Shuts a node down, and asserts that everything was written and no connection is left.
pub(crate) async fn shut_down<Out: Send + 'static>(node: &Node<Out>) {
    let report = within(node.shutdown()).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(node.peers(), []);
    let stats = node.stats();
    assert_eq!(stats.connections, 0);
    assert_eq!(stats.connected, stats.disconnected);
}

/// A codec of lines, for any peer.
pub(crate) fn lines(_peer: Peer) -> LinesCodec {
    LinesCodec::new_with_max_length(8192)
}

/// A node that speaks lines over TCP, and listens on a free port.
pub(crate) async fn listening(builder: Builder) -> (Node<String>, Inbound<String>) {
    let builder = builder.listen("127.0.0.1:0");
    within(builder.start(lines)).await.expect("a node")
}

/// Connects, says something, and sees that the node hears it.
pub(crate) async fn assert_heard(addr: SocketAddr, inbound: &mut Inbound<String>) -> TcpStream {
    let mut remote = within(TcpStream::connect(addr)).await.unwrap();
    let text = remote.local_addr().unwrap().to_string();
    let line = format!("{text}\n");
    within(remote.write_all(line.as_bytes())).await.unwrap();
    assert_eq!(within(inbound.recv()).await.unwrap().0, text);
    remote
}

/// A handshake that never ends.
pub(crate) struct Silent;

impl<S: ByteStream> Protocol<S> for Silent {
    type Io = S;
    type Codec = LinesCodec;

    async fn handshake(&self, _: S, _: Peer) -> Result<Framed<S, LinesCodec>, BoxError> {
        std::future::pending().await
    }
}

/// More polls than any future here needs.
pub(crate) const MANY_POLLS: usize = 200;

/// Polls a future so many times, lets all others run in between, and drops it.
pub(crate) async fn polled<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        match select(&mut future, std::future::ready(())).await {
            Either::Left((output, _)) => return Some(output),
            Either::Right(_) => yield_now().await,
        }
    }
    None
}

/// Shuts a node down, and asserts that everything was written and its stream ends, whatever is left
/// in it.
#[track_caller]
pub(crate) fn wind_up<Out: Send + 'static, In>(
    node: Node<Out>,
    mut inbound: Inbound<In>,
) -> impl Future<Output = ()> {
    let place = Location::caller();
    async move {
        let report = within(node.shutdown()).await;
        assert!(report.is_clean(), "{report} at {place}");
        while within(inbound.recv()).await.is_some() {}
    }
}

/// A stream whose writes fail, and which never has anything to read.
pub(crate) struct Failing(pub(crate) io::ErrorKind);

impl AsyncRead for Failing {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Failing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(self.0.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
