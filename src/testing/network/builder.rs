//! How a network is started: [`NetworkBuilder`].

use std::{fmt, net::Ipv4Addr, sync::Arc, time::Duration};

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio_util::codec::{Decoder, Encoder, Framed};

use super::{
    Network, NetworkError,
    joining::{Ends, join},
};
use crate::{
    disconnect::BoxError,
    inbound::Inbound,
    node::{Builder, Node},
    outbound::Weigher,
    peer::Peer,
    protocol::Protocol,
    testing::Topology,
    transport::Transport,
};

/// At how many listeners connections are opened at a time: enough to keep all cores busy, and few enough
/// that no handshake comes near its timeout because thousands of others run beside it.
const LISTENERS_AT_ONCE: usize = 64;

/// Longer than a node gives a connection and its handshake, which then say more exactly what went wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// As many connections as a node may have by default; one with more edges may have more.
const MAX_CONNECTIONS: usize = 1024;

/// The options that nodes of a network have when nothing else is said.
pub type Unchanged = fn(usize, Builder) -> Builder;

/// The options of a [`Network`]; [`start`](NetworkBuilder::start) starts it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tokio_util::codec::LinesCodec;
/// use wattle::{testing::{Network, Topology}, transport::Tcp};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), wattle::testing::NetworkError> {
/// let network: Network<String, String> = Network::builder()
///     .options(|_, node| node.idle_timeout(Duration::from_secs(60)).transport(Tcp::new().backlog(16)))
///     .start(5, Topology::Ring, |_| LinesCodec::new_with_max_length(8192))
///     .await?;
/// assert_eq!(network.edges().len(), 5);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `start`"]
pub struct NetworkBuilder<O = Unchanged> {
    options: O,
    patience: Duration,
}

impl NetworkBuilder {
    pub(super) fn new() -> Self {
        Self {
            options: |_, builder| builder,
            patience: PATIENCE,
        }
    }
}

impl<O> NetworkBuilder<O> {
    /// The options of each node, given its number and a builder with the usual ones: a name
    /// (`node-0`, `node-1`, …), and room for as many connections as it has edges, beside the 1,024 that
    /// every node has room for.
    ///
    /// Whatever a builder takes can be changed here, the transport included. A node that has no
    /// address to listen on when it has started listens on a free port of 127.0.0.1.
    pub fn options<T, W, F>(self, options: F) -> NetworkBuilder<F>
    where
        F: FnMut(usize, Builder) -> Builder<T, W>,
    {
        NetworkBuilder {
            options,
            patience: self.patience,
        }
    }

    /// How long the listener's end of a connection may take when the dialer's is there; 30 seconds by
    /// default.
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// Starts `nodes` nodes that all speak one protocol, and connects them.
    ///
    /// Resolves when both ends of every edge know their connection. No event is taken out of the
    /// nodes' streams for that.
    ///
    /// # Errors
    ///
    /// A graph that can't be, a node that can't start, an edge that can't be opened.
    ///
    /// # Cancel safety
    ///
    /// When dropped, no node is left behind.
    pub async fn start<T, W, P, Out>(
        self,
        nodes: usize,
        topology: Topology,
        protocol: P,
    ) -> Result<Network<Item<T, P>, Out>, NetworkError>
    where
        O: FnMut(usize, Builder) -> Builder<T, W>,
        T: Transport,
        W: Weigher<Out>,
        P: Protocol<T::Stream>,
        P::Codec: Encoder<Out, Error: Into<BoxError>>,
        Out: Send + 'static,
    {
        let protocol = Arc::new(protocol);
        self.start_with(nodes, topology, |_| Shared(protocol.clone()))
            .await
    }

