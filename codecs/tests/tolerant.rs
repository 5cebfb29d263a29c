//! Going on after a bad frame.

use std::io;

use bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder, LinesCodec, LinesCodecError};
use wattle_codecs::{
    CheckedError, CodecExt, Crc32, Length, Prefixed, PrefixedError, Recoverable, TolerantError,
};

const GOOD: &[u8] = b"\x0d123456789\xcb\xf4\x39\x26";
const BAD: &[u8] = b"\x0d123456789\xcb\xf4\x39\x27";

fn frames() -> impl Decoder<
    Item = Result<bytes::Bytes, CheckedError<PrefixedError>>,
    Error = TolerantError<CheckedError<PrefixedError>>,
> {
    Prefixed::new(Length::U8, 100)
        .checked::<Crc32>()
        .tolerant(2)
}

/// G for a good frame, b for a bad one, and at last what ended it.
fn pattern<C, T, E, X>(codec: &mut C, src: &mut BytesMut) -> (String, Option<X>)
where
    C: Decoder<Item = Result<T, E>, Error = X>,
{
    let mut seen = String::new();
    loop {
        match codec.decode(src) {
            Ok(Some(item)) => seen.push(if item.is_ok() { 'G' } else { 'b' }),
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

#[test]
fn a_bad_frame_is_an_item_that_says_what_is_wrong_and_the_next_one_is_decoded() {
    let mut codec = frames();
    let mut src = BytesMut::from(&[BAD, GOOD].concat()[..]);
    let bad = codec.decode(&mut src).unwrap().unwrap().unwrap_err();
    assert!(matches!(bad, CheckedError::Mismatch { at: 0, .. }));
    let good = codec.decode(&mut src).unwrap().unwrap().unwrap();
    assert_eq!(good, "123456789");
    assert!(codec.decode(&mut src).unwrap().is_none());
}

#[test]
fn as_many_in_a_row_as_were_allowed_and_not_one_more() {
    let mut src = BytesMut::from(&[GOOD, BAD, BAD, GOOD, BAD, BAD, BAD, GOOD].concat()[..]);
    let (seen, error) = pattern(&mut frames(), &mut src);
    assert_eq!(seen, "GbbGbb");
    let error = error.unwrap();
    assert_eq!(
        error.to_string(),
        "3 bad frames in a row, expected at most 2; the last one: \
         frame at byte 84: checksum cbf43927, expected cbf43926"
    );
    assert!(!error.is_recoverable());
    assert!(matches!(
        error,
        TolerantError::TooMany {
            in_row: 3,
            last: CheckedError::Mismatch { at: 84, .. }
        }
    ));
}

#[test]
fn the_count_holds_at_every_split() {
    let wire = [BAD, BAD, GOOD, BAD, BAD, BAD].concat();
    let mut codec = frames();
    let mut src = BytesMut::new();
    let mut all = String::new();
    for byte in wire {
        src.extend_from_slice(&[byte]);
        let (seen, error) = pattern(&mut codec, &mut src);
        all += &seen;
        if error.is_some() {
            assert_eq!(all, "bbGbb");
            return;
        }
    }
    panic!("no error");
}

#[test]
fn no_tolerance_at_all_is_possible() {
    let mut codec = Prefixed::new(Length::U8, 100)
        .checked::<Crc32>()
        .tolerant(0);
    let (seen, error) = pattern(&mut codec, &mut BytesMut::from(&[GOOD, BAD].concat()[..]));
    assert_eq!(seen, "G");
    assert!(matches!(
        error,
        Some(TolerantError::TooMany { in_row: 1, .. })
    ));
}

#[test]
fn what_the_framing_does_not_survive_is_an_error_at_once() {
    let mut src = BytesMut::from(&[BAD, &b"\xff"[..]].concat()[..]);
    let (seen, error) = pattern(&mut frames(), &mut src);
    assert_eq!(seen, "b");
    let error = error.unwrap();
    assert!(matches!(
        error,
        TolerantError::Codec(CheckedError::Codec(PrefixedError::TooLong {
            announced: 255,
            ..
        }))
    ));
    assert_eq!(
        error.to_string(),
        "frame at byte 14: length 255, expected at most 100 bytes of payload"
    );
}

#[test]
fn overlong_lines_are_skipped() {
    let mut codec = LinesCodec::new_with_max_length(5).tolerant(1);
    let mut src = BytesMut::from("pea\nartichokes\nbean\nartichokes and");
    let (seen, error) = pattern(&mut codec, &mut src);
    assert_eq!(seen, "GbGb");
    assert!(error.is_none());
    src.extend_from_slice(b" more\npod");
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert_eq!(codec.decode_eof(&mut src).unwrap().unwrap().unwrap(), "pod");
    assert!(codec.decode_eof(&mut src).unwrap().is_none());
}

#[test]
fn bad_frames_at_the_end_of_the_stream_are_items_too() {
    let mut codec = frames();
    let mut src = BytesMut::from(&[BAD, GOOD, &b"\x0d12"[..]].concat()[..]);
    assert!(codec.decode_eof(&mut src).unwrap().unwrap().is_err());
    assert!(codec.decode_eof(&mut src).unwrap().unwrap().is_ok());
    let error = codec.decode_eof(&mut src).unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame at byte 28: the stream ended after 3 bytes of it, expected at least 14"
    );
    assert!(frames().decode_eof(&mut BytesMut::new()).unwrap().is_none());
}

/// Errs recoverably without consuming anything, as none should.
#[derive(Debug, Clone)]
struct Stuck;

impl Decoder for Stuck {
    type Item = ();
    type Error = LinesCodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<()>, LinesCodecError> {
        match src.first() {
            Some(b'!') => Err(LinesCodecError::MaxLineLengthExceeded),
            Some(_) => {
                src.advance(1);
                Ok(Some(()))
            }
            None => Ok(None),
        }
    }
}

#[test]
fn a_codec_that_errs_without_going_on_does_not_spin_for_ever() {
    let mut codec = Stuck.tolerant(1000);
    let (seen, error) = pattern(&mut codec, &mut "ok!".into());
    assert_eq!(seen, format!("GG{}", "b".repeat(1000)));
    assert!(matches!(
        error,
        Some(TolerantError::TooMany { in_row: 1001, .. })
    ));
    let mut at_end = 0;
    while codec.decode_eof(&mut "!".into()).is_ok() {
        at_end += 1;
    }
    assert_eq!(at_end, 0, "the count goes on");
}

#[test]
fn what_is_sent_passes_as_it_is() {
    let mut codec = LinesCodec::new_with_max_length(5).tolerant(1);
    let mut dst = BytesMut::new();
    codec.encode("pea", &mut dst).unwrap();
    assert_eq!(dst, "pea\n");
    assert_eq!(codec.clone().into_inner().max_length(), 5);
    assert_eq!(codec.get_ref().max_length(), 5);
    *codec.get_mut() = LinesCodec::new_with_max_length(6);
    assert!(format!("{codec:?}").starts_with("Tolerant { codec: LinesCodec"));
    let io: TolerantError<LinesCodecError> = io::Error::other("pea").into();
    assert!(matches!(io, TolerantError::Codec(LinesCodecError::Io(_))));
}
