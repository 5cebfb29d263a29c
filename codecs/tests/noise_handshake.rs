//! The bytes of a Noise handshake: cut off, altered, in pieces, and with the session right behind.

mod noise_common;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use noise_common::{Script, fixed, handshake_bytes};
use wattle_codecs::noise::{Handshake, NoiseError, SetupProblem};

#[tokio::test]
async fn a_handshake_that_ends_at_any_byte_says_in_which_message() {
    let (handshake, _) = handshake_bytes().await;
    let frames = [(1, 0, 34), (3, 34, 100)];
    assert_eq!(handshake.len(), 100);
    for cut in 0..handshake.len() {
        let (message, begin, end) = *frames.iter().find(|frame| cut < frame.2).expect("inside");
        let error = fixed(false).run(Script::new([&handshake[..cut]])).await;
        let error = error.expect_err("cut short");
        let (came, whole) = (cut - begin, end - begin);
        match error {
            NoiseError::Closed { message: closed } => assert_eq!((closed, came), (message, 0)),
            NoiseError::HandshakeTruncated { expected, .. } => {
                assert_eq!(expected, if came < 2 { 2 } else { whole });
                let expected = format!(
                    "message {message} of the handshake: the stream ended after {came} bytes of {expected}"
                );
                assert_eq!(error.to_string(), expected);
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_comes_behind_the_handshake_belongs_to_the_session_at_every_split() {
    let (handshake, _) = handshake_bytes().await;
    let messages = ["one", "", "three"].map(Bytes::from);
    let sent = sent_by_initiator(&messages).await;
    assert_eq!(sent[..100], handshake);
    assert_eq!(sent.len(), 100 + 3 * 18 + "onethree".len());
    for split in 0..=sent.len() {
        let (head, tail) = sent.split_at(split);
        responds_and_hears(Script::new([head, tail]), &messages).await;
    }
    responds_and_hears(Script::new(sent.chunks(1)), &messages).await;
}

async fn responds_and_hears(script: Script, messages: &[Bytes]) {
    let session = fixed(false).run(script).await.expect("responded");
    let heard: Vec<_> = session
        .framed
        .map(|heard| heard.expect("decoded"))
        .collect()
        .await;
    assert_eq!(heard, messages);
}

#[tokio::test]
async fn what_came_with_the_last_message_of_the_handshake_is_there_without_another_read() {
    let messages = [Bytes::from("at once")];
    let script = Script::new([sent_by_initiator(&messages).await]);
    let session = fixed(false).run(script).await.expect("responded");
    assert_eq!(session.framed.read_buffer().len(), 2 + 7 + 16);
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_the_handshake_is_the_end_of_it() {
    let (handshake, answer) = handshake_bytes().await;
    for at in 0..handshake.len() {
        let mut flipped = handshake.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(
            fixed(false).run(Script::new([flipped])).await.is_err(),
            "byte {at}"
        );
    }
    for at in 0..answer.len() {
        let mut flipped = answer.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(
            fixed(true).run(Script::new([flipped])).await.is_err(),
            "byte {at}"
        );
    }
}

#[tokio::test]
async fn a_message_of_the_handshake_of_any_length_is_refused_without_a_panic() {
    for len in (0..200_u16).chain([65_534, 65_535]) {
        let mut frame = len.to_be_bytes().to_vec();
        frame.resize(2 + usize::from(len), 0xff);
        let error = fixed(true)
            .run(Script::new([&frame]))
            .await
            .expect_err("refused");
        assert!(
            matches!(
                error,
                NoiseError::HandshakeMalformed { message: 2, .. }
                    | NoiseError::HandshakeDecrypt { message: 2 }
            ),
            "{error:?}"
        );
        // A first message is all payload behind the key, and may be of any length.
        let error = fixed(false)
            .run(Script::new([&frame]))
            .await
            .expect_err("ended");
        match error {
            NoiseError::HandshakeMalformed { message: 1, len } => assert!(len < 32, "{len}"),
            NoiseError::Closed { message: 3 } => assert!(len >= 32),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn room_for_a_handshake_grows_with_what_has_come_and_not_with_what_was_announced() {
    let script = Script::new([&[0xff, 0xff][..], &[0; 100], &[0; 100]]);
    let error = fixed(false)
        .run(script.clone())
        .await
        .expect_err("cut short");
    assert!(matches!(
        error,
        NoiseError::HandshakeTruncated {
            message: 1,
            expected: 65_537,
            came: 202
        }
    ));
    assert!(script.room() <= 512, "{}", script.room());
}

#[tokio::test]
async fn a_payload_fills_its_message_and_one_byte_more_is_refused() {
    let most = 65_535 - 32 - 16;
    let with = |len| Handshake::payloads(fixed(true), [vec![7; len]]);
    let script = Script::default();
    let _ = with(most).run(script.clone()).await.expect_err("no answer");
    assert_eq!(script.written().len(), 2 + 32 + most);

    let script = Script::default();
    let error = with(most + 1)
        .run(script.clone())
        .await
        .expect_err("too long");
    let expected = SetupProblem::PayloadTooLong {
        message: 1,
        len: most + 1,
    };
    assert!(
        matches!(&error, NoiseError::Setup(problem) if *problem == expected),
        "{error}"
    );
    assert!(script.written().is_empty());
}

/// What the initiator sends with these messages of the session behind the handshake.
async fn sent_by_initiator(messages: &[Bytes]) -> Vec<u8> {
    let (_, answer) = handshake_bytes().await;
    let script = Script::new([answer]);
    let mut session = fixed(true).run(script.clone()).await.expect("initiated");
    for message in messages {
        session.framed.send(message.clone()).await.expect("sent");
    }
    script.written()
}
