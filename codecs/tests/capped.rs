//! A cap for any codec.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::{
    BytesCodec, Decoder, Encoder, LengthDelimitedCodec, LinesCodec, LinesCodecError,
};
use wattle_codecs::{Capped, CappedError, CodecExt, Length, Prefixed, Recoverable};

fn decode_all<C: Decoder>(codec: &mut C, src: &mut BytesMut) -> Result<Vec<C::Item>, C::Error> {
    let mut items = Vec::new();
    while let Some(item) = codec.decode(src)? {
        items.push(item);
    }
    Ok(items)
}

fn one_byte() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .length_field_length(1)
        .new_codec()
}

#[test]
fn a_frame_as_large_as_the_cap_passes_and_one_byte_more_does_not() {
    let mut codec = LinesCodec::new().capped(5);
    let mut src = BytesMut::from("bean\npea\nbeans\n");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "bean");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "pea");
    let error = codec.decode(&mut src).unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame at byte 9: 6 bytes came, expected at most 5"
    );
    assert!(matches!(
        error,
        CappedError::TooLong {
            came: 6,
            most: 5,
            at: 9
        }
    ));
    assert!(!error.is_recoverable());
}

#[test]
fn a_frame_that_has_not_ended_is_refused_with_the_first_byte_beyond() {
    for size in 1..12 {
        let mut codec = LinesCodec::new().capped(5);
        let mut src = BytesMut::new();
        let mut came = 0;
        let error = loop {
            src.extend_from_slice(&vec![b'x'; size]);
            came += size as u64;
            if let Err(error) = codec.decode(&mut src) {
                break error;
            }
            assert!(came <= 5);
        };
        let CappedError::TooLong {
            came: told,
            most: 5,
            at: 0,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(told, came);
    }
}

#[test]
fn many_frames_in_one_read_are_no_large_frame() {
    let mut codec = LinesCodec::new().capped(5);
    let mut src = BytesMut::from(&*"bean\n".repeat(1000));
    src.extend_from_slice(b"bean");
    assert_eq!(decode_all(&mut codec, &mut src).unwrap().len(), 1000);
    src.extend_from_slice(b"\n");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "bean");
}

#[test]
fn a_head_consumed_early_counts() {
    for (frame, fits) in [(&b"\x04bean"[..], true), (b"\x05beans", false)] {
        let mut codec = one_byte().capped(5);
        let mut src = BytesMut::new();
        let mut result = Ok(None);
        for byte in frame {
            src.extend_from_slice(&[*byte]);
            result = codec.decode(&mut src);
        }
        assert_eq!(result.is_ok_and(|item| item.is_some()), fits);
    }
}

#[test]
fn what_the_codec_throws_away_counts() {
    let mut codec = LinesCodec::new_with_max_length(4).capped(100);
    let mut src = BytesMut::from(&*"x".repeat(60));
    let error = codec.decode(&mut src).unwrap_err();
    assert!(error.is_recoverable(), "as the lines' own");
    assert!(matches!(
        error,
        CappedError::Codec(LinesCodecError::MaxLineLengthExceeded)
    ));
    assert!(codec.decode(&mut src).unwrap().is_none());
    src.extend_from_slice(&[b'x'; 60]);
    let error = codec.decode(&mut src).unwrap_err();
    assert!(matches!(
        error,
        CappedError::TooLong {
            came: 120,
            most: 100,
            at: 0
        }
    ));
}

#[test]
fn a_bad_frame_that_was_consumed_does_not_count_for_the_next() {
    let mut codec = one_byte().checked::<wattle_codecs::Crc32>().capped(14);
    let good = b"\x0d123456789\xcb\xf4\x39\x26";
    let mut src = BytesMut::from(&[b"\x06beans!", &good[..], b"\x06beans!"].concat()[..]);
    assert!(codec.decode(&mut src).unwrap_err().is_recoverable());
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "123456789");
    let error = codec.decode(&mut src).unwrap_err().to_string();
    assert!(error.starts_with("frame at byte 21: checksum"), "{error}");
}

#[test]
fn the_end_of_the_stream_is_the_codecs_affair() {
    let mut codec = LinesCodec::new().capped(5);
    assert_eq!(codec.decode_eof(&mut "".into()).unwrap(), None);
    assert_eq!(
        codec.decode_eof(&mut "beans".into()).unwrap().unwrap(),
        "beans"
    );
    let error = codec.decode_eof(&mut "beans!".into()).unwrap_err();
    assert!(matches!(error, CappedError::TooLong { came: 6, at: 5, .. }));
    let mut codec = Prefixed::new(Length::U8, 9).capped(5);
    let error = codec.decode_eof(&mut "\x03be".into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame at byte 0: the stream ended after 3 bytes of it, expected at least 4"
    );
}

