//! The layers, alone and stacked, through the laws.

use bytes::Bytes;
use tokio_util::codec::{Decoder, LengthDelimitedCodec, LinesCodec};
use wattle_codecs::{
    CodecExt, Crc32, Delimited, Either, Length, Lz4, Prefixed, Recoverable, Zstd,
    laws::{self, Checkable, Law, Laws, Violation},
};

const MOST: usize = 2_000;

fn frames(most: usize) -> Prefixed {
    Prefixed::new(Length::U16, most)
}

fn payloads() -> Vec<Bytes> {
    let even = |size: usize| Bytes::from(vec![0x2a; size]);
    let uneven = |size: usize| -> Bytes {
        let mut state = 1_u32;
        let byte = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..size).map(byte).collect()
    };
    vec![
        Bytes::from("abc"),
        Bytes::new(),
        uneven(1),
        uneven(100),
        even(1_000),
        uneven(700),
    ]
}

fn filled(size: usize) -> Bytes {
    Bytes::from(vec![0x5a; size])
}

/// What a frame of the codecs below may take on the wire where the layers' own cap is on something else:
/// the expanded message.
const WIDE: usize = 60_000;

fn laws<C>(codec: fn(usize) -> C) -> Laws<'static, C, C, Bytes>
where
    C: Checkable<Bytes> + 'static,
    <C as Decoder>::Error: Recoverable,
{
    Laws::new(move || codec(MOST), payloads())
        .cap(2 + MOST)
        .oversized([filled(MOST + 1), filled(10 * MOST)])
        .uncapped(move || codec(50_000))
        .goes_on_after(Recoverable::is_recoverable)
}

#[test]
fn checked_keeps_the_laws() -> Result<(), Violation> {
    laws(|most| frames(most).checked::<Crc32>()).check()
}

#[test]
fn compressed_with_lz4_keeps_the_laws() -> Result<(), Violation> {
    laws(|most| frames(WIDE).compressed(Lz4, most))
        .cap(2 + WIDE)
        .check()
}

#[test]
fn compressed_with_zstd_keeps_the_laws() -> Result<(), Violation> {
    let zstd = |most| frames(WIDE).compressed(Zstd::default(), most);
    laws(zstd).cap(2 + WIDE).cases(16).check()
}

#[test]
fn capped_keeps_the_laws() -> Result<(), Violation> {
    laws(|most| frames(WIDE).capped(2 + most)).check()
}

/// The first byte says one split, the second a first read of 18 bytes, beyond the cap.
#[test]
fn a_bad_frame_beyond_the_cap_is_beyond_the_cap_in_one_read_too() -> Result<(), Violation> {
    let codec = || frames(WIDE).checked::<Crc32>().capped(16);
    let bad = [&[1, 17, 0, 20][..], &[0x5a; 20]].concat();
    laws::fuzz(codec, &bad)
}

#[test]
fn capped_lines_keep_the_laws() -> Result<(), Violation> {
    let lines = |most: usize| LinesCodec::new().capped(most + 1);
    let texts = ["a", "", "two words", "ünïcödé"].map(str::to_owned);
    Laws::new(move || lines(32), texts)
        .cap(33)
        .oversized(["x".repeat(33), "x".repeat(500)])
        .uncapped(LinesCodec::new)
        .last_frame_may_be_open()
        .check()
}

/// What it reserves for a moment isn't seen; what it keeps is.
#[test]
fn capped_tokio_utils_frames_reserve_no_more_than_comes() -> Result<(), Violation> {
    Laws::new(
        || LengthDelimitedCodec::new().capped(4 + (1 << 20)),
        payloads(),
    )
    .cap(4 + (1 << 20))
    .without(Law::End)
    .check()
}

#[test]
fn tolerant_keeps_the_laws() -> Result<(), Violation> {
    let codec = |most| frames(most).checked::<Crc32>().tolerant(3);
    let is = |item: &Result<Bytes, _>, out: &Bytes| item.as_ref().is_ok_and(|item| item == out);
    Laws::new_by(move || codec(MOST), payloads(), is)
        .cap(2 + MOST)
        .oversized([filled(MOST + 1)])
        .check()
}

