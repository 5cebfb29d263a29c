//! What the transport does wrong while connections come in ends what it is about, and nothing else.

mod common;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use common::{lines, quiet, shut_down, within};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use wattle::{
    Event, Inbound, Node, Refusal, Transport,
    testing::{Memory, MemoryAcceptor, MemoryStream, Recorded, expect_next_event},
    transport::Acceptor,
};

/// The network in memory, but to accept from [`EVIL`] panics, and to drop a stream from [`WORSE`].
#[derive(Clone, Default)]
struct Cursed(Memory);

const EVIL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 6, 6, 6));
const WORSE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 6, 6, 7));

struct CursedAcceptor(MemoryAcceptor);

struct CursedStream {
    stream: MemoryStream,
    panics: bool,
}

impl Transport for Cursed {
    type Stream = CursedStream;
    type Acceptor = CursedAcceptor;

    async fn bind(&self, addr: SocketAddr) -> io::Result<CursedAcceptor> {
        Ok(CursedAcceptor(self.0.bind(addr).await?))
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<CursedStream> {
        let stream = self.0.connect(addr).await?;
        let panics = false;
        Ok(CursedStream { stream, panics })
    }
}

impl Acceptor for CursedAcceptor {
    type Stream = CursedStream;

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(CursedStream, SocketAddr)>> {
        self.0.poll_accept(cx).map_ok(|(stream, from)| {
            assert_ne!(from.ip(), EVIL, "cursed");
            let panics = from.ip() == WORSE;
            (CursedStream { stream, panics }, from)
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Drop for CursedStream {
    fn drop(&mut self) {
        assert!(!self.panics, "cursed, too");
    }
}

impl AsyncRead for CursedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for CursedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_that_panics_ends_its_own_listening() {
    let Cursed(network) = Cursed::default();
    let builder = Node::builder().transport(Cursed(network.clone()));
    let (node, mut inbound): (Node<String>, Inbound<String>) = builder.start(lines).await.unwrap();
    let first = node.listen("127.0.0.1:0").await.unwrap();
    let second = node.listen("127.0.0.1:0").await.unwrap();
    let mut incomings = node.listen_incoming("127.0.0.1:0").await.unwrap();
    let third = incomings.local_addr();
    let mut remote = within(network.connect(first)).await.unwrap();
    quiet().await;
    for (addr, left) in [(first, vec![second, third]), (third, vec![second])] {
        let _cursed = within(network.at(EVIL).connect(addr)).await.unwrap();
        quiet().await;
        assert_eq!(node.local_addrs(), left);
        assert!(network.connect(addr).await.is_err());
    }
    assert!(within(incomings.recv()).await.is_none());
    assert!(within(node.stop_listening()).await);
    assert!(!within(node.stop_listening()).await);

    // Its connections stay, and it can be listened on again.
    within(remote.write_all(b"still here\n")).await.unwrap();
    assert_eq!(within(inbound.recv()).await.unwrap().0, "still here");
    assert_eq!(node.listen(first).await.unwrap(), first);
    let other = within(network.connect(first)).await.unwrap();
    quiet().await;
    assert_eq!(node.peers().len(), 2);
    assert!(within(node.stop_listening()).await);
    drop((remote, other));
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_panics_when_it_is_closed_is_refused_as_any() {
    let Cursed(network) = Cursed::default();
    let builder = Node::builder().transport(Cursed(network.clone()));
    let builder = builder.max_connections(1).filter(|addr| addr.ip() != WORSE);
    let (node, inbound): (Node<String>, Inbound<String>) = builder.start(lines).await.unwrap();
    let mut events = Recorded::new(inbound);
    let addr = node.listen("127.0.0.1:0").await.unwrap();
    let _cursed = within(network.at(WORSE).connect(addr)).await.unwrap();
    expect_next_event!(events, Event::Refused(_, Refusal::Filtered));

    let mut incomings = node.listen_incoming("127.0.0.1:0").await.unwrap();
    assert!(node.admission().remove_filter());
    for ignore in [false, true, false] {
        let addr = incomings.local_addr();
        let _cursed = within(network.at(WORSE).connect(addr)).await.unwrap();
        let incoming = within(incomings.recv()).await.unwrap();
        if ignore {
            incoming.ignore();
            quiet().await;
            continue;
        }
        incoming.refuse();
        expect_next_event!(events, Event::Refused(_, Refusal::Declined));
    }
    assert_eq!(node.stats().refused.ignored, 1);
    let stream = within(network.connect(addr)).await.unwrap();
    expect_next_event!(events, Event::Connected(_));
    drop(stream);
    shut_down(&node).await;
}
