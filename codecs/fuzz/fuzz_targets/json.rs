#![no_main]

use libfuzzer_sys::fuzz_target;
use wattle_codecs::Json;
use wattle_codecs_fuzz::{MOST, Message, choose, messages};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    if choice < 128 {
        messages(|| Json::lines::<Message>(MOST), data);
    } else {
        messages(|| Json::framed::<Message>(MOST), data);
    }
});
