//! Whichever of two codecs the remote speaks.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec, LinesCodec, LinesCodecError};
use wattle_codecs::{
    CodecExt, Either, EitherError, Length, MapIn, Prefixed, PrefixedError, Recoverable,
};

type Lines = MapIn<LinesCodec, fn(String) -> Bytes>;

fn lines(most: usize) -> Lines {
    LinesCodec::new_with_max_length(most).map_in(Bytes::from as fn(String) -> Bytes)
}

/// Frames of at most 64 KiB, or lines of at most 20 bytes.
fn codec() -> Either<Prefixed, Lines> {
    Prefixed::new(Length::U32, 64 * 1024).either(lines(20))
}

/// All items, and what is left.
#[expect(clippy::type_complexity, reason = "it is said once")]
fn feed<C: Decoder>(
    codec: &mut C,
    portions: &[&[u8]],
) -> (Vec<Result<C::Item, C::Error>>, BytesMut) {
    let mut src = BytesMut::new();
    let mut items = Vec::new();
    for portion in portions {
        src.extend_from_slice(portion);
        loop {
            match codec.decode(&mut src) {
                Ok(Some(item)) => items.push(Ok(item)),
                Ok(None) => break,
                Err(error) => {
                    items.push(Err(error));
                    return (items, src);
                }
            }
        }
    }
    (items, src)
}

#[test]
fn the_codec_that_yields_an_item_first_is_that_of_the_connection_at_every_split() {
    let frames = b"\0\0\0\x03pea\0\0\0\x04bean\0\0\0";
    let text = b"pea\nbean\r\nca";
    for (wire, left, rest) in [(&frames[..], true, &b"\0\0\0"[..]), (text, false, b"ca")] {
        for split in 0..=wire.len() {
            let mut codec = codec();
            assert!(!codec.is_decided());
            let (items, src) = feed(&mut codec, &[&wire[..split], &wire[split..]]);
            let items: Vec<_> = items.into_iter().map(Result::unwrap).collect();
            assert_eq!(items, ["pea", "bean"], "split at {split}");
            assert_eq!(src, rest);
            assert!(codec.is_decided());
            assert_eq!(codec.as_left().is_some(), left);
            assert_eq!(codec.as_right().is_some(), !left);
        }
        let bytes: Vec<_> = wire.chunks(1).collect();
        let (items, src) = feed(&mut codec(), &bytes);
        assert_eq!((items.len(), &src[..]), (2, rest));
    }
}

#[test]
fn a_winner_that_consumed_bytes_before_its_first_item_goes_on_behind_them() {
    // LengthDelimitedCodec consumes the length, long before the payload is there.
    let mut codec = LengthDelimitedCodec::new()
        .map_in(BytesMut::freeze)
        .either(lines(100));
    let bytes: Vec<_> = b"\0\0\0\x03pea\0\0\0\x03pod\0".chunks(1).collect();
    let (items, src) = feed(&mut codec, &bytes);
    let items: Vec<_> = items.into_iter().map(Result::unwrap).collect();
    assert_eq!(items, ["pea", "pod"]);
    assert_eq!(src, b"\0"[..]);
}

#[test]
fn a_winner_whose_rival_consumed_bytes_finds_them_all() {
    // As a length, "\0\0\0\x0a" is ten: the frames' codec takes it and waits.
    let mut codec = lines(100).either(LengthDelimitedCodec::new().map_in(BytesMut::freeze));
    let (items, src) = feed(&mut codec, &[b"\0\0", b"\0", b"\n", b"pea\nbe"]);
    let items: Vec<_> = items.into_iter().map(Result::unwrap).collect();
    assert_eq!(items, ["\0\0\0", "pea"]);
    assert_eq!(src, "be");
    assert!(codec.as_right().is_none());
}

#[test]
fn of_two_items_of_the_same_bytes_the_first_codecs_is_taken() {
    let upper = |line: Bytes| Bytes::from(line.to_ascii_uppercase());
    let mut codec = lines(20).either(lines(20).map_in(upper));
    let mut src = BytesMut::from("pea\npod\n");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "pea");
    assert_eq!(src, "pod\n");
    assert!(codec.as_left().is_some() && codec.as_right().is_none());
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "pod");
}

