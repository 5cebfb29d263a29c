//! One end of a connection in memory: [`MemoryStream`].

use std::{
    fmt,
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    super::conditions::{Connection, Parting, Step, Way},
    hosts::Port,
};

/// One end of a connection of a [`Memory`](super::Memory).
///
/// It behaves as a TCP stream does. When it is dropped, the other end reads what was written and
/// then the end of the stream, and is reset when it writes; unless something that had come was
/// not read, which resets it at once. After a reset the other end's first operation fails with
/// [`ConnectionReset`](io::ErrorKind::ConnectionReset); then it reads the end of the stream, and its
/// writes fail with [`BrokenPipe`](io::ErrorKind::BrokenPipe).
///
/// What a reset overtakes is lost, whatever has come and isn't read included. (There are systems that let
/// the latter be read. A protocol must not rely on that.)
///
/// # Examples
///
/// ```
/// use std::io;
/// use tokio::io::AsyncReadExt;
/// use wattle::{Transport, testing::Memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> io::Result<()> {
/// let (memory, addr) = (Memory::new(), "127.0.0.1:7".parse().unwrap());
/// let mut acceptor = memory.bind(addr).await?;
/// let mut stream = memory.connect(addr).await?;
/// let (accepted, from) = acceptor.accept().await?;
/// assert_eq!(from, stream.local_addr()?);
/// accepted.reset();
/// let error = stream.read_u8().await.unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
/// # Ok(())
/// # }
/// ```
pub struct MemoryStream {
    connection: Arc<Connection>,
    way: Way,
    local: SocketAddr,
    peer: SocketAddr,
    reads: Timer,
    writes: Timer,
    parting: Parting,
    /// Of who has dialled; a listener's connections share its own.
    _port: Option<Port>,
}

impl MemoryStream {
    pub(in crate::testing) fn new(
        connection: Arc<Connection>,
        way: Way,
        (local, peer): (SocketAddr, SocketAddr),
        port: Option<Port>,
    ) -> Self {
        Self {
            connection,
            way,
            local,
            peer,
            reads: Timer::default(),
            writes: Timer::default(),
            parting: Parting::Close,
            _port: port,
        }
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// None; it is as [`TcpStream::local_addr`](tokio::net::TcpStream::local_addr).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// None; it is as [`TcpStream::peer_addr`](tokio::net::TcpStream::peer_addr).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }

    /// Resets the connection: what the other end has not read is lost.
    pub fn reset(mut self) {
        self.parting = Parting::Reset;
    }

    /// Makes dropping it a reset: for what nobody will accept, and who was given up.
    pub(crate) fn reset_on_drop(&mut self, on: bool) {
        self.parting = match on {
            true => Parting::Reset,
            false => Parting::Close,
        };
    }

    /// Makes dropping it a reset that comes behind what was written.
    pub(in crate::testing) fn break_off_on_drop(&mut self) {
        self.parting = Parting::ResetBehind;
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.connection.close(self.way, self.parting);
    }
}

/// Wakes at a time at which something is to be looked at again.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready when it is that time; pending for ever without one.
    fn poll(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else {
            self.0 = None;
            return Poll::Pending;
        };
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

/// Tries until there is nothing to do but to wait.
fn poll_steps<T>(
    timer: &mut Timer,
    cx: &mut Context<'_>,
    mut step: impl FnMut(&mut Context<'_>) -> Step<T>,
) -> Poll<io::Result<T>> {
    let turn = ready!(coop::poll_proceed(cx));
    loop {
        match step(cx) {
            Step::Done(result) => {
                turn.made_progress();
                return Poll::Ready(result);
            }
            Step::Wait(at) => ready!(timer.poll(cx, at)),
        }
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        poll_steps(&mut this.reads, cx, |cx| {
            this.connection.read(this.way, cx, buf)
        })
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        poll_steps(&mut this.writes, cx, |cx| {
            this.connection.write(this.way, cx, bufs)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: what was written is under way.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends this direction; the other stays open.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.finish(self.way);
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStream")
            .field("local_addr", &self.local)
            .field("peer_addr", &self.peer)
            .finish_non_exhaustive()
    }
}
