//! MessagePack: [`MessagePack`].

use std::io::Cursor;

use bytes::Bytes;
use rmp_serde::{Deserializer, Serializer, decode, encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Format, FormatError, ParseMessage, Serde, WriteMessage, guard::Guard};
use crate::{Length, Prefixed};

/// [MessagePack], with structs as arrays or, [`named`](Self::named), as maps. Both are read, either
/// way.
///
/// ```text
///     struct Hello { id: u32, name: String }      92  01  a3 41 6e 6e
///                            .named()             82  a2 69 64  01  a4 6e 61 6d 65  a3 41 6e 6e
/// ```
///
/// A unit variant of an enum is its name, any other one a map from its name to what it holds.
///
/// A message nests 128 deep at most (each struct, tuple, sequence, map, enum and `Some` is a
/// level); what is reserved for a sequence is what the frame has bytes for, whatever length it
/// announces.
///
/// [MessagePack]: https://github.com/msgpack/msgpack/blob/master/spec.md
///
/// # Examples
///
/// ```
/// use bytes::BytesMut;
/// use tokio_util::codec::{Decoder, Encoder};
/// use wattle_codecs::MessagePack;
///
/// let mut codec = MessagePack::framed::<(u32, String)>(64 * 1024);
/// let mut wire = BytesMut::new();
/// codec.encode((1, "Ann".to_owned()), &mut wire)?;
/// assert_eq!(&wire[..], b"\0\0\0\x06\x92\x01\xa3Ann");
/// assert_eq!(codec.decode(&mut wire)?, Some((1, "Ann".to_owned())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct MessagePack {
    named: bool,
}

/// What is wrong with a message of [`MessagePack`].
pub type MessagePackError = FormatError<decode::Error, encode::Error>;

impl MessagePack {
    /// Structs are arrays of their fields: the shortest form, for those who share the type.
    pub fn new() -> Self {
        Self { named: false }
    }

    /// Structs are maps from the names of their fields, as programs in other languages expect, and
    /// as fields that come and go need.
    pub fn named() -> Self {
        Self { named: true }
    }

    /// Messages of at most `most` bytes, with their length in front as a [`Length::U32`]; structs
    /// are arrays.
    pub fn framed<T: DeserializeOwned>(most: usize) -> Serde<Prefixed, Self, T> {
        Serde::new(Prefixed::new(Length::U32, most), Self::new())
    }
}

impl Format for MessagePack {
    type Error = MessagePackError;
}

impl<T: DeserializeOwned> ParseMessage<T> for MessagePack {
    fn parse(&self, frame: &Bytes) -> Result<T, MessagePackError> {
        let mut deserializer = Deserializer::from_read_ref(&frame[..]);
        let message = Guard::new(frame.len()).parse(&mut deserializer)?;
        if is_at_end(&mut deserializer) {
            return Ok(message);
        }
        // A deserializer that borrows doesn't tell where it stands, and one that does is slower.
        let mut deserializer = Deserializer::new(Cursor::new(frame));
        let message = Guard::new(frame.len()).parse(&mut deserializer)?;
        let parsed = deserializer.position() as usize;
        FormatError::unless_trailing(message, frame.len() - parsed, frame.len())
    }
}

/// Whether not even the first byte of another value comes.
fn is_at_end<'de, D>(deserializer: D) -> bool
where
    D: serde::Deserializer<'de, Error = decode::Error>,
{
    matches!(
        <()>::deserialize(deserializer),
        Err(decode::Error::InvalidMarkerRead(_))
    )
}

impl<T: Serialize> WriteMessage<T> for MessagePack {
    fn write(&self, message: &T, to: &mut Vec<u8>) -> Result<(), MessagePackError> {
        let mut serializer = Serializer::new(to);
        if self.named {
            message.serialize(&mut serializer.with_struct_map())
        } else {
            message.serialize(&mut serializer)
        }
        .map_err(FormatError::Write)
    }
}
