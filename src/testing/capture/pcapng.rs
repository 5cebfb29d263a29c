//! Packets in a file.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use pcap_file::{
    DataLink, PcapError,
    pcapng::{
        PcapNgBlock, PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};

use super::{
    Direction,
    document::{Source, What},
    packets::{Conversation, Packet},
};
use crate::Side;

/// Times are nanoseconds: `pcap-file` writes them so, whatever this says.
const NANOSECONDS: u8 = 9;

/// Most of a message's text that becomes the comment of a packet, in bytes: more than anyone reads in a list, and far
/// less than the 65,535 that an option may have.
const COMMENT: usize = 1024;

/// The interface of nodes without a name.
const NAMELESS: &str = "wattle";

/// The flags of a packet that came or went (the lowest two bits).
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// Where the ports of made-up addresses begin: the ones for private use.
const FIRST_PORT: u16 = 49_152;

/// A file of packets.
pub(super) struct Pcapng<W: Write> {
    writer: PcapNgWriter<W>,
    interfaces: HashMap<Option<Arc<str>>, u32>,
    conversations: HashMap<u64, (u32, Conversation)>,
    /// How many conversations are in the file that the other end hasn't been heard of yet, by address of the node and of the
    /// remote. As many as there are connections in the capture, at most.
    half_known: HashMap<(SocketAddr, SocketAddr), u64>,
}

impl<W: Write> Pcapng<W> {
    pub(super) fn new(writer: W) -> io::Result<Self> {
        Ok(Self {
            writer: PcapNgWriter::new(writer).map_err(into_io)?,
            interfaces: HashMap::new(),
            conversations: HashMap::new(),
            half_known: HashMap::new(),
        })
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.get_mut().flush()
    }

    /// Writes what happens as packets of this time since the Unix epoch.
    pub(super) fn write(
        &mut self,
        source: &Source,
        at: Duration,
        what: &What<'_>,
    ) -> io::Result<()> {
        if let What::Open = what {
            self.begin(source)?;
        }
        let number = source.connection;
        let Some((interface, conversation)) = self.conversations.get_mut(&number) else {
            return Ok(());
        };
        let interface = *interface;
        let mut comment = None;
        let packets = match what {
            What::Open => conversation.open(match source.peer.side() {
                Side::Dialer => Direction::Out,
                Side::Listener => Direction::In,
            })?,
            What::Frame {
                direction,
                bytes,
                message,
            } => {
                comment = Some(shortened(message));
                conversation.say(*direction, bytes)?
            }
            What::Bytes { direction, bytes } => conversation.say(*direction, bytes)?,
            What::Error { .. } => return Ok(()),
            // Nothing can come behind the end of a side.
            What::End { undecoded } => {
                let mut packets = conversation.say(Direction::In, undecoded)?;
                packets.extend(conversation.end(Direction::In)?);
                packets
            }
            What::Close => conversation.end(Direction::Out)?,
        };
        if let What::Close = what {
            self.conversations.remove(&number);
        }
        for packet in packets {
            self.write_packet(interface, at, packet, comment.take())?;
        }
        Ok(())
    }

    /// Unless the other end is in the file: on a wire each byte is seen once.
    fn begin(&mut self, source: &Source) -> io::Result<()> {
        let interface = self.interface(source.node.as_ref())?;
        let remote = canonical(source.peer.addr());
        let known = source.local.map(canonical);
        let same_family = known.filter(|local| local.is_ipv4() == remote.is_ipv4());
        let local = same_family.unwrap_or_else(|| made_up(interface, source.connection, remote));
        if let Some(known @ 1..) = self.half_known.get_mut(&(remote, local)) {
            *known -= 1;
            return Ok(());
        }
        *self.half_known.entry((local, remote)).or_default() += 1;
        let conversation = Conversation::new(local, remote);
        self.conversations
            .insert(source.connection, (interface, conversation));
        Ok(())
    }

    /// The interface that stands for a node.
    fn interface(&mut self, node: Option<&Arc<str>>) -> io::Result<u32> {
        if let Some(&known) = self.interfaces.get(&node.cloned()) {
            return Ok(known);
        }
        let next = self.interfaces.len() as u32;
        let name = shortened(node.map_or(NAMELESS, |node| node)).to_owned();
        let description = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            // No limit.
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Owned(name)),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        };
        let block = description.into_block();
        self.writer.write_block(&block).map_err(into_io)?;
        self.interfaces.insert(node.cloned(), next);
        Ok(next)
    }

    fn write_packet(
        &mut self,
        interface: u32,
        at: Duration,
        packet: Packet,
        comment: Option<&str>,
    ) -> io::Result<()> {
        let mut options = vec![EnhancedPacketOption::Flags(match packet.direction {
            Direction::In => INBOUND,
            Direction::Out => OUTBOUND,
        })];
        options.extend(comment.map(|text| EnhancedPacketOption::Comment(text.into())));
        let block = EnhancedPacketBlock {
            interface_id: interface,
            timestamp: at,
            original_len: packet.bytes.len() as u32,
            data: packet.bytes.into(),
            options,
        };
        let written = self.writer.write_block(&block.into_block());
        written.map_err(into_io).map(drop)
    }
}

/// An address for a node whose own isn't known: a host of its own for each interface, from the ranges for
/// documentation (RFC 5737, RFC 3849), and a port for each connection.
fn made_up(interface: u32, connection: u64, remote: SocketAddr) -> SocketAddr {
    let host = (interface % 254 + 1) as u8;
    let ip: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::new(192, 0, 2, host).into(),
        SocketAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()).into(),
    };
    let ports = u64::from(u16::MAX - FIRST_PORT) + 1;
    SocketAddr::new(ip, FIRST_PORT + (connection % ports) as u16)
}

/// An IPv4 address that a socket for both families shows is one of IPv4.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// The beginning, if it is long.
fn shortened(text: &str) -> &str {
    let mut end = text.len().min(COMMENT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn into_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}
