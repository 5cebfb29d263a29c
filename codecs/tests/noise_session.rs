//! Sessions of Noise: what messages look like on the wire, how they are split and capped, and where
//! the stream may end.

mod noise_common;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use noise_common::{
    EXTRA, FULL, MOST, codecs, decoded, encoded, keypair, pair, pair_of, pattern, refused,
    sessions, talk,
};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};
use wattle_codecs::noise::{Noise, NoiseCodec, NoiseError};

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
