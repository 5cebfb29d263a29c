#![no_main]

use libfuzzer_sys::fuzz_target;
use tokio_util::codec::LengthDelimitedCodec;
use wattle_codecs::{CodecExt, Delimited, Length, Prefixed};
use wattle_codecs_fuzz::{MOST, choose, decode, frames};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    match choice % 3 {
        0 => frames(|| Prefixed::new(Length::U16, 65_535).capped(MOST), data),
        1 => frames(
            || {
                LengthDelimitedCodec::builder()
                    .max_frame_length(64 * 1024)
                    .new_codec()
                    .capped(MOST)
            },
            data,
        ),
        _ => decode(|| Delimited::lines(2 * MOST).capped(MOST), data),
    }
});
