//! A node in memory at whose door anybody can knock, from any address.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::{IpAddr, SocketAddr};

use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{
    Admission, BoxError, Builder, Event, HandshakeError, Node, Peer, Protocol, Refusal, Stats,
    Transport,
    testing::{Memory, MemoryAcceptor, MemoryStream, Recorded, expect_next_event},
    transport::{Acceptor, ByteStream},
};

use crate::common::{ending, finish_events, lines, network, quiet, within};

/// A handshake that is one byte of the remote's: [`COME_IN`], [`GO`], [`PANIC`]; until it comes, the
/// connection is pending.
pub(crate) struct Knocking;

pub(crate) const COME_IN: u8 = b'+';
pub(crate) const GO: u8 = b'-';
pub(crate) const PANIC: u8 = b'!';

impl<S: ByteStream> Protocol<S> for Knocking {
    type Io = S;
    type Codec = LinesCodec;

    async fn handshake(
        &self,
        mut stream: S,
        peer: Peer,
    ) -> Result<Framed<S, LinesCodec>, BoxError> {
        match stream.read_u8().await? {
            COME_IN => Ok(Framed::new(stream, lines(peer))),
            GO => Err("go".into()),
            _ => panic!("the handshake panics"),
        }
    }
}

pub(crate) struct Door {
    pub(crate) network: Memory,
    pub(crate) node: Node<String>,
    pub(crate) events: Recorded<String>,
    pub(crate) addr: SocketAddr,
}

/// A listener without a node.
pub(crate) struct Neighbour(MemoryAcceptor);

impl Neighbour {
    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Shakes hands with who dials next.
    pub(crate) async fn shake(&mut self) -> MemoryStream {
        self.say(COME_IN).await
    }

    /// Says one word to who dials next.
    pub(crate) async fn say(&mut self, word: u8) -> MemoryStream {
        let (mut stream, _) = within(self.0.accept()).await.unwrap();
        within(stream.write_u8(word)).await.unwrap();
        stream
    }
}

impl Door {
    pub(crate) async fn open(options: impl FnOnce(Builder<Memory>) -> Builder<Memory>) -> Self {
        let network = network();
        let builder = options(Node::builder().transport(network.clone()));
        let (node, inbound) = within(builder.start(Knocking)).await.unwrap();
        let addr = within(node.listen("127.0.0.1:0")).await.unwrap();
        Self {
            network,
            node,
            events: Recorded::new(inbound),
            addr,
        }
    }

    pub(crate) fn admission(&self) -> Admission {
        self.node.admission()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.node.stats()
    }

    /// Comes from this address, and waits until the node has made up its mind.
    pub(crate) async fn knock(&self, ip: &str) -> (SocketAddr, MemoryStream) {
        self.knock_at(self.addr, ip).await
    }

    /// The same at another address of the node.
    pub(crate) async fn knock_at(&self, addr: SocketAddr, ip: &str) -> (SocketAddr, MemoryStream) {
        let ip: IpAddr = ip.parse().unwrap();
        let stream = within(self.network.at(ip).connect(addr)).await.unwrap();
        quiet().await;
        (stream.local_addr().unwrap(), stream)
    }

    /// One that is let in as far as the handshake.
    pub(crate) async fn pending(&mut self, ip: &str) -> MemoryStream {
        let (_, stream) = self.knock(ip).await;
        if let Some(event) = self.events.recv().now_or_never() {
            panic!("{ip}: {event:?}");
        }
        stream
    }

    /// One that is let in.
    pub(crate) async fn enter(&mut self, ip: &str) -> (Peer, MemoryStream) {
        let mut stream = self.pending(ip).await;
        (self.shake(&mut stream).await, stream)
    }

    /// One that is not let in; it has seen its end.
    pub(crate) async fn refused(&mut self, ip: &str) -> Refusal {
        let (from, mut stream) = self.knock(ip).await;
        let (at, refusal) = expect_next_event!(self.events, Event::Refused(at, why) => (at, why));
        assert_eq!(at, from);
        assert_eq!(within(stream.read(&mut [0])).await.unwrap(), 0);
        refusal
    }

    /// The remote's part of a handshake that succeeds.
    pub(crate) async fn shake(&mut self, stream: &mut MemoryStream) -> Peer {
        within(stream.write_u8(COME_IN)).await.unwrap();
        expect_next_event!(self.events, Event::Connected(peer) => peer)
    }

    /// How the handshake fails that comes to its end next.
    pub(crate) async fn failure(&mut self) -> HandshakeError {
        expect_next_event!(self.events, Event::HandshakeFailed(_, error) => error)
    }

    /// Waits until a connection has ended whose remote is gone.
    pub(crate) async fn leave(&mut self, (peer, stream): (Peer, MemoryStream)) {
        drop(stream);
        ending(&mut self.events, peer).await;
    }

    /// Somebody to dial who has no node.
    pub(crate) async fn neighbour(&self) -> Neighbour {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Neighbour(within(self.network.bind(any)).await.unwrap())
    }

    pub(crate) async fn shut(self) {
        finish_events(&self.node, self.events).await;
    }
}
