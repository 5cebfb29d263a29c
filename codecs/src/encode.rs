//! What an encoder that fails has written until then is taken back: [`encode_or_nothing`].

use bytes::BytesMut;
use tokio_util::codec::Encoder;

/// Encodes with an inner codec, which may be one that fails half-way.
#[inline]
pub(crate) fn encode_or_nothing<C: Encoder<T>, T>(
    codec: &mut C,
    item: T,
    dst: &mut BytesMut,
) -> Result<(), C::Error> {
    let before = dst.len();
    codec
        .encode(item, dst)
        .inspect_err(|_| dst.truncate(before))
}
