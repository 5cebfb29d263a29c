//! A network without sockets.

use std::{
    collections::BTreeMap,
    env, fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
};

use tokio::task::yield_now;

use super::conditions::{Bore, Connection, Link, Way};
use crate::{error::StartError, transport::Transport};

mod hosts;
mod listening;
mod stream;

use self::{hosts::Hosts, listening::Arrival};
pub use self::{listening::MemoryAcceptor, stream::MemoryStream};

/// How much a pipe holds unless told otherwise: what a small receive buffer of a kernel does.
const CAPACITY: usize = 64 * 1024;

/// How much goes at once unless told otherwise: a byte at least, and what a packet on Ethernet carries
/// at most.
const SEGMENT: RangeInclusive<usize> = 1..=1460;

/// How many connections wait to be accepted unless told otherwise, as in the standard library.
const BACKLOG: usize = 128;

/// A network in memory: a [`Transport`] without sockets, with an address space of its own.
///
/// A clone is the same network seen from the same host; [`at`](Memory::at) is the same network seen from
/// another. Its streams look like TCP's, in how they end too (see [`MemoryStream`]), and every write and
/// read takes only a piece of what it could, so that a program which relies on more is found out. What
/// happens between two hosts can be made worse: see [`link`](Memory::link).
///
/// Nothing in it waits for the operating system. Under paused time
/// (`#[tokio::test(start_paused = true)]`) a timeout of minutes takes microseconds; and on
/// a runtime with one thread, the same seed gives the same events in the same order.
///
/// Addresses mean what they say: `127.0.0.1`, where a new network is, is a host as any other, and
/// the same for all. Where nobody listens, dialling is refused; where a host has
/// [vanished](Memory::vanish), nobody answers.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Node, testing::Memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), wattle::BoxError> {
/// let memory = Memory::with_seed(7);
/// let lines = |_| LinesCodec::new_with_max_length(8192);
///
/// let bob = Node::builder().transport(memory.at([10, 0, 0, 2])).listen("10.0.0.2:7000");
/// let (_bob, mut inbound) = bob.start::<_, String>(lines).await?;
///
/// let alice = Node::builder().transport(memory.at([10, 0, 0, 1]));
/// let (alice, _replies) = alice.start(lines).await?;
/// let peer = alice.connect("10.0.0.2:7000").await?;
/// alice.send_to("hello".to_owned(), peer).await?;
/// assert_eq!(inbound.recv().await.unwrap().0, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Memory {
    hosts: Arc<Hosts>,
    here: IpAddr,
    bore: Bore,
    backlog: usize,
}

impl Memory {
    /// A new network, seen from `127.0.0.1`. Its seed is what the environment has as `WATTLE_SEED`, else
    /// drawn; a test that fails prints it (if the network is dropped on its thread).
    ///
    /// # Panics
    ///
    /// If `WATTLE_SEED` is no number.
    pub fn new() -> Self {
        let given = env::var("WATTLE_SEED").ok();
        let given = given.map(|seed| seed.parse().expect("WATTLE_SEED is a number"));
        Self::with_seed(given.unwrap_or_else(|| fastrand::u64(..)))
    }

    /// A new network, seen from `127.0.0.1`, whose randomness this seed determines.
    pub fn with_seed(seed: u64) -> Self {
        Self {
            hosts: Hosts::new(seed),
            here: Ipv4Addr::LOCALHOST.into(),
            bore: Bore {
                capacity: CAPACITY,
                segment: SEGMENT,
            },
            backlog: BACKLOG,
        }
    }

    /// What determines the randomness of the network.
    pub fn seed(&self) -> u64 {
        self.hosts.seed()
    }

    /// The same network, seen from another host: that is where what it dials comes from, and what listens
    /// on port 0 is. The options are the same.
    pub fn at(&self, host: impl Into<IpAddr>) -> Self {
        Self {
            here: host.into(),
            ..self.clone()
        }
    }

    /// The host that the network is seen from.
    pub fn host(&self) -> IpAddr {
        self.here
    }

