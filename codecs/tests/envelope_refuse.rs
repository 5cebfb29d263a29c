//! Envelopes that are refused, and what their errors say.

mod envelope;

use std::{error::Error, io};

use bytes::{Bytes, BytesMut};
use envelope::{VERACK, bitcoin, item, plain, refused, trailed};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{Crc32, Envelope, EnvelopeError, Layout, Length, Recoverable};

#[test]
fn a_wrong_magic_is_refused_at_its_first_wrong_byte() {
    let codec = bitcoin();
    let came = |wire: &[u8]| match refused(&codec, wire) {
        EnvelopeError::BadMagic { came, at: 0, .. } => came,
        other => panic!("{other:?}"),
    };
    assert_eq!(came(b"G"), "G");
    assert_eq!(came(b"\xf9B"), &b"\xf9B"[..]);
    assert_eq!(came(b"\xf9\xbe\xb4\xdaverack"), &b"\xf9\xbe\xb4\xda"[..]);

    let error = refused(&codec, b"GET / HTTP/1.1\r\n");
    assert!(matches!(&error, EnvelopeError::BadMagic { expected, .. } if *expected == VERACK[..4]));
    assert_eq!(
        error.to_string(),
        "magic at byte 0: 47455420, expected f9beb4d9"
    );
    assert!(!error.is_recoverable());
}

#[test]
fn a_wrong_magic_says_where_in_the_stream_it_is() {
    let layout = Layout::new().opaque(1).length(Length::U8).magic("::");
    let mut codec = plain::<1>(layout, 9);
    let mut src = BytesMut::from(&b"x\x01::ay\x01:;"[..]);
    assert_eq!(codec.decode(&mut src).unwrap(), Some(item(b"x", "a")));
    let error = codec.decode(&mut src).unwrap_err();
    assert_eq!(error.to_string(), "magic at byte 7: 3a3b, expected 3a3a");
}

