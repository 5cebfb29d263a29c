//! Frames that end with a delimiter: the bytes, the cap, what comes behind an oversized frame.

use std::{io, time::Instant};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{Delimited, DelimitedError, Recoverable};

/// What a decoder yields for a stream that comes in pieces of `step` bytes, errors as their text.
fn decoded(mut codec: Delimited, wire: &[u8], step: usize) -> Vec<Result<Bytes, String>> {
    let (mut src, mut all) = (BytesMut::new(), Vec::new());
    for piece in wire.chunks(step) {
        src.extend_from_slice(piece);
        while let Some(result) = codec.decode(&mut src).transpose() {
            all.push(result.map_err(|error| error.to_string()));
        }
    }
    while let Some(result) = codec.decode_eof(&mut src).transpose() {
        assert!(all.len() <= wire.len(), "more frames than bytes");
        let recoverable = result
            .as_ref()
            .err()
            .is_none_or(Recoverable::is_recoverable);
        all.push(result.map_err(|error| error.to_string()));
        if !recoverable {
            return all;
        }
    }
    assert!(src.is_empty(), "{src:?} stays");
    all
}

/// The same for every size of pieces: what the stream decodes to.
fn decoded_at_every_split(codec: &Delimited, wire: impl AsRef<[u8]>) -> Vec<Result<Bytes, String>> {
    let wire = wire.as_ref();
    let whole = decoded(codec.clone(), wire, wire.len().max(1));
    for step in 1..wire.len() {
        assert_eq!(
            decoded(codec.clone(), wire, step),
            whole,
            "{step} bytes at a time"
        );
    }
    whole
}

