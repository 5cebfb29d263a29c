//! The laws bite: bugs of encoders, each caught by the law that it breaks.

mod laws;

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use wattle_codecs::laws::Law;

use laws::*;

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
