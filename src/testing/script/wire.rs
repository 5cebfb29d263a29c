//! A connection under a script: bytes and the codec, driven as a `Framed` drives them.
//!
//! It isn't a `Framed` because a transcript shows the bytes of each message, which the codec takes out
//! of the read buffer on its way to the message, and because a `Framed` doesn't read while it writes.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io, mem,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, empty},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::codec::{Decoder, Framed};

use super::{
    failure::{Ending, Instead},
    line::{Line, Session},
};
use crate::{disconnect::BoxError, transport::ByteStream};

/// The room for one read: what a `Framed` begins with.
const READ: usize = 8 * 1024;

/// How much is read while something is written, in bytes: more than an answer that one doesn't wait
/// for, and little to hold.
const READ_AHEAD: usize = 1024 * 1024;

pub(super) struct Wire<C> {
    line: Box<dyn Line>,
    codec: C,
    /// The codec's read buffer.
    unread: BytesMut,
    /// Whether the codec may find something in it: it was not asked since bytes were added.
    readable: bool,
    /// The bytes since the last message as they came, those that the codec has taken already included.
    since_last: BytesMut,
    /// How many bytes came in all, and with which of them each read ended.
    received: u64,
    reads: VecDeque<(u64, Instant)>,
    /// How the other side has ended it; what came before may still be in the buffer.
    ended: Option<Ending>,
    pub(super) half_closed: bool,
    pub(super) reset: bool,
}

/// What comes next.
pub(super) enum Came<In> {
    Message {
        item: In,
        bytes: BytesMut,
        /// When its last byte was read.
        at: Instant,
    },
    Undecodable(BoxError),
    Closed(Ending),
}

impl<C> Wire<C> {
    pub(super) fn new(session: Session<C>) -> Self {
        let unread = session.unread;
        Self {
            line: session.line,
            codec: session.codec,
            readable: !unread.is_empty(),
            since_last: unread.clone(),
            received: unread.len() as u64,
            reads: VecDeque::from([(unread.len() as u64, Instant::now())]),
            unread,
            ended: None,
            half_closed: false,
            reset: false,
        }
    }

