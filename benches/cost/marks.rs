//! Where a stage begins and ends: functions that are never inlined, so that the profiler sees who is in them.
//!
//! A profiler can't tell the stages apart by functions alone, as most of the path is inlined into the task's
//! `poll`; nor by source files, as much of each stage is of the standard library. What is called from a mark
//! belongs to it, wherever its source is.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures::{Sink, Stream};
use tokio::io::ReadBuf;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};
use wattle::{Inbound, PeerSink};

use super::tape::Tape;

pub(crate) const DECODE: &str = "marked_decode";
pub(crate) const ENCODE: &str = "marked_encode";
/// The reader's loop around [`Inbound`], and what is left of it without [`TAKEN`].
pub(crate) const YIELD: &str = "marked_yield";
/// The sender's loop around [`PeerSink`], and what is left of it without [`MADE`].
pub(crate) const FEED: &str = "marked_feed";
/// What the program does with a message that it got.
pub(crate) const TAKEN: &str = "marked_taken";
/// How the program makes one.
pub(crate) const MADE: &str = "marked_made";
pub(crate) const READ: &str = "marked_read";
pub(crate) const WRITE: &str = "marked_write";

/// All of them, as what is in none is the rest.
pub(crate) const ALL: [&str; 8] = [DECODE, ENCODE, YIELD, FEED, TAKEN, MADE, READ, WRITE];

/// A codec whose work is told from that of those who call it.
#[derive(Debug, Default)]
pub(crate) struct Marked(LengthDelimitedCodec);

impl Decoder for Marked {
    type Item = BytesMut;
    type Error = io::Error;

    fn decode(&mut self, source: &mut BytesMut) -> io::Result<Option<BytesMut>> {
        marked_decode(&mut self.0, source)
    }
}

impl Encoder<Bytes> for Marked {
    type Error = io::Error;

    fn encode(&mut self, message: Bytes, target: &mut BytesMut) -> io::Result<()> {
        marked_encode(&mut self.0, message, target)
    }
}

#[inline(never)]
fn marked_decode(
    codec: &mut LengthDelimitedCodec,
    source: &mut BytesMut,
) -> io::Result<Option<BytesMut>> {
    codec.decode(source)
}

#[inline(never)]
fn marked_encode(
    codec: &mut LengthDelimitedCodec,
    message: Bytes,
    target: &mut BytesMut,
) -> io::Result<()> {
    codec.encode(message, target)
}

/// Takes so many messages.
#[inline(never)]
pub(crate) fn marked_yield(
    inbound: &mut Inbound<BytesMut>,
    cx: &mut Context<'_>,
    left: &mut usize,
) -> Poll<()> {
    while *left > 0 {
        let (message, _) = ready!(Pin::new(&mut *inbound).poll_next(cx)).expect("a message");
        marked_taken(message);
        *left -= 1;
    }
    Poll::Ready(())
}

/// Feeds so many messages, and flushes each of them or all.
#[inline(never)]
pub(crate) fn marked_feed(
    sink: &mut PeerSink<Bytes>,
    cx: &mut Context<'_>,
    feed: &mut Feed,
) -> Poll<()> {
    loop {
        if mem::take(&mut feed.unflushed) && Pin::new(&mut *sink).poll_flush(cx).is_pending() {
            feed.unflushed = true;
            return Poll::Pending;
        }
        if feed.left == 0 {
            return Poll::Ready(());
        }
        ready!(Pin::new(&mut *sink).poll_ready(cx)).expect("connected");
        let message = marked_made(&feed.payload);
        Pin::new(&mut *sink).start_send(message).expect("connected");
        feed.left -= 1;
        feed.unflushed = feed.alone || feed.left == 0;
    }
}

/// What is to be fed.
pub(crate) struct Feed {
    pub(crate) payload: Bytes,
    pub(crate) left: usize,
    pub(crate) alone: bool,
    pub(crate) unflushed: bool,
}

#[inline(never)]
pub(crate) fn marked_taken(message: BytesMut) {
    drop(message);
}

#[inline(never)]
pub(crate) fn marked_made(payload: &Bytes) -> Bytes {
    payload.clone()
}

#[inline(never)]
pub(crate) fn marked_read(
    tape: &mut Tape,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<()> {
    tape.read(cx, buf)
}

#[inline(never)]
pub(crate) fn marked_write(tape: &mut Tape, cx: &mut Context<'_>, bytes: usize) -> Poll<usize> {
    tape.write(cx, bytes)
}
