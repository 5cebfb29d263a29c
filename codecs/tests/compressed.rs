//! Frames with compressed payload, and what tries to expand to more than it may.

use bytes::{BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{
    CodecExt, Compressed, CompressedError, Compression, CompressionError, Length, Lz4, Prefixed,
    PrefixedError, Recoverable, Zstd,
};

const TEXT: &str = "wattle wattle wattle wattle";

/// `TEXT` by hand, with the specification at hand: 7 literals and 15 bytes from 7 before, 5 literals.
const LZ4_TEXT: &[u8] = b"\x1b\0\0\0\x7bwattle \x07\0\x50attle";

/// `TEXT` as the command `zstd --no-check` writes it for a file, and with its checksum.
const ZSTD_TEXT: &[u8] = b"\x28\xb5\x2f\xfd\x20\x1b\x6d\0\0\x38wattle \x01\0\xa2\x8b\x11";
const ZSTD_CHECKED: &[u8] =
    b"\x28\xb5\x2f\xfd\x24\x1b\x6d\0\0\x38wattle \x01\0\xa2\x8b\x11\xbb\x21\x75\x95";

/// The same from a pipe: without a size.
const ZSTD_UNSIZED: &[u8] =
    b"\x28\xb5\x2f\xfd\x04\x58\x6d\0\0\x38wattle \x01\0\xa2\x8b\x11\xbb\x21\x75\x95";

const MOST: usize = 1 << 20;

fn codec<K: Compression>(compression: K) -> Compressed<Prefixed, K> {
    Prefixed::new(Length::U32, 8 << 20).compressed(compression, MOST)
}

fn framed(payload: &[u8]) -> BytesMut {
    let mut wire = BytesMut::new();
    wire.put_u32(payload.len() as u32);
    wire.extend_from_slice(payload);
    wire
}

/// Decodes one frame with this payload, and, where that errs, a good one behind it.
fn decode<K: Compression>(
    compression: K,
    payload: &[u8],
) -> Result<Bytes, CompressedError<PrefixedError>> {
    let mut codec = codec(compression);
    let mut wire = framed(payload);
    let result = codec.decode(&mut wire);
    assert!(wire.is_empty());
    if let Err(error) = &result {
        assert!(error.is_recoverable(), "{error}");
        let mut good = BytesMut::new();
        codec.encode(Bytes::from(TEXT), &mut good).unwrap();
        assert_eq!(codec.decode(&mut good).unwrap().unwrap(), TEXT);
    }
    result.map(Option::unwrap)
}

fn assert_corrupt<K: Compression>(compression: K, payload: &[u8], why: &str) {
    let error = decode(compression, payload).unwrap_err();
    assert!(
        matches!(error, CompressedError::Corrupt { at: 0, .. }),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        format!("frame at byte 0: can't be expanded: {why}")
    );
}

/// A zstd frame that says `size` and has `blocks` blocks of 128 KiB of zeros each.
fn zstd_zeros(size: u64, blocks: usize) -> Vec<u8> {
    let mut frame = b"\x28\xb5\x2f\xfd\xc0\x58".to_vec();
    frame.put_u64_le(size);
    for block in 1..=blocks {
        let last = u64::from(block == blocks);
        frame.put_uint_le(last | 1 << 1 | (128 << 10) << 3, 3);
        frame.put_u8(0);
    }
    frame
}

/// An LZ4 block that says `size` and has one zero and `repeated` repetitions of it.
fn lz4_zeros(size: u32, repeated: usize) -> Vec<u8> {
    let mut frame = size.to_le_bytes().to_vec();
    frame.extend([0x1f, 0, 1, 0]);
    let more = repeated - 4 - 15;
    frame.extend(vec![255; more / 255]);
    frame.extend([(more % 255) as u8, 0]);
    frame
}

#[test]
fn what_others_have_compressed_is_expanded() {
    assert_eq!(decode(Lz4, LZ4_TEXT).unwrap(), TEXT);
    assert_eq!(decode(Zstd::default(), ZSTD_TEXT).unwrap(), TEXT);
    assert_eq!(decode(Zstd::default(), ZSTD_CHECKED).unwrap(), TEXT);
}

#[test]
fn the_wire_has_what_the_specifications_say() {
    let mut dst = BytesMut::from("before");
    codec(Lz4).encode(Bytes::from(TEXT), &mut dst).unwrap();
    assert_eq!(&dst[..14], b"before\0\0\0\x15\x1b\0\0\0");
    // As LZ4_TEXT, but for a literal more at the end.
    assert_eq!(&dst[14..], b"\x7awattle \x07\0\x60wattle");

    let mut dst = BytesMut::new();
    codec(Zstd::level(3))
        .encode(Bytes::from(TEXT), &mut dst)
        .unwrap();
    // Magic number, a single segment with its size in one byte.
    assert_eq!(&dst[4..10], b"\x28\xb5\x2f\xfd\x20\x1b");
}

#[test]
fn payloads_of_every_kind_come_back() {
    fn round<K: Compression>(compression: K, most: usize) {
        let mut codec = codec(compression);
        let noise: Vec<u8> = (0..most as u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for payload in [
            &b""[..],
            b"x",
            TEXT.as_bytes(),
            &vec![7; most],
            &noise,
            &noise[..most / 3],
        ] {
            let mut wire = BytesMut::new();
            codec
                .encode(Bytes::copy_from_slice(payload), &mut wire)
                .unwrap();
            assert_eq!(codec.decode(&mut wire).unwrap().unwrap(), payload);
            assert!(wire.is_empty());
        }
    }
    round(Lz4, MOST);
    round(Zstd::default(), MOST);
    for level in [-7, 1, 9, 22, i32::MAX, i32::MIN] {
        round(Zstd::level(level), 50_000);
    }
}

#[test]
fn a_frame_is_decoded_at_every_split() {
    let wire = [framed(ZSTD_TEXT), framed(ZSTD_CHECKED)].concat();
    for split in 0..wire.len() {
        let mut codec = codec(Zstd::default());
        let mut src = BytesMut::from(&wire[..split]);
        let first = codec.decode(&mut src).unwrap();
        src.extend_from_slice(&wire[split..]);
        let mut items: Vec<_> = first.into_iter().collect();
        while let Some(item) = codec.decode(&mut src).unwrap() {
            items.push(item);
        }
        assert_eq!(items, [TEXT, TEXT]);
    }
}

#[test]
fn exactly_the_cap_is_expanded_and_one_byte_more_is_refused_untouched() {
    assert_eq!(
        decode(Zstd::default(), &zstd_zeros(MOST as u64, 8))
            .unwrap()
            .len(),
        MOST
    );
    for size in [MOST as u64 + 1, 4 << 30, u64::MAX - 2] {
        let error = decode(Zstd::default(), &zstd_zeros(size, 9)).unwrap_err();
        let expected =
            format!("frame at byte 0: expands to {size} bytes, expected at most 1048576");
        assert_eq!(error.to_string(), expected);
        assert!(
            matches!(error, CompressedError::TooLarge { announced, most: MOST, at: 0 } if announced == size)
        );
    }
    assert_eq!(
        decode(Lz4, &lz4_zeros(MOST as u32, MOST - 1))
            .unwrap()
            .len(),
        MOST
    );
    for size in [MOST as u32 + 1, u32::MAX] {
        let error = decode(Lz4, &lz4_zeros(size, 100)).unwrap_err();
        assert!(
            matches!(error, CompressedError::TooLarge { announced, .. } if announced == u64::from(size))
        );
    }
}

#[test]
fn a_frame_that_says_10_bytes_and_has_a_gibibyte_is_refused() {
    let bomb = zstd_zeros(10, 8192);
    assert_corrupt(Zstd::default(), &bomb, "Destination buffer is too small");
    let error = decode(Lz4, &lz4_zeros(10, 1 << 30)).unwrap_err();
    assert!(matches!(error, CompressedError::Corrupt { .. }), "{error}");
}

#[test]
fn a_frame_that_has_less_than_it_says_is_refused() {
    // zstd finds that itself.
    assert_corrupt(
        Zstd::default(),
        &zstd_zeros(200_000, 1),
        "Data corruption detected",
    );
    let mut short = LZ4_TEXT.to_vec();
    short[0] += 1;
    let error = decode(Lz4, &short).unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame at byte 0: expands to 27 bytes, expected the 28 that it announces"
    );
    assert!(matches!(
        error,
        CompressedError::SizeMismatch {
            announced: 28,
            came: 27,
            at: 0
        }
    ));
    short[0] -= 2;
    assert!(matches!(
        decode(Lz4, &short),
        Err(CompressedError::Corrupt { .. })
    ));
}

#[test]
fn what_so_few_bytes_cannot_become_is_refused_before_room_is_made() {
    let why = "18 bytes can't expand to the 1000000 they announce";
    let mut wire = zstd_zeros(1_000_000, 1);
    assert_corrupt(Zstd::default(), &wire, why);
    wire = lz4_zeros(1_000_000, 20);
    wire.resize(18, 0);
    assert_corrupt(Lz4, &wire, why);
}

#[test]
fn a_frame_that_does_not_say_its_size_is_refused() {
    let error = decode(Zstd::default(), ZSTD_UNSIZED).unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame at byte 0: expected the size that it expands to, it doesn't say"
    );
    assert!(matches!(error, CompressedError::SizeMissing { at: 0 }));
    for short in [&b""[..], b"\x1b\0\0"] {
        assert!(matches!(
            decode(Lz4, short),
            Err(CompressedError::SizeMissing { .. })
        ));
    }
}

