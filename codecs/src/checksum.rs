//! Checksums that frames carry: [`Checksum`], [`Crc32`].

use std::fmt::Debug;

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
    /// The checksum as it stands on the wire: an array of bytes.
    type Sum: AsRef<[u8]> + Copy + Debug + PartialEq;

    /// The checksum's size on the wire in bytes: that of `Sum`, unless `Sum` isn't an array.
    const LEN: usize = size_of::<Self::Sum>();

    /// The checksum of these bytes.
    fn of(data: &[u8]) -> Self::Sum;
}

/// CRC-32 with the polynomial of IEEE 802.3, as in Ethernet, zip and PNG, most significant byte
/// first on the wire (as in PNG).
#[cfg(feature = "crc32")]
#[derive(Debug, Clone, Copy)]
pub struct Crc32;

#[cfg(feature = "crc32")]
impl Checksum for Crc32 {
    type Sum = [u8; 4];

    fn of(data: &[u8]) -> [u8; 4] {
        crc32fast::hash(data).to_be_bytes()
    }
}

#[cfg(all(test, feature = "crc32"))]
mod tests {
    use super::{Checksum, Crc32};

    #[test]
    fn crc32_of_the_check_string() {
        assert_eq!(Crc32::of(b"123456789"), 0xcbf4_3926_u32.to_be_bytes());
        assert_eq!(Crc32::LEN, 4);
    }
}
