//! Where streams come from: [`Transport`], and [`Tcp`], the one to use.

use std::{
    any::Any,
    fmt,
    future::Future,
    io,
    marker::PhantomData,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::error::StartError;
#[cfg(feature = "testing")]
use crate::testing::MemoryStream;

/// A bidirectional stream of bytes, such as [`TcpStream`]. Implemented for all that qualify; put
/// one that isn't `Unpin` into a `Pin<Box<_>>`.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> ByteStream for S {}

/// Makes the operating system throw away what it still holds for the remote when the stream is
/// dropped, and reset the connection. For a remote that was given up: it may never take what is left, and
/// the memory for that would be held long after the node has forgotten the connection. Says whether the
/// stream is one that can be reset: TCP's own. One that is wrapped doesn't show what is in it.
pub(crate) fn reset_on_drop<S: ByteStream>(stream: &mut S) -> bool {
    let stream: &mut dyn Any = stream;
    if let Some(stream) = stream.downcast_ref::<TcpStream>() {
        // One that can't be set has ended already.
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        return true;
    }
    #[cfg(feature = "testing")]
    if let Some(stream) = stream.downcast_mut::<MemoryStream>() {
        stream.reset_on_drop(true);
        return true;
    }
    false
}

/// Where a node's streams come from.
///
/// A transport of one's own lets a node run over anything that reads and writes: memory, Unix
/// sockets, a simulator. Addresses are always [`SocketAddr`]; a transport without such addresses
/// makes up some.
pub trait Transport: Send + Sync + 'static {
    /// What it connects and accepts.
    type Stream: ByteStream;
    /// What it listens with.
    type Acceptor: Acceptor<Stream = Self::Stream>;

    /// Checks the transport's options; called once, by [`Builder::start`](crate::Builder::start).
    ///
    /// # Errors
    ///
    /// An option that makes no sense.
    fn validate(&self) -> Result<(), StartError> {
        Ok(())
    }

    /// Starts listening on an address; port 0 means any free one.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from listening there.
    fn bind(&self, addr: SocketAddr) -> impl Future<Output = io::Result<Self::Acceptor>> + Send;

    /// Dials an address. The node drops the future when the connect timeout passes, when it shuts
    /// down, and when the caller of [`Node::connect`](crate::Node::connect) goes away.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from connecting; [`io::ErrorKind::ConnectionRefused`] is told from the
    /// others in the [`ConnectError`](crate::ConnectError).
    fn connect(&self, addr: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Accepts the streams that others open to one address. Dropping it stops listening.
pub trait Acceptor: Send + 'static {
    /// What it accepts.
    type Stream: ByteStream;

    /// Waits for the next stream and its remote address.
    ///
    /// # Errors
    ///
    /// An error does not end the listening: the node calls again, after a pause unless the error is
    /// one of the stream that was about to be accepted.
    fn poll_accept(&mut self, cx: &mut Context<'_>)
    -> Poll<io::Result<(Self::Stream, SocketAddr)>>;

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// TCP, with the options of its sockets.
///
/// ```
/// use std::time::Duration;
/// use wattle::{Node, transport::Tcp};
///
/// let tcp = Tcp::new().keepalive(Duration::from_secs(60)).backlog(256);
/// let builder = Node::builder().transport(tcp);
/// ```
#[derive(Debug, Clone)]
pub struct Tcp {
    nodelay: bool,
    keepalive: Option<Duration>,
    reuse_port: bool,
    backlog: u32,
    dial_from: Option<SocketAddr>,
}

/// The most that the usual kernels take without being told otherwise
/// (`net.core.somaxconn` on Linux).
const BACKLOG: u32 = 4096;

/// The most seconds that Linux takes (`MAX_TCP_KEEPIDLE`).
const KEEPALIVE_MOST: u64 = 32_767;

impl Tcp {
    /// TCP with nodelay on, a backlog of 4,096, an address that can be listened on again at once
    /// (`SO_REUSEADDR`, not on Windows), and everything else as the operating system has it.
    pub fn new() -> Self {
        Self {
            nodelay: true,
            keepalive: None,
            reuse_port: false,
            backlog: BACKLOG,
            dial_from: None,
        }
    }

    /// Whether small writes go out at once (`TCP_NODELAY`); on by default. The node writes in
    /// batches, so that there is nothing to gain by waiting for more.
    pub fn nodelay(mut self, on: bool) -> Self {
        self.nodelay = on;
        self
    }

    /// Sends keepalive probes when a connection was silent for this long, in whole seconds from 1 to
    /// 32,767 (a fraction is cut off); off by default. How often it asks again and when it gives up is
    /// the operating system's (on Linux nine times in 75 seconds each); the reason is then
    /// [`Reason::Io`](crate::Reason::Io) with [`io::ErrorKind::TimedOut`].
    pub fn keepalive(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.keepalive = after.into();
        self
    }

    /// Lets several sockets listen on one port, between which the kernel spreads the connections
    /// (`SO_REUSEPORT`, Unix only); off by default.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// How many connections the kernel holds until they are accepted; 4,096 by default, and never
    /// more than the kernel's own limit.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// The local address of outgoing connections; any by default. Port 0 means any port.
    pub fn dial_from(mut self, addr: impl Into<Option<SocketAddr>>) -> Self {
        self.dial_from = addr.into();
        self
    }

    fn socket(&self, addr: SocketAddr) -> io::Result<TcpSocket> {
        match addr {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
    }

    fn set_options(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(self.nodelay)?;
        if let Some(after) = self.keepalive {
            SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(after))?;
        }
        Ok(())
    }
}

impl Default for Tcp {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for Tcp {
    type Stream = TcpStream;
    type Acceptor = TcpAcceptor;

    fn validate(&self) -> Result<(), StartError> {
        if self.backlog == 0 {
            let reason = "no connection would be held until it is accepted";
            return Err(StartError::invalid("Tcp::backlog", self.backlog, reason));
        }
        let seconds = 1..=KEEPALIVE_MOST;
        if let Some(after) = self
            .keepalive
            .filter(|after| !seconds.contains(&after.as_secs()))
        {
            let reason =
                format!("keepalive is counted in whole seconds, from 1 to {KEEPALIVE_MOST}");
            return Err(StartError::invalid("Tcp::keepalive", after, reason));
        }
        Ok(())
    }

    async fn bind(&self, addr: SocketAddr) -> io::Result<TcpAcceptor> {
        let socket = self.socket(addr)?;
        // As tokio's and std's listeners do: without it a restart waits for old connections.
        #[cfg(not(windows))]
        socket.set_reuseaddr(true)?;
        if self.reuse_port {
            #[cfg(unix)]
            socket.set_reuseport(true)?;
            #[cfg(not(unix))]
            return Err(io::ErrorKind::Unsupported.into());
        }
        socket.bind(addr)?;
        Ok(TcpAcceptor {
            listener: socket.listen(self.backlog)?,
            options: self.clone(),
        })
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(addr)?;
        if let Some(local) = self.dial_from {
            socket.bind(local)?;
        }
        let stream = socket.connect(addr).await?;
        self.set_options(&stream)?;
        Ok(stream)
    }
}

/// The listening side of [`Tcp`].
#[derive(Debug)]
pub struct TcpAcceptor {
    listener: TcpListener,
    options: Tcp,
}

impl Acceptor for TcpAcceptor {
    type Stream = TcpStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.listener.poll_accept(cx).map(|accepted| {
            let (stream, addr) = accepted?;
            // A socket whose options can't be set was reset before we got to it; its first read
            // will say so.
            let _ = self.options.set_options(&stream);
            Ok((stream, addr))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// No transport: the node has only the streams of type `S` that [`Node::adopt`](crate::Node::adopt)
/// brings it. To listen or to dial fails as unsupported.
pub struct AdoptOnly<S>(PhantomData<fn() -> S>);

impl<S> AdoptOnly<S> {
    /// A transport without listening and dialling.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<S> Default for AdoptOnly<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for AdoptOnly<S> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for AdoptOnly<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdoptOnly")
    }
}

impl<S: ByteStream> Transport for AdoptOnly<S> {
    type Stream = S;
    type Acceptor = Self;

    async fn bind(&self, _addr: SocketAddr) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, _addr: SocketAddr) -> io::Result<S> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl<S: ByteStream> Acceptor for AdoptOnly<S> {
    type Stream = S;

    fn poll_accept(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<(S, SocketAddr)>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
