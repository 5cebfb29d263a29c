#![no_main]

use libfuzzer_sys::fuzz_target;
use wattle_codecs::{CodecExt, Delimited, Length, Prefixed};
use wattle_codecs_fuzz::{MOST, choose, decode};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    let lines = || Delimited::lines(MOST);
    match choice % 3 {
        0 => decode(|| Prefixed::new(Length::U16, MOST).either(lines()), data),
        1 => decode(|| lines().either(Prefixed::new(Length::Varint, MOST)), data),
        _ => decode(
            || {
                let lengths = Prefixed::new(Length::U32, 40).either(Prefixed::new(Length::U8, 250));
                lengths.either(lines())
            },
            data,
        ),
    }
});