    /// The same for nodes that each have a protocol of their own, made from the node's number: with keys
    /// of its own, say.
    ///
    /// # Errors
    ///
    /// As [`start`](NetworkBuilder::start).
    ///
    /// # Cancel safety
    ///
    /// When dropped, no node is left behind.
    pub async fn start_with<T, W, P, Out>(
        mut self,
        nodes: usize,
        topology: Topology,
        mut protocol: impl FnMut(usize) -> P,
    ) -> Result<Network<Item<T, P>, Out>, NetworkError>
    where
        O: FnMut(usize, Builder) -> Builder<T, W>,
        T: Transport,
        W: Weigher<Out>,
        P: Protocol<T::Stream>,
        P::Codec: Encoder<Out, Error: Into<BoxError>>,
        Out: Send + 'static,
    {
        let edges = topology.edges(nodes)?;
        let mut network = Network::empty(self.patience);
        for (number, degree) in degrees(nodes, &edges).into_iter().enumerate() {
            let builder = (self.options)(number, usual(number, degree));
            let (node, inbound) = start_node(number, builder, protocol(number)).await?;
            network.add(node, inbound);
        }
        for (edge, ends) in connect_all(&network.nodes, &edges, self.patience).await? {
            network.link(edge, ends);
        }
        network.edges = edges;
        Ok(network)
    }
}

type Item<T, P> = <<P as Protocol<<T as Transport>::Stream>>::Codec as Decoder>::Item;

fn degrees(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut degrees = vec![0; nodes];
    for &(dialer, listener) in edges {
        degrees[dialer] += 1;
        degrees[listener] += 1;
    }
    degrees
}

fn usual(number: usize, degree: usize) -> Builder {
    Node::builder()
        .name(format!("node-{number}"))
        .max_connections(MAX_CONNECTIONS + degree)
}

async fn start_node<T, W, P, Out>(
    number: usize,
    builder: Builder<T, W>,
    protocol: P,
) -> Result<(Node<Out>, Inbound<Item<T, P>>), NetworkError>
where
    T: Transport,
    W: Weigher<Out>,
    P: Protocol<T::Stream>,
    P::Codec: Encoder<Out, Error: Into<BoxError>>,
    Out: Send + 'static,
{
    let node = number;
    let started = builder.start(protocol).await;
    let started = started.map_err(|source| NetworkError::Start { node, source })?;
    if started.0.local_addr().is_none() {
        let listening = started.0.listen((Ipv4Addr::LOCALHOST, 0)).await;
        listening.map_err(|source| NetworkError::Listen { node, source })?;
    }
    Ok(started)
}

/// Opens all edges: one after the other at each listener, many listeners at a time.
async fn connect_all<Out: Send + 'static>(
    nodes: &[Node<Out>],
    edges: &[(usize, usize)],
    patience: Duration,
) -> Result<Vec<((usize, usize), Ends)>, NetworkError> {
    let mut dialers = vec![Vec::new(); nodes.len()];
    for &(dialer, listener) in edges {
        dialers[listener].push(dialer);
    }
    let dialers = dialers.into_iter().enumerate();
    let listeners: Vec<_> = dialers
        .filter(|(_, dialers)| !dialers.is_empty())
        .map(|(listener, dialers)| connect_to(nodes, listener, dialers, patience))
        .collect();
    let connecting = stream::iter(listeners).buffer_unordered(LISTENERS_AT_ONCE);
    connecting.try_concat().await
}

async fn connect_to<Out: Send + 'static>(
    nodes: &[Node<Out>],
    listener: usize,
    dialers: Vec<usize>,
    patience: Duration,
) -> Result<Vec<((usize, usize), Ends)>, NetworkError> {
    let mut links = Vec::with_capacity(dialers.len());
    for dialer in dialers {
        let (from, to) = ((dialer, &nodes[dialer]), (listener, &nodes[listener]));
        links.push(((dialer, listener), join(from, to, patience).await?));
    }
    Ok(links)
}

/// One protocol for all nodes, which need not be `Clone`.
struct Shared<P>(Arc<P>);

impl<S, P: Protocol<S>> Protocol<S> for Shared<P> {
    type Io = P::Io;
    type Codec = P::Codec;

    fn handshake(
        &self,
        stream: S,
        peer: Peer,
    ) -> impl Future<Output = Result<Framed<P::Io, P::Codec>, BoxError>> + Send {
        self.0.handshake(stream, peer)
    }
}

impl<O> fmt::Debug for NetworkBuilder<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkBuilder")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