fn frames<const N: usize>(frames: [&'static str; N]) -> Vec<Result<Bytes, String>> {
    frames
        .into_iter()
        .map(|frame| Ok(Bytes::from(frame)))
        .collect()
}

fn too_long<T>(most: usize, at: u64) -> Result<T, String> {
    Err(format!(
        "frame at byte {at}: no delimiter, expected one after at most {most} bytes of payload"
    ))
}

fn encoded(mut codec: Delimited, payload: &'static str) -> Result<BytesMut, DelimitedError> {
    let mut dst = BytesMut::from("before ");
    let result = codec.encode(Bytes::from(payload), &mut dst);
    if result.is_err() {
        assert_eq!(
            dst, "before ",
            "a failed encode leaves the buffer as it was"
        );
    }
    result.map(|()| dst)
}

#[test]
fn frames_end_with_their_delimiter() {
    assert_eq!(
        encoded(Delimited::new("\0", 9), "abc").unwrap(),
        "before abc\0"
    );
    assert_eq!(
        encoded(Delimited::new("\r\n", 9), "abc").unwrap(),
        "before abc\r\n"
    );
    assert_eq!(encoded(Delimited::lines(9), "abc").unwrap(), "before abc\n");
    assert_eq!(encoded(Delimited::lines(9), "").unwrap(), "before \n");
}

#[test]
fn every_split_of_the_stream_decodes_the_same() {
    for delimiter in ["\0", "\r\n", "--", "<end of frame>"] {
        let codec = Delimited::new(delimiter, 9);
        let payloads = ["abc", "", "\r", "123456789", "<end of", "-a-\nb"];
        let mut wire = BytesMut::new();
        for payload in payloads {
            codec
                .clone()
                .encode(Bytes::from(payload), &mut wire)
                .unwrap();
        }
        assert_eq!(
            decoded_at_every_split(&codec, &wire),
            frames(payloads),
            "{delimiter:?}"
        );
    }
}

#[test]
fn lines_end_with_or_without_a_carriage_return() {
    let lines = decoded_at_every_split(&Delimited::lines(9), "ab\r\ncd\n\r\n\n\r\r\nx\ry\n");
    assert_eq!(lines, frames(["ab", "cd", "", "", "\r", "x\ry"]));
}

#[test]
fn a_delimiter_of_two_bytes_is_not_a_line() {
    let codec = Delimited::new("\r\n", 9);
    assert_eq!(
        decoded_at_every_split(&codec, "a\nb\r\n\r\r\n"),
        frames(["a\nb", "\r"])
    );
}

#[test]
fn a_delimiter_that_repeats_itself_is_found_where_it_first_begins() {
    let codec = Delimited::new("aab", 9);
    assert_eq!(
        decoded_at_every_split(&codec, "aaaabxaabaab"),
        frames(["aa", "x", ""])
    );
}

#[test]
fn what_stands_behind_a_delimiter_stays_in_the_buffer() {
    let mut src = BytesMut::from("ab\ncd\nef");
    assert_eq!(Delimited::lines(9).decode(&mut src).unwrap().unwrap(), "ab");
    assert_eq!(src, "cd\nef");
}

#[test]
#[should_panic = "a delimiter has at least one byte"]
fn an_empty_delimiter_panics() {
    Delimited::new("", 9);
}

#[test]
fn a_payload_of_the_cap_passes_and_one_byte_more_does_not() {
    for (codec, end) in [
        (Delimited::new("\0", 4), "\0"),
        (Delimited::new("\r\n", 4), "\r\n"),
        (Delimited::new("<end>", 4), "<end>"),
        (Delimited::lines(4), "\n"),
        (Delimited::lines(4), "\r\n"),
    ] {
        let wire = format!("1234{end}12345{end}5678{end}");
        let at = (4 + end.len()) as u64;
        let [first, third] = ["1234", "5678"].map(|frame| Ok(Bytes::from(frame)));
        assert_eq!(
            decoded_at_every_split(&codec, wire),
            [first, too_long(4, at), third],
            "{end:?}"
        );
    }
}

#[test]
fn an_oversized_frame_is_an_error_at_once_when_nothing_else_can_come_of_it() {
    let decode = |mut codec: Delimited, begun: &str| codec.decode(&mut BytesMut::from(begun));
    let fits = |codec, begun| matches!(decode(codec, begun), Ok(None));
    let refused = |codec, begun| {
        matches!(
            decode(codec, begun),
            Err(DelimitedError::TooLong { most: 4, at: 0 })
        )
    };
    assert!(fits(Delimited::new("\0", 4), "1234"));
    assert!(refused(Delimited::new("\0", 4), "12345"));

    assert!(fits(Delimited::lines(4), "1234\r"));
    assert!(refused(Delimited::lines(4), "12345"));
    assert!(refused(Delimited::lines(4), "1234\rx"));
    assert!(refused(Delimited::lines(4), "12345\r"));

    assert!(fits(Delimited::new("<end>", 4), "1234<end"));
    assert!(fits(Delimited::new("<end>", 4), "123<end"));
    assert!(refused(Delimited::new("<end>", 4), "1234<e!"));
    assert!(refused(Delimited::new("<end>", 4), "12345<"));
    assert!(refused(Delimited::new("<end>", 4), "12345"));
}

#[test]
fn an_oversized_line_is_skipped_and_the_next_one_decoded() {
    let mut codec = Delimited::lines(4);
    let mut src = BytesMut::from("ok\nmuch too");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "ok");
    let error = codec.decode(&mut src).unwrap_err();
    assert!(
        matches!(error, DelimitedError::TooLong { most: 4, at: 3 }),
        "{error:?}"
    );
    assert!(error.is_recoverable());
    // What shows that it is too long is gone, and what came with it is by the next call.
    assert_eq!(src, "too");
    for piece in [" long", " for", " this"] {
        src.extend_from_slice(piece.as_bytes());
        assert!(codec.decode(&mut src).unwrap().is_none(), "one error only");
        assert!(src.is_empty(), "what is skipped is thrown away as it comes");
    }
    src.extend_from_slice(b"\nnext\n");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "next");
}

