//! What a tap is shown.

use std::{fmt::Debug, sync::mpsc};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{BytesCodec, Decoder, Encoder, LengthDelimitedCodec, LinesCodec};
use wattle_codecs::{CodecExt, Delimited, Length, Passed, Prefixed, Tapped};

/// What was shown, in words.
fn told<In: Debug, Out: Debug>(passed: Passed<'_, In, Out>) -> String {
    let text = |wire: &[u8]| wire.escape_ascii().to_string();
    match passed {
        Passed::Decoded { wire, message } => format!("{} is {message:?}", text(wire)),
        Passed::DecodeFailed { wire, rest, error } => {
            format!("{} then {}: {error}", text(wire), text(rest))
        }
        Passed::Encoding { message } => format!("to send {message:?}"),
        Passed::Encoded { wire } => format!("sent {}", text(wire)),
        Passed::EncodeFailed { error } => format!("not sent: {error}"),
        Passed::Consumed { wire } => format!("consumed {}", wire.len()),
        other => panic!("{other:?}"),
    }
}

#[expect(clippy::type_complexity, reason = "it is said once")]
fn tap<C, Out>(
    codec: C,
) -> (
    Tapped<C, impl FnMut(Passed<'_, C::Item, Out>), Out>,
    mpsc::Receiver<String>,
)
where
    C: Decoder<Item: Debug, Error: std::error::Error + 'static> + Encoder<Out>,
    Out: Debug,
{
    let (tx, rx) = mpsc::channel();
    let tap = move |passed: Passed<'_, C::Item, Out>| tx.send(told(passed)).unwrap();
    (codec.tapped(tap), rx)
}

fn all(rx: &mpsc::Receiver<String>) -> Vec<String> {
    rx.try_iter().collect()
}

fn one_byte() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .length_field_length(1)
        .new_codec()
}

#[test]
fn each_item_comes_with_exactly_its_bytes_at_every_split() {
    fn check<C>(make: impl Fn() -> C)
    where
        C: Decoder<Item: Debug, Error: std::error::Error + 'static> + Encoder<Bytes>,
    {
        let wire = b"\x03pea\0\x04bean\x05ca";
        let expected = [
            r#"\x03pea is b"pea""#,
            r#"\x00 is b"""#,
            r#"\x04bean is b"bean""#,
        ];
        for size in 1..=wire.len() {
            let (mut codec, rx) = tap::<_, Bytes>(make());
            let mut src = BytesMut::new();
            for portion in wire.chunks(size) {
                src.extend_from_slice(portion);
                while codec.decode(&mut src).unwrap().is_some() {}
                // Once more, without anything new, and with another buffer.
                src = BytesMut::from(&src[..]);
                assert!(codec.decode(&mut src).unwrap().is_none());
            }
            assert_eq!(all(&rx), expected, "in portions of {size}");
        }
    }
    check(|| Prefixed::new(Length::U8, 9));
    // Consumes the length before the payload is there.
    check(one_byte);
}

#[test]
fn what_a_codec_skips_belongs_to_the_item_behind_it() {
    let (mut codec, rx) = tap::<_, &str>(LinesCodec::new_with_max_length(3));
    let mut src = BytesMut::from("beans");
    assert!(codec.decode(&mut src).is_err());
    assert!(codec.decode(&mut src).unwrap().is_none());
    src.extend_from_slice(b"!\npea\n");
    assert!(codec.decode(&mut src).unwrap().is_some());
    assert_eq!(
        all(&rx),
        [
            " then beans: max line length exceeded",
            r#"beans!\npea\n is "pea""#
        ]
    );
}

