//! The laws bite: a sound codec passes, and each of these bugs of decoders is caught by the law that it breaks,
//! when that is checked alone, and by all of them together.

mod laws;

use std::{cell::Cell, io, rc::Rc};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wattle_codecs::laws::{Law, Violation, check, reserve};

use laws::*;

#[test]
fn a_sound_codec_passes() -> Result<(), Violation> {
    all_of(Planted::sound).check()
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
fn the_decoders_cap_is_off_by_one() {
    fn decode(state: &mut State, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        state.cap = CAP + 1;
        sound_decode(state, src)
    }
    caught_only_by(Law::Cap, Planted::decoding(decode));
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
    let violation = reserve(planted, messages()).unwrap_err();
    assert_eq!(violation.law(), Law::Reserve);
    assert!(violation.came().starts_with("a capacity of "));
    assert_eq!(check(planted, messages()).unwrap_err().law(), Law::Reserve);
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
