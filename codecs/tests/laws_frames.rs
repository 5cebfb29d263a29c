//! The frame codecs of this crate, through the laws.

use bytes::Bytes;
use wattle_codecs::{
    Length, Prefixed, Recoverable,
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

const LENGTHS: [Length; 10] = [
    Length::U8,
    Length::U16,
    Length::U16Le,
    Length::U24,
    Length::U24Le,
    Length::U32,
    Length::U32Le,
    Length::U64,
    Length::U64Le,
    Length::Varint,
];

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
    LENGTHS
        .into_iter()
        .try_for_each(|length| prefixed(length, |most| Prefixed::new(length, most)))
}

#[test]
fn prefixed_keeps_the_laws_with_each_inclusive_length() -> Result<(), Violation> {
    LENGTHS
        .into_iter()
        .try_for_each(|length| prefixed(length, |most| Prefixed::new(length, most).inclusive()))
}

#[test]
fn prefixed_with_a_cap_of_megabytes_reserves_no_more_than_comes() -> Result<(), Violation> {
    Laws::new(|| Prefixed::new(Length::U32, 1 << 30), payloads(100))
        .cap(1 << 30)
        .check()
}
