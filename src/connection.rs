//! A connection: one task that owns one `Framed`, in both directions.
//!
//! ```text
//!            ┌───────────────────────── serve ─────────────────────────┐
//!            │  pump_read:  room in the inbox → decode → hand over     │
//!   start ──►│  pump_write: take the queue → encode → flush when idle  │──► closing ──► ended
//!            └─────────────────────────────────────────────────────────┘                  ▲
//!                        error, timeout, abort: an ending at once ────────────────────────┘
//! ```
//!
//! Progress means another turn, within a budget; nothing to do means to wait; anything else is a
//! named ending.
//!
//! # Invariants
//!
//! 1. Readiness first, then take: a message is decoded only when the inbox has room, and taken from
//!    the batch only when the write buffer has.
//! 2. A decoder that has failed is never polled again, an encoder that has failed never called
//!    again, and its unfinished bytes are cut off.
//! 3. Whenever the task waits, one of these wakes it: the stream (it was polled and is pending), the
//!    inbox (its producer is registered as blocked), the queue (parked, or an order came), the
//!    timer.
//! 4. An idle connection holds no buffers and no batches.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures::{sink::Sink, stream::Stream};
use tokio_util::codec::{Decoder, Encoder, Framed, FramedParts};
use tracing::trace;

use crate::{
    config::SessionConfig,
    deadlines::{Activity, Deadline, Deadlines},
    disconnect::{BoxError, Disconnect, Reason, Timeout},
    inbound::Producer,
    meter::Meter,
    outbound::{Done, Order, Queue},
    transport::ByteStream,
};

mod buffers;
mod closing;
#[cfg(test)]
mod tests;

use buffers::Messages;
use closing::Closing;

/// How many messages are decoded before they are handed over: the hand-over's cost is spread thin by
/// then, and the consumer on another core isn't kept waiting.
const BATCH_MESSAGES: usize = 256;

/// The same in bytes; a batch should still be in the cache when the consumer gets it.
const BATCH_BYTES: usize = 128 * 1024;

/// How many turns a task takes before it lets others run.
const TURNS_PER_POLL: usize = 16;

/// How a connection ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) disconnect: Disconnect,
    /// Whether the drain timeout cut it short.
    pub(crate) drain_timed_out: bool,
}

#[must_use = "a connection does nothing unless it is polled"]
pub(crate) struct Connection<Io, C: Decoder, Out> {
    framed: Framed<Meter<Io>, C>,
    inbound: Producer<C::Item>,
    queue: Arc<Queue<Out>>,
    config: SessionConfig,
    deadlines: Deadlines,
    /// With which waker the queue knows this task.
    waker: Option<Waker>,
    closing: Option<Closing>,

    reading: Reading,
    /// Whether the last pump_read waits for bytes.
    read_starved: bool,
    /// Messages that were decoded.
    messages_in: u64,
    /// Bytes that the codec had consumed at the last hand-over.
    consumed: u64,
    /// What the messages of the last batch were.
    receiving: Messages,

