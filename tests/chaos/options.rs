//! The options of a node, by chance: tiny queues, short deadlines, few connections.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process,
    time::Duration,
};

use wattle::{Builder, Node, WhenFull, transport::Tcp};

use crate::{protocol::Faults, rng::Rng};

/// The most connections of a node: thirty-two nodes with so many stay below the thousand descriptors
/// that many systems give a process.
pub(crate) const MOST_CONNECTIONS: u64 = 24;

/// What may be done when a queue is full.
pub(crate) const POLICIES: [WhenFull; 5] = [
    WhenFull::Wait,
    WhenFull::Reject,
    WhenFull::DropOldest,
    WhenFull::DropNewest,
    WhenFull::Disconnect,
];

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) ip: IpAddr,
    max_connections: usize,
    pub(crate) max_pending: usize,
    max_incoming: Option<usize>,
    max_per_ip: Option<usize>,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    idle_timeout: Option<Duration>,
    frame_timeout: Option<Duration>,
    min_frame_rate: Option<u32>,
    pub(crate) write_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    inbound: (usize, usize),
    outbound: (usize, usize),
    pub(crate) when_full: WhenFull,
    /// Whether sinks are given policies of their own.
    pub(crate) own_policies: bool,
    /// Whether messages are weighed, rather than taken to be as large as those before them.
    pub(crate) weighed: bool,
    memory_budget: Option<usize>,
    pub(crate) max_frame_bytes: Option<usize>,
    allow_duplicates: bool,
    allow_half_open: bool,
    dial_from: bool,
    pub(crate) faults: Faults,
}

/// The address of the node in a slot. On Linux all of 127.0.0.0/8 is this host, so that each has one
/// of its own, and so has each process that runs this test.
pub(crate) fn address(slot: usize) -> IpAddr {
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST.into();
    }
    let [.., high, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high, low, 1 + slot as u8).into()
}

impl Options {
    pub(crate) fn random(rng: &mut Rng, slot: usize) -> Self {
        let max_connections = rng.between(2, MOST_CONNECTIONS) as usize;
        let idle_timeout = rng.maybe(400, |rng| rng.millis(100, 2000));
        let frame_timeout = rng.maybe(300, |rng| rng.millis(50, 1000));
        Self {
            ip: address(slot),
            max_connections,
            max_pending: rng.between(1, max_connections as u64) as usize,
            max_per_ip: rng.maybe(200, |rng| rng.between(1, MOST_CONNECTIONS) as usize),
            max_incoming: rng.maybe(300, |rng| rng.between(1, MOST_CONNECTIONS) as usize),
            connect_timeout: rng.millis(200, 2000),
            handshake_timeout: rng.millis(50, 1000),
            idle_timeout,
            frame_timeout,
            min_frame_rate: frame_timeout.and_then(|_| rng.maybe(300, |_| 1024 * 1024)),
            write_timeout: rng.millis(100, 2000),
            drain_timeout: rng.millis(50, 1000),
            inbound: bounds(rng),
            outbound: bounds(rng),
            when_full: rng
                .maybe(300, |rng| *rng.pick(&POLICIES).unwrap_or(&WhenFull::Wait))
                .unwrap_or_default(),
            own_policies: rng.chance(200),
            weighed: rng.chance(300),
            memory_budget: rng.maybe(200, |rng| rng.between(256, 64 * 1024) as usize),
            max_frame_bytes: rng.maybe(300, |rng| rng.between(256, 16 * 1024) as usize),
            allow_duplicates: rng.chance(500),
            // Half-open connections that nobody ends would fill the node.
            allow_half_open: idle_timeout.is_some() && rng.chance(500),
            dial_from: rng.chance(500),
            faults: Faults {
                handshake: *rng.pick(&[0, 0, 20, 200]).unwrap_or(&0),
                decoder: *rng.pick(&[0, 0, 20, 200]).unwrap_or(&0),
                encoder: *rng.pick(&[0, 0, 20, 200]).unwrap_or(&0),
            },
        }
    }

    pub(crate) fn builder(&self, name: &str) -> Builder<Tcp> {
        let mut tcp = Tcp::new();
        if self.dial_from {
            tcp = tcp.dial_from(SocketAddr::from((self.ip, 0)));
        }
        Node::builder()
            .transport(tcp)
            .name(name)
            .listen(self.listen_on())
            .max_connections(self.max_connections)
            .max_pending(self.max_pending)
            .max_incoming(self.max_incoming)
            .max_per_ip(self.max_per_ip)
            .connect_timeout(self.connect_timeout)
            .handshake_timeout(self.handshake_timeout)
            .idle_timeout(self.idle_timeout)
            .frame_timeout(self.frame_timeout)
            .min_frame_rate(self.min_frame_rate)
            .write_timeout(self.write_timeout)
            .drain_timeout(self.drain_timeout)
            .max_inbound_messages(self.inbound.0)
            .max_inbound_bytes(self.inbound.1)
            .max_outbound_messages(self.outbound.0)
            .max_outbound_bytes(self.outbound.1)
            .when_full(self.when_full)
            .memory_budget(self.memory_budget)
            .max_frame_bytes(self.max_frame_bytes)
            .allow_duplicates(self.allow_duplicates)
            .allow_half_open(self.allow_half_open)
    }

    pub(crate) fn listen_on(&self) -> String {
        format!("{}:0", self.ip)
    }

    /// Whether messages may vanish from the middle of a queue: dropped by the policy, or not taken by a
    /// sink that can't give them back.
    pub(crate) fn may_drop(&self) -> bool {
        self.own_policies || !matches!(self.when_full, WhenFull::Wait | WhenFull::Disconnect)
    }
}

/// Messages and bytes.
fn bounds(rng: &mut Rng) -> (usize, usize) {
    let bytes = 1 << rng.between(4, 17);
    match rng.below(3) {
        0 => (rng.between(1, 4) as usize, bytes),
        1 => (rng.between(1, 64) as usize, bytes),
        _ => (1024, 512 * 1024),
    }
}
