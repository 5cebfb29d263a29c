//! The laws bite: a sound codec passes, and each of these bugs is caught by the law it breaks, when
//! that is checked alone, and by all of them together.

use std::{cell::Cell, io, rc::Rc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::laws::{self, Law, Laws, Violation};

type Decode = fn(&mut State, &mut BytesMut) -> io::Result<Option<Bytes>>;
type Encode = fn(&mut State, &[u8], &mut BytesMut) -> io::Result<()>;

/// What the bugs keep between calls.
#[derive(Debug, Default)]
struct State {
    cap: usize,
    announced: Option<usize>,
    calls: usize,
    taken: BytesMut,
    shared: Rc<Cell<usize>>,
}

/// A codec with a length of two bytes, most significant first; parts of it are put in the place of sound
/// ones.
struct Planted {
    state: State,
    decode: Decode,
    decode_eof: Decode,
    encode: Encode,
}

const CAP: usize = 64;

impl Planted {
    fn sound() -> Self {
        Self {
            state: State {
                cap: CAP,
                ..State::default()
            },
            decode: sound_decode,
            decode_eof: sound_eof,
            encode: sound_encode,
        }
    }

    fn decoding(decode: Decode) -> impl Fn() -> Self + Clone {
        move || Self {
            decode,
            ..Self::sound()
        }
    }

    fn ending(decode_eof: Decode) -> impl Fn() -> Self + Clone {
        move || Self {
            decode_eof,
            ..Self::sound()
        }
    }

    fn encoding(encode: Encode) -> impl Fn() -> Self + Clone {
        move || Self {
            encode,
            ..Self::sound()
        }
    }
}

impl Decoder for Planted {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        (self.decode)(&mut self.state, src)
    }

    /// With a bug in `decode`, the end of the stream calls that too.
    fn decode_eof(&mut self, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        match (self.decode)(&mut self.state, src)? {
            None => (self.decode_eof)(&mut self.state, src),
            item => Ok(item),
        }
    }
}

impl Encoder<Bytes> for Planted {
    type Error = io::Error;

    fn encode(&mut self, message: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        (self.encode)(&mut self.state, &message, dst)
    }
}

fn error<T>(text: &str) -> io::Result<T> {
    Err(io::Error::other(text.to_owned()))
}

fn announced(src: &[u8]) -> Option<usize> {
    let field = src.first_chunk::<2>()?;
    Some(usize::from(u16::from_be_bytes(*field)))
}

fn sound_decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
    match announced(src) {
        Some(len) if len > state.cap => error("too long"),
        Some(len) if src.len() >= 2 + len => {
            src.advance(2);
            Ok(Some(src.split_to(len).freeze()))
        }
        _ => Ok(None),
    }
}

fn sound_eof(_: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
    if src.is_empty() {
        Ok(None)
    } else {
        error("truncated")
    }
}

fn sound_encode(state: &mut State, message: &[u8], dst: &mut BytesMut) -> io::Result<()> {
    if message.len() > state.cap {
        return error("too long");
    }
    dst.put_u16(message.len() as u16);
    dst.put_slice(message);
    Ok(())
}

fn messages() -> [Bytes; 4] {
    [
        Bytes::from("abc"),
        Bytes::new(),
        Bytes::from("x"),
        Bytes::from(vec![1; CAP]),
    ]
}

fn all_of<'a>(planted: impl Fn() -> Planted + 'a) -> Laws<'a, Planted, Planted, Bytes> {
    let uncapped = || Planted {
        state: State {
            cap: usize::from(u16::MAX),
            ..State::default()
        },
        ..Planted::sound()
    };
    Laws::new(planted, messages())
        .cap(2 + CAP)
        .oversized([vec![1; CAP + 1].into(), vec![1; 5_000].into()])
        .uncapped(uncapped)
}

#[test]
fn a_sound_codec_passes() -> Result<(), Violation> {
    all_of(Planted::sound).check()
}

/// The law catches the bug, and so does the kit as a whole.
#[track_caller]
fn caught_by(law: Law, planted: impl Fn() -> Planted + Clone) -> Violation {
    let alone = all_of(planted.clone()).law(law);
    let violation = alone.expect_err("the law alone sees nothing wrong");
    assert_eq!(violation.law(), law, "{violation}");
    assert!(all_of(planted).check().is_err());
    violation
}

/// And no other law does: the bug is one that only this law is there for.
#[track_caller]
fn caught_only_by(law: Law, planted: impl Fn() -> Planted + Clone) -> Violation {
    for other in Law::ALL.into_iter().filter(|&other| other != law) {
        if let Err(violation) = all_of(planted.clone()).law(other) {
            panic!("caught by another law: {violation}");
        }
    }
    caught_by(law, planted)
}

