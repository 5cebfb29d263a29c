//! JSON: [`Json`].

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{Format, ParseMessage, Serde, WriteMessage};
use crate::{Delimited, Length, Prefixed};

/// JSON ([RFC 8259]), written without white space: one line a message, since newlines within
/// strings are escaped.
///
/// ```text
///     struct Hello { id: u32, name: String }      {"id":1,"name":"Ann"}
/// ```
///
/// White space around a message is no error, anything else behind it is. Arrays and objects nest
/// 127 deep at most. The error is `serde_json`'s own: it tells line and column within the message.
///
/// [RFC 8259]: https://www.rfc-editor.org/rfc/rfc8259
///
/// # Examples
///
/// ```
/// use bytes::BytesMut;
/// use tokio_util::codec::{Decoder, Encoder};
/// use wattle_codecs::Json;
///
/// let mut codec = Json::lines::<Vec<String>>(8192);
/// let mut wire = BytesMut::new();
/// codec.encode(vec!["two\nlines".to_owned()], &mut wire)?;
/// assert_eq!(&wire[..], b"[\"two\\nlines\"]\n");
/// assert_eq!(codec.decode(&mut wire)?.unwrap(), ["two\nlines"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

/// What is wrong with a message of [`Json`]: `serde_json`'s own error.
pub type JsonError = serde_json::Error;

impl Json {
    /// A message a line ([JSON Lines]), each of at most `most` bytes without its end.
    ///
    /// An empty line isn't a message, and so an error, if one that can be survived.
    ///
    /// [JSON Lines]: https://jsonlines.org
    pub fn lines<T: DeserializeOwned>(most: usize) -> Serde<Delimited, Self, T> {
        Serde::new(Delimited::lines(most), Self)
    }

    /// Messages of at most `most` bytes, with their length in front as a [`Length::U32`].
    pub fn framed<T: DeserializeOwned>(most: usize) -> Serde<Prefixed, Self, T> {
        Serde::new(Prefixed::new(Length::U32, most), Self)
    }
}

impl Format for Json {
    type Error = JsonError;
}

impl<T: DeserializeOwned> ParseMessage<T> for Json {
    fn parse(&self, frame: &Bytes) -> Result<T, serde_json::Error> {
        serde_json::from_slice(frame)
    }
}

impl<T: Serialize> WriteMessage<T> for Json {
    fn write(&self, message: &T, to: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(to, message)
    }
}
