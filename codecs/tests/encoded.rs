//! Messages that are serialized once and sent to many.

use std::{cell::Cell, fmt::Debug, rc::Rc};

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use serde::{Serialize, Serializer};
use tokio_util::codec::{Decoder, Encoder, Framed, LengthDelimitedCodec};
use wattle_codecs::{Encoded, Json, Length, Postcard, Prefixed, PrefixedError, Serde, SerdeError};

thread_local! {
    static SERIALIZED: Cell<usize> = const { Cell::new(0) };
}

/// Counts how often it is serialized.
#[derive(Debug)]
struct News(&'static str);

impl Serialize for News {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SERIALIZED.set(SERIALIZED.get() + 1);
        serializer.serialize_str(self.0)
    }
}

fn codec(most: usize) -> Serde<Prefixed, Json, String, News> {
    Serde::new(Prefixed::new(Length::U16, most), Json)
}

#[test]
fn a_message_is_serialized_once_for_many() {
    let encoded = Encoded::new(&Json, &News("rain")).unwrap();
    for _ in 0..3 {
        let mut wire = BytesMut::from("before");
        codec(64).encode(encoded.clone(), &mut wire).unwrap();
        assert_eq!(&wire[..], b"before\x00\x06\"rain\"");
    }
    assert_eq!(SERIALIZED.get(), 1);
}

#[test]
fn the_wire_is_that_of_the_message_itself_and_comes_back_as_one() {
    let mut codec: Serde<_, _, Vec<u32>> = Serde::new(LengthDelimitedCodec::new(), Postcard);
    let mut once = BytesMut::new();
    let message = vec![1, 300];
    codec
        .encode(Encoded::new(&Postcard, &message).unwrap(), &mut once)
        .unwrap();
    let mut plain = BytesMut::new();
    codec.encode(message.clone(), &mut plain).unwrap();
    assert_eq!(once, plain);
    assert_eq!(codec.decode(&mut once).unwrap(), Some(message));
}

#[test]
fn it_holds_the_payload_and_clones_share_it() {
    let encoded = Encoded::new(&Json, &News("rain")).unwrap();
    assert_eq!(encoded.as_bytes(), "\"rain\"");
    assert_eq!((encoded.len(), encoded.is_empty()), (6, false));
    let clone = encoded.clone();
    assert_eq!(clone, encoded);
    assert_eq!(clone.as_bytes().as_ptr(), encoded.as_bytes().as_ptr());
    assert_ne!(clone, Encoded::new(&Json, &News("sun")).unwrap());
    assert_eq!(format!("{encoded:?}"), r#"Encoded(b"\"rain\"")"#);
    assert_eq!(encoded.into_bytes(), Bytes::from("\"rain\""));
    assert!(Encoded::new(&Postcard, &()).unwrap().is_empty());
}

#[test]
fn what_has_no_room_in_a_frame_writes_nothing() {
    let mut wire = BytesMut::from("before");
    let encoded = Encoded::new(&Json, &News("rain")).unwrap();
    let error = codec(5).encode(encoded, &mut wire).unwrap_err();
    assert!(matches!(
        error,
        SerdeError::Frame(PrefixedError::UnencodablyLong { len: 6, most: 5 })
    ));
    assert_eq!(&wire[..], b"before");
}

#[test]
fn what_cannot_be_serialized_is_an_error_when_it_is_made() {
    let tuples = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = Encoded::new(&Json, &tuples).unwrap_err();
    assert_eq!(error.to_string(), "key must be a string");
}

#[tokio::test]
async fn one_framed_takes_both() {
    let (a, b) = tokio::io::duplex(64);
    let mut sender = Framed::new(a, Json::lines::<Vec<u8>>(64));
    sender.send(vec![1]).await.unwrap();
    let encoded = Encoded::new(&Json, &vec![2]).unwrap();
    sender.send(encoded).await.unwrap();
    SinkExt::<Vec<u8>>::close(&mut sender).await.unwrap();
    let mut receiver = Framed::new(b, Json::lines::<Vec<u8>>(64));
    assert_eq!(receiver.next().await.unwrap().unwrap(), [1]);
    assert_eq!(receiver.next().await.unwrap().unwrap(), [2]);
    assert!(receiver.next().await.is_none());
}

#[test]
fn it_asks_nothing_of_the_message() {
    fn auto_traits<T: Send + Sync + Unpin + Clone + Debug + Eq + 'static>() {}
    auto_traits::<Encoded<Rc<Cell<News>>, Rc<Json>>>();
}

/// Only compiled: for a codec that encodes `T`, `_` would be either of two types.
#[test]
fn a_codec_of_another_format_or_message_does_not_take_it() {
    trait Refuses<T, Which> {
        fn is_refused() {}
    }
    struct Accepts;
    impl<C, T> Refuses<T, ()> for C {}
    impl<C: Encoder<T>, T> Refuses<T, Accepts> for C {}

    type Codec = Serde<Prefixed, Json, u8, String>;
    <Codec as Refuses<Encoded<String, Postcard>, _>>::is_refused();
    <Codec as Refuses<Encoded<u8, Json>, _>>::is_refused();
    // What is accepted, on the other hand, has to be told which one is meant.
    <Codec as Refuses<Encoded<String, Json>, Accepts>>::is_refused();
}
