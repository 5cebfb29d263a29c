//! Items of another type: [`MapIn`].

use std::fmt;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::encode::encode_or_nothing;

/// A codec whose decoded items go through a function, see [`map_in`](super::CodecExt::map_in).
#[derive(Clone)]
pub struct MapIn<C, F> {
    codec: C,
    f: F,
}

access_inner!(MapIn<C, F>);

impl<C, F> MapIn<C, F> {
    /// What [`map_in`](super::CodecExt::map_in) does.
    pub fn new(codec: C, f: F) -> Self {
        Self { codec, f }
    }
}

impl<C: Decoder, F, U> Decoder for MapIn<C, F>
where
    F: FnMut(C::Item) -> U,
{
    type Item = U;
    type Error = C::Error;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<U>, C::Error> {
        Ok(self.codec.decode(src)?.map(&mut self.f))
    }

    #[inline]
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<U>, C::Error> {
        Ok(self.codec.decode_eof(src)?.map(&mut self.f))
    }
}

impl<C: Encoder<T>, F, T> Encoder<T> for MapIn<C, F> {
    type Error = C::Error;

    #[inline]
    fn encode(&mut self, item: T, dst: &mut BytesMut) -> Result<(), C::Error> {
        encode_or_nothing(&mut self.codec, item, dst)
    }
}

impl<C: fmt::Debug, F> fmt::Debug for MapIn<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapIn")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
