//! Many nodes, connected: [`network()`] and [`Network`].

use std::{collections::HashMap, fmt, mem, time::Duration};

use futures::future::{FutureExt, join_all};
use tokio::{net::TcpStream, time::timeout};
use tokio_util::codec::{Decoder, Encoder};

use crate::{
    disconnect::BoxError,
    inbound::{Events, Inbound},
    node::Node,
    peer::Peer,
    protocol::Protocol,
    shutdown::ShutdownReport,
    testing::{Topology, assertions::Observe},
};

mod builder;
mod error;
mod joining;
mod merged;

pub use builder::{NetworkBuilder, Unchanged};
pub use error::NetworkError;
use joining::{Ends, departure, join};
pub use merged::Merged;

/// Starts `nodes` nodes on free ports of 127.0.0.1, connects them in the shape of `topology`, and
/// resolves when both ends of every edge know their connection.
///
/// For options of the nodes, another transport, or a protocol of its own for each node, see
/// [`Network::builder`].
///
/// # Errors
///
/// A graph that can't be, a node that can't start, an edge that can't be opened.
///
/// # Cancel safety
///
/// When dropped, no node is left behind.
///
/// # Examples
///
/// A rumour goes along a line: everybody tells it to whoever hasn't told them.
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::testing::{Network, Topology, network};
///
/// #[tokio::main]
/// async fn main() -> Result<(), wattle::testing::NetworkError> {
///     let codec = |_| LinesCodec::new_with_max_length(8192);
///     let mut network: Network<String, String> = network(10, Topology::Line, codec).await?;
///     let mut messages = network.messages();
///     network.nodes[0].broadcast("psst".to_owned());
///     while let Some((index, (rumour, from))) = messages.recv().await {
///         if index == 9 {
///             break;
///         }
///         network.nodes[index].broadcast_where(rumour, |peer| peer != from);
///     }
///     assert!(network.shutdown().await.iter().all(|report| report.is_clean()));
///     Ok(())
/// }
/// ```
pub async fn network<P, Out>(
    nodes: usize,
    topology: Topology,
    protocol: P,
) -> Result<Network<<P::Codec as Decoder>::Item, Out>, NetworkError>
where
    P: Protocol<TcpStream>,
    P::Codec: Encoder<Out, Error: Into<BoxError>>,
    Out: Send + 'static,
{
    Network::builder().start(nodes, topology, protocol).await
}

/// Nodes that are connected to each other, numbered from 0; made by [`network()`] or a
/// [builder](Network::builder).
///
/// The nodes and their streams are there to be used, also by value: `zip` the two fields to give each
/// node to the program that is to be tested. The streams are complete; they begin with the
/// [`Connected`](crate::Event::Connected) of every edge.
///
/// When the network is dropped, all its nodes shut down, whoever holds clones of them; graceful, by
/// themselves. [`shutdown`](Network::shutdown) waits for that.
///
/// # Examples
///
/// A node loses its neighbour, and finds another:
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::testing::{Network, Topology, network};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let mut network: Network<String, String> = network(3, Topology::Line, codec).await?;
/// network.disconnect(0, 1).await?;
/// let peer = network.connect(0, 2).await?;
/// network.nodes[0].send_to("hello".to_owned(), peer).await?;
/// let (text, from) = network.inbounds[2].recv().await.unwrap();
/// assert_eq!((text.as_str(), network.index_of(from)), ("hello", Some(0)));
/// # Ok(())
/// # }
/// ```
pub struct Network<In, Out> {
    /// The nodes.
    pub nodes: Vec<Node<Out>>,
    /// What each receives, in the same order; empty when [`messages`](Network::messages) or
    /// [`events`](Network::events) has taken them. A stream that stays here unread holds up those who
    /// send to its node, when its queues are full.
    pub inbounds: Vec<Inbound<In>>,
    edges: Vec<(usize, usize)>,
    /// By which peer the first of a pair knows the second.
    peers: HashMap<(usize, usize), Peer>,
    /// Which node is at the other end of a connection: the ids of peers are unique in the process.
    whose: HashMap<Peer, usize>,
    patience: Duration,
    teardown: Vec<Teardown>,
}

impl Network<(), ()> {
    /// Options for a network's nodes. (The `()`s say nothing about what the nodes will send.)
    pub fn builder() -> NetworkBuilder {
        NetworkBuilder::new()
    }
}

