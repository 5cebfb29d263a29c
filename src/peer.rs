//! Who is at the other end: [`Peer`] and [`Side`].

use std::{
    cmp::Ordering as CmpOrdering,
    fmt,
    hash::{Hash, Hasher},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    sync::atomic::{AtomicU64, Ordering},
};

/// One connection, seen from this node: its id, the remote address, and who opened it.
///
/// A `Peer` is a small value to copy around, to keep in maps and to send to. It names a
/// *connection*: when a remote node connects again, that is another `Peer` with the same address.
/// Ids are never used twice in a process, so a `Peer` that is gone never comes to mean another.
///
/// Equality, order and hash are those of the id.
// Two numbers and nothing else: every message is moved several times with its `Peer`. What has fields is
// moved in pieces, and one that spans two that were just written waits until both have reached the cache.
#[derive(Clone, Copy)]
pub struct Peer {
    /// The remote IP address; that of IPv4 is in the lowest quarter.
    ip: u128,
    /// From the lowest bit on: the port, [`IPV6`] and [`DIALLED`], the id in 46 bits (two years of a
    /// million connections a second), scope id, flow information.
    rest: u128,
}

const IPV6: u128 = 1 << 16;
const DIALLED: u128 = 1 << 17;
const ID: u32 = 18;
const SCOPE_ID: u32 = 64;
const FLOWINFO: u32 = 96;

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
        let dialled = match side {
            Side::Dialer => DIALLED,
            Side::Listener => 0,
        };
        let (ip, family, flowinfo, scope_id) = match addr {
            SocketAddr::V4(addr) => (addr.ip().to_bits().into(), 0, 0, 0),
            SocketAddr::V6(addr) => {
                let (flowinfo, scope_id) = (addr.flowinfo(), addr.scope_id());
                (addr.ip().to_bits(), IPV6, flowinfo, scope_id)
            }
        };
        let rest = u128::from(addr.port()) | family | dialled | u128::from(id << ID);
        let rest = rest | u128::from(scope_id) << SCOPE_ID | u128::from(flowinfo) << FLOWINFO;
        Self { ip, rest }
    }

    /// The id of the connection, unique in this process.
    pub fn id(&self) -> u64 {
        self.rest as u64 >> ID
    }

    /// The remote address. For a connection that the remote opened, its port is usually an
    /// ephemeral one: not the port at which that node listens.
    pub fn addr(&self) -> SocketAddr {
        let port = self.rest as u16;
        if self.rest & IPV6 == 0 {
            return SocketAddrV4::new(Ipv4Addr::from_bits(self.ip as u32), port).into();
        }
        let (flowinfo, scope_id) = (self.rest >> FLOWINFO, self.rest >> SCOPE_ID);
        SocketAddrV6::new(self.ip.into(), port, flowinfo as u32, scope_id as u32).into()
    }

    /// Who opened the connection: [`Side::Dialer`] if this node did.
    pub fn side(&self) -> Side {
        match self.rest & DIALLED {
            0 => Side::Listener,
            _ => Side::Dialer,
        }
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
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
        self.id().cmp(&other.id())
    }
}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

/// `#ID ADDRESS`, for example `#7 127.0.0.1:4000`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.id(), self.addr())
    }
}

/// `#ID ADDRESS (SIDE)`, for example `#7 127.0.0.1:4000 (Dialer)`.
impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} ({:?})", self.id(), self.addr(), self.side())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_what_it_was_made_with() {
        let scoped = SocketAddrV6::new("fe80::1:2".parse().expect("an address"), 9, 0x12345, 7);
        let addrs = [
            "203.0.113.9:4000",
            "255.255.255.255:65535",
            "[2001:db8::ff]:1",
        ];
        let addrs = addrs.map(|addr| addr.parse().expect("an address"));
        for addr in addrs.into_iter().chain([scoped.into()]) {
            for side in [Side::Dialer, Side::Listener] {
                for id in [1, (1 << 46) - 1] {
                    let peer = Peer::of(id, addr, side);
                    assert_eq!((peer.id(), peer.addr(), peer.side()), (id, addr, side));
                }
            }
        }
        let (mapped, v4) = ("[::ffff:1.2.3.4]:5", "1.2.3.4:5");
        for text in [mapped, v4] {
            let addr: SocketAddr = text.parse().expect("an address");
            assert_eq!(Peer::next(addr, Side::Dialer).addr().to_string(), text);
        }
    }
}
