//! How large a message will be when it is encoded, as far as that can be known before.

use std::{
    any::{Any, TypeId},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};

/// How large messages are in the outbound queues; see
/// [`Builder::weigher`](crate::Builder::weigher). Every `Fn(&Out) -> usize` that gives a size in bytes
/// is one.
pub trait Weigher<Out>: Send + Sync + 'static {
    /// The size of a message in bytes, or `None` if it only shows when the message is encoded: then it
    /// is taken to be as large as those in the last batch of the connection were on average.
    fn weigh(&self, message: &Out) -> Option<usize>;
}

impl<Out, F: Fn(&Out) -> usize + Send + Sync + 'static> Weigher<Out> for F {
    fn weigh(&self, message: &Out) -> Option<usize> {
        Some(self(message))
    }
}

/// The usual [`Weigher`]: bytes and text (`Bytes`, `BytesMut`, `Vec<u8>`, `String`, `&'static str`, …)
/// are as large as they are long; how large others are only shows when they are encoded.
#[derive(Debug, Clone, Copy, Default)]
pub struct AsEncoded;

impl<Out: 'static> Weigher<Out> for AsEncoded {
    fn weigh(&self, message: &Out) -> Option<usize> {
        known(message)
    }
}

/// A weigher to be called where messages are queued; `None` if it is the usual one, which the queue
/// has built in.
pub(crate) fn own<Out, W: Weigher<Out>>(weigher: W) -> Option<Arc<dyn Weigher<Out>>> {
    if TypeId::of::<W>() == TypeId::of::<AsEncoded>() {
        return None;
    }
    Some(Arc::new(weigher))
}

/// The size in bytes of a message that is bytes or text; `None` for all other types, whose size only
/// shows when they are encoded.
pub(super) fn known<Out: 'static>(message: &Out) -> Option<usize> {
    let message: &dyn Any = message;
    // Each comparison of types is decided when this is compiled for `Out`.
    macro_rules! size_of {
        ($($bytes:ty),*) => {
            $(if let Some(bytes) = message.downcast_ref::<$bytes>() {
                return Some(bytes.len());
            })*
        };
    }
    size_of!(Bytes, BytesMut, Vec<u8>, Box<[u8]>, &'static [u8]);
    size_of!(String, Box<str>, &'static str);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_text_are_known_and_nothing_else() {
        assert_eq!(known(&Bytes::from_static(b"four")), Some(4));
        assert_eq!(known(&BytesMut::zeroed(5)), Some(5));
        assert_eq!(known(&vec![0_u8; 6]), Some(6));
        assert_eq!(known(&"seven..".to_owned()), Some(7));
        assert_eq!(known(&"eight..."), Some(8));
        assert_eq!(known(&vec![0_u16; 6]), None);
        assert_eq!(known(&9_u64), None);
    }
}
