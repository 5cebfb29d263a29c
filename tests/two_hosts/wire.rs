//! A long and lossy way between two hosts.
//!
//! `tc netem` would do the same, where the kernel has it: it is a module that many machines lack, and
//! its losses can't be repeated. So a third host stands between the two, and carries each frame over
//! from one of its links to the other, late or not at all:
//!
//! ```text
//!   alice: eth0 ◄────► alice ─ late, or lost ─► bob ◄────► eth0 :bob
//!                        ▲◄─── late, or lost ────┘ the wire's links
//! ```

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{ifaddrs::getifaddrs, sys::socket::bind};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    common::random,
    hosts::{Host, Hosts, allowed},
};

/// `ETH_P_ALL`: frames of every protocol.
const EVERY_PROTOCOL: u16 = 3;

/// More than a frame has.
const FRAME_MOST: usize = 2048;

/// What happens to frames, in each direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) delay: Duration,
    /// How many of a hundred are lost.
    pub(crate) loss: u64,
}

/// How long a thread may wait before it looks whether it is to end, and the least that the kernel can
/// be told to wait.
const WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(1));

/// A host whose only task is to carry frames over.
pub(crate) struct Wire {
    state: Arc<State>,
    directions: Vec<thread::JoinHandle<()>>,
    _host: Host,
}

#[derive(Default)]
struct State {
    ended: AtomicBool,
    lost: AtomicU64,
}

impl Wire {
    /// How many frames were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        for direction in self.directions.drain(..) {
            let ended = direction.join();
            assert!(ended.is_ok() || thread::panicking(), "the wire broke");
        }
    }
}

impl Hosts {
    /// Two hosts with a long way between them; `None`, with a line printed, where this machine doesn't
    /// let us.
    pub(crate) async fn far_apart(way: Way, seed: u64) -> Option<(Self, Wire)> {
        let hosts = Self::apart()?;
        let wire = allowed(Host::new("wire"))?;
        // What a host says by itself would be carried over, too; without IPv6 that is nothing.
        let _ = wire.set("ipv6/conf/default/disable_ipv6", 1).await;
        for (host, name) in [(&hosts.alice, "alice"), (&hosts.bob, "bob")] {
            let netns = wire.netns();
            let cable = format!("link add name eth0 type veth peer name {name} netns {netns}");
            allowed(host.try_ip(&cable).await)?;
            wire.ip(&format!("link set dev {name} up")).await;
            // What is split by hardware would come to the wire in one piece, larger than any frame.
            host.ip("link set dev eth0 gso_max_segs 1").await;
        }
        hosts.plug_in().await;
        wire.carries("alice").await;
        wire.carries("bob").await;
        let taps = wire.run(async { Ok((tap("alice")?, tap("bob")?)) }).await;
        let (alice, bob) = allowed(taps)?;
        let state = Arc::new(State::default());
        let direction = |from: &Socket, to: &Socket, seed| {
            let (from, to) = (from.try_clone(), to.try_clone());
            let (from, to) = (from.expect("a socket"), to.expect("a socket"));
            let state = state.clone();
            thread::spawn(move || carry(&from, &to, way, seed, &state))
        };
        let directions = vec![
            direction(&alice, &bob, seed),
            direction(&bob, &alice, !seed),
        ];
        let _host = wire;
        Some((
            hosts,
            Wire {
                state,
                directions,
                _host,
            },
        ))
    }
}

/// All frames of one link.
fn tap(name: &str) -> io::Result<Socket> {
    let links = getifaddrs()?.filter(|link| link.interface_name == name);
    let mut links = links.filter_map(|link| link.address?.as_link_addr().copied());
    let link = links.next().ok_or(io::ErrorKind::NotFound)?;
    let protocol = Protocol::from(i32::from(EVERY_PROTOCOL.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    bind(socket.as_raw_fd(), &link)?;
    Ok(socket)
}

/// Carries frames over in one direction.
fn carry(mut from: &Socket, mut to: &Socket, way: Way, mut seed: u64, state: &State) {
    let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut frame = [0; FRAME_MOST];
    while !state.ended.load(Ordering::Relaxed) {
        let now = Instant::now();
        while under_way.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, frame)) = under_way.pop_front() {
                // What can't be sent is lost, as on any way.
                let _ = to.write(&frame);
            }
        }
        let (most, least) = WAIT;
        let next = under_way.front().map_or(most, |(due, _)| *due - now);
        let set = from.set_read_timeout(Some(next.clamp(least, most)));
        set.expect("a timeout that a socket takes");
        // An error is the timeout.
        let Ok(length) = from.read(&mut frame) else {
            continue;
        };
        if random(&mut seed) % 100 < way.loss {
            state.lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let mut frame = frame[..length].to_vec();
        set_checksum(&mut frame);
        under_way.push_back((Instant::now() + way.delay, frame));
    }
}

/// The checksum of TCP in IPv4: a host leaves it to its network card, and a wire has none.
fn set_checksum(frame: &mut [u8]) {
    const ETHERNET: usize = 14;
    const TCP: u8 = 6;
    let Some([0x08, 0x00]) = frame.get(12..ETHERNET) else {
        return;
    };
    let packet = &mut frame[ETHERNET..];
    if packet.len() < 20 || packet[9] != TCP {
        return;
    }
    let (header, total) = (usize::from(packet[0] & 0xf) * 4, word(&packet[2..]));
    let addresses: u32 = packet[12..20].chunks(2).map(word).sum();
    let segment = &mut packet[header..total as usize];
    segment[16..18].fill(0);
    let pseudo_header = addresses + u32::from(TCP) + segment.len() as u32;
    let mut sum = pseudo_header + segment.chunks(2).map(word).sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    segment[16..18].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// Two bytes of a packet; one at the end is followed by zero.
fn word(bytes: &[u8]) -> u32 {
    u32::from(u16::from_be_bytes([
        bytes[0],
        bytes.get(1).copied().unwrap_or(0),
    ]))
}
