//! Who is at the other end: [`Peer`] and [`Side`].

use std::{
    cmp::Ordering as CmpOrdering,
    fmt,
    hash::{Hash, Hasher},
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

/// One connection, seen from this node: its id, the remote address, and who opened it.
///
/// A `Peer` is a small value to copy around, to keep in maps and to send to. It names a
/// *connection*: when a remote node connects again, that is another `Peer` with the same address.
/// Ids are never used twice in a process, so a `Peer` that is gone never comes to mean another.
///
/// Equality, order and hash are those of the id.
#[derive(Clone, Copy)]
pub struct Peer {
    id: u64,
    addr: SocketAddr,
    side: Side,
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// This node dialled.
    Dialer,
    /// The remote dialled, this node accepted.
    Listener,
}

impl Peer {
    /// A peer with an id that no other has or will have in this process.
    pub(crate) fn next(addr: SocketAddr, side: Side) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self::of(NEXT.fetch_add(1, Ordering::Relaxed), addr, side)
    }

    pub(crate) fn of(id: u64, addr: SocketAddr, side: Side) -> Self {
        Self { id, addr, side }
    }

    /// The id of the connection, unique in this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The remote address. For a connection that the remote opened, its port is usually an
    /// ephemeral one: not the port at which that node listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Who opened the connection: [`Side::Dialer`] if this node did.
    pub fn side(&self) -> Side {
        self.side
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Peer {}

impl PartialOrd for Peer {
    fn partial_cmp(&self, other: &Self) -> Option<CmpOrdering> {
        Some(self.cmp(other))
    }
}

impl Ord for Peer {
    fn cmp(&self, other: &Self) -> CmpOrdering {
        self.id.cmp(&other.id)
    }
}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// `#ID ADDRESS`, for example `#7 127.0.0.1:4000`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.id, self.addr)
    }
}

/// `#ID ADDRESS (SIDE)`, for example `#7 127.0.0.1:4000 (Dialer)`.
impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} ({:?})", self.id, self.addr, self.side)
    }
}
