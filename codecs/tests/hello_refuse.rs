//! Hellos without an agreement: who is refused, why, and how both learn of it.

mod hello;

use std::io;

use futures::FutureExt;
use hello::{ACCEPTED, Script, exchange, fail, lines, our_hello, ours, their_hello, with_verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_test::io::Builder;
use wattle_codecs::hello::{Agreed, Hello, HelloError, Refusal};

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

#[test]
#[should_panic(expected = "the code of an acceptance")]
fn a_refusal_that_accepts_is_a_bug() {
    let _ = Refusal::new(0, "");
}
