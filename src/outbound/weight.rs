//! How large a message will be when it is encoded, as far as that can be known before.

use std::any::Any;

use bytes::{Bytes, BytesMut};

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
