//! Frames with compressed payload: [`Compressed`], [`Compression`].

#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "zstd")]
mod zstd;

use std::{error::Error, fmt, io};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

#[cfg(feature = "lz4")]
pub use self::lz4::Lz4;
#[cfg(feature = "zstd")]
pub use self::zstd::Zstd;
use crate::Recoverable;
use crate::encode::encode_or_nothing;
use crate::progress::{Decoded, Progress};

/// Why a [`Compression`] can't compress or expand something.
pub type CompressionError = Box<dyn Error + Send + Sync>;

/// A way to compress one payload by itself, such that the result says what size it expands to.
///
/// [`compressed`](super::CodecExt::compressed) asks for that size, holds it against the cap and against
/// what so few bytes can become, and only then has the payload expanded, to that size and no more.
///
/// The methods get `&mut self`, but a codec lives as long as its connection: what takes memory
/// should live no longer than the call, or be shared between connections.
pub trait Compression {
    /// The payload, compressed.
    ///
    /// # Errors
    ///
    /// When this payload can't be compressed.
    fn compress(&mut self, payload: &[u8]) -> Result<Vec<u8>, CompressionError>;

    /// The size in bytes that a compressed payload says that it has when expanded, found without
    /// expanding anything; `None` if it doesn't say.
    ///
    /// # Errors
    ///
    /// When this can't be a compressed payload.
    fn expanded_size(&self, compressed: &[u8]) -> Result<Option<u64>, CompressionError>;

    /// The most bytes that one compressed byte can become. What claims more is refused without
    /// making room for it. There is no bound by default.
    fn max_ratio(&self) -> u64 {
        u64::MAX
    }

    /// Expands a compressed payload to at most `size` bytes, which is what
    /// [`expanded_size`](Self::expanded_size) told. **No more may be allocated**, whatever the payload
    /// turns out to be: the remote made it.
    ///
    /// # Errors
    ///
    /// When this isn't a compressed payload, or expands to more than `size`.
    fn expand(&mut self, compressed: &[u8], size: usize) -> Result<Vec<u8>, CompressionError>;
}

/// A frame codec whose payloads are compressed, see [`compressed`](super::CodecExt::compressed).
#[derive(Debug, Clone)]
pub struct Compressed<C, K> {
    codec: C,
    compression: K,
    max_expanded: usize,
    progress: Progress,
}

access_inner!(Compressed<C, K>);

impl<C, K> Compressed<C, K> {
    /// What [`compressed`](super::CodecExt::compressed) does, for an encoder that isn't a decoder too.
    pub fn new(codec: C, compression: K, max_expanded: usize) -> Self {
        Self {
            codec,
            compression,
            max_expanded,
            progress: Progress::default(),
        }
    }
}

impl<C, K: Compression> Compressed<C, K> {
    fn expand<E>(&mut self, compressed: &[u8], at: u64) -> Result<Bytes, CompressedError<E>> {
        let corrupt = |source| CompressedError::Corrupt { source, at };
        let announced = self.compression.expanded_size(compressed);
        let announced = announced.map_err(corrupt)?;
        let announced = announced.ok_or(CompressedError::SizeMissing { at })?;
        let size = self.size_within_cap(announced, at)?;
        self.believable(announced, compressed).map_err(corrupt)?;
        // Here is all that is allocated for a frame.
        let payload = self.compression.expand(compressed, size);
        let payload = payload.map_err(corrupt)?;
        let came = payload.len();
        if came != size {
            return Err(CompressedError::SizeMismatch {
                announced,
                came,
                at,
            });
        }
        Ok(payload.into())
    }

    fn size_within_cap<E>(&self, announced: u64, at: u64) -> Result<usize, CompressedError<E>> {
        let most = self.max_expanded;
        usize::try_from(announced)
            .ok()
            .filter(|&size| size <= most)
            .ok_or(CompressedError::TooLarge {
                announced,
                most,
                at,
            })
    }

    fn believable(&self, announced: u64, compressed: &[u8]) -> Result<(), CompressionError> {
        let len = compressed.len();
        if announced > self.compression.max_ratio().saturating_mul(len as u64) {
            return Err(
                format!("{len} bytes can't expand to the {announced} they announce").into(),
            );
        }
        Ok(())
    }
}

impl<C: Decoder<Item: Into<Bytes>>, K: Compression> Compressed<C, K> {
    #[inline]
    fn step(
        &mut self,
        decode: impl FnOnce(&mut C, &mut BytesMut) -> Decoded<C>,
        src: &mut BytesMut,
    ) -> Result<Option<Bytes>, CompressedError<C::Error>> {
        let decoded = self.progress.decode(decode, &mut self.codec, src);
        match decoded.map_err(CompressedError::Codec)? {
            Some((frame, span)) => self.expand(&frame.into(), span.at).map(Some),
            None => Ok(None),
        }
    }
}

