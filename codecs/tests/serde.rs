//! A frame codec and a format together: what they make of frames, errors, ends and splits.

use std::{cell::RefCell, error::Error, fmt, io, rc::Rc, str};

use bytes::{Buf, Bytes, BytesMut};
use serde::{Serialize, Serializer};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};
use wattle_codecs::{
    Format, Json, Length, ParseMessage, Postcard, Prefixed, PrefixedError, Recoverable, Serde,
    SerdeError, WriteMessage,
};

/// Lines without a cap, with an error for a line of only dots, after which the next line comes.
#[derive(Debug, Clone)]
struct Lines;

#[derive(Debug)]
enum LinesError {
    Dots,
    Unfinished,
    Io(io::Error),
}

impl fmt::Display for LinesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dots => f.write_str("dots"),
            Self::Unfinished => f.write_str("unfinished"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for LinesError {}

impl From<io::Error> for LinesError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Recoverable for LinesError {
    fn is_recoverable(&self) -> bool {
        matches!(self, Self::Dots)
    }
}

impl Decoder for Lines {
    type Item = Bytes;
    type Error = LinesError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, LinesError> {
        let Some(end) = src.iter().position(|&byte| byte == b'\n') else {
            return Ok(None);
        };
        let line = src.split_to(end).freeze();
        src.advance(1);
        if line.iter().all(|&byte| byte == b'.') && !line.is_empty() {
            return Err(LinesError::Dots);
        }
        Ok(Some(line))
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, LinesError> {
        match self.decode(src)? {
            None if !src.is_empty() => Err(LinesError::Unfinished),
            line => Ok(line),
        }
    }
}

/// Another error for what is sent, and half a frame before it.
#[derive(Debug, PartialEq)]
struct Refused;

impl From<io::Error> for Refused {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Encoder<Bytes> for Lines {
    type Error = Refused;

    fn encode(&mut self, line: Bytes, dst: &mut BytesMut) -> Result<(), Refused> {
        dst.extend_from_slice(&line);
        if line.len() > 20 {
            return Err(Refused);
        }
        dst.extend_from_slice(b"\n");
        Ok(())
    }
}

fn lines() -> Serde<Lines, Json, Vec<u32>> {
    Serde::new(Lines, Json)
}

fn prefixed<T>() -> Serde<Prefixed, Json, T> {
    Serde::new(Prefixed::new(Length::U16, 64), Json)
}

/// All items, and all errors as they are displayed, of a codec that is asked after each of these pieces.
fn decode_all<C>(codec: &mut C, pieces: impl Iterator<Item = Vec<u8>>) -> Vec<String>
where
    C: Decoder<Item: fmt::Debug, Error: fmt::Display>,
{
    let mut src = BytesMut::new();
    let mut seen = Vec::new();
    for piece in pieces {
        src.extend_from_slice(&piece);
        loop {
            match codec.decode(&mut src) {
                Ok(None) => break,
                Ok(Some(item)) => seen.push(format!("{item:?}")),
                Err(error) => seen.push(error.to_string()),
            }
        }
    }
    assert!(src.is_empty());
    seen
}

#[test]
fn a_message_is_the_format_within_the_frame() {
    let mut codec = prefixed::<Vec<u32>>();
    let mut wire = BytesMut::from("before");
    codec.encode(vec![1, 20], &mut wire).unwrap();
    assert_eq!(&wire[..], b"before\x00\x06[1,20]");
    wire.advance(6);
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(vec![1, 20]));
    assert_eq!(codec.decode(&mut wire).unwrap(), None);
}

#[test]
fn what_comes_in_may_be_of_another_type_than_what_goes_out() {
    let frames = Prefixed::new(Length::U8, 64);
    let mut codec = Serde::<_, _, Vec<u32>, String>::new(frames.clone(), Json);
    let mut other = Serde::<_, _, String, Vec<u32>>::new(frames.clone(), Json);
    let mut third: Serde<_, _, Vec<u32>, String> =
        Serde::<_, _, Vec<u32>>::new(frames, Json).sending();
    let mut wire = BytesMut::new();
    codec.encode("yes".to_owned(), &mut wire).unwrap();
    third.encode("no".to_owned(), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\x05\"yes\"\x04\"no\"");
    assert_eq!(other.decode(&mut wire).unwrap().unwrap(), "yes");
    assert_eq!(other.decode(&mut wire).unwrap().unwrap(), "no");
    other.encode(vec![7], &mut wire).unwrap();
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(vec![7]));
}

#[test]
fn frames_of_tokio_util_fit() {
    let mut codec: Serde<_, _, (u32, String)> = Serde::new(LengthDelimitedCodec::new(), Postcard);
    let mut wire = BytesMut::new();
    codec.encode((1, "Ann".to_owned()), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\x00\x00\x00\x05\x01\x03Ann");
    let message = codec.decode(&mut wire).unwrap().unwrap();
    assert_eq!(message, (1, "Ann".to_owned()));
}

#[test]
fn a_frame_is_told_by_where_it_begins_even_if_its_codec_consumes_it_in_parts() {
    // LengthDelimitedCodec takes the length before the payload has come.
    let mut codec: Serde<_, _, u32> = Serde::new(LengthDelimitedCodec::new(), Json);
    let wire = b"\0\0\0\x017\0\0\0\x02{}\0\0\0\x03abc";
    let pieces = wire.iter().map(|&byte| vec![byte]);
    let seen = decode_all(&mut codec, pieces);
    assert_eq!(seen[0], "7");
    assert!(
        seen[1].starts_with("frame at byte 5: in its message of 2 bytes: "),
        "{}",
        seen[1]
    );
    assert!(
        seen[2].starts_with("frame at byte 11: in its message of 3 bytes: "),
        "{}",
        seen[2]
    );
}

#[test]
fn every_split_of_the_bytes_decodes_the_same() {
    let wire = b"[1]\n\n[2,\n..\n[3]\n[4] 5\n[]\n";
    let whole = decode_all(&mut lines(), [wire.to_vec()].into_iter());
    assert_eq!(whole.len(), 7);
    for end in 0..wire.len() {
        let (a, b) = wire.split_at(end);
        let halves = decode_all(&mut lines(), [a.to_vec(), b.to_vec()].into_iter());
        assert_eq!(halves, whole);
    }
    let bytes = decode_all(&mut lines(), wire.iter().map(|&byte| vec![byte]));
    assert_eq!(bytes, whole);
}

#[test]
fn what_does_not_parse_is_an_error_with_its_place_and_the_next_message_comes() {
    let mut codec = lines();
    let mut wire = BytesMut::from("[1]\n[2,]\n[3]\n");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(vec![1]));
    let error = codec.decode(&mut wire).unwrap_err();
    assert!(error.is_recoverable());
    assert_eq!(
        error.to_string(),
        "frame at byte 4: in its message of 4 bytes: trailing comma at line 1 column 4"
    );
    let SerdeError::Parse { source, len, at } = error else {
        panic!("not a parse error");
    };
    assert_eq!((source.line(), source.column(), len, at), (1, 4, 4, 4));
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(vec![3]));
}

