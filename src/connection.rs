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
//!    line of those that have more to do (it has a place there), the timer.
//! 4. An idle connection holds no buffers and no batches.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use tokio::task::coop;
use tokio_util::codec::{Decoder, Encoder, Framed, FramedParts};

use crate::{
    config::SessionConfig,
    deadlines::{Activity, Begun, Deadline, Deadlines},
    disconnect::{BoxError, Disconnect, Reason, Timeout},
    inbound::Producer,
    meter::Meter,
    outbound::{Order, Queue},
    transport::{self, ByteStream},
    turns::Place,
};

mod buffers;
mod closing;
mod reading;
#[cfg(test)]
mod tests;
mod writing;

use buffers::{Messages, WholeBlock};
use closing::Closing;

/// How many turns a task takes before it lets others run.
const TURNS_PER_POLL: usize = 16;

/// How many batches a task hands over before it lets others run: the reader, who may be next on this
/// very core, finds them in its cache.
const BATCHES_IN_PER_POLL: u8 = 4;

/// How many bytes of messages it hands over before that, in company: others are kept waiting no longer than
/// that takes.
const BYTES_IN_PER_POLL: u64 = 128 * 1024;

/// With so many connections a node's connection is in company: one that has more to do lines up for its next
/// turn, before which the runtime sees what has come for others. To the runtime that means that whatever else
/// there is goes first, which costs eight connections next to nothing, and a single one a third of its
/// throughput. (With fewer, the runtime sees it when a worker has nothing to do, or has had 61 turns.)
const COMPANY: usize = 8;

#[must_use = "a connection does nothing unless it is polled"]
pub(crate) struct Connection<Io, C: Decoder, Out> {
    framed: Framed<Meter<Io>, C>,
    inbound: Producer<C::Item>,
    queue: Arc<Queue<Out>>,
    allow_half_open: bool,
    deadlines: Deadlines,
    /// With which waker the queue knows this task.
    waker: Option<Waker>,
    // Boxed, as most of the time there is neither.
    closing: Option<Box<Closing>>,
    /// How it ends when the stream takes no more, unless what is left to read tells it better.
    broken: Option<Box<Disconnect>>,
    /// Its place in the line of those that have more to do, if it is one of them; it reads when it has its
    /// turn.
    place: Option<Box<Place>>,

    reading: Reading,
    /// Whether reading waits for bytes, in this poll.
    read_starved: bool,
    /// Messages that were decoded.
    messages_in: u64,
    /// Batches that were handed over in this poll.
    batches_in: u8,
    /// Bytes that the codec had consumed when the last batch was handed over.
    consumed: u64,
    /// The same at the last message: where the frame begins that is being read.
    frame_start: u64,
    /// How far from there it may go.
    max_frame: u64,
    /// What the messages of the last batch were.
    receiving: Messages,
    /// Held while the beginning of a frame stays in its block.
    whole_block: Option<WholeBlock>,

    /// Messages that were taken from the queue and are to be encoded.
    batch: VecDeque<Out>,
    /// Whether the encoder may be called.
    encoding: bool,
    /// Whether the last pump_write waits for the stream.
    write_stalled: bool,
    /// Messages that were encoded, or skipped because they were dropped from the queue, and how many of
    /// them are written.
    encoded: u64,
    written: u64,
    /// How many of each were skipped.
    skipped: u64,
    skipped_written: u64,
    /// Mean encoded size of the messages of the last batch.
    weight: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
enum Reading {
    Open,
    /// What came can't be decoded; what comes is thrown away.
    Failed,
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
            allow_half_open: config.allow_half_open,
            deadlines: Deadlines::new(&config),
            waker: None,
            closing: None,
            broken: None,
            place: None,
            reading: Reading::Open,
            read_starved: false,
            messages_in: 0,
            batches_in: 0,
            consumed: 0,
            frame_start: 0,
            max_frame: config.max_frame_bytes.map_or(u64::MAX, |max| max as u64),
            receiving: Messages::Small,
            whole_block: None,
            batch: VecDeque::new(),
            encoding: true,
            write_stalled: false,
            encoded: 0,
            written: 0,
            skipped: 0,
            skipped_written: 0,
            weight: None,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Step {
        match self.queue.ordered() {
            Some(Order::Abort) => return Step::End(Disconnect::local(Reason::Aborted)),
            Some(Order::Overflow) => return Step::End(Disconnect::library(Reason::QueueFull)),
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
        if self.broken.is_some() {
            return self.read_what_came(read);
        }
        if let Step::Close(_) | Step::End(_) = read {
            return read;
        }
        match (read, self.pump_write(cx)) {
            (_, Step::End(ending)) => self.take_no_more(ending),
            (Step::Again, Step::Wait) => Step::Again,
            (_, step) => step,
        }
    }

    /// The stream takes no more bytes, but may have some to give: what the remote sent before it
    /// went away, and its own way of ending. One that closed and is written to answers with a reset,
    /// so the end that it sent first is the better reason. But a reset that a write was told of is told
    /// once, and reading then finds an end that the remote never sent.
    fn take_no_more(&mut self, ending: Disconnect) -> Step {
        self.queue.close();
        self.deadlines.begin_drain();
        // Before the write that failed, there may have been nothing to read.
        self.read_starved = false;
        self.broken = Some(Box::new(ending));
        Step::Again
    }

    fn read_what_came(&mut self, read: Step) -> Step {
        // Pending for another reason than that nothing is there.
        let held_up = !self.read_starved || !coop::has_budget_remaining();
        match (read, self.reading) {
            (Step::Again, _) => Step::Again,
            (Step::Wait, Reading::Open) if held_up => Step::Wait,
            (Step::Wait, _) => match self.broken.take() {
                Some(ending) => Step::End(*ending),
                None => Step::Wait,
            },
            (Step::Close(better) | Step::End(better), _) => match self.broken.take() {
                Some(reset) if reset.was_reset() && better.is_end() => Step::End(*reset),
                _ => Step::End(better),
            },
        }
    }

    fn begin_closing(&mut self, disconnect: Disconnect) {
        self.queue.close();
        self.deadlines.begin_drain();
        // What has begun will not be decoded, and what comes now belongs to no frame.
        drop(mem::take(self.framed.read_buffer_mut()));
        self.whole_block = None;
        self.framed.get_mut().read_until(u64::MAX);
        self.closing
            .get_or_insert_with(|| Box::new(Closing::new(disconnect)));
    }

    /// Waits, unless a deadline has passed.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Disconnect> {
        // In the middle of a batch: what of it is written already, nobody else would tell.
        if self.write_stalled {
            let done = self.done();
            self.queue.publish(done);
        }
        let activity = self.activity();
        let deadline = ready!(self.deadlines.poll(cx, activity));
        let closing = self.closing.as_ref().map(|closing| &closing.disconnect);
        let disconnect = match (deadline, closing.or(self.broken.as_deref())) {
            (Deadline::Drain, Some(disconnect)) => Disconnect {
                drain_timed_out: true,
                ..disconnect.clone()
            },
            (Deadline::Frame, _) => Disconnect::library(Reason::TimedOut(Timeout::Frame)),
            (Deadline::Idle, _) => Disconnect::library(Reason::TimedOut(Timeout::Idle)),
            _ => Disconnect::library(Reason::TimedOut(Timeout::Write)),
        };
        Poll::Ready(self.ended(disconnect))
    }