#[test]
fn what_is_skipped_never_accumulates() {
    let mut codec = Delimited::new("\r\n", 100);
    let mut src = BytesMut::with_capacity(1024);
    src.extend_from_slice(&[b'x'; 102]);
    assert!(codec.decode(&mut src).is_err());
    for _ in 0..1000 {
        src.extend_from_slice(&[b'\r'; 1000]);
        assert!(codec.decode(&mut src).unwrap().is_none());
        assert!(src.len() <= 1, "{} bytes are kept", src.len());
    }
    assert!(src.capacity() <= 4096, "{}", src.capacity());
    src.extend_from_slice(b"\nab\r\n");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "ab");
}

#[test]
fn errors_and_frames_come_in_turn_at_every_split() {
    let codec = Delimited::new("<end>", 3);
    let wire = "abc<end>abcdef<en<end>x<end>tooooo<<end><end>1234<end>12<end>";
    let [abc, x, nothing, last] = ["abc", "x", "", "12"].map(|frame| Ok(Bytes::from(frame)));
    assert_eq!(
        decoded_at_every_split(&codec, wire),
        [
            abc,
            too_long(3, 8),
            x,
            too_long(3, 28),
            nothing,
            too_long(3, 45),
            last
        ]
    );
}

#[test]
fn the_end_of_the_stream_inside_a_frame_is_an_error() {
    let mut codec = Delimited::new("\r\n", 9);
    let mut src = BytesMut::from("abc\r\nde\r");
    assert_eq!(codec.decode_eof(&mut src).unwrap().unwrap(), "abc");
    let error = codec.decode_eof(&mut src).unwrap_err();
    assert!(
        matches!(error, DelimitedError::Truncated { came: 3, at: 5 }),
        "{error:?}"
    );
    assert!(!error.is_recoverable());
    assert_eq!(
        error.to_string(),
        "frame at byte 5: the stream ended after 3 bytes of it, expected a delimiter"
    );
    assert!(
        codec
            .clone()
            .decode_eof(&mut BytesMut::new())
            .unwrap()
            .is_none()
    );
}

#[test]
fn the_end_of_the_stream_inside_an_oversized_frame_is_an_error_too() {
    let mut codec = Delimited::new("\r\n", 4);
    let mut src = BytesMut::from("ab\r\nmuch too");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap(), "ab");
    assert!(codec.decode(&mut src).is_err());
    src.extend_from_slice(b" long\r");
    let error = codec.decode_eof(&mut src).unwrap_err();
    assert!(
        matches!(error, DelimitedError::Truncated { came: 14, at: 4 }),
        "{error:?}"
    );
}

#[test]
fn the_last_line_needs_no_newline() {
    let codec = Delimited::lines(4);
    assert_eq!(
        decoded_at_every_split(&codec, "ab\ncd"),
        frames(["ab", "cd"])
    );
    assert_eq!(
        decoded_at_every_split(&codec, "ab\ncdef\r"),
        frames(["ab", "cdef"])
    );
    assert_eq!(decoded_at_every_split(&codec, "ab\n"), frames(["ab"]));
    assert_eq!(decoded_at_every_split(&codec, "\r"), frames([""]));
    assert_eq!(decoded_at_every_split(&codec, ""), []);
    // But it is capped, and told once.
    assert_eq!(
        decoded_at_every_split(&codec, "abcdefg\rhijkl"),
        [too_long(4, 0)]
    );
}

#[test]
fn a_codec_whose_stream_has_ended_counts_on_from_there() {
    let mut codec = Delimited::lines(4);
    assert_eq!(
        codec
            .decode_eof(&mut BytesMut::from("abc"))
            .unwrap()
            .unwrap(),
        "abc"
    );
    let error = codec.decode(&mut BytesMut::from("defgh")).unwrap_err();
    assert!(
        matches!(error, DelimitedError::TooLong { at: 3, .. }),
        "{error:?}"
    );
}