#[test]
fn maps_keep_the_laws() -> Result<(), Violation> {
    let codec = || {
        frames(MOST)
            .with(
                |payload| payload.to_vec(),
                |payload: Vec<u8>| Bytes::from(payload),
            )
            .map_in(|bytes| bytes)
    };
    Laws::new(
        codec,
        payloads().into_iter().map(|payload| payload.to_vec()),
    )
    .check()
}

#[test]
fn try_map_keeps_the_laws() -> Result<(), Violation> {
    let codec = || {
        Delimited::lines(MOST)
            .try_map(|line| std::str::from_utf8(&line).map(str::to_owned))
            .map_out(|text: String| Bytes::from(text))
    };
    let texts = ["a", "", "two words", "ünïcödé"].map(str::to_owned);
    Laws::new(codec, texts)
        .last_frame_may_be_open()
        .goes_on_after(Recoverable::is_recoverable)
        .check()
}

#[test]
fn tapped_keeps_the_laws() -> Result<(), Violation> {
    laws(|most| frames(most).tapped(|_| ())).check()
}

type FramesOrLines = Either<Prefixed, Delimited>;

fn frames_or_lines() -> FramesOrLines {
    Prefixed::new(Length::U32, MOST).either(Delimited::lines(MOST))
}

fn words() -> [Bytes; 4] {
    ["pea", "", "runner bean", "artichoke"].map(Bytes::from)
}

#[test]
fn either_keeps_the_laws_when_the_remote_speaks_the_left_one() -> Result<(), Violation> {
    let pair = || (Prefixed::new(Length::U32, MOST), frames_or_lines());
    // What the end of the stream leaves undecided may be an unfinished frame, and is the last line.
    let laws = Laws::pair(pair, words()).cap(4 + MOST);
    laws.last_frame_may_be_open().check()
}

#[test]
fn either_keeps_the_laws_when_the_remote_speaks_the_right_one() -> Result<(), Violation> {
    let pair = || (Delimited::lines(MOST), frames_or_lines());
    Laws::pair(pair, words())
        .cap(4 + MOST)
        .last_frame_may_be_open()
        .check()
}

#[test]
fn either_keeps_the_laws_when_it_was_chosen() -> Result<(), Violation> {
    let left = || FramesOrLines::left(Prefixed::new(Length::U32, MOST));
    Laws::new(left, payloads()).cap(4 + MOST).check()?;
    let right = || FramesOrLines::right(Delimited::lines(MOST));
    Laws::new(right, words()).last_frame_may_be_open().check()
}

#[test]
fn a_stack_of_three_keeps_the_laws() -> Result<(), Violation> {
    let stack = |most| frames(WIDE).checked::<Crc32>().compressed(Lz4, most);
    laws(stack).cap(2 + WIDE).check()
}

#[test]
fn the_same_stack_in_another_order_keeps_the_laws() -> Result<(), Violation> {
    let stack = |most| frames(WIDE).compressed(Lz4, most + 4).checked::<Crc32>();
    laws(stack).cap(2 + WIDE).check()
}

#[test]
fn a_stack_of_everything_keeps_the_laws() -> Result<(), Violation> {
    let codec = |most| {
        frames(WIDE)
            .tapped(|_| ())
            .capped(50_000)
            .checked::<Crc32>()
            .compressed(Lz4, most)
            .try_map(Ok::<_, std::convert::Infallible>)
            .tolerant(2)
            .map_in(|item: Result<Bytes, _>| item.map_err(drop))
    };
    let is = |item: &Result<Bytes, ()>, out: &Bytes| item.as_ref() == Ok(out);
    Laws::new_by(move || codec(MOST), payloads(), is)
        .cap(50_000)
        .oversized([filled(MOST + 1), filled(10 * MOST)])
        .check()
}

#[test]
fn layers_over_tokio_utils_frames_keep_the_laws() -> Result<(), Violation> {
    let stack = |most: usize| {
        let frames = LengthDelimitedCodec::builder()
            .max_frame_length(WIDE)
            .new_codec();
        frames.checked::<Crc32>().compressed(Lz4, most)
    };
    laws(stack).cap(4 + WIDE).without(Law::End).check()
}
