//! Where a script is played: [`Dialing`] and [`Listening`].

use std::{
    fmt,
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use futures::{
    future::{join, join_all},
    stream::{StreamExt, poll_fn as poll_stream},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::codec::Decoder;

use super::{
    Script,
    failure::{Failure, Instead},
    player::Player,
    transcript::{Happening, Transcript},
};
use crate::{
    disconnect::BoxError,
    peer::{Peer, Side},
    testing::Memory,
    transport::{Acceptor, Tcp, Transport},
};

/// The address before the first that a script dials from: those that a test listens on are most
/// likely below.
const LOOPBACK: u32 = u32::from_be_bytes([127, 0, 1, 0]);

/// A script and whom it dials.
///
/// # Examples
///
/// A crowd that comes at once, each from a host of its own:
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Node, testing::{Closed, Memory, Script}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let memory = Memory::new();
/// let builder = Node::builder().transport(memory.clone()).listen("127.0.0.1:7");
/// let (node, _inbound) = builder.start::<_, String>(codec).await?;
///
/// let guest = Script::over(memory, codec).send("here").half_close();
/// let guest = guest.expect_closed(Closed::Orderly).dial(node.local_addr().unwrap());
/// for transcript in guest.play_times(100).await {
///     assert_eq!(transcript?.received().count(), 0);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is dialled until it is played"]
pub struct Dialing<C: Decoder, T: Transport = Tcp> {
    script: Script<C, T>,
    addr: SocketAddr,
}

/// A script and where it listens: from before the play begins until this is dropped.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::testing::Script;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let script = Script::new(codec).expect("hello");
/// let mut server = script.listen("127.0.0.1:0".parse()?).await?;
/// let client = Script::new(codec).send("hello").dial(server.local_addr());
/// let (at_server, at_client) = tokio::join!(server.play(), client.play());
/// println!("{}{}", at_server?, at_client?);
/// # Ok(())
/// # }
/// ```
pub struct Listening<C: Decoder, T: Transport = Tcp> {
    script: Script<C, T>,
    acceptor: T::Acceptor,
    addr: SocketAddr,
}

impl<C, T> Script<C, T>
where
    C: Decoder<Item: fmt::Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
    T: Transport,
{
    /// The script as one who dials this address.
    pub fn dial(&self, addr: SocketAddr) -> Dialing<C, T> {
        let script = self.clone();
        Dialing { script, addr }
    }

    /// The script as one who listens on this address; port 0 means any free one.
    ///
    /// # Errors
    ///
    /// Whatever keeps the transport from listening there.
    pub async fn listen(&self, addr: SocketAddr) -> Result<Listening<C, T>, Failure> {
        let failed = |error| {
            let expected = format!("to listen on {addr}");
            no_player(expected, Instead::NoConnection(error))
        };
        let acceptor = self.transport.bind(addr).await.map_err(failed)?;
        Ok(Listening {
            script: self.clone(),
            addr: acceptor.local_addr().map_err(failed)?,
            acceptor,
        })
    }

    /// Makes a session of a stream, and a player on it.
    async fn open(
        &self,
        stream: T::Stream,
        peer: Peer,
        begun: Instant,
    ) -> Result<Player<C>, Instead> {
        let session = self.protocol.open(stream, peer).await;
        let mut player = Player::new(session.map_err(Instead::NoSession)?, begun);
        player.note(match peer.side() {
            Side::Dialer => Happening::Dialled(peer.addr()),
            Side::Listener => Happening::Accepted(peer.addr()),
        });
        Ok(player)
    }

    async fn connect(&self, transport: &T, addr: SocketAddr) -> Result<Player<C>, Failure> {
        let begun = Instant::now();
        let opening = async {
            let stream = transport.connect(addr).await;
            let stream = stream.map_err(Instead::NoConnection)?;
            let peer = Peer::next(addr, Side::Dialer);
            self.open(stream, peer, begun).await
        };
        let opened = timeout_at(begun + self.opening, opening).await;
        opened
            .unwrap_or_else(|_| Err(self.not_connected()))
            .map_err(|instead| no_player(format!("to connect to {addr}"), instead))
    }

    async fn play_on(&self, mut player: Player<C>) -> Result<Transcript, Failure> {
        player.play(self).await?;
        Ok(player.finish().await)
    }

    fn not_connected(&self) -> Instead {
        Instead::NotConnected {
            within: self.opening,
        }
    }
}

impl<C, T> Dialing<C, T>
where
    C: Decoder<Item: fmt::Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
    T: Transport,
{
    /// Dials, and plays the script to its end. Then the connection is closed.
    ///
    /// # Errors
    ///
    /// The first thing that isn't as it is written, or whatever keeps it from being connected.
    pub async fn play(&self) -> Result<Transcript, Failure> {
        self.play_over(&self.script.transport).await
    }

    /// The same at once for as many peers as there are transports: clones of one with different
    /// addresses to dial from, such as of [`Tcp::dial_from`] or [`Memory::at`]. What became of each is in their order.
    pub async fn play_from(
        &self,
        transports: impl IntoIterator<Item = T>,
    ) -> Vec<Result<Transcript, Failure>> {
        let play = |transport| async move { self.play_over(&transport).await };
        join_all(transports.into_iter().map(play)).await
    }

    /// Dials, and plays nothing yet.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being connected, the handshake included.
    pub async fn connect(&self) -> Result<Player<C>, Failure> {
        self.script.connect(&self.script.transport, self.addr).await
    }

    async fn play_over(&self, transport: &T) -> Result<Transcript, Failure> {
        let player = self.script.connect(transport, self.addr).await?;
        self.script.play_on(player).await
    }
}

impl<C> Dialing<C>
where
    C: Decoder<Item: fmt::Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
{
    /// Plays the script by `n` peers at once. On Linux each of them dials a loopback address from an
    /// address of its own, 127.0.1.1 and those that follow; elsewhere all have the host's.
    ///
    /// What became of each is in their order; collect it into a `Result` where all have to succeed.
    pub async fn play_times(&self, n: usize) -> Vec<Result<Transcript, Failure>> {
        let tcp = || Tcp::clone(&self.script.transport);
        let distinct = cfg!(target_os = "linux")
            && matches!(self.addr.ip(), IpAddr::V4(addr) if addr.is_loopback());
        let transports = (0..n).map(|n| match distinct {
            true => tcp().dial_from(SocketAddr::from((loopback(n), 0))),
            false => tcp(),
        });
        self.play_from(transports).await
    }
}

impl<C> Dialing<C, Memory>
where
    C: Decoder<Item: fmt::Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
{
    /// Plays the script by `n` peers at once, each on a host of its own: 127.0.1.1 and those that follow, as
    /// over TCP.
    ///
    /// What became of each is in their order; collect it into a `Result` where all have to succeed.
    pub async fn play_times(&self, n: usize) -> Vec<Result<Transcript, Failure>> {
        let memory = &self.script.transport;
        self.play_from((0..n).map(|n| memory.at(loopback(n)))).await
    }
}

/// The n-th address that a script dials from. (More than there are can't be connected anyway.)
fn loopback(n: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(LOOPBACK.wrapping_add(1).wrapping_add(n as u32))
}

impl<C, T> Listening<C, T>
where
    C: Decoder<Item: fmt::Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
    T: Transport,
{
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits for somebody who connects, and plays the script to its end. Then the connection is
    /// closed.
    ///
    /// # Errors
    ///
    /// The first thing that isn't as it is written, or that nobody came in time.
    pub async fn play(&mut self) -> Result<Transcript, Failure> {
        let player = self.accept().await?;
        self.script.play_on(player).await
    }

    /// Plays the script with the next `n` who connect, with all of them at once. What became of each
    /// is in the order in which they came.
    pub async fn play_times(&mut self, n: usize) -> Vec<Result<Transcript, Failure>> {
        let script = self.script.clone();
        let until = Instant::now() + script.opening;
        // Room for all, so that nobody who comes waits for another to be played to the end.
        let (arrivals, mut arrived) = mpsc::channel(n.max(1));
        let accepting = async {
            let arrivals = arrivals;
            for _ in 0..n {
                // There is room, and somebody who takes it.
                let _ = arrivals.try_send(self.arrival(until).await);
            }
        };
        let play = |arrival: Result<Arrival<T>, Failure>| async {
            let player = script.welcome(arrival?).await?;
            script.play_on(player).await
        };
        let plays = poll_stream(move |cx| arrived.poll_recv(cx)).map(play);
        let playing = plays.buffered(n.max(1)).collect();
        join(accepting, playing).await.1
    }

    /// Waits for somebody who connects, and plays nothing yet.
    ///
    /// # Errors
    ///
    /// That nobody came in time, or that the handshake failed.
    pub async fn accept(&mut self) -> Result<Player<C>, Failure> {
        let until = Instant::now() + self.script.opening;
        let arrival = self.arrival(until).await?;
        self.script.welcome(arrival).await
    }

    async fn arrival(&mut self, until: Instant) -> Result<Arrival<T>, Failure> {
        let at = self.addr;
        let accepting = poll_fn(|cx| self.acceptor.poll_accept(cx));
        let instead = match timeout_at(until, accepting).await {
            Ok(Ok((stream, from))) => return Ok(Arrival { stream, from, at }),
            Ok(Err(error)) => Instead::NoConnection(error),
            Err(_elapsed) => self.script.not_connected(),
        };
        Err(no_player(somebody(at), instead))
    }
}

/// Somebody who has connected.
struct Arrival<T: Transport> {
    stream: T::Stream,
    from: SocketAddr,
    at: SocketAddr,
}

impl<C, T> Script<C, T>
where
    C: Decoder<Item: fmt::Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
    T: Transport,
{
    async fn welcome(&self, arrival: Arrival<T>) -> Result<Player<C>, Failure> {
        let begun = Instant::now();
        let peer = Peer::next(arrival.from, Side::Listener);
        let opening = self.open(arrival.stream, peer, begun);
        let opened = timeout_at(begun + self.opening, opening).await;
        opened
            .unwrap_or_else(|_| Err(self.not_connected()))
            .map_err(|instead| no_player(somebody(arrival.at), instead))
    }
}

fn somebody(at: SocketAddr) -> String {
    format!("somebody to connect to {at}")
}

fn no_player(expected: String, instead: Instead) -> Failure {
    Failure {
        step: None,
        expected,
        instead,
        transcript: Box::default(),
    }
}

impl<C: Decoder, T: Transport> Clone for Dialing<C, T> {
    fn clone(&self) -> Self {
        Self {
            script: self.script.clone(),
            addr: self.addr,
        }
    }
}

impl<C: Decoder, T: Transport> fmt::Debug for Dialing<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialing")
            .field("addr", &self.addr)
            .field("script", &self.script)
            .finish()
    }
}

impl<C: Decoder, T: Transport> fmt::Debug for Listening<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening")
            .field("addr", &self.addr)
            .field("script", &self.script)
            .finish_non_exhaustive()
    }
}
