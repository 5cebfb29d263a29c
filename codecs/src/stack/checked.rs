//! Frames with a checksum: [`Checked`].

use std::{error::Error, fmt, io, marker::PhantomData};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::encode::encode_or_nothing;
use crate::progress::{Decoded, Progress, Span};
use crate::{Checksum, Recoverable, checksum::len_of};

/// A frame codec whose frames end with their checksum, see [`checked`](super::CodecExt::checked).
pub struct Checked<C, K> {
    codec: C,
    progress: Progress,
    checksum: PhantomData<fn() -> K>,
}

access_inner!(Checked<C, K>);

impl<C, K> Checked<C, K> {
    /// What [`checked`](super::CodecExt::checked) does, for an encoder that isn't a decoder too.
    pub fn new(codec: C) -> Self {
        Self {
            codec,
            progress: Progress::default(),
            checksum: PhantomData,
        }
    }
}

impl<C: Decoder<Item: Into<Bytes>>, K: Checksum> Checked<C, K> {
    #[inline]
    fn step(
        &mut self,
        decode: impl FnOnce(&mut C, &mut BytesMut) -> Decoded<C>,
        src: &mut BytesMut,
    ) -> Result<Option<Bytes>, CheckedError<C::Error>> {
        let decoded = self.progress.decode(decode, &mut self.codec, src);
        match decoded.map_err(CheckedError::Codec)? {
            Some((frame, span)) => strip::<K, _>(frame.into(), span).map(Some),
            None => Ok(None),
        }
    }
}

/// The payload of a frame, if the checksum is its.
fn strip<K: Checksum, E>(mut frame: Bytes, span: Span) -> Result<Bytes, CheckedError<E>> {
    let at = span.at;
    let Some(payload) = frame.len().checked_sub(len_of::<K>()) else {
        return Err(CheckedError::TooShort {
            len: frame.len(),
            least: len_of::<K>(),
            at,
        });
    };
    let payload = frame.split_to(payload);
    let expected = K::of(&payload);
    if expected.as_ref() == &frame[..] {
        return Ok(payload);
    }
    Err(CheckedError::Mismatch {
        expected: Bytes::copy_from_slice(expected.as_ref()),
        came: Bytes::copy_from_slice(&frame),
        at,
    })
}

impl<C: Decoder<Item: Into<Bytes>>, K: Checksum> Decoder for Checked<C, K> {
    type Item = Bytes;
    type Error = CheckedError<C::Error>;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, Self::Error> {
        self.step(C::decode, src)
    }

    #[inline]
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, Self::Error> {
        self.step(C::decode_eof, src)
    }
}

impl<C: Encoder<Bytes>, K: Checksum> Encoder<Bytes> for Checked<C, K> {
    type Error = C::Error;

    #[inline]
    fn encode(&mut self, payload: Bytes, dst: &mut BytesMut) -> Result<(), C::Error> {
        let sum = K::of(&payload);
        let mut frame = Vec::with_capacity(payload.len() + sum.as_ref().len());
        frame.extend_from_slice(&payload);
        frame.extend_from_slice(sum.as_ref());
        encode_or_nothing(&mut self.codec, frame.into(), dst)
    }
}

impl<C: Clone, K> Clone for Checked<C, K> {
    fn clone(&self) -> Self {
        Self {
            codec: self.codec.clone(),
            progress: self.progress.clone(),
            checksum: PhantomData,
        }
    }
}

impl<C: fmt::Debug, K> fmt::Debug for Checked<C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked")
            .field("codec", &self.codec)
            .field("progress", &self.progress)
            .field("checksum", &std::any::type_name::<K>())
            .finish()
    }
}

/// What is wrong with a frame of [`Checked`]: the codec's error `E`, or its checksum. `at` is the
/// byte of the stream that the frame begins at, counted from where the codec began to decode.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckedError<E> {
    /// The inner codec's error.
    Codec(E),
    /// The checksum is not that of the payload. The frame has been consumed.
    Mismatch {
        /// The checksum of the payload that came.
        expected: Bytes,
        /// The checksum that came.
        came: Bytes,
        /// Where the frame begins.
        at: u64,
    },
    /// The frame is too short to have a checksum. It has been consumed.
    TooShort {
        /// The frame in bytes.
        len: usize,
        /// The checksum in bytes.
        least: usize,
        /// Where the frame begins.
        at: u64,
    },
}

impl<E: fmt::Display> fmt::Display for CheckedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec(error) => error.fmt(f),
            Self::Mismatch { expected, came, at } => {
                write!(
                    f,
                    "frame at byte {at}: checksum {came:x}, expected {expected:x}"
                )
            }
            Self::TooShort { len, least, at } => write!(
                f,
                "frame at byte {at}: {len} bytes, expected at least the {least} of a checksum"
            ),
        }
    }
}

impl<E: Error> Error for CheckedError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Codec(error) => error.source(),
            _ => None,
        }
    }
}

impl<E: From<io::Error>> From<io::Error> for CheckedError<E> {
    fn from(error: io::Error) -> Self {
        Self::Codec(error.into())
    }
}

impl<E: Recoverable> Recoverable for CheckedError<E> {
    fn is_recoverable(&self) -> bool {
        match self {
            Self::Codec(error) => error.is_recoverable(),
            Self::Mismatch { .. } | Self::TooShort { .. } => true,
        }
    }
}
