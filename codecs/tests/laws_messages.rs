//! The typed codecs of this crate, through the laws.

use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{
    Cbor, Encoded, Json, Length, MessagePack, Postcard, Prefixed, Protobuf, Recoverable, Serde,
    laws::{Laws, Violation},
};

#[derive(Clone, PartialEq, Serialize, Deserialize, prost::Message)]
struct Note {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(uint32, repeated, tag = "3")]
    tags: Vec<u32>,
}

fn note(size: usize) -> Note {
    Note {
        id: size as u64,
        text: "a\n\"ß".chars().cycle().take(size).collect(),
        tags: (0..size as u32).step_by(7).collect(),
    }
}

fn notes() -> Vec<Note> {
    [0, 1, 20, 200, 3_000].map(note).into()
}

const MOST: usize = 100_000;

/// A note of more than `MOST` bytes in any format.
fn large() -> Note {
    note(80_000)
}

/// `make` makes the codec with such a cap; its frames have so many bytes beside the message.
fn keeps_the_laws<C>(make: impl Fn(usize) -> C + 'static, header: usize) -> Result<(), Violation>
where
    C: Decoder<Item = Note, Error: Recoverable + std::fmt::Debug> + 'static,
    C: Encoder<Note, Error: std::fmt::Debug>,
{
    let make = std::rc::Rc::new(make);
    let uncapped = make.clone();
    Laws::new(move || make(MOST), notes())
        .cap(MOST + header)
        .oversized([large()])
        .uncapped(move || uncapped(usize::MAX))
        .goes_on_after(Recoverable::is_recoverable)
        .cases(32)
        .check()
}

#[test]
fn json_with_a_length_keeps_the_laws() -> Result<(), Violation> {
    keeps_the_laws(Json::framed, 4)
}

#[test]
fn postcard_keeps_the_laws() -> Result<(), Violation> {
    keeps_the_laws(Postcard::framed, 4)
}

#[test]
fn messagepack_keeps_the_laws() -> Result<(), Violation> {
    keeps_the_laws(MessagePack::framed, 4)
}

#[test]
fn messagepack_with_names_keeps_the_laws() -> Result<(), Violation> {
    let frames = |most| Prefixed::new(Length::U24Le, most);
    keeps_the_laws(
        move |most| Serde::new(frames(most), MessagePack::named()),
        3,
    )
}

#[test]
fn cbor_keeps_the_laws() -> Result<(), Violation> {
    keeps_the_laws(Cbor::framed, 4)
}

#[test]
fn protobuf_keeps_the_laws() -> Result<(), Violation> {
    keeps_the_laws(Protobuf::delimited, 3)
}

#[test]
fn json_lines_keep_the_laws() -> Result<(), Violation> {
    Laws::new(|| Json::lines(MOST), notes())
        .cap(MOST + 2)
        .oversized([large()])
        .uncapped(|| Json::lines::<Note>(usize::MAX))
        .last_frame_may_be_open()
        .goes_on_after(Recoverable::is_recoverable)
        .cases(32)
        .check()
}

#[test]
fn what_was_serialized_before_keeps_the_laws() -> Result<(), Violation> {
    let encoded = |note: &Note| Encoded::new(&Json, note).unwrap();
    let messages: Vec<_> = notes().iter().map(encoded).collect();
    let equal = move |note: &Note, sent: &Encoded<Note, Json>| encoded(note) == *sent;
    Laws::new_by(|| Json::framed::<Note>(MOST), messages, equal)
        .cap(MOST + 4)
        .oversized([encoded(&large())])
        .goes_on_after(Recoverable::is_recoverable)
        .cases(32)
        .check()
}
