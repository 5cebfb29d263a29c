//! A connection as the packets that TCP could have carried it in.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use etherparse::{PacketBuilder, TcpOptionElement};

use super::Direction;

/// The most payload of a packet: the length of an IPv4 packet has 16 bits, and this leaves room for any headers.
const SEGMENT: usize = 32 * 1024;

/// Hops that a packet has left, as most systems begin.
const HOPS: u8 = 64;

/// With the scale of windows, so large that no flow is ever found to have overrun it.
const WINDOW: u16 = u16::MAX;

/// The most that TCP allows (RFC 7323, section 2.3).
const WINDOW_SCALE: u8 = 14;

/// The sequence numbers that both ends begin with; the first byte has the next one.
const FIRST: u32 = 0;

/// What is special about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Syn,
    Push,
    Fin,
    None,
}

/// A packet and its direction.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) direction: Direction,
    pub(super) bytes: Vec<u8>,
}

/// The state of a conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    node: Party,
    remote: Party,
}

#[derive(Debug)]
struct Party {
    addr: SocketAddr,
    /// The number of what it says next.
    next: u32,
    /// Whether it may still say something.
    open: bool,
}

impl Party {
    fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            next: FIRST,
            open: true,
        }
    }
}

impl Conversation {
    /// Between two addresses of the same family.
    pub(super) fn new(node: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            node: Party::new(node),
            remote: Party::new(remote),
        }
    }

    /// The three packets that open it.
    pub(super) fn open(&mut self, dialer: Direction) -> io::Result<Vec<Packet>> {
        let answer = match dialer {
            Direction::In => Direction::Out,
            Direction::Out => Direction::In,
        };
        Ok(vec![
            self.packet(dialer, Flag::Syn, &[])?,
            self.packet(answer, Flag::Syn, &[])?,
            self.packet(dialer, Flag::None, &[])?,
        ])
    }

    /// What the one says, in as many packets as it takes. Nothing, if it has ended its side.
    pub(super) fn say(&mut self, direction: Direction, bytes: &[u8]) -> io::Result<Vec<Packet>> {
        if !self.party(direction).open {
            return Ok(Vec::new());
        }
        let last = bytes.len().div_ceil(SEGMENT).saturating_sub(1);
        let segments = bytes.chunks(SEGMENT).enumerate();
        let packets = segments.map(|(i, segment)| {
            let flag = if i == last { Flag::Push } else { Flag::None };
            self.packet(direction, flag, segment)
        });
        packets.collect()
    }

    /// The one ends its side, and the other acknowledges it.
    pub(super) fn end(&mut self, direction: Direction) -> io::Result<Vec<Packet>> {
        if !self.party(direction).open {
            return Ok(Vec::new());
        }
        let end = self.packet(direction, Flag::Fin, &[])?;
        self.party(direction).open = false;
        let answer = match direction {
            Direction::In => Direction::Out,
            Direction::Out => Direction::In,
        };
        Ok(vec![end, self.packet(answer, Flag::None, &[])?])
    }

    fn party(&mut self, direction: Direction) -> &mut Party {
        match direction {
            Direction::In => &mut self.remote,
            Direction::Out => &mut self.node,
        }
    }

    fn packet(&mut self, direction: Direction, flag: Flag, payload: &[u8]) -> io::Result<Packet> {
        let (from, to) = match direction {
            Direction::In => (&mut self.remote, &self.node),
            Direction::Out => (&mut self.node, &self.remote),
        };
        let acknowledged = to.next;
        let ip = match (from.addr.ip(), to.addr.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                PacketBuilder::ipv4(from.octets(), to.octets(), HOPS)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                PacketBuilder::ipv6(from.octets(), to.octets(), HOPS)
            }
            _ => return Err(io::Error::other("addresses of two families")),
        };
        let mut tcp = ip.tcp(from.addr.port(), to.addr.port(), from.next, WINDOW);
        // All but the very first packet acknowledge what has come.
        if flag != Flag::Syn || acknowledged != FIRST {
            tcp = tcp.ack(acknowledged);
        }
        let tcp = match flag {
            Flag::Syn => {
                let options = [
                    TcpOptionElement::MaximumSegmentSize(SEGMENT as u16),
                    TcpOptionElement::WindowScale(WINDOW_SCALE),
                ];
                tcp.syn().options(&options).map_err(io::Error::other)?
            }
            Flag::Push => tcp.psh(),
            Flag::Fin => tcp.fin(),
            Flag::None => tcp,
        };
        let mut bytes = Vec::with_capacity(tcp.size(payload.len()));
        tcp.write(&mut bytes, payload).map_err(io::Error::other)?;
        let counted = u32::from(matches!(flag, Flag::Syn | Flag::Fin));
        // They wrap around, as TCP's do.
        from.next = from.next.wrapping_add(payload.len() as u32 + counted);
        Ok(Packet { direction, bytes })
    }
}
