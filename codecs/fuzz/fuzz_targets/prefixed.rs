#![no_main]

use libfuzzer_sys::fuzz_target;
use wattle_codecs::{Length, Prefixed};
use wattle_codecs_fuzz::{MOST, choose, frames};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    let length = Length::ALL[choice % Length::ALL.len()];
    // What the length can say with itself counted, less the byte that a varint may be longer by.
    let most = if length == Length::U8 { 253 } else { MOST };
    let codec = Prefixed::new(length, most);
    let codec = if choice >= 128 {
        codec.inclusive()
    } else {
        codec
    };
    frames(|| codec.clone(), data);
});
