//! MessagePack: its bytes, its errors, its bounds.

#[macro_use]
mod messages;

use bytes::{Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{
    FormatError, Length, MessagePack, MessagePackError, ParseMessage, Prefixed, Serde, WriteMessage,
};

use self::messages::*;

test_format!(MessagePack::new(), MessagePackError, [127, 63, 63, 42, 63]);

#[test]
fn the_bytes_are_those_of_the_docs() {
    let array = b"\x92\x01\xa3Ann";
    let map = b"\x82\xa2id\x01\xa4name\xa3Ann";
    assert_eq!(&written(&ann())[..], array);
    let mut named = Vec::new();
    MessagePack::named().write(&ann(), &mut named).unwrap();
    assert_eq!(&named[..], map);
    for format in [MessagePack::new(), MessagePack::named()] {
        for frame in [&array[..], map] {
            let hello: Hello = format.parse(&Bytes::copy_from_slice(frame)).unwrap();
            assert_eq!(hello, ann());
        }
    }
    assert_eq!(
        &written(&shapes()[..3].to_vec())[..],
        b"\x93\xa4Unit\x81\xa7Newtype\xcd\x01\x2c\x81\xa5Tuple\x92\x07\xc3"
    );
}

#[test]
fn structs_as_maps_come_back_too() {
    let mut frame = Vec::new();
    MessagePack::named()
        .write(&everything(), &mut frame)
        .unwrap();
    assert_eq!(parsed::<Everything>(&frame).unwrap(), everything());
}

#[test]
fn frames_have_their_length_in_front() {
    let mut codec = MessagePack::framed::<Hello>(6);
    let mut wire = BytesMut::new();
    codec.encode(ann(), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\0\0\0\x06\x92\x01\xa3Ann");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(ann()));
    assert!(
        MessagePack::framed::<Hello>(5)
            .encode(ann(), &mut wire)
            .is_err()
    );

    let frames = Prefixed::new(Length::U8, 64);
    let mut codec: Serde<_, _, Hello> = Serde::new(frames, MessagePack::named());
    codec.encode(ann(), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\x0e\x82\xa2id\x01\xa4name\xa3Ann");
}

#[test]
fn a_sequence_longer_than_its_type_is_an_error() {
    assert_eq!(parsed::<(u8, u8)>(b"\x92\x01\x02").unwrap(), (1, 2));
    for frame in [&b"\x93\x01\x02\x03"[..], b"\x91\x01"] {
        assert!(matches!(
            parsed::<(u8, u8)>(frame),
            Err(FormatError::Parse(_))
        ));
    }
}

#[test]
fn what_a_type_skips_is_bounded_too() {
    for unit in [&b"\x91"[..], b"\x81\x01"] {
        let frame = unit.repeat((1 << 20) / unit.len());
        let skip = move || parsed::<serde::de::IgnoredAny>(&frame).map(drop);
        let result = std::thread::spawn(skip).join().unwrap();
        assert!(matches!(result, Err(FormatError::TooDeep { most: 128 })));
    }
}

#[test]
fn nothing_is_reserved_that_the_frame_has_no_bytes_for() {
    let frame = b"\xdd\x3b\x9a\xca\x00\x01\x02\x03";
    assert_eq!(hint_of(frame, false), Some(1024 + frame.len()));
    let frame = b"\xdf\x3b\x9a\xca\x00\x01\x02\x03";
    assert_eq!(hint_of(frame, true), Some(1024 + frame.len()));
    // Lengths of texts, of bytes and of extensions.
    for marker in [b"\xdb", b"\xc6", b"\xc9"] {
        let frame = [&marker[..], b"\xff\xff\xff\xffabc"].concat();
        assert!(parsed::<String>(&frame).is_err());
        assert!(parsed::<Pair>(&[b"\x92\xa1x", &frame[..]].concat()).is_err());
    }
}
