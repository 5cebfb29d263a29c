//! Messages on the wire, and what is told of them when a law is broken: [`Stream`], [`Case`].

use std::fmt::Debug;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use super::{
    Law, Laws, Violation,
    panics::caught,
    reader::{Event, Reader},
    violation::{Inner, shortened, shown},
};

/// Some messages as a fresh encoder writes them, and the decoder that belongs to that.
pub(super) struct Stream<D> {
    pub(super) decoder: D,
    pub(super) wire: Vec<u8>,
    /// Where the frame of each message ends.
    pub(super) ends: Vec<usize>,
}

impl<D> Stream<D> {
    /// Where the frame of message `i` begins.
    pub(super) fn begin(&self, i: usize) -> usize {
        if i == 0 { 0 } else { self.ends[i - 1] }
    }
}

/// One thing that a law tries, to tell what came of it.
#[derive(Debug)]
pub(super) struct Case<'c, Out> {
    pub(super) law: Law,
    pub(super) messages: &'c [Out],
    pub(super) wire: &'c [u8],
    pub(super) cuts: &'c [usize],
}

impl<Out> Clone for Case<'_, Out> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Out> Copy for Case<'_, Out> {}

impl<E, D, Out> Laws<'_, E, D, Out>
where
    E: Encoder<Out, Error: Debug>,
    D: Decoder<Item: Debug, Error: Debug>,
    Out: Clone + Debug,
{
    /// Encodes messages with a fresh encoder.
    pub(super) fn stream(&self, law: Law, messages: &[Out]) -> Result<Stream<D>, Violation> {
        let (mut encoder, decoder) = self.make();
        let mut dst = BytesMut::new();
        let mut ends = Vec::with_capacity(messages.len());
        for message in messages {
            self.encode(law, &mut encoder, message, &mut dst)?;
            ends.push(dst.len());
        }
        Ok(Stream {
            decoder,
            wire: dst.to_vec(),
            ends,
        })
    }

    /// Encodes a message that must be encodable.
    pub(super) fn encode(
        &self,
        law: Law,
        encoder: &mut E,
        message: &Out,
        dst: &mut BytesMut,
    ) -> Result<(), Violation> {
        try_encode(encoder, message, dst).map_err(|failed| {
            let case = Case {
                law,
                messages: std::slice::from_ref(message),
                wire: dst,
                cuts: &[],
            };
            self.broken(case, "the message is encoded", failed.describe())
        })
    }

    pub(super) fn broken(
        &self,
        case: Case<'_, Out>,
        expected: impl Into<String>,
        came: impl Into<String>,
    ) -> Violation {
        Violation::new(Inner {
            law: case.law,
            messages: case.messages.iter().map(shown).collect(),
            wire: case.wire.to_vec(),
            cuts: case.cuts.to_vec(),
            expected: expected.into(),
            came: came.into(),
            seed: self.seeded(),
        })
    }

    /// The events are these messages, no less and no more.
    pub(super) fn are(
        &self,
        case: Case<'_, Out>,
        events: &[Event<D::Item>],
        messages: &[Out],
    ) -> Result<(), Violation> {
        let is = |(event, message): (&Event<_>, &Out)| match event {
            Event::Item(item) => self.is(item, message),
            _ => false,
        };
        let same = events.iter().zip(messages).take_while(|&pair| is(pair));
        let i = same.count();
        if i == events.len() && i == messages.len() {
            return Ok(());
        }
        let expected = messages.get(i).map_or("nothing more".to_owned(), shown);
        let came = events.get(i).map_or(
            "nothing, the decoder waits for more bytes".to_owned(),
            Event::describe,
        );
        let nth = i + 1;
        let broken = |expected| self.broken(case, expected, format!("item {nth}: {came}"));
        Err(broken(format!("item {nth}: {expected}")))
    }

    /// Nothing comes any more, and nothing is left.
    pub(super) fn is_clean_end(
        &self,
        case: Case<'_, Out>,
        reader: &mut Reader<'_, D>,
    ) -> Result<(), Violation> {
        for call in ["first", "second", "third"] {
            if let Some(event) = reader.decode_eof() {
                let came = format!("{} at the {call} call", event.describe());
                return Err(self.broken(case, "decode_eof has nothing between two frames", came));
            }
        }
        if reader.src.is_empty() {
            Ok(())
        } else {
            let came = format!("left over: {}", super::violation::hex(&reader.src));
            Err(self.broken(case, "all bytes are decoded", came))
        }
    }
}

/// Why an encode has failed.
pub(super) enum Failed {
    Error(String),
    Panic(String),
}

impl Failed {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Error(text) => format!("encode: error {}", shortened(text.clone())),
            Self::Panic(text) => format!("encode: panic: {}", shortened(text.clone())),
        }
    }
}

pub(super) fn try_encode<E, Out>(
    encoder: &mut E,
    message: &Out,
    dst: &mut BytesMut,
) -> Result<(), Failed>
where
    E: Encoder<Out, Error: Debug>,
    Out: Clone,
{
    let message = message.clone();
    match caught(|| encoder.encode(message, dst)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failed::Error(format!("{error:?}"))),
        Err(text) => Err(Failed::Panic(text)),
    }
}
