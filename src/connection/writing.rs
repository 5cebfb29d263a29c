//! The way out: take the queue, encode it, flush when there is no more.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::sink::Sink;
use tokio_util::codec::{Decoder, Encoder};
use tracing::trace;

use super::{Connection, Step, buffers};
use crate::{
    disconnect::{BoxError, Disconnect, Reason},
    outbound::Done,
    transport::ByteStream,
};

impl<Io, C, Out> Connection<Io, C, Out>
where
    Io: ByteStream,
    C: Decoder + Encoder<Out>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<Out>>::Error: Into<BoxError>,
{
    /// Encodes what is queued, or flushes when nothing is.
    pub(super) fn pump_write(&mut self, cx: &mut Context<'_>) -> Step {
        self.write_stalled = false;
        if self.batch.is_empty() {
            // What is left in the queue until there is room may still give way to newer messages.
            match self.poll_boundary(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(ending)) => return Step::End(ending),
                Poll::Pending => return Step::Wait,
            }
            if !self.take_batch() {
                return match self.flush(cx) {
                    Poll::Ready(Ok(())) => self.park(),
                    Poll::Ready(Err(ending)) => Step::End(ending),
                    Poll::Pending => Step::Wait,
                };
            }
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
        if !self.encoding {
            return false;
        }
        let taken = self.queue.take(&mut self.batch, done);
        let skipped = taken.unwrap_or(0);
        self.encoded += skipped;
        self.skipped += skipped;
        taken.is_some()
    }

    fn encode_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Step>> {
        let (messages, before) = (self.batch.len(), self.bytes_encoded());
        while !self.batch.is_empty() {
            if let Err(ending) = ready!(self.poll_boundary(cx)) {
                return Poll::Ready(Err(Step::End(ending)));
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
        let bytes = self.bytes_encoded().saturating_sub(before);
        let mean = bytes.div_ceil(messages as u64);
        self.weight = Some(u32::try_from(mean).unwrap_or(u32::MAX));
        trace!(messages, bytes, "batch out");
        Poll::Ready(Ok(()))
    }

    /// Bytes that the codec has produced so far.
    fn bytes_encoded(&self) -> u64 {
        self.framed.get_ref().sent() + self.framed.write_buffer().len() as u64
    }

    /// Ready when the write buffer has room. As `Framed::poll_ready`, which doesn't tell whether it
    /// has flushed: an empty write buffer doesn't mean that the stream has no buffer of its own.
    fn poll_boundary(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnect>> {
        if self.framed.write_buffer().len() < self.framed.backpressure_boundary() {
            return Poll::Ready(Ok(()));
        }
        self.flush(cx)
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
        (self.written, self.skipped_written) = (self.encoded, self.skipped);
        Poll::Ready(Ok(()))
    }

    /// Waits for the queue, unless it has something again.
    fn park(&mut self) -> Step {
        let done = self.done();
        if !self.queue.park(&mut self.batch, done) && self.encoding {
            return Step::Again;
        }
        buffers::return_write(self.framed.write_buffer_mut());
        Step::Wait
    }

    /// What has been done with the batches taken so far.
    pub(super) fn done(&mut self) -> Done {
        let sent = self.framed.get_ref().sent();
        let messages = self.written - self.skipped_written;
        self.queue.counters().record_out(messages, sent);
        Done {
            written: self.written,
            skipped: self.skipped_written,
            weight: self.weight.map(|weight| weight as usize),
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
}