#[test]
fn errors_of_the_frames_are_passed_on_and_do_not_move_what_follows() {
    let mut codec = lines();
    let mut wire = BytesMut::from("....\n[1]\nx\n");
    let error = codec.decode(&mut wire).unwrap_err();
    assert!(error.is_recoverable());
    assert!(matches!(error, SerdeError::Frame(LinesError::Dots)));
    assert_eq!(error.to_string(), "dots");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(vec![1]));
    let error = codec.decode(&mut wire).unwrap_err();
    assert!(matches!(error, SerdeError::Parse { at: 9, len: 1, .. }));

    let error = prefixed::<u8>()
        .decode(&mut BytesMut::from("\u{7f}\u{7f}"))
        .unwrap_err();
    assert!(!error.is_recoverable());
    let too_long = matches!(
        error,
        SerdeError::Frame(PrefixedError::TooLong {
            announced: 0x7f7f,
            most: 64,
            at: 0
        })
    );
    assert!(too_long);
}

#[test]
fn an_end_inside_a_frame_is_the_frame_codecs_error_and_a_clean_end_is_none() {
    let mut codec = lines();
    let mut wire = BytesMut::from("[1]\nx\n[2");
    assert_eq!(codec.decode_eof(&mut wire).unwrap(), Some(vec![1]));
    let error = codec.decode_eof(&mut wire).unwrap_err();
    assert!(matches!(error, SerdeError::Parse { at: 4, len: 1, .. }));
    let error = codec.decode_eof(&mut wire).unwrap_err();
    assert!(matches!(error, SerdeError::Frame(LinesError::Unfinished)));
    assert!(!error.is_recoverable());
    wire.clear();
    assert_eq!(codec.decode_eof(&mut wire).unwrap(), None);
}

