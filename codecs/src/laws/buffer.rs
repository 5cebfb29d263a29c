//! The laws of the decoder's buffer: no over-reading, and state that survives `Ok(None)`.

use std::{fmt::Debug, slice};

use bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::{
    Law, Laws, Violation,
    random::Random,
    reader::{Event, Reader},
    splits::everywhere,
    stream::{Case, Stream},
    violation::{chunks, hex},
};

/// How many messages are followed by something else.
const FRAMES: usize = 16;
/// A byte that the buffer of a moved decoder began with.
const GONE: &[u8] = b"gone before";
/// Room for what will come.
const AMPLE: usize = 64 * 1024;

/// What happens to the buffer between two calls.
#[derive(Debug, Clone, Copy)]
enum Between {
    /// Nothing, but `decode` is called without new bytes.
    Idle,
    /// It moves into memory of exactly its size.
    Tight,
    /// It moves into ample memory.
    Ample,
    /// It moves to behind bytes that were there and are gone.
    Advanced,
}

impl<E, D, Out> Laws<'_, E, D, Out>
where
    E: Encoder<Out, Error: Debug>,
    D: Decoder<Item: Debug, Error: Debug>,
    Out: Clone + Debug,
{
    /// [`Law::NoOverRead`]: behind a frame come the others, or garbage.
    ///
    /// # Errors
    ///
    /// The violation.
    pub fn no_over_read(&self) -> Result<(), Violation> {
        let mut random = self.random(Law::NoOverRead);
        for i in 0..self.messages.len().min(FRAMES) {
            let rest = {
                let stream = self.stream(Law::NoOverRead, &self.messages)?;
                stream.wire[stream.ends[i]..].to_vec()
            };
            let left = self.left_behind(i, &[])?;
            for tail in [rest, noise(&mut random), vec![0; 9], vec![0xff; 9]] {
                self.leaves(i, &left, tail)?;
            }
        }
        Ok(())
    }

    /// What is in the buffer right after item `i`, when its frame and `tail` came in one read.
    fn left_behind(&self, i: usize, tail: &[u8]) -> Result<Vec<u8>, Violation> {
        let messages = &self.messages[..=i];
        let (stream, wire) = self.followed(messages, tail)?;
        let case = Case {
            law: Law::NoOverRead,
            messages,
            wire: &wire,
            cuts: &[],
        };
        let mut reader = self.reader(stream.decoder);
        reader.read(&wire);
        let events: Vec<_> = messages.iter().map_while(|_| reader.decode()).collect();
        self.are(case, &events, messages)?;
        Ok(reader.src.to_vec())
    }

    fn followed(&self, messages: &[Out], tail: &[u8]) -> Result<(Stream<D>, Vec<u8>), Violation> {
        let stream = self.stream(Law::NoOverRead, messages)?;
        let wire = [&stream.wire, tail].concat();
        Ok((stream, wire))
    }

    fn leaves(&self, i: usize, left: &[u8], tail: Vec<u8>) -> Result<(), Violation> {
        let came = self.left_behind(i, &tail)?;
        let expected = [left, &tail].concat();
        if came == expected {
            return Ok(());
        }
        let messages = &self.messages[..=i];
        let (_, wire) = self.followed(messages, &tail)?;
        let case = Case {
            law: Law::NoOverRead,
            messages,
            wire: &wire,
            cuts: &[],
        };
        let expected = format!("after item {}, the buffer holds {}", i + 1, hex(&expected));
        Err(self.broken(case, expected, format!("it holds {}", hex(&came))))
    }

    /// [`Law::StateSurvives`]: after each byte.
    ///
    /// # Errors
    ///
    /// The violation.
    pub fn state_survives(&self) -> Result<(), Violation> {
        use Between::{Advanced, Ample, Idle, Tight};
        let each = self.messages.iter().map(slice::from_ref);
        each.chain([&self.messages[..]]).try_for_each(|messages| {
            [Idle, Tight, Ample, Advanced]
                .into_iter()
                .try_for_each(|between| self.survives(messages, between))
        })
    }

    fn survives(&self, messages: &[Out], between: Between) -> Result<(), Violation> {
        let stream = self.stream(Law::StateSurvives, messages)?;
        let cuts = everywhere(&stream.ends, &mut self.random(Law::StateSurvives));
        let case = Case {
            law: Law::StateSurvives,
            messages,
            wire: &stream.wire,
            cuts: &cuts,
        };
        let mut reader = self.reader(stream.decoder);
        let mut events = Vec::new();
        for bytes in chunks(&stream.wire, &cuts) {
            reader.read(bytes);
            self.move_buffer(&mut reader, between);
            reader.drain(&mut events);
            self.is_idle(case, &mut reader)?;
        }
        self.are(case, &events, messages).map_err(|broken| {
            let came = format!("{}, {}", broken.came(), between.told());
            self.broken(case, broken.expected(), came)
        })
    }

    /// Nothing comes of no new bytes.
    fn is_idle(&self, case: Case<'_, Out>, reader: &mut Reader<'_, D>) -> Result<(), Violation> {
        for _ in 0..2 {
            if let Some(event) = reader.decode() {
                let expected = "Ok(None) again, since no bytes have come";
                return Err(self.broken(case, expected, Event::describe(&event)));
            }
        }
        Ok(())
    }

    fn move_buffer(&self, reader: &mut Reader<'_, D>, between: Between) {
        let moved = match between {
            Between::Idle => return,
            Between::Tight => BytesMut::from(&reader.src[..]),
            Between::Ample => {
                let mut ample = BytesMut::with_capacity(reader.src.len() + AMPLE);
                ample.extend_from_slice(&reader.src);
                ample
            }
            Between::Advanced => {
                let mut advanced = BytesMut::from(GONE);
                advanced.extend_from_slice(&reader.src);
                advanced.advance(GONE.len());
                advanced
            }
        };
        reader.src = moved;
    }
}

impl Between {
    fn told(self) -> &'static str {
        match self {
            Self::Idle => "with calls of decode between the reads",
            Self::Tight => "with the buffer moved before each decode, without room behind it",
            Self::Ample => "with the buffer moved before each decode, with room behind it",
            Self::Advanced => "with the buffer moved before each decode, to behind other bytes",
        }
    }
}

fn noise(random: &mut Random) -> Vec<u8> {
    (0..33).map(|_| random.byte()).collect()
}
