//! The address space of a [`Memory`](super::Memory): hosts, their ports, and the lanes between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    thread,
};

use fastrand::Rng;
use tokio::sync::mpsc;

use super::{
    super::conditions::{Hold, Lane},
    listening::Arrival,
};
use crate::sync::{Mutex, MutexGuard};

/// The ports that are given to those who want any (RFC 6335: dynamic ports).
const FREE_PORTS: RangeInclusive<u16> = 49_152..=65_535;

/// A network; everything on it holds it.
#[derive(Debug)]
pub(in crate::testing) struct Hosts {
    seed: u64,
    space: Mutex<Space>,
}

/// Maps are sorted, so that a seed fixes in which order lanes change.
#[derive(Debug)]
pub(super) struct Space {
    rng: Rng,
    ports: BTreeMap<IpAddr, Ports>,
    listeners: BTreeMap<SocketAddr, mpsc::Sender<Arrival>>,
    /// As many as there are pairs of hosts that had to do with each other.
    lanes: BTreeMap<(IpAddr, IpAddr), Arc<Lane>>,
    groups: BTreeMap<IpAddr, usize>,
    vanished: BTreeSet<IpAddr>,
}

/// The ports of a host.
#[derive(Debug)]
struct Ports {
    used: BTreeSet<u16>,
    next: u16,
}

/// A port that is given back when this is dropped.
#[derive(Debug)]
pub(in crate::testing) struct Port {
    hosts: Arc<Hosts>,
    addr: SocketAddr,
}

impl Hosts {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            space: Mutex::new(Space {
                rng: Rng::with_seed(seed),
                ports: BTreeMap::new(),
                listeners: BTreeMap::new(),
                lanes: BTreeMap::new(),
                groups: BTreeMap::new(),
                vanished: BTreeSet::new(),
            }),
        })
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Space> {
        self.space.lock()
    }

    /// Takes a port of a host; any free one for 0.
    pub(super) fn take(self: &Arc<Self>, ip: IpAddr, port: u16) -> io::Result<Port> {
        let port = self.lock().ports(ip).take(port)?;
        Ok(Port {
            hosts: self.clone(),
            addr: SocketAddr::new(ip, port),
        })
    }

    /// Who listens at an address.
    pub(super) fn listener(&self, addr: SocketAddr) -> Option<mpsc::Sender<Arrival>> {
        self.lock().listeners.get(&addr).cloned()
    }

    /// The lanes from one host to another and back.
    pub(super) fn lanes(&self, from: IpAddr, to: IpAddr) -> [Arc<Lane>; 2] {
        let mut space = self.lock();
        [space.lane(from, to), space.lane(to, from)]
    }

    /// A seed for what is new.
    pub(super) fn draw(&self) -> u64 {
        self.lock().rng.u64(..)
    }

    /// Changes which hosts are cut off from which.
    pub(super) fn rearrange(&self, change: impl FnOnce(&mut Space)) {
        let lanes: Vec<_> = {
            let mut space = self.lock();
            change(&mut space);
            let lanes = space.lanes.iter();
            lanes
                .map(|(&(from, to), lane)| (lane.clone(), space.holds(from, to)))
                .collect()
        };
        for (lane, holds) in lanes {
            for (hold, on) in holds {
                lane.hold(hold, on);
            }
        }
    }

    /// Every lane to and from a host.
    pub(super) fn lanes_of(&self, ip: IpAddr) -> Vec<Arc<Lane>> {
        let space = self.lock();
        let of_host = space
            .lanes
            .iter()
            .filter(|&(&(from, to), _)| from == ip || to == ip);
        of_host.map(|(_, lane)| lane.clone()).collect()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // What a test that fails on this thread needs to fail again.
        if thread::panicking() {
            eprintln!(
                "WATTLE_SEED={} was the seed of a network in memory",
                self.seed
            );
        }
    }
}

impl Space {
    fn ports(&mut self, ip: IpAddr) -> &mut Ports {
        self.ports.entry(ip).or_insert_with(|| Ports {
            used: BTreeSet::new(),
            next: *FREE_PORTS.start(),
        })
    }

    fn lane(&mut self, from: IpAddr, to: IpAddr) -> Arc<Lane> {
        if let Some(lane) = self.lanes.get(&(from, to)) {
            return lane.clone();
        }
        let lane = Lane::new(self.rng.u64(..));
        for (hold, on) in self.holds(from, to) {
            lane.hold(hold, on);
        }
        self.lanes.insert((from, to), lane.clone());
        lane
    }

    fn holds(&self, from: IpAddr, to: IpAddr) -> [(Hold, bool); 2] {
        let [one, other] = [from, to].map(|ip| self.groups.get(&ip));
        let partitioned = one.is_some() && other.is_some() && one != other;
        let absent = [from, to].iter().any(|ip| self.vanished.contains(ip));
        [(Hold::Partitioned, partitioned), (Hold::Absent, absent)]
    }

    pub(super) fn set_groups(&mut self, groups: BTreeMap<IpAddr, usize>) {
        self.groups = groups;
    }

    pub(super) fn set_vanished(&mut self, ip: IpAddr, vanished: bool) {
        match vanished {
            true => self.vanished.insert(ip),
            false => self.vanished.remove(&ip),
        };
    }

    pub(super) fn listen(&mut self, addr: SocketAddr, queue: mpsc::Sender<Arrival>) {
        self.listeners.insert(addr, queue);
    }

    pub(super) fn stop_listening(&mut self, addr: SocketAddr) -> Option<mpsc::Sender<Arrival>> {
        self.listeners.remove(&addr)
    }
}

impl Ports {
    fn take(&mut self, port: u16) -> io::Result<u16> {
        let port = match port {
            0 => self.free().ok_or(io::ErrorKind::AddrNotAvailable)?,
            port => port,
        };
        match self.used.insert(port) {
            true => Ok(port),
            false => Err(io::ErrorKind::AddrInUse.into()),
        }
    }

    /// The next that is free, so that one which was given back is not given out again soon.
    fn free(&mut self) -> Option<u16> {
        for _ in FREE_PORTS {
            let port = self.next;
            self.next = port.checked_add(1).unwrap_or(*FREE_PORTS.start());
            if !self.used.contains(&port) {
                return Some(port);
            }
        }
        None
    }
}

impl Port {
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let mut space = self.hosts.lock();
        space.ports(self.addr.ip()).used.remove(&self.addr.port());
    }
}
