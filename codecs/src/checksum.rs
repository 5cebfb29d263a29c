//! Checksums that frames carry: [`Checksum`], [`Crc32`].

use std::fmt::Debug;
#[cfg(feature = "crc32")]
use std::sync::LazyLock;

/// A checksum of a fixed size, for [`checked`](crate::CodecExt::checked) and
/// [`Envelope`](crate::Envelope).
///
/// # Examples
///
/// The first four bytes of SHA-256 of SHA-256, as Bitcoin's messages carry them, with the crate
/// `sha2`:
///
/// ```
/// use sha2::{Digest, Sha256};
/// use wattle_codecs::Checksum;
///
/// #[derive(Debug, Clone)]
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
/// assert_eq!(Sha256d::of(b""), [0x5d, 0xf6, 0xe0, 0xe2]);
/// ```
pub trait Checksum {
    /// The checksum as it stands on the wire: an array of bytes, whose size is the checksum's.
    type Sum: ByteArray;

    /// The checksum of these bytes.
    fn of(data: &[u8]) -> Self::Sum;
}

/// An array of bytes, `[u8; N]`, and nothing else: what it takes on the wire is known from its type,
/// so that a frame which is written is read as well.
///
/// ```compile_fail,E0277
/// struct Name;
///
/// impl wattle_codecs::Checksum for Name {
///     type Sum = &'static str; // Of which size?
///
///     fn of(_: &[u8]) -> &'static str {
///         "name"
///     }
/// }
/// ```
pub trait ByteArray: AsRef<[u8]> + Copy + Debug + PartialEq + sealed::Sealed {
    /// How many bytes these are.
    const LEN: usize;
}

impl<const N: usize> ByteArray for [u8; N] {
    const LEN: usize = N;
}

mod sealed {
    #[expect(unnameable_types, reason = "so that no other type is a `ByteArray`")]
    pub trait Sealed {}

    impl<const N: usize> Sealed for [u8; N] {}
}

/// The size in bytes of a checksum on the wire.
#[inline]
pub(crate) const fn len_of<K: Checksum>() -> usize {
    K::Sum::LEN
}

/// CRC-32 with the polynomial of IEEE 802.3, as in Ethernet, zip and PNG, most significant byte
/// first on the wire (as in PNG).
#[cfg(feature = "crc32")]
#[derive(Debug, Clone, Copy)]
pub struct Crc32;

#[cfg(feature = "crc32")]
impl Checksum for Crc32 {
    type Sum = [u8; 4];

    #[inline]
    fn of(data: &[u8]) -> [u8; 4] {
        let mut hasher = HASHER.clone();
        hasher.update(data);
        hasher.finalize().to_be_bytes()
    }
}

/// Which instructions the processor has for it is found out once, not for each frame.
#[cfg(feature = "crc32")]
static HASHER: LazyLock<crc32fast::Hasher> = LazyLock::new(crc32fast::Hasher::new);

#[cfg(all(test, feature = "crc32"))]
mod tests {
    use super::{Checksum, Crc32, len_of};

    #[test]
    fn crc32_of_the_check_string() {
        assert_eq!(Crc32::of(b"123456789"), 0xcbf4_3926_u32.to_be_bytes());
        assert_eq!(len_of::<Crc32>(), 4);
    }
}
