//! Typed messages of many shapes in each format, through the laws.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};
use wattle_codecs::{
    Cbor, Json, Length, MessagePack, Postcard, Prefixed, Protobuf, Recoverable, Serde,
    laws::{self, Checkable, Law, Laws, Violation},
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Message {
    Ping,
    Say { to: u64, text: String },
    Numbers(Vec<i32>),
    Table(BTreeMap<String, Option<f64>>),
    Nested(Box<Message>),
}

const MOST: usize = 4_096;

fn messages() -> Vec<Message> {
    let say = |text: &str| Message::Say {
        to: u64::MAX,
        text: text.to_owned(),
    };
    let table = [("a", Some(-0.5)), ("\u{1f33f}", None)];
    vec![
        Message::Ping,
        say(""),
        say("line\nline\r\n\0\u{7f}\u{1f33f}\"\\"),
        Message::Numbers(vec![0, -1, i32::MAX]),
        Message::Table(table.map(|(key, value)| (key.to_owned(), value)).into()),
        Message::Nested(Box::new(Message::Nested(Box::new(Message::Ping)))),
        say(&"pea ".repeat(200)),
    ]
}

/// Text of more bytes than fit into any frame of these.
fn oversized() -> [Message; 2] {
    [MOST, 3 * MOST].map(|size| Message::Say {
        to: 0,
        text: "p".repeat(size),
    })
}

/// A codec with the cap that it is given, and a header of at most `header` bytes around it.
fn keeps_the_laws<C>(codec: fn(usize) -> C, header: usize) -> Laws<'static, C, C, Message>
where
    C: Checkable<Message> + 'static,
    <C as Decoder>::Error: Recoverable,
{
    Laws::new(move || codec(MOST), messages())
        .cap(header + MOST)
        .oversized(oversized())
        .uncapped(move || codec(1 << 20))
        .goes_on_after(Recoverable::is_recoverable)
}

#[test]
fn json_lines_keep_the_laws() -> Result<(), Violation> {
    keeps_the_laws(Json::lines::<Message>, 1)
        .last_frame_may_be_open()
        .check()
}

#[test]
fn json_frames_keep_the_laws() -> Result<(), Violation> {
    keeps_the_laws(Json::framed::<Message>, 4).check()
}

#[test]
fn postcard_keeps_the_laws() -> Result<(), Violation> {
    keeps_the_laws(Postcard::framed::<Message>, 4).check()
}

#[test]
fn messagepack_keeps_the_laws() -> Result<(), Violation> {
    keeps_the_laws(MessagePack::framed::<Message>, 4).check()
}

#[test]
fn messagepack_with_names_keeps_the_laws() -> Result<(), Violation> {
    let named =
        |most| Serde::<_, _, Message>::new(Prefixed::new(Length::U32, most), MessagePack::named());
    keeps_the_laws(named, 4).check()
}

#[test]
fn cbor_keeps_the_laws() -> Result<(), Violation> {
    keeps_the_laws(Cbor::framed::<Message>, 4).check()
}

#[derive(Clone, PartialEq, prost::Message)]
struct Hello {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    parts: Vec<Bytes>,
}

#[test]
fn protobuf_keeps_the_laws() -> Result<(), Violation> {
    let hello = |id, name: &str| Hello {
        id,
        name: name.to_owned(),
        parts: vec![Bytes::from("a"), Bytes::new()],
    };
    let messages = [
        Hello::default(),
        hello(1, "Ann"),
        hello(u64::MAX, &"Ann ".repeat(100)),
    ];
    Laws::new(|| Protobuf::delimited::<Hello>(MOST), messages)
        .cap(2 + MOST)
        .oversized([hello(1, &"A".repeat(MOST)), hello(1, &"A".repeat(3 * MOST))])
        .uncapped(|| Protobuf::delimited::<Hello>(1 << 20))
        .goes_on_after(Recoverable::is_recoverable)
        .check()
}

/// All but what `LengthDelimitedCodec` itself breaks.
#[test]
fn typed_messages_over_tokio_utils_frames_keep_the_laws() -> Result<(), Violation> {
    let codec = |most| {
        let frames = LengthDelimitedCodec::builder()
            .max_frame_length(most)
            .new_codec();
        Serde::<_, _, Message>::new(frames, Postcard)
    };
    let laws = keeps_the_laws(codec, 4).without(Law::End);
    laws.check()
}

#[test]
fn one_type_in_and_another_out_keeps_the_laws() -> Result<(), Violation> {
    fn is<In: PartialEq<u16> + Debug>(item: &In, out: &u8) -> bool {
        *item == u16::from(*out)
    }
    let codec = || Json::framed::<u16>(16).sending::<u8>();
    Laws::new_by(codec, [0, 7, 255], is).check()
}

#[test]
fn messages_of_a_strategy_keep_the_laws() -> Result<(), Violation> {
    use proptest::{collection::vec, prelude::any};
    let strategy = || {
        (
            any::<Option<i64>>(),
            vec(any::<char>(), 0..16),
            vec(any::<u8>(), 0..32),
        )
    };
    laws::proptest(|| Postcard::framed(MOST), strategy())?;
    laws::proptest(|| Cbor::framed(MOST), strategy())
}

/// The bounds are those of the encoder of one type; a codec that encodes several is checked with each.
#[test]
fn what_was_serialized_once_keeps_the_laws() -> Result<(), Violation> {
    use wattle_codecs::Encoded;
    type Codec = Serde<Prefixed, Postcard, Message>;
    fn encodes<T>(_: &impl Encoder<T>) {}
    let codec = || Postcard::framed::<Message>(MOST);
    encodes::<Encoded<Message, Postcard>>(&codec());
    let messages = messages();
    let encoded: Vec<_> = messages
        .iter()
        .map(|message| Encoded::new(&Postcard, message).unwrap())
        .collect();
    let is = |item: &Message, out: &Encoded<Message, Postcard>| {
        Encoded::new(&Postcard, item).is_ok_and(|item| item == *out)
    };
    Laws::<Codec, Codec, _>::new_by(codec, encoded, is).check()
}

/// Equal ones print their entries in an order of their own each.
#[test]
fn hash_maps_keep_the_laws() -> Result<(), Violation> {
    let map = |size: u32| (0..size).map(|i| (i, i)).collect::<HashMap<_, _>>();
    laws::check(|| Postcard::framed(MOST), [map(0), map(5), map(50)])
}
