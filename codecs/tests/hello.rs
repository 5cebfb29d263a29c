//! The exchange of hellos: what is on the wire, what is agreed on, who is refused and how both learn
//! of it.

use std::{
    io,
    ops::RangeInclusive,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use tokio_test::io::Builder;
use tokio_util::codec::{Framed, LinesCodec};
use wattle_codecs::hello::{
    Agreed, Hello, HelloError, MAX_IDENTITY, MAX_MAGIC, Part, Refusal, Remote,
};

const ACCEPTED: [u8; 3] = [0, 0, 0];

fn ours() -> Hello {
    Hello::new(b"test", 2..=5).features(0b0111).identity("us")
}

/// `test`, versions 1 to 3, features 0b1110, identity `them`.
fn their_hello() -> Vec<u8> {
    let mut hello = b"test".to_vec();
    hello.extend([0, 22]);
    hello.extend([0, 0, 0, 1]);
    hello.extend([0, 0, 0, 3]);
    hello.extend([0, 0, 0, 0, 0, 0, 0, 0b1110]);
    hello.extend([0, 4]);
    hello.extend(b"them");
    hello
}

fn our_hello() -> Vec<u8> {
    let mut hello = b"test\x00\x14\x00\x00\x00\x02\x00\x00\x00\x05".to_vec();
    hello.extend(b"\x00\x00\x00\x00\x00\x00\x00\x07\x00\x02us");
    hello
}

fn lines(_: &Agreed) -> LinesCodec {
    LinesCodec::new_with_max_length(64)
}

type Outcome<IO> = Result<(Framed<IO, LinesCodec>, Agreed), HelloError>;

async fn exchange<IO: AsyncRead + AsyncWrite + Unpin>(hello: &Hello, io: IO) -> Outcome<IO> {
    hello.exchange(io, |_| Ok(()), lines).await
}

/// A remote that has sent all that it ever will, and takes whatever it gets.
#[derive(Debug)]
struct Script {
    input: Bytes,
    /// At most this much at once.
    block: usize,
    sent: Vec<u8>,
    is_shut_down: bool,
}

impl Script {
    fn new(input: impl Into<Bytes>) -> Self {
        Self {
            input: input.into(),
            block: usize::MAX,
            sent: Vec::new(),
            is_shut_down: false,
        }
    }

    fn in_blocks(mut self, block: usize) -> Self {
        self.block = block;
        self
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.block.min(buf.remaining()).min(self.input.len());
        buf.put_slice(&self.input.split_to(size));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.sent.extend(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut_down = true;
        Poll::Ready(Ok(()))
    }
}

/// What becomes of an exchange with a script. It never waits: a pending exchange is a bug.
fn play(hello: &Hello, script: Script) -> Outcome<Script> {
    exchange(hello, script)
        .now_or_never()
        .expect("a script is never pending")
}

fn fail(input: impl Into<Bytes>) -> HelloError {
    play(&ours(), Script::new(input)).expect_err("no agreement")
}

fn their_hello_with(body: &[u8]) -> Vec<u8> {
    let mut hello = b"test".to_vec();
    hello.extend((body.len() as u16).to_be_bytes());
    hello.extend(body);
    hello
}

fn with_verdict(mut hello: Vec<u8>, verdict: &[u8]) -> Vec<u8> {
    hello.extend(verdict);
    hello
}

#[test]
fn the_bytes_are_those_of_the_docs() {
    let input = with_verdict(their_hello(), &ACCEPTED);
    let (framed, agreed) = play(&ours(), Script::new(input)).unwrap();
    assert_eq!(framed.get_ref().sent, with_verdict(our_hello(), &ACCEPTED));
    assert!(!framed.get_ref().is_shut_down);
    assert_eq!((agreed.version, agreed.features), (3, 0b0110));
    let Remote {
        versions,
        features,
        identity,
        ..
    } = agreed.remote;
    assert_eq!((versions, features), (1..=3, 0b1110));
    assert_eq!(identity, "them");
}

#[test]
fn every_split_comes_to_the_same() {
    let mut input = with_verdict(their_hello(), &ACCEPTED);
    input.extend(b"first\nsecond\n");
    for block in 1..=input.len() {
        let script = Script::new(input.clone()).in_blocks(block);
        let (framed, agreed) = play(&ours(), script).unwrap();
        assert_eq!(agreed.version, 3, "blocks of {block}");
        let lines: Vec<_> = framed.map(Result::unwrap).collect().now_or_never().unwrap();
        assert_eq!(lines, ["first", "second"], "blocks of {block}");
    }
}

#[tokio::test]
async fn two_segments_split_anywhere_come_to_the_same() {
    let mut input = with_verdict(their_hello(), &ACCEPTED);
    input.extend(b"first\n");
    for split in 0..=input.len() {
        let mut script = Builder::new();
        script.write(&our_hello());
        if split < their_hello().len() {
            script
                .read(&input[..split])
                .read(&input[split..])
                .write(&ACCEPTED);
        } else {
            script
                .read(&input[..split])
                .write(&ACCEPTED)
                .read(&input[split..]);
        }
        let (mut framed, _) = exchange(&ours(), script.build()).await.unwrap();
        assert_eq!(
            framed.next().await.unwrap().unwrap(),
            "first",
            "split at {split}"
        );
    }
}

#[tokio::test]
async fn frames_in_the_segment_of_the_verdict_are_the_sessions() {
    let (io, mut remote) = duplex(1024);
    let mut input = with_verdict(their_hello(), &ACCEPTED);
    input.extend(b"first\nsec");
    remote.write_all(&input).await.unwrap();
    let (mut framed, _) = exchange(&ours(), io).await.unwrap();
    assert!(framed.read_buffer().is_empty());
    assert_eq!(framed.next().await.unwrap().unwrap(), "first");
    remote.write_all(b"ond\n").await.unwrap();
    assert_eq!(framed.next().await.unwrap().unwrap(), "second");
}

#[test]
fn every_truncation_is_told() {
    let input = with_verdict(their_hello(), &ACCEPTED);
    let hello = their_hello().len();
    for end in 0..input.len() {
        let HelloError::Ended { inside, came, at } = fail(input[..end].to_vec()) else {
            panic!("truncated after {end}");
        };
        if end < hello {
            assert_eq!((inside, came, at), (Part::Hello, end, 0));
        } else {
            assert_eq!(
                (inside, came, at),
                (Part::Verdict, end - hello, hello as u64)
            );
        }
    }
    assert_eq!(
        fail(input[..29].to_vec()).to_string(),
        "verdict at byte 28: the stream ended after 1 bytes of it"
    );
    assert_eq!(
        fail("").to_string(),
        "hello at byte 0: the stream ended after 0 bytes of it"
    );
}

#[tokio::test]
async fn two_sides_agree_over_a_pipe_of_one_byte() {
    let theirs = Hello::new(b"test", 1..=3)
        .features(0b1110)
        .identity(vec![b'x'; MAX_IDENTITY]);
    for size in [1, 2, 7, 64] {
        let (a, b) = duplex(size);
        let (ours, theirs) = (ours(), theirs.clone());
        let (left, right) = tokio::join!(exchange(&ours, a), exchange(&theirs, b));
        let ((mut left, at_left), (mut right, at_right)) = (left.unwrap(), right.unwrap());
        assert_eq!((at_left.version, at_left.features), (3, 0b0110));
        assert_eq!((at_right.version, at_right.features), (3, 0b0110));
        assert_eq!(at_left.remote.identity.len(), MAX_IDENTITY);
        assert_eq!(at_right.remote.identity, "us");
        let (sent, came) = tokio::join!(left.send("a line"), right.next());
        sent.unwrap();
        assert_eq!(came.unwrap().unwrap(), "a line");
    }
}

#[tokio::test]
async fn the_codec_is_made_from_what_was_agreed() {
    let (a, b) = duplex(64);
    let (hello, other) = (Hello::new(b"m", 1..=9), Hello::new(b"m", 4..=7));
    let made = |agreed: &Agreed| LinesCodec::new_with_max_length(agreed.version as usize);
    let (left, right) = tokio::join!(
        hello.exchange(a, |_| Ok(()), made),
        other.exchange(b, |_| Ok(()), made)
    );
    assert_eq!(left.unwrap().0.codec().max_length(), 7);
    assert_eq!(right.unwrap().0.codec().max_length(), 7);
}

async fn versions(left: RangeInclusive<u32>, right: RangeInclusive<u32>) -> [Option<u32>; 2] {
    let (a, b) = duplex(64);
    let (left, right) = (Hello::new(b"m", left), Hello::new(b"m", right));
    let (left, right) = tokio::join!(exchange(&left, a), exchange(&right, b));
    [left, right].map(|side| match side {
        Ok((_, agreed)) => Some(agreed.version),
        Err(HelloError::NoCommonVersion { .. }) => None,
        Err(other) => panic!("{other}"),
    })
}

#[tokio::test]
async fn the_highest_common_version_is_agreed_on_by_both() {
    for (left, right, common) in [
        (1..=3, 1..=3, Some(3)),
        (1..=3, 3..=5, Some(3)),
        (1..=9, 4..=6, Some(6)),
        (2..=2, 1..=u32::MAX, Some(2)),
        (0..=0, 0..=7, Some(0)),
        (1..=5, 3..=8, Some(5)),
        (1..=3, 4..=6, None),
        (0..=0, u32::MAX..=u32::MAX, None),
    ] {
        assert_eq!(versions(left.clone(), right.clone()).await, [common; 2]);
        assert_eq!(versions(right, left).await, [common; 2]);
    }
}

#[tokio::test]
async fn without_a_common_version_each_side_has_its_own_error() {
    let (a, b) = duplex(64);
    let (left, right) = (Hello::new(b"m", 1..=3), Hello::new(b"m", 5..=6));
    let (left, right) = tokio::join!(exchange(&left, a), exchange(&right, b));
    let (left, right) = (left.unwrap_err(), right.unwrap_err());
    let HelloError::NoCommonVersion { ours, theirs } = &left else {
        panic!("{left}");
    };
    assert_eq!((ours, theirs), (&(1..=3), &(5..=6)));
    let text = "no common version: we speak 1 to 3, the remote speaks 5 to 6";
    assert_eq!(left.to_string(), text);
    let text = "no common version: we speak 5 to 6, the remote speaks 1 to 3";
    assert_eq!(right.to_string(), text);
}

#[test]
fn a_remote_without_a_common_version_is_told_so() {
    let hello = Hello::new(b"test", 7..=9);
    let mut script = Script::new(with_verdict(their_hello(), &ACCEPTED));
    let error = hello
        .exchange(&mut script, |_| Ok(()), lines)
        .now_or_never()
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(error, HelloError::NoCommonVersion { .. }),
        "{error}"
    );
    let told = b"\0\x01\x22no common version: expected 7 to 9";
    assert!(
        script.sent.ends_with(told),
        "{}",
        script.sent.escape_ascii()
    );
    assert!(script.is_shut_down);
}

#[tokio::test]
async fn a_feature_that_is_required_and_missing_is_told_to_both() {
    let (a, b) = duplex(64);
    let left = Hello::new(b"m", 1..=1).features(0b001).required(0b110);
    let right = Hello::new(b"m", 1..=1).features(0b011);
    let (left, right) = tokio::join!(exchange(&left, a), exchange(&right, b));
    let left = left.unwrap_err();
    let HelloError::MissingFeatures { required, theirs } = left else {
        panic!("{left}");
    };
    assert_eq!((required, theirs), (0b110, 0b011));
    assert_eq!(
        left.to_string(),
        "the remote lacks the features 0x4: we require 0x6, it has 0x3"
    );
    let right = right.unwrap_err();
    let HelloError::Refused { refusal } = &right else {
        panic!("{right}");
    };
    assert_eq!(refusal.code(), Refusal::MISSING_FEATURES);
    assert_eq!(
        right.to_string(),
        r#"the remote refused us: 2, "missing features: expected 0x6""#
    );
}

#[tokio::test]
async fn what_is_required_is_announced_and_agreed_on() {
    let (a, b) = duplex(64);
    let left = Hello::new(b"m", 1..=1).required(0b10);
    let right = Hello::new(b"m", 1..=1).features(0b11);
    let (left, right) = tokio::join!(exchange(&left, a), exchange(&right, b));
    assert_eq!(left.unwrap().1.features, 0b10);
    assert_eq!(right.unwrap().1.features, 0b10);
}

fn ban(_: &Agreed) -> Result<(), Refusal> {
    Err(Refusal::new(300, "banned\n"))
}

async fn refuse(size: usize) -> (HelloError, HelloError) {
    let (a, b) = duplex(size);
    let hello = ours();
    let (left, right) = tokio::join!(hello.exchange(a, ban, lines), exchange(&hello, b));
    (left.unwrap_err(), right.unwrap_err())
}

#[tokio::test]
async fn a_refusal_by_the_check_reaches_the_other_side() {
    for size in [1, 5, 1024] {
        let (left, right) = refuse(size).await;
        assert!(matches!(left, HelloError::Declined { .. }), "{left}");
        assert_eq!(
            left.to_string(),
            r#"we refused the remote: 300, "banned\n""#
        );
        let HelloError::Refused { refusal } = &right else {
            panic!("{right}");
        };
        assert_eq!((refusal.code(), refusal.text()), (300, "banned\n"));
        assert_eq!(
            right.to_string(),
            r#"the remote refused us: 300, "banned\n""#
        );
    }
}

#[tokio::test]
async fn two_sides_that_refuse_each_other_each_have_their_own_reason() {
    for size in [1, 1024] {
        let (a, b) = duplex(size);
        let hello = ours();
        let full = |_: &Agreed| Err(Refusal::new(301, "full"));
        let (left, right) = tokio::join!(
            hello.exchange(a, ban, lines),
            hello.exchange(b, full, lines)
        );
        assert_eq!(
            left.unwrap_err().to_string(),
            r#"we refused the remote: 300, "banned\n""#
        );
        assert_eq!(
            right.unwrap_err().to_string(),
            r#"we refused the remote: 301, "full""#
        );
    }
}

#[test]
fn the_check_sees_the_agreement_and_isnt_asked_without_one() {
    let input = with_verdict(their_hello(), &ACCEPTED);
    let see = |agreed: &Agreed| {
        assert_eq!((agreed.version, agreed.features), (3, 0b0110));
        assert_eq!(agreed.remote.identity, "them");
        Err(Refusal::new(Refusal::APPLICATION, "seen"))
    };
    let hello = ours();
    let outcome = hello.exchange(Script::new(input.clone()), see, lines);
    assert!(matches!(
        outcome.now_or_never().unwrap(),
        Err(HelloError::Declined { .. })
    ));

    let never = |_: &Agreed| -> Result<(), Refusal> { unreachable!("there is no agreement") };
    let other = Hello::new(b"test", 9..=9);
    let outcome = other.exchange(Script::new(input), never, lines);
    assert!(matches!(
        outcome.now_or_never().unwrap(),
        Err(HelloError::NoCommonVersion { .. })
    ));
}

#[test]
fn our_refusal_is_the_error_even_if_the_remote_says_nothing_more() {
    let mut script = Script::new(their_hello());
    let error = ours()
        .exchange(&mut script, ban, lines)
        .now_or_never()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, HelloError::Declined { .. }), "{error}");
    assert!(script.sent.ends_with(b"\x01\x2c\x07banned\n"));
    assert!(script.is_shut_down);
}

