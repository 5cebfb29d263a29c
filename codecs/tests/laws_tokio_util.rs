//! tokio-util's codecs (0.7.20) through the laws: what they keep, and what they break.
//!
//! | codec | breaks | where it was reported |
//! |---|---|---|
//! | `LinesCodec` | round trip of text with a newline | tokio #791, closed: as intended |
//! | `LinesCodec` | the cap, when encoding | not reported as far as we found |
//! | `LinesCodec::new` | the cap, when decoding: it has none | tokio #186, since then there is `new_with_max_length` |
//! | `AnyDelimiterCodec` | round trip, when it writes a sequence of more than one delimiter | as its pull request describes it, tokio #3406 |
//! | `AnyDelimiterCodec` | the cap, when encoding | not reported as far as we found |
//! | `LengthDelimitedCodec` | memory, when its cap is beyond 64 KiB: it reserves what is announced | tokio #333, closed: the pages aren't touched before bytes come |
//! | `LengthDelimitedCodec` | the end: cut off right behind a length, a frame counts as a clean end | not reported as far as we found |
//! | `LengthDelimitedCodec` with a negative adjustment | round trip of a frame of exactly the cap | tokio #4815, open |
//! | `LengthDelimitedCodec` with a positive adjustment | the cap, when decoding | tokio #8469, an open pull request |
//! | `LengthDelimitedCodec` with `num_skip(0)` | everything, unless the adjustment makes up for it | tokio #6604 and #8348, closed: the examples in the docs were wrong |
//! | `BytesCodec` | everything that is about frames: it has none | tokio #5462: as intended |

use std::fmt::Debug;

use bytes::Bytes;
use tokio_util::codec::{
    AnyDelimiterCodec, BytesCodec, Decoder, Encoder, LengthDelimitedCodec, LinesCodec,
};
use wattle_codecs::{
    Recoverable,
    laws::{self, Law, Laws, Violation},
};

