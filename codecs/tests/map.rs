//! Items of another type: `map_in`, `map_out`, `with`, `try_map`.

use std::{error::Error, io, num::ParseIntError};

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, future::ready};
use tokio_util::codec::{Decoder, Encoder, FramedWrite, LengthDelimitedCodec, LinesCodec};
use wattle_codecs::{CodecExt, Length, MapOut, Prefixed, PrefixedError, Recoverable, TryMapError};

fn frames() -> Prefixed {
    Prefixed::new(Length::U8, 100)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn decoded_items_pass_the_function_and_sent_ones_do_not() {
    let mut codec = frames().map_in(|payload| payload.len());
    let mut wire = BytesMut::new();
    codec.encode(Bytes::from("pea"), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\x03pea");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(3));
    assert_eq!(codec.decode(&mut wire).unwrap(), None);
}

#[test]
fn sent_items_pass_the_function_and_decoded_ones_do_not() {
    let mut codec = frames().map_out(|text: &str| Bytes::copy_from_slice(text.as_bytes()));
    let mut wire = BytesMut::from("before");
    codec.encode("pea", &mut wire).unwrap();
    assert_eq!(&wire[..], b"before\x03pea");
    let frame = codec.decode(&mut wire.split_off(6)).unwrap();
    assert_eq!(frame, Some(Bytes::from("pea")));
}

#[test]
fn with_maps_both_directions() {
    let mut codec = frames().with(|payload| text(&payload), |text: String| Bytes::from(text));
    let mut wire = BytesMut::new();
    codec.encode("pea".to_owned(), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\x03pea");
    assert_eq!(codec.decode(&mut wire).unwrap().unwrap(), "pea");
}

#[test]
fn functions_may_keep_state() {
    let mut count = 0;
    let mut codec = frames().map_in(move |_| {
        count += 1;
        count
    });
    let mut wire = BytesMut::from("\0\0");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(1));
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(2));
}

#[test]
fn the_codecs_own_errors_and_the_end_of_the_stream_are_forwarded() {
    let mut codec = frames().with(|payload| payload.len(), |payload: Bytes| payload);
    let error = codec.decode_eof(&mut BytesMut::from("\x03pe")).unwrap_err();
    assert!(matches!(error, PrefixedError::Truncated { came: 3, .. }));
    let error = codec.encode(Bytes::from(vec![0; 101]), &mut BytesMut::new());
    assert!(matches!(error, Err(PrefixedError::UnencodablyLong { .. })));

    let mut lines = LinesCodec::new_with_max_length(80)
        .with(|line| line.len(), |line: String| line)
        .try_map(Ok::<usize, ParseIntError>);
    assert_eq!(lines.decode_eof(&mut "pea".into()).unwrap(), Some(3));
    assert_eq!(lines.decode_eof(&mut "".into()).unwrap(), None);
}

#[test]
fn a_codec_that_encodes_many_types_still_does_behind_map_in() {
    let mut codec = LinesCodec::new_with_max_length(80).map_in(|line| line.len());
    let mut wire = BytesMut::new();
    codec.encode("pea", &mut wire).unwrap();
    codec.encode("pod".to_owned(), &mut wire).unwrap();
    assert_eq!(&wire[..], b"pea\npod\n");
}

#[test]
fn a_type_that_only_encodes_has_the_constructor() {
    #[derive(Debug)]
    struct Digits;
    impl Encoder<u64> for Digits {
        type Error = io::Error;
        fn encode(&mut self, item: u64, dst: &mut BytesMut) -> io::Result<()> {
            dst.extend_from_slice(item.to_string().as_bytes());
            Ok(())
        }
    }
    let mut codec = MapOut::new(Digits, |n: u8| u64::from(n) * 2);
    let mut wire = BytesMut::new();
    codec.encode(21_u8, &mut wire).unwrap();
    assert_eq!(&wire[..], b"42");
    assert_eq!(format!("{codec:?}"), "MapOut { codec: Digits, .. }");
}

#[tokio::test]
async fn flush_and_close_of_a_sink_infer_its_item_and_with_stays_the_sinks_own() {
    let codec = frames().map_out(|text: String| Bytes::from(text));
    let mut sink = FramedWrite::new(Vec::new(), codec);
    sink.feed("pea".to_owned()).await.unwrap();
    sink.flush().await.unwrap();
    sink.close().await.unwrap();
    let mut sink = sink.with(|n: u8| ready(Ok::<_, PrefixedError>(n.to_string())));
    sink.send(7).await.unwrap();
    assert_eq!(sink.get_ref().get_ref(), b"\x03pea\x017");
}

fn numbers() -> impl Decoder<Item = u8, Error = TryMapError<PrefixedError, ParseIntError>> {
    frames().try_map(|payload| text(&payload).parse())
}

#[test]
fn an_item_that_is_refused_says_at_which_byte_and_the_next_one_is_decoded() {
    let mut codec = numbers();
    let mut wire = BytesMut::from("\x0212\x03pea\x013");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(12));
    let error = codec.decode(&mut wire).unwrap_err();
    assert!(error.is_recoverable());
    assert_eq!(
        error.to_string(),
        "frame at byte 3: invalid digit found in string"
    );
    assert!(matches!(error, TryMapError::Map { at: 3, .. }));
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(3));
}

