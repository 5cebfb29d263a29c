//! The handle: [`Node`]. This layer wires the parts together and spawns their tasks.

use std::{
    any::{Any, type_name},
    fmt, io,
    net::SocketAddr,
    sync::Arc,
};

use tokio::net::{TcpSocket, ToSocketAddrs, lookup_host};

use crate::{
    admission::Admission,
    config::WhenFull,
    dialer,
    disconnect::Disconnect,
    error::{AdoptError, ConnectError, NotSent, SendError},
    outbound::{Ending, Offered, Order, Outbound, PeerSink, Push, Queue, Routes},
    peer::{Peer, Side},
    shutdown::ShutdownReport,
    stats::{PeerStats, Stats},
    transport::ByteStream,
};

mod builder;
mod core;
#[cfg(feature = "testing")]
mod journal;
mod listening;
mod reception;
mod session;
mod wiring;

use self::core::{Core, Wires};
pub use builder::Builder;
#[cfg(feature = "testing")]
pub(crate) use journal::Journal;

/// A handle to a node: listen, connect, send, disconnect, look, shut down.
///
/// Clones are cheap and all mean the same node. The type says only what it sends, so it fits into
/// structs whatever codec and transport the node has. A node lives as long as one of its handles
/// does ([`Node`], [`Outbound`], [`PeerSink`]) or its [`Inbound`](crate::Inbound); when the last is
/// dropped, it closes as with [`shutdown`](Node::shutdown), by itself.
pub struct Node<Out> {
    handle: Arc<Handle<Out>>,
}

/// What all handles share. Tasks don't hold it, so it is dropped with the last handle.
struct Handle<Out> {
    wiring: Arc<dyn Wires<Out>>,
}

/// What [`Node::broadcast`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broadcast {
    /// How many peers' queues took the message.
    pub queued: usize,
    /// The peers whose queue was full; they don't get the message.
    pub full: Vec<Peer>,
}

impl Node<()> {
    /// The options of a new node; [`Builder::start`] starts it. (The `()` says nothing about what
    /// the node will send.)
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<Out: Send + 'static> Node<Out> {
    fn core(&self) -> &Core<Out> {
        self.handle.wiring.core()
    }