/// The laws that are broken.
fn broken<E, D, Out>(laws: Laws<'_, E, D, Out>) -> Vec<Law>
where
    E: Encoder<Out, Error: Debug>,
    D: Decoder<Item: Debug, Error: Debug>,
    Out: Clone + Debug,
{
    laws.violations().iter().map(Violation::law).collect()
}

const CAP: usize = 32;

fn texts() -> Vec<String> {
    let texts = ["a", "", "two words", "ünïcödé", "\t"];
    let longest = "x".repeat(CAP);
    texts
        .map(str::to_owned)
        .into_iter()
        .chain([longest])
        .collect()
}

fn payloads() -> Vec<Bytes> {
    vec![
        Bytes::from("abc"),
        Bytes::new(),
        Bytes::from("x"),
        Bytes::from(vec![7; CAP]),
    ]
}

fn too_long() -> Bytes {
    Bytes::from(vec![7; CAP + 1])
}

fn lines() -> LinesCodec {
    LinesCodec::new_with_max_length(CAP)
}

fn chunks() -> AnyDelimiterCodec {
    AnyDelimiterCodec::new_with_max_length(b",;".to_vec(), b";".to_vec(), CAP)
}

fn length_delimited(most: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(most)
        .new_codec()
}

#[test]
fn lines_keep_the_laws_of_frames() -> Result<(), Violation> {
    Laws::new(lines, texts())
        .cap(CAP + 1)
        .last_frame_may_be_open()
        .goes_on_after(Recoverable::is_recoverable)
        .check()
}

#[test]
fn the_last_line_needs_no_newline() {
    assert_eq!(broken(Laws::new(lines, texts())), [Law::End]);
}

#[test]
fn a_line_with_a_newline_is_two() {
    let violation = laws::check(lines, ["two\nlines"]).unwrap_err();
    assert_eq!(violation.law(), Law::RoundTrip);
    assert_eq!(violation.came(), r#"item 1: "two""#);
}

#[test]
fn a_line_loses_the_carriage_return_at_its_end() {
    let violation = laws::check(lines, ["\r"]).unwrap_err();
    assert_eq!(violation.law(), Law::RoundTrip);
    assert_eq!(violation.came(), r#"item 1: """#);
}

#[test]
fn lines_beyond_the_cap_are_written_but_not_read() {
    let laws = Laws::new(lines, texts())
        .cap(CAP + 1)
        .oversized(["x".repeat(CAP + 1)])
        .uncapped(LinesCodec::new)
        .last_frame_may_be_open();
    let violations = laws.violations();
    let laws: Vec<_> = violations.iter().map(Violation::law).collect();
    assert_eq!(laws, [Law::FailedEncode, Law::Cap]);
    for violation in violations {
        assert_eq!(violation.came(), "encode: Ok(())");
    }
}

/// With the encoder of a codec that does refuse them, the decoder is looked at.
#[test]
fn lines_without_a_maximum_have_none() {
    #[derive(Debug)]
    struct Refusing;

    impl Encoder<String> for Refusing {
        type Error = std::io::Error;

        fn encode(&mut self, line: String, dst: &mut bytes::BytesMut) -> std::io::Result<()> {
            if line.len() > CAP {
                return Err(std::io::ErrorKind::InvalidInput.into());
            }
            let encoded = LinesCodec::new().encode(line, dst);
            encoded.map_err(std::io::Error::other)
        }
    }

    let laws = |decoder: fn() -> LinesCodec| {
        Laws::pair(move || (Refusing, decoder()), texts())
            .cap(CAP + 1)
            .oversized(["x".repeat(5_000)])
            .uncapped(LinesCodec::new)
            .last_frame_may_be_open()
    };
    assert!(laws(lines).check().is_ok());
    let violation = laws(LinesCodec::new).check().unwrap_err();
    assert_eq!(violation.law(), Law::Cap);
    assert!(violation.came().contains("waits for more"), "{violation}");
}

#[test]
fn chunks_between_delimiters_keep_the_laws_of_frames() -> Result<(), Violation> {
    Laws::new(chunks, texts())
        .cap(CAP + 1)
        .last_frame_may_be_open()
        .goes_on_after(Recoverable::is_recoverable)
        .check()
}

#[test]
fn each_byte_of_a_sequence_of_delimiters_ends_a_chunk() {
    let both = || AnyDelimiterCodec::new(b"\r\n".to_vec(), b"\r\n".to_vec());
    let violation = laws::check(both, texts()).unwrap_err();
    assert_eq!(violation.law(), Law::RoundTrip);
    assert_eq!(violation.expected(), "item 2: nothing more");
    assert_eq!(violation.came(), r#"item 2: b"""#);
}

#[test]
fn chunks_beyond_the_cap_are_written_but_not_read() {
    let laws = Laws::new(chunks, texts())
        .oversized(["x".repeat(CAP + 1)])
        .last_frame_may_be_open();
    assert_eq!(broken(laws), [Law::FailedEncode, Law::Cap]);
}

#[test]
fn a_frame_that_ends_behind_its_length_passes_for_a_clean_end() {
    let laws = Laws::new(|| length_delimited(CAP), payloads())
        .cap(4 + CAP)
        .oversized([too_long(), Bytes::from(vec![7; 5_000])])
        .uncapped(LengthDelimitedCodec::new);
    let violations = laws.violations();
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert_eq!(violations[0].law(), Law::End);
    assert_eq!(violations[0].wire(), b"\0\0\0\x03");
    assert!(violations[0].came().starts_with("Ok(None)"));
    assert!(laws.without(Law::End).check().is_ok());
}

#[test]
fn an_announced_length_is_reserved_at_once() {
    let violation = laws::reserve(LengthDelimitedCodec::new, payloads()).unwrap_err();
    assert_eq!(violation.wire(), b"\0\x10\0\x03abc");
    assert!(violation.came().starts_with("a capacity of 1048"));
    assert!(laws::reserve(|| length_delimited(64 * 1024), payloads()).is_ok());
}

#[test]
fn a_negative_adjustment_makes_the_cap_smaller_for_the_decoder() {
    let inclusive = || {
        LengthDelimitedCodec::builder()
            .max_frame_length(CAP)
            .length_adjustment(-4)
            .new_codec()
    };
    let violation = laws::round_trip(inclusive, payloads()).unwrap_err();
    assert_eq!(violation.wire().len(), 4 + CAP);
    assert!(violation.came().contains("LengthDelimitedCodecError"));
}

#[test]
fn a_positive_adjustment_makes_the_cap_larger_for_the_decoder() {
    let adjusted = |most: usize| {
        move || {
            LengthDelimitedCodec::builder()
                .max_frame_length(most)
                .length_adjustment(2)
                .new_codec()
        }
    };
    let oversized = [Bytes::from(vec![7; CAP + 1])];
    let messages = [Bytes::from("abc"), Bytes::from(vec![7; CAP])];
    let capped = laws::cap_holds(adjusted(CAP), adjusted(1_000), messages, 4 + CAP, oversized);
    assert!(capped.unwrap_err().came().starts_with(r#"b"\x07"#));
}

#[test]
fn a_length_that_is_not_skipped_comes_with_the_payload_and_cuts_it_off() {
    let unskipped = || LengthDelimitedCodec::builder().num_skip(0).new_codec();
    let violation = laws::check(unskipped, payloads()).unwrap_err();
    assert_eq!(violation.law(), Law::RoundTrip);
    assert_eq!(violation.came(), r#"item 1: b"\0\0\0""#);
}

#[test]
fn bytes_without_frames_break_the_laws_of_frames() {
    let messages = [Bytes::from("abc"), Bytes::from("d")];
    let by_design = [
        Law::EverySplit,
        Law::ManyInOneRead,
        Law::End,
        Law::Garbage,
        Law::NoOverRead,
        Law::StateSurvives,
    ];
    assert_eq!(broken(Laws::new(BytesCodec::new, messages)), by_design);
}
