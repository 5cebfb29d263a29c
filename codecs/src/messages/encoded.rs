//! A message that is serialized once and sent to many: [`Encoded`].

use std::{fmt, marker::PhantomData};

use bytes::Bytes;

use super::{WriteMessage, format::serialize};

/// A message of type `T`, serialized in the format `M`: what [`Serde`](crate::Serde) sends without
/// serializing it again.
///
/// Every `Serde<F, M, In, T>` accepts it beside `T` itself. It holds the payload, not the frame, so
/// that it fits any frame codec; and a clone of it is one more handle to the same bytes.
///
/// In wattle a node sends messages of one type. A node whose type is `Encoded<Message, Json>`
/// serializes a message once, however many peers it is broadcast to:
///
/// ```text
///     Node<Message>                     broadcast(message)   →  cloned and serialized for each peer
///     Node<Encoded<Message, Json>>      broadcast(encoded)   →  serialized before; a handle for each peer
/// ```
///
/// Whatever such a node sends is encoded, the answer to a single peer too. Layers between the format and the
/// wire, a checksum or a compression, still work for each peer. And as a message beyond the codec's cap ends the
/// connection that should send it, [`len`](Self::len) is what to look at before it is broadcast.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "json")] {
/// use bytes::BytesMut;
/// use tokio_util::codec::Encoder;
/// use wattle_codecs::{Encoded, Json};
///
/// let news = Encoded::new(&Json, &vec![1, 2, 3])?;
/// assert_eq!(&news.as_bytes()[..], b"[1,2,3]");
///
/// for _ in 0..2 {
///     let mut wire = BytesMut::new();
///     Json::framed::<Vec<u8>>(64).encode(news.clone(), &mut wire)?;
///     assert_eq!(&wire[..], b"\0\0\0\x07[1,2,3]");
/// }
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Encoded<T, M> {
    payload: Bytes,
    // Neither a `T` nor an `M` is in here, so nothing is asked of them.
    message: PhantomData<fn(T, M)>,
}

impl<T, M> Encoded<T, M> {
    /// Serializes the message.
    ///
    /// # Errors
    ///
    /// Those of the format, if the message can't be written in it.
    pub fn new(format: &M, message: &T) -> Result<Self, M::Error>
    where
        M: WriteMessage<T>,
    {
        Ok(Self {
            payload: serialize(format, message)?,
            message: PhantomData,
        })
    }

    /// The payload: the message without anything that frames add to it.
    pub fn as_bytes(&self) -> &Bytes {
        &self.payload
    }

    /// The payload.
    pub fn into_bytes(self) -> Bytes {
        self.payload
    }

    /// The payload's size in bytes.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Whether the payload has no bytes, as that of `()` in Postcard.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }
}

impl<T, M> Clone for Encoded<T, M> {
    fn clone(&self) -> Self {
        Self {
            payload: self.payload.clone(),
            message: PhantomData,
        }
    }
}

impl<T, M> PartialEq for Encoded<T, M> {
    fn eq(&self, other: &Self) -> bool {
        self.payload == other.payload
    }
}

impl<T, M> Eq for Encoded<T, M> {}

impl<T, M> fmt::Debug for Encoded<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encoded").field(&self.payload).finish()
    }
}
