//! The kit itself: laws alone, laws left out, fuzzing, strategies.

#[path = "laws/mod.rs"]
mod planted;

use bytes::Bytes;
use wattle_codecs::laws::{self, Law};

use planted::*;

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
