//! What a script says when something isn't as it is written. The text is what people get to see, so
//! it is compared as a whole.

mod common;

use std::{error::Error, future::Future, io, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use common::network::{Network, black_hole};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_test::io::Builder;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec, LinesCodec};
use wattle::{
    BoxError, Peer, Protocol, Transport,
    testing::{
        Closed, Script,
        script::{Ending, Failure, Instead, Player},
    },
    transport::ByteStream,
};

const SECOND: Duration = Duration::from_secs(1);

fn script() -> Script<LinesCodec> {
    Script::new(|_| LinesCodec::new_with_max_length(16))
}

fn frames() -> Script<LengthDelimitedCodec> {
    Script::new(|_| LengthDelimitedCodec::new())
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// How a script fails that must.
async fn failure<C, T, S>(script: Script<C, T>, stream: S, codec: C) -> Failure
where
    C: Decoder<Item: std::fmt::Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
    T: Transport,
    S: ByteStream,
{
    let mut player = Player::on(stream, codec);
    player.play(&script).await.unwrap_err()
}

/// How lines fail while the other side does something, which then stays.
async fn against<F: Future<Output = DuplexStream>>(
    script: Script<LinesCodec>,
    other: impl FnOnce(DuplexStream) -> F,
) -> Failure {
    let (ours, theirs) = duplex(64);
    let codec = LinesCodec::new_with_max_length(16);
    let failing = failure(script, ours, codec);
    let (failure, _open) = tokio::join!(failing, other(theirs));
    failure
}

/// The same where the other side has sent this much.
async fn after_bytes(script: Script<LinesCodec>, bytes: &[u8]) -> Failure {
    let other = |mut other: DuplexStream| async move {
        other.write_all(bytes).await.unwrap();
        other
    };
    against(script, other).await
}

/// The same where it has also ended the stream.
async fn after_the_end(script: Script<LinesCodec>, bytes: &[u8]) -> Failure {
    let other = |mut other: DuplexStream| async move {
        other.write_all(bytes).await.unwrap();
        other.shutdown().await.unwrap();
        other
    };
    against(script, other).await
}

/// The whole text, but for where the step is written.
#[track_caller]
fn assert_text<const N: usize>(failure: &Failure, expected: [&str; N]) {
    let mut text = failure.to_string();
    if let Some(step) = &failure.step {
        let here = format!("({}:{})", file!(), step.written_at.line());
        assert!(text.contains(&here), "{text}");
        text = text.replace(&here, "(HERE)");
    }
    assert_eq!(text, expected.join("\n"));
}

// Another message.

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
    let (ours, mut theirs) = duplex(64);
    theirs.write_all(b"\0\0\0\x05\xf9hey\x7f\0").await.unwrap();
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
    let (ours, mut theirs) = duplex(8192);
    let line = [b"z".repeat(2000), b"\n".to_vec()].concat();
    theirs.write_all(&line).await.unwrap();
    theirs.write_all(&[0xab; 100]).await.unwrap();
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

// The codec.

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

    let (ours, mut theirs) = duplex(64);
    theirs.write_all(b"?\n").await.unwrap();
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

// The end.

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
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(b"\0\0\0\x05abc").await.unwrap();
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

// Time.

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
    let (ours, mut theirs) = duplex(64);
    theirs.write_all(b"\0\0\0\x05").await.unwrap();
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

// Silence.

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

// What can't be played.

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

// No connection.

#[tokio::test(start_paused = true)]
async fn it_could_not_connect() {
    let network = Network::default();
    let written = Script::over(network, |_| LinesCodec::new()).send("hello");
    let failure = written.dial(addr(7)).play().await.unwrap_err();
    assert_text(
        &failure,
        ["expected to connect to 127.0.0.1:7, but that failed: connection refused"],
    );
    assert!(failure.step.is_none());
    assert!(matches!(failure.instead, Instead::NoConnection(_)));

    let failure = written.dial(black_hole()).play().await.unwrap_err();
    assert_text(
        &failure,
        ["expected to connect to 192.0.2.1:7, but it took more than 10s"],
    );
    assert!(matches!(failure.instead, Instead::NotConnected { .. }));
}

#[tokio::test]
async fn nobody_listens_at_a_real_port() {
    let gone = script().listen(addr(0)).await.unwrap();
    let at = gone.local_addr();
    drop(gone);
    let failure = script().dial(at).connect().await.unwrap_err();
    let refused = matches!(&failure.instead, Instead::NoConnection(error)
        if error.kind() == io::ErrorKind::ConnectionRefused);
    assert!(refused, "{failure}");
}

#[tokio::test(start_paused = true)]
async fn it_could_not_listen() {
    let network = Network::default();
    let written = Script::over(network, |_| LinesCodec::new()).expect("hello");
    let _taken = written.listen(addr(7)).await.unwrap();
    let failure = written.listen(addr(7)).await.unwrap_err();
    assert_text(
        &failure,
        ["expected to listen on 127.0.0.1:7, but that failed: address in use"],
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_came() {
    let network = Network::default();
    let written = Script::over(network.clone(), |_| LinesCodec::new())
        .within(60 * SECOND)
        .expect("hello")
        .within(SECOND)
        .expect("hello");
    let mut listening = written.listen(addr(7)).await.unwrap();
    let begun = tokio::time::Instant::now();
    let failure = listening.play().await.unwrap_err();
    assert_text(
        &failure,
        [
            "expected somebody to connect to 127.0.0.1:7, but it took more than 1m"
                .replace("1m", "60s")
                .as_str(),
        ],
    );
    assert_eq!(begun.elapsed(), 60 * SECOND);

    // One came of three, and the others are not waited for one by one.
    let client = Script::over(network, |_| LinesCodec::new())
        .send("hello")
        .send("hello");
    let client = client.dial(addr(7));
    let (client, played) = tokio::join!(client.play(), listening.play_times(3));
    client.unwrap();
    assert_eq!(begun.elapsed(), 120 * SECOND);
    let succeeded: Vec<_> = played.iter().map(Result::is_ok).collect();
    assert_eq!(succeeded, [true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn the_handshake_failed_or_took_too_long() {
    struct Sour(bool);

    impl<S: ByteStream> Protocol<S> for Sour {
        type Io = S;
        type Codec = LinesCodec;

        async fn handshake(
            &self,
            stream: S,
            _: Peer,
        ) -> Result<tokio_util::codec::Framed<S, LinesCodec>, BoxError> {
            let _open = stream;
            match self.0 {
                true => Err("no common version".into()),
                false => std::future::pending().await,
            }
        }
    }

    let network = Network::default();
    let other = Script::over(network.clone(), |_| LinesCodec::new());
    let _listening = other.listen(addr(7)).await.unwrap();
    let written = Script::over(network.clone(), Sour(true));
    let failure = written.dial(addr(7)).play().await.unwrap_err();
    assert_text(
        &failure,
        ["expected to connect to 127.0.0.1:7, but the handshake failed: no common version"],
    );
    assert_eq!(failure.source().unwrap().to_string(), "no common version");

    let written = Script::over(network, Sour(false)).within(SECOND);
    let failure = written.dial(addr(7)).play().await.unwrap_err();
    assert_text(
        &failure,
        ["expected to connect to 127.0.0.1:7, but it took more than 1s"],
    );
}

// Of many.

#[tokio::test(start_paused = true)]
async fn of_many_each_has_its_own_outcome() {
    let network = Network::default();
    let greeter = Script::over(network.clone(), |_| LinesCodec::new()).send("hello");
    let mut greeter = greeter.listen(addr(7)).await.unwrap();
    let client = Script::over(network.clone(), |_| LinesCodec::new())
        .within(SECOND)
        .expect("hello");
    let client = client.dial(addr(7));
    let elsewhere = Network::default();
    let from = [network.clone(), elsewhere, network];
    let (greeted, played) = tokio::join!(greeter.play_times(2), client.play_from(from));
    assert!(greeted.iter().all(Result::is_ok));
    let succeeded: Vec<_> = played.iter().map(Result::is_ok).collect();
    assert_eq!(succeeded, [true, false, true]);
    let all: Result<Vec<_>, _> = played.into_iter().collect();
    assert_text(
        &all.unwrap_err(),
        ["expected to connect to 127.0.0.1:7, but that failed: connection refused"],
    );
}
