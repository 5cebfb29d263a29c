//! CBOR: [`Cbor`].

use std::io;

use bytes::Bytes;
use ciborium::{de, ser};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Format, FormatError, ParseMessage, Serde, WriteMessage,
    guard::{DEPTH, Unhinted},
};
use crate::{Length, Prefixed};

/// CBOR, the Concise Binary Object Representation ([RFC 8949]), with structs as maps.
///
/// ```text
///     struct Hello { id: u32, name: String }      a2  62 69 64  01  64 6e 61 6d 65  63 41 6e 6e
/// ```
///
/// A unit variant of an enum is its name, any other one a map from its name to what it holds. Tags
/// that the type doesn't ask for are passed over.
///
/// A message nests 128 deep at most (each array, map and enum is a level); nothing is reserved for
/// an array because of the length that it announces.
///
/// [RFC 8949]: https://www.rfc-editor.org/rfc/rfc8949
///
/// # Examples
///
/// ```
/// use bytes::BytesMut;
/// use tokio_util::codec::{Decoder, Encoder};
/// use wattle_codecs::Cbor;
///
/// let mut codec = Cbor::framed::<(u32, String)>(64 * 1024);
/// let mut wire = BytesMut::new();
/// codec.encode((1, "Ann".to_owned()), &mut wire)?;
/// assert_eq!(&wire[..], b"\0\0\0\x06\x82\x01\x63Ann");
/// assert_eq!(codec.decode(&mut wire)?, Some((1, "Ann".to_owned())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Cbor;

/// What is wrong with a message of [`Cbor`].
pub type CborError = FormatError<de::Error<io::Error>, ser::Error<io::Error>>;

impl Cbor {
    /// Messages of at most `most` bytes, with their length in front as a [`Length::U32`].
    pub fn framed<T: DeserializeOwned>(most: usize) -> Serde<Prefixed, Self, T> {
        Serde::new(Prefixed::new(Length::U32, most), Self)
    }
}

impl Format for Cbor {
    type Error = CborError;
}

impl<T: DeserializeOwned> ParseMessage<T> for Cbor {
    fn parse(&self, frame: &Bytes) -> Result<T, CborError> {
        let mut rest = &frame[..];
        let Unhinted(message) = de::from_reader_with_recursion_limit(&mut rest, DEPTH).map_err(
            |error| match error {
                de::Error::RecursionLimitExceeded => FormatError::TooDeep { most: DEPTH },
                error => FormatError::Parse(error),
            },
        )?;
        FormatError::unless_trailing(message, rest.len(), frame.len())
    }
}

impl<T: Serialize> WriteMessage<T> for Cbor {
    fn write(&self, message: &T, to: &mut Vec<u8>) -> Result<(), CborError> {
        ser::into_writer(message, to).map_err(FormatError::Write)
    }
}
