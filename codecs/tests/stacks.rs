//! Several layers in several orders: what stands on the wire, and which layer's error comes out.

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio_util::codec::{Decoder, Encoder, Framed, LengthDelimitedCodec, LinesCodec};
use wattle_codecs::{
    CappedError, CheckedError, Checksum, CodecExt, CompressedError, Crc32, Length, Lz4, Passed,
    Prefixed, PrefixedError, Recoverable, TolerantError, Zstd, laws::Laws,
};

const TEXT: &str = "wattle wattle wattle wattle";
const LZ4: &[u8] = b"\x1b\0\0\0\x7awattle \x07\0\x60wattle";

fn encoded<C: Encoder<Bytes, Error: std::fmt::Debug>>(mut codec: C, payload: &str) -> BytesMut {
    let mut wire = BytesMut::new();
    codec
        .encode(Bytes::copy_from_slice(payload.as_bytes()), &mut wire)
        .unwrap();
    wire
}

fn frames() -> Prefixed {
    Prefixed::new(Length::U32, 64 * 1024)
}

#[test]
fn checked_then_compressed_sums_the_compressed_bytes() {
    let stack = || frames().checked::<Crc32>().compressed(Lz4, 1 << 20);
    let wire = encoded(stack(), TEXT);
    assert_eq!(&wire[..4], b"\0\0\0\x19");
    assert_eq!(&wire[4..25], LZ4);
    assert_eq!(&wire[25..], Crc32::of(LZ4));
    assert_eq!(stack().decode(&mut wire.clone()).unwrap().unwrap(), TEXT);

    // Damage is found by the checksum.
    let mut damaged = wire.clone();
    damaged[5] ^= 0x40;
    let error = stack().decode(&mut damaged).unwrap_err();
    assert!(matches!(
        error,
        CompressedError::Codec(CheckedError::Mismatch { at: 0, .. })
    ));
    assert!(error.is_recoverable());

    // Malice is not, but by the compression's cap.
    let mut bomb = LZ4.to_vec();
    bomb[3] = 0x40;
    let mut wire = BytesMut::new();
    frames()
        .checked::<Crc32>()
        .encode(bomb.into(), &mut wire)
        .unwrap();
    let error = stack().decode(&mut wire).unwrap_err();
    assert!(matches!(
        error,
        CompressedError::TooLarge {
            announced: 0x4000_001b,
            ..
        }
    ));

    // And what isn't a frame is the framing's.
    let error = stack().decode(&mut "\x01\0\0\0".into()).unwrap_err();
    assert!(matches!(
        error,
        CompressedError::Codec(CheckedError::Codec(PrefixedError::TooLong { .. }))
    ));
    assert!(!error.is_recoverable());
    assert_eq!(
        error.to_string(),
        "frame at byte 0: length 16777216, expected at most 65536 bytes of payload"
    );
}

#[test]
fn compressed_then_checked_compresses_the_checksum_too() {
    let stack = || frames().compressed(Lz4, 1 << 20).checked::<Crc32>();
    let wire = encoded(stack(), TEXT);
    // 27 bytes and 4 of the checksum.
    assert_eq!(&wire[4..8], b"\x1f\0\0\0");
    let inner = frames().compressed(Lz4, 1 << 20).decode(&mut wire.clone());
    let inner = inner.unwrap().unwrap();
    assert_eq!(&inner[..27], TEXT.as_bytes());
    assert_eq!(&inner[27..], Crc32::of(TEXT.as_bytes()));
    assert_eq!(stack().decode(&mut wire.clone()).unwrap().unwrap(), TEXT);

    // Damage comes to the decompressor first; the checksum finds what that can't.
    let mut damaged = wire.clone();
    damaged[6] ^= 0x40;
    let error = stack().decode(&mut damaged).unwrap_err();
    assert!(matches!(
        error,
        CheckedError::Codec(CompressedError::TooLarge { .. })
    ));
    let mut damaged = wire;
    damaged[9] ^= 0x01;
    let error = stack().decode(&mut damaged).unwrap_err();
    assert!(matches!(error, CheckedError::Mismatch { .. }), "{error}");
}

