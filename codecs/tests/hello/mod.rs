//! What the tests of the exchange of hellos share: hellos in bytes, and a remote that plays a script.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::codec::{Framed, LinesCodec};
use wattle_codecs::hello::{Agreed, Hello, HelloError};

pub(crate) const ACCEPTED: [u8; 3] = [0, 0, 0];

pub(crate) fn ours() -> Hello {
    Hello::new(b"test", 2..=5).features(0b0111).identity("us")
}

/// `test`, versions 1 to 3, features 0b1110, identity `them`.
pub(crate) fn their_hello() -> Vec<u8> {
    let mut hello = b"test".to_vec();
    hello.extend([0, 22]);
    hello.extend([0, 0, 0, 1]);
    hello.extend([0, 0, 0, 3]);
    hello.extend([0, 0, 0, 0, 0, 0, 0, 0b1110]);
    hello.extend([0, 4]);
    hello.extend(b"them");
    hello
}

pub(crate) fn our_hello() -> Vec<u8> {
    let mut hello = b"test\x00\x14\x00\x00\x00\x02\x00\x00\x00\x05".to_vec();
    hello.extend(b"\x00\x00\x00\x00\x00\x00\x00\x07\x00\x02us");
    hello
}

pub(crate) fn lines(_: &Agreed) -> LinesCodec {
    LinesCodec::new_with_max_length(64)
}

pub(crate) type Outcome<IO> = Result<(Framed<IO, LinesCodec>, Agreed), HelloError>;

pub(crate) async fn exchange<IO: AsyncRead + AsyncWrite + Unpin>(
    hello: &Hello,
    io: IO,
) -> Outcome<IO> {
    hello.exchange(io, |_| Ok(()), lines).await
}

/// A remote that has sent all that it ever will, and takes whatever it gets.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) input: Bytes,
    /// At most this much at once.
    block: usize,
    pub(crate) sent: Vec<u8>,
    pub(crate) is_shut_down: bool,
}

impl Script {
    pub(crate) fn new(input: impl Into<Bytes>) -> Self {
        Self {
            input: input.into(),
            block: usize::MAX,
            sent: Vec::new(),
            is_shut_down: false,
        }
    }

    pub(crate) fn in_blocks(mut self, block: usize) -> Self {
        self.block = block;
        self
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.block.min(buf.remaining()).min(self.input.len());
        buf.put_slice(&self.input.split_to(size));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.sent.extend(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut_down = true;
        Poll::Ready(Ok(()))
    }
}

/// What becomes of an exchange with a script. It never waits: a pending exchange is a bug.
pub(crate) fn play(hello: &Hello, script: Script) -> Outcome<Script> {
    exchange(hello, script)
        .now_or_never()
        .expect("a script is never pending")
}

pub(crate) fn fail(input: impl Into<Bytes>) -> HelloError {
    play(&ours(), Script::new(input)).expect_err("no agreement")
}

pub(crate) fn their_hello_with(body: &[u8]) -> Vec<u8> {
    let mut hello = b"test".to_vec();
    hello.extend((body.len() as u16).to_be_bytes());
    hello.extend(body);
    hello
}

pub(crate) fn with_verdict(mut hello: Vec<u8>, verdict: &[u8]) -> Vec<u8> {
    hello.extend(verdict);
    hello
}
