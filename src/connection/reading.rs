//! The way in: room in the inbox, then decode, then hand over.

use std::{
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::stream::Stream;
use tokio_util::codec::{Decoder, Encoder};
use tracing::trace;

use super::{
    Connection, Reading, Step,
    buffers::{self, Messages},
};
use crate::{
    disconnect::{BoxError, Disconnect, Reason},
    transport::ByteStream,
};

/// How many messages are decoded before they are handed over: the hand-over's cost is spread thin by
/// then, and the consumer on another core isn't kept waiting.
const BATCH_MESSAGES: usize = 256;

/// The same in bytes; a batch should still be in the cache when the consumer gets it.
const BATCH_BYTES: usize = 128 * 1024;

/// Why decoding what was read goes no further.
enum Failed<E> {
    Decode(E),
    /// The frame of the message had so many bytes.
    TooLarge(u64),
}

impl<Io, C, Out> Connection<Io, C, Out>
where
    Io: ByteStream,
    C: Decoder + Encoder<Out>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<Out>>::Error: Into<BoxError>,
{
    /// Decodes one batch and hands it over.
    pub(super) fn pump_read(&mut self, cx: &mut Context<'_>) -> Step {
        // What comes after a read that waits wakes the task, and so is found in the next poll.
        if self.read_starved || !matches!(self.reading, Reading::Open) {
            return Step::Wait;
        }
        if self.is_in_line() {
            return Step::Wait;
        }
        if self.inbound.poll_room(cx).is_pending() {
            self.rest();
            return Step::Wait;
        }
        let step = self.fill_batch(cx);
        self.hand_over();
        if !matches!((&step, self.reading), (Step::Again, Reading::Open)) {
            self.rest();
        }
        step
    }

    /// Gives back what is only needed while messages come.
    fn rest(&mut self) {
        self.inbound.rest();
        let buffer = self.framed.read_buffer_mut();
        buffers::return_read(buffer, self.receiving, &mut self.whole_block);
    }

    fn fill_batch(&mut self, cx: &mut Context<'_>) -> Step {
        let bounds = self.inbound.bounds();
        let most_messages = BATCH_MESSAGES.min(bounds.messages);
        let most_bytes = self.consumed + BATCH_BYTES.min(bounds.bytes) as u64;
        while self.inbound.pushed() < most_messages && self.frame_start < most_bytes {
            let frame_end = self.frame_start.saturating_add(self.max_frame);
            self.framed.get_mut().read_until(frame_end);
            buffers::lend_read(self.framed.read_buffer_mut(), self.receiving);
            match Pin::new(&mut self.framed).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    if let Err(bytes) = self.take_in(message, self.consumed_now()) {
                        return self.frame_too_large(bytes);
                    }
                }
                Poll::Ready(Some(Err(error))) => return self.read_failed(error.into()),
                Poll::Ready(None) => return self.read_ended(),
                Poll::Pending => {
                    self.read_starved = true;
                    return Step::Wait;
                }
            }
            match self.decode_buffered(most_messages, most_bytes) {
                Ok(()) => {}
                Err(Failed::Decode(error)) => return self.read_failed(error.into()),
                Err(Failed::TooLarge(bytes)) => return self.frame_too_large(bytes),
            }
        }
        Step::Again
    }

    /// Puts a message into the batch, unless its frame was too large; so many bytes were consumed by
    /// then. That the frame wasn't noticed on its way in, as it came all at once, makes no difference.
    #[inline(always)]
    fn take_in(&mut self, message: C::Item, consumed: u64) -> Result<(), u64> {
        let bytes = consumed.saturating_sub(self.frame_start);
        if bytes > self.max_frame {
            return Err(bytes);
        }
        self.frame_start = consumed;
        self.inbound.push(message);
        Ok(())
    }

    /// Decodes what came along with a message, by the codec alone. The `Framed` asks the codec once
    /// more before it reads on, which may be work if a large message has begun, and in its own way
    /// after the end of the stream; both are left to it.
    fn decode_buffered(
        &mut self,
        most_messages: usize,
        most_bytes: u64,
    ) -> Result<(), Failed<<C as Decoder>::Error>> {
        let meter = self.framed.get_ref();
        if self.receiving != Messages::Small || meter.ended() {
            return Ok(());
        }
        let received = meter.received();
        let mut buffer = mem::take(self.framed.read_buffer_mut());
        let mut decoded = Ok(());
        while !buffer.is_empty()
            && self.inbound.pushed() < most_messages
            && self.frame_start < most_bytes
        {
            match self.framed.codec_mut().decode(&mut buffer) {
                Ok(Some(message)) => {
                    let consumed = received.saturating_sub(buffer.len() as u64);
                    if let Err(bytes) = self.take_in(message, consumed) {
                        decoded = Err(Failed::TooLarge(bytes));
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    decoded = Err(Failed::Decode(error));
                    break;
                }
            }
        }
        *self.framed.read_buffer_mut() = buffer;
        decoded
    }

    /// Bytes that the codec has consumed so far; less than before if it put some into the buffer, as
    /// one may that unpacks in place.
    fn consumed_now(&self) -> u64 {
        let received = self.framed.get_ref().received();
        received.saturating_sub(self.framed.read_buffer().len() as u64)
    }

    /// Bytes that came and belong to no message yet.
    fn inside_frame(&self) -> usize {
        (self.framed.get_ref().received() - self.frame_start) as usize
    }

    /// Nothing more is decoded.
    fn reading_failed(&self) -> Reading {
        if self.framed.get_ref().ended() {
            Reading::Ended
        } else {
            Reading::Failed
        }
    }

    /// As an error of the codec's, it leaves the other direction intact.
    #[cold]
    fn frame_too_large(&mut self, bytes: u64) -> Step {
        self.reading = self.reading_failed();
        Step::Close(Disconnect::library(Reason::FrameTooLarge {
            bytes: bytes as usize,
            max: self.max_frame as usize,
        }))
    }

    fn hand_over(&mut self) {
        let messages = self.inbound.pushed();
        self.messages_in += messages as u64;
        // Before the hand-over: who has got a message finds it counted.
        self.record_in();
        if messages == 0 {
            return;
        }
        let consumed = self.consumed_now();
        let bytes = consumed.saturating_sub(self.consumed) as usize;
        self.consumed = consumed;
        self.inbound.hand_over(bytes);
        self.batches_in += 1;
        self.receiving = Messages::of_mean_size(bytes / messages);
        trace!(messages, bytes, "batch in");
    }

    pub(super) fn record_in(&self) {
        let received = self.framed.get_ref().received();
        self.queue.counters().record_in(self.messages_in, received);
    }

    /// An error comes out of the framed stream as its codec's; the meter knows whose it is. The codec's
    /// leaves the other direction intact: what is queued, answers to what came before, is still written.
    fn read_failed(&mut self, error: BoxError) -> Step {
        self.reading = self.reading_failed();
        let inside_frame = self.inside_frame();
        let meter = self.framed.get_mut();
        if meter.refused() {
            return self.frame_too_large(inside_frame as u64);
        }
        if let Some(io) = meter.take_error() {
            self.reading = Reading::Ended;
            return Step::End(Disconnect::from_io(io));
        }
        // Decoding goes before reading on, so an error after the end is about what is left over.
        Step::Close(if meter.ended() {
            Disconnect::remote(Reason::EndInsideFrame {
                buffered: inside_frame,
                source: error.into(),
            })
        } else {
            Disconnect::library(Reason::Decode(error.into()))
        })
    }

    /// The codec found nothing wrong with the end. But one that had consumed a header and waits for
    /// its payload sees an empty buffer, and takes that for the end of a frame.
    fn read_ended(&mut self) -> Step {
        self.reading = Reading::Ended;
        if self.consumed_now() > self.frame_start {
            return Step::Close(Disconnect::remote(Reason::EndInsideFrame {
                buffered: self.inside_frame(),
                source: Arc::new(io::Error::from(io::ErrorKind::UnexpectedEof)),
            }));
        }
        if self.allow_half_open {
            self.hand_over();
            self.inbound.read_closed();
            return Step::Again;
        }
        Step::Close(Disconnect::remote(Reason::EndOfStream))
    }
}
