//! The laws of whole frames: round trip, many in one read, fresh codecs.

use std::{fmt::Debug, iter, slice};

use tokio_util::codec::{Decoder, Encoder};

use super::{Law, Laws, Violation, stream::Case};

/// How many frames make "many".
const MANY: usize = 32;
/// So many bytes are enough for one read.
const READ_MOST: usize = 256 * 1024;

impl<E, D, Out> Laws<'_, E, D, Out>
where
    E: Encoder<Out, Error: Debug>,
    D: Decoder<Item: Debug, Error: Debug>,
    Out: Clone + Debug,
{
    /// [`Law::RoundTrip`], for each message alone and for all of them one by one.
    ///
    /// # Errors
    ///
    /// The violation.
    pub fn round_trip(&self) -> Result<(), Violation> {
        for message in &self.messages {
            self.round_trip_of(slice::from_ref(message))?;
        }
        self.round_trip_of(&self.messages)
    }

    fn round_trip_of(&self, messages: &[Out]) -> Result<(), Violation> {
        let stream = self.stream(Law::RoundTrip, messages)?;
        let cuts = &stream.ends[..stream.ends.len().saturating_sub(1)];
        let case = Case {
            law: Law::RoundTrip,
            messages,
            wire: &stream.wire,
            cuts,
        };
        let mut reader = self.reader(stream.decoder);
        for (i, (&end, message)) in stream.ends.iter().zip(messages).enumerate() {
            let begin = if i == 0 { 0 } else { stream.ends[i - 1] };
            let events = reader.feed(iter::once(&stream.wire[begin..end]));
            let case = Case {
                messages: &messages[..=i],
                wire: &stream.wire[..end],
                cuts: &cuts[..i],
                ..case
            };
            self.are(case, &events, slice::from_ref(message))?;
        }
        self.is_clean_end(case, &mut reader)
    }

    /// [`Law::ManyInOneRead`], with the messages again and again.
    ///
    /// # Errors
    ///
    /// The violation.
    pub fn many_in_one_read(&self) -> Result<(), Violation> {
        self.one_read_of(&self.messages)?;
        let many = MANY.max(self.messages.len());
        let messages: Vec<_> = self.messages.iter().cycle().take(many).cloned().collect();
        let stream = self.stream(Law::ManyInOneRead, &messages)?;
        let fitting = stream.ends.iter().take_while(|&&end| end <= READ_MOST);
        self.one_read_of(&messages[..fitting.count()])
    }

    fn one_read_of(&self, messages: &[Out]) -> Result<(), Violation> {
        let stream = self.stream(Law::ManyInOneRead, messages)?;
        let case = Case {
            law: Law::ManyInOneRead,
            messages,
            wire: &stream.wire,
            cuts: &[],
        };
        let mut reader = self.reader(stream.decoder);
        let events = reader.feed(iter::once(&stream.wire[..]));
        self.are(case, &events, messages)?;
        self.is_clean_end(case, &mut reader)
    }

    /// [`Law::Fresh`].
    ///
    /// # Errors
    ///
    /// The violation.
    pub fn fresh(&self) -> Result<(), Violation> {
        self.nothing_of_nothing()?;
        self.side_by_side()
    }

    /// An empty buffer, before anything has come.
    fn nothing_of_nothing(&self) -> Result<(), Violation> {
        let case = Case {
            law: Law::Fresh,
            messages: &[],
            wire: &[],
            cuts: &[],
        };
        let mut reader = self.fresh_reader();
        for _ in 0..3 {
            if let Some(event) = reader.decode() {
                let expected = "decode has nothing of an empty buffer";
                return Err(self.broken(case, expected, event.describe()));
            }
        }
        self.is_clean_end(case, &mut reader)
    }

    /// Two codecs that take turns, frame by frame.
    fn side_by_side(&self) -> Result<(), Violation> {
        let one = self.stream(Law::Fresh, &self.messages)?;
        let other = self.stream(Law::Fresh, &self.messages)?;
        let frames = |ends: &[usize]| -> Vec<(usize, usize)> {
            let begins = iter::once(0).chain(ends.iter().copied());
            begins.zip(ends.iter().copied()).collect()
        };
        let (frames_one, frames_other) = (frames(&one.ends), frames(&other.ends));
        let mut readers = [self.reader(one.decoder), self.reader(other.decoder)];
        let turns = frames_one.into_iter().zip(frames_other);
        for ((a, b), message) in turns.zip(&self.messages) {
            let turn = [&one.wire[a.0..a.1], &other.wire[b.0..b.1]];
            for (reader, wire) in readers.iter_mut().zip(turn) {
                let events = reader.feed(iter::once(wire));
                let case = Case {
                    law: Law::Fresh,
                    messages: slice::from_ref(message),
                    wire,
                    cuts: &[],
                };
                self.are(case, &events, slice::from_ref(message))?;
            }
        }
        Ok(())
    }
}
