//! Where the frame begins that a layer is decoding, and how much of it was consumed: [`Progress`].

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use crate::position::Position;

/// What `C::decode` and `C::decode_eof` return: a layer treats the two alike.
pub(crate) type Decoded<C> = Result<Option<<C as Decoder>::Item>, <C as Decoder>::Error>;

/// Counts what an inner codec consumes, from one frame to the next.
///
/// A codec may consume the head of a frame long before it yields the frame, so where the last call
/// began to consume says nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    position: Position,
    began: u64,
}

/// The bytes of one frame on the wire, with what the codec has skipped in front of it.
#[derive(Debug)]
pub(crate) struct Span {
    /// Where it begins in the stream.
    pub(crate) at: u64,
    /// How many bytes of it were consumed.
    pub(crate) len: u64,
}

impl Progress {
    /// Decodes with the inner codec; an item comes with the bytes that it was.
    #[inline]
    pub(crate) fn decode<C: Decoder>(
        &mut self,
        decode: impl FnOnce(&mut C, &mut BytesMut) -> Decoded<C>,
        codec: &mut C,
        src: &mut BytesMut,
    ) -> Result<Option<(C::Item, Span)>, C::Error> {
        let before = src.len();
        let result = decode(codec, src);
        self.position.advance(before.saturating_sub(src.len()));
        match result {
            Ok(Some(item)) => Ok(Some((item, self.end()))),
            Ok(None) => Ok(None),
            Err(error) => {
                // If the codec can go on at all, then at the next frame.
                self.end();
                Err(error)
            }
        }
    }

    /// What was consumed of the frame that is being decoded.
    #[inline]
    pub(crate) fn begun(&self) -> Span {
        Span {
            at: self.began,
            len: self.position.get() - self.began,
        }
    }

    #[inline]
    fn end(&mut self) -> Span {
        let span = self.begun();
        self.began = self.position.get();
        span
    }
}
