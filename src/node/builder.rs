//! The options of a node: [`Builder`].

use std::{
    fmt,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use tokio_util::codec::{Decoder, Encoder};
use tracing::info_span;

use super::{Handle, Node, core::Core, wiring::Wiring};
use crate::{
    admission::Rules,
    config::{AcceptRate, Config, Dependent, WhenFull},
    disconnect::BoxError,
    error::{ListenError, StartError},
    inbound::Inbound,
    outbound::{AsEncoded, Weigher, own_weigher},
    protocol::Protocol,
    transport::{Tcp, Transport},
};

/// The options of a node, all with sensible defaults; [`start`](Builder::start) checks them.
///
/// ```
/// # async fn example() -> Result<(), wattle::StartError> {
/// use std::time::Duration;
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Inbound, Node};
///
/// let (node, inbound): (Node<String>, Inbound<String>) = Node::builder()
///     .name("alice")
///     .listen("127.0.0.1:0")
///     .max_connections(64)
///     .idle_timeout(Duration::from_secs(60))
///     .start(|_| LinesCodec::new_with_max_length(8192))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder<T = Tcp, W = AsEncoded> {
    config: Config,
    given: Dependent,
    listen: Vec<String>,
    rules: Rules,
    transport: T,
    weigher: W,
}

impl Builder<Tcp> {
    pub(super) fn new() -> Self {
        Self {
            config: Config::default(),
            given: Dependent::default(),
            listen: Vec::new(),
            rules: Rules::default(),
            transport: Tcp::new(),
            weigher: AsEncoded,
        }
    }
}

