//! Postcard: [`Postcard`].

use bytes::Bytes;
use postcard::{Deserializer, Error, ser_flavors::Flavor, serialize_with_flavor};
use serde::{Serialize, de::DeserializeOwned};

use super::{Format, FormatError, ParseMessage, Serde, WriteMessage, guard::Guard};
use crate::{Length, Prefixed};

/// [Postcard], the compact format of Rust programs that share their types: neither names nor types
/// of fields are on the wire, integers are varints.
///
/// ```text
///     struct Hello { id: u32, name: String }      01  03 41 6e 6e
/// ```
///
/// Since nothing on the wire says what it is, both sides need the same type: what comes from
/// another type may well parse. What asks the bytes which type comes can't be read at all: enums that
/// serde tags in another way than by default (`untagged`, `tag`), `flatten`, `serde_json::Value`; and no field may
/// be left out.
///
/// The format itself has no bounds against a hostile frame; here, a message nests 128 deep at most
/// (each struct, tuple, sequence, map, enum and `Some` is a level), and has at most 1,024 elements
/// more in its sequences and maps than bytes, so that a few bytes can't announce a `Vec<()>` that
/// takes years to fill.
///
/// [Postcard]: https://postcard.jamesmunns.com/wire-format
///
/// # Examples
///
/// ```
/// use bytes::BytesMut;
/// use tokio_util::codec::{Decoder, Encoder};
/// use wattle_codecs::Postcard;
///
/// let mut codec = Postcard::framed::<(u32, String)>(64 * 1024);
/// let mut wire = BytesMut::new();
/// codec.encode((1, "Ann".to_owned()), &mut wire)?;
/// assert_eq!(&wire[..], b"\0\0\0\x05\x01\x03Ann");
/// assert_eq!(codec.decode(&mut wire)?, Some((1, "Ann".to_owned())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Postcard;

/// What is wrong with a message of [`Postcard`].
pub type PostcardError = FormatError<Error>;

impl Postcard {
    /// Messages of at most `most` bytes, with their length in front as a [`Length::U32`].
    pub fn framed<T: DeserializeOwned>(most: usize) -> Serde<Prefixed, Self, T> {
        Serde::new(Prefixed::new(Length::U32, most), Self)
    }
}

impl Format for Postcard {
    type Error = PostcardError;
}

impl<T: DeserializeOwned> ParseMessage<T> for Postcard {
    fn parse(&self, frame: &Bytes) -> Result<T, PostcardError> {
        let mut deserializer = Deserializer::from_bytes(frame);
        let message = Guard::new(frame.len()).parse(&mut deserializer)?;
        let rest = deserializer.finalize().map_err(FormatError::Parse)?;
        FormatError::unless_trailing(message, rest.len(), frame.len())
    }
}

impl<T: Serialize> WriteMessage<T> for Postcard {
    fn write(&self, message: &T, to: &mut Vec<u8>) -> Result<(), PostcardError> {
        serialize_with_flavor(message, Append(to)).map_err(FormatError::Write)
    }
}

/// What Postcard writes to. Its own flavors either write a byte at a time or to something of `std`.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