impl<C: Decoder<Item: Into<Bytes>>, K: Compression> Decoder for Compressed<C, K> {
    type Item = Bytes;
    type Error = CompressedError<C::Error>;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, Self::Error> {
        self.step(C::decode, src)
    }

    #[inline]
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, Self::Error> {
        self.step(C::decode_eof, src)
    }
}

impl<C: Encoder<Bytes>, K: Compression> Encoder<Bytes> for Compressed<C, K> {
    type Error = CompressedError<C::Error>;

    #[inline]
    fn encode(&mut self, payload: Bytes, dst: &mut BytesMut) -> Result<(), Self::Error> {
        let (len, most) = (payload.len(), self.max_expanded);
        if len > most {
            return Err(CompressedError::UnencodablyLarge { len, most });
        }
        let compressed = self.compression.compress(&payload);
        let compressed = compressed.map_err(|source| CompressedError::Incompressible { source })?;
        encode_or_nothing(&mut self.codec, compressed.into(), dst).map_err(CompressedError::Codec)
    }
}

/// What is wrong with a frame of [`Compressed`]: the codec's error `E`, or its payload. `at` is the
/// byte of the stream that the frame begins at, counted from where the codec began to decode.
#[derive(Debug)]
#[non_exhaustive]
pub enum CompressedError<E> {
    /// The inner codec's error.
    Codec(E),
    /// The payload would expand to more than the cap. Nothing was expanded.
    TooLarge {
        /// The size in bytes as announced.
        announced: u64,
        /// The cap in bytes.
        most: usize,
        /// Where the frame begins.
        at: u64,
    },
    /// The payload doesn't say what size it expands to. Nothing was expanded.
    SizeMissing {
        /// Where the frame begins.
        at: u64,
    },
    /// The payload has become less than it said.
    SizeMismatch {
        /// The size in bytes as announced.
        announced: u64,
        /// The size in bytes as it is.
        came: usize,
        /// Where the frame begins.
        at: u64,
    },
    /// The payload isn't compressed in this way, or expands to more than it said.
    Corrupt {
        /// What the compression says.
        source: CompressionError,
        /// Where the frame begins.
        at: u64,
    },
    /// A payload that is to be sent is beyond the cap, so that the other side would refuse it.
    UnencodablyLarge {
        /// The payload in bytes.
        len: usize,
        /// The cap in bytes.
        most: usize,
    },
    /// A payload that is to be sent can't be compressed.
    Incompressible {
        /// What the compression says.
        source: CompressionError,
    },
}

impl<E: fmt::Display> fmt::Display for CompressedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec(error) => error.fmt(f),
            Self::TooLarge {
                announced,
                most,
                at,
            } => write!(
                f,
                "frame at byte {at}: expands to {announced} bytes, expected at most {most}"
            ),
            Self::SizeMissing { at } => {
                write!(
                    f,
                    "frame at byte {at}: expected the size that it expands to, it doesn't say"
                )
            }
            Self::SizeMismatch {
                announced,
                came,
                at,
            } => write!(
                f,
                "frame at byte {at}: expands to {came} bytes, expected the {announced} that it announces"
            ),
            Self::Corrupt { source, at } => {
                write!(f, "frame at byte {at}: can't be expanded: {source}")
            }
            Self::UnencodablyLarge { len, most } => {
                write!(
                    f,
                    "a payload of {len} bytes to send, expected at most {most}"
                )
            }
            Self::Incompressible { source } => write!(f, "a payload to send: {source}"),
        }
    }
}

impl<E: Error> Error for CompressedError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Codec(error) => error.source(),
            Self::Corrupt { source, .. } | Self::Incompressible { source } => source.source(),
            _ => None,
        }
    }
}

impl<E: From<io::Error>> From<io::Error> for CompressedError<E> {
    fn from(error: io::Error) -> Self {
        Self::Codec(error.into())
    }
}

/// Each frame is compressed by itself, so a bad one says nothing about the next. What can't be sent
/// is none that came.
impl<E: Recoverable> Recoverable for CompressedError<E> {
    fn is_recoverable(&self) -> bool {
        match self {
            Self::Codec(error) => error.is_recoverable(),
            Self::TooLarge { .. }
            | Self::SizeMissing { .. }
            | Self::SizeMismatch { .. }
            | Self::Corrupt { .. } => true,
            Self::UnencodablyLarge { .. } | Self::Incompressible { .. } => false,
        }
    }
}
