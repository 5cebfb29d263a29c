//! The frame codecs of this crate, through the laws.

use bytes::Bytes;
use wattle_codecs::{
    Checksum, Crc32, Delimited, Envelope, Enveloped, Fixed, Layout, Length, NoChecksum, Prefixed,
    Recoverable,
    laws::{Laws, Violation},
};

/// From nothing to a frame that needs several reads.
fn payloads(most: usize) -> Vec<Bytes> {
    let sizes = [3, 0, 1, 2, 17, 127, 128, 255, 300, 5_000];
    let sizes = sizes.into_iter().filter(|&size| size <= most);
    sizes
        .map(|size| (0..size).map(|i| (i * 7) as u8).collect())
        .collect()
}

fn filled(size: usize) -> Bytes {
    Bytes::from(vec![0x5a; size])
}

fn widest(length: Length) -> usize {
    match length {
        Length::U8 => 1,
        Length::U16 | Length::U16Le => 2,
        Length::U24 | Length::U24Le => 3,
        Length::U32 | Length::U32Le => 4,
        Length::U64 | Length::U64Le => 8,
        Length::Varint => 3,
    }
}

fn prefixed(length: Length, make: impl Fn(usize) -> Prefixed) -> Result<(), Violation> {
    let most = if length == Length::U8 { 200 } else { 10_000 };
    Laws::new(|| make(most), payloads(most))
        .cap(most + widest(length))
        .oversized([filled(most + 1), filled(most + 50)])
        .uncapped(|| make(usize::MAX))
        .goes_on_after(Recoverable::is_recoverable)
        .check()
}

#[test]
fn prefixed_keeps_the_laws_with_each_length() -> Result<(), Violation> {
    Length::ALL
        .into_iter()
        .try_for_each(|length| prefixed(length, |most| Prefixed::new(length, most)))
}

#[test]
fn prefixed_keeps_the_laws_with_each_inclusive_length() -> Result<(), Violation> {
    Length::ALL
        .into_iter()
        .try_for_each(|length| prefixed(length, |most| Prefixed::new(length, most).inclusive()))
}

#[test]
fn prefixed_with_a_cap_of_megabytes_reserves_no_more_than_comes() -> Result<(), Violation> {
    Laws::new(|| Prefixed::new(Length::U32, 1 << 30), payloads(100))
        .cap(1 << 30)
        .check()
}

/// Payloads that contain neither delimiter nor line end.
fn words(most: usize) -> Vec<Bytes> {
    let sizes = [3, 0, 1, 2, 17, 128, most];
    sizes
        .map(|size| (0..size).map(|i| b'a' + (i % 26) as u8).collect())
        .to_vec()
}

fn delimited(delimiter: &'static str) -> Laws<'static, Delimited, Delimited, Bytes> {
    let most = 300;
    Laws::new(move || Delimited::new(delimiter, most), words(most))
        .cap(most + delimiter.len())
        .oversized([filled(most + 1), filled(2 * most)])
        .unencodable([Bytes::from(format!("a{delimiter}b")), delimiter.into()])
        .uncapped(move || Delimited::new(delimiter, usize::MAX))
        .goes_on_after(Recoverable::is_recoverable)
}

#[test]
fn delimited_keeps_the_laws_with_one_byte_and_with_several() -> Result<(), Violation> {
    ["\0", "\r\n", "--", "END OF FRAME"]
        .into_iter()
        .try_for_each(|delimiter| delimited(delimiter).check())
}

#[test]
fn delimited_keeps_the_laws_when_a_payload_ends_like_the_delimiter_begins() -> Result<(), Violation>
{
    let payloads = ["a", "aa", "baa", "ba", "", "aba", "bab"].map(Bytes::from);
    let codec = || Delimited::new("aab", 16);
    Laws::new(codec, payloads)
        .cap(16 + 3)
        .oversized([filled(17), filled(60)])
        .uncapped(|| Delimited::new("aab", usize::MAX))
        .unencodable(["aab", "aaab", "baabb"].map(Bytes::from))
        .goes_on_after(Recoverable::is_recoverable)
        .check()
}

#[test]
fn lines_keep_the_laws() -> Result<(), Violation> {
    let most = 300;
    Laws::new(|| Delimited::lines(most), words(most))
        .cap(most + 1)
        .oversized([filled(most + 1), filled(2 * most)])
        .unencodable(["two\nlines", "ends with\r", "\r", "\n"].map(Bytes::from))
        .uncapped(|| Delimited::lines(usize::MAX))
        .last_frame_may_be_open()
        .goes_on_after(Recoverable::is_recoverable)
        .check()
}

#[test]
fn fixed_keeps_the_laws() -> Result<(), Violation> {
    [1, 2, 3, 188, 5_000].into_iter().try_for_each(|size| {
        let frames = [0, 1, 0xff].map(|byte| Bytes::from(vec![byte; size]));
        Laws::new(|| Fixed::new(size), frames)
            .cap(size)
            .oversized([filled(size + 1)])
            .unencodable([filled(size - 1), filled(2 * size)])
            .check()
    })
}

fn enveloped<const N: usize, K: Checksum + 'static>(layout: Layout) -> Result<(), Violation> {
    let most = 1_000;
    let message = |payload: Bytes| Enveloped {
        header: [0x2a; N],
        payload,
    };
    let codec = |most| {
        let layout = layout.clone();
        move || Envelope::<N, K>::new(layout.clone(), most).unwrap()
    };
    Laws::new(codec(most), payloads(most).into_iter().map(message))
        .cap(most + 40)
        .oversized([message(filled(most + 1)), message(filled(most + 500))])
        .uncapped(codec(60_000))
        .goes_on_after(Recoverable::is_recoverable)
        .check()
}

#[test]
fn envelopes_keep_the_laws() -> Result<(), Violation> {
    let magic = || Layout::new().magic([0xf9, 0xbe, 0xb4, 0xd9]);
    enveloped::<12, Crc32>(magic().opaque(12).length(Length::U32Le).checksum())?;
    enveloped::<12, Crc32>(magic().length(Length::U16).opaque(12).trailer())?;
    enveloped::<3, NoChecksum>(Layout::new().opaque(1).length(Length::Varint).opaque(2))?;
    enveloped::<0, NoChecksum>(magic().length(Length::U24).inclusive())?;
    enveloped::<2, NoChecksum>(magic().opaque(2).length(Length::U64Le))?;
    enveloped::<2, Crc32>(Layout::new().length(Length::U64).opaque(2).checksum())
}
