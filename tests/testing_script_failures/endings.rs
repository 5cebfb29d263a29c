//! The end of the stream where none is expected, or another, or none where one is; and an end of our own.

use std::error::Error;

use tokio::io::AsyncReadExt;
use tokio_test::io::Builder;
use wattle::testing::script::Ending;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_stream_ended_instead() {
    let written = script().expect("one").expect("two");
    let failure = after_the_end(written, b"one\n").await;
    assert_text(
        &failure,
        [
            "step 2 of 2 (HERE): expected \"two\", but the other side ended the stream",
            "  0.000000s  step 1   ← \"one\"  4 bytes: \"one\\n\"",
            "  0.000000s  step 2   ← the other side ended the stream",
        ],
    );
    assert!(matches!(failure.instead, Instead::Closed(Ending::Orderly)));
}

#[tokio::test(start_paused = true)]
async fn the_stream_ended_inside_a_message() {
    for how in [Closed::Orderly, Closed::Reset, Closed::Either] {
        let (ours, theirs) = having_sent(b"\0\0\0\x05abc").await;
        drop(theirs);
        let written = frames().expect_closed(how);
        let failure = failure(written, ours, LengthDelimitedCodec::new()).await;
        let what = match how {
            Closed::Orderly => "the end of the stream",
            Closed::Reset => "a reset",
            Closed::Either => "the end of the stream or a reset",
        };
        let head = format!(
            "step 1 of 1 (HERE): expected {what}, \
             but the other side ended the stream inside a message, after 7 bytes of it"
        );
        assert_text(
            &failure,
            [
                &head,
                "  0.000000s  step 1   \
                 ← the other side ended the stream inside a message, after 7 bytes of it",
                "             unread   7 bytes: 00 00 00 05 61 62 63 |....abc|",
            ],
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_came_instead() {
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    let stream = Builder::new().read(b"one\n").read_error(reset()).build();
    let written = script().expect("one").expect("two");
    let reading = failure(written, stream, LinesCodec::new()).await;
    assert_text(
        &reading,
        [
            "step 2 of 2 (HERE): expected \"two\", but the other side reset the connection",
            "  0.000000s  step 1   ← \"one\"  4 bytes: \"one\\n\"",
            "  0.000000s  step 2   ← the other side reset the connection",
        ],
    );
    assert!(matches!(reading.instead, Instead::Closed(Ending::Reset)));

    let stream = Builder::new().read_error(reset()).build();
    let written = script().expect_closed(Closed::Orderly);
    let ended = failure(written, stream, LinesCodec::new()).await;
    assert_text(
        &ended,
        [
            "step 1 of 1 (HERE): expected the end of the stream, \
             but the other side reset the connection",
            "  0.000000s  step 1   ← the other side reset the connection",
        ],
    );

    let stream = Builder::new().write(b"a\n").write_error(reset()).build();
    let written = script().send("a").send("b").expect("c");
    let writing = failure(written, stream, LinesCodec::new()).await;
    assert_text(
        &writing,
        [
            "step 2 of 3 (HERE): expected to send \"b\", but the other side reset the connection",
            "  0.000000s  step 1   → \"a\"  2 bytes: \"a\\n\"",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn the_stream_broke_in_another_way() {
    let error = io::Error::new(io::ErrorKind::HostUnreachable, "no route");
    let stream = Builder::new().read_error(error).build();
    let written = script().expect_closed(Closed::Either);
    let failure = failure(written, stream, LinesCodec::new()).await;
    assert_text(
        &failure,
        [
            "step 1 of 1 (HERE): expected the end of the stream or a reset, \
             but the connection broke: no route",
            "  0.000000s  step 1   ← the connection broke: no route",
        ],
    );
    assert_eq!(failure.source().unwrap().to_string(), "no route");
}

#[tokio::test(start_paused = true)]
async fn the_end_came_and_no_reset() {
    let failure = after_the_end(script().expect_closed(Closed::Reset), b"").await;
    assert_text(
        &failure,
        [
            "step 1 of 1 (HERE): expected a reset, but the other side ended the stream",
            "  0.000000s  step 1   ← the other side ended the stream",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_came_before_the_end() {
    let failure = after_the_end(script().expect_closed(Closed::Either), b"wait\n").await;
    assert_text(
        &failure,
        [
            "step 1 of 1 (HERE): expected the end of the stream or a reset, but \"wait\" came",
            "  0.000000s  step 1   ← \"wait\"  5 bytes: \"wait\\n\"",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn the_connection_was_not_closed() {
    let written = script().within(3 * SECOND).expect_closed(Closed::Either);
    let failure = after_bytes(written, b"").await;
    assert_text(
        &failure,
        [
            "step 1 of 1 (HERE): expected the end of the stream or a reset, \
          but the connection was still open after 3s",
        ],
    );
    assert!(matches!(failure.instead, Instead::StillOpen { within } if within == 3 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_other_side_was_gone_before_all_was_sent() {
    let gone = |other: DuplexStream| async move {
        drop(other);
        duplex(1).0
    };
    let written = script().stall(SECOND).send("a").expect("b");
    let failure = against(written, gone).await;
    assert_text(
        &failure,
        [
            "step 2 of 3 (HERE): expected to send \"a\", but the other side ended the stream",
            "  1.000000s  step 1   stalled for 1s",
        ],
    );

    // It is not what the script expects, even if it expects it later.
    let written = script().stall(SECOND).send("a").expect_silence(SECOND);
    let failure = against(written.expect_closed(Closed::Orderly), gone).await;
    assert_eq!(failure.step.unwrap().number, 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_can_be_sent_behind_the_end_of_our_side() {
    let failure = after_bytes(script().half_close().send("more"), b"").await;
    assert_text(
        &failure,
        [
            "step 2 of 2 (HERE): expected to send \"more\", but an earlier step has ended our side",
            "  0.000000s  step 1   → the end of our side",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_in_memory_that_cant_be_reset_says_so_and_stays() {
    let (ours, mut theirs) = duplex(64);
    let mut player = Player::on(ours, LinesCodec::new());
    let failure = player.play(&script().reset()).await.unwrap_err();
    assert_text(
        &failure,
        ["step 1 of 1 (HERE): expected to reset the connection, \
          but a stream of this type can't be reset"],
    );
    player.play(&script().send("still there")).await.unwrap();
    let mut line = [0; 12];
    theirs.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"still there\n");
}

#[tokio::test]
async fn nothing_can_be_done_behind_a_reset() {
    let mut other = script().listen(addr(0)).await.unwrap();
    let at = other.local_addr();
    let written = script().reset().expect_closed(Closed::Either);
    let written = written.dial(at);
    let (played, accepted) = tokio::join!(written.play(), other.accept());
    accepted.unwrap();
    let failure = played.unwrap_err();
    assert!(matches!(failure.instead, Instead::Impossible(_)));
    let head = "step 2 of 2 (HERE): expected the end of the stream or a reset, \
                but an earlier step has reset the connection";
    let text = failure.to_string();
    let first = text.lines().next().unwrap();
    let line = failure.step.unwrap().written_at.line();
    assert_eq!(first, head.replace("HERE", &format!("{}:{line}", file!())));
    let lines: Vec<_> = text.lines().skip(1).map(|line| &line[13..]).collect();
    assert_eq!(
        lines,
        [
            format!("         dialled {at}"),
            "step 1   → a reset".into()
        ]
    );
}
