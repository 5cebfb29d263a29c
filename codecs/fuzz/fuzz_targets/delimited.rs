#![no_main]

use libfuzzer_sys::fuzz_target;
use wattle_codecs::{CodecExt, Delimited};
use wattle_codecs_fuzz::{MOST, choose, decode};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    let codec = match choice % 4 {
        0 => Delimited::lines(MOST),
        1 => Delimited::new("\r\n", MOST),
        2 => Delimited::new("aab", 5),
        _ => Delimited::new("\0", 1),
    };
    if choice < 128 {
        decode(|| codec.clone(), data);
    } else {
        decode(|| codec.clone().tolerant(3), data);
    }
});
