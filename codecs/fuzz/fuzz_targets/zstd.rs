#![no_main]

use libfuzzer_sys::fuzz_target;
use wattle_codecs::{CodecExt, Length, Prefixed, Zstd};
use wattle_codecs_fuzz::{MOST, choose, decode, frames};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    let codec = Prefixed::new(Length::U16, 2 * MOST).compressed(Zstd::default(), MOST);
    if choice < 128 {
        frames(|| codec.clone(), data);
    } else {
        decode(|| codec.clone().tolerant(2), data);
    }
});