#[test]
fn a_payload_that_contains_the_delimiter_is_refused() {
    let position = |codec, payload| match encoded(codec, payload) {
        Err(DelimitedError::ContainsDelimiter { position }) => position,
        other => panic!("{other:?}"),
    };
    assert_eq!(position(Delimited::new("\0", 9), "ab\0cd\0"), 2);
    assert_eq!(position(Delimited::new("\r\n", 9), "abc\r\n"), 3);
    assert_eq!(position(Delimited::lines(9), "\nabc"), 0);

    let error = encoded(Delimited::lines(9), "ab\nc").unwrap_err();
    assert_eq!(
        error.to_string(),
        "a payload to send with the delimiter at its byte 2, expected none in it"
    );
    assert!(!error.is_recoverable());
}

#[test]
fn a_payload_that_begins_a_delimiter_which_ends_behind_it_is_refused() {
    let position = |codec, payload| match encoded(codec, payload) {
        Err(DelimitedError::ContainsDelimiter { position }) => position,
        other => panic!("{other:?}"),
    };
    // "x-" + "--" would be read as "x" and the beginning of another frame.
    assert_eq!(position(Delimited::new("--", 9), "x-"), 1);
    assert_eq!(position(Delimited::new("abab", 9), "xab"), 1);
    assert_eq!(position(Delimited::lines(9), "abc\r"), 3);
    assert!(encoded(Delimited::new("\r\n", 9), "abc\r").is_ok());
    assert!(encoded(Delimited::lines(9), "a\rbc").is_ok());
}

#[test]
fn a_payload_beyond_the_cap_is_not_sent() {
    let error = encoded(Delimited::lines(3), "abcd").unwrap_err();
    assert!(matches!(
        error,
        DelimitedError::UnencodablyLong { len: 4, most: 3 }
    ));
    assert_eq!(
        error.to_string(),
        "a payload of 4 bytes to send, expected at most 3"
    );
    assert!(encoded(Delimited::lines(3), "abc").is_ok());
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_searched_once() {
    const LEN: usize = 1024 * 1024;
    let mut codec = Delimited::new("\r\n", LEN);
    let mut src = BytesMut::with_capacity(LEN + 2);
    let began = Instant::now();
    for _ in 0..LEN {
        src.extend_from_slice(b"x");
        assert!(codec.decode(&mut src).unwrap().is_none());
    }
    src.extend_from_slice(b"\r\n");
    assert_eq!(codec.decode(&mut src).unwrap().unwrap().len(), LEN);
    // Searched from its beginning at each byte, these are 5 · 10¹¹ comparisons.
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}

#[test]
fn a_buffer_that_somebody_else_has_taken_from_harms_nothing() {
    let mut codec = Delimited::new("\r\n", 9);
    assert!(
        codec
            .decode(&mut BytesMut::from("abcdefg"))
            .unwrap()
            .is_none()
    );
    assert!(codec.decode(&mut BytesMut::from("a")).unwrap().is_none());
    assert!(codec.decode(&mut BytesMut::new()).unwrap().is_none());
    assert_eq!(
        codec.decode(&mut BytesMut::from("b\r\n")).unwrap().unwrap(),
        "b"
    );
}

#[test]
fn an_error_of_the_transport_is_passed_on() {
    let error = DelimitedError::from(io::Error::new(io::ErrorKind::ConnectionReset, "cable"));
    assert!(matches!(&error, DelimitedError::Io(e) if e.kind() == io::ErrorKind::ConnectionReset));
    assert_eq!(error.to_string(), "cable");
    assert!(!error.is_recoverable());
}

#[test]
fn where_several_delimiters_would_begin_the_first_one_is_told() {
    let error = encoded(Delimited::new("aaa", 9), "xaa").unwrap_err();
    assert!(matches!(
        error,
        DelimitedError::ContainsDelimiter { position: 1 }
    ));
}
