//! Frames with their length in front: the bytes on the wire, the caps, the memory, the errors.

use std::{error::Error, io};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{Length, Prefixed, PrefixedError, Recoverable};

const MIB: usize = 1024 * 1024;

/// The most that is reserved for a frame of which almost nothing has come.
const ROOM_AHEAD: usize = 64 * 1024;

fn encoded(codec: &mut Prefixed, payload: impl Into<Bytes>) -> BytesMut {
    let mut wire = BytesMut::new();
    codec.encode(payload.into(), &mut wire).unwrap();
    wire
}

fn zeros(len: usize) -> Bytes {
    Bytes::from(vec![0; len])
}

/// The one error that these bytes are met with, and its text.
fn refused(mut codec: Prefixed, wire: &[u8]) -> (PrefixedError, String) {
    let error = codec.decode(&mut BytesMut::from(wire)).unwrap_err();
    let text = error.to_string();
    (error, text)
}

#[test]
fn the_length_stands_in_front_in_every_width_and_order() {
    let expected: [(Length, &[u8]); 10] = [
        (Length::U8, b"\x03abc"),
        (Length::U16, b"\0\x03abc"),
        (Length::U16Le, b"\x03\0abc"),
        (Length::U24, b"\0\0\x03abc"),
        (Length::U24Le, b"\x03\0\0abc"),
        (Length::U32, b"\0\0\0\x03abc"),
        (Length::U32Le, b"\x03\0\0\0abc"),
        (Length::U64, b"\0\0\0\0\0\0\0\x03abc"),
        (Length::U64Le, b"\x03\0\0\0\0\0\0\0abc"),
        (Length::Varint, b"\x03abc"),
    ];
    for (length, wire) in expected {
        let mut codec = Prefixed::new(length, 10);
        assert_eq!(encoded(&mut codec, "abc"), wire, "{length:?}");
        let mut src = BytesMut::from(wire);
        assert_eq!(
            codec.decode(&mut src).unwrap().unwrap(),
            "abc",
            "{length:?}"
        );
        assert!(src.is_empty());
    }
}

#[test]
fn a_length_of_two_bytes_has_them_in_the_right_order() {
    let wire = |length| encoded(&mut Prefixed::new(length, 1000), zeros(0x0102));
    assert_eq!(wire(Length::U16)[..2], [1, 2]);
    assert_eq!(wire(Length::U16Le)[..2], [2, 1]);
    assert_eq!(wire(Length::U24)[..3], [0, 1, 2]);
    assert_eq!(wire(Length::U24Le)[..3], [2, 1, 0]);
    assert_eq!(wire(Length::U32)[..4], [0, 0, 1, 2]);
    assert_eq!(wire(Length::U32Le)[..4], [2, 1, 0, 0]);
    assert_eq!(wire(Length::Varint)[..2], [0x82, 0x02]);
}

#[test]
fn an_inclusive_length_counts_its_own_bytes() {
    let expected: [(Length, &[u8]); 10] = [
        (Length::U8, b"\x04abc"),
        (Length::U16, b"\0\x05abc"),
        (Length::U16Le, b"\x05\0abc"),
        (Length::U24, b"\0\0\x06abc"),
        (Length::U24Le, b"\x06\0\0abc"),
        (Length::U32, b"\0\0\0\x07abc"),
        (Length::U32Le, b"\x07\0\0\0abc"),
        (Length::U64, b"\0\0\0\0\0\0\0\x0babc"),
        (Length::U64Le, b"\x0b\0\0\0\0\0\0\0abc"),
        (Length::Varint, b"\x04abc"),
    ];
    for (length, wire) in expected {
        let mut codec = Prefixed::new(length, 10).inclusive();
        assert_eq!(encoded(&mut codec, "abc"), wire, "{length:?}");
        let mut src = BytesMut::from(wire);
        assert_eq!(
            codec.decode(&mut src).unwrap().unwrap(),
            "abc",
            "{length:?}"
        );
    }
}