#[test]
fn a_zstd_payload_is_exactly_one_frame() {
    let two = [ZSTD_TEXT, ZSTD_TEXT].concat();
    assert_corrupt(
        Zstd::default(),
        &two,
        "there are 22 bytes behind the zstd frame",
    );
    let trailing = [ZSTD_TEXT, b"x"].concat();
    assert_corrupt(
        Zstd::default(),
        &trailing,
        "there are 1 bytes behind the zstd frame",
    );
    let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0pea";
    assert_corrupt(Zstd::default(), skippable, "no zstd frame begins there");
    let skipped = [&skippable[..], ZSTD_TEXT].concat();
    assert_corrupt(Zstd::default(), &skipped, "no zstd frame begins there");
    assert_corrupt(
        Zstd::default(),
        &[ZSTD_TEXT, skippable].concat(),
        "there are 11 bytes behind the zstd frame",
    );
    assert_corrupt(Zstd::default(), b"", "no zstd frame begins there");
    assert_corrupt(Zstd::default(), &ZSTD_TEXT[..21], "Src size is incorrect");
    // With the id 7 of a dictionary.
    let dictionary = [&ZSTD_TEXT[..4], b"\x21\x07", &ZSTD_TEXT[5..]].concat();
    assert_corrupt(Zstd::default(), &dictionary, "Dictionary mismatch");
}

