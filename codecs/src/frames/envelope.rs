//! Frames behind a header of several fields: [`Envelope`], its [`Layout`], its items [`Enveloped`].

mod error;
mod layout;
mod plan;
mod template;

use std::{fmt, marker::PhantomData};

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use self::plan::{Header, Plan};
pub use self::{
    error::EnvelopeError,
    layout::{Layout, LayoutError},
};
use super::make_room;
use crate::{Checksum, checksum::len_of, position::Position};

/// Frames behind a header of several fields, a length and perhaps a checksum among them: what most
/// protocols over TCP speak.
///
/// Which fields, and in which order, is the [`Layout`]'s matter. Bitcoin's messages for one:
///
/// ```text
///     +----------+----------------+-------------+-------------+---------+
///     | magic    | command        | length      | checksum    | payload |
///     | 4 bytes  | 12 bytes       | u32 LE      | 4 bytes     |         |
///     +----------+----------------+-------------+-------------+---------+
///      f9beb4d9   "verack\0\0\0…"  00 00 00 00   5d f6 e0 e2   (none)
///                |<-- header ---->|                           |<length->|
/// ```
///
/// An item is an [`Enveloped`]: the payload with the `N` bytes of the header that are neither magic
/// nor length nor checksum. What they mean is the program's matter. `K` is the [`Checksum`], unless
/// there is none.
///
/// What is wrong is refused as soon as it is there: a wrong magic at its first wrong byte, a length
/// beyond the cap before the rest of the header.
///
/// # Errors
///
/// [`EnvelopeError`]. A frame whose checksum doesn't match has been consumed, so that this one is
/// [recoverable](crate::Recoverable).
///
/// # Examples
///
/// ```
/// use bytes::{Bytes, BytesMut};
/// use sha2::{Digest, Sha256};
/// use tokio_util::codec::{Decoder, Encoder};
/// use wattle_codecs::{Checksum, Envelope, Enveloped, Layout, Length};
///
/// /// The first four bytes of SHA-256 of SHA-256.
/// struct Sha256d;
///
/// impl Checksum for Sha256d {
///     type Sum = [u8; 4];
///
///     fn of(data: &[u8]) -> [u8; 4] {
///         let digest = Sha256::digest(Sha256::digest(data));
///         [digest[0], digest[1], digest[2], digest[3]]
///     }
/// }
///
/// let bitcoin = Layout::new()
///     .magic([0xf9, 0xbe, 0xb4, 0xd9])
///     .opaque(12)
///     .length(Length::U32Le)
///     .checksum();
/// let mut codec = Envelope::<12, Sha256d>::new(bitcoin, 4_000_000)?;
///
/// let verack = Enveloped { header: *b"verack\0\0\0\0\0\0", payload: Bytes::new() };
/// let mut wire = BytesMut::new();
/// codec.encode(verack.clone(), &mut wire)?;
/// assert_eq!(wire, &b"\xf9\xbe\xb4\xd9verack\0\0\0\0\0\0\0\0\0\0\x5d\xf6\xe0\xe2"[..]);
/// assert_eq!(codec.decode(&mut wire)?, Some(verack));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Envelope<const N: usize, K = NoChecksum> {
    plan: Plan,
    position: Position,
    checksum: PhantomData<fn() -> K>,
}

/// A payload and what stands in its header beside magic, length and checksum: an item of
/// [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enveloped<const N: usize> {
    /// The bytes of all opaque fields of the layout, in wire order.
    pub header: [u8; N],
    /// What the header is about.
    pub payload: Bytes,
}

/// The [`Checksum`] of an [`Envelope`] that has none.
#[derive(Debug, Clone, Copy)]
pub struct NoChecksum;

impl Checksum for NoChecksum {
    type Sum = [u8; 0];

    fn of(_: &[u8]) -> [u8; 0] {
        []
    }
}

