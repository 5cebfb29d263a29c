//! A network in memory, for tests under paused time: nothing in it waits for the operating system.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
    task::yield_now,
};
use wattle::transport::{Acceptor, Transport};

pub(crate) use super::black_hole;

type Arrival = (DuplexStream, SocketAddr);

/// How many bytes are under way on a connection, each way.
const IN_FLIGHT: usize = 1024;

/// A network; its clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Network {
    hosts: Arc<Mutex<Hosts>>,
}

#[derive(Default)]
struct Hosts {
    listeners: HashMap<SocketAddr, mpsc::UnboundedSender<Arrival>>,
    last_port: u16,
}

impl Network {
    fn hosts(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects as somebody who has no node.
    pub(crate) async fn dial(&self, addr: SocketAddr) -> io::Result<DuplexStream> {
        let from = self.hosts().free_addr();
        self.dial_from(from, addr).await
    }

    /// The same from an address of one's choice.
    pub(crate) async fn dial_from(
        &self,
        from: SocketAddr,
        addr: SocketAddr,
    ) -> io::Result<DuplexStream> {
        if addr == black_hole() {
            std::future::pending::<()>().await;
        }
        // One wait, so that there is a place where a dialler can be dropped.
        yield_now().await;
        let hosts = self.hosts();
        let (ours, theirs) = duplex(IN_FLIGHT);
        let listener = hosts.listeners.get(&addr);
        match listener.map(|listener| listener.send((theirs, from))) {
            Some(Ok(())) => Ok(ours),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl Hosts {
    fn free_addr(&mut self) -> SocketAddr {
        self.last_port += 1;
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.last_port))
    }
}

impl Transport for Network {
    type Stream = DuplexStream;
    type Acceptor = NetworkAcceptor;

    async fn bind(&self, addr: SocketAddr) -> io::Result<NetworkAcceptor> {
        yield_now().await;
        let mut hosts = self.hosts();
        let addr = match addr.port() {
            0 => hosts.free_addr(),
            _ => addr,
        };
        let taken = hosts.listeners.get(&addr);
        if taken.is_some_and(|listener| !listener.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, arrivals) = mpsc::unbounded_channel();
        hosts.listeners.insert(addr, sender);
        Ok(NetworkAcceptor { addr, arrivals })
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<DuplexStream> {
        self.dial(addr).await
    }
}

pub(crate) struct NetworkAcceptor {
    addr: SocketAddr,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
}

impl Acceptor for NetworkAcceptor {
    type Stream = DuplexStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrival>> {
        let arrival = self.arrivals.poll_recv(cx);
        arrival.map(|arrival| arrival.ok_or_else(|| io::ErrorKind::BrokenPipe.into()))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}