#[test]
fn a_huge_window_takes_no_memory() {
    // The largest that can be said: 3.75 TiB, which zstd itself refuses.
    let mut frame = zstd_zeros(1000, 1);
    frame[5] = 0xff;
    assert_corrupt(
        Zstd::default(),
        &frame,
        "Frame requires too much memory for decoding",
    );
    // 2 GiB: the payload is its own window, and small.
    let mut frame = zstd_zeros(128 << 10, 1);
    frame[5] = 21 << 3;
    assert_eq!(decode(Zstd::default(), &frame).unwrap().len(), 128 << 10);
}

#[test]
fn flipped_bits_and_garbage_err_or_decode_and_never_panic() {
    fn garble<K: Compression + Copy>(compression: K, good: &[u8]) {
        for bit in 0..8 * good.len() {
            let mut payload = good.to_vec();
            payload[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(compression, &payload);
        }
        for end in 0..good.len() {
            assert!(decode(compression, &good[..end]).is_err());
        }
        let mut seed = 7_u64;
        for _ in 0..2000 {
            let mut payload = good[..6].to_vec();
            for _ in 0..seed % 60 {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                payload.push((seed >> 33) as u8);
            }
            let _ = decode(compression, &payload);
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
    }
    garble(Lz4, LZ4_TEXT);
    garble(Zstd::default(), ZSTD_CHECKED);
}

#[test]
fn a_payload_to_send_beyond_the_cap_is_refused_as_the_other_side_would() {
    let mut dst = BytesMut::from("before");
    let error = codec(Lz4)
        .encode(Bytes::from(vec![0; MOST + 1]), &mut dst)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a payload of 1048577 bytes to send, expected at most 1048576"
    );
    assert!(
        matches!(error, CompressedError::UnencodablyLarge { len, most: MOST } if len == MOST + 1)
    );
    assert!(!error.is_recoverable());
    assert_eq!(dst, "before");

    let mut narrow = Prefixed::new(Length::U8, 10).compressed(Lz4, MOST);
    let error = narrow.encode(Bytes::from(TEXT), &mut dst).unwrap_err();
    assert!(matches!(
        error,
        CompressedError::Codec(PrefixedError::UnencodablyLong { len: 21, .. })
    ));
    assert_eq!(dst, "before");
}

#[test]
fn the_byte_of_an_error_and_the_end_of_the_stream() {
    let mut codec = codec(Lz4);
    let mut src = framed(LZ4_TEXT);
    src.extend_from_slice(&framed(b"pea"));
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), TEXT);
    assert!(matches!(
        codec.decode_eof(&mut src),
        Err(CompressedError::SizeMissing { at: 24 })
    ));
    assert!(codec.decode_eof(&mut src).unwrap().is_none());
    let error = codec.decode_eof(&mut "\0\0".into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame at byte 31: the stream ended after 2 bytes of it, expected at least 4"
    );
    assert!(!error.is_recoverable());
}

