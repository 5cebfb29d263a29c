#![no_main]

use libfuzzer_sys::fuzz_target;
use wattle_codecs::Fixed;
use wattle_codecs_fuzz::{choose, decode};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    decode(|| Fixed::new(choice + 1), data);
});