    pub(super) fn codec(&mut self) -> &mut C {
        &mut self.codec
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The bytes that no message was made of.
    pub(super) fn since_last(&self) -> &BytesMut {
        &self.since_last
    }

    /// Reads once.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.unread.len();
        self.unread.reserve(READ);
        let read = ready!(pin!(self.line.read_buf(&mut self.unread)).poll(cx));
        match read {
            Ok(0) => self.ended = Some(Ending::Orderly),
            Ok(n) => {
                self.readable = true;
                self.since_last.extend_from_slice(&self.unread[before..]);
                self.received += n as u64;
                self.reads.push_back((self.received, Instant::now()));
            }
            Err(error) => self.ended = Some(Ending::of(error)),
        }
        Poll::Ready(())
    }

    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        while self.ended.is_none()
            && self.unread.len() < READ_AHEAD
            && self.poll_fill(cx).is_ready()
        {}
    }

    /// Takes what the operating system has by now, without waiting.
    pub(super) async fn catch_up(&mut self) {
        poll_fn(|cx| {
            self.read_ahead(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Reads ahead for a while.
    pub(super) async fn pause(&mut self, duration: Duration) {
        let reading = poll_fn(|cx| -> Poll<()> {
            self.read_ahead(cx);
            Poll::Pending
        });
        let _ = timeout(duration, reading).await;
    }

    /// Writes all of it, and reads ahead meanwhile.
    pub(super) async fn write(&mut self, bytes: &[u8], within: Duration) -> Result<(), Instead> {
        let mut left = bytes;
        let writing = poll_fn(|cx| {
            let polled = poll_write_all(Pin::new(&mut self.line), cx, &mut left);
            if polled.is_pending() {
                self.read_ahead(cx);
            }
            polled
        });
        match timeout(within, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Instead::Closed(self.ending_of(error).await)),
            Err(_elapsed) => Err(Instead::NotTaken {
                within,
                written: bytes.len() - left.len(),
                of: bytes.len(),
            }),
        }
    }

    /// Ends our side.
    pub(super) async fn half_close(&mut self, within: Duration) -> Result<(), Instead> {
        self.half_closed = true;
        let closing = poll_fn(|cx| {
            let polled = Pin::new(&mut self.line).poll_shutdown(cx);
            if polled.is_pending() {
                self.read_ahead(cx);
            }
            polled
        });
        match timeout(within, closing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Instead::Closed(self.ending_of(error).await)),
            Err(_elapsed) => Err(Instead::StillOpen { within }),
        }
    }

    /// How the other side has ended what can't be written to any more.
    async fn ending_of(&mut self, error: io::Error) -> Ending {
        use io::ErrorKind::{BrokenPipe, NotConnected};
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        // What came before is there to be read; and of a broken pipe only the reading side knows
        // whether the stream was ended first.
        self.catch_up().await;
        let ending = match (error.kind(), self.ended.take()) {
            (BrokenPipe | NotConnected, Some(read)) => read,
            (BrokenPipe | NotConnected, None) => Ending::Reset,
            // The kernel tells of a reset once, and then as of an end.
            _ => Ending::of(error),
        };
        self.ended = Some(ending.clone());
        ending
    }

    /// Resets the connection, if that can be done.
    pub(super) fn reset(&mut self) -> Result<(), Instead> {
        let line = mem::replace(&mut self.line, Box::new(empty()));
        match line.reset() {
            Ok(()) => self.reset = true,
            Err(line) => {
                self.line = line;
                let why = "a stream of this type can't be reset";
                return Err(Instead::Impossible(why));
            }
        }
        Ok(())
    }

    /// When the message was there whose last byte was this one of all.
    fn read_at(&mut self, last: u64) -> Instant {
        while let Some(&(end, at)) = self.reads.front() {
            if end >= last || self.reads.len() == 1 {
                return at;
            }
            self.reads.pop_front();
        }
        Instant::now()
    }
}

impl<C: Decoder<Error: Into<BoxError>>> Wire<C> {
    /// What comes next, or `None` when the time is over. What is there by then is read, unless
    /// something was already (`again`): of one that never stops there would always be more.
    ///
    /// Dropped, it has taken nothing.
    pub(super) async fn next(&mut self, until: Instant, again: bool) -> Option<Came<C::Item>> {
        let next = poll_fn(|cx| self.poll_next(cx, again.then_some(until)));
        timeout_at(until, next).await.ok()
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        read_until: Option<Instant>,
    ) -> Poll<Came<C::Item>> {
        loop {
            if self.readable {
                match self.codec.decode(&mut self.unread) {
                    Ok(Some(item)) => return Poll::Ready(self.message(item)),
                    Ok(None) => self.readable = false,
                    Err(error) => return Poll::Ready(Came::Undecodable(error.into())),
                }
            }
            match self.ended.clone() {
                // The deadline has passed, and is looked at next.
                None if read_until.is_some_and(|until| Instant::now() >= until) => {
                    return Poll::Pending;
                }
                None => ready!(self.poll_fill(cx)),
                Some(Ending::Orderly) => return Poll::Ready(self.at_end()),
                Some(ending) => return Poll::Ready(Came::Closed(ending)),
            }
        }
    }

    /// The stream has ended: the codec may make a last message of what is left, and accept the end or
    /// not.
    fn at_end(&mut self) -> Came<C::Item> {
        let ending = match self.codec.decode_eof(&mut self.unread) {
            Ok(Some(item)) => return self.message(item),
            Ok(None) if self.unread.is_empty() => Ending::Orderly,
            Ok(None) | Err(_) => Ending::InsideMessage {
                bytes: self.since_last.len(),
            },
        };
        self.ended = Some(ending.clone());
        Came::Closed(ending)
    }

    fn message(&mut self, item: C::Item) -> Came<C::Item> {
        let taken = self.since_last.len().saturating_sub(self.unread.len());
        let bytes = self.since_last.split_to(taken);
        let last = self.received - self.since_last.len() as u64;
        let at = self.read_at(last);
        Came::Message { item, bytes, at }
    }

    pub(super) fn into_framed(self) -> Framed<Box<dyn ByteStream>, C> {
        let line: Box<dyn ByteStream> = self.line;
        let mut parts = Framed::new(line, self.codec).into_parts();
        parts.read_buf = self.unread;
        Framed::from_parts(parts)
    }
}

fn poll_write_all(
    mut line: Pin<&mut Box<dyn Line>>,
    cx: &mut Context<'_>,
    left: &mut &[u8],
) -> Poll<io::Result<()>> {
    while !left.is_empty() {
        match ready!(line.as_mut().poll_write(cx, left))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            n => left.advance(n),
        }
    }
    line.poll_flush(cx)
}