#[test]
fn a_frame_with_a_wrong_checksum_is_consumed_and_the_next_one_decoded() {
    let mut wire = VERACK.to_vec();
    wire.extend(VERACK);
    wire[24 + 20] ^= 0xff;
    wire.extend(VERACK);
    for step in 1..=wire.len() {
        let (mut codec, mut src, mut decoded) = (bitcoin(), BytesMut::new(), Vec::new());
        for piece in wire.chunks(step) {
            src.extend_from_slice(piece);
            while let Some(result) = codec.decode(&mut src).transpose() {
                decoded.push(result);
                assert!(decoded.len() <= 3, "{decoded:?}");
            }
        }
        assert_eq!(decoded.len(), 3);
        // The frame that was skipped counts as well.
        let error = codec.decode(&mut BytesMut::from("x")).unwrap_err();
        assert!(
            matches!(error, EnvelopeError::BadMagic { at: 72, .. }),
            "{error:?}"
        );
        assert_eq!(decoded[0].as_ref().unwrap(), decoded[2].as_ref().unwrap());
        let error = decoded[1].as_ref().unwrap_err();
        assert!(error.is_recoverable());
        assert_eq!(
            error.to_string(),
            "frame at byte 24: checksum a2f6e0e2, expected 5df6e0e2"
        );
        let EnvelopeError::BadChecksum {
            expected,
            came,
            at: 24,
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(
            (&expected[..], &came[..]),
            (&[0x5d, 0xf6, 0xe0, 0xe2][..], &wire[44..48])
        );
    }
}

#[test]
fn a_trailer_tells_every_flipped_bit() {
    let mut wire = BytesMut::new();
    trailed().encode(item(&[7], "abc"), &mut wire).unwrap();
    // The magic and the length have errors of their own.
    for byte in [1, 4, 5, 6, 7, 8, 9, 10] {
        for bit in 0..8 {
            let mut flipped = wire.clone();
            flipped[byte] ^= 1 << bit;
            let mut src = flipped.clone();
            let error = trailed().decode(&mut src).unwrap_err();
            assert!(
                matches!(error, EnvelopeError::BadChecksum { at: 0, .. }),
                "{error:?}"
            );
            assert!(src.is_empty());
        }
    }
}

#[test]
fn a_header_checksum_is_of_the_payload_alone() {
    let mut wire = BytesMut::from(VERACK);
    wire[4] = b'V';
    let decoded = bitcoin().decode(&mut wire).unwrap().unwrap();
    assert_eq!(&decoded.header, b"Verack\0\0\0\0\0\0");
}

#[test]
fn a_frame_beyond_the_cap_is_refused_before_the_rest_of_its_header_has_come() {
    let error = refused(
        &bitcoin(),
        b"\xf9\xbe\xb4\xd9version\0\0\0\0\0\x01\x09\x3d\0",
    );
    assert!(matches!(
        error,
        EnvelopeError::TooLong {
            announced: 4_000_001,
            most: 4_000_000,
            at: 0
        }
    ));
    assert_eq!(
        error.to_string(),
        "frame at byte 0: length 4000001, expected at most 4000000 bytes of payload"
    );
    assert!(!error.is_recoverable());
}

#[test]
fn the_cap_is_on_the_payload_whatever_else_the_length_counts() {
    let layout = || {
        Layout::new()
            .opaque(2)
            .length(Length::U16)
            .trailer()
            .inclusive()
    };
    let codec = |most| Envelope::<2, Crc32>::new(layout(), most).unwrap();
    let mut wire = BytesMut::new();
    codec(3).encode(item(b"ab", "123"), &mut wire).unwrap();
    assert_eq!(wire[3], 11);
    assert_eq!(
        codec(3).decode(&mut wire.clone()).unwrap().unwrap().payload,
        "123"
    );
    let error = refused(&codec(2), &wire);
    assert!(matches!(
        error,
        EnvelopeError::TooLong {
            announced: 11,
            most: 2,
            at: 0
        }
    ));
}

#[test]
fn a_length_less_than_what_it_counts_is_refused() {
    let tpkt = Layout::new().magic([3, 0]).length(Length::U16).inclusive();
    let mut codec = plain::<0>(tpkt, 9);
    let mut src = BytesMut::from(&b"\x03\0\0\x04\x03\0\0\x03"[..]);
    assert_eq!(codec.decode(&mut src).unwrap().unwrap().payload, "");
    let error = codec.decode(&mut src).unwrap_err();
    assert!(matches!(
        error,
        EnvelopeError::TooShort {
            announced: 3,
            least: 4,
            at: 4
        }
    ));
    assert_eq!(
        error.to_string(),
        "frame at byte 4: length 3, expected at least 4"
    );
    assert!(!error.is_recoverable());

    let kafka = Layout::new().length(Length::U32).opaque(8).counting(8);
    let error = refused(&plain::<8>(kafka, 9), b"\0\0\0\x07");
    assert!(matches!(
        error,
        EnvelopeError::TooShort {
            announced: 7,
            least: 8,
            at: 0
        }
    ));
}

#[test]
fn what_is_wrong_first_on_the_wire_is_what_is_told_at_every_split() {
    let layout = Layout::new().length(Length::U8).magic("m");
    let wire = b"\x0ax and more";
    for end in 1..wire.len() {
        let error = refused(&plain::<0>(layout.clone(), 9), &wire[..end]);
        assert!(matches!(error, EnvelopeError::TooLong { .. }), "{error:?}");
    }
}

#[test]
fn an_endless_varint_is_refused() {
    let codec = plain::<1>(Layout::new().opaque(1).length(Length::Varint), 9);
    assert!(
        codec
            .clone()
            .decode(&mut BytesMut::from(&[0x80; 10][..]))
            .unwrap()
            .is_none()
    );
    let error = refused(&codec, &[0x80; 11]);
    assert!(matches!(error, EnvelopeError::Overlong { at: 0 }));
    assert_eq!(
        error.to_string(),
        "frame at byte 0: the length is a varint of more than 64 bits or 10 bytes"
    );
}

#[test]
fn the_end_of_the_stream_inside_a_frame_is_an_error() {
    for end in 1..VERACK.len() {
        let mut codec = bitcoin();
        let mut src = BytesMut::from(VERACK);
        src.extend_from_slice(&VERACK[..end]);
        assert!(codec.decode_eof(&mut src).unwrap().is_some());
        let error = codec.decode_eof(&mut src).unwrap_err();
        assert!(
            matches!(error, EnvelopeError::Truncated { came, least: 24, at: 24 } if came == end),
            "{error:?}"
        );
        let text = format!(
            "frame at byte 24: the stream ended after {end} bytes of it, expected at least 24"
        );
        assert_eq!(error.to_string(), text);
        assert!(!error.is_recoverable());
    }
}

#[test]
fn what_the_length_cannot_say_is_not_sent() {
    let fits = |layout: Layout, most: usize, payload: usize| {
        let mut dst = BytesMut::from("before");
        let payload = Bytes::from(vec![0; payload]);
        let result = plain::<0>(layout, most).encode(item(&[], payload), &mut dst);
        if result.is_err() {
            assert_eq!(dst, "before");
        }
        result.map_err(|error| error.to_string())
    };
    let bytes = || Layout::new().magic("mm").length(Length::U8);
    let too_long = |len, most| {
        Err(format!(
            "a payload of {len} bytes to send, expected at most {most}"
        ))
    };
    assert_eq!(fits(bytes(), 9, 9), Ok(()));
    assert_eq!(fits(bytes(), 9, 10), too_long(10, 9));
    assert_eq!(fits(bytes(), usize::MAX, 255), Ok(()));
    assert_eq!(fits(bytes(), usize::MAX, 256), too_long(256, 255));
    assert_eq!(fits(bytes().inclusive(), 300, 252), Ok(()));
    assert_eq!(fits(bytes().inclusive(), 300, 253), too_long(253, 252));
    assert_eq!(fits(bytes().counting(5), 300, 250), Ok(()));
    assert_eq!(fits(bytes().counting(5), 300, 251), too_long(251, 250));
}

#[test]
fn the_largest_numbers_overflow_nothing() {
    let begun = |layout, wire: &[u8]| {
        let mut src = BytesMut::from(wire);
        let decoded = plain::<0>(layout, usize::MAX).decode(&mut src);
        assert!(src.capacity() < 70_000);
        matches!(decoded, Ok(None))
    };
    let layout = || Layout::new().magic("m").length(Length::U64);
    assert!(begun(layout(), b"m\xff\xff\xff\xff\xff\xff\xff\xff"));
    assert!(begun(
        layout().inclusive(),
        b"m\xff\xff\xff\xff\xff\xff\xff\xff"
    ));

    let mut codec = plain::<0>(layout().counting(usize::MAX), usize::MAX);
    assert!(codec.encode(item(&[], "a"), &mut BytesMut::new()).is_err());
}

#[test]
fn an_error_of_the_transport_is_passed_on() {
    let error = EnvelopeError::from(io::Error::new(io::ErrorKind::ConnectionReset, "cable"));
    assert!(matches!(&error, EnvelopeError::Io(e) if e.kind() == io::ErrorKind::ConnectionReset));
    assert_eq!(error.to_string(), "cable");
    assert!(!error.is_recoverable());
    assert!(refused(&bitcoin(), b"x").source().is_none());
}
