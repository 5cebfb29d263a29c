//! Postcard: its bytes, its errors, its bounds.

#[macro_use]
mod messages;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{FormatError, ParseMessage, Postcard, PostcardError, WriteMessage};

use self::messages::*;

test_format!(Postcard, PostcardError, [127, 63, 63, 42, 63]);

#[test]
fn the_bytes_are_those_of_the_docs() {
    assert_eq!(&written(&ann())[..], b"\x01\x03Ann");
    assert_eq!(parsed::<Hello>(b"\x01\x03Ann").unwrap(), ann());
    assert_eq!(&written(&shapes())[..], SHAPES);
}

const SHAPES: &[u8] =
    b"\x05\x00\x01\xac\x02\x02\x07\x01\x03\x01\x03Ann\x01\x02\x01\xff\x03\x01\x03Ann\x00";

#[test]
fn frames_have_their_length_in_front() {
    let mut codec = Postcard::framed::<Hello>(5);
    let mut wire = BytesMut::new();
    codec.encode(ann(), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\0\0\0\x05\x01\x03Ann");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(ann()));
    assert!(
        Postcard::framed::<Hello>(4)
            .encode(ann(), &mut wire)
            .is_err()
    );
}

#[test]
fn an_empty_message_is_an_empty_frame() {
    let mut codec = Postcard::framed::<()>(0);
    let mut wire = BytesMut::new();
    codec.encode((), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\0\0\0\0");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(()));
}

#[test]
fn elements_without_bytes_are_bounded() {
    let all = vec![(); 1025];
    let frame = written(&all[..1024].to_vec());
    assert_eq!(parsed::<Vec<()>>(&frame).unwrap().len(), 1024);
    let within = [&[2][..], &written(&vec![(); 400]), &written(&vec![(); 600])].concat();
    assert_eq!(parsed::<Vec<Vec<()>>>(&within).unwrap()[1].len(), 600);

    // 2⁶⁴ − 1 of them.
    let endless = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    let error = parsed::<Vec<()>>(endless).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the message has more elements than its bytes allow, expected at most 1034"
    );
    assert!(matches!(error, FormatError::TooMany { most: 1034 }));
    let error = parsed::<BTreeMap<(), ()>>(endless).unwrap_err();
    assert!(matches!(error, FormatError::TooMany { most: 1034 }));
    let nested = [&[3][..], &written(&all), &written(&all), &written(&all)].concat();
    let error = parsed::<Vec<Vec<()>>>(&nested).unwrap_err();
    assert!(matches!(error, FormatError::TooMany { most: 1031 }));
}

#[test]
fn elements_that_the_type_has_are_not_counted() {
    let units = [[[(); 32]; 32]; 32];
    assert!(written(&units).is_empty());
    assert_eq!(parsed::<[[[(); 32]; 32]; 32]>(b"").unwrap(), units);
}

#[test]
fn nothing_is_reserved_that_the_frame_has_no_bytes_for() {
    let billion = b"\x80\x94\xeb\xdc\x03\x01\x02\x03";
    assert!(hint_of(billion, false).is_none_or(|hint| hint <= 1024 + billion.len()));
    assert_eq!(hint_of(billion, true), Some(1024 + billion.len()));
}