#[test]
fn a_cap_means_the_same_bytes_wherever_it_stands() {
    let zeros = "0".repeat(10_000);
    let wire = encoded(frames().compressed(Lz4, 1 << 20), &zeros);
    assert!(wire.len() < 100);
    let most = wire.len();
    let decoded = |most: usize| {
        let mut inner = frames().capped(most).compressed(Lz4, 1 << 20);
        let mut outer = frames().compressed(Lz4, 1 << 20).capped(most);
        (
            inner.decode(&mut wire.clone()),
            outer.decode(&mut wire.clone()),
        )
    };
    let (inner, outer) = decoded(most);
    assert_eq!(inner.unwrap().unwrap().len(), 10_000);
    assert_eq!(outer.unwrap().unwrap().len(), 10_000);
    let (inner, outer) = decoded(most - 1);
    assert!(matches!(
        inner.unwrap_err(),
        CompressedError::Codec(CappedError::TooLong { at: 0, .. })
    ));
    assert!(matches!(
        outer.unwrap_err(),
        CappedError::TooLong { at: 0, .. }
    ));

    let mut dst = BytesMut::from("before");
    let payload = Bytes::from(zeros);
    let mut inner = frames().capped(most - 1).compressed(Lz4, 1 << 20);
    assert!(inner.encode(payload.clone(), &mut dst).is_err());
    let mut outer = frames().compressed(Lz4, 1 << 20).capped(most - 1);
    assert!(outer.encode(payload, &mut dst).is_err());
    assert_eq!(dst, "before");
}

#[test]
fn tolerant_as_the_last_layer_survives_the_errors_of_all_layers() {
    let mut codec = frames()
        .checked::<Crc32>()
        .compressed(Zstd::default(), 1000)
        .try_map(|payload| String::from_utf8(payload.to_vec()))
        .tolerant(3);
    let mut wire = BytesMut::new();
    let mut plain = frames();
    plain.encode("short".into(), &mut wire).unwrap();
    frames()
        .checked::<Crc32>()
        .encode("no zstd".into(), &mut wire)
        .unwrap();
    codec
        .encode(Bytes::from_static(b"\xff"), &mut wire)
        .unwrap();
    codec.encode(Bytes::from(TEXT), &mut wire).unwrap();
    let mut seen = Vec::new();
    while let Some(item) = codec.decode(&mut wire).unwrap() {
        seen.push(item.unwrap_or_else(|error| error.to_string()));
    }
    assert_eq!(
        seen[0],
        format!(
            "frame at byte 0: checksum {:x}, expected {:x}",
            Bytes::from_static(b"hort"),
            Bytes::copy_from_slice(&Crc32::of(b"s"))
        )
    );
    assert_eq!(
        seen[1],
        "frame at byte 9: can't be expanded: no zstd frame begins there"
    );
    assert!(
        seen[2].starts_with("frame at byte 24: invalid utf-8"),
        "{}",
        seen[2]
    );
    assert_eq!(seen[3], TEXT);
    let error = codec.decode(&mut "\x7f\0\0\0".into()).unwrap_err();
    assert!(matches!(error, TolerantError::Codec(_)));
}

#[test]
fn each_of_two_stacks_has_layers_of_its_own() {
    let new = || frames().checked::<Crc32>().compressed(Lz4, 1 << 20);
    let old = || LinesCodec::new_with_max_length(100).map_in(Bytes::from);
    let stack = || new().either(old()).map_in(|payload| payload.len());
    assert_eq!(stack().decode(&mut encoded(new(), TEXT)).unwrap(), Some(27));
    assert_eq!(stack().decode(&mut "wattle\n".into()).unwrap(), Some(6));
}