#[test]
fn one_side_writes_little_endian_what_the_other_reads_big_endian() {
    let violation = caught_by(
        Law::RoundTrip,
        Planted::encoding(|_, message, dst| {
            dst.put_u16_le(message.len() as u16);
            dst.put_slice(message);
            Ok(())
        }),
    );
    assert_eq!(violation.wire(), b"\x03\0abc");
    assert_eq!(violation.expected(), r#"item 1: b"abc""#);
    assert!(violation.came().contains("too long"), "{violation}");
}

#[test]
fn a_padding_byte_is_left_over() {
    let violation = caught_by(
        Law::RoundTrip,
        Planted::encoding(|state, message, dst| {
            sound_encode(state, message, dst)?;
            dst.put_u8(0);
            Ok(())
        }),
    );
    assert_eq!(violation.wire(), b"\0\x03abc\0");
}

#[test]
fn the_header_is_taken_and_forgotten() {
    fn decode(_: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let Some(len) = announced(src) else {
            return Ok(None);
        };
        if len > CAP {
            return error("too long");
        }
        src.advance(2);
        if src.len() < len {
            return Ok(None);
        }
        Ok(Some(src.split_to(len).freeze()))
    }
    let violation = caught_by(Law::EverySplit, Planted::decoding(decode));
    assert_eq!(violation.messages(), [r#"b"abc""#]);
    assert_eq!(violation.cuts(), [2]);
    let text = format!("{violation:?}");
    assert_eq!(text, violation.to_string());
    assert!(text.contains("00 03 | 61 62 63"), "{text}");
    assert!(text.contains("WATTLE_LAWS_SEED="), "{text}");
}

#[test]
fn only_three_reads_in_a_frame_are_too_many_and_the_cuts_are_the_fewest() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        match sound_decode(state, src) {
            Ok(None) if !src.is_empty() => {
                state.calls += 1;
                if state.calls > 4 {
                    return error("too many reads");
                }
                Ok(None)
            }
            other => {
                state.calls = 0;
                other
            }
        }
    }
    let violation = caught_by(Law::EverySplit, Planted::decoding(decode));
    assert_eq!(violation.cuts().len(), 5, "{violation}");
}

#[test]
fn a_read_is_taken_for_a_frame() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let item = sound_decode(state, src)?;
        if item.is_some() {
            src.clear();
        }
        Ok(item)
    }
    caught_by(Law::ManyInOneRead, Planted::decoding(decode));
}

#[test]
fn after_a_frame_another_read_is_waited_for() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        if std::mem::take(&mut state.calls) > 0 {
            return Ok(None);
        }
        let item = sound_decode(state, src)?;
        state.calls = usize::from(item.is_some());
        Ok(item)
    }
    caught_by(Law::ManyInOneRead, Planted::decoding(decode));
}

#[test]
fn the_encoder_clears_its_buffer_first() {
    let violation = caught_by(
        Law::EncoderAppends,
        Planted::encoding(|state, message, dst| {
            dst.clear();
            sound_encode(state, message, dst)
        }),
    );
    assert!(violation.expected().contains("de ad be ef"), "{violation}");
}

#[test]
fn the_encoder_writes_its_length_to_the_front_of_the_buffer() {
    caught_by(
        Law::EncoderAppends,
        Planted::encoding(|_, message, dst| {
            if message.len() > CAP {
                return error("too long");
            }
            dst.put_u16(0);
            dst.put_slice(message);
            dst[..2].copy_from_slice(&(message.len() as u16).to_be_bytes());
            Ok(())
        }),
    );
}

#[test]
fn the_encoder_writes_into_the_room_that_it_happens_to_find() {
    caught_by(
        Law::EncoderAppends,
        Planted::encoding(|state, message, dst| {
            let room = dst.capacity() - dst.len();
            if dst.is_empty() || room >= 2 + message.len() {
                sound_encode(state, message, dst)
            } else {
                let mut grown = BytesMut::with_capacity(2 + message.len());
                sound_encode(state, message, &mut grown)?;
                *dst = grown;
                Ok(())
            }
        }),
    );
}

#[test]
fn the_header_is_written_before_the_encode_fails() {
    let violation = caught_only_by(
        Law::FailedEncode,
        Planted::encoding(|_, message, dst| {
            dst.put_u16(message.len() as u16);
            if message.len() > CAP {
                return error("too long");
            }
            dst.put_slice(message);
            Ok(())
        }),
    );
    assert_eq!(violation.wire(), [0, CAP as u8 + 1]);
}

