//! The exchange of hellos where it succeeds: what is on the wire, what is agreed on, and where the
//! session begins.

mod hello;

use std::{io, ops::RangeInclusive};

use futures::{FutureExt, SinkExt, StreamExt};
use hello::{
    ACCEPTED, Script, exchange, lines, our_hello, ours, play, their_hello, their_hello_with,
    with_verdict,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_test::io::Builder;
use tokio_util::codec::LinesCodec;
use wattle_codecs::hello::{Agreed, Hello, HelloError, MAX_IDENTITY, Remote};

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
async fn what_is_required_is_announced_and_agreed_on() {
    let (a, b) = duplex(64);
    let left = Hello::new(b"m", 1..=1).required(0b10);
    let right = Hello::new(b"m", 1..=1).features(0b11);
    let (left, right) = tokio::join!(exchange(&left, a), exchange(&right, b));
    assert_eq!(left.unwrap().1.features, 0b10);
    assert_eq!(right.unwrap().1.features, 0b10);
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
