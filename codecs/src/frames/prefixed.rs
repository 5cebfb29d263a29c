//! Frames with their length in front: [`Prefixed`].

use std::{error::Error, fmt, io};

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::{Length, make_room};
use crate::{Recoverable, position::Position};

/// Frames with their length in front of them.
///
/// ```text
///     +--------+---------------------+
///     | length | payload             |      Prefixed::new(Length::U16, …)
///     +--------+---------------------+      "abc"  →  00 03 61 62 63
///              |<----- length ------>|
///
///     |<---------- length ---------->|      ….inclusive()
///     +--------+---------------------+      "abc"  →  00 05 61 62 63
/// ```
///
/// An item is the payload alone. tokio-util's `LengthDelimitedCodec` reserves what the remote
/// announces, has a cap of 8 MiB unless told otherwise, and knows neither varints nor where an
/// error is; this codec has the cap in its constructor and reserves memory for a frame as its bytes arrive.
///
/// A length within a larger header, beside other fields: [`Envelope`](crate::Envelope).
///
/// # Errors
///
/// [`PrefixedError`]. After a length that is too long or too short nobody knows where the next frame
/// begins, so none of these is [recoverable](Recoverable).
///
/// # Examples
///
/// ```
/// use bytes::{Bytes, BytesMut};
/// use tokio_util::codec::{Decoder, Encoder};
/// use wattle_codecs::{Length, Prefixed};
///
/// let mut codec = Prefixed::new(Length::Varint, 64 * 1024);
/// let mut wire = BytesMut::new();
/// codec.encode(Bytes::from("abc"), &mut wire)?;
/// assert_eq!(&wire[..], b"\x03abc");
/// assert_eq!(codec.decode(&mut wire)?, Some(Bytes::from("abc")));
/// # Ok::<(), wattle_codecs::PrefixedError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Prefixed {
    length: Length,
    most: usize,
    inclusive: bool,
    position: Position,
}

impl Prefixed {
    /// Frames of at most `most` bytes of payload, with their length written as `length` says.
    ///
    /// A cap beyond what such a length can say is no error: what it can say is the cap then.
    pub fn new(length: Length, most: usize) -> Self {
        Self {
            length,
            most,
            inclusive: false,
            position: Position::default(),
        }
    }

    /// The length counts its own bytes too, not the payload's alone.
    pub fn inclusive(mut self) -> Self {
        self.inclusive = true;
        self
    }

    /// The size of the payload, if that is what the length announces.
    fn payload(&self, announced: u64, prefix: usize) -> Result<usize, PrefixedError> {
        let counted = if self.inclusive { prefix } else { 0 };
        let Some(payload) = announced.checked_sub(counted as u64) else {
            return Err(PrefixedError::TooShort {
                announced,
                least: counted,
                at: self.position.get(),
            });
        };
        usize::try_from(payload)
            .ok()
            .filter(|&payload| payload <= self.most)
            .ok_or(PrefixedError::TooLong {
                announced,
                most: self.most,
                at: self.position.get(),
            })
    }

    /// What to say of the beginning of a frame, if that is all that comes.
    fn truncated(&self, src: &[u8]) -> PrefixedError {
        let least = match self.length.read(src) {
            Ok(Some((announced, _))) if self.inclusive => announced as usize,
            Ok(Some((announced, prefix))) => (announced as usize).saturating_add(prefix),
            _ => self.length.least(src),
        };
        PrefixedError::Truncated {
            came: src.len(),
            least,
            at: self.position.get(),
        }
    }

    /// What to write in front of a payload.
    fn announce(&self, payload: usize) -> Result<u64, PrefixedError> {
        let announced = if self.inclusive {
            self.length.inclusive(payload as u64)
        } else {
            payload as u64
        };
        if payload > self.most || announced > self.length.most() {
            return Err(PrefixedError::UnencodablyLong {
                len: payload,
                most: self.most_encodable(),
            });
        }
        Ok(announced)
    }