impl<In, Out: Send + 'static> Network<In, Out> {
    fn empty(patience: Duration) -> Self {
        Self {
            nodes: Vec::new(),
            inbounds: Vec::new(),
            edges: Vec::new(),
            peers: HashMap::new(),
            whose: HashMap::new(),
            patience,
            teardown: Vec::new(),
        }
    }

    fn add(&mut self, node: Node<Out>, inbound: Inbound<In>) {
        self.teardown.push(Teardown(Box::new(node.clone())));
        self.nodes.push(node);
        self.inbounds.push(inbound);
    }

    fn link(&mut self, (dialer, listener): (usize, usize), ends: Ends) {
        for ((from, to), peer) in [
            ((dialer, listener), ends.dialer),
            ((listener, dialer), ends.listener),
        ] {
            self.peers.insert((from, to), peer);
            self.whose.insert(peer, to);
        }
    }

    /// The edges: (dialer, listener) each, as the [`Topology`] has them, and with what
    /// [`connect`](Network::connect) and [`disconnect`](Network::disconnect) have changed.
    pub fn edges(&self) -> &[(usize, usize)] {
        &self.edges
    }

    /// The peer by which node `of` knows node `other`; `None` if there is no edge between them. (It
    /// stays the same when they lose their connection by themselves; see
    /// [`is_connected`](Network::is_connected).)
    pub fn peer(&self, of: usize, other: usize) -> Option<Peer> {
        self.peers.get(&(of, other)).copied()
    }

    /// Which node a peer is, whoever knows it by this name; `None` for one that isn't at an edge.
    pub fn index_of(&self, peer: Peer) -> Option<usize> {
        self.whose.get(&peer).copied()
    }

    /// The nodes that have an edge to this one, in no particular order.
    pub fn neighbours(&self, of: usize) -> impl Iterator<Item = usize> {
        let edges = self.edges.iter();
        edges.filter_map(move |&(a, b)| match (a == of, b == of) {
            (true, _) => Some(b),
            (_, true) => Some(a),
            _ => None,
        })
    }

    /// Whether there is an edge between two nodes, and both ends have their connection.
    pub fn is_connected(&self, a: usize, b: usize) -> bool {
        [(a, b), (b, a)].into_iter().all(|(of, other)| {
            let peer = self.peer(of, other);
            peer.is_some_and(|peer| self.nodes[of].peer_stats(peer).is_some())
        })
    }

    /// Whether all edges are [connected](Network::is_connected).
    pub fn is_whole(&self) -> bool {
        let mut edges = self.edges.iter();
        edges.all(|&(a, b)| self.is_connected(a, b))
    }

    /// Opens an edge, or opens it again, and resolves when both ends know the connection. Until then
    /// nobody else may connect to the listener, whose end could not be told from theirs.
    ///
    /// # Errors
    ///
    /// The connection doesn't come about, on one side or the other.
    ///
    /// # Panics
    ///
    /// If there are no nodes of these numbers.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the edge is not entered; there may be a connection.
    pub async fn connect(&mut self, dialer: usize, listener: usize) -> Result<Peer, NetworkError> {
        let (from, to) = (&self.nodes[dialer], &self.nodes[listener]);
        let ends = join((dialer, from), (listener, to), self.patience).await?;
        self.remove_edge(dialer, listener);
        self.edges.push((dialer, listener));
        self.link((dialer, listener), ends);
        Ok(ends.dialer)
    }

    /// Closes an edge gracefully, from the side of `first`, and resolves when both ends have forgotten the
    /// connection.
    ///
    /// # Errors
    ///
    /// There is no such edge, or the other end doesn't follow.
    ///
    /// # Panics
    ///
    /// If there are no nodes of these numbers.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the edge is still entered; the connection may be gone.
    pub async fn disconnect(&mut self, first: usize, second: usize) -> Result<(), NetworkError> {
        let ends = (self.peer(first, second), self.peer(second, first));
        let (Some(ours), Some(theirs)) = ends else {
            return Err(NetworkError::NotConnected { first, second });
        };
        let (near, far) = (&self.nodes[first], &self.nodes[second]);
        near.disconnect(ours).await;
        let followed = timeout(self.patience, departure(far, theirs)).await;
        followed.map_err(|_elapsed| NetworkError::TimedOut {
            first,
            second,
            after: self.patience,
            report: [near.report(), far.report()].join("\n"),
        })?;
        self.remove_edge(first, second);
        Ok(())
    }

    fn remove_edge(&mut self, a: usize, b: usize) {
        self.edges.retain(|edge| ![(a, b), (b, a)].contains(edge));
        for pair in [(a, b), (b, a)] {
            self.peers.remove(&pair);
        }
    }

    /// Takes the streams of all nodes and merges them: `(index, (message, peer))`.
    pub fn messages(&mut self) -> Merged<Inbound<In>> {
        Merged::new(mem::take(&mut self.inbounds))
    }

    /// The same with the life of connections in line: `(index, event)`.
    pub fn events(&mut self) -> Merged<Events<In>> {
        let inbounds = mem::take(&mut self.inbounds);
        Merged::new(inbounds.into_iter().map(Inbound::into_events))
    }

    /// Shuts all nodes down, all at a time, and resolves when all their tasks have ended: with the report
    /// of each.
    ///
    /// # Cancel safety
    ///
    /// When dropped after its first poll, all nodes are shut down all the same.
    pub async fn shutdown(&self) -> Vec<ShutdownReport> {
        join_all(self.nodes.iter().map(Node::shutdown)).await
    }
}

/// Shuts a node down when it is dropped. Beside the nodes rather than as `Drop` of the network, so that its
/// fields can be moved out.
struct Teardown(Box<dyn BeginShutdown>);

trait BeginShutdown: Send + Sync {
    fn begin_shutdown(&self);
}

impl<Out: Send + 'static> BeginShutdown for Node<Out> {
    fn begin_shutdown(&self) {
        // Its first poll begins it, whoever waits for the end.
        let _ = self.shutdown().now_or_never();
    }
}

impl Drop for Teardown {
    fn drop(&mut self) {
        self.0.begin_shutdown();
    }
}

impl<In, Out> fmt::Debug for Network<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("nodes", &self.nodes)
            .field("edges", &self.edges)
            .finish_non_exhaustive()
    }
}