#[test]
fn after_a_failed_encode_the_encoder_fails_for_ever() {
    caught_only_by(
        Law::FailedEncode,
        Planted::encoding(|state, message, dst| {
            if state.calls > 0 {
                return error("failed before");
            }
            state.calls = usize::from(message.len() > CAP);
            sound_encode(state, message, dst)
        }),
    );
}

#[test]
fn a_failed_encode_begins_the_numbers_of_messages_anew() {
    /// Each frame is of one byte more, the last: its number.
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let Some(mut item) = sound_decode(state, src)? else {
            return Ok(None);
        };
        let number = item.split_off(item.len().saturating_sub(1));
        state.calls += 1;
        match number[..] == [state.calls as u8] {
            true => Ok(Some(item)),
            false => error("out of order"),
        }
    }
    let planted = || {
        let mut planted = Planted {
            decode,
            encode: |state, message, dst| {
                if message.len() >= state.cap {
                    state.calls = 0;
                    return error("too long");
                }
                state.calls += 1;
                sound_encode(state, &[message, &[state.calls as u8]].concat(), dst)
            },
            ..Planted::sound()
        };
        planted.state.cap = CAP + 1;
        planted
    };
    caught_by(Law::FailedEncode, planted);
}

#[test]
fn the_decoders_cap_is_off_by_one() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        state.cap = CAP + 1;
        sound_decode(state, src)
    }
    caught_only_by(Law::Cap, Planted::decoding(decode));
}

#[test]
fn the_encoders_cap_is_off_by_one() {
    caught_by(
        Law::Cap,
        Planted::encoding(|state, message, dst| {
            state.cap = CAP + 1;
            sound_encode(state, message, dst)
        }),
    );
}

#[test]
fn the_cap_is_looked_at_when_the_frame_is_complete() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        match announced(src) {
            Some(len) if src.len() < 2 + len => Ok(None),
            _ => sound_decode(state, src),
        }
    }
    let violation = caught_by(Law::Cap, Planted::decoding(decode));
    assert!(violation.came().contains("waits for more"), "{violation}");
}

#[test]
fn what_is_announced_is_reserved() {
    /// Four bytes of length, and no cap at all.
    fn decode(_: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let Some(field) = src.first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*field) as usize;
        if src.len() < 4 + len {
            src.reserve(4 + len - src.len());
            return Ok(None);
        }
        src.advance(4);
        Ok(Some(src.split_to(len).freeze()))
    }
    let planted = || Planted {
        decode,
        encode: |_, message, dst| {
            dst.put_u32(message.len() as u32);
            dst.put_slice(message);
            Ok(())
        },
        ..Planted::sound()
    };
    let violation = laws::reserve(planted, messages()).unwrap_err();
    assert_eq!(violation.law(), Law::Reserve);
    assert!(violation.came().starts_with("a capacity of "));
    assert_eq!(
        laws::check(planted, messages()).unwrap_err().law(),
        Law::Reserve
    );
}

#[test]
fn a_refused_announcement_is_reserved_all_the_same() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        if let Some(len) = announced(src) {
            src.reserve(len);
        }
        sound_decode(state, src)
    }
    caught_only_by(Law::Reserve, Planted::decoding(decode));
}

#[test]
fn a_truncated_end_is_not_noticed() {
    let violation = caught_only_by(
        Law::End,
        Planted::ending(|_, src| {
            src.clear();
            Ok(None)
        }),
    );
    assert_eq!(violation.wire(), [0]);
}

#[test]
fn a_truncated_frame_is_an_item() {
    caught_by(
        Law::End,
        Planted::ending(|_, src| match src.is_empty() {
            true => Ok(None),
            false => Ok(Some(src.split().freeze())),
        }),
    );
}

#[test]
fn the_end_between_two_frames_is_an_error() {
    caught_by(Law::End, Planted::ending(|_, _| error("truncated")));
}

#[test]
fn the_last_frame_is_returned_at_the_end_again_and_again() {
    let violation = caught_by(
        Law::End,
        Planted::ending(|_, src| match src.is_empty() {
            true => Ok(Some(Bytes::from("the end"))),
            false => error("truncated"),
        }),
    );
    assert_eq!(violation.wire(), b"");
}

#[test]
fn an_empty_frame_is_not_taken_from_the_buffer() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        match announced(src) {
            Some(0xfff0..) => Ok(Some(Bytes::new())),
            _ => sound_decode(state, src),
        }
    }
    let violation = caught_by(Law::Garbage, Planted::decoding(decode));
    assert!(violation.came().starts_with("no end: "), "{violation}");
    assert_eq!(violation.wire().len(), 2);
}