impl<T: Transport, W> Builder<T, W> {
    /// Names the node in its logs; a node without a name has a number.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = Some(name.into());
        self
    }

    /// Listens on an address, given as `HOST:PORT`; port 0 means any free one, which
    /// [`Node::local_addr`] then tells. May be called several times. Without it the node doesn't
    /// listen until [`Node::listen`].
    pub fn listen(mut self, addr: impl ToString) -> Self {
        self.listen.push(addr.to_string());
        self
    }

    /// Where streams come from; [`Tcp`] by default, which also carries the options of sockets.
    pub fn transport<U: Transport>(self, transport: U) -> Builder<U, W> {
        Builder {
            config: self.config,
            given: self.given,
            listen: self.listen,
            rules: self.rules,
            transport,
            weigher: self.weigher,
        }
    }

    /// How large a message is in its peer's queue, in bytes; it counts towards
    /// [`max_outbound_bytes`](Builder::max_outbound_bytes) and the
    /// [`memory_budget`](Builder::memory_budget). For messages that aren't bytes or text and differ much
    /// in size: a closure `|message: &Out| …`, called when a message is sent (again whenever a sender that
    /// waits looks for room) and when it is dropped to make room.
    ///
    /// It runs in the caller that sends. If it panics, the panic is the caller's and the message is
    /// lost; what it says is believed.
    pub fn weigher<F>(self, weigher: F) -> Builder<T, F> {
        Builder {
            config: self.config,
            given: self.given,
            listen: self.listen,
            rules: self.rules,
            transport: self.transport,
            weigher,
        }
    }

    /// The most connections in all, those that are dialled or shake hands included, and those that
    /// others have left with messages [unread](crate::Inbound); 1,024 by default. An incoming one
    /// beyond it is closed at once and reported as [`Event::Refused`](crate::Event::Refused); one of
    /// our own fails with [`ConnectError::Limit`](crate::ConnectError::Limit).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.config.limits.max_connections = connections;
        self
    }

    /// The most connections that others may open to us, pending ones included; by default as many as
    /// there may be in all. Less keeps room for our own dialling however many come.
    pub fn max_incoming(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.config.limits.max_incoming = connections.into();
        self
    }

    /// The most connections that are not established yet: those that are dialled, and those that
    /// shake hands, ours and theirs together; 256 by default, or as many as there may be connections
    /// if that is less.
    pub fn max_pending(mut self, connections: usize) -> Self {
        self.given.max_pending = Some(connections);
        self
    }

    /// How many of the pending connections are kept for our own dialling, so that a flood of incoming
    /// ones never stops it; a quarter of [`max_pending`](Builder::max_pending) by default.
    pub fn pending_for_dialing(mut self, connections: usize) -> Self {
        self.given.pending_for_dialing = Some(connections);
        self
    }

    /// The most incoming connections from one IP address, pending ones included; any number by
    /// default, as tests and hosts behind one router need. A node that strangers can reach should have
    /// a limit.
    pub fn max_per_ip(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.config.limits.max_per_ip = connections.into();
        self
    }

    /// The most incoming connections from one IP address that shake hands; any number by default.
    /// Without it one host can fill [`max_pending`](Builder::max_pending) alone.
    pub fn max_pending_per_ip(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.config.limits.max_pending_per_ip = connections.into();
        self
    }

    /// The most incoming connections from one subnet, pending ones included; any number by default.
    /// What a subnet is, [`subnets`](Builder::subnets) says.
    pub fn max_per_subnet(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.config.limits.max_per_subnet = connections.into();
        self
    }

    /// The most incoming connections from one subnet that shake hands; any number by default.
    pub fn max_pending_per_subnet(mut self, connections: impl Into<Option<usize>>) -> Self {
        self.config.limits.max_pending_per_subnet = connections.into();
        self
    }

    /// How many leading bits of an address make its subnet; 24 for IPv4 and 64 for IPv6 by default.
    pub fn subnets(mut self, ipv4_prefix: u8, ipv6_prefix: u8) -> Self {
        self.config.limits.ipv4_prefix = ipv4_prefix;
        self.config.limits.ipv6_prefix = ipv6_prefix;
        self
    }

    /// How many incoming connections are let in over time: `connections` at once, and as many again
    /// in the time `per`, evenly. Those beyond are refused. No such limit by default.
    pub fn accept_rate(mut self, connections: NonZeroU32, per: Duration) -> Self {
        self.config.limits.accept_rate = Some(AcceptRate { connections, per });
        self
    }

    /// Bans an address or a subnet, for a time from the start of the node on, or for ever (`None`); see
    /// [`Admission::ban`](crate::Admission::ban). May be called several times.
    pub fn ban(mut self, net: impl Into<IpNet>, time: impl Into<Option<Duration>>) -> Self {
        self.rules.bans.push((net.into(), time.into()));
        self
    }

    /// Exempts an address or a subnet from the limits; see
    /// [`Admission::bypass`](crate::Admission::bypass). May be called several times.
    pub fn bypass(mut self, net: impl Into<IpNet>) -> Self {
        self.rules.bypass.push(net.into());
        self
    }

    /// Refuses the connections from addresses that the filter returns `false` for; see
    /// [`Admission::set_filter`](crate::Admission::set_filter). It must not block.
    pub fn filter(mut self, filter: impl Fn(SocketAddr) -> bool + Send + Sync + 'static) -> Self {
        self.rules.filter = Some(Arc::new(filter));
        self
    }

    /// Whether an address that we are connected to, by our own dialling, may be dialled again; off
    /// by default, so that the second [`Node::connect`] says who is there already.
    pub fn allow_duplicates(mut self, allow: bool) -> Self {
        self.config.allow_duplicates = allow;
        self
    }

    /// What happens when a remote ends its side and keeps reading (a *half-open* connection, such as
    /// `nc -N` makes). Off by default: the connection is closed after what is queued for it was
    /// written. When on, it stays open for writing until we disconnect, and the end of the remote's
    /// side is reported as [`Event::ReadClosed`](crate::Event::ReadClosed). That a remote has closed its
    /// socket altogether looks the same until something is written to it: when you have nothing more
    /// for it, disconnect. (The idle timeout, where one is set, ends those that take nothing either.)
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.config.session.allow_half_open = allow;
        self
    }

    /// The most messages of one connection that wait to be read; 1,024 by default. When they are
    /// there, the connection stops reading. As many again may be in the batch that the reader is
    /// going through, and one batch more (256 at most) may have been under way.
    pub fn max_inbound_messages(mut self, messages: usize) -> Self {
        self.config.session.inbound.messages = messages;
        self
    }

    /// The same limit in bytes, as they came over the wire; 512 KiB by default. A message that is
    /// larger than that is let through alone.
    pub fn max_inbound_bytes(mut self, bytes: usize) -> Self {
        self.config.session.inbound.bytes = bytes;
        self
    }

    /// The most messages that wait in the queue of one peer; 1,024 by default. When they are there,
    /// senders wait. As many again may be in the batch that the connection is writing.
    pub fn max_outbound_messages(mut self, messages: usize) -> Self {
        self.config.session.outbound.messages = messages;
        self
    }

    /// The same limit in bytes, 512 KiB by default. Messages that are bytes or text (`Bytes`,
    /// `BytesMut`, `Vec<u8>`, `String`, `&'static str`, …) weigh what they are long. How large any other
    /// is only shows when it is encoded: it is taken to be as large as those of the batch before were
    /// on average, and until one was encoded no more than 16 are let in. If yours differ much in size,
    /// say how large they are with a [`weigher`](Builder::weigher).
    ///
    /// The message that reaches the limit is let in, so one that is larger goes alone.
    pub fn max_outbound_bytes(mut self, bytes: usize) -> Self {
        self.config.session.outbound.bytes = bytes;
        self
    }

    /// What becomes of a message for a peer whose queue is full; the sender waits by default. A sink
    /// can be told otherwise ([`Outbound::when_full`](crate::Outbound::when_full),
    /// [`PeerSink::when_full`](crate::PeerSink::when_full)).
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.config.session.when_full = policy;
        self
    }

    /// The most bytes in all queues of the node together, both directions; no such limit by default, so
    /// that it is the queues' own bounds times the number of connections.
    ///
    /// It is shared fairly: a queue may grow as long as it is smaller than what is left of the
    /// budget. So a single hog gets half of it, nine get a tenth each, and there is always room left for
    /// those who need little. One message goes into an empty queue in any case, so that
    /// everyone gets on; so the sum may go beyond the budget by one message of each queue, and by one batch
    /// (128 KiB) of each connection that reads. What the program is going through at the moment isn't in
    /// a queue any more.
    ///
    /// A queue that may not grow is full, whoever used up the budget: what then happens to a message
    /// says [`when_full`](Builder::when_full).
    pub fn memory_budget(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.config.memory_budget = bytes.into();
        self
    }

    /// The most bytes that a frame may have, whatever the codec; 16 MiB by default. A frame is what the
    /// codec consumes for a message: headers and delimiters, and what it skips in silence before it,
    /// count. A codec with a cap of its own that isn't larger says so first, in
    /// [`Reason::Decode`](crate::Reason::Decode). One that is larger ends the
    /// connection with [`Reason::FrameTooLarge`](crate::Reason::FrameTooLarge): as soon as more has come
    /// than this and the codec can't make a message of it, or with the message, which isn't delivered.
    /// So it makes no difference in how many pieces it comes, and no remote makes a codec gather more
    /// (and what one more read brings).
    ///
    /// What a codec refuses by itself is its own error, [`Reason::Decode`](crate::Reason::Decode), as ever.
    /// One that needs to see what is behind a frame to know that the frame has ended needs room for that,
    /// too. And one that skips things for ever, such as heartbeats, should yield them as messages.
    pub fn max_frame_bytes(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.config.session.max_frame_bytes = bytes.into();
        self
    }

    /// How many encoded bytes are gathered before they are written, as long as there are messages;
    /// 64 KiB by default, or what the queue holds if that is less. When the queue is empty, what there
    /// is is written at once.
    pub fn write_boundary(mut self, bytes: usize) -> Self {
        self.given.write_boundary = Some(bytes);
        self
    }

    /// How long dialling an address may take, without the handshake; 10 seconds by default. A name
    /// that has several addresses has it for each, and looking the name up is not counted.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.config.connect_timeout = limit;
        self
    }

    /// How long a handshake may take; 10 seconds by default.
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.config.handshake_timeout = limit;
        self
    }

    /// How long a frame may take from its first byte to its end; for ever by default. It ends those who
    /// send a byte now and then (*slow drip*), which an idle timeout doesn't, with
    /// [`Timeout::Frame`](crate::Timeout::Frame). There is no limit between frames, and each begins at
    /// zero. The time during which *we* don't read, because the messages before it aren't taken, doesn't
    /// count; what had been used up by then stays used up.
    ///
    /// A connection has to carry the largest frame in that time, at the pace of the slowest peer that you
    /// want; where frames differ much in size, give a [`min_frame_rate`](Builder::min_frame_rate), too.
    ///
    /// Bytes that the codec skips in silence are the beginning of a frame, too: a remote that sends
    /// nothing but those is ended.
    pub fn frame_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.config.session.frame_timeout = limit.into();
        self
    }

    /// A least rate, in bytes per second, at which large frames are given more time than the
    /// [`frame_timeout`](Builder::frame_timeout), which has to be set: it is lengthened by a second for
    /// each second's worth of bytes that has come of the frame. So one that comes at this rate or faster
    /// is never cut off, whatever its size, and one that stops ends the connection after the frame
    /// timeout at the earliest. None by default: the frame timeout is for all frames alike.
    pub fn min_frame_rate(mut self, bytes_per_second: impl Into<Option<u32>>) -> Self {
        self.config.session.min_frame_rate = bytes_per_second.into();
        self
    }

    /// How long a remote may be silent; for ever by default, so that one that vanished without a word
    /// is noticed only when something is written to it (or by [`Tcp::keepalive`]). Any byte is a sign of
    /// life; see [`frame_timeout`](Builder::frame_timeout) for those who send one now and then. The time
    /// during which *we* don't read, because its messages aren't taken, doesn't count; what had been used
    /// up by then stays used up. A half-open connection is idle when nothing was written to it for as
    /// long.
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.config.session.idle_timeout = limit.into();
        self
    }

    /// How long a remote may take no bytes when there are some for it; 30 seconds by default.
    pub fn write_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.config.session.write_timeout = limit.into();
        self
    }

    /// How long closing a connection may take: writing what is queued, and waiting for the remote to
    /// close its side; 5 seconds by default.
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.config.session.drain_timeout = limit;
        self
    }

    /// Starts the node: checks the options and listens where it was told to.
    ///
    /// `protocol` is what connections speak: a closure that makes a codec for each, or a
    /// [`Protocol`] with a handshake. The type of outgoing messages is whatever the program sends,
    /// as long as the codec encodes it; a program that never sends has to name one.
    ///
    /// Must be called within a tokio runtime that has its I/O and its timers enabled. Listeners and
    /// connections run on the runtime that they were started on.
    ///
    /// # Errors
    ///
    /// An option that makes no sense, or an address that can't be listened on.
    ///
    /// # Cancel safety
    ///
    /// When dropped, no node is left behind.
    pub async fn start<P, Out>(
        mut self,
        protocol: P,
    ) -> Result<(Node<Out>, Inbound<<P::Codec as Decoder>::Item>), StartError>
    where
        P: Protocol<T::Stream>,
        P::Codec: Encoder<Out, Error: Into<BoxError>>,
        Out: Send + 'static,
        W: Weigher<Out>,
    {
        self.config.settle(self.given);
        self.config.validate()?;
        self.transport.validate()?;
        let span = match &self.config.name {
            Some(name) => info_span!(parent: None, "node", name),
            None => info_span!(parent: None, "node", name = next_number()),
        };
        let core = Core::new(self.config, own_weigher(self.weigher), span);
        core.admission.apply(self.rules);
        let wiring = Wiring::new(core, self.transport, protocol);
        let hub = wiring.hub();
        let node = Node {
            handle: Arc::new(Handle {
                wiring: Arc::new(wiring),
            }),
        };
        let inbound = Inbound::new(hub, node.handle.clone());
        for addr in self.listen {
            node.listen(&addr).await.map_err(|error| match error {
                ListenError::Resolve(error) => {
                    StartError::invalid("listen", addr, error.to_string())
                }
                error => error.into(),
            })?;
        }
        Ok((node, inbound))
    }
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl<T: fmt::Debug, W> fmt::Debug for Builder<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("listen", &self.listen)
            .field("rules", &self.rules)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
