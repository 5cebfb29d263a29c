//! JSON: its bytes, its errors, its bounds.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{
    DelimitedError, Format, Json, ParseMessage, Recoverable, SerdeError, WriteMessage,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Hello {
    id: u32,
    name: String,
}

fn ann() -> Hello {
    Hello {
        id: 1,
        name: "Ann".to_owned(),
    }
}

fn written<T: Serialize>(message: &T) -> Vec<u8> {
    let mut to = Vec::new();
    Json.write(message, &mut to).unwrap();
    to
}

fn parsed<T>(frame: impl Into<Bytes>) -> Result<T, <Json as Format>::Error>
where
    Json: ParseMessage<T>,
{
    Json.parse(&frame.into())
}

#[test]
fn the_bytes_are_those_of_the_docs() {
    assert_eq!(written(&ann()), br#"{"id":1,"name":"Ann"}"#);
    assert_eq!(parsed::<Hello>(r#"{"id":1,"name":"Ann"}"#).unwrap(), ann());
}

#[test]
fn it_appends() {
    let mut to = b"before".to_vec();
    Json.write(&1, &mut to).unwrap();
    assert_eq!(to, b"before1");
}

#[test]
fn a_message_is_one_line_whatever_its_strings_hold() {
    let name = "a\nb\r\nc\u{0}d\u{85}\u{2028}\u{2029}".to_owned();
    let message = Hello { id: 1, name };
    let line = written(&message);
    assert!(!line.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)));
    assert_eq!(parsed::<Hello>(line).unwrap(), message);
}

#[test]
fn white_space_around_a_message_is_fine_and_anything_else_behind_it_is_not() {
    assert_eq!(parsed::<u8>(" 7 \r\n").unwrap(), 7);
    let error = parsed::<u8>("7 8").unwrap_err();
    assert_eq!(error.to_string(), "trailing characters at line 1 column 3");
    assert!(parsed::<u8>("").unwrap_err().is_eof());
    assert!(parsed::<u8>("   ").unwrap_err().is_eof());
}

#[test]
fn errors_tell_line_and_column() {
    let error = parsed::<Hello>("{\"id\": 1,\n \"name\": 2}").unwrap_err();
    let text = "invalid type: integer `2`, expected a string at line 2 column 10";
    assert_eq!(error.to_string(), text);
    assert!(parsed::<Hello>(&b"{\"id\":1,\"name\":\"\xff\"}"[..]).is_err());
}

#[test]
fn lines_end_with_a_newline() {
    let mut codec = Json::lines::<Hello>(21);
    let mut wire = BytesMut::new();
    codec.encode(ann(), &mut wire).unwrap();
    assert_eq!(wire, "{\"id\":1,\"name\":\"Ann\"}\n");
    wire.extend_from_slice(b"{\"id\":1,\"name\":\"Ann\"}\r\n");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(ann()));
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(ann()));
    assert_eq!(codec.decode(&mut wire).unwrap(), None);
    assert!(Json::lines::<Hello>(20).encode(ann(), &mut wire).is_err());
    assert!(wire.is_empty());
}

#[test]
fn an_empty_line_is_an_error_that_can_be_survived_and_so_is_one_that_is_too_long() {
    let mut codec = Json::lines::<u32>(4);
    let mut wire = BytesMut::from("1\n\n22\n55555\n333\n4444");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(1));
    let error = codec.decode(&mut wire).unwrap_err();
    assert!(error.is_recoverable());
    let text =
        "frame at byte 2: in its message of 0 bytes: EOF while parsing a value at line 1 column 0";
    assert_eq!(error.to_string(), text);
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(22));
    let error = codec.decode(&mut wire).unwrap_err();
    assert!(error.is_recoverable());
    assert!(matches!(
        error,
        SerdeError::Frame(DelimitedError::TooLong { .. })
    ));
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(333));
    assert_eq!(codec.decode(&mut wire).unwrap(), None);
    assert_eq!(codec.decode_eof(&mut wire).unwrap(), Some(4444));
}

#[test]
fn frames_have_their_length_in_front() {
    let mut codec = Json::framed::<Hello>(21);
    let mut wire = BytesMut::new();
    codec.encode(ann(), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\0\0\0\x15{\"id\":1,\"name\":\"Ann\"}");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(ann()));
    assert!(Json::framed::<Hello>(20).encode(ann(), &mut wire).is_err());
    assert!(wire.is_empty());
}

#[test]
fn a_hostile_frame_is_an_error_however_deep_it_nests() {
    #[derive(Debug, Serialize, Deserialize)]
    enum Tree {
        Leaf,
        One(Box<Tree>),
        Many(Vec<Tree>),
    }
    for unit in ["[", "{\"One\":", "{\"Many\":[", "{\"a\":"] {
        let frame = Bytes::from(unit.repeat((1 << 20) / unit.len()));
        let seen = std::thread::spawn(move || parsed::<Tree>(frame).is_err());
        assert!(seen.join().unwrap());
        let frame = Bytes::from(unit.repeat((1 << 20) / unit.len()));
        let seen = std::thread::spawn(move || parsed::<serde::de::IgnoredAny>(frame).is_err());
        assert!(seen.join().unwrap());
    }
    let tree = (0..60).fold(Tree::Leaf, |tree, _| {
        Tree::Many(vec![Tree::One(Box::new(tree))])
    });
    let error = parsed::<Tree>(written(&tree)).unwrap_err();
    assert!(
        error.to_string().starts_with("recursion limit exceeded"),
        "{error}"
    );
}

#[test]
fn arrays_nest_127_deep_and_no_deeper() {
    let nested = |deep: usize| {
        let frame = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
        parsed::<serde_json::Value>(Bytes::from(frame))
    };
    assert!(nested(127).is_ok());
    assert!(nested(128).is_err());
}

#[test]
fn some_of_nothing_comes_back_as_none() {
    assert_eq!(parsed::<Option<()>>(written(&Some(()))).unwrap(), None);
    let nothing = Some(None::<u8>);
    assert_eq!(
        parsed::<Option<Option<u8>>>(written(&nothing)).unwrap(),
        None
    );
}
