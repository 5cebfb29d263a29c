#![no_main]

use libfuzzer_sys::fuzz_target;
use wattle_codecs::{
    CodecExt, Crc32, Delimited, Json, Length, Lz4, Postcard, Prefixed, Serde, Zstd,
};
use wattle_codecs_fuzz::{MOST, Message, choose, decode, messages};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    let prefixed = || Prefixed::new(Length::U16, MOST);
    match choice % 5 {
        0 => messages(
            || {
                let frames = prefixed().checked::<Crc32>().compressed(Lz4, MOST);
                Serde::<_, _, Message>::new(frames, Postcard)
            },
            data,
        ),
        1 => messages(
            || {
                let frames = prefixed()
                    .compressed(Zstd::default(), MOST)
                    .checked::<Crc32>();
                Serde::<_, _, Message>::new(frames.capped(MOST), Json)
            },
            data,
        ),
        2 => decode(
            || {
                Json::lines::<Message>(MOST)
                    .tolerant(3)
                    .map_in(|item| item.ok())
            },
            data,
        ),
        3 => decode(
            || {
                let frames = prefixed().compressed(Lz4, MOST).tapped(|_| {});
                Serde::<_, _, Message>::new(frames.either(Delimited::lines(MOST)), Postcard)
                    .tolerant(2)
            },
            data,
        ),
        _ => decode(
            || {
                prefixed()
                    .try_map(|frame| String::from_utf8(frame.into()))
                    .tolerant(1)
                    .capped(MOST)
            },
            data,
        ),
    }
});
