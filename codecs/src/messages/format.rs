//! What a format is: [`Format`], [`ParseMessage`], [`WriteMessage`].

use std::error::Error;

use bytes::Bytes;

/// How messages stand in bytes: what [`Serde`](crate::Serde) puts on top of a frame codec.
///
/// A format of your own implements this for its error, [`ParseMessage`] for the types that it
/// reads, and [`WriteMessage`] for those that it writes. It needs nothing but the bytes of one
/// whole frame, so it is neither bothered with partial input nor with where a message ends.
///
/// # Examples
///
/// Numbers in decimal, one a line:
///
/// ```
/// use std::{io::Write, num::ParseIntError, str};
///
/// use bytes::{Bytes, BytesMut};
/// use tokio_util::codec::{Decoder, Encoder};
/// use wattle_codecs::{Format, Length, ParseMessage, Prefixed, Serde, WriteMessage};
///
/// #[derive(Debug, Clone)]
/// struct Decimal;
///
/// impl Format for Decimal {
///     type Error = ParseIntError;
/// }
///
/// impl ParseMessage<u32> for Decimal {
///     fn parse(&self, frame: &Bytes) -> Result<u32, ParseIntError> {
///         str::from_utf8(frame).unwrap_or("not a number").parse()
///     }
/// }
///
/// impl WriteMessage<u32> for Decimal {
///     fn write(&self, message: &u32, to: &mut Vec<u8>) -> Result<(), ParseIntError> {
///         Ok(write!(to, "{message}").expect("a Vec grows"))
///     }
/// }
///
/// let mut codec: Serde<_, _, u32> = Serde::new(Prefixed::new(Length::U8, 10), Decimal);
/// let mut wire = BytesMut::new();
/// codec.encode(1971, &mut wire)?;
/// assert_eq!(&wire[..], b"\x041971");
/// assert_eq!(codec.decode(&mut wire)?, Some(1971));
/// # Ok::<(), wattle_codecs::SerdeError<wattle_codecs::PrefixedError, ParseIntError>>(())
/// ```
pub trait Format {
    /// What is wrong with bytes that don't parse, or with a message that can't be written.
    type Error: Error + Send + Sync + 'static;
}

/// A [`Format`] that reads messages of type `T`.
pub trait ParseMessage<T>: Format {
    /// The message that `frame` holds.
    ///
    /// The frame is whatever the remote sent, up to the cap of the frame codec: don't reserve what
    /// it announces, don't recurse as deep as it says, and **take bytes that are left behind the
    /// message for an error**. What is sliced out of the frame instead of copied keeps the whole
    /// block alive that was read from the socket.
    ///
    /// # Errors
    ///
    /// The frame isn't such a message, or isn't that alone.
    fn parse(&self, frame: &Bytes) -> Result<T, Self::Error>;
}

/// A [`Format`] that writes messages of type `T`.
pub trait WriteMessage<T>: Format {
    /// Appends the message to `to`, which may hold something already.
    ///
    /// # Errors
    ///
    /// The message can't be written in this format. What was appended until then is thrown away.
    fn write(&self, message: &T, to: &mut Vec<u8>) -> Result<(), Self::Error>;

    /// How many bytes [`write`](Self::write) is going to append, in a format in which that is known at little
    /// cost: then the message is written into a block of just this size. It is no promise, as
    /// the block grows if need be. Not known by default.
    fn size(&self, message: &T) -> Option<usize> {
        let _ = message;
        None
    }
}

/// Most messages fit into a block of this size; for those whose size isn't known, it grows.
const FIRST_BLOCK: usize = 128;

/// The bytes of a message.
#[inline]
pub(super) fn serialize<M, T>(format: &M, message: &T) -> Result<Bytes, M::Error>
where
    M: WriteMessage<T>,
{
    let mut payload = Vec::with_capacity(format.size(message).unwrap_or(FIRST_BLOCK));
    format.write(message, &mut payload)?;
    Ok(payload.into())
}
