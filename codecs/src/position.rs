//! Where in the stream a decoder stands, so that an error can say at which byte.

use bytes::BytesMut;
use tokio_util::codec::Decoder;

/// Bytes of the stream that a decoder has consumed, from where it began to decode.
#[derive(Debug, Clone, Default)]
pub(crate) struct Position(u64);

impl Position {
    pub(crate) fn get(&self) -> u64 {
        self.0
    }

    pub(crate) fn advance(&mut self, bytes: usize) {
        self.0 += bytes as u64;
    }

    /// Decodes with an inner codec, and counts what that consumes.
    pub(crate) fn decode<C: Decoder>(
        &mut self,
        codec: &mut C,
        src: &mut BytesMut,
    ) -> Result<Option<C::Item>, C::Error> {
        self.counted(src, |src| codec.decode(src))
    }

    /// The same at the end of the stream.
    pub(crate) fn decode_eof<C: Decoder>(
        &mut self,
        codec: &mut C,
        src: &mut BytesMut,
    ) -> Result<Option<C::Item>, C::Error> {
        self.counted(src, |src| codec.decode_eof(src))
    }

    fn counted<T>(&mut self, src: &mut BytesMut, decode: impl FnOnce(&mut BytesMut) -> T) -> T {
        let before = src.len();
        let result = decode(src);
        // A codec that unpacks in place may put bytes into the buffer.
        self.advance(before.saturating_sub(src.len()));
        result
    }
}
