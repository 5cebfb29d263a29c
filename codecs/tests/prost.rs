//! Protocol Buffers: their bytes, beside prost's own, their errors and their bounds.

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::{
    FormatError, ParseMessage, PrefixedError, Protobuf, ProtobufError, SerdeError, WriteMessage,
};

#[derive(Clone, PartialEq, Message)]
struct Hello {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Tree {
    #[prost(message, repeated, tag = "1")]
    children: Vec<Tree>,
    #[prost(bytes = "bytes", tag = "2")]
    data: Bytes,
    #[prost(uint64, repeated, tag = "3")]
    numbers: Vec<u64>,
}

fn hello(name: &str) -> Hello {
    Hello {
        id: 1,
        name: name.to_owned(),
    }
}

fn parsed<T: Message + Default>(frame: &'static [u8]) -> Result<T, ProtobufError> {
    Protobuf.parse(&Bytes::from_static(frame))
}

#[test]
fn the_bytes_are_those_of_the_docs() {
    let mut to = b"before".to_vec();
    Protobuf.write(&hello("Ann"), &mut to).unwrap();
    assert_eq!(&to[..], b"before\x08\x01\x12\x03Ann");
    assert_eq!(
        parsed::<Hello>(b"\x08\x01\x12\x03Ann").unwrap(),
        hello("Ann")
    );
}

#[test]
fn delimited_messages_are_those_of_prost_byte_for_byte() {
    for size in [0, 1, 122, 123, 124, 127, 128, 16_379, 16_384, 70_000] {
        let message = hello(&"x".repeat(size));
        let mut ours = BytesMut::new();
        let mut codec = Protobuf::delimited::<Hello>(100_000);
        codec.encode(message.clone(), &mut ours).unwrap();
        assert_eq!(ours, message.encode_length_delimited_to_vec());

        let mut theirs = ours.clone().freeze();
        assert_eq!(
            Hello::decode_length_delimited(&mut theirs).unwrap(),
            message
        );
        assert_eq!(codec.decode(&mut ours).unwrap(), Some(message));
        assert!(ours.is_empty());
    }
}

#[test]
fn an_empty_frame_is_a_message_of_defaults() {
    let mut codec = Protobuf::delimited::<Hello>(64);
    let mut wire = BytesMut::new();
    codec.encode(Hello::default(), &mut wire).unwrap();
    assert_eq!(&wire[..], b"\0");
    assert_eq!(codec.decode(&mut wire).unwrap(), Some(Hello::default()));
}

#[test]
fn unknown_fields_are_passed_over_and_everything_else_is_an_error() {
    let frame = b"\x08\x01\x12\x03Ann\x1a\x01x\x20\x05";
    assert_eq!(parsed::<Hello>(frame).unwrap(), hello("Ann"));
    for bad in [
        &b"\x08"[..],
        b"\x12\x04Ann",
        b"\x08\x01\x00",
        b"\x08\x01\x07",
        b"\x12\x01\xff",
    ] {
        assert!(
            matches!(parsed::<Hello>(bad), Err(FormatError::Parse(_))),
            "{bad:?}"
        );
    }
}

#[test]
fn the_cap_holds_in_both_directions() {
    let mut codec = Protobuf::delimited::<Hello>(6);
    let mut wire = BytesMut::new();
    let error = codec.encode(hello("Ann"), &mut wire).unwrap_err();
    assert!(matches!(
        error,
        SerdeError::Frame(PrefixedError::UnencodablyLong { len: 7, most: 6 })
    ));
    assert!(wire.is_empty());
    wire.extend_from_slice(b"\x07");
    let error = codec.decode(&mut wire).unwrap_err();
    assert!(matches!(
        error,
        SerdeError::Frame(PrefixedError::TooLong { announced: 7, .. })
    ));
}

#[test]
fn fields_of_bytes_are_slices_of_the_frame() {
    let frame = Bytes::from_static(b"\x12\x05abcde");
    let tree: Tree = Protobuf.parse(&frame).unwrap();
    assert_eq!(tree.data.as_ptr(), frame[2..].as_ptr());
}

#[test]
fn what_a_length_announces_but_does_not_bring_is_an_error() {
    for field in [0x0a, 0x12, 0x1a] {
        let mut frame = vec![field];
        prost::encoding::encode_varint(1 << 40, &mut frame);
        let result: Result<Tree, _> = Protobuf.parse(&frame.into());
        assert!(result.is_err());
    }
}

#[test]
fn a_hostile_frame_is_an_error_however_deep_it_nests() {
    let mut levels = Vec::new();
    let mut len = 0;
    while len < 1 << 20 {
        let mut level = vec![0x0a];
        prost::encoding::encode_varint(len, &mut level);
        len += level.len() as u64;
        levels.push(level);
    }
    levels.reverse();
    let frame = Bytes::from(levels.concat());
    let result = std::thread::spawn(move || {
        let result: Result<Tree, _> = Protobuf.parse(&frame);
        result.map(drop)
    });
    let error = result.join().unwrap().unwrap_err();
    assert!(
        error.to_string().contains("recursion limit reached"),
        "{error}"
    );

    // Groups nest without lengths.
    let frame = Bytes::from(vec![0x23; 1 << 20]);
    let result = std::thread::spawn(move || {
        let result: Result<Tree, _> = Protobuf.parse(&frame);
        result.is_err()
    });
    assert!(result.join().unwrap());
}