    /// Messages that were taken from the queue and are to be encoded.
    batch: VecDeque<Out>,
    /// Whether the encoder may be called.
    encoding: bool,
    /// Whether the last pump_write waits for the stream.
    write_stalled: bool,
    /// Messages that were encoded, and how many of them are written.
    encoded: u64,
    written: u64,
    /// Mean encoded size of the messages of the last batch.
    weight: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Reading {
    Open,
    Ended,
}

/// What a pump, and so a turn, comes to.
enum Step {
    /// Something moved.
    Again,
    /// Nothing to do until something wakes us.
    Wait,
    /// To be closed, after what is queued was written.
    Close(Disconnect),
    /// Over, at once.
    End(Disconnect),
}

impl<Io, C, Out> Connection<Io, C, Out>
where
    Io: ByteStream,
    C: Decoder + Encoder<Out>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<Out>>::Error: Into<BoxError>,
{
    /// A connection that takes over from its handshake, with the bytes that it left in the buffers.
    pub(crate) fn new(
        framed: Framed<Io, C>,
        inbound: Producer<C::Item>,
        queue: Arc<Queue<Out>>,
        config: SessionConfig,
    ) -> Self {
        let parts = framed.into_parts();
        let meter = Meter::new(parts.io, parts.read_buf.len());
        let mut metered = FramedParts::new::<Out>(meter, parts.codec);
        metered.read_buf = parts.read_buf;
        metered.write_buf = parts.write_buf;
        let mut framed = Framed::from_parts(metered);
        framed.set_backpressure_boundary(config.write_boundary);
        Self {
            framed,
            inbound,
            queue,
            config,
            deadlines: Deadlines::new(config.idle_timeout, config.write_timeout),
            waker: None,
            closing: None,
            reading: Reading::Open,
            read_starved: false,
            messages_in: 0,
            consumed: 0,
            receiving: Messages::Small,
            batch: VecDeque::new(),
            encoding: true,
            write_stalled: false,
            encoded: 0,
            written: 0,
            weight: None,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Step {
        match self.queue.ordered() {
            Some(Order::Abort) => return Step::End(Disconnect::local(Reason::Aborted)),
            Some(order) if self.closing.is_none() => {
                let reason = match order {
                    Order::ShutDown => Reason::Shutdown,
                    _ => Reason::Disconnected,
                };
                return Step::Close(Disconnect::local(reason));
            }
            _ => {}
        }
        match self.closing.take() {
            None => self.serve(cx),
            Some(mut closing) => {
                let step = self.close(cx, &mut closing);
                self.closing = Some(closing);
                step
            }
        }
    }

    /// Reading goes first, so that what came before the stream failed is delivered.
    fn serve(&mut self, cx: &mut Context<'_>) -> Step {
        let read = self.pump_read(cx);
        if let Step::Close(_) | Step::End(_) = read {
            return read;
        }
        match (read, self.pump_write(cx)) {
            (_, Step::End(ending)) => self.read_what_came(cx, ending),
            (Step::Again, Step::Wait) => Step::Again,
            (_, step) => step,
        }
    }

    /// Decodes one batch and hands it over.
    fn pump_read(&mut self, cx: &mut Context<'_>) -> Step {
        self.read_starved = false;
        if let Reading::Ended = self.reading {
            return Step::Wait;
        }
        if self.inbound.poll_room(cx).is_pending() {
            return Step::Wait;
        }
        let receiving = self.receiving;
        buffers::lend_read(self.framed.read_buffer_mut(), receiving);
        let step = self.fill_batch(cx);
        self.hand_over();
        match step {
            Step::Again => self.inbound.expect_more(),
            _ => {
                self.inbound.expect_none();
                buffers::return_read(self.framed.read_buffer_mut(), receiving);
            }
        }
        step
    }

    fn fill_batch(&mut self, cx: &mut Context<'_>) -> Step {
        let most_messages = BATCH_MESSAGES.min(self.config.inbound.messages);
        let most_bytes = self.consumed + BATCH_BYTES.min(self.config.inbound.bytes) as u64;
        while self.inbound.pushed() < most_messages && self.consumed_now() < most_bytes {
            match Pin::new(&mut self.framed).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    self.messages_in += 1;
                    self.inbound.push(message);
                }
                Poll::Ready(Some(Err(error))) => return Step::End(self.read_failed(error.into())),
                Poll::Ready(None) => return self.read_ended(),
                Poll::Pending => {
                    self.read_starved = true;
                    return Step::Wait;
                }
            }
        }
        Step::Again
    }

    /// Bytes that the codec has consumed so far.
    fn consumed_now(&self) -> u64 {
        self.framed.get_ref().received() - self.framed.read_buffer().len() as u64
    }

    fn hand_over(&mut self) {
        let messages = self.inbound.pushed();
        let consumed = self.consumed_now();
        let bytes = (consumed - self.consumed) as usize;
        self.consumed = consumed;
        self.inbound.hand_over(bytes);
        if messages > 0 {
            self.receiving = Messages::of_mean_size(bytes / messages);
            trace!(messages, bytes, "batch in");
        }
        let received = self.framed.get_ref().received();
        self.queue.counters().record_in(self.messages_in, received);
    }

    /// An error comes out of the framed stream as its codec's; the meter knows whose it is.
    fn read_failed(&mut self, error: BoxError) -> Disconnect {
        self.reading = Reading::Ended;
        let meter = self.framed.get_mut();
        match meter.take_error() {
            Some(io) => Disconnect::from_io(io),
            // Decoding goes before reading on, so an error after the end is about what is left over.
            None if meter.ended() => Disconnect::remote(Reason::EndInsideFrame {
                buffered: self.framed.read_buffer().len(),
                source: error.into(),
            }),
            None => Disconnect::library(Reason::Decode(error.into())),
        }
    }

    fn read_ended(&mut self) -> Step {
        self.reading = Reading::Ended;
        if self.config.allow_half_open {
            self.hand_over();
            self.inbound.read_closed();
            return Step::Again;
        }
        Step::Close(Disconnect::remote(Reason::EndOfStream))
    }

    /// Encodes what is queued, or flushes when nothing is.
    fn pump_write(&mut self, cx: &mut Context<'_>) -> Step {
        self.write_stalled = false;
        if self.batch.is_empty() && !self.take_batch() {
            return match self.flush(cx) {
                Poll::Ready(Ok(())) => self.park(),
                Poll::Ready(Err(ending)) => Step::End(ending),
                Poll::Pending => Step::Wait,
            };
        }
        buffers::lend_write(self.framed.write_buffer_mut());
        match self.encode_batch(cx) {
            Poll::Ready(Ok(())) => Step::Again,
            Poll::Ready(Err(step)) => step,
            Poll::Pending => Step::Wait,
        }
    }

    fn take_batch(&mut self) -> bool {
        let done = self.done();
        self.encoding && self.queue.take(&mut self.batch, done)
    }

    fn encode_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Step>> {
        let (messages, before) = (self.batch.len(), self.bytes_encoded());
        while !self.batch.is_empty() {
            match Pin::new(&mut self.framed).poll_ready(cx) {
                Poll::Ready(Ok(())) => self.note_written(),
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Step::End(self.write_failed(error.into()))));
                }
                Poll::Pending => {
                    self.write_stalled = true;
                    return Poll::Pending;
                }
            }
            let Some(message) = self.batch.pop_front() else {
                break;
            };
            let length = self.framed.write_buffer().len();
            if let Err(error) = Pin::new(&mut self.framed).start_send(message) {
                self.framed.write_buffer_mut().truncate(length);
                self.encoding = false;
                self.batch.clear();
                let reason = Reason::Encode(error.into().into());
                return Poll::Ready(Err(Step::Close(Disconnect::library(reason))));
            }
            self.encoded += 1;
        }
        let bytes = self.bytes_encoded() - before;
        self.weight = Some((bytes as usize).div_ceil(messages));
        trace!(messages, bytes, "batch out");
        Poll::Ready(Ok(()))
    }

    /// Bytes that the codec has produced so far.
    fn bytes_encoded(&self) -> u64 {
        self.framed.get_ref().sent() + self.framed.write_buffer().len() as u64
    }

    fn note_written(&mut self) {
        if self.framed.write_buffer().is_empty() {
            self.written = self.encoded;
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnect>> {
        if self.written == self.encoded && self.framed.write_buffer().is_empty() {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.framed).poll_flush(cx);
        self.write_stalled = flushed.is_pending();
        if let Err(error) = ready!(flushed) {
            return Poll::Ready(Err(self.write_failed(error.into())));
        }
        self.note_written();
        Poll::Ready(Ok(()))
    }

    /// Waits for the queue, unless it has something again.
    fn park(&mut self) -> Step {
        let done = self.done();
        if !self.queue.park(done) && self.encoding {
            return Step::Again;
        }
        buffers::return_write(self.framed.write_buffer_mut());
        self.batch = VecDeque::new();
        Step::Wait
    }

    /// What has been done with the batches taken so far.
    fn done(&mut self) -> Done {
        let sent = self.framed.get_ref().sent();
        self.queue.counters().record_out(self.written, sent);
        Done {
            written: self.written,
            weight: self.weight,
        }
    }

    fn write_failed(&mut self, error: BoxError) -> Disconnect {
        self.encoding = false;
        self.write_stalled = false;
        match self.framed.get_mut().take_error() {
            Some(io) => Disconnect::from_io(io),
            None => Disconnect::library(Reason::Encode(error.into())),
        }
    }

    /// The stream takes no more bytes, but may have some to give: what the remote sent before it
    /// went away, and its own way of ending. One that closed and is written to answers with a reset,
    /// so the end that it sent first is the better reason.
    fn read_what_came(&mut self, cx: &mut Context<'_>, ending: Disconnect) -> Step {
        loop {
            match self.pump_read(cx) {
                Step::Again => {}
                Step::Wait => return Step::End(ending),
                Step::Close(better) | Step::End(better) => return Step::End(better),
            }
        }
    }

    fn begin_closing(&mut self, disconnect: Disconnect) {
        self.queue.close();
        self.deadlines.drain_within(self.config.drain_timeout);
        self.closing.get_or_insert_with(|| Closing::new(disconnect));
    }

    /// Waits, unless a deadline has passed.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let activity = Activity {
            reading: self.read_starved,
            received: self.framed.get_ref().received(),
            writing: self.write_stalled,
            sent: self.framed.get_ref().sent(),
        };
        let deadline = ready!(self.deadlines.poll(cx, activity));
        let disconnect = match (deadline, &self.closing) {
            (Deadline::Drain, Some(closing)) => closing.disconnect.clone(),
            (Deadline::Idle, _) => Disconnect::library(Reason::TimedOut(Timeout::Idle)),
            _ => Disconnect::library(Reason::TimedOut(Timeout::Write)),
        };
        Poll::Ready(self.ended(disconnect, deadline == Deadline::Drain))
    }

    fn ended(&mut self, disconnect: Disconnect, drain_timed_out: bool) -> Ended {
        let done = self.done();
        self.queue.park(done);
        Ended {
            disconnect,
            drain_timed_out,
        }
    }
}

impl<Io, C, Out> Future for Connection<Io, C, Out>
where
    Io: ByteStream,
    C: Decoder + Encoder<Out>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<Out>>::Error: Into<BoxError>,
{
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = self.get_mut();
        if this
            .waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            this.waker = Some(cx.waker().clone());
            this.queue.register(cx.waker());
        }
        for _ in 0..TURNS_PER_POLL {
            match this.turn(cx) {
                Step::Again => {}
                Step::Wait => return this.wait(cx),
                Step::Close(disconnect) => this.begin_closing(disconnect),
                Step::End(disconnect) => return Poll::Ready(this.ended(disconnect, false)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

// Nothing in it is pinned but the stream, which is `Unpin`.
impl<Io, C: Decoder, Out> Unpin for Connection<Io, C, Out> {}

impl<Io, C: Decoder, Out> fmt::Debug for Connection<Io, C, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}