/// Says that it expands to as many bytes as its first byte says, and writes as many as the second.
#[derive(Debug, Clone)]
struct Liar;

impl Compression for Liar {
    fn compress(&mut self, _: &[u8]) -> Result<Vec<u8>, CompressionError> {
        Err("not today".into())
    }

    fn expanded_size(&self, compressed: &[u8]) -> Result<Option<u64>, CompressionError> {
        Ok(compressed.first().copied().map(u64::from))
    }

    fn expand(&mut self, compressed: &[u8], size: usize) -> Result<Vec<u8>, CompressionError> {
        assert_eq!(
            size,
            usize::from(compressed[0]),
            "no more room than was announced"
        );
        Ok(vec![0; compressed[1].into()])
    }
}

#[test]
fn another_compression_gets_as_much_room_as_it_announced_and_has_to_fill_it() {
    let mut codec = Prefixed::new(Length::U8, 10).compressed(Liar, 100);
    assert_eq!(
        codec.decode(&mut "\x02\x03\x03".into()).unwrap().unwrap(),
        vec![0; 3]
    );
    for came in [2, 4, 200] {
        let error = codec
            .decode(&mut BytesMut::from(&[2, 3, came][..]))
            .unwrap_err();
        assert!(
            matches!(error, CompressedError::SizeMismatch { announced: 3, .. }),
            "{error}"
        );
    }
    assert!(matches!(
        codec.decode(&mut "\x02\x65\x65".into()),
        Err(CompressedError::TooLarge { announced: 101, .. })
    ));
    let error = codec
        .encode(Bytes::new(), &mut BytesMut::new())
        .unwrap_err();
    assert_eq!(error.to_string(), "a payload to send: not today");
    assert!(!error.is_recoverable());
}

#[test]
fn threads_come_and_go() {
    for _ in 0..3 {
        std::thread::spawn(|| {
            assert_eq!(decode(Zstd::default(), ZSTD_TEXT).unwrap(), TEXT);
            let mut wire = BytesMut::new();
            codec(Zstd::level(19))
                .encode(Bytes::from(vec![1; MOST]), &mut wire)
                .unwrap();
            assert_eq!(
                codec(Zstd::default()).decode(&mut wire).unwrap().unwrap(),
                vec![1; MOST]
            );
        })
        .join()
        .unwrap();
    }
}
