//! Going on after a bad frame: [`Tolerant`].

use std::{error::Error, fmt, io};

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::Recoverable;
use crate::encode::encode_or_nothing;
use crate::progress::Decoded;

/// A codec whose bad frames are items, see [`tolerant`](super::CodecExt::tolerant).
#[derive(Debug, Clone)]
pub struct Tolerant<C> {
    codec: C,
    most_in_row: usize,
    in_row: usize,
}

access_inner!(Tolerant<C>);

impl<C> Tolerant<C> {
    /// What [`tolerant`](super::CodecExt::tolerant) does.
    pub fn new(codec: C, most_in_row: usize) -> Self {
        Self {
            codec,
            most_in_row,
            in_row: 0,
        }
    }
}

impl<C: Decoder<Error: Recoverable>> Tolerant<C> {
    #[expect(clippy::type_complexity, reason = "it is what a Decoder returns")]
    #[inline]
    fn step(
        &mut self,
        decode: impl FnOnce(&mut C, &mut BytesMut) -> Decoded<C>,
        src: &mut BytesMut,
    ) -> Result<Option<Result<C::Item, C::Error>>, TolerantError<C::Error>> {
        match decode(&mut self.codec, src) {
            Ok(Some(item)) => {
                self.in_row = 0;
                Ok(Some(Ok(item)))
            }
            Ok(None) => Ok(None),
            Err(error) if error.is_recoverable() => self.tolerate(error).map(Err).map(Some),
            Err(error) => Err(TolerantError::Codec(error)),
        }
    }

    /// The error, if it is one that there may be. Each counts, whether or not the codec has consumed
    /// anything: one that doesn't would otherwise err for ever.
    fn tolerate(&mut self, error: C::Error) -> Result<C::Error, TolerantError<C::Error>> {
        self.in_row = self.in_row.saturating_add(1);
        if self.in_row <= self.most_in_row {
            return Ok(error);
        }
        Err(TolerantError::TooMany {
            in_row: self.in_row,
            last: error,
        })
    }
}

impl<C: Decoder<Error: Recoverable>> Decoder for Tolerant<C> {
    type Item = Result<C::Item, C::Error>;
    type Error = TolerantError<C::Error>;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Self::Item>, Self::Error> {
        self.step(C::decode, src)
    }

    #[inline]
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Self::Item>, Self::Error> {
        self.step(C::decode_eof, src)
    }
}

impl<C: Encoder<T>, T> Encoder<T> for Tolerant<C> {
    type Error = C::Error;

    #[inline]
    fn encode(&mut self, item: T, dst: &mut BytesMut) -> Result<(), C::Error> {
        encode_or_nothing(&mut self.codec, item, dst)
    }
}

/// What ends a stream of [`Tolerant`], of a codec with errors of type `E`.
#[derive(Debug)]
#[non_exhaustive]
pub enum TolerantError<E> {
    /// An error of the codec that it can't go on after.
    Codec(E),
    /// One bad frame too many, without a good one between.
    TooMany {
        /// How many there were, the last one included.
        in_row: usize,
        /// What was wrong with the last one.
        last: E,
    },
}

impl<E: fmt::Display> fmt::Display for TolerantError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec(error) => error.fmt(f),
            Self::TooMany { in_row, last } => write!(
                f,
                "{in_row} bad frames in a row, expected at most {}; the last one: {last}",
                in_row - 1
            ),
        }
    }
}

impl<E: Error> Error for TolerantError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Codec(error) | Self::TooMany { last: error, .. } => error.source(),
        }
    }
}

impl<E: From<io::Error>> From<io::Error> for TolerantError<E> {
    fn from(error: io::Error) -> Self {
        Self::Codec(error.into())
    }
}

/// Tolerance has an end.
impl<E> Recoverable for TolerantError<E> {
    fn is_recoverable(&self) -> bool {
        false
    }
}
