//! Sessions of Noise: what messages look like on the wire, how they are split, and what happens to
//! those that aren't the expected ones.

mod noise_common;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use noise_common::{MOST, codecs, keypair, sessions, talk};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};
use wattle_codecs::{
    Recoverable,
    noise::{Noise, NoiseCodec, NoiseError},
};

/// The most that a Noise message carries.
const FULL: usize = 65_519;

/// What a frame has on top of its message: length and tag.
const EXTRA: usize = 2 + 16;

async fn pair_of(most: usize) -> (NoiseCodec, NoiseCodec) {
    codecs(&Noise::nn(most), &Noise::nn(most)).await
}

async fn pair() -> (NoiseCodec, NoiseCodec) {
    pair_of(MOST).await
}

/// Both sides rekey after so many messages, if they do.
async fn rekeying(pea: Option<u64>, bean: Option<u64>) -> (NoiseCodec, NoiseCodec) {
    let noise = |every: Option<u64>| match every {
        Some(every) => Noise::nn(MOST).rekey_every(every),
        None => Noise::nn(MOST),
    };
    codecs(&noise(pea), &noise(bean)).await
}

fn encoded(codec: &mut NoiseCodec, message: impl Into<Bytes>) -> BytesMut {
    let mut wire = BytesMut::new();
    codec.encode(message.into(), &mut wire).expect("encoded");
    wire
}

fn decoded(codec: &mut NoiseCodec, wire: impl AsRef<[u8]>) -> Result<Option<Bytes>, NoiseError> {
    let mut wire = BytesMut::from(wire.as_ref());
    let decoded = codec.decode(&mut wire);
    if let Ok(Some(_)) = &decoded {
        assert!(wire.is_empty(), "{} bytes are left", wire.len());
    }
    decoded
}

/// The error of a frame.
fn refused(codec: &mut NoiseCodec, wire: impl AsRef<[u8]>) -> NoiseError {
    let error = decoded(codec, wire).expect_err("refused");
    assert!(!error.is_recoverable());
    error
}

fn pattern(len: usize) -> Bytes {
    (0..len).map(|i| (i / 251) as u8 ^ i as u8).collect()
}

/// The lengths that stand in front of the frames of `wire`.
fn frames(mut wire: &[u8]) -> Vec<usize> {
    let mut lens = Vec::new();
    while let Some((prefix, rest)) = wire.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes(*prefix));
        lens.push(len);
        wire = &rest[len..];
    }
    lens
}

#[tokio::test]
async fn a_message_is_split_where_a_noise_message_is_full() {
    let (mut pea, mut bean) = pair().await;
    for (len, parts) in [
        (0, vec![0]),
        (1, vec![1]),
        (65_518, vec![65_518]),
        (65_519, vec![FULL, 0]),
        (65_520, vec![FULL, 1]),
        (131_038, vec![FULL, FULL, 0]),
        (200_000, vec![FULL, FULL, FULL, 3_443]),
    ] {
        let message = pattern(len);
        let wire = encoded(&mut pea, message.clone());
        let lens: Vec<_> = parts.iter().map(|part| part + 16).collect();
        assert_eq!(frames(&wire), lens, "{len}");
        assert_eq!(wire.len(), len + parts.len() * EXTRA);
        let came = decoded(&mut bean, wire).expect("decoded").expect("whole");
        assert!(came == message, "{len}");
    }
}

#[tokio::test]
async fn large_messages_pass_through_a_pipe_of_a_few_bytes() {
    let (mut pea, mut bean) = sessions(&Noise::nn(MOST), &Noise::nn(MOST)).await;
    for len in [65_518, 65_519, 65_520, 131_038, 200_000] {
        let came = talk(&mut pea.framed, &mut bean.framed, pattern(len)).await;
        assert!(came == pattern(len), "{len}");
    }
    drop(pea);
    assert!(bean.framed.next().await.is_none());
}