#[test]
fn a_stack_decodes_the_same_at_every_split_and_errs_at_every_truncated_end() {
    let stack = || {
        LengthDelimitedCodec::new()
            .capped(1000)
            .tapped(|_: Passed<'_, _, Bytes>| ())
            .checked::<Crc32>()
            .compressed(Lz4, 1000)
            .either(LinesCodec::new_with_max_length(10).map_in(Bytes::from))
            .capped(1000)
    };
    let one = encoded(
        LengthDelimitedCodec::new()
            .checked::<Crc32>()
            .compressed(Lz4, 1000),
        TEXT,
    );
    let wire = [&one[..], &one].concat();
    for split in 0..=wire.len() {
        let mut codec = stack();
        let mut src = BytesMut::from(&wire[..split]);
        let mut count = 0;
        while let Some(item) = codec.decode(&mut src).unwrap() {
            assert_eq!(item, TEXT);
            count += 1;
        }
        let whole = split % one.len() == 0;
        // LengthDelimitedCodec has consumed the length, and takes that for a clean end.
        if split > one.len() && split != one.len() + 4 {
            assert_eq!(
                codec.clone().decode_eof(&mut src.clone()).is_ok(),
                whole,
                "{split}"
            );
        }
        src.extend_from_slice(&wire[split..]);
        while let Some(item) = codec.decode_eof(&mut src).unwrap() {
            assert_eq!(item, TEXT);
            count += 1;
        }
        assert_eq!((count, src.len()), (2, 0));
    }
}

#[tokio::test]
async fn a_stack_works_in_framed_and_its_types_infer() {
    let stack = || {
        frames()
            .checked::<Crc32>()
            .compressed(Lz4, 1 << 20)
            .with(|payload| payload.len(), |text: String| Bytes::from(text))
            .tolerant(3)
    };
    let (a, b) = tokio::io::duplex(64);
    let (mut a, mut b) = (Framed::new(a, stack()), Framed::new(b, stack()));
    let send = async {
        a.feed(TEXT.to_owned()).await.unwrap();
        a.feed("x".repeat(100_000)).await.unwrap();
        a.flush().await.unwrap();
        a.close().await.unwrap();
    };
    let receive = async {
        assert_eq!(b.next().await.unwrap().unwrap().unwrap(), 27);
        assert_eq!(b.next().await.unwrap().unwrap().unwrap(), 100_000);
        assert!(b.next().await.is_none());
    };
    tokio::join!(send, receive);
}

#[test]
fn stacks_of_codecs_are_send_and_clone() {
    fn check<T: Send + Sync + Clone + Unpin + std::fmt::Debug + 'static>(_: T) {}
    check(
        frames()
            .capped(99)
            .checked::<Crc32>()
            .compressed(Zstd::level(1), 9)
            .compressed(Lz4, 9)
            .with(|payload: Bytes| payload, |payload: Bytes| payload)
            .try_map(Ok::<Bytes, CappedError<PrefixedError>>)
            .tapped(|_| ())
            .tolerant(9),
    );
    check(frames().either(frames()));
}

fn payloads() -> Vec<Bytes> {
    let text = TEXT.repeat(100);
    vec![
        Bytes::new(),
        Bytes::from("x"),
        Bytes::from(TEXT),
        Bytes::from(text),
    ]
}

/// The kit's laws, with a cap on the wire and frames beyond it.
fn keeps_the_laws<C>(codec: impl Fn(usize) -> C)
where
    C: Decoder<Item = Bytes, Error: std::fmt::Debug> + Encoder<Bytes, Error: std::fmt::Debug>,
{
    Laws::new(|| codec(4096), payloads())
        .cap(4096)
        .oversized([Bytes::from(vec![b'x'; 4097])])
        .uncapped(|| codec(1 << 20))
        .check()
        .unwrap();
}

#[test]
fn every_layer_keeps_the_laws() {
    keeps_the_laws(|most| Prefixed::new(Length::U32, 1 << 20).capped(most));
    keeps_the_laws(|most| Prefixed::new(Length::Varint, most - 2).checked::<Crc32>());
    keeps_the_laws(|most| Prefixed::new(Length::U16, most - 2).tapped(|_| ()));
    keeps_the_laws(|most| {
        let right = Prefixed::new(Length::U32Le, most - 4);
        Prefixed::new(Length::U32, most - 4).either(right)
    });
    keeps_the_laws(|most| {
        Prefixed::new(Length::U32, most - 4)
            .checked::<Crc32>()
            .compressed(Lz4, most)
            .with(|payload| payload, |payload: Bytes| payload)
            .try_map(Ok::<_, PrefixedError>)
    });
    keeps_the_laws(|most| {
        Prefixed::new(Length::U32, most - 4)
            .compressed(Zstd::default(), most)
            .tapped(|_| ())
            .capped(most)
    });
}

#[test]
fn capped_makes_a_codec_without_care_keep_the_laws_of_caps_and_memory() {
    let codec = |most| {
        LengthDelimitedCodec::new()
            .map_in(BytesMut::freeze)
            .capped(most)
    };
    let laws = Laws::new(|| codec(4096), payloads())
        .cap(4096)
        .oversized([Bytes::from(vec![b'x'; 4093])])
        .uncapped(|| codec(1 << 20));
    laws.every_split().unwrap();
    laws.cap_holds().unwrap();
    laws.reserve().unwrap();
    laws.failed_encode().unwrap();
    laws.garbage().unwrap();
    // That it takes an end behind the length for a clean one is nothing that a cap could mend.
    assert!(laws.end().is_err());
}