/// Fails after some of it was written.
#[derive(Clone)]
struct Half;

impl Serialize for Half {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error, SerializeSeq};
        let mut seq = serializer.serialize_seq(None)?;
        seq.serialize_element("one")?;
        Err(S::Error::custom("no second one"))
    }
}

#[test]
fn a_message_that_fails_to_serialize_writes_nothing_and_spoils_nothing() {
    let mut codec = Serde::<_, _, u8, Half>::new(Prefixed::new(Length::U16, 64), Json);
    let mut wire = BytesMut::from("before");
    let error = codec.encode(Half, &mut wire).unwrap_err();
    assert_eq!(error.to_string(), "a message to send: no second one");
    assert!(matches!(error, SerdeError::Write { .. }));
    assert!(!error.is_recoverable());
    assert_eq!(&wire[..], b"before");

    prefixed::<u8>().encode(7, &mut wire).unwrap();
    assert_eq!(&wire[..], b"before\x00\x017");
}

#[test]
fn a_message_without_room_in_a_frame_writes_nothing() {
    let mut wire = BytesMut::from("before");
    let error = prefixed::<String>()
        .encode("x".repeat(63), &mut wire)
        .unwrap_err();
    let too_long = matches!(
        error,
        SerdeError::Frame(PrefixedError::UnencodablyLong { len: 65, most: 64 })
    );
    assert!(too_long);
    assert_eq!(&wire[..], b"before");
    prefixed::<String>()
        .encode("x".repeat(62), &mut wire)
        .unwrap();

    // Not even through a frame codec that leaves something behind.
    let mut wire = BytesMut::from("before");
    let error = lines().encode(vec![1_000_000; 3], &mut wire).unwrap_err();
    assert!(matches!(error, SerdeError::Frame(Refused)));
    assert_eq!(&wire[..], b"before");
}

#[test]
fn an_error_of_the_transport_is_one_of_the_frames() {
    let error = SerdeError::<LinesError, serde_json::Error>::from(io::Error::other("unplugged"));
    assert!(matches!(&error, SerdeError::Frame(LinesError::Io(_))));
    assert_eq!(error.to_string(), "unplugged");
}

#[test]
fn a_source_is_what_the_text_does_not_tell_already() {
    let inner = io::Error::other(fmt::Error);
    let error = SerdeError::<PrefixedError, io::Error>::Write { source: inner };
    assert!(error.source().is_none());
    let inner = io::Error::other(io::Error::other(LinesError::Dots));
    let error = SerdeError::<PrefixedError, io::Error>::Frame(PrefixedError::Io(inner));
    assert_eq!(error.to_string(), "dots");
}

/// Writes a message in the course of writing itself.
struct Nested;

impl Serialize for Nested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut inner = BytesMut::new();
        prefixed::<Vec<u8>>()
            .encode(vec![1, 2], &mut inner)
            .unwrap();
        serializer.serialize_str(str::from_utf8(&inner[2..]).unwrap())
    }
}