/// It has closed its side and is slow to read.
#[tokio::test]
async fn a_refusal_is_written_to_the_end_even_if_the_remote_says_nothing_more() {
    let (io, mut remote) = duplex(64);
    let side = tokio::spawn(async move {
        let check = |_: &Agreed| Err(Refusal::new(300, "x".repeat(200)));
        ours().exchange(io, check, lines).await.unwrap_err()
    });
    remote.write_all(&their_hello()).await.unwrap();
    remote.shutdown().await.unwrap();
    let mut came = Vec::new();
    remote.read_to_end(&mut came).await.unwrap();
    let mut verdict = vec![1, 44, 200];
    verdict.extend([b'x'; 200]);
    assert_eq!(came, with_verdict(our_hello(), &verdict));
    assert!(matches!(side.await.unwrap(), HelloError::Declined { .. }));
}

/// As a program of another make may do: it refuses without waiting for our verdict, so that writing
/// ours fails.
#[tokio::test]
async fn a_refusal_is_read_though_our_verdict_can_no_longer_be_written() {
    let mut input = with_verdict(their_hello(), &[1, 44, 4]);
    input.extend(b"full");
    let script = Builder::new()
        .write(&our_hello())
        .read(&input[..their_hello().len()])
        .write_error(io::ErrorKind::BrokenPipe.into())
        .read(&input[their_hello().len()..])
        .build();
    let error = exchange(&ours(), script).await.unwrap_err();
    assert_eq!(error.to_string(), r#"the remote refused us: 300, "full""#);
}

#[tokio::test]
async fn an_acceptance_is_worth_nothing_if_ours_cant_be_written() {
    let script = Builder::new()
        .write(&our_hello())
        .read(&their_hello())
        .write_error(io::ErrorKind::BrokenPipe.into())
        .read(&ACCEPTED)
        .build();
    let error = exchange(&ours(), script).await.unwrap_err();
    let HelloError::Io(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

/// The whole way over TCP, where a connection that is closed with unread bytes is reset.
#[tokio::test]
async fn a_refusal_survives_that_the_refuser_closes_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    for _ in 0..50 {
        let refuser = async {
            let (stream, _) = listener.accept().await.unwrap();
            ours().exchange(stream, ban, lines).await.unwrap_err()
        };
        let refused = async {
            let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
            exchange(&ours(), stream).await.unwrap_err()
        };
        let (_, error) = tokio::join!(refuser, refused);
        assert!(matches!(error, HelloError::Refused { .. }), "{error}");
    }
}

#[test]
fn the_text_of_an_acceptance_and_an_extended_hello_are_skipped() {
    let mut body = their_hello()[6..].to_vec();
    body.extend(b"what version two of this format has");
    let mut input = with_verdict(their_hello_with(&body), b"\0\0\x03new");
    input.extend(b"first\n");
    let (mut framed, agreed) = play(&ours(), Script::new(input)).unwrap();
    assert_eq!(agreed.remote.identity, "them");
    assert_eq!(
        framed.next().now_or_never().unwrap().unwrap().unwrap(),
        "first"
    );
}

#[tokio::test]
async fn a_stranger_is_turned_away_at_the_first_wrong_byte() {
    for wrong in 0..4 {
        let mut came = b"test"[..=wrong].to_vec();
        came[wrong] = b'!';
        let (io, mut remote) = duplex(1024);
        remote.write_all(&came).await.unwrap();
        // The stranger says nothing more, and doesn't close.
        let error = exchange(&ours(), io).await.unwrap_err();
        let HelloError::Magic {
            expected,
            came: told,
            at,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((&expected[..], at), (&b"test"[..], wrong as u64));
        assert_eq!(told, came);
        drop(remote);
    }
    let error = fail("\x16\x03\x01 a TLS client");
    assert_eq!(
        error.to_string(),
        r#"another protocol: expected "test", came "\x16\x03\x01 ", wrong from byte 0"#
    );
}

/// It is turned away even if it reads nothing: our hello doesn't have to be written first.
#[tokio::test]
async fn a_stranger_that_doesnt_read_is_turned_away() {
    let (io, mut remote) = duplex(3);
    remote.write_all(b"GET").await.unwrap();
    let error = exchange(&ours(), io).await.unwrap_err();
    assert!(matches!(error, HelloError::Magic { at: 0, .. }), "{error}");
}

#[tokio::test]
async fn an_announced_length_is_judged_before_anything_else_comes() {
    for announced in [0, 17, 4097, u16::MAX] {
        let (io, mut remote) = duplex(1024);
        let mut came = b"test".to_vec();
        came.extend(announced.to_be_bytes());
        remote.write_all(&came).await.unwrap();
        let error = exchange(&ours(), io).await.unwrap_err();
        let HelloError::Length {
            announced: told,
            least,
            most,
            at,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((told, least, most, at), (announced, 18, 4096, 4));
        assert_eq!(
            error.to_string(),
            format!("hello with length {announced} at byte 4, expected 18 to 4096")
        );
    }
}

#[test]
fn the_shortest_and_the_longest_hello_are_fine() {
    let mut body = their_hello()[6..24].to_vec();
    body[16..].fill(0);
    for length in [18, 4096] {
        body.resize(length, 0xaa);
        let input = with_verdict(their_hello_with(&body), &ACCEPTED);
        let (_, agreed) = play(&ours(), Script::new(input)).unwrap();
        assert_eq!(agreed.remote.identity, "", "{length}");
    }
}

#[test]
fn an_identity_beyond_the_cap_or_the_hello_is_an_error() {
    let most = MAX_IDENTITY as u16;
    let hello = |announced: u16, there: usize| {
        let mut body = their_hello()[6..24].to_vec();
        body[16..].copy_from_slice(&announced.to_be_bytes());
        body.resize(18 + there, b'x');
        with_verdict(their_hello_with(&body), &ACCEPTED)
    };
    for (announced, there, room) in [
        (most + 1, usize::from(most) + 1, MAX_IDENTITY),
        (u16::MAX, 4000, MAX_IDENTITY),
        (5, 4, 4),
        (1, 0, 0),
    ] {
        let error = fail(hello(announced, there));
        let HelloError::IdentityTooLong {
            announced: told,
            most,
            at,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((told, most, at), (announced, room, 22));
        assert_eq!(
            error.to_string(),
            format!(
                "hello with an identity of {announced} bytes at byte 22, expected at most {room}"
            )
        );
    }
    let (_, agreed) = play(&ours(), Script::new(hello(most, MAX_IDENTITY))).unwrap();
    assert_eq!(agreed.remote.identity.len(), MAX_IDENTITY);
}

#[test]
fn versions_in_the_wrong_order_are_an_error() {
    let mut input = with_verdict(their_hello(), &ACCEPTED);
    input[9] = 4;
    let error = fail(input);
    let HelloError::Versions { oldest, newest, at } = error else {
        panic!("{error}");
    };
    assert_eq!((oldest, newest, at), (4, 3, 6));
    let text = "hello with versions 4 to 3 at byte 6, expected the oldest first";
    assert_eq!(error.to_string(), text);
}

#[test]
fn flipped_bits_and_noise_never_panic_and_never_wait() {
    let mut input = with_verdict(their_hello(), &[1, 44, 6]);
    input.extend(b"banned");
    for bit in 0..input.len() * 8 {
        let mut flipped = input.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        for block in [1, usize::MAX] {
            let _ = play(&ours(), Script::new(flipped.clone()).in_blocks(block));
        }
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2000 {
        let mut noise = if state & 1 == 0 {
            b"test".to_vec()
        } else {
            their_hello()
        };
        for _ in 0..state % 64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            noise.push((state >> 56) as u8);
        }
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(7);
        let _ = play(&ours(), Script::new(noise));
    }
}

#[test]
fn a_reason_that_isnt_text_is_told_as_far_as_it_is() {
    let mut input = with_verdict(their_hello(), &[9, 9, 255]);
    input.extend([0xff; 255]);
    let HelloError::Refused { refusal } = fail(input) else {
        panic!("expected a refusal");
    };
    assert_eq!(refusal.code(), 0x0909);
    // Such a text grows; it must fit into a verdict all the same, should somebody pass it on.
    assert_eq!(refusal.text(), "\u{fffd}".repeat(85));
}

#[test]
fn a_text_is_cut_off_between_characters() {
    assert_eq!(Refusal::new(256, "ä".repeat(200)).text(), "ä".repeat(127));
    assert_eq!(Refusal::new(256, "x".repeat(256)).text(), "x".repeat(255));
    assert_eq!(Refusal::new(256, "x".repeat(255)).text(), "x".repeat(255));
}

#[tokio::test]
async fn the_longest_text_goes_through() {
    let (a, b) = duplex(16);
    let hello = ours();
    let check = |_: &Agreed| Err(Refusal::new(u16::MAX, "x".repeat(255)));
    let (_, right) = tokio::join!(hello.exchange(a, check, lines), exchange(&hello, b));
    let HelloError::Refused { refusal } = right.unwrap_err() else {
        panic!("expected a refusal");
    };
    assert_eq!((refusal.code(), refusal.text().len()), (u16::MAX, 255));
}

#[test]
fn a_refusal_is_escaped_where_it_is_shown() {
    let refusal = Refusal::new(256, "\x1b[31m\r\n\u{202e}\"");
    assert_eq!(refusal.to_string(), r#"256, "\u{1b}[31m\r\n\u{202e}\"""#);
}

/// Whatever is read at once: another handshake may follow on the same stream.
#[test]
fn nothing_is_read_beyond_the_verdict() {
    for verdict in [&[0, 0, 0][..], &[0, 0, 2, b'h', b'i']] {
        let mut input = with_verdict(their_hello(), verdict);
        input.extend(b"rest");
        let mut script = Script::new(input);
        let (framed, _) = ours()
            .exchange(&mut script, |_| Ok(()), lines)
            .now_or_never()
            .unwrap()
            .unwrap();
        assert!(framed.read_buffer().is_empty());
        assert_eq!(script.input, "rest");
    }
}

#[tokio::test]
async fn an_error_of_the_transport_is_told_with_its_kind() {
    let script = Builder::new()
        .write(&our_hello())
        .read_error(io::ErrorKind::ConnectionReset.into())
        .build();
    let error = exchange(&ours(), script).await.unwrap_err();
    assert!(
        matches!(&error, HelloError::Io(error) if error.kind() == io::ErrorKind::ConnectionReset),
        "{error}"
    );
}

/// A stream that holds back what isn't flushed.
#[tokio::test]
async fn hellos_and_verdicts_are_flushed() {
    let (a, b) = duplex(1024);
    let (a, b) = (tokio::io::BufStream::new(a), tokio::io::BufStream::new(b));
    let hello = ours();
    let (left, right) = tokio::join!(hello.exchange(a, ban, lines), exchange(&hello, b));
    assert!(matches!(left, Err(HelloError::Declined { .. })));
    assert!(matches!(right, Err(HelloError::Refused { .. })));
}

#[tokio::test]
async fn nothing_is_sent_behind_the_verdict_before_the_others_has_come() {
    let (io, mut remote) = duplex(1024);
    let side = tokio::spawn(async move {
        let (mut framed, _) = exchange(&ours(), io).await.unwrap();
        framed.send("session").await.unwrap();
    });
    remote.write_all(&their_hello()).await.unwrap();
    let mut came = vec![0; our_hello().len() + 3];
    remote.read_exact(&mut came).await.unwrap();
    assert_eq!(came, with_verdict(our_hello(), &ACCEPTED));
    assert!(remote.read_u8().now_or_never().is_none());
    remote.write_all(&ACCEPTED).await.unwrap();
    side.await.unwrap();
    let mut rest = String::new();
    remote.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "session\n");
}

#[test]
fn the_exchange_is_a_future_to_spawn() {
    fn sendable<T: Send>(_: T) {}
    let (io, _) = duplex(1);
    let hello = ours();
    sendable(hello.exchange(io, |_| Ok(()), lines));
}

#[test]
#[should_panic(expected = "a magic of 17 bytes, expected 1 to 16")]
fn a_magic_that_is_too_long_is_a_bug() {
    let _ = Hello::new(&[0; MAX_MAGIC + 1], 1..=1);
}

#[test]
#[should_panic(expected = "a magic of 0 bytes")]
fn an_empty_magic_is_a_bug() {
    let _ = Hello::new(b"", 1..=1);
}

#[test]
#[should_panic(expected = "no version in 2..=1")]
#[expect(clippy::reversed_empty_ranges, reason = "that is the bug")]
fn no_version_is_a_bug() {
    let _ = Hello::new(b"m", 2..=1);
}

#[test]
#[should_panic(expected = "an identity of 1025 bytes, expected at most 1024")]
fn an_identity_that_is_too_long_is_a_bug() {
    let _ = Hello::new(b"m", 1..=1).identity(vec![0; 1025]);
}

#[test]
#[should_panic(expected = "the code of an acceptance")]
fn a_refusal_that_accepts_is_a_bug() {
    let _ = Refusal::new(0, "");
}
