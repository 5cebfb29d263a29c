//! A cap on the frames of any codec: [`Capped`].

use std::{error::Error, fmt, io, mem};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::Recoverable;
use crate::encode::encode_or_nothing;
use crate::progress::{Decoded, Progress};

/// The most that is left reserved for bytes that have not come, while fewer than this many have, as
/// with the frame codecs of this crate: what a read usually brings.
const ROOM_AHEAD: usize = 64 * 1024;

/// A codec with a cap on its frames, see [`capped`](super::CodecExt::capped).
#[derive(Debug, Clone)]
pub struct Capped<C> {
    codec: C,
    most: usize,
    progress: Progress,
    /// The largest buffer that the reader came with, up to `ROOM_AHEAD`: a codec that makes room may be given
    /// that much by `BytesMut` for a single byte.
    block: usize,
}

access_inner!(Capped<C>);

impl<C> Capped<C> {
    /// What [`capped`](super::CodecExt::capped) does, for an encoder that isn't a decoder too.
    pub fn new(codec: C, most: usize) -> Self {
        Self {
            codec,
            most,
            progress: Progress::default(),
            block: 0,
        }
    }

    /// The error for a frame of so many bytes, if those are too many.
    fn check<E>(&self, at: u64, came: u64) -> Result<(), CappedError<E>> {
        let most = self.most;
        if came > most as u64 {
            return Err(CappedError::TooLong { came, most, at });
        }
        Ok(())
    }

    /// Frees what the inner codec has reserved for a frame, if that is more than there was and more than
    /// the cap leaves of it, or than as many bytes as have come. A `BytesMut` doesn't shrink, so it becomes
    /// a `Vec` and a `BytesMut` again, of the same memory: a codec may make room at each call, and copying what came
    /// for each read of a large frame would take time that grows with its square.
    fn give_back(&self, src: &mut BytesMut, before: usize, missing: usize) {
        if src.capacity() <= before {
            return;
        }
        let fitting = src.len() + missing.min(src.len().max(ROOM_AHEAD));
        // Twice: that is how `BytesMut` grows.
        if src.capacity() > self.block.max(2 * fitting) {
            let mut block = Vec::from(mem::take(src));
            block.shrink_to(fitting.max(self.block));
            *src = BytesMut::from(Bytes::from(block));
        }
    }
}

impl<C: Decoder> Capped<C> {
    #[inline]
    fn step(
        &mut self,
        decode: impl FnOnce(&mut C, &mut BytesMut) -> Decoded<C>,
        src: &mut BytesMut,
    ) -> Result<Option<C::Item>, CappedError<C::Error>> {
        let capacity = src.capacity();
        self.block = self.block.max(capacity.min(ROOM_AHEAD));
        let (begun, before) = (self.progress.begun(), src.len());
        match self.progress.decode(decode, &mut self.codec, src) {
            Ok(Some((item, span))) => self.check(span.at, span.len).map(|()| Some(item)),
            Ok(None) => self.wait(src, capacity).map(|()| None),
            Err(error) => {
                let consumed = begun.len + before.saturating_sub(src.len()) as u64;
                self.give_back(src, capacity, 0);
                // A bad frame beyond the cap is beyond it, whether or not the codec could go on.
                self.check(begun.at, consumed)?;
                Err(CappedError::Codec(error))
            }
        }
    }

    /// What came of a frame has to fit, and no more is made room for than may follow.
    fn wait(&mut self, src: &mut BytesMut, capacity: usize) -> Result<(), CappedError<C::Error>> {
        let begun = self.progress.begun();
        let came = begun.len + src.len() as u64;
        let fits = self.check(begun.at, came);
        let rest = if fits.is_ok() {
            self.most - came as usize
        } else {
            0
        };
        self.give_back(src, capacity, rest);
        fits
    }
}

impl<C: Decoder> Decoder for Capped<C> {
    type Item = C::Item;
    type Error = CappedError<C::Error>;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<C::Item>, Self::Error> {
        self.step(C::decode, src)
    }

    #[inline]
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<C::Item>, Self::Error> {
        self.step(C::decode_eof, src)
    }
}

impl<C: Encoder<T>, T> Encoder<T> for Capped<C> {
    type Error = CappedError<C::Error>;

    #[inline]
    fn encode(&mut self, item: T, dst: &mut BytesMut) -> Result<(), Self::Error> {
        let before = dst.len();
        encode_or_nothing(&mut self.codec, item, dst).map_err(CappedError::Codec)?;
        let (len, most) = (dst.len().saturating_sub(before), self.most);
        if len > most {
            dst.truncate(before);
            return Err(CappedError::UnencodablyLong { len, most });
        }
        Ok(())
    }
}

/// What is wrong with a frame of [`Capped`]: the codec's error `E`, or its size.
#[derive(Debug)]
#[non_exhaustive]
pub enum CappedError<E> {
    /// The inner codec's error.
    Codec(E),
    /// A frame that came is beyond the cap, or would be.
    TooLong {
        /// How many bytes came. More may belong to the frame.
        came: u64,
        /// The cap in bytes.
        most: usize,
        /// The byte of the stream that the frame begins at, counted from where the codec began to
        /// decode.
        at: u64,
    },
    /// A frame that is to be sent is beyond the cap.
    UnencodablyLong {
        /// The frame in bytes.
        len: usize,
        /// The cap in bytes.
        most: usize,
    },
}

impl<E: fmt::Display> fmt::Display for CappedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec(error) => error.fmt(f),
            Self::TooLong { came, most, at } => {
                write!(
                    f,
                    "frame at byte {at}: {came} bytes came, expected at most {most}"
                )
            }
            Self::UnencodablyLong { len, most } => {
                write!(f, "a frame of {len} bytes to send, expected at most {most}")
            }
        }
    }
}

impl<E: Error> Error for CappedError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Codec(error) => error.source(),
            _ => None,
        }
    }
}

impl<E: From<io::Error>> From<io::Error> for CappedError<E> {
    fn from(error: io::Error) -> Self {
        Self::Codec(error.into())
    }
}

/// A frame beyond the cap isn't recoverable: it may not have ended yet.
impl<E: Recoverable> Recoverable for CappedError<E> {
    fn is_recoverable(&self) -> bool {
        match self {
            Self::Codec(error) => error.is_recoverable(),
            _ => false,
        }
    }
}
