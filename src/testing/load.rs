//! Load on a server, and what it made of it: [`Load`].
//!
//! ```text
//!             ┌─ connection task: due? ─► encode ─► socket ─┐
//! plan ─ dial ┼─ connection task                            ├─► server
//!             └─ connection task: clock ◄─ decode ◄─ socket ┘
//!                        │ samples, in batches
//!                        ▼
//!                      tally ─ every interval ─► timeline ─► Report
//! ```
//!
//! Dialling, handshakes and codecs are a node's ([`Transport`], [`Protocol`]); the connections are not.
//! A node hands messages over between tasks, in batches and in turns, which is right for a program and
//! wrong for a stopwatch: the hand-over would be part of every latency, and the tool that measures a
//! node would share the machinery that it measures. So one task owns one `Framed` here as well, but it
//! reads the clock itself, right where bytes become a message.
//!
//! What bounds the memory: the replies that a connection waits for ([`Load::max_outstanding`]), the
//! bytes of a write buffer, and the number of intervals of a timeline. Messages that are due and can't be
//! sent are in no queue; they are a number in a schedule.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::net::lookup_host;
use tokio_util::codec::{Decoder, Encoder};

use crate::{
    disconnect::BoxError,
    error::{InvalidOption, StartError},
    protocol::Protocol,
    transport::{Tcp, Transport},
};

mod dial;
mod drive;
mod error;
mod pacer;
mod plan;
mod report;
mod run;
mod schedule;
mod tally;
mod timeline;

pub use error::{Failure, FailureKind, LoadError};
pub use plan::Mode;
pub use report::{Latencies, Report};
pub use timeline::{Interval, Progress};

use plan::Plan;
use run::Running;

/// Load on whoever listens at an address, to be [`run`](Load::run): requests at a given
/// [rate](Load::rate), or as many as keep a given number [in flight](Load::in_flight), over any number
/// of connections.
///
/// Each message that is sent is a request, and has one reply; replies come in the order of the requests
/// of their connection. What else the server sends can be told from them with [`replies`](Load::replies).
///
/// # Open and closed loop
///
/// In a *closed loop* a connection sends when a reply has come. So a server that stalls isn't asked
/// anything meanwhile, and the stall is in one sample per connection, however many requests it would
/// have kept waiting: its percentiles look better than they were. (That is known as coordinated
/// omission.) It is the way to ask how much a server can do.
///
/// In an *open loop* the times of all requests are fixed before the first is sent, and a latency
/// counts **from the time at which a request was to be sent**, whether or not the server, the network or
/// this program let it go out by then. A server that stalls for a second has made each request
/// wait that was due in that second, and each is in the percentiles with its own wait. It is the way to
/// ask how long users of a server wait. What this program itself was late is part of that;
/// [`Report::service`] has the time from the sending alone, to compare.
///
/// # Examples
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use futures::StreamExt;
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Node, testing::Load};
///
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let (node, inbound) = Node::builder().listen("127.0.0.1:0").start(codec).await?;
/// let addr = node.local_addr().ok_or("it doesn't listen")?;
/// tokio::spawn(inbound.map(Ok).forward(node.outbound()));
///
/// let report = Load::new(addr, codec, |n| format!("message {n}"))
///     .connections(10)
///     .rate(1000)
///     .duration(Duration::from_millis(100))
///     .run()
///     .await?;
/// assert_eq!(report.received, 100);
/// println!("{report}");
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[must_use = "load is only made by `run`"]
pub struct Load<P, M, T = Tcp, R = EveryMessage> {
    addr: String,
    protocol: P,
    message: M,
    is_reply: R,
    plan: Plan,
    transports: Vec<T>,
    watcher: Option<Watcher>,
}

/// Who is told of the progress.
type Watcher = Box<dyn FnMut(&Progress) + Send>;

/// Which inbound messages are replies; for closures, and [`EveryMessage`].
pub trait Replies<In>: Send + Sync + 'static {
    /// Whether this is the reply to the oldest request that has none.
    fn is_reply(&self, message: &In) -> bool;
}

/// Each message that comes is a reply: the usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct EveryMessage;

impl<In> Replies<In> for EveryMessage {
    fn is_reply(&self, _message: &In) -> bool {
        true
    }
}

