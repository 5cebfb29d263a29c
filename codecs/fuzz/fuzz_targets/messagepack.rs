#![no_main]

use libfuzzer_sys::fuzz_target;
use wattle_codecs::{Length, MessagePack, Prefixed, Serde};
use wattle_codecs_fuzz::{MOST, Message, choose, messages};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    if choice < 128 {
        messages(|| MessagePack::framed::<Message>(MOST), data);
    } else {
        messages(
            || Serde::<_, _, Message>::new(Prefixed::new(Length::U8, 255), MessagePack::named()),
            data,
        );
    }
});