#[tokio::test]
async fn messages_come_out_the_same_at_every_split() {
    let (mut pea, mut bean) = pair().await;
    let messages = ["one", "", "three and a half"].map(Bytes::from);
    let wires = messages.clone().map(|message| encoded(&mut pea, message));
    let wire = wires.concat();
    let ends: Vec<_> = wires
        .iter()
        .scan(0, |end, wire| {
            *end += wire.len();
            Some(*end)
        })
        .collect();
    let (mut src, mut came) = (BytesMut::new(), Vec::new());
    for (i, byte) in wire.iter().enumerate() {
        src.extend_from_slice(&[*byte]);
        while let Some(message) = bean.decode(&mut src).expect("decoded") {
            assert_eq!(i + 1, ends[came.len()], "not before its last byte");
            came.push(message);
        }
    }
    assert_eq!(came, messages);
}

#[tokio::test]
async fn many_frames_in_one_read_are_decoded_one_by_one() {
    let (mut pea, mut bean) = pair().await;
    let mut src = BytesMut::new();
    for i in 0..100_u8 {
        pea.encode(Bytes::from(vec![i; usize::from(i)]), &mut src)
            .expect("encoded");
    }
    for i in 0..100_u8 {
        let came = bean.decode(&mut src).expect("decoded").expect("whole");
        assert_eq!(came, vec![i; usize::from(i)]);
    }
    assert!(bean.decode(&mut src).expect("the end").is_none());
}

#[tokio::test]
async fn the_encoder_appends() {
    let (mut pea, mut bean) = pair().await;
    let mut dst = BytesMut::from("before");
    pea.encode(pattern(70_000), &mut dst).expect("encoded");
    assert_eq!(dst.split_to(6), "before");
    assert!(decoded(&mut bean, dst).expect("decoded").expect("whole") == pattern(70_000));
}

#[tokio::test]
async fn a_message_beyond_the_cap_is_not_encoded_and_uses_no_nonce() {
    for most in [0, 10, FULL, 100_000] {
        let (mut pea, mut bean) = pair_of(most).await;
        let mut dst = BytesMut::from("before");
        let error = pea
            .encode(pattern(most + 1), &mut dst)
            .expect_err("too long");
        assert!(matches!(error, NoiseError::UnencodablyLong { len, most: m }
            if len == most + 1 && m == most));
        assert_eq!(
            error.to_string(),
            format!(
                "a message of {} bytes to send, expected at most {most}",
                most + 1
            )
        );
        assert_eq!(dst, "before");
        let wire = encoded(&mut pea, pattern(most));
        assert!(decoded(&mut bean, wire).expect("decoded").expect("whole") == pattern(most));
    }
}

