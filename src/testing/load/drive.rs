//! One connection under load: a task that owns a `Framed`, in both directions, and a clock.
//!
//! ```text
//!            ┌──────────── progress ────────────┐
//!            ▼                                  │
//! begin ─► pump_read ─► pump_write ─────────────┤
//!            │              │                   ├─ all sent and answered ─► close
//!          error          error                 ├─ out of time ─► what is outstanding is lost
//!            └──────┬───────┘                   └─ neither ─► Pending
//!                   ▼
//!                failure
//! ```

use std::{
    collections::VecDeque,
    future::poll_fn,
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use futures::{sink::Sink, stream::Stream};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::codec::{Decoder, Encoder, Framed, FramedParts};

use super::{
    Replies,
    pacer::{Pacer, Wait},
    plan::{Mode, Plan},
    schedule::Schedule,
    tally::{Log, Sample},
};
use crate::{
    disconnect::{BoxError, Disconnect, Reason},
    meter::Meter,
    transport::ByteStream,
};

/// `tokio_util`'s own; a load of many connections has small messages.
const READ_BUFFER: usize = 8 * 1024;

/// As a node's; `tokio_util`'s own 8 KiB means a system call every few messages.
const WRITE_BOUNDARY: usize = 64 * 1024;

/// Messages of one direction until it is the other's turn, so that replies don't wait for their time to be
/// taken while a connection that is behind catches up.
const BURST: usize = 32;

/// Turns until other tasks have theirs.
const TURNS: usize = 16;

/// How long closing may take; all that counted is over by then.
const CLOSING: Duration = Duration::from_millis(500);

/// What all connections do.
pub(super) struct Work<M, R> {
    pub(super) message: Arc<M>,
    pub(super) is_reply: Arc<R>,
}

impl<M, R> Clone for Work<M, R> {
    fn clone(&self) -> Self {
        Self {
            message: self.message.clone(),
            is_reply: self.is_reply.clone(),
        }
    }
}

/// A request that has no reply yet.
#[derive(Debug, Clone, Copy)]
struct Request {
    due: Instant,
    sent: Instant,
}

pub(super) struct Drive<Io, C, M, R> {
    framed: Framed<Meter<Io>, C>,
    work: Work<M, R>,
    schedule: Schedule,
    connection: u64,
    /// How many it has sent.
    sent: u64,
    /// The oldest first; no more than `window`.
    outstanding: VecDeque<Request>,
    window: usize,
    wait: Wait,
    last: Pin<Box<Sleep>>,
    log: Log,
    /// Bytes that the codec had consumed with the last message.
    frame_start: u64,
    /// Bytes that are in the log, sent and received.
    logged: (u64, u64),
}

/// What a turn came to.
enum Step {
    Again,
    Wait,
    Finished,
    OutOfTime,
}

impl<Io, C, M, R, Out> Drive<Io, C, M, R>
where
    Io: ByteStream,
    C: Decoder<Error: Into<BoxError>> + Encoder<Out, Error: Into<BoxError>>,
    M: Fn(u64) -> Out,
    R: Replies<C::Item>,
{
    pub(super) fn new(
        framed: Framed<Io, C>,
        work: Work<M, R>,
        plan: &Plan,
        schedule: Schedule,
        connection: u64,
        pacer: Option<&Pacer>,
        log: Log,
    ) -> Self {
        let framed = metered::<_, _, Out>(framed);
        Self {
            // What came with the handshake isn't the load's.
            logged: (0, framed.get_ref().received()),
            framed,
            work,
            schedule,
            connection,
            sent: 0,
            outstanding: VecDeque::new(),
            window: plan.window(),
            wait: Wait::new(pacer, connection, schedule.begin),
            last: Box::pin(sleep_until(schedule.last)),
            log,
            frame_start: 0,
        }
    }

    /// Sends and receives until all is sent and answered, or there is no time left; or fails.
    pub(super) async fn run(mut self) -> Result<(), Reason> {
        let all_answered = poll_fn(|cx| self.poll(cx)).await?;
        if all_answered {
            let framed = &mut self.framed;
            let close = poll_fn(|cx| Sink::<Out>::poll_close(Pin::new(&mut *framed), cx));
            // Whatever comes of it: nothing is outstanding.
            let _ = timeout(CLOSING, close).await;
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Reason>> {
        let polled = self.turns(cx);
        self.log_bytes();
        self.log.hand_over();
        polled
    }

    fn turns(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Reason>> {
        for _ in 0..TURNS {
            match self.turn(cx)? {
                Step::Again => {}
                Step::Wait => return Poll::Pending,
                Step::Finished => return Poll::Ready(Ok(true)),
                Step::OutOfTime => return Poll::Ready(Ok(false)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<Step, Reason> {
        let received = self.pump_read(cx)?;
        let sent = self.pump_write(cx)?;
        let written = self.framed.write_buffer().is_empty();
        if written && self.outstanding.is_empty() && self.has_sent_all() {
            return Ok(Step::Finished);
        }
        if self.last.as_mut().poll(cx).is_ready() {
            return Ok(Step::OutOfTime);
        }
        Ok(if received || sent {
            Step::Again
        } else {
            Step::Wait
        })
    }

    fn pump_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        for taken in 0..BURST {
            match Pin::new(&mut self.framed).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => self.took(&message),
                Poll::Ready(Some(Err(error))) => return Err(self.read_failed(error.into())),
                Poll::Ready(None) => return Err(self.read_ended()),
                Poll::Pending => return Ok(taken > 0),
            }
        }
        Ok(true)
    }

    fn took(&mut self, message: &C::Item) {
        let now = Instant::now();
        self.frame_start = self.consumed();
        let measured = now >= self.schedule.measured_from;
        if !self.work.is_reply.is_reply(message) {
            self.log.counts.others += u64::from(measured);
            return;
        }
        match self.outstanding.pop_front() {
            Some(request) if request.due >= self.schedule.measured_from => {
                self.log.reply(request.answered(now), now);
            }
            Some(_of_the_warm_up) => {}
            None => self.log.counts.unmatched += u64::from(measured),
        }
    }

    fn pump_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Reason> {
        let mut sent = 0;
        while sent < BURST
            && let Poll::Ready(Some(request)) = self.poll_due(cx)
            && Sink::<Out>::poll_ready(Pin::new(&mut self.framed), cx)
                .map_err(|error| self.write_failed(error.into()))?
                .is_ready()
        {
            self.send(request)?;
            sent += 1;
        }
        if !self.framed.write_buffer().is_empty() {
            let flushed = Sink::<Out>::poll_flush(Pin::new(&mut self.framed), cx);
            let _ready_or_woken = flushed.map_err(|error| self.write_failed(error.into()))?;
        }
        Ok(sent > 0)
    }

    /// The next request, when it is due and may be sent. At the end there is none; if as many as
    /// may be are outstanding, a reply wakes the task.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Option<Request>> {
        if self.has_sent_all() {
            return Poll::Ready(None);
        }
        if self.outstanding.len() >= self.window {
            return Poll::Pending;
        }
        match self.next_due() {
            Some(due) => {
                let sent = self.wait.poll_until(cx, due);
                sent.map(|sent| Some(Request { due, sent }))
            }
            None => {
                let now = Instant::now();
                Poll::Ready(Some(Request {
                    due: now,
                    sent: now,
                }))
            }
        }
    }

    fn send(&mut self, request: Request) -> Result<(), Reason> {
        let number = self.schedule.number(self.connection, self.sent);
        let message = (self.work.message)(number);
        let sent = Pin::new(&mut self.framed).start_send(message);
        sent.map_err(|error: <C as Encoder<Out>>::Error| self.write_failed(error.into()))?;
        self.sent += 1;
        let measured = request.due >= self.schedule.measured_from;
        self.log.counts.sent += u64::from(measured);
        self.outstanding.push_back(request);
        Ok(())
    }

    /// When the next message of an open loop is due.
    fn next_due(&self) -> Option<Instant> {
        let Mode::Open { rate } = self.schedule.mode else {
            return None;
        };
        let number = self.schedule.number(self.connection, self.sent);
        Some(self.schedule.due(number, rate))
    }

    fn has_sent_all(&self) -> bool {
        self.next_due().unwrap_or_else(Instant::now) >= self.schedule.end
    }

    fn log_bytes(&mut self) {
        let meter = self.framed.get_ref();
        let now = (meter.sent(), meter.received());
        if Instant::now() >= self.schedule.measured_from {
            self.log.counts.bytes_sent += now.0 - self.logged.0;
            self.log.counts.bytes_received += now.1 - self.logged.1;
        }
        self.logged = now;
    }

    /// Bytes that the codec has consumed; less than before if it put some back.
    fn consumed(&self) -> u64 {
        let received = self.framed.get_ref().received();
        received.saturating_sub(self.framed.read_buffer().len() as u64)
    }

    /// An error comes out of a `Framed` as its codec's; the meter knows whose it is.
    fn read_failed(&mut self, source: BoxError) -> Reason {
        let meter = self.framed.get_mut();
        if let Some(error) = meter.take_error() {
            return Disconnect::from_io(error).reason;
        }
        if meter.ended() {
            return self.end_inside_frame(source);
        }
        Reason::Decode(source.into())
    }

    fn read_ended(&self) -> Reason {
        // A codec that had consumed a header sees nothing wrong with an empty buffer.
        if self.consumed() > self.frame_start {
            return self.end_inside_frame(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Reason::EndOfStream
    }

    fn end_inside_frame(&self, source: BoxError) -> Reason {
        let received = self.framed.get_ref().received();
        Reason::EndInsideFrame {
            buffered: received.saturating_sub(self.frame_start) as usize,
            source: source.into(),
        }
    }

    fn write_failed(&mut self, source: BoxError) -> Reason {
        match self.framed.get_mut().take_error() {
            Some(error) => Disconnect::from_io(error).reason,
            None => Reason::Encode(source.into()),
        }
    }
}

impl Request {
    fn answered(self, now: Instant) -> Sample {
        let nanos = |from: Instant| (now - from).as_nanos() as u64;
        Sample {
            latency: nanos(self.due),
            service: nanos(self.sent),
        }
    }
}

/// The same with a meter below it, and with the bytes that the handshake left.
fn metered<Io: ByteStream, C: Decoder + Encoder<Out>, Out>(
    framed: Framed<Io, C>,
) -> Framed<Meter<Io>, C> {
    let mut parts = framed.into_parts();
    let meter = Meter::new(parts.io, parts.read_buf.len());
    let mut metered = FramedParts::new::<Out>(meter, parts.codec);
    metered.read_buf = BytesMut::with_capacity(READ_BUFFER.max(parts.read_buf.len()));
    metered.read_buf.extend_from_slice(&parts.read_buf);
    metered.write_buf = mem::take(&mut parts.write_buf);
    let mut framed = Framed::from_parts(metered);
    framed.set_backpressure_boundary(WRITE_BOUNDARY);
    framed
}
