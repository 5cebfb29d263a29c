//! Frames behind a header of several fields, as real protocols have them.

use std::{error::Error, fmt::Debug, io};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{
    Checksum, Crc32, Envelope, EnvelopeError, Enveloped, Layout, LayoutError, Length, NoChecksum,
    Recoverable,
};

/// Neither `Debug` nor `Clone`: the codec is both all the same.
struct Sha256d;

impl Checksum for Sha256d {
    type Sum = [u8; 4];

    fn of(data: &[u8]) -> [u8; 4] {
        let digest = Sha256::digest(Sha256::digest(data));
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

const VERACK: &[u8] = b"\xf9\xbe\xb4\xd9verack\0\0\0\0\0\0\0\0\0\0\x5d\xf6\xe0\xe2";

fn bitcoin() -> Envelope<12, Sha256d> {
    let layout = Layout::new()
        .magic([0xf9, 0xbe, 0xb4, 0xd9])
        .opaque(12)
        .length(Length::U32Le)
        .checksum();
    Envelope::new(layout, 4_000_000).unwrap()
}

/// CRC-32 behind the payload, of all that stands in front of it.
fn trailed() -> Envelope<1, Crc32> {
    let layout = Layout::new()
        .magic([0xaa])
        .opaque(1)
        .length(Length::U16)
        .trailer();
    Envelope::new(layout, 1000).unwrap()
}

fn plain<const N: usize>(layout: Layout, most: usize) -> Envelope<N> {
    Envelope::<N>::new(layout, most).unwrap()
}

fn item<const N: usize>(header: &[u8; N], payload: impl Into<Bytes>) -> Enveloped<N> {
    Enveloped {
        header: *header,
        payload: payload.into(),
    }
}

fn refused<const N: usize, K: Checksum>(codec: &Envelope<N, K>, wire: &[u8]) -> EnvelopeError {
    codec.clone().decode(&mut BytesMut::from(wire)).unwrap_err()
}

/// These items are these bytes in both directions, however these are split.
#[track_caller]
fn on_the_wire<const N: usize, K: Checksum>(
    codec: &Envelope<N, K>,
    items: &[Enveloped<N>],
    wire: &[u8],
) {
    let mut written = BytesMut::from("before");
    for item in items {
        codec.clone().encode(item.clone(), &mut written).unwrap();
    }
    assert_eq!(Bytes::from(written).slice(6..), wire);
    for step in 1..=wire.len() {
        let mut codec = codec.clone();
        let (mut src, mut decoded) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(step) {
            src.extend_from_slice(piece);
            while let Some(item) = codec.decode(&mut src).unwrap() {
                decoded.push(item);
            }
        }
        assert_eq!(decoded, items, "{step} bytes at a time");
        assert!(src.is_empty());
        assert!(codec.decode_eof(&mut src).unwrap().is_none());
    }
}

// What is on the wire.

#[test]
fn bitcoins_verack_is_the_well_known_one() {
    on_the_wire(&bitcoin(), &[item(b"verack\0\0\0\0\0\0", "")], VERACK);
}

#[test]
fn bitcoins_ping_and_verack_in_one_stream() {
    let nonce = [1, 2, 3, 4, 5, 6, 7, 8];
    let mut wire = b"\xf9\xbe\xb4\xd9ping\0\0\0\0\0\0\0\0\x08\0\0\0".to_vec();
    wire.extend(Sha256d::of(&nonce));
    wire.extend(nonce);
    wire.extend(VERACK);
    let ping = item(b"ping\0\0\0\0\0\0\0\0", nonce.to_vec());
    on_the_wire(&bitcoin(), &[ping, item(b"verack\0\0\0\0\0\0", "")], &wire);
}

#[test]
fn http2s_length_is_of_the_payload_alone() {
    // RFC 9113, section 6.5 and 6.7: SETTINGS, empty; PING of eight bytes.
    let http2 = Layout::new().length(Length::U24).opaque(6);
    let items = [
        item(&[4, 0, 0, 0, 0, 0], ""),
        item(&[6, 0, 0, 0, 0, 0], "12345678"),
    ];
    let wire = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x06\0\0\0\0\x0012345678";
    on_the_wire(&plain(http2, 16_384), &items, wire);
}

#[test]
fn kafkas_length_counts_the_header_behind_it() {
    // ApiVersions (18), version 0, correlation 7; the client's name is null.
    let kafka = Layout::new().length(Length::U32).opaque(8).counting(8);
    let items = [item(&[0, 18, 0, 0, 0, 0, 0, 7], &b"\xff\xff"[..])];
    on_the_wire(
        &plain(kafka, 100),
        &items,
        b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\xff\xff",
    );
}

#[test]
fn dns_over_tcp_has_the_length_first_and_counts_the_id_behind_it() {
    let dns = Layout::new().length(Length::U16).opaque(2).counting(2);
    on_the_wire(
        &plain(dns, 100),
        &[item(&[0xab, 0xcd], "question")],
        b"\0\x0a\xab\xcdquestion",
    );
}

#[test]
fn postgresqls_length_counts_itself_but_not_the_type() {
    let postgres = Layout::new().opaque(1).length(Length::U32).counting(4);
    let items = [item(b"Q", &b"SELECT 1\0"[..]), item(b"X", "")];
    on_the_wire(
        &plain(postgres, 100),
        &items,
        b"Q\0\0\0\x0dSELECT 1\0X\0\0\0\x04",
    );
}

#[test]
fn tpkts_length_counts_all_of_the_frame() {
    let tpkt = Layout::new().magic([3, 0]).length(Length::U16).inclusive();
    on_the_wire(&plain(tpkt, 100), &[item(&[], "abc")], b"\x03\0\0\x07abc");
}

#[test]
fn the_length_may_stand_between_two_opaque_fields() {
    // RTMP, section 5.3.1.2.2, a chunk of type 1: stream, timestamp, length, type.
    let rtmp = Layout::new()
        .magic([0x43])
        .opaque(3)
        .length(Length::U24)
        .opaque(1);
    let items = [item(&[0, 0, 9, 20], "abc"), item(&[0, 1, 0, 8], "")];
    on_the_wire(
        &plain(rtmp, 100),
        &items,
        b"C\0\0\x09\0\0\x03\x14abcC\0\x01\0\0\0\0\x08",
    );
}

#[test]
fn a_magic_may_stand_behind_the_length_and_there_may_be_two() {
    let layout = Layout::new()
        .magic("<")
        .length(Length::U8)
        .magic(":")
        .opaque(1);
    on_the_wire(
        &plain(layout, 9),
        &[item(b"x", "ab"), item(b"y", "")],
        b"<\x02:xab<\0:y",
    );
}

#[test]
fn a_varint_moves_the_fields_behind_it() {
    let layout = Layout::new().opaque(1).length(Length::Varint).checksum();
    let codec = Envelope::<1, Crc32>::new(layout, 1000).unwrap();
    let long = Bytes::from(vec![b'x'; 300]);
    let mut wire = b"s\x01".to_vec();
    wire.extend(Crc32::of(b"a"));
    wire.extend(b"al\xac\x02");
    wire.extend(Crc32::of(&long));
    wire.extend(&long);
    on_the_wire(&codec, &[item(b"s", "a"), item(b"l", long)], &wire);
}

#[test]
fn an_inclusive_varint_counts_itself_and_the_rest() {
    let layout = Layout::new()
        .magic("mm")
        .length(Length::Varint)
        .opaque(1)
        .trailer()
        .inclusive();
    let codec = Envelope::<1, Crc32>::new(layout, 1000).unwrap();
    // 119 + 2 + 1 + 4 + 1 = 127; one more, and the length is of two bytes.
    for (payload, length) in [
        (119, &[127][..]),
        (120, &[0x81, 0x01]),
        (121, &[0x82, 0x01]),
    ] {
        let payload = Bytes::from(vec![b'x'; payload]);
        let mut wire = b"mm".to_vec();
        wire.extend(length);
        wire.push(b'o');
        wire.extend(&payload);
        wire.extend(Crc32::of(&wire));
        on_the_wire(&codec, &[item(b"o", payload)], &wire);
    }
}

#[test]
fn a_trailer_is_the_checksum_of_header_and_payload() {
    let mut wire = b"\xaa\x07\0\x03abc".to_vec();
    wire.extend(Crc32::of(&wire));
    let second = wire.len();
    wire.extend(b"\xaa\x08\0\0");
    wire.extend(Crc32::of(&wire[second..]));
    on_the_wire(&trailed(), &[item(&[7], "abc"), item(&[8], "")], &wire);
}

#[test]
fn an_inclusive_length_counts_the_trailer_too() {
    let layout = Layout::new().length(Length::U8).trailer().inclusive();
    let codec = Envelope::<0, Crc32>::new(layout, 100).unwrap();
    let mut wire = b"\x08abc".to_vec();
    wire.extend(Crc32::of(&wire));
    on_the_wire(&codec, &[item(&[], "abc")], &wire);
}

// What is refused.

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
fn room_for_a_large_frame_is_made_as_it_comes() {
    let mut src = BytesMut::from(&b"\xf9\xbe\xb4\xd9block\0\0\0\0\0\0\0\0\x09\x3d\0sum!"[..]);
    assert!(bitcoin().decode(&mut src).unwrap().is_none());
    assert!(
        (64 * 1024..65 * 1024).contains(&src.capacity()),
        "{}",
        src.capacity()
    );
}

#[test]
fn a_begun_frame_and_what_is_behind_it_stay_in_the_buffer() {
    let mut codec = trailed();
    let mut src = BytesMut::from(&b"\xaa\x07\0\x03abc\0\0\0"[..]);
    let before = src.clone();
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert_eq!(src, before);
    src.truncate(7);
    src.extend_from_slice(&Crc32::of(&before[..7]));
    src.extend_from_slice(b"\xaarest");
    assert_eq!(codec.decode(&mut src).unwrap(), Some(item(&[7], "abc")));
    assert_eq!(src, &b"\xaarest"[..]);
}

// What is no layout.

#[test]
fn a_layout_that_makes_no_sense_says_why() {
    fn why<const N: usize, K: Checksum>(layout: Layout) -> (LayoutError, String) {
        let error = Envelope::<N, K>::new(layout, 9).unwrap_err();
        let text = error.to_string();
        let text = text
            .strip_prefix("layout of an envelope: ")
            .unwrap()
            .to_owned();
        (error, text)
    }
    let length = || Layout::new().length(Length::U8);

    let (error, text) = why::<1, NoChecksum>(Layout::new().opaque(1));
    assert_eq!(error, LayoutError::NoLength);
    assert_eq!(text, "no length, expected one");

    let (error, text) = why::<0, NoChecksum>(length().length(Length::U16));
    assert_eq!(error, LayoutError::TwoLengths);
    assert_eq!(text, "more than one length, expected one");

    for layout in [
        length().checksum().checksum(),
        length().checksum().trailer(),
    ] {
        let (error, text) = why::<0, Crc32>(layout);
        assert_eq!(error, LayoutError::TwoChecksums);
        assert_eq!(text, "more than one checksum, expected one at most");
    }
    for layout in [length().checksum(), length().trailer()] {
        let (error, text) = why::<0, NoChecksum>(layout);
        assert_eq!(error, LayoutError::NoChecksumType);
        assert_eq!(text, "a checksum, but the codec's type names none");
    }
    let (error, text) = why::<0, Crc32>(length());
    assert_eq!(error, LayoutError::NoChecksumField);
    assert_eq!(text, "no checksum, but the codec's type names one");

    for layout in [
        length().trailer().opaque(1),
        length().opaque(1).trailer().trailer(),
    ] {
        let (error, text) = why::<1, Crc32>(layout);
        assert_eq!(error, LayoutError::BehindTrailer);
        assert_eq!(text, "a field behind the trailer, expected none");
    }
    let (error, text) = why::<4, NoChecksum>(length().opaque(2).opaque(3));
    assert_eq!(
        error,
        LayoutError::WrongOpaque {
            expected: 4,
            came: 5
        }
    );
    assert_eq!(
        text,
        "opaque fields of 5 bytes in all, but the codec's type says 4"
    );

    let (error, _) = why::<4, NoChecksum>(length().opaque(usize::MAX).opaque(5));
    assert_eq!(
        error,
        LayoutError::WrongOpaque {
            expected: 4,
            came: usize::MAX
        }
    );

    let (error, text) = why::<300, NoChecksum>(length().opaque(300).inclusive());
    assert_eq!(
        error,
        LayoutError::CountsTooMuch {
            counted: 301,
            most: 255
        }
    );
    assert_eq!(
        text,
        "the length counts 301 bytes beside the payload, expected at most 255, which is what it can say"
    );
    let (error, _) = why::<0, NoChecksum>(length().counting(256));
    assert_eq!(
        error,
        LayoutError::CountsTooMuch {
            counted: 256,
            most: 255
        }
    );
}

#[test]
fn layouts_can_be_compared_and_codecs_shown() {
    let layout = || Layout::new().magic("m").length(Length::U8);
    assert_eq!(layout(), layout());
    assert_ne!(layout(), layout().inclusive());
    fn is_debug(_: &impl Debug) {}
    is_debug(&bitcoin());
    assert!(format!("{:?}", bitcoin()).starts_with("Envelope"));
}

#[test]
fn an_error_of_the_transport_is_passed_on() {
    let error = EnvelopeError::from(io::Error::new(io::ErrorKind::ConnectionReset, "cable"));
    assert!(matches!(&error, EnvelopeError::Io(e) if e.kind() == io::ErrorKind::ConnectionReset));
    assert_eq!(error.to_string(), "cable");
    assert!(!error.is_recoverable());
    assert!(refused(&bitcoin(), b"x").source().is_none());
}