#[test]
fn an_error_that_can_be_survived_consumes_nothing() {
    let laws = all_of(Planted::sound).goes_on_after(|_| true);
    let violation = laws.garbage().unwrap_err();
    assert_eq!(violation.law(), Law::Garbage);
    assert!(violation.came().starts_with("no end: "), "{violation}");
}

#[test]
fn a_short_read_makes_the_decoder_panic() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        if src.is_empty() {
            return Ok(None);
        }
        let _len = u16::from_be_bytes([src[0], src[1]]);
        sound_decode(state, src)
    }
    let violation = caught_by(Law::Garbage, Planted::decoding(decode));
    assert!(violation.came().starts_with("panic: index out of bounds"));
    assert!(violation.came().contains("laws_bite.rs"), "{violation}");
    assert_eq!(violation.wire().len(), 1);
}

#[test]
fn some_byte_deep_inside_makes_the_decoder_panic() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let item = sound_decode(state, src)?;
        if let Some(item) = &item {
            assert!(!item.contains(&0x80), "what is this?");
        }
        Ok(item)
    }
    let violation = caught_only_by(Law::Garbage, Planted::decoding(decode));
    assert!(violation.came().starts_with("panic: what is this?"));
    assert!(violation.wire().len() < 24, "{violation}");
}

#[test]
fn the_decoder_panics_when_it_is_called_after_an_error() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        assert_eq!(state.calls, 0, "called after an error");
        let item = sound_decode(state, src);
        state.calls = usize::from(item.is_err());
        item
    }
    caught_only_by(Law::Garbage, Planted::decoding(decode));
}

#[test]
fn garbage_is_told_apart_by_how_it_was_split() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        if src.len() == 1 && src[0] > 0x7f {
            src.clear();
            return Ok(None);
        }
        sound_decode(state, src)
    }
    caught_only_by(Law::Garbage, Planted::decoding(decode));
}

#[test]
fn the_next_frames_bytes_are_taken_along() {
    /// All that is there is taken out of the buffer, and kept.
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let mut taken = std::mem::take(&mut state.taken);
        taken.unsplit(src.split());
        let item = sound_decode(state, &mut taken);
        state.taken = taken;
        item
    }
    let planted = || Planted {
        decode,
        decode_eof: |state, _| match state.taken.is_empty() {
            true => Ok(None),
            false => error("truncated"),
        },
        ..Planted::sound()
    };
    caught_only_by(Law::NoOverRead, planted);
}

#[test]
fn a_call_without_new_bytes_counts_as_a_read() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let item = sound_decode(state, src)?;
        let idle = item.is_none() && !src.is_empty() && state.announced == Some(src.len());
        state.announced = Some(src.len());
        if idle {
            return error("no progress");
        }
        Ok(item)
    }
    let planted = || Planted {
        decode,
        decode_eof: sound_eof,
        ..Planted::sound()
    };
    caught_by(Law::StateSurvives, planted);
}

#[test]
fn a_full_buffer_is_taken_for_an_incomplete_frame() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        if src.len() == src.capacity() {
            return Ok(None);
        }
        sound_decode(state, src)
    }
    let violation = caught_by(Law::StateSurvives, Planted::decoding(decode));
    assert!(violation.came().contains("without room"), "{violation}");
}

#[test]
fn an_empty_buffer_is_an_empty_frame_at_first() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        state.calls += 1;
        if state.calls == 1 && src.is_empty() {
            return Ok(Some(Bytes::new()));
        }
        sound_decode(state, src)
    }
    caught_by(Law::Fresh, Planted::decoding(decode));
}

#[test]
fn two_codecs_share_a_counter() {
    /// Each frame carries a number, and all decoders of one factory count together.
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let before = src.len();
        let item = sound_decode(state, src)?;
        if item.is_some() {
            state.calls += 1;
            state.shared.set(state.shared.get() + 1);
            if state.shared.get() != state.calls {
                return error("out of order");
            }
        }
        debug_assert!(src.len() <= before);
        Ok(item)
    }
    let shared = Rc::new(Cell::new(0));
    let planted = move || {
        shared.set(0);
        Planted {
            state: State {
                shared: Rc::clone(&shared),
                ..Planted::sound().state
            },
            decode,
            ..Planted::sound()
        }
    };
    caught_only_by(Law::Fresh, planted);
}