    /// How many bytes each direction of a connection holds that is dialled from here: written, under
    /// way, or not read yet; 65,536 by default.
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.bore.capacity = bytes;
        self
    }

    /// How many bytes a write to a connection that is dialled from here takes at most, and a read from it
    /// gives, at both ends; drawn anew each time, from 1 to 1,460 by default. `1..=usize::MAX` leaves the
    /// sizes to whoever reads and writes.
    pub fn segment(mut self, bytes: RangeInclusive<usize>) -> Self {
        self.bore.segment = bytes;
        self
    }

    /// How many connections wait until one who listens here accepts them; 128 by default. Who dials
    /// when there are so many waits for room, as on Linux.
    pub fn backlog(mut self, connections: usize) -> Self {
        self.backlog = connections;
        self
    }

    /// The link between two hosts, to set its [`Conditions`](super::Conditions), stall it, reset it.
    pub fn link(&self, one: impl Into<IpAddr>, other: impl Into<IpAddr>) -> Link {
        let [forth, back] = self.hosts.lanes(one.into(), other.into());
        Link::new(forth, back)
    }

    /// Splits the network into groups of hosts, in place of any groups before. Between
    /// hosts of different groups nothing goes: connections stall, and dialling takes until it
    /// [heals](Memory::heal). Hosts that are in no group reach all.
    ///
    /// # Panics
    ///
    /// If a host is in two groups.
    pub fn partition(&self, groups: &[&[IpAddr]]) {
        let mut numbered = BTreeMap::new();
        for (number, group) in groups.iter().enumerate() {
            for &host in *group {
                let before = numbered.insert(host, number);
                assert!(
                    before.is_none_or(|one| one == number),
                    "{host} is in two groups"
                );
            }
        }
        self.hosts.rearrange(|space| space.set_groups(numbered));
    }

    /// Ends the [partition](Memory::partition): connections go on where they were.
    pub fn heal(&self) {
        self.partition(&[]);
    }

    /// Lets a host vanish, as one whose power fails: its connections become
    /// [half-open](Link::half_open) for those at the other end (and for its own programs), and dialling it
    /// never resolves. It need not have been there.
    pub fn vanish(&self, host: impl Into<IpAddr>) {
        let host = host.into();
        self.hosts.rearrange(|space| space.set_vanished(host, true));
        self.hosts
            .lanes_of(host)
            .iter()
            .for_each(|lane| lane.lose());
    }

    /// Lets a host that had [vanished](Memory::vanish) be reached again. Its former connections stay
    /// silent.
    pub fn come_back(&self, host: impl Into<IpAddr>) {
        let host = host.into();
        self.hosts
            .rearrange(|space| space.set_vanished(host, false));
    }

    /// Where to listen: port 0 is always one of this host.
    fn own(&self, addr: SocketAddr) -> io::Result<IpAddr> {
        let own = addr.port() == 0 || addr.ip().is_unspecified() || addr.ip() == self.here;
        if own {
            return Ok(self.here);
        }
        let text = format!("{} is not this host, which is {}", addr.ip(), self.here);
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text))
    }

    /// What is wrong with the options, if anything is.
    fn check(&self) -> Result<(), StartError> {
        if self.bore.capacity == 0 {
            let reason = "nothing could ever be written";
            return Err(StartError::invalid("Memory::capacity", 0, reason));
        }
        let segment = &self.bore.segment;
        if segment.is_empty() || *segment.start() == 0 {
            let reason = "a segment has at least one byte";
            return Err(StartError::invalid("Memory::segment", segment, reason));
        }
        if self.backlog == 0 {
            let reason = "no connection would be held until it is accepted";
            return Err(StartError::invalid("Memory::backlog", 0, reason));
        }
        Ok(())
    }

    /// The same for those who use it without a node.
    fn checked(&self) -> io::Result<()> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        self.check().map_err(invalid)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for Memory {
    type Stream = MemoryStream;
    type Acceptor = MemoryAcceptor;

    fn validate(&self) -> Result<(), StartError> {
        self.check()
    }

    async fn bind(&self, addr: SocketAddr) -> io::Result<MemoryAcceptor> {
        self.checked()?;
        let port = self.hosts.take(self.own(addr)?, addr.port())?;
        Ok(MemoryAcceptor::new(port, self.backlog))
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<MemoryStream> {
        self.checked()?;
        let port = self.hosts.take(self.here, 0)?;
        let [forth, back] = self.hosts.lanes(self.here, addr.ip());
        // Whatever the conditions, others have their turn before a connection is there.
        yield_now().await;
        forth.cross().await;
        let room = match self.hosts.listener(addr) {
            // Those who dial wait in line, and each for itself.
            Some(listener) => listener.reserve_owned().await.ok(),
            None => None,
        };
        let Some(room) = room else {
            back.cross().await;
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let from = port.addr();
        let connection = Connection::new(&forth, &back, &self.bore, self.hosts.draw());
        let ours = MemoryStream::new(connection.clone(), Way::Forth, (from, addr), Some(port));
        let theirs = MemoryStream::new(connection, Way::Back, (addr, from), None);
        room.send(Arrival::new(theirs));
        back.cross().await;
        Ok(ours)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("seed", &self.seed())
            .field("host", &self.here)
            .field("capacity", &self.bore.capacity)
            .field("segment", &self.bore.segment)
            .field("backlog", &self.backlog)
            .finish_non_exhaustive()
    }
}
