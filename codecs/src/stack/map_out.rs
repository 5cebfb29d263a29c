//! Items of another type to send: [`MapOut`].

use std::fmt;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::encode::encode_or_nothing;

/// A codec that encodes what a function makes of the items to send, see
/// [`map_out`](super::CodecExt::map_out).
#[derive(Clone)]
pub struct MapOut<C, F> {
    codec: C,
    f: F,
}

access_inner!(MapOut<C, F>);

impl<C, F> MapOut<C, F> {
    /// What [`map_out`](super::CodecExt::map_out) does, for an encoder that isn't a decoder too.
    pub fn new(codec: C, f: F) -> Self {
        Self { codec, f }
    }
}

impl<C: Decoder, F> Decoder for MapOut<C, F> {
    type Item = C::Item;
    type Error = C::Error;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<C::Item>, C::Error> {
        self.codec.decode(src)
    }

    #[inline]
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<C::Item>, C::Error> {
        self.codec.decode_eof(src)
    }
}

impl<C, F, U, T> Encoder<U> for MapOut<C, F>
where
    F: FnMut(U) -> T,
    C: Encoder<T>,
{
    type Error = C::Error;

    #[inline]
    fn encode(&mut self, item: U, dst: &mut BytesMut) -> Result<(), C::Error> {
        encode_or_nothing(&mut self.codec, (self.f)(item), dst)
    }
}

impl<C: fmt::Debug, F> fmt::Debug for MapOut<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapOut")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