impl<In, F: Fn(&In) -> bool + Send + Sync + 'static> Replies<In> for F {
    fn is_reply(&self, message: &In) -> bool {
        self(message)
    }
}

impl<P, M> Load<P, M> {
    /// Load over TCP on the server at an address, with what its connections speak and what they send.
    ///
    /// `protocol` is that of a node: a closure that makes a codec for each connection, or a
    /// [`Protocol`] with a handshake. `message` makes the messages; it is given their
    /// number, from 0 and in the order of the schedule, warm-up included. It runs in the task of
    /// the connection: a slow one makes the load late.
    ///
    /// One connection, one request in flight, for ten seconds, unless told otherwise.
    pub fn new(addr: impl ToString, protocol: P, message: M) -> Self {
        Self {
            addr: addr.to_string(),
            protocol,
            message,
            is_reply: EveryMessage,
            plan: Plan::default(),
            transports: vec![Tcp::new()],
            watcher: None,
        }
    }
}

impl<P, M, R> Load<P, M, Tcp, R> {
    /// Dials from so many addresses in turn: `127.0.0.1`, `127.0.0.2` and so on, for servers on
    /// this host that count connections by address. All of `127.0.0.0/8` is there on Linux, other systems
    /// have to be told so first. Not more than 65,536; for other addresses see
    /// [`sources_of`](Load::sources_of).
    pub fn sources(mut self, addresses: u32) -> Self {
        self.plan.sources = addresses;
        let first = u32::from(Ipv4Addr::LOCALHOST);
        let ips = (0..addresses.min(plan::MAX_SOURCES)).map(|n| Ipv4Addr::from(first + n).into());
        self.transports = if addresses == 1 {
            vec![Tcp::new()]
        } else {
            ips.map(dialling_from).collect()
        };
        self
    }

    /// Dials from these addresses in turn, which must be this host's.
    pub fn sources_of(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.transports = addresses.into_iter().map(dialling_from).collect();
        self.plan.sources = 1;
        self
    }
}

fn dialling_from(ip: IpAddr) -> Tcp {
    Tcp::new().dial_from(SocketAddr::new(ip, 0))
}

impl<P, M, T, R> Load<P, M, T, R> {
    /// Dials with these transports in turn, instead of with one over TCP. One per source address,
    /// say, such as those of a network in memory.
    ///
    /// The times of an open loop are then kept by the timers of the runtime, which are exact under paused
    /// time, and in real time late by up to one or two milliseconds. (Over TCP a thread keeps them, which is late
    /// by about a tenth of that.)
    pub fn transports<U: Transport>(
        self,
        transports: impl IntoIterator<Item = U>,
    ) -> Load<P, M, U, R> {
        let mut plan = self.plan;
        plan.pacer_thread = false;
        plan.sources = 1;
        Load {
            addr: self.addr,
            protocol: self.protocol,
            message: self.message,
            is_reply: self.is_reply,
            plan,
            transports: transports.into_iter().collect(),
            watcher: self.watcher,
        }
    }

    /// The same with one transport.
    pub fn transport<U: Transport>(self, transport: U) -> Load<P, M, U, R> {
        self.transports([transport])
    }

    /// Which of the messages that come are replies; all by default. The others are counted in
    /// [`Report::others`].
    pub fn replies<F>(self, is_reply: F) -> Load<P, M, T, F>
    where
        T: Transport,
        P: Protocol<T::Stream>,
        F: Fn(&<P::Codec as Decoder>::Item) -> bool + Send + Sync + 'static,
    {
        Load {
            addr: self.addr,
            protocol: self.protocol,
            message: self.message,
            is_reply,
            plan: self.plan,
            transports: self.transports,
            watcher: self.watcher,
        }
    }

    /// How many connections; 1 by default. All are there before the first message is sent. Those that
    /// can't be made are counted in [`Report::failures`], and the others share the load.
    pub fn connections(mut self, connections: usize) -> Self {
        self.plan.connections = connections;
        self
    }

    /// Open loop: so many messages per second over all connections, in turn and evenly spaced. It
    /// and [`in_flight`](Load::in_flight) exclude each other; the one called last counts.
    pub fn rate(mut self, messages_per_second: impl Into<f64>) -> Self {
        self.plan.mode = Mode::Open {
            rate: messages_per_second.into(),
        };
        self
    }

