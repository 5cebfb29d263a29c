//! Who is connected, and whom we are dialling.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{
    error::ConnectError,
    peer::{Peer, Side},
};

/// The connections of a node, each with a link to its task, and the addresses that are being
/// dialled.
#[derive(Debug)]
pub(crate) struct Registry<L> {
    inner: RwLock<Inner<L>>,
}

#[derive(Debug)]
struct Inner<L> {
    /// By id, so that whoever goes through them all does so in the order in which they came.
    peers: BTreeMap<u64, L>,
    /// The same peers in the order of their remote addresses, which several connections may share,
    /// and then of their ids.
    addrs: BTreeMap<(SocketAddr, u64), Side>,
    dialing: HashSet<SocketAddr>,
    closed: bool,
    /// The links to all peers, since somebody asked and until there are others.
    links: Option<Arc<[L]>>,
}

/// What leads to the task of a connection.
pub(crate) trait Link: Clone {
    fn peer(&self) -> Peer;
}

impl<L: Link> Registry<L> {
    pub(crate) fn new() -> Self {
        Self {
            inner: RwLock::new(Inner {
                peers: BTreeMap::new(),
                addrs: BTreeMap::new(),
                dialing: HashSet::new(),
                closed: false,
                links: None,
            }),
        }
    }

    pub(crate) fn get(&self, peer: Peer) -> Option<L> {
        let inner = self.read();
        inner.peers.get(&peer.id()).cloned()
    }

    /// The oldest connection with this remote address.
    pub(crate) fn find(&self, addr: SocketAddr) -> Option<Peer> {
        self.read().at(addr).next()
    }

    pub(crate) fn peers(&self) -> Vec<Peer> {
        let inner = self.read();
        inner.peers.values().map(L::peer).collect()
    }

    /// The links to all peers. Who broadcasts asks for them with every message.
    pub(crate) fn links(&self) -> Arc<[L]> {
        if let Some(links) = &self.read().links {
            return links.clone();
        }
        self.write().links()
    }

    /// Enters a connection; `false` when the node makes no new ones.
    pub(crate) fn insert(&self, link: L) -> bool {
        let peer = link.peer();
        let mut inner = self.write();
        if inner.closed {
            return false;
        }
        inner.peers.insert(peer.id(), link);
        inner.addrs.insert((peer.addr(), peer.id()), peer.side());
        let stale = inner.links.take();
        drop(inner);
        drop(stale);
        true
    }

    pub(crate) fn remove(&self, peer: Peer) {
        let mut inner = self.write();
        let link = inner.peers.remove(&peer.id());
        inner.addrs.remove(&(peer.addr(), peer.id()));
        let stale = inner.links.take();
        drop(inner);
        drop((link, stale));
    }

    /// Reserves an address for dialling, so that nobody else connects to it meanwhile.
    pub(crate) fn dial(self: &Arc<Self>, addr: SocketAddr) -> Result<Dialing<L>, ConnectError> {
        let mut inner = self.write();
        if let Some(peer) = inner.at(addr).find(|peer| peer.side() == Side::Dialer) {
            return Err(ConnectError::AlreadyConnected(peer));
        }
        if !inner.dialing.insert(addr) {
            return Err(ConnectError::AlreadyDialing(addr));
        }
        Ok(Dialing {
            registry: self.clone(),
            addr,
        })
    }

    /// Lets no one in any more, and tells who is there.
    pub(crate) fn close(&self) -> Arc<[L]> {
        let mut inner = self.write();
        inner.closed = true;
        inner.links()
    }

    // No user code runs under this lock, so what poisoned it left it whole.
    fn read(&self) -> RwLockReadGuard<'_, Inner<L>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<L>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L> Inner<L> {
    fn links(&mut self) -> Arc<[L]>
    where
        L: Clone,
    {
        let peers = &self.peers;
        let all = || peers.values().cloned().collect();
        self.links.get_or_insert_with(all).clone()
    }

    /// The connections with this remote address, the oldest first.
    fn at(&self, addr: SocketAddr) -> impl Iterator<Item = Peer> {
        let same_addr = self.addrs.range((addr, 0)..=(addr, u64::MAX));
        same_addr.map(|((addr, id), side)| Peer::of(*id, *addr, *side))
    }
}

/// An address that is being dialled; dropping it makes the address free again.
#[derive(Debug)]
pub(crate) struct Dialing<L> {
    registry: Arc<Registry<L>>,
    addr: SocketAddr,
}

impl<L> Drop for Dialing<L> {
    fn drop(&mut self) {
        let inner = self.registry.inner.write();
        inner
            .unwrap_or_else(PoisonError::into_inner)
            .dialing
            .remove(&self.addr);
    }
}
