//! Another message than the expected, and messages that a codec doesn't take.

use std::error::Error;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Encoder;
use wattle::Peer;

use super::*;

#[tokio::test(start_paused = true)]
async fn another_message_came() {
    let written = script().send("GET key").expect("VALUE 1").send("QUIT");
    let failure = after_bytes(written, b"VALUE 2\nmore").await;
    assert_text(
        &failure,
        [
            "step 2 of 3 (HERE): expected \"VALUE 1\", but \"VALUE 2\" came",
            "  0.000000s  step 1   → \"GET key\"  8 bytes: \"GET key\\n\"",
            "  0.000000s  step 2   ← \"VALUE 2\"  8 bytes: \"VALUE 2\\n\"",
            "             unread   4 bytes: \"more\"",
        ],
    );
    assert!(matches!(&failure.instead, Instead::Message(text) if text == "\"VALUE 2\""));
    assert_eq!(failure.expected, "\"VALUE 1\"");
    let step = failure.step.unwrap();
    assert_eq!((step.number, step.of), (2, 3));
    assert_eq!(failure.transcript.entries().len(), 2);
    assert_eq!(failure.transcript.rest(), "more");
    assert!(failure.source().is_none());
}

#[tokio::test(start_paused = true)]
async fn another_message_than_was_described_came() {
    let written = script()
        .expect("hello")
        .expect_matching("an even number", |line| {
            line.parse().is_ok_and(|n: u32| n.is_multiple_of(2))
        });
    let failure = after_bytes(written, b"hello\n7\n").await;
    assert_text(
        &failure,
        [
            "step 2 of 2 (HERE): expected an even number, but \"7\" came",
            "  0.000000s  step 1   ← \"hello\"  6 bytes: \"hello\\n\"",
            "  0.000000s  step 2   ← \"7\"  2 bytes: \"7\\n\"",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn the_line_of_the_test_is_in_the_text() {
    let line = line!() + 1;
    let written = script().expect("a");
    let failure = after_bytes(written, b"b\n").await;
    let step = failure.step.unwrap();
    assert_eq!(
        (step.written_at.file(), step.written_at.line()),
        (file!(), line)
    );
    let begins = format!("step 1 of 1 ({}:{line}): expected", file!());
    assert!(failure.to_string().starts_with(&begins));
    // As `unwrap` shows it.
    assert_eq!(format!("{failure:?}"), failure.to_string());
}

#[tokio::test(start_paused = true)]
async fn what_happened_beside_the_script_has_no_step() {
    let written = script()
        .auto_reply(|line| (line == "ping").then_some("pong"))
        .ignore(|line| line.starts_with('#'))
        .stall(SECOND)
        .expect("end");
    let failure = after_bytes(written, b"ping\n# 1\nend.\n").await;
    assert_text(
        &failure,
        [
            "step 2 of 2 (HERE): expected \"end\", but \"end.\" came",
            "  1.000000s  step 1   stalled for 1s",
            "  1.000000s           ← \"ping\"  5 bytes: \"ping\\n\"",
            "  1.000000s           → \"pong\"  5 bytes: \"pong\\n\"",
            "  1.000000s           ← \"# 1\"  4 bytes: \"# 1\\n\"",
            "  1.000000s  step 2   ← \"end.\"  5 bytes: \"end.\\n\"",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_text_are_shown_as_numbers() {
    let (ours, _theirs) = having_sent(b"\0\0\0\x05\xf9hey\x7f\0").await;
    let written = frames()
        .send(Bytes::from_static(b"\x01\x02"))
        .expect(Bytes::from_static(b"\xf9hey\x80"));
    let failure = failure(written, ours, LengthDelimitedCodec::new()).await;
    assert_text(
        &failure,
        [
            "step 2 of 2 (HERE): expected b\"\\xf9hey\\x80\", but b\"\\xf9hey\\x7f\" came",
            "  0.000000s  step 1   → b\"\\x01\\x02\"  6 bytes: 00 00 00 02 01 02 |......|",
            "  0.000000s  step 2   ← b\"\\xf9hey\\x7f\"  \
             9 bytes: 00 00 00 05 f9 68 65 79 7f |.....hey.|",
            "             unread   1 byte: 00 |.|",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn long_messages_are_shown_in_part() {
    let bytes = [b"z".repeat(2000), b"\n".to_vec(), vec![0xab; 100]].concat();
    let (ours, _theirs) = having_sent(&bytes).await;
    let written = script().expect("short");
    let failure = failure(written, ours, LinesCodec::new()).await;
    let message = format!("\"{}…", "z".repeat(239));
    let came = format!("step 1 of 1 (HERE): expected \"short\", but {message} came");
    let text = "z".repeat(64);
    let received = format!("  0.000000s  step 1   ← {message}  2001 bytes: \"{text}\"…");
    let numbers = "ab ".repeat(24);
    let dots = ".".repeat(24);
    let unread = format!("             unread   100 bytes: {numbers}|{dots}|…");
    assert_text(&failure, [&came, &received, &unread]);
}

#[tokio::test(start_paused = true)]
async fn what_came_could_not_be_decoded() {
    let written = script().expect("hello");
    let failure = after_bytes(written, b"more than sixteen\n").await;
    assert_text(
        &failure,
        [
            "step 1 of 1 (HERE): expected \"hello\", \
             but what came can't be decoded: max line length exceeded",
            "             unread   18 bytes: \"more than sixteen\\n\"",
        ],
    );
    assert!(matches!(failure.instead, Instead::Undecodable(_)));
    assert_eq!(
        failure.source().unwrap().to_string(),
        "max line length exceeded"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_to_be_sent_could_not_be_encoded() {
    struct Picky(LinesCodec);

    impl Decoder for Picky {
        type Item = String;
        type Error = BoxError;

        fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<String>, BoxError> {
            Ok(self.0.decode(bytes)?)
        }
    }

    impl Encoder<u32> for Picky {
        type Error = BoxError;

        fn encode(&mut self, number: u32, bytes: &mut BytesMut) -> Result<(), BoxError> {
            match number {
                13 => Err("unlucky".into()),
                _ => Ok(self.0.encode(number.to_string(), bytes)?),
            }
        }
    }

    let (ours, _theirs) = duplex(64);
    let picky = |_: Peer| Picky(LinesCodec::new());
    let written = Script::new(picky).send(12).send(13);
    let sending = failure(written, ours, Picky(LinesCodec::new())).await;
    assert_text(
        &sending,
        [
            "step 2 of 2 (HERE): expected to send 13, but it can't be encoded: unlucky",
            "  0.000000s  step 1   → 12  3 bytes: \"12\\n\"",
        ],
    );
    assert!(matches!(sending.instead, Instead::Unencodable(_)));

    let (ours, _theirs) = having_sent(b"?\n").await;
    let written = Script::new(picky).auto_reply(|_| Some(13)).expect("a");
    let replying = failure(written, ours, Picky(LinesCodec::new())).await;
    assert_text(
        &replying,
        [
            "step 1 of 1 (HERE): expected \"a\", but it can't be encoded: unlucky",
            "  0.000000s           ← \"?\"  2 bytes: \"?\\n\"",
        ],
    );
}