    fn most_encodable(&self) -> usize {
        let most = self.length.most();
        let counted = if self.inclusive {
            self.length.size_of(most) as u64
        } else {
            0
        };
        self.most
            .min(usize::try_from(most - counted).unwrap_or(usize::MAX))
    }
}

impl Decoder for Prefixed {
    type Item = Bytes;
    type Error = PrefixedError;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, PrefixedError> {
        let overlong = |_| PrefixedError::Overlong {
            at: self.position.get(),
        };
        let Some((announced, prefix)) = self.length.read(src).map_err(overlong)? else {
            return Ok(None);
        };
        let payload = self.payload(announced, prefix)?;
        if src.len() - prefix < payload {
            make_room(src, payload.saturating_add(prefix));
            return Ok(None);
        }
        src.advance(prefix);
        self.position.advance(prefix + payload);
        Ok(Some(src.split_to(payload).freeze()))
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, PrefixedError> {
        match self.decode(src)? {
            None if !src.is_empty() => Err(self.truncated(src)),
            frame => Ok(frame),
        }
    }
}

impl Encoder<Bytes> for Prefixed {
    type Error = PrefixedError;

    #[inline]
    fn encode(&mut self, payload: Bytes, dst: &mut BytesMut) -> Result<(), PrefixedError> {
        let announced = self.announce(payload.len())?;
        dst.reserve(self.length.size_of(announced) + payload.len());
        self.length.write(announced, dst);
        dst.extend_from_slice(&payload);
        Ok(())
    }
}

/// What is wrong with a frame of [`Prefixed`]. `at` is the byte of the stream that the frame begins
/// at, counted from where the codec began to decode.
#[derive(Debug)]
#[non_exhaustive]
pub enum PrefixedError {
    /// The remote announces a frame beyond the cap.
    TooLong {
        /// The length as it was announced.
        announced: u64,
        /// The cap on the payload in bytes.
        most: usize,
        /// Where the frame begins.
        at: u64,
    },
    /// The remote announces a length that doesn't even count the bytes of the length.
    TooShort {
        /// The length as it was announced.
        announced: u64,
        /// The least that it can be.
        least: usize,
        /// Where the frame begins.
        at: u64,
    },
    /// A varint that doesn't end within ten bytes, or is beyond 64 bits.
    Overlong {
        /// Where the frame begins.
        at: u64,
    },
    /// The stream ended inside a frame.
    Truncated {
        /// How many bytes of the frame came, the length's own included.
        came: usize,
        /// How many it has; if not all of the length came, at least.
        least: usize,
        /// Where the frame begins.
        at: u64,
    },
    /// A payload that is to be sent is beyond the cap, or beyond what the length can say.
    UnencodablyLong {
        /// The payload in bytes.
        len: usize,
        /// The most that could be sent.
        most: usize,
    },
    /// The transport's error.
    Io(io::Error),
}

impl fmt::Display for PrefixedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong {
                announced,
                most,
                at,
            } => {
                write!(
                    f,
                    "frame at byte {at}: length {announced}, expected at most {most} bytes of payload"
                )
            }
            Self::TooShort {
                announced,
                least,
                at,
            } => {
                write!(
                    f,
                    "frame at byte {at}: length {announced}, expected at least {least}"
                )
            }
            Self::Overlong { at } => write!(
                f,
                "frame at byte {at}: the length is a varint of more than 64 bits or 10 bytes"
            ),
            Self::Truncated { came, least, at } => {
                write!(
                    f,
                    "frame at byte {at}: the stream ended after {came} bytes of it, expected at least {least}"
                )
            }
            Self::UnencodablyLong { len, most } => {
                write!(
                    f,
                    "a payload of {len} bytes to send, expected at most {most}"
                )
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for PrefixedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for PrefixedError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Recoverable for PrefixedError {
    fn is_recoverable(&self) -> bool {
        false
    }
}
