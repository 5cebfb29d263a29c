//! Every kind of codec of `wattle-codecs`, in nodes that talk over TCP: messages of all sizes go both ways
//! at once, and arrive in order.

mod common;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, Encoder};
use wattle::{BoxError, Peer};
use wattle_codecs::{
    Cbor, Checksum, CodecExt, Crc32, Delimited, Envelope, Enveloped, Fixed, Json, Layout, Length,
    Lz4, Postcard, Prefixed, Serde,
};

use common::pairs::{SIZES, assert_carries, payloads, text};

/// Room for each of the messages, in each of the codecs.
const MOST: usize = 256 * 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Message {
    Ping(u64),
    Text { from: String, body: String },
}

fn messages() -> Vec<Message> {
    let texts = SIZES.iter().enumerate().map(|(i, &size)| Message::Text {
        from: "Ann".to_owned(),
        body: text(size, i),
    });
    let pings = [0, 1, u64::MAX].map(Message::Ping);
    pings.into_iter().chain(texts).collect()
}

async fn carries_payloads<C, E>(codec: fn(Peer) -> C)
where
    C: Decoder<Item = Bytes, Error = E> + Encoder<Bytes, Error: Into<BoxError>> + Send + 'static,
    E: Into<BoxError>,
{
    assert_carries(codec, &payloads()).await;
}

async fn carries_messages<C, E>(codec: fn(Peer) -> C)
where
    C: Decoder<Item = Message, Error = E>
        + Encoder<Message, Error: Into<BoxError>>
        + Send
        + 'static,
    E: Into<BoxError>,
{
    assert_carries(codec, &messages()).await;
}

#[tokio::test]
async fn frames_with_their_length_in_front() {
    carries_payloads(|_| Prefixed::new(Length::Varint, MOST)).await;
    carries_payloads(|_| Prefixed::new(Length::U24Le, MOST).inclusive()).await;
}

#[tokio::test]
async fn frames_with_a_delimiter_behind_them() {
    carries_payloads(|_| Delimited::new("\r\n", MOST)).await;
    carries_payloads(|_| Delimited::lines(MOST)).await;
}

#[tokio::test]
async fn frames_of_one_size() {
    let codec = |_| Fixed::new(1);
    let small: Vec<_> = (0..50).map(|i| Bytes::from(text(1, i))).collect();
    assert_carries(codec, &small).await;

    let codec = |_| Fixed::new(200 * 1024);
    let large: Vec<_> = (0..3).map(|i| Bytes::from(text(200 * 1024, i))).collect();
    assert_carries(codec, &large).await;
}

/// Each bit is the sum of its column.
#[derive(Debug, Clone)]
struct Parity;

impl Checksum for Parity {
    type Sum = [u8; 1];

    fn of(data: &[u8]) -> [u8; 1] {
        [data.iter().fold(0, |sum, byte| sum ^ byte)]
    }
}

#[tokio::test]
async fn frames_behind_a_header_with_a_checksum() {
    let enveloped = |(i, payload)| Enveloped {
        header: [b'k', i as u8],
        payload,
    };
    let payloads: Vec<_> = payloads().into_iter().enumerate().map(enveloped).collect();
    let layout = || Layout::new().magic(b"pea").opaque(1).length(Length::U32Le);
    let codec = move |_| Envelope::<2, Crc32>::new(layout().opaque(1).checksum(), MOST).unwrap();
    assert_carries(codec, &payloads).await;
    let codec = move |_| {
        let layout = layout().opaque(1).inclusive().trailer();
        Envelope::<2, Parity>::new(layout, MOST).unwrap()
    };
    assert_carries(codec, &payloads).await;
}

#[tokio::test]
async fn messages_in_each_format() {
    carries_messages(|_| Json::lines::<Message>(MOST)).await;
    carries_messages(|_| Json::framed::<Message>(MOST)).await;
    carries_messages(|_| Postcard::framed::<Message>(MOST)).await;
    carries_messages(|_| Cbor::framed::<Message>(MOST)).await;
}

#[tokio::test]
async fn a_typed_stack_of_three() {
    carries_messages(|_| {
        let frames = Prefixed::new(Length::Varint, MOST);
        let frames = frames.checked::<Crc32>().compressed(Lz4, MOST);
        Serde::<_, _, Message>::new(frames, Postcard)
    })
    .await;
}
