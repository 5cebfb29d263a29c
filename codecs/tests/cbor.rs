//! CBOR: its bytes, its errors, its bounds.

#[macro_use]
mod messages;

use bytes::{Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{Cbor, CborError, FormatError, ParseMessage, WriteMessage};

use self::messages::*;

test_format!(Cbor, CborError, [127, 63, 63, 63, 63]);

#[test]
fn the_bytes_are_those_of_the_docs() {
    let frame = b"\xa2\x62id\x01\x64name\x63Ann";
    assert_eq!(&written(&ann())[..], frame);
    assert_eq!(parsed::<Hello>(frame).unwrap(), ann());
    assert_eq!(
        &written(&shapes()[..3].to_vec())[..],
        b"\x83\x64Unit\xa1\x67Newtype\x19\x01\x2c\xa1\x65Tuple\x82\x07\xf5"
    );
}

#[test]
fn frames_have_their_length_in_front() {
    let mut codec = Cbor::framed::<Hello>(14);
    let mut wire = BytesMut::new();
    codec.encode(ann(), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\0\0\0\x0e\xa2\x62id\x01\x64name\x63Ann");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(ann()));
    assert!(Cbor::framed::<Hello>(13).encode(ann(), &mut wire).is_err());
}

#[test]
fn tags_are_passed_over() {
    assert_eq!(parsed::<u8>(b"\xd9\xd9\xf7\x07").unwrap(), 7);
}

#[test]
fn what_has_no_length_is_read_as_what_has_one() {
    assert_eq!(parsed::<Vec<u8>>(b"\x9f\x01\x02\xff").unwrap(), [1, 2]);
    assert_eq!(parsed::<(u8, u8)>(b"\x9f\x01\x02\xff").unwrap(), (1, 2));
    assert_eq!(
        parsed::<((u8, u8), u8)>(b"\x82\x9f\x01\x02\xff\x03").unwrap(),
        ((1, 2), 3)
    );
    let hello = b"\xbf\x62id\x01\x64name\x7f\x61A\x62nn\xff\xff";
    assert_eq!(parsed::<Hello>(hello).unwrap(), ann());
}

#[test]
fn a_sequence_longer_than_its_type_is_an_error_and_not_what_comes_behind_it() {
    for frame in [
        &b"\x82\x83\x01\x02\x03"[..],
        b"\x82\x9f\x01\x02\x03\xff\x04",
        b"\x82\x83\x01\x02\x03\x04",
    ] {
        let error = parsed::<((u8, u8), u8)>(frame).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("a sequence longer than its type"),
            "{error}"
        );
    }
}

#[test]
fn what_a_type_skips_is_bounded_too() {
    for unit in [&b"\x81"[..], b"\xa1\x01", b"\x9f", b"\xd8\x20"] {
        let frame = unit.repeat((1 << 20) / unit.len());
        let skip = move || parsed::<serde::de::IgnoredAny>(&frame).map(drop);
        let result = std::thread::spawn(skip).join().unwrap();
        assert!(
            matches!(result, Err(FormatError::TooDeep { most: 128 })),
            "{unit:?}"
        );
    }
}

#[test]
fn nothing_is_reserved_because_a_frame_announces_it() {
    assert_eq!(hint_of(b"\x9a\x3b\x9a\xca\x00\x01\x02\x03", false), None);
    assert_eq!(hint_of(b"\xba\x3b\x9a\xca\x00\x01\x02\x03", true), None);
    // Lengths of bytes and of texts, up to 2⁶⁴ − 1.
    for marker in [b"\x5b", b"\x7b"] {
        let frame = [&marker[..], b"\xff\xff\xff\xff\xff\xff\xff\xffabc"].concat();
        assert!(parsed::<String>(&frame).is_err());
        assert!(parsed::<Vec<u8>>(&frame).is_err());
        assert!(parsed::<Pair>(&[b"\x82\x61x", &frame[..]].concat()).is_err());
    }
}