#[test]
fn an_encoder_that_panics_is_told() {
    let violation = caught_by(
        Law::RoundTrip,
        Planted::encoding(|state, message, dst| {
            assert!(!message.is_empty(), "nothing to say");
            sound_encode(state, message, dst)
        }),
    );
    assert!(
        violation.came().contains("panic: nothing to say"),
        "{violation}"
    );
    assert_eq!(violation.messages(), [r#"b"""#]);
}

#[test]
fn the_laws_as_functions_see_what_the_methods_see() {
    let decoding = Planted::decoding(|state, src| match sound_decode(state, src)? {
        Some(item) if item.is_empty() => error("empty"),
        item => Ok(item),
    });
    let found = [
        laws::round_trip(&decoding, messages()),
        laws::every_split(&decoding, messages()),
        laws::many_in_one_read(&decoding, messages()),
        laws::encoder_appends(&decoding, messages()),
        laws::end(&decoding, messages()),
        laws::no_over_read(&decoding, messages()),
        laws::state_survives(&decoding, messages()),
        laws::fresh(&decoding, messages()),
    ];
    for violation in found.map(Result::unwrap_err) {
        assert!(violation.came().contains("empty"), "{violation}");
    }
    let sound = Planted::sound;
    assert!(laws::garbage(sound, messages()).is_ok());
    assert!(laws::reserve(sound, messages()).is_ok());
    assert!(laws::failed_encode(sound, messages(), [vec![1; CAP + 1].into()]).is_ok());
    assert!(laws::failed_encode(sound, messages(), [Bytes::new()]).is_err());
    let oversized = [Bytes::from(vec![1; CAP + 1])];
    assert!(laws::cap_holds(sound, sound, messages(), 2 + CAP, oversized).is_err());
    assert!(laws::cap_holds(sound, sound, messages(), CAP, []).is_err());
}

#[test]
fn a_law_can_be_left_out() {
    let laws = all_of(Planted::ending(|_, _| Ok(None)));
    assert_eq!(laws.check().unwrap_err().law(), Law::End);
    // What is left at the end is not the round trip's business, while frames are whole.
    assert!(laws.without(Law::End).check().is_ok());
}

#[test]
#[should_panic(expected = "need messages")]
fn nothing_to_check_is_no_success() {
    let _ = laws::check(Planted::sound, []);
}

#[test]
fn a_fuzzer_finds_what_the_laws_find() {
    assert!(laws::fuzz(Planted::sound, b"\x02\x00\x01\0\x03abc").is_ok());
    assert!(laws::fuzz(Planted::sound, b"").is_ok());
    let looping = Planted::decoding(|_, src| Ok((src.len() > 1).then(Bytes::new)));
    let violation = laws::fuzz(looping, b"\0\0\0").unwrap_err();
    assert_eq!(violation.law(), Law::Garbage);
    // The first byte says one split, the second that the first read is of two bytes.
    let forgetful = Planted::decoding(|state, src| {
        let item = sound_decode(state, src)?;
        if item.is_none() {
            src.clear();
        }
        Ok(item)
    });
    assert!(laws::fuzz(&forgetful, b"\x00\0\x03abc").is_ok());
    let violation = laws::fuzz(&forgetful, b"\x01\x01\0\x03abc").unwrap_err();
    assert_eq!(violation.cuts(), [2]);
    let greedy = Planted::decoding(|state, src| {
        src.reserve(1 << 20);
        sound_decode(state, src)
    });
    let violation = laws::fuzz(greedy, b"\x00\0\x03abc").unwrap_err();
    assert_eq!(violation.law(), Law::Reserve);
}

#[test]
fn a_fuzzer_can_bring_messages() {
    assert!(laws::fuzz_round_trip(Planted::sound, messages(), &[0, 0, 3]).is_ok());
    let forgetful = Planted::decoding(|state, src| {
        let item = sound_decode(state, src)?;
        if item.is_none() {
            src.clear();
        }
        Ok(item)
    });
    assert!(laws::fuzz_round_trip(&forgetful, messages(), &[]).is_ok());
    assert!(laws::fuzz_round_trip(&forgetful, messages(), &[0]).is_err());
}

#[test]
fn a_strategys_messages_are_shrunk() {
    use proptest::prelude::{Strategy, any};
    let strategy = || proptest::collection::vec(any::<u8>(), 0..CAP).prop_map(Bytes::from);
    laws::proptest(Planted::sound, strategy()).unwrap();
    let squeamish = Planted::decoding(|state, src| match sound_decode(state, src)? {
        Some(item) if item.iter().any(|&byte| byte > 0x40) => error("no"),
        item => Ok(item),
    });
    let violation = laws::proptest(squeamish, strategy()).unwrap_err();
    assert_eq!(violation.messages(), [r#"b"A""#], "{violation}");
}