#[tokio::test]
async fn a_message_beyond_the_cap_is_refused_when_it_is_announced() {
    let (mut pea, mut bean) = codecs(&Noise::nn(MOST), &Noise::nn(10)).await;
    assert!(
        decoded(&mut bean, encoded(&mut pea, pattern(10)))
            .expect("decoded")
            .is_some()
    );
    let wire = encoded(&mut pea, pattern(11));
    let error = refused(&mut bean, &wire[..2]);
    assert!(
        matches!(
            error,
            NoiseError::TooLong {
                len: 11,
                most: 10,
                at: 28
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "frame at byte 28: a message of 11 bytes or more, expected at most 10"
    );
}

#[tokio::test]
async fn the_cap_counts_all_parts_of_a_message() {
    let (mut pea, mut bean) = codecs(&Noise::nn(MOST), &Noise::nn(100_000)).await;
    let fits = encoded(&mut pea, pattern(100_000));
    assert!(decoded(&mut bean, fits).expect("decoded").is_some());
    let at = (100_000 + 2 * EXTRA + FULL + EXTRA) as u64;
    let wire = encoded(&mut pea, pattern(100_001));
    // The first part and the announcement of the second.
    let error = refused(&mut bean, &wire[..FULL + EXTRA + 2]);
    assert!(
        matches!(error, NoiseError::TooLong { len: 100_001, most: 100_000, at: a } if a == at),
        "{error:?}"
    );
}

#[tokio::test]
async fn no_more_room_is_made_than_a_noise_message_takes() {
    let (_, mut bean) = pair_of(usize::MAX).await;
    let mut src = BytesMut::from(&[0xff, 0xff][..]);
    assert!(bean.decode(&mut src).expect("begun").is_none());
    assert!(src.capacity() >= 65_537, "a read can take the rest at once");
    assert!(src.capacity() <= 2 * 65_537);
}

#[tokio::test]
async fn a_flipped_bit_in_any_byte_of_a_message_is_found() {
    let (mut pea, mut bean) = pair().await;
    let wire = encoded(&mut pea, "hello");
    for at in 2..wire.len() {
        let mut flipped = wire.clone();
        flipped[at] ^= 1 << (at % 8);
        let error = refused(&mut bean, &flipped);
        assert!(
            matches!(error, NoiseError::Tampered { expected: 0, at: 0 }),
            "{at}: {error:?}"
        );
        assert_eq!(
            error.to_string(),
            "frame at byte 0: message 0 doesn't decrypt; it was altered, or the sides don't rekey \
             alike"
        );
    }
    // The length isn't authenticated by itself, but another number of bytes is another message.
    for at in 0..2 {
        for bit in 0..8 {
            let mut flipped = wire.clone();
            flipped[at] ^= 1 << bit;
            let end = bean.decode_eof(&mut flipped).expect_err("not that long");
            assert!(
                matches!(
                    end,
                    NoiseError::Tampered { .. }
                        | NoiseError::Truncated { .. }
                        | NoiseError::TooShort { .. }
                ),
                "{end:?}"
            );
        }
    }
    assert_eq!(
        decoded(&mut bean, wire).expect("decoded").expect("whole"),
        "hello"
    );
}

#[tokio::test]
async fn a_frame_that_cannot_hold_a_tag_is_refused_by_its_length() {
    let (_, mut bean) = pair().await;
    for len in 0..16 {
        let error = refused(&mut bean, [0, len]);
        assert_eq!(
            error.to_string(),
            format!("frame at byte 0: length {len}, expected at least the 16 bytes of a tag")
        );
    }
    assert!(decoded(&mut bean, [0, 16]).expect("begun").is_none());
}

#[tokio::test]
async fn a_message_that_comes_again_is_told_from_one_that_was_altered() {
    let (mut pea, mut bean) = pair().await;
    let wires: Vec<_> = (0..70_u8).map(|i| encoded(&mut pea, vec![i; 3])).collect();
    for wire in &wires[..65] {
        decoded(&mut bean, wire).expect("decoded");
    }
    // As far back as 64 messages, and no further.
    for again in 1..65 {
        let error = refused(&mut bean, &wires[again]);
        assert!(
            matches!(error, NoiseError::Replayed { expected: 65, came, at: 1365 }
                if came == again as u64),
            "{error:?}"
        );
    }
    assert_eq!(
        refused(&mut bean, &wires[64]).to_string(),
        "frame at byte 1365: expected message 65, got message 64 again"
    );
    assert!(matches!(
        refused(&mut bean, &wires[0]),
        NoiseError::Tampered { .. }
    ));
    // It was looked at only.
    assert_eq!(
        decoded(&mut bean, &wires[65])
            .expect("decoded")
            .expect("whole"),
        vec![65; 3]
    );
}

#[tokio::test]
async fn messages_that_are_missing_or_in_another_order_are_told() {
    let (mut pea, mut bean) = pair().await;
    let wires: Vec<_> = (0..70_u8).map(|i| encoded(&mut pea, vec![i; 3])).collect();
    decoded(&mut bean, &wires[0]).expect("decoded");
    let error = refused(&mut bean, &wires[2]);
    assert!(
        matches!(
            error,
            NoiseError::Skipped {
                expected: 1,
                came: 2,
                at: 21
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "frame at byte 21: expected message 1, got message 2 ahead of it"
    );
    assert!(matches!(
        refused(&mut bean, &wires[65]),
        NoiseError::Skipped { came: 65, .. }
    ));
    assert!(matches!(
        refused(&mut bean, &wires[66]),
        NoiseError::Tampered { .. }
    ));
}

#[tokio::test]
async fn a_part_of_a_message_that_is_left_out_is_missed() {
    let (mut pea, mut bean) = pair().await;
    let mut wire = encoded(&mut pea, pattern(3 * FULL));
    let first = wire.split_to(FULL + EXTRA);
    assert!(decoded(&mut bean, first.clone()).expect("begun").is_none());
    let _second = wire.split_to(FULL + EXTRA);
    let error = refused(&mut bean, &wire[..FULL + EXTRA]);
    assert!(
        matches!(
            error,
            NoiseError::Skipped {
                expected: 1,
                came: 2,
                ..
            }
        ),
        "{error:?}"
    );
    let error = refused(&mut bean, first);
    assert!(
        matches!(
            error,
            NoiseError::Replayed {
                expected: 1,
                came: 0,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_one_side_has_sent_does_not_come_back_to_it() {
    let (mut pea, _) = pair().await;
    let wire = encoded(&mut pea, "mine");
    assert!(matches!(
        refused(&mut pea, wire),
        NoiseError::Tampered { .. }
    ));
}

#[tokio::test]
async fn garbage_of_any_length_is_an_error_or_awaits_more() {
    let (_, mut bean) = pair().await;
    let mut garbage = 0x2545_f491_4f6c_dd1d_u64;
    for len in 0..300 {
        let bytes: Vec<u8> = (0..len)
            .map(|_| {
                garbage ^= garbage << 13;
                garbage ^= garbage >> 7;
                garbage ^= garbage << 17;
                garbage as u8
            })
            .collect();
        assert!(!matches!(decoded(&mut bean, bytes), Ok(Some(_))));
    }
}

#[tokio::test]
async fn the_end_inside_a_frame_is_truncated_and_between_two_clean() {
    let (mut pea, mut bean) = pair().await;
    decoded(&mut bean, encoded(&mut pea, "hello")).expect("decoded");
    let wire = encoded(&mut pea, "world");
    for cut in 1..wire.len() {
        let error = bean
            .decode_eof(&mut BytesMut::from(&wire[..cut]))
            .expect_err("cut");
        let expected = if cut < 2 { 2 } else { wire.len() };
        assert_eq!(
            error.to_string(),
            format!("frame at byte 23: the stream ended after {cut} bytes of {expected}")
        );
    }
    let mut whole = wire.clone();
    assert_eq!(
        bean.decode_eof(&mut whole)
            .expect("decoded")
            .expect("whole"),
        "world"
    );
    assert!(bean.decode_eof(&mut whole).expect("clean").is_none());
}

#[tokio::test]
async fn the_end_between_two_parts_of_a_message_is_no_clean_one() {
    let (mut pea, mut bean) = pair().await;
    let wire = encoded(&mut pea, pattern(FULL));
    let mut first = BytesMut::from(&wire[..FULL + EXTRA]);
    let error = bean
        .decode_eof(&mut first)
        .expect_err("the empty part is missing");
    assert!(
        matches!(
            error,
            NoiseError::Unfinished {
                came: FULL,
                at: 65_537
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "byte 65537: the stream ended after 65519 bytes of a message of several parts"
    );
}

#[tokio::test]
async fn both_sides_rekey_in_step_in_each_direction_by_its_own_count() {
    let (mut pea, mut bean) = rekeying(Some(3), Some(3)).await;
    for i in 0..20_u8 {
        let wire = encoded(&mut pea, vec![i]);
        assert_eq!(
            decoded(&mut bean, wire).expect("decoded").expect("whole"),
            vec![i]
        );
        if i % 4 == 0 {
            let wire = encoded(&mut bean, vec![i]);
            assert_eq!(
                decoded(&mut pea, wire).expect("decoded").expect("whole"),
                vec![i]
            );
        }
    }
}

#[tokio::test]
async fn a_new_key_is_taken_after_exactly_so_many_messages() {
    for every in [1, 2, 5] {
        let (mut pea, mut bean) = rekeying(Some(every), None).await;
        for _ in 0..2 {
            for _ in 0..every {
                let wire = encoded(&mut pea, "same key");
                assert!(decoded(&mut bean, wire).expect("decoded").is_some());
            }
            bean.rekey_incoming();
        }
        let (mut pea, mut bean) = rekeying(None, Some(every)).await;
        for _ in 0..2 {
            for _ in 0..every {
                let wire = encoded(&mut pea, "same key");
                assert!(decoded(&mut bean, wire).expect("decoded").is_some());
            }
            pea.rekey_outgoing();
        }
    }
}

#[tokio::test]
async fn sides_that_do_not_rekey_alike_fail_at_the_first_message_with_another_key() {
    for (pea, bean, fails) in [
        (Some(2), None, 2),
        (None, Some(3), 3),
        (Some(4), Some(2), 2),
    ] {
        let (mut pea, mut bean) = rekeying(pea, bean).await;
        for _ in 0..fails {
            decoded(&mut bean, encoded(&mut pea, "hello")).expect("decoded");
        }
        let error = refused(&mut bean, encoded(&mut pea, "hello"));
        assert!(
            matches!(error, NoiseError::Tampered { expected, .. } if expected == fails),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_message_from_before_the_rekeying_cannot_be_told_from_one_that_was_altered() {
    let (mut pea, mut bean) = rekeying(Some(2), Some(2)).await;
    let wires: Vec<_> = (0..4).map(|_| encoded(&mut pea, "hello")).collect();
    for wire in &wires[..3] {
        decoded(&mut bean, wire).expect("decoded");
    }
    assert!(matches!(
        refused(&mut bean, &wires[1]),
        NoiseError::Tampered { .. }
    ));
    assert!(matches!(
        refused(&mut bean, &wires[2]),
        NoiseError::Replayed { came: 2, .. }
    ));
}

#[tokio::test]
async fn the_parts_of_one_message_are_counted_each() {
    let (mut pea, mut bean) = rekeying(Some(1), Some(1)).await;
    for len in [200_000, 5] {
        let wire = encoded(&mut pea, pattern(len));
        assert!(decoded(&mut bean, wire).expect("decoded").expect("whole") == pattern(len));
    }
}

#[tokio::test]
async fn a_one_way_pattern_lets_nothing_back() {
    let noise = || Noise::named("Noise_N_25519_ChaChaPoly_BLAKE2s", MOST).expect("a name");
    let initiator = noise().remote(keypair(2).public());
    let (mut pea, mut bean) = codecs(&initiator, &noise().keypair(keypair(2))).await;
    let wire = encoded(&mut pea, "there");
    let mut dst = BytesMut::from("before");
    let error = bean
        .encode(Bytes::from("back"), &mut dst)
        .expect_err("one way");
    assert!(matches!(error, NoiseError::OneWay));
    assert_eq!(dst, "before");
    assert!(matches!(refused(&mut pea, &wire), NoiseError::OneWay));
    assert_eq!(
        decoded(&mut bean, &wire).expect("decoded").expect("whole"),
        "there"
    );
}

#[tokio::test]
async fn the_codec_can_be_wrapped_within_its_framed() {
    let (pea, bean) = sessions(&Noise::nn(MOST), &Noise::nn(MOST)).await;
    let mut pea = pea.framed.map_codec(Doubled);
    let (sent, came) = {
        let mut bean = bean.framed;
        let sent = pea.send(Bytes::from("ab"));
        let (sent, came) = tokio::join!(sent, bean.next());
        (sent, came.expect("a message"))
    };
    sent.expect("sent");
    assert_eq!(came.expect("decoded"), "abab");
}

/// A layer as others write it: around any frame codec.
#[derive(Debug)]
struct Doubled<F>(F);

impl<F: Decoder<Item: Into<Bytes>>> Decoder for Doubled<F> {
    type Item = Bytes;
    type Error = F::Error;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, F::Error> {
        Ok(self.0.decode(src)?.map(Into::into))
    }
}

impl<F: Encoder<Bytes>> Encoder<Bytes> for Doubled<F> {
    type Error = F::Error;

    fn encode(&mut self, message: Bytes, dst: &mut BytesMut) -> Result<(), F::Error> {
        self.0.encode([&message[..], &message].concat().into(), dst)
    }
}

#[tokio::test]
async fn neither_keys_nor_a_begun_message_are_printed() {
    let (mut pea, mut bean) = pair().await;
    let wire = encoded(&mut pea, vec![0xa5; FULL]);
    assert!(
        decoded(&mut bean, &wire[..FULL + EXTRA])
            .expect("begun")
            .is_none()
    );
    let printed = format!("{bean:?}");
    assert_eq!(
        printed,
        "NoiseCodec { sent: 0, received: 1, rekey_every: None, most: 1048576, .. }"
    );
}

/// Both are frame codecs, and stand for each other where one is asked for.
#[test]
fn it_is_a_frame_codec() {
    fn is<F: Decoder<Item: Into<Bytes>> + Encoder<Bytes>>() {}
    is::<NoiseCodec>();
    is::<LengthDelimitedCodec>();
    fn sends<T: Send + Sync + Unpin + 'static>() {}
    sends::<NoiseCodec>();
    sends::<NoiseError>();
}
