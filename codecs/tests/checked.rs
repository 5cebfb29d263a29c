//! Frames with a checksum.

use std::{io, string::FromUtf8Error};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};
use wattle_codecs::{
    Checked, CheckedError, Checksum, CodecExt, Crc32, Length, Prefixed, PrefixedError, Recoverable,
};

/// "123456789" and its CRC-32 as every catalogue has it.
const FRAME: &[u8] = b"\x0d123456789\xcb\xf4\x39\x26";

fn codec() -> Checked<Prefixed, Crc32> {
    Prefixed::new(Length::U8, 100).checked()
}

/// The sum of all bytes, on two bytes.
#[derive(Debug)]
struct Sum;

impl Checksum for Sum {
    type Sum = [u8; 2];

    fn of(data: &[u8]) -> [u8; 2] {
        data.iter()
            .map(|&byte| u16::from(byte))
            .sum::<u16>()
            .to_be_bytes()
    }
}

#[test]
fn the_checksum_stands_behind_the_payload_within_the_frame() {
    let mut dst = BytesMut::from("before");
    codec().encode(Bytes::from("123456789"), &mut dst).unwrap();
    assert_eq!(&dst[..6], b"before");
    assert_eq!(&dst[6..], FRAME);

    let mut dst = BytesMut::new();
    let mut codec = Prefixed::new(Length::U8, 100).checked::<Sum>();
    codec
        .encode(Bytes::from_static(&[1, 2, 255]), &mut dst)
        .unwrap();
    assert_eq!(dst, &[5, 1, 2, 255, 1, 2][..]);
}

#[test]
fn a_frame_is_decoded_at_every_split() {
    let two = [FRAME, FRAME].concat();
    for split in 0..two.len() {
        let mut codec = codec();
        let mut src = BytesMut::from(&two[..split]);
        let mut items = Vec::new();
        while let Some(item) = codec.decode(&mut src).unwrap() {
            items.push(item);
        }
        src.extend_from_slice(&two[split..]);
        while let Some(item) = codec.decode(&mut src).unwrap() {
            items.push(item);
        }
        assert_eq!(items, ["123456789", "123456789"]);
    }
}

#[test]
fn every_flipped_bit_is_found_and_the_next_frame_decoded() {
    for bit in 8..8 * FRAME.len() {
        let mut src = BytesMut::from(FRAME);
        src[bit / 8] ^= 1 << (bit % 8);
        src.extend_from_slice(FRAME);
        let mut codec = codec();
        let error = codec.decode(&mut src).unwrap_err();
        assert!(error.is_recoverable());
        assert!(
            matches!(error, CheckedError::Mismatch { at: 0, .. }),
            "{error}"
        );
        assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "123456789");
    }
}

#[test]
fn a_mismatch_says_what_was_expected_what_came_and_where() {
    let mut src = BytesMut::from(&[FRAME, b"\x0d123456789\xcb\xf4\x39\x27"].concat()[..]);
    let mut codec = codec();
    codec.decode(&mut src).unwrap();
    let error = codec.decode(&mut src).unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame at byte 14: checksum cbf43927, expected cbf43926"
    );
    let CheckedError::Mismatch {
        expected,
        came,
        at: 14,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(&expected[..], b"\xcb\xf4\x39\x26");
    assert_eq!(&came[..], b"\xcb\xf4\x39\x27");
}

