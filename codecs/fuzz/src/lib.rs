//! What the targets share: laws for the codecs of a fuzzer's bytes.

use std::{collections::BTreeMap, fmt::Debug};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::laws;

/// The cap on a frame: small, so that a fuzzer reaches it.
pub const MOST: usize = 300;

/// Takes the bytes for a stream, and decodes it.
pub fn decode<C>(factory: impl Fn() -> C, data: &[u8])
where
    C: Decoder<Item: Debug, Error: Debug>,
{
    if let Err(violation) = laws::fuzz(factory, data) {
        panic!("{violation}");
    }
}

/// Takes the bytes for a stream, and for payloads to encode and to decode again.
pub fn frames<C>(factory: impl Fn() -> C, data: &[u8])
where
    C: Decoder<Item: Debug + PartialEq<Bytes>, Error: Debug> + Encoder<Bytes, Error: Debug>,
{
    decode(&factory, data);
    let Some((&[first, second], rest)) = data.split_first_chunk() else {
        return;
    };
    // Payloads of the size that the first byte says, split where the second one does.
    let size = usize::from(first).clamp(1, 200);
    let payloads = rest.chunks(size).take(8).map(Bytes::copy_from_slice);
    if let Err(violation) = laws::fuzz_round_trip(factory, payloads, &[second; 64]) {
        panic!("{violation}");
    }
}

/// The first byte, to choose by, and the rest.
pub fn choose(data: &[u8]) -> (usize, &[u8]) {
    match data.split_first() {
        Some((&first, rest)) => (usize::from(first), rest),
        None => (0, data),
    }
}

/// Anything that serde knows, nested as deep as one likes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    Unit,
    Flag(bool),
    Number(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
    Maybe(Option<Box<Message>>),
    List(Vec<Message>),
    Map(BTreeMap<String, u16>),
    Pair { left: Box<Message>, right: char },
}

/// Takes the bytes for a stream, decodes it, and what comes of it once more from what it encodes to.
pub fn messages<C, M>(factory: impl Fn() -> C, data: &[u8])
where
    C: Decoder<Item = M, Error: Debug> + Encoder<M, Error: Debug>,
    M: Debug + Clone,
{
    decode(&factory, data);
    let (mut codec, mut src) = (factory(), BytesMut::from(data));
    while let Ok(Some(message)) = codec.decode(&mut src) {
        let mut wire = BytesMut::new();
        // What came in fewer bytes than we write it in may be too long to be sent.
        if factory().encode(message.clone(), &mut wire).is_err() {
            assert!(wire.is_empty(), "a failed encode leaves nothing");
            continue;
        }
        let again = factory().decode(&mut wire);
        // By their text, as no NaN equals itself.
        assert_eq!(
            format!("{:?}", again.unwrap().unwrap()),
            format!("{message:?}")
        );
        assert!(wire.is_empty(), "{message:?} leaves {wire:?}");
    }
}