#[test]
fn the_byte_is_that_of_the_frame_at_every_split() {
    // This one consumes the length long before the payload is there.
    let mut codec = LengthDelimitedCodec::builder()
        .length_field_length(1)
        .new_codec()
        .try_map(|payload| text(&payload).parse::<u8>());
    let mut src = BytesMut::new();
    let mut at = Vec::new();
    for byte in *b"\x0212\x03pea\x03pod" {
        src.extend_from_slice(&[byte]);
        if let Err(error) = codec.decode(&mut src) {
            at.push(error.to_string());
        }
    }
    let expected = [3, 7].map(|at| format!("frame at byte {at}: invalid digit found in string"));
    assert_eq!(at, expected);
}

#[test]
fn the_codecs_error_behind_try_map_is_shown_as_it_is() {
    let mut codec = numbers();
    let error = codec.decode_eof(&mut BytesMut::from("\x03pe")).unwrap_err();
    assert!(matches!(
        &error,
        TryMapError::Codec(PrefixedError::Truncated { .. })
    ));
    assert!(!error.is_recoverable());
    assert_eq!(
        error.to_string(),
        "frame at byte 0: the stream ended after 3 bytes of it, expected at least 4"
    );

    let broken = io::Error::new(
        io::ErrorKind::InvalidData,
        PrefixedError::from(io::Error::other("deep")),
    );
    let error = TryMapError::<PrefixedError, ParseIntError>::from(broken);
    assert!(matches!(error, TryMapError::Codec(PrefixedError::Io(_))));
    let refused = TryMapError::<PrefixedError, _>::Map {
        source: io::Error::other("pea"),
        at: 5,
    };
    assert!(refused.source().is_none());
    assert_eq!(refused.to_string(), "frame at byte 5: pea");
}

#[test]
fn what_is_inside_can_be_reached_and_layers_of_codecs_that_clone_clone() {
    let mut codec = LengthDelimitedCodec::new()
        .map_in(|payload| payload.len())
        .try_map(Ok::<_, io::Error>);
    codec.get_mut().get_mut().set_max_frame_length(9);
    assert_eq!(codec.clone().get_ref().get_ref().max_frame_length(), 9);
    assert!(
        format!("{codec:?}").starts_with("TryMap { codec: MapIn { codec: LengthDelimitedCodec")
    );
    let codec = codec
        .into_inner()
        .into_inner()
        .map_out(|payload: Bytes| payload);
    assert_eq!(codec.clone().into_inner().max_frame_length(), 9);
}
