//! The part of a node that handles hold: it knows neither the codec nor the transport.

use std::{
    any::Any,
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Instant,
};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug};

use crate::{
    admission::Gate,
    budget::Budget,
    config::Config,
    dialer,
    error::{ConnectError, ListenError},
    incoming::Incomings,
    outbound::{Common, Order, Queue, Weigher},
    peer::{Peer, Side},
    registry::Registry,
    shutdown::{Shutdown, ShutdownReport},
    stats::Stats,
    sync::Mutex,
    throttle::Throttle,
};

/// What a node knows about itself.
#[derive(Debug)]
pub(crate) struct Core<Out> {
    pub(crate) config: Config,
    pub(crate) span: Span,
    pub(crate) registry: Arc<Registry<Arc<Queue<Out>>>>,
    pub(crate) admission: Gate,
    pub(crate) shutdown: Shutdown,
    /// What the outbound queues have in common.
    pub(crate) outbound: Arc<Common<Out>>,
    pub(crate) budget: Option<Arc<Budget>>,
    pub(crate) listeners: Mutex<Vec<Listening>>,
    pub(crate) throttle: Throttle,
    #[cfg(feature = "testing")]
    pub(crate) journal: Arc<super::journal::Journal>,
    started: Instant,
    /// What has ended, and what belongs to no connection.
    totals: Mutex<Stats>,
    /// As it was when the shutdown began.
    at_shutdown: OnceLock<Stats>,
}

/// An address that is listened on.
#[derive(Debug, Clone)]
pub(crate) struct Listening {
    pub(crate) addr: SocketAddr,
    /// Cancelled to stop it.
    pub(crate) stop: CancellationToken,
    /// Cancelled when its socket is closed.
    pub(crate) closed: CancellationToken,
}

impl<Out> Core<Out> {
    pub(crate) fn new(config: Config, weigher: Option<Arc<dyn Weigher<Out>>>, span: Span) -> Self {
        let budget = config.memory_budget.map(Budget::new);
        let when_full = config.session.when_full;
        Self {
            registry: Arc::new(Registry::new()),
            admission: Gate::new(config.limits),
            shutdown: Shutdown::default(),
            outbound: Arc::new(Common::new(when_full, weigher, budget.clone())),
            budget,
            listeners: Mutex::new(Vec::new()),
            throttle: Throttle::new(),
            #[cfg(feature = "testing")]
            journal: Arc::new(super::journal::Journal::new()),
            started: Instant::now(),
            totals: Mutex::new(Stats::default()),
            at_shutdown: OnceLock::new(),
            config,
            span,
        }
    }

    /// The addresses that are listened on, without those that are about to be closed.
    pub(crate) fn listening(&self) -> Vec<SocketAddr> {
        let listeners = self.listeners.lock();
        let open = listeners
            .iter()
            .filter(|listening| !listening.stop.is_cancelled());
        open.map(|listening| listening.addr).collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        let totals = self.totals.lock();
        let mut stats = *totals;
        let links = self.registry.links();
        drop(totals);
        stats.uptime = self.started.elapsed();
        stats.connections = links.len();
        for queue in links.iter() {
            stats.add_traffic(&queue.stats());
        }
        stats
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.totals.lock());
        // Whatever happens to a connection is counted, once it can be seen.
        #[cfg(feature = "testing")]
        self.journal.changed();
    }

    /// Notes what is about to be counted, for the kit for tests; without that it is nothing.
    pub(crate) fn note(&self, text: impl FnOnce() -> String) {
        #[cfg(feature = "testing")]
        self.journal.note(text());
        #[cfg(not(feature = "testing"))]
        let _ = text;
    }

    /// Waits for a stream from `addr`, until the connect timeout or the shutdown.
    pub(crate) async fn dial<S>(
        &self,
        addr: SocketAddr,
        connect: impl Future<Output = io::Result<S>>,
    ) -> Result<S, ConnectError> {
        let dial = dialer::dial(addr, self.config.connect_timeout, connect);
        let dialled = self.shutdown.unless_begun(dial).await;
        let dialled = dialled.ok_or(ConnectError::ShutDown)?;
        if let Err(ConnectError::TimedOut { .. }) = &dialled {
            self.count(|stats| stats.timeouts.connect += 1);
        }
        dialled
    }

    /// Tells every task to end, gracefully.
    pub(crate) fn begin_shutdown(&self) {
        if !self.shutdown.has_begun() {
            let _ = self.at_shutdown.set(self.stats());
        }
        if self.shutdown.begin() {
            debug!(parent: &self.span, "shutting down");
            for queue in self.registry.close().iter() {
                queue.order(Order::ShutDown);
            }
        }
    }

    pub(crate) fn shutdown_report(&self) -> ShutdownReport {
        let (begin, end) = (
            self.at_shutdown.get().copied().unwrap_or_default(),
            self.stats(),
        );
        ShutdownReport {
            connections: begin.connections,
            undelivered: end.undelivered - begin.undelivered,
            drain_timeouts: end.timeouts.drain - begin.timeouts.drain,
        }
    }
}

/// A node whose codec and transport are forgotten; what handles hold.
pub(crate) trait Wires<Out>: Send + Sync {
    fn core(&self) -> &Core<Out>;
    fn listen(
        self: Arc<Self>,
        addr: SocketAddr,
    ) -> BoxFuture<'static, Result<SocketAddr, ListenError>>;
    fn listen_incoming(
        self: Arc<Self>,
        addr: SocketAddr,
    ) -> BoxFuture<'static, Result<Incomings, ListenError>>;
    fn connect(self: Arc<Self>, addr: SocketAddr)
    -> BoxFuture<'static, Result<Peer, ConnectError>>;
    /// `stream` is an `Option<S>` that holds a stream; it is taken if the transport has such streams
    /// and the node has room.
    fn adopt<'a>(
        self: Arc<Self>,
        stream: &'a mut (dyn Any + Send),
        name: &'static str,
        addr: SocketAddr,
        side: Side,
    ) -> BoxFuture<'a, Result<Peer, ConnectError>>;
    fn undelivered(&self, peer: Peer, messages: u64);
    fn begin_shutdown(&self);
}
