//! Servers that send back what comes, for measurements from outside: what they hold is what their contender
//! holds, and nothing of the benchmark's.

use std::net::SocketAddr;

use bytes::BytesMut;
use futures::StreamExt;
use pea2pea::{
    Config, ConnectionSide, Pea2Pea,
    protocols::{Reading, Writing},
};
use tokio::net::TcpListener;
use tokio_util::codec::LengthDelimitedCodec;
use wattle::Node;

use super::{node, pea, raw};

/// What all of them are asked to hold at most.
const CONNECTIONS: u16 = 20_000;

/// A task with a `Framed` per connection.
pub(crate) async fn raw() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("it is open");
            tokio::spawn(raw::pass_on(raw::framed(stream)));
        }
    });
    addr
}

/// A stream that is forwarded to a sink.
pub(crate) async fn wattle() -> SocketAddr {
    let (node, inbound) = listening().await;
    let addr = node.local_addr().expect("it listens");
    let echoes = inbound.map(|(message, peer)| Ok((message.freeze(), peer)));
    tokio::spawn(echoes.forward(node.outbound()));
    addr
}

/// A node that nobody is connected to.
pub(crate) async fn listening() -> node::Started {
    let builder = Node::builder()
        .listen("127.0.0.1:0")
        .max_connections(CONNECTIONS.into());
    let started = builder.start(|_| LengthDelimitedCodec::new()).await;
    started.expect("start")
}

/// A node whose tasks keep it.
pub(crate) async fn pea2pea() -> SocketAddr {
    let config = Config {
        listener_addr: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        max_connections: CONNECTIONS,
        max_connections_per_ip: CONNECTIONS,
        ..Config::default()
    };
    let pea = Pea(pea2pea::Node::new(config));
    pea.enable_reading().await;
    pea.enable_writing().await;
    let addr = pea.0.toggle_listener().await.expect("a free port");
    addr.expect("it listens")
}

#[derive(Clone)]
struct Pea(pea2pea::Node);

impl Pea2Pea for Pea {
    fn node(&self) -> &pea2pea::Node {
        &self.0
    }
}

/// As small as tokio-util's own are; pea2pea's would be 64 KiB.
const BUFFER: usize = 8 * 1024;

impl Reading for Pea {
    const INITIAL_BUFFER_SIZE: usize = BUFFER;
    type Message = BytesMut;
    type Codec = LengthDelimitedCodec;

    fn codec(&self, _addr: SocketAddr, _side: ConnectionSide) -> Self::Codec {
        LengthDelimitedCodec::new()
    }

    async fn process_message(&self, source: SocketAddr, message: BytesMut) {
        let message = message.freeze();
        pea::until_taken(|| self.unicast_fast(source, message.clone())).await;
    }
}

impl Writing for Pea {
    const INITIAL_BUFFER_SIZE: usize = BUFFER;
    type Message = bytes::Bytes;
    type Codec = LengthDelimitedCodec;

    fn codec(&self, _addr: SocketAddr, _side: ConnectionSide) -> Self::Codec {
        LengthDelimitedCodec::new()
    }
}
