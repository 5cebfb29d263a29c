//! A transport that fails as it is told, and a node that listens and dials with it.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Handle,
};
use tokio_util::codec::LinesCodec;
use wattle::{
    Builder, Event, Inbound, Node, Peer, Transport,
    testing::{Memory, MemoryAcceptor, MemoryStream, Recorded, expect_next_event},
    transport::Acceptor,
};

use super::{
    scene::{Census, Fault, SOON},
    stream::Stream,
};
use crate::common::{lines, quiet, within};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Work,
    BindFails,
    BindPanics,
    BindStalls,
    LocalAddrFails,
    LocalAddrPanics,
    ConnectFails,
    ConnectPanics,
    ConnectStalls,
    AcceptPanics,
    AcceptFails(io::ErrorKind),
    /// With an error that panics when it is looked at.
    AcceptErrorPanics,
    AcceptorDropPanics,
    StreamDropPanics,
}

/// A network in memory that does what it is told until it is told otherwise.
#[derive(Clone)]
pub(crate) struct Moody {
    pub(crate) network: Memory,
    act: Arc<Mutex<Act>>,
    streams: Census,
    /// How often it was asked to accept since others had their turn.
    pub(crate) asked: Arc<AtomicUsize>,
}

/// More often than anybody may be asked in a row.
const TOO_OFTEN: usize = 10_000;

impl Moody {
    fn act(&self) -> Act {
        *self.act.lock().unwrap()
    }

    fn wrap(&self, stream: MemoryStream) -> Stream {
        let fault = match self.act() {
            Act::StreamDropPanics => Fault::StreamDropPanics,
            _ => Fault::None,
        };
        Stream::new(stream, fault, self.streams.enter())
    }
}

impl Transport for Moody {
    type Stream = Stream;
    type Acceptor = MoodyAcceptor;

    async fn bind(&self, addr: SocketAddr) -> io::Result<MoodyAcceptor> {
        match self.act() {
            Act::BindFails => return Err(io::Error::other("in bind")),
            Act::BindPanics => panic!("in bind"),
            Act::BindStalls => std::future::pending().await,
            _ => {}
        }
        Ok(MoodyAcceptor {
            inner: self.network.bind(addr).await?,
            transport: self.clone(),
        })
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<Stream> {
        match self.act() {
            Act::ConnectFails => return Err(io::Error::other("in connect")),
            Act::ConnectPanics => panic!("in connect"),
            Act::ConnectStalls => std::future::pending().await,
            _ => {}
        }
        Ok(self.wrap(self.network.connect(addr).await?))
    }
}

pub(crate) struct MoodyAcceptor {
    inner: MemoryAcceptor,
    transport: Moody,
}

impl Acceptor for MoodyAcceptor {
    type Stream = Stream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        let asked = self.transport.asked.fetch_add(1, Ordering::SeqCst);
        match self.transport.act() {
            // Never to be woken, so that the test ends.
            _ if asked > TOO_OFTEN => return Poll::Pending,
            Act::AcceptPanics => panic!("in poll_accept"),
            Act::AcceptFails(kind) => return Poll::Ready(Err(kind.into())),
            Act::AcceptErrorPanics => {
                return Poll::Ready(Err(io::Error::other(super::scene::Unspeakable)));
            }
            _ => {}
        }
        let accepted = self.inner.poll_accept(cx);
        accepted.map_ok(|(stream, addr)| (self.transport.wrap(stream), addr))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.transport.act() {
            Act::LocalAddrFails => Err(io::Error::other("in local_addr")),
            Act::LocalAddrPanics => panic!("in local_addr"),
            _ => self.inner.local_addr(),
        }
    }
}

impl Drop for MoodyAcceptor {
    fn drop(&mut self) {
        let panics = self.transport.act() == Act::AcceptorDropPanics;
        assert!(!panics, "acceptor dropped");
    }
}

pub(crate) const ANY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A node that listens, and a bystander who is connected to it.
pub(crate) struct Scene {
    pub(crate) transport: Moody,
    pub(crate) node: Node<String>,
    pub(crate) events: Recorded<String>,
    pub(crate) bystander: (Peer, MemoryStream),
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(options: fn(Builder<Moody>) -> Builder<Moody>) -> Self {
        let transport = Moody {
            network: Memory::new(),
            act: Arc::new(Mutex::new(Act::Work)),
            streams: Census::default(),
            asked: Arc::default(),
        };
        let builder = Node::builder().transport(transport.clone()).listen(ANY);
        let builder = builder.max_connections(2).max_pending(1);
        let builder = options(builder.connect_timeout(SOON));
        let (node, inbound): (Node<String>, Inbound<String>) =
            within(builder.start(lines)).await.unwrap();
        let mut events = Recorded::new(inbound);
        let addr = node.local_addr().unwrap();
        let bystander = visit(&transport.network, addr, &mut events).await;
        Self {
            transport,
            node,
            events,
            bystander,
        }
    }

    pub(crate) fn will(&self, act: Act) {
        *self.transport.act.lock().unwrap() = act;
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.node.local_addr().expect("it listens")
    }

    /// The bystander talks and is talked to.
    pub(crate) async fn serve(&mut self) {
        let (peer, remote) = &mut self.bystander;
        within(remote.write_all(b"well?\n")).await.unwrap();
        let (heard, from) = expect_next_event!(self.events, Event::Message(it, from) => (it, from));
        assert_eq!((&*heard, from), ("well?", *peer));
        let sent = within(self.node.send_to("well.".into(), *peer)).await;
        sent.expect("the bystander is connected");
        let mut answer = [0; 6];
        within(remote.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"well.\n");
    }

    /// All works again, and nothing is left.
    pub(crate) async fn assert_well(mut self) {
        self.will(Act::Work);
        self.serve().await;
        let elsewhere = within(self.node.listen(ANY)).await.unwrap();
        let visitor = visit(&self.transport.network, elsewhere, &mut self.events).await;
        drop(visitor.1);
        expect_next_event!(self.events, Event::Disconnected(peer, _) if *peer == visitor.0);
        let (other, to_other) = other(&self.transport.network).await;
        let there = other.local_addr().unwrap();
        within(self.node.connect(there))
            .await
            .expect("there is room");
        drop(self.bystander);
        let report = within(self.node.shutdown()).await;
        assert!(report.is_clean(), "{report}");
        assert_eq!(self.node.local_addrs(), []);
        let stats = self.node.stats();
        assert_eq!((stats.connected, stats.disconnected), (3, 3));
        within(other.shutdown()).await;
        drop((self.node, self.events, other, to_other));
        quiet().await;
        assert_eq!(self.transport.streams.count(), 0, "streams");
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "tasks");
    }
}

/// Somebody without a node connects.
pub(crate) async fn visit(
    network: &Memory,
    addr: SocketAddr,
    events: &mut Recorded<String>,
) -> (Peer, MemoryStream) {
    let remote = within(network.connect(addr))
        .await
        .expect("somebody listens");
    let peer = expect_next_event!(events, Event::Connected(peer) => peer);
    (peer, remote)
}

/// A node of the same network, to be dialled.
pub(crate) async fn other(network: &Memory) -> (Node<String>, Inbound<String>) {
    let builder = Node::builder().transport(network.clone()).listen(ANY);
    let codec = |_| LinesCodec::new_with_max_length(64);
    within(builder.start(codec)).await.unwrap()
}
