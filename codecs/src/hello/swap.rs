//! Writes while it reads, so that two sides that both write first never wait for each other,
//! however little the stream between them holds.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HelloError;

/// How much is read at once: most hellos and all verdicts.
const BLOCK: usize = 512;

/// What is read.
pub(super) trait Incoming {
    type Item;

    /// How many bytes it has, as far as `came` says: more only once all of these are there.
    fn size(&self, came: &[u8]) -> Result<usize, HelloError>;

    /// Makes it of its bytes.
    fn take(&self, came: &[u8]) -> Result<Self::Item, HelloError>;

    /// The stream ended after this many bytes of it.
    fn ended(&self, came: usize) -> HelloError;
}

/// Writes and flushes `out`, and reads the incoming item and nothing behind it; returns when both are
/// done, and at once when the latter fails. `out` is left with what wasn't written.
///
/// That writing failed is no reason to stop reading: a remote that has closed may have said why. So
/// that comes as a result of its own.
pub(super) async fn swap<IO, I>(
    io: &mut IO,
    out: &mut &[u8],
    incoming: I,
) -> Result<(I::Item, io::Result<()>), HelloError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    I: Incoming,
{
    let mut came = BytesMut::new();
    let mut sent = None;
    let mut item = None;
    poll_fn(|cx| {
        if sent.is_none()
            && let Poll::Ready(result) = poll_send(io, out, cx)
        {
            sent = Some(result);
        }
        if item.is_none()
            && let Poll::Ready(result) = poll_receive(io, &mut came, &incoming, cx)
        {
            item = Some(result?);
        }
        match (sent.take(), item.take()) {
            (Some(sent), Some(item)) => Poll::Ready(Ok((item, sent))),
            begun => {
                (sent, item) = begun;
                Poll::Pending
            }
        }
    })
    .await
}

/// Writes and flushes the rest of `out`.
pub(super) async fn send<IO>(io: &mut IO, out: &mut &[u8]) -> io::Result<()>
where
    IO: AsyncWrite + Unpin,
{
    poll_fn(|cx| poll_send(io, out, cx)).await
}

fn poll_send<IO>(io: &mut IO, out: &mut &[u8], cx: &mut Context<'_>) -> Poll<io::Result<()>>
where
    IO: AsyncWrite + Unpin,
{
    while !out.is_empty() {
        let written = ready!(Pin::new(&mut *io).poll_write(cx, out))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        *out = &out[written..];
    }
    Pin::new(io).poll_flush(cx)
}

fn poll_receive<IO, I>(
    io: &mut IO,
    came: &mut BytesMut,
    incoming: &I,
    cx: &mut Context<'_>,
) -> Poll<Result<I::Item, HelloError>>
where
    IO: AsyncRead + Unpin,
    I: Incoming,
{
    loop {
        let missing = incoming.size(came)? - came.len();
        if missing == 0 {
            return Poll::Ready(incoming.take(came));
        }
        let mut block = [0; BLOCK];
        let mut block = ReadBuf::new(&mut block[..missing.min(BLOCK)]);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut block))?;
        if block.filled().is_empty() {
            return Poll::Ready(Err(incoming.ended(came.len())));
        }
        came.extend_from_slice(block.filled());
    }
}
