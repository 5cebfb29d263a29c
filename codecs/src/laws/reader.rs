//! A decoder and the buffer that it reads from, called as `Framed` calls it, by hand: [`Reader`].

use std::fmt::Debug;

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use super::{
    panics::caught,
    violation::{shortened, shown},
};

/// How many items and errors a decoder may make of nothing: what it had inside when it read them.
const CALLS_ANYWAY: usize = 256;
/// How many items and errors a decoder may make of a byte, before it counts as going on for ever. The
/// smallest frames are of one byte; a compressed one may hold several of those.
const CALLS_PER_BYTE: usize = 16;

/// What a call of the decoder came to.
#[derive(Debug)]
pub(super) enum Event<I> {
    Item(I),
    Error { text: String, goes_on: bool },
    Panic(String),
    Endless(String),
}

impl<I: Debug> Event<I> {
    /// Whether nothing can come after it.
    fn is_last(&self) -> bool {
        !matches!(self, Self::Item(_) | Self::Error { goes_on: true, .. })
    }

    /// Neither of these is ever right.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(self, Self::Panic(_) | Self::Endless(_))
    }

    /// What must not depend on how the bytes were split: of an error the variant, since its fields
    /// may well say how many bytes had come.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (one, other) = (self.essence(), other.essence());
        one == other || (one.contains('{') && in_order(&one) == in_order(&other))
    }

    fn essence(&self) -> String {
        match self {
            Self::Item(item) => format!("{item:?}"),
            Self::Error { text, .. } => {
                let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
                text[..end.unwrap_or(text.len())].to_owned()
            }
            Self::Panic(_) => "panic".to_owned(),
            Self::Endless(_) => "endless".to_owned(),
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Item(item) => shown(item),
            Self::Error { text, .. } => format!("error {}", shortened(text.clone())),
            Self::Panic(text) => format!("panic: {}", shortened(text.clone())),
            Self::Endless(text) => text.clone(),
        }
    }
}

/// The text's bytes in order. A `HashMap` prints its entries in another order than one that is equal.
fn in_order(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.sort_unstable();
    bytes
}

/// Whether a decoder goes on after an error.
pub(super) type GoesOn<'k, E> = dyn Fn(&E) -> bool + 'k;

/// `decode` or `decode_eof`.
type Call<D> =
    fn(&mut D, &mut BytesMut) -> Result<Option<<D as Decoder>::Item>, <D as Decoder>::Error>;

/// A decoder, its buffer, and how much has come of how much.
pub(super) struct Reader<'k, D: Decoder> {
    decoder: D,
    pub(super) src: BytesMut,
    goes_on: &'k GoesOn<'k, D::Error>,
    read: usize,
    events: usize,
    over: bool,
}

impl<'k, D: Decoder<Item: Debug, Error: Debug>> Reader<'k, D> {
    pub(super) fn new(decoder: D, goes_on: &'k GoesOn<'k, D::Error>) -> Self {
        Self {
            decoder,
            src: BytesMut::new(),
            goes_on,
            read: 0,
            events: 0,
            over: false,
        }
    }

    /// Bytes come.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        self.read += bytes.len();
        self.src.extend_from_slice(bytes);
    }

    /// One call of `decode`: `None` is `Ok(None)`.
    pub(super) fn decode(&mut self) -> Option<Event<D::Item>> {
        self.step(D::decode)
    }

    /// One call of `decode_eof`.
    pub(super) fn decode_eof(&mut self) -> Option<Event<D::Item>> {
        self.step(D::decode_eof)
    }

    /// All that `decode` makes of what has been read.
    pub(super) fn drain(&mut self, events: &mut Vec<Event<D::Item>>) {
        while let Some(event) = self.decode() {
            events.push(event);
        }
    }

    /// All that `decode_eof` makes of what is left.
    pub(super) fn finish(&mut self, events: &mut Vec<Event<D::Item>>) {
        while let Some(event) = self.decode_eof() {
            events.push(event);
        }
    }

    /// Reads, and decodes after each.
    pub(super) fn feed<'b>(
        &mut self,
        reads: impl Iterator<Item = &'b [u8]>,
    ) -> Vec<Event<D::Item>> {
        let mut events = Vec::new();
        for bytes in reads {
            self.read(bytes);
            self.drain(&mut events);
        }
        events
    }

    /// Whether an error (or worse) has ended it.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Lets an ended one be called again, as `Framed` does when it is polled after an error.
    pub(super) fn poke(&mut self) -> Option<Event<D::Item>> {
        self.over = false;
        let event = self.decode();
        self.over = false;
        event.or_else(|| self.decode_eof())
    }

    fn step(&mut self, call: Call<D>) -> Option<Event<D::Item>> {
        if self.over {
            return None;
        }
        let (decoder, src) = (&mut self.decoder, &mut self.src);
        let event = match caught(|| call(decoder, src)) {
            Ok(Ok(None)) => return None,
            Ok(Ok(Some(item))) => Event::Item(item),
            Ok(Err(error)) => Event::Error {
                text: format!("{error:?}"),
                goes_on: (self.goes_on)(&error),
            },
            Err(text) => Event::Panic(text),
        };
        self.events += 1;
        let event = self.unless_endless(event);
        self.over = event.is_last();
        Some(event)
    }

    fn unless_endless(&self, event: Event<D::Item>) -> Event<D::Item> {
        if self.events <= CALLS_ANYWAY + CALLS_PER_BYTE * self.read {
            return event;
        }
        Event::Endless(format!(
            "no end: after {} items and errors of {} bytes, with {} left in the buffer, again {}",
            self.events - 1,
            self.read,
            self.src.len(),
            event.describe(),
        ))
    }
}