#[test]
fn of_two_items_of_different_bytes_it_is_the_one_that_ends_first_at_every_split() {
    // A line of 4 bytes, which is a frame of 8 bytes as well.
    let wire = b"\x07pe\ncan\n";
    let both = || Prefixed::new(Length::U8, 100).either(lines(100));
    let other = || lines(100).either(Prefixed::new(Length::U8, 100));
    for split in 0..=wire.len() {
        let portions = [&wire[..split], &wire[split..]];
        let (items, _) = feed(&mut both(), &portions);
        assert_eq!(items[0].as_ref().unwrap(), "\x07pe", "split at {split}");
        let (items, _) = feed(&mut other(), &portions);
        assert_eq!(items[0].as_ref().unwrap(), "\x07pe", "split at {split}");
    }
}

#[test]
fn one_that_errs_is_out_and_the_other_alone_decodes_the_buffer_itself() {
    let mut codec = codec();
    let mut src = BytesMut::from("pea");
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert!(codec.as_left().is_some());
    src.extend_from_slice(b"s"); // a length of 1.9 billion
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert!(codec.as_left().is_none() && codec.as_right().is_some());
    assert!(!codec.is_decided());
    assert_eq!(src, "peas");
    src.extend_from_slice(b"\n");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "peas");
    assert!(codec.is_decided());
}

#[test]
fn what_is_neither_is_an_error_with_both_errors() {
    // One after the other, and both at once.
    let wire = b"a line that has more than twenty bytes";
    for portions in [
        vec![&wire[..5], &wire[5..]],
        vec![&wire[..]],
        wire.chunks(1).collect(),
    ] {
        let (mut items, _) = feed(&mut codec(), &portions);
        let error = items.remove(0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected one of two codecs, what came is neither: \
             frame at byte 0: length 1629514857, expected at most 65536 bytes of payload; \
             max line length exceeded"
        );
        assert!(!error.is_recoverable());
        assert!(matches!(
            error,
            EitherError::Neither {
                left: PrefixedError::TooLong { at: 0, .. },
                right: LinesCodecError::MaxLineLengthExceeded
            }
        ));
    }
}

#[test]
fn the_same_with_left_and_right_exchanged() {
    let wire = b"a line that has more than twenty bytes";
    for portions in [vec![&wire[..5], &wire[5..]], vec![&wire[..]]] {
        let mut codec = lines(20).either(Prefixed::new(Length::U32, 1024));
        let (mut items, _) = feed(&mut codec, &portions);
        let error = items.remove(0).unwrap_err();
        assert!(matches!(
            error,
            EitherError::Neither {
                left: LinesCodecError::MaxLineLengthExceeded,
                right: PrefixedError::TooLong { .. },
            }
        ));
    }
}

#[test]
fn once_decided_an_error_is_the_codecs_own() {
    let wire = b"\0\0\0\x03pea\xff\xff\xff\xff";
    let (items, _) = feed(&mut codec(), &[wire]);
    let error = items.into_iter().nth(1).unwrap().unwrap_err();
    assert!(matches!(
        error,
        EitherError::Left(PrefixedError::TooLong { at: 7, .. })
    ));
    assert!(!error.is_recoverable());

    let mut codec = codec();
    let mut src = BytesMut::from("pea\nmore than twenty bytes of it\nbean\n");
    assert!(codec.decode(&mut src).unwrap().is_some());
    let error = codec.decode(&mut src).unwrap_err();
    assert!(error.is_recoverable());
    assert_eq!(error.to_string(), "max line length exceeded");
    assert!(matches!(error, EitherError::Right(_)));
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "bean");
}

#[test]
fn the_end_of_the_stream_decides_as_well() {
    assert!(codec().decode_eof(&mut BytesMut::new()).unwrap().is_none());

    let mut lines_at_last = codec();
    let mut src = BytesMut::from("pe");
    assert!(lines_at_last.decode(&mut src).unwrap().is_none());
    src.extend_from_slice(b"a");
    assert_eq!(lines_at_last.decode_eof(&mut src).unwrap().unwrap(), "pea");
    assert!(lines_at_last.decode_eof(&mut src).unwrap().is_none());
    assert!(lines_at_last.as_right().is_some() && lines_at_last.is_decided());

    let mut two = Prefixed::new(Length::U8, 9).either(Prefixed::new(Length::U16, 9));
    let error = two.decode_eof(&mut "\0".into()).unwrap();
    assert_eq!(error, Some(Bytes::new()));
    let mut two = Prefixed::new(Length::U8, 9).either(Prefixed::new(Length::U16Le, 9));
    let error = two.decode_eof(&mut "\x05\0p".into()).unwrap_err();
    assert!(matches!(
        error,
        EitherError::Neither {
            left: PrefixedError::Truncated { came: 3, .. },
            right: PrefixedError::Truncated { came: 3, .. }
        }
    ));
}