    /// Whether others go first when it has had its turn. Between huge messages that would cost a quarter of the
    /// throughput.
    fn gives_way(&self) -> bool {
        self.receiving != Messages::Huge && self.inbound.connections() >= COMPANY
    }

    /// Whether it has more to do, and others have their turn.
    fn is_in_line(&self) -> bool {
        self.place.as_ref().is_some_and(|place| !place.has_turn())
    }

    /// Sees to it that it is polled again, as there is more to do.
    fn go_on(&mut self, cx: &mut Context<'_>) {
        if self.gives_way() {
            let turns = self.inbound.turns();
            let place = self.place.get_or_insert_with(|| Box::new(turns.place()));
            place.line_up(cx);
        } else {
            self.place = None;
            cx.waker().wake_by_ref();
        }
    }

    fn activity(&self) -> Activity {
        let (received, sent) = (
            self.framed.get_ref().received(),
            self.framed.get_ref().sent(),
        );
        let activity = Activity {
            reading: self.read_starved,
            received,
            frame: None,
            writing: self.write_stalled,
            sent,
        };
        match self.reading {
            Reading::Open if received > self.frame_start => Activity {
                frame: Some(Begun {
                    number: self.messages_in,
                    bytes: received - self.frame_start,
                }),
                ..activity
            },
            Reading::Open => activity,
            // Of a remote that has ended its side, what it takes is all there is to see.
            Reading::Failed | Reading::Ended => Activity {
                reading: !self.write_stalled,
                received: received + sent,
                ..activity
            },
        }
    }

    /// Tells the last figures. What a remote that was given up has not taken is thrown away, also where
    /// the operating system holds it; one that has taken everything may still be reading.
    fn ended(&mut self, disconnect: Disconnect) -> Disconnect {
        let done = self.done();
        self.queue.publish(done);
        self.record_in();
        if disconnect.gives_up() && self.queue.has_unwritten() {
            transport::reset_on_drop(self.framed.get_mut().stream_mut());
        }
        disconnect
    }
}

impl<Io, C, Out> Future for Connection<Io, C, Out>
where
    Io: ByteStream,
    C: Decoder + Encoder<Out>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<Out>>::Error: Into<BoxError>,
{
    type Output = Disconnect;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Disconnect> {
        let this = self.get_mut();
        if this
            .waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            this.waker = Some(cx.waker().clone());
            this.queue.register(cx.waker());
        }
        this.batches_in = 0;
        this.read_starved = false;
        if let Some(place) = &mut this.place {
            place.look(cx);
        }
        let most_bytes = this.consumed.saturating_add(BYTES_IN_PER_POLL);
        for _ in 0..TURNS_PER_POLL {
            let many = this.consumed >= most_bytes && this.gives_way();
            if this.batches_in >= BATCHES_IN_PER_POLL || many {
                break;
            }
            match this.turn(cx) {
                Step::Again => {}
                Step::Wait => {
                    this.place.take_if(|place| place.has_turn());
                    return this.wait(cx);
                }
                Step::Close(disconnect) => this.begin_closing(disconnect),
                Step::End(disconnect) => return Poll::Ready(this.ended(disconnect)),
            }
        }
        // A remote that keeps us busy must not keep a deadline from passing.
        let waited = this.wait(cx);
        if waited.is_pending() {
            this.go_on(cx);
        }
        waited
    }
}

/// A codec that panics leaves a batch unfinished; what was decoded before is handed over by the
/// producer, so it has to be counted.
impl<Io, C: Decoder, Out> Drop for Connection<Io, C, Out> {
    fn drop(&mut self) {
        self.messages_in += self.inbound.pushed() as u64;
        let received = self.framed.get_ref().received();
        self.queue.counters().record_in(self.messages_in, received);
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
