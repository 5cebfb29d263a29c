//! What doesn't come in time, or comes in a silence.

use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_came_in_time() {
    let written = script().send("ping").expect("pong");
    let failure = after_bytes(written, b"").await;
    assert_text(
        &failure,
        [
            "step 2 of 2 (HERE): expected \"pong\", but nothing came within 10s",
            "  0.000000s  step 1   → \"ping\"  5 bytes: \"ping\\n\"",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn only_a_part_of_a_message_came_in_time() {
    let written = script().within(SECOND / 2).expect("hello");
    let failure = after_bytes(written, b"hell").await;
    assert_text(
        &failure,
        [
            "step 1 of 1 (HERE): expected \"hello\", \
             but only 4 bytes of a message came within 500ms",
            "             unread   4 bytes: \"hell\"",
        ],
    );

    // The head of a frame is out of the buffer by then, and has come all the same.
    let (ours, _theirs) = having_sent(b"\0\0\0\x05").await;
    let written = frames().within(SECOND).expect(&b"hello"[..]);
    let failure = self::failure(written, ours, LengthDelimitedCodec::new()).await;
    assert!(matches!(failure.instead, Instead::Nothing { bytes: 4, .. }));
    assert_eq!(failure.transcript.rest(), &b"\0\0\0\x05"[..]);
}

#[tokio::test(start_paused = true)]
async fn each_step_has_its_own_deadline() {
    let other = |mut other: DuplexStream| async move {
        for _ in 0..2 {
            tokio::time::sleep(2 * SECOND).await;
            other.write_all(b"a\n").await.unwrap();
        }
        other
    };
    let written = script().within(3 * SECOND).expect("a").expect("a");
    let written = written.within(SECOND).expect("a");
    let failure = against(written, other).await;
    assert_text(
        &failure,
        [
            "step 3 of 3 (HERE): expected \"a\", but nothing came within 1s",
            "  2.000000s  step 1   ← \"a\"  2 bytes: \"a\\n\"",
            "  4.000000s  step 2   ← \"a\"  2 bytes: \"a\\n\"",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_was_not_taken_in_time() {
    let written = script().send("ok").send_bytes(vec![0; 1000]);
    let failure = after_bytes(written, b"").await;
    assert_text(
        &failure,
        [
            "step 2 of 2 (HERE): expected to send 1000 bytes, \
             but the other side took only 61 of 1000 bytes within 10s",
            "  0.000000s  step 1   → \"ok\"  3 bytes: \"ok\\n\"",
        ],
    );
    let written = script().trickle(vec![0; 1000], 1, SECOND);
    let failure = after_bytes(written, b"").await;
    assert!(matches!(
        failure.instead,
        Instead::NotTaken {
            written: 0,
            of: 1,
            ..
        }
    ));
    let head = "expected to send 1000 bytes, 1 byte every 1s, \
                but the other side took only 0 of 1 byte within 10s\n";
    assert!(failure.to_string().contains(head), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_message_came_in_the_silence() {
    let other = |mut other: DuplexStream| async move {
        tokio::time::sleep(SECOND / 4).await;
        other.write_all(b"psst\n").await.unwrap();
        other
    };
    let written = script().expect_silence(SECOND / 8).expect_silence(SECOND);
    let failure = against(written, other).await;
    assert_text(
        &failure,
        [
            "step 2 of 2 (HERE): expected silence for 1s, but \"psst\" came",
            "  0.125000s  step 1   silence for 125ms",
            "  0.250000s  step 2   ← \"psst\"  5 bytes: \"psst\\n\"",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_that_nobody_took_is_no_silence() {
    let written = script().expect("one").expect_silence(SECOND);
    let failure = after_bytes(written, b"one\ntwo\n").await;
    assert!(matches!(&failure.instead, Instead::Message(text) if text == "\"two\""));
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_message_came_in_the_silence() {
    let failure = after_bytes(script().expect_silence(SECOND), b"ps").await;
    assert_text(
        &failure,
        [
            "step 1 of 1 (HERE): expected silence for 1s, but 2 bytes of a message came",
            "             unread   2 bytes: \"ps\"",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn the_stream_ended_in_the_silence() {
    let failure = after_the_end(script().expect_silence(SECOND), b"").await;
    assert_text(
        &failure,
        [
            "step 1 of 1 (HERE): expected silence for 1s, but the other side ended the stream",
            "  0.000000s  step 1   ← the other side ended the stream",
        ],
    );
}
