//! Items of another type, if they are fit for it: [`TryMap`].

use std::{error::Error, fmt, io};

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::Recoverable;
use crate::encode::encode_or_nothing;
use crate::progress::{Decoded, Progress};

/// A codec whose decoded items go through a function that may refuse them, see
/// [`try_map`](super::CodecExt::try_map).
#[derive(Clone)]
pub struct TryMap<C, F> {
    codec: C,
    f: F,
    progress: Progress,
}

access_inner!(TryMap<C, F>);

impl<C, F> TryMap<C, F> {
    /// What [`try_map`](super::CodecExt::try_map) does.
    pub fn new(codec: C, f: F) -> Self {
        Self {
            codec,
            f,
            progress: Progress::default(),
        }
    }
}

impl<C: Decoder, F> TryMap<C, F> {
    #[inline]
    fn step<U, X>(
        &mut self,
        decode: impl FnOnce(&mut C, &mut BytesMut) -> Decoded<C>,
        src: &mut BytesMut,
    ) -> Result<Option<U>, TryMapError<C::Error, X>>
    where
        F: FnMut(C::Item) -> Result<U, X>,
    {
        let decoded = self.progress.decode(decode, &mut self.codec, src);
        let Some((item, span)) = decoded.map_err(TryMapError::Codec)? else {
            return Ok(None);
        };
        let at = span.at;
        (self.f)(item)
            .map(Some)
            .map_err(|source| TryMapError::Map { source, at })
    }
}

impl<C: Decoder, F, U, X> Decoder for TryMap<C, F>
where
    F: FnMut(C::Item) -> Result<U, X>,
{
    type Item = U;
    type Error = TryMapError<C::Error, X>;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<U>, Self::Error> {
        self.step(C::decode, src)
    }

    #[inline]
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<U>, Self::Error> {
        self.step(C::decode_eof, src)
    }
}

impl<C: Encoder<T>, F, T> Encoder<T> for TryMap<C, F> {
    type Error = C::Error;

    #[inline]
    fn encode(&mut self, item: T, dst: &mut BytesMut) -> Result<(), C::Error> {
        encode_or_nothing(&mut self.codec, item, dst)
    }
}

impl<C: fmt::Debug, F> fmt::Debug for TryMap<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryMap")
            .field("codec", &self.codec)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// What is wrong with an item of [`TryMap`]: the codec's error `E`, or the function's error `X`.
#[derive(Debug)]
#[non_exhaustive]
pub enum TryMapError<E, X> {
    /// The inner codec's error.
    Codec(E),
    /// The function refused the item. The frame has been consumed.
    Map {
        /// What the function said.
        source: X,
        /// The byte of the stream that the frame begins at, counted from where the codec began to
        /// decode.
        at: u64,
    },
}

impl<E: fmt::Display, X: fmt::Display> fmt::Display for TryMapError<E, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec(error) => error.fmt(f),
            Self::Map { source, at } => write!(f, "frame at byte {at}: {source}"),
        }
    }
}

impl<E: Error, X: Error> Error for TryMapError<E, X> {
    // Each is shown as a part of this error, so what comes next is what is behind it.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Codec(error) => error.source(),
            Self::Map { source, .. } => source.source(),
        }
    }
}

impl<E: From<io::Error>, X> From<io::Error> for TryMapError<E, X> {
    fn from(error: io::Error) -> Self {
        Self::Codec(error.into())
    }
}

impl<E: Recoverable, X> Recoverable for TryMapError<E, X> {
    fn is_recoverable(&self) -> bool {
        match self {
            Self::Codec(error) => error.is_recoverable(),
            Self::Map { .. } => true,
        }
    }
}