#[test]
fn a_frame_to_send_beyond_the_cap_leaves_no_bytes() {
    let mut codec = one_byte().capped(5);
    let mut dst = BytesMut::from("before");
    codec.encode(Bytes::from("bean"), &mut dst).unwrap();
    assert_eq!(&dst[..], b"before\x04bean");
    let error = codec.encode(Bytes::from("beans"), &mut dst).unwrap_err();
    assert_eq!(&dst[..], b"before\x04bean");
    assert_eq!(
        error.to_string(),
        "a frame of 6 bytes to send, expected at most 5"
    );
    assert!(matches!(
        error,
        CappedError::UnencodablyLong { len: 6, most: 5 }
    ));
    assert!(!error.is_recoverable());
}

#[test]
fn an_encoder_that_fails_half_way_leaves_no_bytes() {
    #[derive(Debug)]
    struct Half;
    impl Encoder<()> for Half {
        type Error = std::io::Error;
        fn encode(&mut self, (): (), dst: &mut BytesMut) -> std::io::Result<()> {
            dst.extend_from_slice(b"half");
            Err(std::io::ErrorKind::Other.into())
        }
    }
    let mut dst = BytesMut::from("before");
    assert!(Capped::new(Half, 100).encode((), &mut dst).is_err());
    assert_eq!(&dst[..], b"before");
}

fn announcing(len: u32) -> BytesMut {
    let mut src = BytesMut::with_capacity(8192);
    src.extend_from_slice(&len.to_be_bytes());
    src
}

#[test]
fn memory_that_was_reserved_for_an_announcement_is_given_back() {
    let announced = 8 << 20;
    let mut bare = LengthDelimitedCodec::new();
    let mut src = announcing(announced);
    assert!(bare.decode(&mut src).unwrap().is_none());
    assert!(
        src.capacity() >= announced as usize,
        "or this test tests nothing"
    );

    // Not beyond the cap, and then not beyond what has come.
    for (most, left) in [(100, 8192), (20_000, 20_000), (16 << 20, 64 * 1024)] {
        let mut codec = LengthDelimitedCodec::new().capped(most);
        let mut src = announcing(announced);
        assert!(codec.decode(&mut src).unwrap().is_none());
        assert!(
            src.capacity() <= left,
            "{} for a cap of {most}",
            src.capacity()
        );
    }
}

#[test]
fn what_came_is_kept_when_memory_is_given_back_and_the_frame_is_decoded() {
    let frame: Vec<u8> = (0..1_000_000_u32).map(|i| i as u8).collect();
    let mut codec = LengthDelimitedCodec::new().capped(2 << 20);
    let mut src = announcing(frame.len() as u32);
    let mut came = 0;
    for portion in frame.chunks(10_000) {
        src.extend_from_slice(portion);
        came += portion.len();
        if let Some(item) = codec.decode(&mut src).unwrap() {
            assert_eq!(came, frame.len());
            assert_eq!(item, frame);
            return;
        }
        assert!(
            src.capacity() <= 4 * came.max(64 * 1024),
            "{came}: {}",
            src.capacity()
        );
    }
    panic!("no item");
}

/// Makes room for the whole of its frame at each call, as the example in tokio-util's docs does.
#[derive(Debug)]
struct Eager;

impl Decoder for Eager {
    type Item = BytesMut;
    type Error = std::io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> std::io::Result<Option<BytesMut>> {
        let Some(len) = src.first_chunk() else {
            return Ok(None);
        };
        let end = 4 + u32::from_be_bytes(*len) as usize;
        if src.len() < end {
            src.reserve(end - src.len());
            return Ok(None);
        }
        Ok(Some(src.split_to(end)))
    }
}

#[test]
fn room_that_is_made_at_each_call_is_given_back_without_moving_what_came() {
    const LEN: usize = 32 << 20;
    let mut codec = Eager.capped(LEN + 4);
    let mut src = announcing(LEN as u32);
    let began = Instant::now();
    for _ in 0..LEN / 64 {
        assert!(codec.decode(&mut src).unwrap().is_none());
        assert!(src.capacity() <= 4 * src.len().max(64 * 1024));
        src.reserve(1);
        src.extend_from_slice(&[7; 64]);
    }
    assert_eq!(codec.decode(&mut src).unwrap().unwrap().len(), LEN + 4);
    // Moved at each call, these are 10¹² bytes.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn a_buffer_of_the_readers_own_choice_is_left_to_it() {
    let mut codec = Prefixed::new(Length::U8, 50).capped(51);
    let mut src = BytesMut::with_capacity(1 << 20);
    src.extend_from_slice(b"\x03pe");
    let at = src.as_ptr();
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert_eq!((src.as_ptr(), src.capacity()), (at, 1 << 20));
}

#[test]
fn a_cap_may_be_the_largest_number() {
    let mut codec = BytesCodec::new().capped(usize::MAX);
    let mut src = BytesMut::from("pea");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "pea");
    let mut codec = LinesCodec::new().capped(0);
    assert!(codec.decode(&mut BytesMut::new()).unwrap().is_none());
    assert!(codec.decode(&mut "\n".into()).is_err());
    src.advance(src.len());
}