#[test]
fn an_inclusive_varint_that_grows_by_counting_itself_says_its_new_size() {
    let mut codec = Prefixed::new(Length::Varint, 20_000).inclusive();
    // From 127 on (and from 16,382) one more byte of payload makes the length itself longer.
    let expected: [(usize, &[u8]); 11] = [
        (125, &[126]),
        (126, &[127]),
        (127, &[0x81, 0x01]),
        (128, &[0x82, 0x01]),
        (129, &[0x83, 0x01]),
        (16_380, &[0xfe, 0x7f]),
        (16_381, &[0xff, 0x7f]),
        (16_382, &[0x81, 0x80, 0x01]),
        (16_383, &[0x82, 0x80, 0x01]),
        (16_384, &[0x83, 0x80, 0x01]),
        (16_386, &[0x85, 0x80, 0x01]),
    ];
    for (payload, prefix) in expected {
        let mut wire = encoded(&mut codec, zeros(payload));
        assert_eq!(&wire[..prefix.len()], prefix, "{payload}");
        assert_eq!(wire.len(), prefix.len() + payload);
        assert_eq!(codec.decode(&mut wire).unwrap().unwrap().len(), payload);
        assert!(wire.is_empty(), "{payload}");
    }
}

#[test]
fn an_inclusive_varint_that_is_padded_counts_the_bytes_that_it_takes() {
    let mut codec = Prefixed::new(Length::Varint, 10).inclusive();
    let mut src = BytesMut::from(&b"\x85\x80\x00abrest"[..]);
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "ab");
    assert_eq!(src, "rest");
}

#[test]
fn every_split_of_the_stream_decodes_the_same() {
    let payloads = [
        zeros(0),
        zeros(1),
        Bytes::from("abc"),
        zeros(200),
        zeros(0),
        zeros(130),
    ];
    for length in Length::ALL {
        for codec in [
            Prefixed::new(length, 200),
            Prefixed::new(length, 200).inclusive(),
        ] {
            let mut wire = BytesMut::new();
            for payload in &payloads {
                codec.clone().encode(payload.clone(), &mut wire).unwrap();
            }
            for step in [1, 2, 3, 7, 64, wire.len()] {
                let mut codec = codec.clone();
                let (mut src, mut decoded) = (BytesMut::new(), Vec::new());
                for piece in wire.chunks(step) {
                    src.extend_from_slice(piece);
                    while let Some(frame) = codec.decode(&mut src).unwrap() {
                        decoded.push(frame);
                    }
                }
                assert_eq!(decoded, payloads, "{codec:?}, {step} bytes at a time");
                assert!(src.is_empty());
                assert!(codec.decode_eof(&mut src).unwrap().is_none());
            }
        }
    }
}

#[test]
fn a_begun_frame_stays_in_the_buffer_until_all_of_it_is_there() {
    let mut codec = Prefixed::new(Length::U16, 10);
    let mut src = BytesMut::from(&b"\0\x03ab"[..]);
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert_eq!(src, &b"\0\x03ab"[..]);
    src.extend_from_slice(b"c\0");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "abc");
    assert_eq!(src, &b"\0"[..]);
}

#[test]
fn encoding_appends_and_leaves_what_is_there_alone() {
    let mut codec = Prefixed::new(Length::U8, 10);
    let mut dst = BytesMut::from("before");
    codec.encode(Bytes::from("abc"), &mut dst).unwrap();
    assert_eq!(dst, "before\x03abc");
}

#[test]
fn a_payload_of_the_cap_passes_and_one_byte_more_is_refused_in_both_directions() {
    for length in Length::ALL {
        for inclusive in [false, true] {
            let codec = |most| {
                let codec = Prefixed::new(length, most);
                if inclusive { codec.inclusive() } else { codec }
            };
            let mut wire = encoded(&mut codec(100), zeros(100));
            assert_eq!(codec(100).decode(&mut wire).unwrap().unwrap().len(), 100);

            let mut larger = encoded(&mut codec(101), zeros(101));
            let error = codec(100).decode(&mut larger).unwrap_err();
            assert!(
                matches!(
                    error,
                    PrefixedError::TooLong {
                        most: 100,
                        at: 0,
                        ..
                    }
                ),
                "{error:?}"
            );
            let mut dst = BytesMut::from("before");
            let error = codec(100).encode(zeros(101), &mut dst).unwrap_err();
            assert!(
                matches!(
                    error,
                    PrefixedError::UnencodablyLong {
                        len: 101,
                        most: 100
                    }
                ),
                "{error:?}"
            );
            assert_eq!(dst, "before");
        }
    }
}