impl<const N: usize, K: Checksum> Envelope<N, K> {
    /// Frames of at most `most` bytes of payload, laid out like this.
    ///
    /// A cap beyond what the length can say is no error: what it can say is the cap then.
    ///
    /// # Errors
    ///
    /// If the layout has not exactly one length, if its opaque fields aren't of `N` bytes in all, or
    /// if it has a checksum where `K` is none, or none where `K` is one. See [`LayoutError`].
    pub fn new(layout: Layout, most: usize) -> Result<Self, LayoutError> {
        Ok(Self {
            plan: layout.plan(N, len_of::<K>(), most)?,
            position: Position::default(),
            checksum: PhantomData,
        })
    }

    /// Compares the checksum of a frame, if there is one, with what it is the checksum of.
    fn check(&self, header: &Header<N>, frame: &[u8]) -> Result<(), EnvelopeError> {
        if len_of::<K>() == 0 {
            return Ok(());
        }
        let (data, came) = match self.plan.trailer {
            0 => (
                &frame[header.len..],
                &frame[header.checksum_at..][..len_of::<K>()],
            ),
            trailer => frame.split_at(frame.len() - trailer),
        };
        let expected = K::of(data);
        if expected.as_ref() == came {
            return Ok(());
        }
        Err(EnvelopeError::BadChecksum {
            expected: Bytes::copy_from_slice(expected.as_ref()),
            came: Bytes::copy_from_slice(came),
            at: self.position.get(),
        })
    }
}

impl<const N: usize, K: Checksum> Decoder for Envelope<N, K> {
    type Item = Enveloped<N>;
    type Error = EnvelopeError;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Enveloped<N>>, EnvelopeError> {
        let Some(header) = self.plan.header(src, self.position.get())? else {
            return Ok(None);
        };
        let trailer = self.plan.trailer;
        let len = header.payload.saturating_add(header.len + trailer);
        if src.len() < len {
            make_room(src, len);
            return Ok(None);
        }
        let checked = self.check(&header, &src[..len]);
        self.position.advance(len);
        if let Err(error) = checked {
            src.advance(len);
            return Err(error);
        }
        src.advance(header.len);
        let payload = src.split_to(header.payload).freeze();
        src.advance(trailer);
        Ok(Some(Enveloped {
            header: header.opaque,
            payload,
        }))
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Enveloped<N>>, EnvelopeError> {
        match self.decode(src)? {
            None if !src.is_empty() => Err(EnvelopeError::Truncated {
                came: src.len(),
                least: self.plan.least::<N>(src),
                at: self.position.get(),
            }),
            frame => Ok(frame),
        }
    }
}

impl<const N: usize, K: Checksum> Encoder<Enveloped<N>> for Envelope<N, K> {
    type Error = EnvelopeError;

    #[inline]
    fn encode(&mut self, item: Enveloped<N>, dst: &mut BytesMut) -> Result<(), EnvelopeError> {
        let Enveloped { header, payload } = &item;
        let announced = self.plan.announce(payload.len())?;
        let template = self.plan.template(announced);
        let start = dst.len();
        dst.reserve(template.room() + payload.len() + self.plan.trailer);
        template.append_to(dst);
        let written = &mut dst[start..];
        template.write_opaque(header, written);
        self.plan
            .length
            .overwrite(announced, &mut written[template.length..]);
        if self.plan.trailer == 0 {
            written[template.checksum..][..len_of::<K>()].copy_from_slice(K::of(payload).as_ref());
        }
        dst.extend_from_slice(payload);
        if self.plan.trailer > 0 {
            let sum = K::of(&dst[start..]);
            dst.extend_from_slice(sum.as_ref());
        }
        Ok(())
    }
}

// Derived, these would ask the same of the checksum.

impl<const N: usize, K> Clone for Envelope<N, K> {
    fn clone(&self) -> Self {
        Self {
            plan: self.plan.clone(),
            position: self.position.clone(),
            checksum: PhantomData,
        }
    }
}

impl<const N: usize, K> fmt::Debug for Envelope<N, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("plan", &self.plan)
            .field("position", &self.position)
            .finish()
    }
}
