//! What the tests of envelopes share: headers of real protocols, and how to put an item together.

#![allow(dead_code, reason = "each test file uses its part")]

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio_util::codec::Decoder;
use wattle_codecs::{Checksum, Crc32, Envelope, EnvelopeError, Enveloped, Layout, Length};

/// Neither `Debug` nor `Clone`: the codec is both all the same.
pub(crate) struct Sha256d;

impl Checksum for Sha256d {
    type Sum = [u8; 4];

    fn of(data: &[u8]) -> [u8; 4] {
        let digest = Sha256::digest(Sha256::digest(data));
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

pub(crate) const VERACK: &[u8] = b"\xf9\xbe\xb4\xd9verack\0\0\0\0\0\0\0\0\0\0\x5d\xf6\xe0\xe2";

pub(crate) fn bitcoin() -> Envelope<12, Sha256d> {
    let layout = Layout::new()
        .magic([0xf9, 0xbe, 0xb4, 0xd9])
        .opaque(12)
        .length(Length::U32Le)
        .checksum();
    Envelope::new(layout, 4_000_000).unwrap()
}

/// CRC-32 behind the payload, of all that stands in front of it.
pub(crate) fn trailed() -> Envelope<1, Crc32> {
    let layout = Layout::new()
        .magic([0xaa])
        .opaque(1)
        .length(Length::U16)
        .trailer();
    Envelope::new(layout, 1000).unwrap()
}

pub(crate) fn plain<const N: usize>(layout: Layout, most: usize) -> Envelope<N> {
    Envelope::<N>::new(layout, most).unwrap()
}

pub(crate) fn item<const N: usize>(header: &[u8; N], payload: impl Into<Bytes>) -> Enveloped<N> {
    Enveloped {
        header: *header,
        payload: payload.into(),
    }
}

pub(crate) fn refused<const N: usize, K: Checksum>(
    codec: &Envelope<N, K>,
    wire: &[u8],
) -> EnvelopeError {
    codec.clone().decode(&mut BytesMut::from(wire)).unwrap_err()
}