    #[cfg(feature = "testing")]
    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.core().journal
    }

    #[cfg(feature = "testing")]
    pub(crate) fn name(&self) -> Option<&str> {
        self.core().config.name.as_deref()
    }

    fn queue(&self, peer: Peer) -> Option<Arc<Queue<Out>>> {
        self.core().registry.get(peer)
    }

    /// Who may come in: limits, bans, the filter; all changeable while the node runs.
    pub fn admission(&self) -> Admission {
        self.core().admission.handle()
    }

    /// Connects to an address: dials, shakes hands, and resolves when the connection is there to be
    /// sent to. A name that has several addresses stands for the first that can be connected to.
    ///
    /// # Errors
    ///
    /// A distinct [`ConnectError`] for each thing that can go wrong.
    ///
    /// # Cancel safety
    ///
    /// When dropped, there is no connection.
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> Result<Peer, ConnectError> {
        let mut last = ConnectError::Resolve(io::ErrorKind::NotFound.into());
        for addr in lookup_host(addr).await.map_err(ConnectError::Resolve)? {
            match self.handle.wiring.clone().connect(addr).await {
                Ok(peer) => return Ok(peer),
                // Another address would not help.
                Err(error @ (ConnectError::Limit(_) | ConnectError::ShutDown)) => {
                    return Err(error);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Connects to an address with a socket of the caller's, whose options are left as they are. The
    /// node's transport must have TCP streams.
    ///
    /// # Errors
    ///
    /// As [`connect`](Node::connect); an address that we are connected to is not refused.
    ///
    /// # Cancel safety
    ///
    /// When dropped, there is no connection.
    pub async fn connect_with(
        &self,
        socket: TcpSocket,
        addr: SocketAddr,
    ) -> Result<Peer, ConnectError> {
        let core = self.core();
        if dialer::is_self(addr, &core.listening()) {
            return Err(ConnectError::SelfConnect(addr));
        }
        // A full node doesn't dial; the stream is then admitted as any that is adopted.
        let permit = core.admission.admit_own().map_err(ConnectError::Limit)?;
        let stream = core.dial(addr, socket.connect(addr)).await?;
        drop(permit);
        self.adopt(stream, addr, Side::Dialer)
            .await
            .map_err(|refused| refused.error)
    }

    /// Makes a connection of a stream that the caller brings, handshake included. It must be of the
    /// type that the node's transport has; [`AdoptOnly`](crate::transport::AdoptOnly) is a transport
    /// for any type.
    ///
    /// `addr` and `side` are what [`Peer`] will say.
    ///
    /// # Errors
    ///
    /// The stream comes back unless the handshake had taken it.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the stream is closed.
    pub async fn adopt<S: ByteStream>(
        &self,
        stream: S,
        addr: SocketAddr,
        side: Side,
    ) -> Result<Peer, AdoptError<S>> {
        let mut stream = Some(stream);
        let any: &mut (dyn Any + Send) = &mut stream;
        let adopted = self
            .handle
            .wiring
            .clone()
            .adopt(any, type_name::<S>(), addr, side)
            .await;
        adopted.map_err(|error| AdoptError { stream, error })
    }

    /// Queues a message for a peer, waiting for room in that peer's queue (unless the node's
    /// [policy](Builder::when_full) for full queues is another). It goes onto the wire
    /// without further ado; to wait until it has, send it through a [`PeerSink`] instead, and flush
    /// that.
    ///
    /// # Errors
    ///
    /// The peer is gone or being disconnected, or its queue is full and the policy is
    /// [`Reject`](WhenFull::Reject); the message comes back.
    ///
    /// # Cancel safety
    ///
    /// Either it has resolved and the message is queued, or the message was not taken (and is
    /// dropped with the future).
    pub async fn send_to(&self, message: Out, peer: Peer) -> Result<(), SendError<Out>> {
        let Some(queue) = self.queue(peer) else {
            return Err(SendError::new(message, peer, NotSent::NotConnected));
        };
        if queue.when_full() != WhenFull::Wait {
            return self.offer(message, &queue);
        }
        match Push::new(&queue, message).await {
            Err(Some(message)) => Err(SendError::new(message, peer, NotSent::NotConnected)),
            Ok(()) | Err(None) => Ok(()),
        }
    }

    /// Queues a message for a peer if there is room at once, or makes room as the node's
    /// [policy](Builder::when_full) says.
    ///
    /// # Errors
    ///
    /// The peer's queue is full, or the peer is gone or being disconnected; the message comes back.
    pub fn try_send_to(&self, message: Out, peer: Peer) -> Result<(), SendError<Out>> {
        match self.queue(peer) {
            Some(queue) => self.offer(message, &queue),
            None => Err(SendError::new(message, peer, NotSent::NotConnected)),
        }
    }

    /// Queues a message without waiting, or does what the node's policy says.
    fn offer(&self, message: Out, queue: &Queue<Out>) -> Result<(), SendError<Out>> {
        let policy = queue.when_full();
        let offered = match policy {
            // What the caller gets back isn't lost.
            WhenFull::Disconnect => queue.offer(message, WhenFull::Reject),
            policy => queue.offer(message, policy),
        };
        let (message, reason) = match offered {
            Offered::Queued(_) | Offered::Dropped(_) => return Ok(()),
            Offered::Full(message) if policy == WhenFull::Disconnect => {
                queue.overflow(0);
                (message, NotSent::NotConnected)
            }
            Offered::Full(message) => (message, NotSent::Full),
            Offered::Closed(message) => (message, NotSent::NotConnected),
        };
        Err(SendError::new(message, queue.peer(), reason))
    }

    /// Queues a clone of a message for every connected peer. It never waits: the report names the
    /// peers whose queue was full. (With [`WhenFull::DropOldest`] there is room in every queue; with
    /// [`WhenFull::Disconnect`] those that it names are being disconnected.)
    ///
    /// # Panics
    ///
    /// If `clone` panics; those peers that had their turn by then get the message.
    pub fn broadcast(&self, message: Out) -> Broadcast
    where
        Out: Clone,
    {
        self.broadcast_where(message, |_| true)
    }

    /// The same for those of the peers that `wanted` is true of: all but the one whom a message came
    /// from, say.
    pub fn broadcast_where(&self, message: Out, mut wanted: impl FnMut(Peer) -> bool) -> Broadcast
    where
        Out: Clone,
    {
        let mut report = Broadcast::default();
        let links = self.core().registry.links();
        let links: Vec<_> = links.iter().filter(|queue| wanted(queue.peer())).collect();
        for queue in links {
            match queue.offer(message.clone(), queue.when_full()) {
                Offered::Queued(_) => report.queued += 1,
                Offered::Full(_) | Offered::Dropped(_) => report.full.push(queue.peer()),
                Offered::Closed(_) => {}
            }
        }
        report
    }

    /// A new handle to the node's one sink.
    pub fn outbound(&self) -> Outbound<Out> {
        Outbound::new(self.handle.clone())
    }

    /// A sink for one peer alone; `None` if it isn't connected.
    pub fn peer_sink(&self, peer: Peer) -> Option<PeerSink<Out>> {
        Some(PeerSink::new(self.queue(peer)?, self.handle.clone()))
    }

    /// The connected peers, in the order of their [ids](Peer::id): the oldest first.
    pub fn peers(&self) -> Vec<Peer> {
        self.core().registry.peers()
    }

    /// The peer with this remote address; of several, the oldest: the one with the lowest id.
    pub fn find(&self, addr: SocketAddr) -> Option<Peer> {
        self.core().registry.find(addr)
    }

    /// The node's counters.
    pub fn stats(&self) -> Stats {
        self.core().stats()
    }

    /// A connection's counters; `None` if it has ended.
    pub fn peer_stats(&self, peer: Peer) -> Option<PeerStats> {
        Some(self.queue(peer)?.stats())
    }

    /// Closes a connection gracefully: nothing more is taken for it, what is queued is written, our
    /// side is shut, and when the remote has closed its own (or the drain timeout has passed) the
    /// connection has ended. Resolves then, with how it ended; `None` if it wasn't connected.
    ///
    /// What the remote sends from now on is thrown away. A message that an [`Outbound`] holds because
    /// this peer's queue is full is not queued yet: it is lost, and counted and reported as
    /// [undelivered](crate::Event::Undelivered).
    ///
    /// # Cancel safety
    ///
    /// When dropped after its first poll, the connection is closed all the same; before, nothing has
    /// happened.
    pub async fn disconnect(&self, peer: Peer) -> Option<Disconnect> {
        let queue = self.queue(peer)?;
        queue.order(Order::Disconnect);
        Some(Ending::of(&queue).await)
    }

    /// Ends a connection at once: what is queued is lost, and what was decoded before still comes. The
    /// remote sees the end of the stream, or a reset if it had sent what we haven't read. Says whether it was connected; to wait for
    /// the end, watch [`Events`](crate::Events).
    pub fn abort(&self, peer: Peer) -> bool {
        let queue = self.queue(peer);
        if let Some(queue) = &queue {
            queue.order(Order::Abort);
        }
        queue.is_some()
    }

    /// Shuts the node down: stops listening and dialling, closes every connection gracefully within
    /// the drain timeout, and resolves when all its tasks have ended.
    ///
    /// [`Inbound`](crate::Inbound) still yields what was decoded before, and then ends.
    ///
    /// # Cancel safety
    ///
    /// When dropped after its first poll, the node is shut down all the same; before, nothing has
    /// happened. Calling it again waits for the same end.
    pub async fn shutdown(&self) -> ShutdownReport {
        // A remote that learns of the end and dials again must not get in; and whatever becomes of
        // this future, the shutdown begins.
        let begin = BeginShutdown(&*self.handle.wiring);
        self.stop_listening().await;
        drop(begin);
        let core = self.core();
        core.shutdown.complete().await;
        core.listeners.lock().clear();
        core.shutdown_report()
    }
}

/// Begins the shutdown when it is dropped.
struct BeginShutdown<'a, Out>(&'a dyn Wires<Out>);

impl<Out> Drop for BeginShutdown<'_, Out> {
    fn drop(&mut self) {
        self.0.begin_shutdown();
    }
}

impl<Out: Send + 'static> Routes<Out> for Handle<Out> {
    fn route(&self, peer: Peer) -> Option<Arc<Queue<Out>>> {
        self.wiring.core().registry.get(peer)
    }

    fn is_shut_down(&self) -> bool {
        self.wiring.core().shutdown.has_begun()
    }

    fn undelivered(&self, peer: Peer, messages: u64) {
        self.wiring.undelivered(peer, messages);
    }
}

impl<Out> Drop for Handle<Out> {
    fn drop(&mut self) {
        self.wiring.begin_shutdown();
    }
}

impl<Out> Clone for Node<Out> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
        }
    }
}

impl<Out> fmt::Debug for Node<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.handle.wiring.core();
        f.debug_struct("Node")
            .field("name", &core.config.name)
            .field("listening", &core.listening())
            .finish_non_exhaustive()
    }
}