#[test]
fn messages_may_be_written_while_one_is_written() {
    let mut codec = Serde::<_, _, u8, (u8, Nested, u8)>::new(Prefixed::new(Length::U8, 64), Json);
    let mut wire = BytesMut::new();
    codec.encode((1, Nested, 2), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\x0d[1,\"[1,2]\",2]");
}

/// Keeps the payloads that it is given, where the test finds them.
#[derive(Clone, Default)]
struct Keep(Rc<RefCell<Vec<Bytes>>>);

impl Encoder<Bytes> for Keep {
    type Error = io::Error;

    fn encode(&mut self, payload: Bytes, _: &mut BytesMut) -> io::Result<()> {
        self.0.borrow_mut().push(payload);
        Ok(())
    }
}

#[test]
fn a_payload_that_the_frame_codec_keeps_is_not_written_over() {
    let kept = Keep::default();
    let mut codec = Serde::<_, _, (), String>::new(kept.clone(), Json);
    let mut sent = Vec::new();
    for size in [1, 10, 100, 1000, 100_000, 10, 1, 200_000, 5] {
        for letter in ["a", "b"] {
            let message = letter.repeat(size);
            sent.push(format!("\"{message}\""));
            codec.encode(message, &mut BytesMut::new()).unwrap();
        }
    }
    assert!(*kept.0.borrow() == sent);
}

/// Tells where the payloads stand in memory, and drops them.
#[derive(Clone, Default)]
struct Whereabouts(Rc<RefCell<Vec<usize>>>);

impl Encoder<Bytes> for Whereabouts {
    type Error = io::Error;

    fn encode(&mut self, payload: Bytes, _: &mut BytesMut) -> io::Result<()> {
        self.0.borrow_mut().push(payload.as_ptr().addr());
        Ok(())
    }
}

#[test]
fn a_payload_is_written_where_the_last_one_was() {
    let seen = Whereabouts::default();
    let mut codec = Serde::<_, _, (), String>::new(seen.clone(), Json);
    for _ in 0..1000 {
        let message = "x".repeat(98);
        codec.encode(message, &mut BytesMut::new()).unwrap();
    }
    let seen = seen.0.take();
    let apart = seen.iter().max().unwrap() - seen.iter().min().unwrap();
    assert!(apart < 4096, "the blocks are {apart} bytes apart");
}

/// A format of the user's, for a type that isn't serde's.
#[derive(Debug, Clone, PartialEq)]
struct Shout(String);

#[derive(Debug, Clone)]
struct Loud;

#[derive(Debug)]
struct Quiet;

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not loud")
    }
}

impl Error for Quiet {}

impl Format for Loud {
    type Error = Quiet;
}

impl ParseMessage<Shout> for Loud {
    fn parse(&self, frame: &Bytes) -> Result<Shout, Quiet> {
        match str::from_utf8(frame) {
            Ok(text) if text.ends_with('!') => Ok(Shout(text.to_owned())),
            _ => Err(Quiet),
        }
    }
}

impl WriteMessage<Shout> for Loud {
    fn write(&self, message: &Shout, to: &mut Vec<u8>) -> Result<(), Quiet> {
        to.extend_from_slice(message.0.as_bytes());
        Ok(())
    }
}

#[test]
fn a_format_of_ones_own_fits() {
    let mut codec: Serde<_, _, Shout> = Serde::new(Prefixed::new(Length::Varint, 64), Loud);
    let mut wire = BytesMut::new();
    codec.encode(Shout("hey!".to_owned()), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\x04hey!");
    assert_eq!(
        codec.decode(&mut wire).unwrap(),
        Some(Shout("hey!".to_owned()))
    );
    wire.extend_from_slice(b"\x03hey");
    let error = codec.decode(&mut wire).unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame at byte 5: in its message of 3 bytes: not loud"
    );
    let _ = codec.format();
}

#[test]
fn a_codec_asks_nothing_of_its_messages() {
    fn auto_traits<T: Send + Sync + Unpin + Clone + fmt::Debug + 'static>(_: &T) {}
    auto_traits(&prefixed::<Rc<RefCell<u8>>>());
}