/// Skips everything up to a `!`, and never errs.
#[derive(Debug, Clone)]
struct Skip(u8);

impl Decoder for Skip {
    type Item = u64;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<u64>> {
        let found = src.iter().position(|&byte| byte == self.0);
        src.advance(found.map_or(src.len(), |at| at + 1));
        Ok(found.map(|at| at as u64))
    }
}

#[test]
fn what_neither_needs_any_more_is_gone_from_the_buffer() {
    let mut codec = Skip(b'!').either(Skip(b'?'));
    let mut src = BytesMut::new();
    for _ in 0..100 {
        src.extend_from_slice(&[b'x'; 1000]);
        assert!(codec.decode(&mut src).unwrap().is_none());
        assert!(src.is_empty());
    }
    src.extend_from_slice(b"xx?x!");
    assert_eq!(codec.decode(&mut src).unwrap(), Some(2));
    assert_eq!(src, "x!");
    assert!(codec.as_left().is_none());
}

#[test]
fn asking_again_without_new_bytes_changes_nothing() {
    let mut codec = codec();
    let mut src = BytesMut::from("\0\0");
    for _ in 0..10 {
        assert!(codec.decode(&mut src).unwrap().is_none());
        // The caller may hand in another buffer with the same content.
        src = BytesMut::from(&src[..]);
    }
    src.extend_from_slice(b"\0\x01x");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "x");
    assert!(src.is_empty());
}

#[test]
fn sent_before_a_decision_is_in_the_first_codec_then_in_the_right_one() {
    let mut codec = Prefixed::new(Length::U32, 1024)
        .either(lines(20).map_out(|item: Bytes| String::from_utf8_lossy(&item).into_owned()));
    let mut dst = BytesMut::new();
    codec.encode(Bytes::from("pea"), &mut dst).unwrap();
    assert_eq!(dst.split(), "\0\0\0\x03pea");
    let mut src = BytesMut::from("GET ");
    assert!(codec.decode(&mut src).unwrap().is_none());
    codec.encode(Bytes::from("pea"), &mut dst).unwrap();
    assert_eq!(dst.split(), "pea\n", "the frames are out already");
    src.extend_from_slice(b"/\n");
    codec.decode(&mut src).unwrap();
    codec.encode(Bytes::from("pea"), &mut dst).unwrap();
    assert_eq!(dst.split(), "pea\n");

    let mut narrow = Prefixed::new(Length::U32, 2).either(Prefixed::new(Length::U8, 2));
    let error = narrow.encode(Bytes::from("pea"), &mut dst).unwrap_err();
    assert!(matches!(
        error,
        EitherError::Left(PrefixedError::UnencodablyLong { .. })
    ));
    assert!(dst.is_empty());
}

#[test]
fn a_choice_made_before_is_kept() {
    let mut left: Either<_, Prefixed> = Either::left(Prefixed::new(Length::U8, 9));
    let mut right: Either<Prefixed, _> = Either::right(Prefixed::new(Length::U16, 9));
    assert!(left.is_decided() && right.is_decided());
    assert!(left.as_right().is_none() && right.as_left().is_none());
    let mut dst = BytesMut::new();
    left.encode(Bytes::from("a"), &mut dst).unwrap();
    right.encode(Bytes::from("b"), &mut dst).unwrap();
    assert_eq!(&dst[..], b"\x01a\0\x01b");
    assert_eq!(left.decode(&mut dst).unwrap().unwrap(), "a");
    assert_eq!(right.decode(&mut dst).unwrap().unwrap(), "b");
    assert!(matches!(
        right.decode(&mut "ab".into()),
        Err(EitherError::Right(PrefixedError::TooLong { at: 3, .. }))
    ));
    assert!(matches!(right.into_inner(), (None, Some(_))));
}

#[test]
fn it_clones_and_the_parts_can_be_reached() {
    let mut codec = codec();
    *codec.as_left_mut().unwrap() = Prefixed::new(Length::U8, 9);
    assert!(codec.as_right_mut().is_some());
    let mut src = BytesMut::from("\x03p");
    assert!(codec.decode(&mut src).unwrap().is_none());
    let mut clone = codec.clone();
    src.extend_from_slice(b"ea");
    assert_eq!(clone.decode(&mut src.clone()).unwrap().unwrap(), "pea");
    assert!(!codec.is_decided());
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "pea");
    assert!(format!("{codec:?}").starts_with("Either { left: Some(Prefixed"));
    let io = EitherError::<PrefixedError, PrefixedError>::from(io::Error::other("pea"));
    assert_eq!(io.to_string(), "pea");
    assert!(!io.is_recoverable());
}
