//! Frames of one size.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{Fixed, FixedError, Recoverable};

#[test]
fn the_wire_is_the_payloads_and_nothing_else() {
    let mut codec = Fixed::new(3);
    let mut wire = BytesMut::from("before");
    for payload in ["abc", "def"] {
        codec.encode(Bytes::from(payload), &mut wire).unwrap();
    }
    assert_eq!(wire, "beforeabcdef");
}

#[test]
fn every_split_of_the_stream_decodes_the_same() {
    for step in 1..=9 {
        let (mut codec, mut src, mut decoded) = (Fixed::new(3), BytesMut::new(), Vec::new());
        for piece in b"abcdefghi".chunks(step) {
            src.extend_from_slice(piece);
            while let Some(frame) = codec.decode(&mut src).unwrap() {
                decoded.push(frame);
            }
            assert!(src.len() < 3);
        }
        assert_eq!(decoded, ["abc", "def", "ghi"], "{step} bytes at a time");
        assert!(codec.decode_eof(&mut src).unwrap().is_none());
    }
}

#[test]
fn a_frame_of_one_byte_is_the_smallest() {
    let mut src = BytesMut::from("a");
    assert_eq!(Fixed::new(1).decode(&mut src).unwrap().unwrap(), "a");
    assert!(Fixed::new(1).decode(&mut src).unwrap().is_none());
}

#[test]
#[should_panic = "a frame of a fixed size has at least one byte"]
fn a_size_of_nothing_panics() {
    Fixed::new(0);
}

#[test]
fn a_payload_of_another_size_is_refused_and_nothing_written() {
    for payload in ["", "ab", "abcd"] {
        let mut dst = BytesMut::from("before");
        let error = Fixed::new(3).encode(payload.into(), &mut dst).unwrap_err();
        assert!(
            matches!(error, FixedError::WrongSize { expected: 3, came } if came == payload.len())
        );
        assert_eq!(dst, "before");
        let text = format!("a payload of {} bytes to send, expected 3", payload.len());
        assert_eq!(error.to_string(), text);
        assert!(!error.is_recoverable());
    }
}

#[test]
fn the_end_of_the_stream_inside_a_frame_is_an_error() {
    let (mut codec, mut src) = (Fixed::new(3), BytesMut::from("abcdefgh"));
    assert_eq!(codec.decode_eof(&mut src).unwrap().unwrap(), "abc");
    assert_eq!(codec.decode_eof(&mut src).unwrap().unwrap(), "def");
    let error = codec.decode_eof(&mut src).unwrap_err();
    assert!(matches!(
        error,
        FixedError::Truncated {
            expected: 3,
            came: 2,
            at: 6
        }
    ));
    assert_eq!(
        error.to_string(),
        "frame at byte 6: the stream ended after 2 bytes of it, expected 3"
    );
    assert!(!error.is_recoverable());
}

#[test]
fn room_for_a_large_frame_is_made_as_it_comes() {
    let (mut codec, mut src) = (Fixed::new(8 * 1024 * 1024), BytesMut::from("a"));
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert!(
        (64 * 1024..65 * 1024).contains(&src.capacity()),
        "{}",
        src.capacity()
    );

    // While there is no frame, there is no room for one.
    let (mut codec, mut src) = (Fixed::new(10_000), BytesMut::new());
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert_eq!(src.capacity(), 0);
    src.extend_from_slice(b"a");
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert!(
        (10_000..10_100).contains(&src.capacity()),
        "{}",
        src.capacity()
    );
}

#[test]
fn an_error_of_the_transport_is_passed_on() {
    let error = FixedError::from(io::Error::new(io::ErrorKind::ConnectionReset, "cable"));
    assert!(matches!(&error, FixedError::Io(e) if e.kind() == io::ErrorKind::ConnectionReset));
    assert_eq!(error.to_string(), "cable");
    assert!(!error.is_recoverable());
}