#[test]
fn a_cap_beyond_what_the_length_can_say_is_what_it_can_say() {
    let most = |codec: Prefixed, len: usize| {
        let mut codec = codec;
        assert_eq!(encoded(&mut codec, zeros(len)).len(), len + 1);
        match codec.encode(zeros(len + 1), &mut BytesMut::new()) {
            Err(PrefixedError::UnencodablyLong { most, .. }) => most,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(most(Prefixed::new(Length::U8, usize::MAX), 255), 255);
    assert_eq!(
        most(Prefixed::new(Length::U8, usize::MAX).inclusive(), 254),
        254
    );
    let mut two = Prefixed::new(Length::U16Le, 70_000).inclusive();
    assert!(two.encode(zeros(65_533), &mut BytesMut::new()).is_ok());
    let error = two.encode(zeros(65_534), &mut BytesMut::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a payload of 65534 bytes to send, expected at most 65533"
    );
}

#[test]
fn a_cap_of_nothing_passes_empty_frames_alone() {
    let mut codec = Prefixed::new(Length::U8, 0);
    assert_eq!(
        codec
            .decode(&mut BytesMut::from(&b"\0"[..]))
            .unwrap()
            .unwrap(),
        ""
    );
    let (_, text) = refused(Prefixed::new(Length::U8, 0), b"\x01");
    assert_eq!(
        text,
        "frame at byte 0: length 1, expected at most 0 bytes of payload"
    );
}

#[test]
fn the_largest_announcement_overflows_nothing() {
    for codec in [
        Prefixed::new(Length::U64, usize::MAX),
        Prefixed::new(Length::U64, usize::MAX).inclusive(),
    ] {
        let mut codec = codec;
        let mut src = BytesMut::from(&[0xff; 8][..]);
        assert!(codec.decode(&mut src).unwrap().is_none());
        assert!(src.capacity() <= ROOM_AHEAD + 64);
    }
}

#[test]
fn a_frame_announced_at_the_cap_reserves_little_until_it_comes() {
    let mut codec = Prefixed::new(Length::U32, 8 * MIB);
    let mut src = BytesMut::with_capacity(16);
    src.extend_from_slice(&(8 * MIB as u32).to_be_bytes());
    src.extend_from_slice(&[0; 10]);
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert!(
        (ROOM_AHEAD..=ROOM_AHEAD + 64).contains(&src.capacity()),
        "{}",
        src.capacity()
    );
}

#[test]
fn memory_doubles_as_the_bytes_come() {
    const LEN: usize = 8 * MIB;
    let mut codec = Prefixed::new(Length::U32, LEN);
    let wire = encoded(&mut codec, zeros(LEN));
    let (mut src, mut moves) = (BytesMut::new(), 0);
    for piece in wire.chunks(1000) {
        let before = src.capacity();
        src.extend_from_slice(piece);
        if let Some(frame) = codec.decode(&mut src).unwrap() {
            assert_eq!(frame.len(), LEN);
            assert!(moves <= 10, "moved {moves} times");
            return;
        }
        assert!(
            src.capacity() <= (2 * src.len()).max(ROOM_AHEAD) + 4096,
            "{}",
            src.capacity()
        );
        moves += usize::from(src.capacity() != before);
    }
    panic!("no frame");
}

#[test]
fn a_full_buffer_gets_room_for_as_much_again_but_not_beyond_the_frame() {
    let room = |announced: usize| {
        let mut codec = Prefixed::new(Length::U32, MIB);
        let mut src = BytesMut::with_capacity(ROOM_AHEAD);
        src.extend_from_slice(&(announced as u32).to_be_bytes());
        src.resize(ROOM_AHEAD, 0);
        assert_eq!(src.capacity(), src.len());
        assert!(codec.decode(&mut src).unwrap().is_none());
        src.capacity()
    };
    assert_eq!(room(MIB), 2 * ROOM_AHEAD);
    assert!(room(ROOM_AHEAD) <= 2 * ROOM_AHEAD);
}

#[test]
fn a_frame_that_is_small_gets_all_of_its_room_at_once() {
    let mut codec = Prefixed::new(Length::U32, MIB);
    let mut src = BytesMut::with_capacity(4);
    src.extend_from_slice(&10_000_u32.to_be_bytes());
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert!(
        (10_004..=10_100).contains(&src.capacity()),
        "{}",
        src.capacity()
    );
}

#[test]
fn a_frame_beyond_the_cap_is_refused_by_its_length_alone() {
    let (error, text) = refused(Prefixed::new(Length::U16, 100), &[1, 0]);
    assert!(matches!(
        error,
        PrefixedError::TooLong {
            announced: 256,
            most: 100,
            at: 0
        }
    ));
    assert_eq!(
        text,
        "frame at byte 0: length 256, expected at most 100 bytes of payload"
    );
    assert!(!error.is_recoverable());
}

#[test]
fn an_inclusive_length_may_not_be_less_than_its_own_size() {
    let codec = Prefixed::new(Length::U32Le, 100).inclusive();
    let (error, text) = refused(codec.clone(), &[3, 0, 0, 0]);
    assert!(matches!(
        error,
        PrefixedError::TooShort {
            announced: 3,
            least: 4,
            at: 0
        }
    ));
    assert_eq!(text, "frame at byte 0: length 3, expected at least 4");
    assert!(!error.is_recoverable());

    let mut empty = BytesMut::from(&[4, 0, 0, 0][..]);
    assert_eq!(codec.clone().decode(&mut empty).unwrap().unwrap(), "");
}

#[test]
fn a_varint_without_an_end_is_refused_at_its_tenth_byte() {
    let mut codec = Prefixed::new(Length::Varint, 100);
    assert!(
        codec
            .decode(&mut BytesMut::from(&[0xff; 9][..]))
            .unwrap()
            .is_none()
    );
    let (error, text) = refused(codec, &[0xff; 10]);
    assert!(matches!(error, PrefixedError::Overlong { at: 0 }));
    assert_eq!(
        text,
        "frame at byte 0: the length is a varint of more than 64 bits or 10 bytes"
    );
    assert!(!error.is_recoverable());
}

#[test]
fn errors_say_where_in_the_stream_the_frame_begins() {
    let mut src = BytesMut::from(&b"\x03abc\x00\x01d"[..]);
    let mut codec = Prefixed::new(Length::Varint, 3);
    for _ in 0..3 {
        assert!(codec.decode(&mut src).unwrap().is_some());
    }
    let at = |wire: &[u8]| match refused(codec.clone(), wire).0 {
        PrefixedError::TooLong { at, .. } | PrefixedError::Overlong { at } => at,
        other => panic!("{other:?}"),
    };
    assert_eq!(at(&[4]), 7);
    assert_eq!(at(&[0x80; 10]), 7);
}

#[test]
fn a_codec_that_has_refused_a_frame_refuses_it_again() {
    let mut codec = Prefixed::new(Length::U8, 3);
    let mut src = BytesMut::from(&b"\x04abcd\x01a"[..]);
    for _ in 0..3 {
        let error = codec.decode(&mut src).unwrap_err();
        assert!(matches!(
            error,
            PrefixedError::TooLong {
                announced: 4,
                most: 3,
                at: 0
            }
        ));
    }
    assert_eq!(src.len(), 7);
}

#[test]
fn the_end_of_the_stream_inside_a_frame_is_an_error_and_between_two_it_is_not() {
    let mut codec = Prefixed::new(Length::U16, 10);
    let mut src = BytesMut::from(&b"\0\x03abc\0\x02d"[..]);
    assert_eq!(codec.decode_eof(&mut src).unwrap().unwrap(), "abc");
    let error = codec.decode_eof(&mut src).unwrap_err();
    assert!(
        matches!(
            error,
            PrefixedError::Truncated {
                came: 3,
                least: 4,
                at: 5
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "frame at byte 5: the stream ended after 3 bytes of it, expected at least 4"
    );
    assert!(!error.is_recoverable());

    let mut half_a_length = BytesMut::from(&b"\0"[..]);
    let error = codec.decode_eof(&mut half_a_length).unwrap_err();
    assert!(matches!(
        error,
        PrefixedError::Truncated {
            came: 1,
            least: 2,
            at: 5
        }
    ));

    let least = |codec: Prefixed, mut src: BytesMut| match codec.clone().decode_eof(&mut src) {
        Err(PrefixedError::Truncated { least, .. }) => least,
        other => panic!("{other:?}"),
    };
    let inclusive = Prefixed::new(Length::U16, 10).inclusive();
    assert_eq!(least(inclusive, b"\0\x06a"[..].into()), 6);
    let varint = Prefixed::new(Length::Varint, 300);
    assert_eq!(least(varint.clone(), b"\xac"[..].into()), 2);
    assert_eq!(least(varint, b"\xac\x02ab"[..].into()), 302);

    assert!(codec.decode_eof(&mut BytesMut::new()).unwrap().is_none());
}

#[test]
fn an_error_of_the_transport_is_passed_on() {
    let error = PrefixedError::from(io::Error::new(io::ErrorKind::ConnectionReset, "cable"));
    assert!(matches!(&error, PrefixedError::Io(e) if e.kind() == io::ErrorKind::ConnectionReset));
    assert_eq!(error.to_string(), "cable");
    assert!(!error.is_recoverable());
    assert!(
        refused(Prefixed::new(Length::U8, 0), &[1])
            .0
            .source()
            .is_none()
    );
}