#[test]
fn an_error_comes_with_what_was_consumed_and_what_is_left() {
    let (mut codec, rx) = tap(Prefixed::new(Length::U8, 9).checked::<wattle_codecs::Crc32>());
    let mut src = BytesMut::from("\x05beans\x01x\x0apea");
    assert!(codec.decode(&mut src).is_err());
    assert!(codec.decode(&mut src).is_err());
    assert!(codec.decode(&mut src).is_err());
    let seen = all(&rx);
    assert!(
        seen[0].starts_with(r"\x05beans then \x01x\npea: frame at byte 0: checksum"),
        "{seen:?}"
    );
    assert!(
        seen[1].starts_with(r"\x01x then \npea: frame at byte 6: 1 bytes"),
        "{seen:?}"
    );
    assert!(
        seen[2].starts_with(r" then \npea: frame at byte 8: length 10"),
        "{seen:?}"
    );
}

#[test]
fn the_end_of_the_stream_is_shown_as_the_codec_sees_it() {
    let (mut codec, rx) = tap::<_, &str>(LinesCodec::new_with_max_length(80));
    let mut src = BytesMut::from("pea\npod");
    assert!(codec.decode(&mut src).unwrap().is_some());
    assert!(codec.decode(&mut src).unwrap().is_none());
    assert!(codec.decode_eof(&mut src).unwrap().is_some());
    assert!(codec.decode_eof(&mut src).unwrap().is_none());
    assert_eq!(all(&rx), [r#"pea\n is "pea""#, r#"pod is "pod""#]);

    let (mut codec, rx) = tap(Prefixed::new(Length::U8, 9));
    assert!(codec.decode_eof(&mut "\x03pe".into()).is_err());
    assert_eq!(
        all(&rx),
        [
            r" then \x03pe: frame at byte 0: the stream ended after 3 bytes of it, expected at least 4"
        ]
    );
}

#[test]
fn what_is_sent_is_shown_with_its_bytes_and_what_cannot_be_sent_with_its_error() {
    let (mut codec, rx) = tap(Prefixed::new(Length::U8, 3));
    let mut dst = BytesMut::from("before");
    codec.encode(Bytes::from("pea"), &mut dst).unwrap();
    codec.encode(Bytes::new(), &mut dst).unwrap();
    assert!(codec.encode(Bytes::from("bean"), &mut dst).is_err());
    assert_eq!(dst, "before\x03pea\0");
    assert_eq!(
        all(&rx),
        [
            r#"to send b"pea""#,
            r"sent \x03pea",
            r#"to send b"""#,
            r"sent \x00",
            r#"to send b"bean""#,
            "not sent: a payload of 4 bytes to send, expected at most 3"
        ]
    );
}

#[test]
fn a_codec_that_encodes_many_types_encodes_the_one_that_is_shown() {
    let lines = || LinesCodec::new_with_max_length(80);
    let (mut borrowed, rx) = tap(lines());
    borrowed.encode("pea", &mut BytesMut::new()).unwrap();
    assert_eq!(all(&rx), [r#"to send "pea""#, r"sent pea\n"]);
    let (mut owned, rx) = tap(lines());
    owned
        .encode("pod".to_owned(), &mut BytesMut::new())
        .unwrap();
    assert_eq!(all(&rx), [r#"to send "pod""#, r"sent pod\n"]);
}

#[test]
fn an_encoder_that_fails_half_way_leaves_no_bytes() {
    #[derive(Debug)]
    struct Half;
    impl Encoder<()> for Half {
        type Error = std::io::Error;
        fn encode(&mut self, (): (), dst: &mut BytesMut) -> std::io::Result<()> {
            dst.extend_from_slice(b"half");
            Err(std::io::Error::other("no"))
        }
    }
    impl Decoder for Half {
        type Item = ();
        type Error = std::io::Error;
        fn decode(&mut self, _: &mut BytesMut) -> std::io::Result<Option<()>> {
            Ok(None)
        }
    }
    let (mut codec, rx) = tap(Half);
    let mut dst = BytesMut::from("before");
    assert!(codec.encode((), &mut dst).is_err());
    assert_eq!(dst, "before");
    assert_eq!(all(&rx), ["to send ()", "not sent: no"]);
}

#[test]
fn what_is_thrown_away_without_end_is_shown_in_pieces_and_not_held() {
    let (mut codec, rx) = tap::<_, &str>(LinesCodec::new_with_max_length(3));
    let mut src = BytesMut::from("beans");
    assert!(codec.decode(&mut src).is_err());
    let mut sum = 5;
    for _ in 0..20 {
        src.extend_from_slice(&[b'x'; 10_000]);
        sum += 10_000;
        assert!(codec.decode(&mut src).unwrap().is_none());
    }
    src.extend_from_slice(b"\npea\n");
    assert!(codec.decode(&mut src).unwrap().is_some());
    let seen = all(&rx);
    assert_eq!(seen[0], " then beans: max line length exceeded");
    assert_eq!(seen[1..3], ["consumed 70005", "consumed 70000"]);
    assert_eq!(seen.len(), 4);
    let last = seen[3].strip_suffix(r#"\npea\n is "pea""#).unwrap();
    assert_eq!(last.len(), sum - 140_005);
}

#[test]
fn many_frames_in_one_buffer_are_copied_once() {
    // With a copy of the rest for each frame, this would be 45 GiB of them.
    let (tx, rx) = mpsc::channel();
    let mut codec = Prefixed::new(Length::U8, 9).tapped(move |passed| {
        let Passed::Decoded { wire, .. } = passed else {
            panic!("{passed:?}")
        };
        tx.send(wire.len()).unwrap();
    });
    let mut src = BytesMut::from(&*b"\x02ab".repeat(300_000 / 3));
    while codec.decode(&mut src).unwrap().is_some() {}
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), vec![3; 100_000]);
}

#[test]
fn nothing_is_held_when_the_buffer_is_empty() {
    let mut codec = BytesCodec::new().tapped(|_: Passed<'_, _, Bytes>| ());
    let before = format!("{codec:?}");
    codec.decode(&mut "pea".into()).unwrap();
    assert_eq!(format!("{codec:?}"), before);
    assert!(before.contains("consumed: 0"), "{before}");
    assert_eq!(
        format!("{:?}", codec.clone().into_inner()),
        format!("{:?}", codec.get_ref())
    );
}

#[test]
fn where_it_stands_decides_whose_messages_it_sees() {
    let (tx, rx) = mpsc::channel();
    let inner = tx.clone();
    let mut codec = Prefixed::new(Length::U8, 99)
        .tapped(move |passed| inner.send(format!("wire: {}", told(passed))).unwrap())
        .checked::<wattle_codecs::Crc32>()
        .map_in(|payload| payload.len())
        .tapped(move |passed| tx.send(format!("message: {}", told(passed))).unwrap());
    let mut wire = BytesMut::new();
    codec.encode(Bytes::from("123456789"), &mut wire).unwrap();
    codec.decode(&mut wire).unwrap();
    assert_eq!(
        all(&rx),
        [
            r#"message: to send b"123456789""#,
            r#"wire: to send b"123456789\xcb\xf49&""#,
            r"wire: sent \r123456789\xcb\xf49&",
            r"message: sent \r123456789\xcb\xf49&",
            r#"wire: \r123456789\xcb\xf49& is b"123456789\xcb\xf49&""#,
            r"message: \r123456789\xcb\xf49& is 9",
        ]
    );
}

#[test]
fn what_somebody_else_takes_from_the_buffer_is_not_shown() {
    let mut shown = Vec::new();
    let mut codec = Delimited::lines(9).tapped(|passed| {
        if let Passed::Decoded { wire, .. } = passed {
            shown.push(wire.to_vec());
        }
    });
    let mut src = BytesMut::from("pea");
    assert!(codec.decode(&mut src).unwrap().is_none());
    src.truncate(1);
    assert!(codec.decode(&mut src).unwrap().is_none());
    src.extend_from_slice(b"od\n");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "pod");
    drop(codec);
    assert_eq!(shown, [b"pod\n"]);
}