#[test]
fn the_byte_of_an_error_is_that_of_the_frame_also_where_its_head_was_consumed_before() {
    let mut codec = LengthDelimitedCodec::builder()
        .length_field_length(1)
        .new_codec()
        .checked::<Crc32>();
    let mut src = BytesMut::new();
    for (i, byte) in [FRAME, b"\x05beans"].concat().into_iter().enumerate() {
        src.extend_from_slice(&[byte]);
        match codec.decode(&mut src) {
            Ok(item) => assert_eq!(item.is_some(), i == 13),
            Err(CheckedError::Mismatch { at, .. }) => return assert_eq!((i, at), (19, 14)),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no error");
}

#[test]
fn a_frame_too_short_for_a_checksum_is_skipped() {
    let mut src = BytesMut::from(&[b"\x03pea", FRAME, b"\0"].concat()[..]);
    let mut codec = codec();
    let error = codec.decode(&mut src).unwrap_err();
    assert!(error.is_recoverable());
    assert_eq!(
        error.to_string(),
        "frame at byte 0: 3 bytes, expected at least the 4 of a checksum"
    );
    assert!(matches!(
        error,
        CheckedError::TooShort {
            len: 3,
            least: 4,
            at: 0
        }
    ));
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "123456789");
    assert!(matches!(
        codec.decode(&mut src),
        Err(CheckedError::TooShort { len: 0, at: 18, .. })
    ));
}

#[test]
fn an_empty_payload_has_a_checksum_too() {
    let mut wire = BytesMut::new();
    codec().encode(Bytes::new(), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\x04\0\0\0\0");
    assert_eq!(codec().decode(&mut wire).unwrap(), Some(Bytes::new()));
}

#[test]
fn payloads_that_others_hold_stay_as_they_are() {
    let whole = Bytes::from("peas and beans".as_bytes().to_vec());
    let mut wire = BytesMut::new();
    let part = whole.slice(..4);
    codec().encode(part.clone(), &mut wire).unwrap();
    // The only holder, of a part of its allocation.
    let mut own = BytesMut::from("peas and beans");
    let own_part = own.split_to(4).freeze();
    codec().encode(own_part, &mut wire).unwrap();
    assert_eq!(own, " and beans");
    assert_eq!(whole, "peas and beans");
    assert_eq!(part, "peas");
    let mut codec = codec();
    assert_eq!(codec.decode(&mut wire).unwrap().unwrap(), "peas");
    assert_eq!(codec.decode(&mut wire).unwrap().unwrap(), "peas");
}

#[test]
fn the_codecs_errors_are_forwarded_in_both_directions() {
    let error = codec().decode_eof(&mut FRAME[..9].into()).unwrap_err();
    assert!(matches!(
        error,
        CheckedError::Codec(PrefixedError::Truncated { came: 9, .. })
    ));
    assert!(!error.is_recoverable());
    assert_eq!(
        error.to_string(),
        "frame at byte 0: the stream ended after 9 bytes of it, expected at least 14"
    );
    assert!(codec().decode_eof(&mut BytesMut::new()).unwrap().is_none());
    assert_eq!(
        codec().decode_eof(&mut FRAME.into()).unwrap().unwrap(),
        "123456789"
    );

    // The cap is that of the frame: 100 with the checksum.
    let mut dst = BytesMut::new();
    codec().encode(Bytes::from(vec![0; 96]), &mut dst).unwrap();
    dst.clear();
    let error = codec()
        .encode(Bytes::from(vec![0; 97]), &mut dst)
        .unwrap_err();
    assert!(matches!(
        error,
        PrefixedError::UnencodablyLong {
            len: 101,
            most: 100
        }
    ));
    assert!(dst.is_empty());
    let io = CheckedError::<PrefixedError>::from(io::Error::other("pea"));
    assert_eq!(io.to_string(), "pea");
}

#[test]
fn whatever_becomes_bytes_is_a_frame() {
    let mut codec = Prefixed::new(Length::U8, 100)
        .try_map(|payload| String::from_utf8(payload.to_vec()))
        .checked::<Sum>();
    assert_eq!(codec.decode(&mut "\x03a\0a".into()).unwrap().unwrap(), "a");
    let error: CheckedError<wattle_codecs::TryMapError<PrefixedError, FromUtf8Error>> = codec
        .decode(&mut BytesMut::from(&b"\x01\xff"[..]))
        .unwrap_err();
    assert!(error.is_recoverable(), "{error}");
}

#[test]
fn it_clones_without_its_checksum_having_to() {
    let mut codec = Prefixed::new(Length::U8, 100).checked::<Sum>();
    assert_eq!(
        codec
            .clone()
            .decode(&mut "\x03a\0a".into())
            .unwrap()
            .unwrap(),
        "a"
    );
    assert!(format!("{codec:?}").contains("Sum"));
    *codec.get_mut() = Prefixed::new(Length::U16, 100);
    assert_eq!(
        codec.decode(&mut "\0\x03a\0a".into()).unwrap().unwrap(),
        "a"
    );
}
