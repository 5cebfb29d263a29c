#![no_main]

use libfuzzer_sys::fuzz_target;
use wattle_codecs::{CodecExt, Crc32, Length, Prefixed};
use wattle_codecs_fuzz::{MOST, choose, decode, frames};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    let codec = Prefixed::new(Length::U16, MOST).checked::<Crc32>();
    if choice < 128 {
        frames(|| codec.clone(), data);
    } else {
        decode(|| codec.clone().tolerant(2), data);
    }
});
