//! Watching what passes: [`Tapped`].

use std::{error::Error, fmt, marker::PhantomData};

use bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::encode::encode_or_nothing;
use crate::progress::Decoded;

/// The most that is held of what a codec has consumed without yielding an item yet. Codecs that consume
/// more are throwing it away, or hold it themselves; the tap gets it in pieces then.
const MOST_HELD: usize = 64 * 1024;

/// A codec that shows all that passes to a function, see [`tapped`](super::CodecExt::tapped).
pub struct Tapped<C, F, Out> {
    codec: C,
    tap: F,
    mirror: Mirror,
    out: PhantomData<fn(Out)>,
}

/// What a [tap](super::CodecExt::tapped) is shown. `In` is the type of the codec's items,
/// `Out` of what it encodes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Passed<'a, In, Out> {
    /// The codec yields an item.
    Decoded {
        /// The bytes that were consumed for it, with all that the codec skipped in front of it.
        wire: &'a [u8],
        /// The item.
        message: &'a In,
    },
    /// The codec has consumed more than 64 KiB without an item or an error: it skips bytes, or
    /// gathers a large item.
    Consumed {
        /// Those bytes. They are not shown again with the item.
        wire: &'a [u8],
    },
    /// The codec errs on what came.
    DecodeFailed {
        /// The bytes that were consumed since the last item or error: the bad frame, if the codec
        /// consumes it.
        wire: &'a [u8],
        /// What lies behind those in the buffer: the bad frame, if the codec leaves it there, and
        /// whatever followed it.
        rest: &'a [u8],
        /// What the codec says.
        error: &'a (dyn Error + 'static),
    },
    /// The codec is about to encode an item, and takes it. What comes of it is shown next.
    Encoding {
        /// The item.
        message: &'a Out,
    },
    /// The codec has encoded the item that was shown before.
    Encoded {
        /// The bytes that it has become.
        wire: &'a [u8],
    },
    /// The codec refuses to encode the item that was shown before.
    EncodeFailed {
        /// What the codec says.
        error: &'a (dyn Error + 'static),
    },
}

access_inner!(Tapped<C, F, Out>);

impl<C, F, Out> Tapped<C, F, Out> {
    /// What [`tapped`](super::CodecExt::tapped) does.
    pub fn new(codec: C, tap: F) -> Self {
        Self {
            codec,
            tap,
            mirror: Mirror::default(),
            out: PhantomData,
        }
    }
}

impl<C, F, Out> Tapped<C, F, Out>
where
    C: Decoder<Error: Error + 'static>,
    F: FnMut(Passed<'_, C::Item, Out>),
{
    #[inline]
    fn step(
        &mut self,
        decode: impl FnOnce(&mut C, &mut BytesMut) -> Decoded<C>,
        src: &mut BytesMut,
    ) -> Result<Option<C::Item>, C::Error> {
        self.mirror.follow(src);
        let before = src.len();
        let result = decode(&mut self.codec, src);
        self.mirror.consume(before.saturating_sub(src.len()));
        let (wire, rest) = self.mirror.split();
        match &result {
            Ok(Some(message)) => (self.tap)(Passed::Decoded { wire, message }),
            Ok(None) if wire.len() > MOST_HELD => (self.tap)(Passed::Consumed { wire }),
            Ok(None) => return result,
            Err(error) => (self.tap)(Passed::DecodeFailed { wire, rest, error }),
        }
        self.mirror.forget();
        result
    }
}

impl<C, F, Out> Decoder for Tapped<C, F, Out>
where
    C: Decoder<Error: Error + 'static>,
    F: FnMut(Passed<'_, C::Item, Out>),
{
    type Item = C::Item;
    type Error = C::Error;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<C::Item>, C::Error> {
        self.step(C::decode, src)
    }

    #[inline]
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<C::Item>, C::Error> {
        self.step(C::decode_eof, src)
    }
}

impl<C, F, Out> Encoder<Out> for Tapped<C, F, Out>
where
    C: Decoder + Encoder<Out, Error: Error + 'static>,
    F: FnMut(Passed<'_, C::Item, Out>),
{
    type Error = <C as Encoder<Out>>::Error;

    #[inline]
    fn encode(&mut self, item: Out, dst: &mut BytesMut) -> Result<(), Self::Error> {
        (self.tap)(Passed::Encoding { message: &item });
        let before = dst.len();
        let result = encode_or_nothing(&mut self.codec, item, dst);
        (self.tap)(match &result {
            Ok(()) => Passed::Encoded {
                wire: dst.get(before..).unwrap_or_default(),
            },
            Err(error) => Passed::EncodeFailed { error },
        });
        result
    }
}

impl<C: Clone, F: Clone, Out> Clone for Tapped<C, F, Out> {
    fn clone(&self) -> Self {
        Self {
            codec: self.codec.clone(),
            tap: self.tap.clone(),
            mirror: self.mirror.clone(),
            out: PhantomData,
        }
    }
}

impl<C: fmt::Debug, F, Out> fmt::Debug for Tapped<C, F, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tapped")
            .field("codec", &self.codec)
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}

/// A copy of the bytes that a codec consumes, as they are gone when the item is there.
///
/// ```text
///     copy:  [ consumed since the last item | in the buffer when last seen ]
///                                           [ in the buffer now                 | new ]
/// ```
///
/// Between two calls a buffer is only ever appended to (or replaced by one with the same content),
/// so each byte is copied once, however often the codec is asked.
#[derive(Debug, Clone, Default)]
struct Mirror {
    copy: BytesMut,
    consumed: usize,
}

impl Mirror {
    /// Copies what is new in the buffer.
    fn follow(&mut self, src: &BytesMut) {
        let known = self.copy.len() - self.consumed;
        match src.get(known..) {
            Some(new) => self.copy.extend_from_slice(new),
            None => self.copy.truncate(self.consumed + src.len()),
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.consumed += bytes;
    }

    /// What was consumed since the last item, and what is left.
    fn split(&self) -> (&[u8], &[u8]) {
        self.copy.split_at(self.consumed)
    }

    /// Begins with the next item. What is empty holds no memory: connections are mostly idle.
    fn forget(&mut self) {
        self.copy.advance(self.consumed);
        self.consumed = 0;
        if self.copy.is_empty() {
            self.copy = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_copied_again_and_what_is_empty_holds_no_memory() {
        let mut mirror = Mirror::default();
        let mut src = BytesMut::from("peapod");
        mirror.follow(&src);
        src.advance(3);
        mirror.consume(3);
        assert_eq!(mirror.split(), (&b"pea"[..], &b"pod"[..]));
        mirror.forget();
        assert_eq!(mirror.copy, "pod");
        mirror.follow(&src);
        assert_eq!(mirror.copy, "pod");
        mirror.consume(3);
        mirror.forget();
        assert_eq!(mirror.copy.capacity(), 0);
    }
}
