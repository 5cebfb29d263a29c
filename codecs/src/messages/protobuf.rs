//! Protocol Buffers: [`Protobuf`].

use bytes::Bytes;
use prost::{DecodeError, EncodeError, Message};

use super::{Format, FormatError, ParseMessage, Serde, WriteMessage};
use crate::{Length, Prefixed};

/// [Protocol Buffers], for the messages of `prost`.
///
/// ```text
///     message Hello { uint32 id = 1; string name = 2; }      08 01  12 03 41 6e 6e
/// ```
///
/// Such a message has no end of its own: the frame is all of it. Fields that the type doesn't know
/// are skipped, as the specification asks; messages nest 100 deep at most. Fields of type `Bytes`
/// are slices of the frame, not copies of it.
///
/// [Protocol Buffers]: https://protobuf.dev/programming-guides/encoding/
///
/// # Examples
///
/// ```
/// use bytes::BytesMut;
/// use tokio_util::codec::{Decoder, Encoder};
/// use wattle_codecs::Protobuf;
///
/// #[derive(Clone, PartialEq, prost::Message)]
/// struct Hello {
///     #[prost(uint32, tag = "1")]
///     id: u32,
///     #[prost(string, tag = "2")]
///     name: String,
/// }
///
/// let mut codec = Protobuf::delimited::<Hello>(64 * 1024);
/// let hello = Hello { id: 1, name: "Ann".to_owned() };
/// let mut wire = BytesMut::new();
/// codec.encode(hello.clone(), &mut wire)?;
/// assert_eq!(&wire[..], b"\x07\x08\x01\x12\x03Ann");
/// assert_eq!(codec.decode(&mut wire)?, Some(hello));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Protobuf;

/// What is wrong with a message of [`Protobuf`].
pub type ProtobufError = FormatError<DecodeError, EncodeError>;

impl Protobuf {
    /// Messages of at most `most` bytes, with their length in front as a [`Length::Varint`]: the
    /// delimited messages of every Protocol Buffers library (`writeDelimitedTo`,
    /// `encode_length_delimited`).
    pub fn delimited<T: Message + Default>(most: usize) -> Serde<Prefixed, Self, T> {
        Serde::new(Prefixed::new(Length::Varint, most), Self)
    }
}

impl Format for Protobuf {
    type Error = ProtobufError;
}

impl<T: Message + Default> ParseMessage<T> for Protobuf {
    fn parse(&self, frame: &Bytes) -> Result<T, ProtobufError> {
        T::decode(frame.clone()).map_err(FormatError::Parse)
    }
}

impl<T: Message> WriteMessage<T> for Protobuf {
    fn write(&self, message: &T, to: &mut Vec<u8>) -> Result<(), ProtobufError> {
        message.encode(to).map_err(FormatError::Write)
    }

    fn size(&self, message: &T) -> Option<usize> {
        Some(message.encoded_len())
    }
}
