//! The law of garbage.

use std::{fmt::Debug, iter, slice};

use tokio_util::codec::{Decoder, Encoder};

use super::{
    Law, Laws, Violation,
    memory::{FRAMES, HEAD, with_other_lengths},
    random::Random,
    reader::Event,
    splits::fewest,
    stream::Case,
    violation::chunks,
};

/// How many bytes of a valid stream are damaged, most of them unless they are large.
const STREAM_MOST: usize = 2 * 1024;
/// The most bytes of pure noise.
const NOISE_MOST: usize = 256;
/// Bytes that mean something in many formats; noise is made of these half of the time.
const TELLING: &[u8] = b"\x00\x01\x02\x7f\x80\xff\n\r,;: {}[]\"09azAZ";

impl<E, D, Out> Laws<'_, E, D, Out>
where
    E: Encoder<Out, Error: Debug>,
    D: Decoder<Item: Debug, Error: Debug>,
    Out: Clone + Debug,
{
    /// [`Law::Garbage`]: noise, and valid streams with bits flipped and with bytes put in, taken
    /// out, doubled and cut off, each in one read and in several.
    ///
    /// # Errors
    ///
    /// The violation, with the fewest bytes that still show it.
    pub fn garbage(&self) -> Result<(), Violation> {
        let mut random = self.random(Law::Garbage);
        let mut stream = self.stream(Law::Garbage, &self.messages)?;
        stream.wire.truncate(STREAM_MOST);
        for end in 0..stream.wire.len().min(NOISE_MOST) {
            self.is_harmless(&stream.wire[..end], &[])?;
        }
        self.other_lengths_are_harmless()?;
        for case in 0..2 * self.cases {
            let input = if case % 2 == 0 {
                noise(&mut random)
            } else {
                damaged(&stream.wire, &mut random)
            };
            let cuts = random.cuts(input.len(), 6);
            self.is_harmless(&input, &cuts)
                .map_err(|broken| self.least(input, &cuts, broken))?;
        }
        Ok(())
    }

    /// Frames that announce another length than theirs, or have another header.
    fn other_lengths_are_harmless(&self) -> Result<(), Violation> {
        let cuts: Vec<_> = (1..HEAD).collect();
        for message in self.messages.iter().take(FRAMES) {
            let mut frame = self.stream(Law::Garbage, slice::from_ref(message))?.wire;
            frame.truncate(STREAM_MOST);
            for input in with_other_lengths(&frame).step_by(self.stride()) {
                self.is_harmless(&input, &cuts)
                    .map_err(|broken| self.least(input, &cuts, broken))?;
            }
        }
        Ok(())
    }

    /// The same violation by fewer bytes, and fewer cuts.
    fn least(&self, input: Vec<u8>, cuts: &[usize], broken: Violation) -> Violation {
        let input = fewest(input, |input| self.is_harmless(input, cuts).is_err());
        let within = cuts.iter().copied().filter(|&cut| cut < input.len());
        let cuts = fewest(within.collect(), |cuts| {
            self.is_harmless(&input, cuts).is_err()
        });
        self.is_harmless(&input, &cuts).err().unwrap_or(broken)
    }

    /// Any bytes, whole and split: it neither panics nor goes on for ever, and comes to the same.
    pub(super) fn is_harmless(&self, input: &[u8], cuts: &[usize]) -> Result<(), Violation> {
        let case = Case {
            law: Law::Garbage,
            messages: &[],
            wire: input,
            cuts: &[],
        };
        let whole = self.events_of(case, iter::once(input))?;
        let case = Case { cuts, ..case };
        let split = self.events_of(case, chunks(input, cuts))?;
        let both = whole.iter().zip(&split);
        let i = both.take_while(|(a, b)| a.is_like(b)).count();
        if i == whole.len() && i == split.len() {
            return Ok(());
        }
        let tell = |events: &[Event<D::Item>]| {
            let event = events.get(i).map(Event::describe);
            event.unwrap_or_else(|| "nothing".to_owned())
        };
        let expected = format!("item {}, as in one read: {}", i + 1, tell(&whole));
        Err(self.broken(case, expected, format!("split: {}", tell(&split))))
    }

    fn events_of<'b>(
        &self,
        case: Case<'_, Out>,
        reads: impl Iterator<Item = &'b [u8]>,
    ) -> Result<Vec<Event<D::Item>>, Violation> {
        let mut reader = self.fresh_reader();
        let mut events = reader.feed(reads);
        reader.finish(&mut events);
        let fatal = |event: Option<&Event<_>>| {
            let event = event.filter(|event| event.is_fatal());
            let expected = "items and errors, and an end of them";
            event.map_or(Ok(()), |event| {
                Err(self.broken(case, expected, event.describe()))
            })
        };
        fatal(events.last())?;
        // A polled `Framed` calls the decoder again after an error.
        if reader.is_over() {
            fatal(reader.poke().as_ref())?;
        }
        Ok(events)
    }
}

fn noise(random: &mut Random) -> Vec<u8> {
    let telling = random.below(2) == 0;
    let len = random.below(NOISE_MOST);
    let byte = |random: &mut Random| match telling {
        true => TELLING[random.below(TELLING.len())],
        false => random.byte(),
    };
    (0..len).map(|_| byte(random)).collect()
}

/// The stream with one to four things done to it.
fn damaged(stream: &[u8], random: &mut Random) -> Vec<u8> {
    let mut input = stream.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len());
        let end = input.len().min(at + 1 + random.below(8));
        match random.below(6) {
            _ if input.is_empty() => input.push(random.byte()),
            0 | 1 => input[at] ^= 1 << random.below(8),
            2 => input.insert(at, random.byte()),
            3 => drop(input.drain(at..end)),
            4 => input.extend_from_within(at..end),
            _ => input.truncate(end),
        }
    }
    input
}
