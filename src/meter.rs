//! The meter at the socket: counts the bytes that pass, and keeps what only the socket knows.
//!
//! A `Framed` turns every error into its codec's and hides the end of the stream in it. The meter
//! sits below and remembers: whether an error was the stream's, and whether the stream had ended.
//! What the codec has consumed is `received` less what is still in the read buffer.
//!
//! A `Framed` also reads on for as long as its codec wants more and there is some. So it is the meter
//! that says when a frame has had enough: it is only asked for bytes when the codec has said of all
//! that came before that they aren't a whole frame.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug)]
pub(crate) struct Meter<S> {
    stream: S,
    received: u64,
    sent: u64,
    /// When more than this was received, no more is read.
    read_until: u64,
    ended: bool,
    /// Whether something wasn't read because of that.
    refused: bool,
    error: Option<Arc<io::Error>>,
}

impl<S> Meter<S> {
    /// A meter that starts with the bytes that were read before it was put in.
    pub(crate) fn new(stream: S, received: usize) -> Self {
        Self {
            stream,
            received: received as u64,
            sent: 0,
            read_until: u64::MAX,
            ended: false,
            refused: false,
            error: None,
        }
    }

    pub(crate) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Bytes read from the stream.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Bytes written to the stream.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the remote has ended its side.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Refuses to read when more than this was received by then. A read that is let through may
    /// bring more, as much as there is room for: who knows where a frame ends before it's there?
    pub(crate) fn read_until(&mut self, received: u64) {
        self.read_until = received;
    }

    /// Whether it has refused to read on.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// The error of the stream behind the codec's error, if it was one.
    pub(crate) fn take_error(&mut self) -> Option<Arc<io::Error>> {
        self.error.take()
    }

    /// Keeps an error, and makes one like it for the codec.
    fn keep(&mut self, error: io::Error) -> io::Error {
        let kind = error.kind();
        self.error = Some(Arc::new(error));
        kind.into()
    }

    fn count_written(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            // `Framed` makes an error of its own of this, which would look like the codec's.
            Ok(0) => Err(self.keep(io::ErrorKind::WriteZero.into())),
            Ok(n) => {
                self.sent += n as u64;
                Ok(n)
            }
            Err(error) => Err(self.keep(error)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Meter<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.received > self.read_until {
            self.refused = true;
            // Whatever the codec makes of it, it only has to end the reading.
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        match result {
            Ok(()) => {
                let n = buf.filled().len() - before;
                self.received += n as u64;
                self.ended = n == 0;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.keep(error))),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Meter<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        Poll::Ready(self.count_written(result))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs));
        Poll::Ready(self.count_written(result))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(result.map_err(|error| self.keep(error)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        Poll::Ready(result.map_err(|error| self.keep(error)))
    }
}
