//! Who listens: [`MemoryAcceptor`].

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use tokio::sync::{Semaphore, mpsc};

use super::{hosts::Port, stream::MemoryStream};
use crate::transport::Acceptor;

/// A connection that waits to be accepted. When nobody does, it is reset.
#[derive(Debug)]
pub(super) struct Arrival(MemoryStream);

impl Arrival {
    pub(super) fn new(mut stream: MemoryStream) -> Self {
        stream.reset_on_drop(true);
        Self(stream)
    }

    fn accept(mut self) -> MemoryStream {
        self.0.reset_on_drop(false);
        self.0
    }
}

/// The listening side of a [`Memory`](super::Memory). When it is dropped, the connections that wait to
/// be accepted are reset, and new ones are refused.
#[derive(Debug)]
pub struct MemoryAcceptor {
    arrivals: mpsc::Receiver<Arrival>,
    port: Port,
}

impl MemoryAcceptor {
    pub(super) fn new(port: Port, backlog: usize) -> Self {
        let (queue, arrivals) = mpsc::channel(backlog.min(Semaphore::MAX_PERMITS));
        port.hosts().lock().listen(port.addr(), queue);
        Self { arrivals, port }
    }

    /// Waits for the next connection and its remote address.
    ///
    /// # Errors
    ///
    /// None; it is as [`TcpListener::accept`](tokio::net::TcpListener::accept).
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped has accepted nothing.
    pub async fn accept(&mut self) -> io::Result<(MemoryStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }
}

impl Acceptor for MemoryAcceptor {
    type Stream = MemoryStream;

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(MemoryStream, SocketAddr)>> {
        // The network holds the other end as long as this one is there.
        let arrival = ready!(self.arrivals.poll_recv(cx));
        let stream = arrival.ok_or(io::ErrorKind::BrokenPipe)?.accept();
        let peer = stream.peer_addr()?;
        Poll::Ready(Ok((stream, peer)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.port.addr())
    }
}

impl Drop for MemoryAcceptor {
    fn drop(&mut self) {
        // Not dropped under the lock.
        let queue = self.port.hosts().lock().stop_listening(self.port.addr());
        drop(queue);
    }
}
