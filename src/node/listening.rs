//! The listening of a [`Node`].

use std::{io, net::SocketAddr};

use futures::future::BoxFuture;
use tokio::net::{ToSocketAddrs, lookup_host};

use super::{Node, core::Listening};
use crate::{error::ListenError, incoming::Incomings};

impl<Out: Send + 'static> Node<Out> {
    /// The first address that the node listens on, with its real port; `None` if it doesn't.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.core().listening().first().copied()
    }

    /// All addresses that the node listens on.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.core().listening()
    }

    /// Listens on one more address, and tells it with its real port. A name that has several
    /// addresses stands for the first that can be bound.
    ///
    /// # Errors
    ///
    /// The address can't be resolved or bound, or the node is shut down.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the node doesn't listen there.
    pub async fn listen(&self, addr: impl ToSocketAddrs) -> Result<SocketAddr, ListenError> {
        let wiring = &self.handle.wiring;
        first_bound(addr, |addr| wiring.clone().listen(addr)).await
    }

    /// Listens on one more address, and leaves it to the program to decide on each connection that
    /// comes there, before a byte of it is read. To let in all that the limits, bans and
    /// filter of [`Admission`](crate::Admission) allow, [`listen`](Node::listen) is enough.
    ///
    /// # Errors
    ///
    /// As [`listen`](Node::listen).
    ///
    /// # Cancel safety
    ///
    /// When dropped, the node doesn't listen there.
    pub async fn listen_incoming(
        &self,
        addr: impl ToSocketAddrs,
    ) -> Result<Incomings, ListenError> {
        let wiring = &self.handle.wiring;
        first_bound(addr, |addr| wiring.clone().listen_incoming(addr)).await
    }

    /// Stops listening on all addresses; connections stay. Resolves when the sockets are closed, and
    /// says whether there were any.
    ///
    /// # Cancel safety
    ///
    /// When dropped after its first poll, the listening still stops.
    pub async fn stop_listening(&self) -> bool {
        let listeners = self.open_listeners();
        for listener in &listeners {
            listener.stop.cancel();
        }
        for listener in &listeners {
            listener.closed.cancelled().await;
        }
        drop(self.open_listeners());
        !listeners.is_empty()
    }

    /// Those whose sockets are not closed; the others are forgotten.
    fn open_listeners(&self) -> Vec<Listening> {
        let mut listeners = self.core().listeners.lock();
        listeners.retain(|listener| !listener.closed.is_cancelled());
        listeners.clone()
    }
}

/// Binds the first of the addresses that a name stands for that can be bound.
async fn first_bound<L>(
    addr: impl ToSocketAddrs,
    bind: impl Fn(SocketAddr) -> BoxFuture<'static, Result<L, ListenError>>,
) -> Result<L, ListenError> {
    let mut last = ListenError::Resolve(io::ErrorKind::NotFound.into());
    for addr in lookup_host(addr).await.map_err(ListenError::Resolve)? {
        match bind(addr).await {
            Ok(bound) => return Ok(bound),
            Err(ListenError::ShutDown) => return Err(ListenError::ShutDown),
            Err(error) => last = error,
        }
    }
    Err(last)
}