    /// Closed loop: each connection has so many requests under way at any time; 1 by default.
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.plan.mode = Mode::Closed {
            in_flight: requests,
        };
        self
    }

    /// How long the load is measured; 10 s by default.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.plan.duration = duration;
        self
    }

    /// How long there is the same load before that, which is not in the report; not at all by default.
    pub fn warm_up(mut self, duration: Duration) -> Self {
        self.plan.warm_up = duration;
        self
    }

    /// How long, at the end, messages that were due are still sent and replies that are outstanding
    /// are waited for; 5 s by default. What isn't sent by then is [`Report::unsent`], what isn't
    /// answered by then is [`Report::lost`].
    pub fn linger(mut self, limit: Duration) -> Self {
        self.plan.linger = limit;
        self
    }

    /// The length of an [`Interval`] of the timeline; 1 s by default.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.plan.interval = interval;
        self
    }

    /// The most replies that a connection of an open loop waits for; 1,024 by default. A message that
    /// is due beyond that waits in its place in the schedule, and its latency runs.
    pub fn max_outstanding(mut self, replies: usize) -> Self {
        self.plan.max_outstanding = replies;
        self
    }

    /// How long a connection may take to be made, and its handshake again; 10 s by default.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.plan.connect_timeout = limit;
        self
    }

    /// Calls this at the end of each interval, and when a connection was made: for a progress bar. It
    /// must not block.
    pub fn on_progress(mut self, watcher: impl FnMut(&Progress) + Send + 'static) -> Self {
        self.watcher = Some(Box::new(watcher));
        self
    }

    /// Runs the load, and resolves when it is over.
    ///
    /// Must be called within a tokio runtime that has its I/O and its timers enabled.
    ///
    /// # Errors
    ///
    /// An option that makes no sense, an address that can't be resolved, or not one connection. A
    /// connection that fails later, or one of several that can't be made, is no error: the report
    /// counts it.
    ///
    /// # Cancel safety
    ///
    /// When dropped, all connections are closed, and nothing is left behind.
    ///
    /// # Panics
    ///
    /// If the closure that makes codecs, a handshake, or the closure for the progress panics. A panic of
    /// a codec or of the closures for messages and replies is a [failure](FailureKind::Panicked) of its
    /// connection.
    pub async fn run<Out>(self) -> Result<Report, LoadError>
    where
        T: Transport,
        P: Protocol<T::Stream>,
        P::Codec: Encoder<Out, Error: Into<BoxError>>,
        M: Fn(u64) -> Out + Send + Sync + 'static,
        R: Replies<<P::Codec as Decoder>::Item>,
        Out: 'static,
    {
        self.plan.validate()?;
        validate_transports(&self.transports)?;
        let addr = resolve(&self.addr).await?;
        self.plan.validate_for(addr)?;
        let mut watcher = self.watcher;
        let plan = self.plan;
        let dialled = dial::all(addr, &self.protocol, &self.transports, &plan, &mut watcher).await;
        if dialled.connected.is_empty() {
            let failures = dialled.failures.into_vec();
            return Err(LoadError::NotConnected { addr, failures });
        }
        let work = drive::Work {
            message: Arc::new(self.message),
            is_reply: Arc::new(self.is_reply),
        };
        let running = Running::start(addr, plan, dialled, work);
        Ok(running.finish(&mut watcher).await)
    }
}

fn validate_transports<T: Transport>(transports: &[T]) -> Result<(), LoadError> {
    if transports.is_empty() {
        let reason = "there must be at least one";
        return Err(InvalidOption::new("transports", 0, reason).into());
    }
    for transport in transports {
        if let Err(StartError::InvalidOption(error)) = transport.validate() {
            return Err(error.into());
        }
    }
    Ok(())
}

async fn resolve(addr: &str) -> Result<SocketAddr, LoadError> {
    let unresolved = |source| LoadError::Resolve {
        addr: addr.to_owned(),
        source,
    };
    let mut found = lookup_host(addr).await.map_err(unresolved)?;
    let none = || unresolved(std::io::ErrorKind::NotFound.into());
    found.next().ok_or_else(none)
}

impl<P, M, T: fmt::Debug, R> fmt::Debug for Load<P, M, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("addr", &self.addr)
            .field("plan", &self.plan)
            .field("transports", &self.transports)
            .finish_non_exhaustive()
    }
}
