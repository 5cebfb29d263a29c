//! How a length is written: [`Length`].

use bytes::{BufMut, BytesMut};

/// How a length is written in front of a frame, or inside its header.
///
/// An unsigned integer of 1, 2, 3, 4 or 8 bytes with the most significant byte first (big endian,
/// network order), or with the least significant one first (little endian, the names with `Le`); or
/// of variable size:
///
/// `Varint` is unsigned [LEB128], the varint of [Protocol Buffers]: seven bits a byte, the least
/// significant ones first, the top bit set in all bytes but the last. At most ten bytes, and at most
/// 2⁶⁴ − 1. An encoding that is longer than it needs to be is read as Protocol Buffers do, and never
/// written.
///
/// ```text
///     300 = 0x012c    U16  01 2c    U16Le  2c 01    U24  00 01 2c    Varint  ac 02
/// ```
///
/// [LEB128]: https://dwarfstd.org/doc/DWARF5.pdf#page=179
/// [Protocol Buffers]: https://protobuf.dev/programming-guides/encoding/#varints
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the type's docs say what each is")]
pub enum Length {
    U8,
    U16,
    U16Le,
    U24,
    U24Le,
    U32,
    U32Le,
    U64,
    U64Le,
    Varint,
}

/// The most bytes that a `Varint` takes: ⌈64 / 7⌉.
const VARINT_MOST: usize = 10;

/// A `Varint` that doesn't end, or is more than 64 bits hold.
#[derive(Debug)]
pub(crate) struct Overlong;

impl Length {
    /// The size in bytes of what isn't a `Varint`.
    fn width(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::U16Le => 2,
            Self::U24 | Self::U24Le => 3,
            Self::U32 | Self::U32Le => 4,
            Self::U64 | Self::U64Le => 8,
            Self::Varint => unreachable!("a varint has no fixed width"),
        }
    }

    fn is_little_endian(self) -> bool {
        matches!(self, Self::U16Le | Self::U24Le | Self::U32Le | Self::U64Le)
    }

    /// The size in bytes of a length when written.
    pub(crate) fn size_of(self, value: u64) -> usize {
        match self {
            Self::Varint => (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize,
            fixed => fixed.width(),
        }
    }

    /// The largest length that can be written.
    pub(crate) fn most(self) -> u64 {
        match self {
            Self::Varint => u64::MAX,
            fixed => u64::MAX >> (64 - 8 * fixed.width()),
        }
    }

    /// The length that `src` begins with and the number of bytes that it takes; `None` if not all
    /// of it is there.
    pub(crate) fn read(self, src: &[u8]) -> Result<Option<(u64, usize)>, Overlong> {
        if self == Self::Varint {
            return read_varint(src);
        }
        let width = self.width();
        let Some(field) = src.get(..width) else {
            return Ok(None);
        };
        let mut bytes = [0; 8];
        let value = if self.is_little_endian() {
            bytes[..width].copy_from_slice(field);
            u64::from_le_bytes(bytes)
        } else {
            bytes[8 - width..].copy_from_slice(field);
            u64::from_be_bytes(bytes)
        };
        Ok(Some((value, width)))
    }

    /// Appends a length that is not more than [`most`](Self::most).
    pub(crate) fn write(self, value: u64, dst: &mut BytesMut) {
        debug_assert!(value <= self.most());
        if self == Self::Varint {
            write_varint(value, dst);
        } else if self.is_little_endian() {
            dst.put_uint_le(value, self.width());
        } else {
            dst.put_uint(value, self.width());
        }
    }
}

fn read_varint(src: &[u8]) -> Result<Option<(u64, usize)>, Overlong> {
    let mut value = 0;
    for (i, &byte) in src.iter().take(VARINT_MOST).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << (7 * i);
        if shifted >> (7 * i) != bits {
            return Err(Overlong);
        }
        value |= shifted;
        if byte & 0x80 == 0 {
            return Ok(Some((value, i + 1)));
        }
    }
    if src.len() >= VARINT_MOST {
        Err(Overlong)
    } else {
        Ok(None)
    }
}

fn write_varint(mut value: u64, dst: &mut BytesMut) {
    while value >= 0x80 {
        dst.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    dst.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Length; 10] = [
        Length::U8,
        Length::U16,
        Length::U16Le,
        Length::U24,
        Length::U24Le,
        Length::U32,
        Length::U32Le,
        Length::U64,
        Length::U64Le,
        Length::Varint,
    ];

    #[test]
    fn what_was_written_is_read_and_not_a_byte_less() {
        for length in ALL {
            let powers = (0..64).map(|bit| 1_u64 << bit);
            for value in powers.flat_map(|p| [p - 1, p, p + 1]).chain([u64::MAX]) {
                if value > length.most() {
                    continue;
                }
                let mut written = BytesMut::new();
                length.write(value, &mut written);
                assert_eq!(written.len(), length.size_of(value), "{length:?} {value}");
                for end in 0..written.len() {
                    assert!(
                        matches!(length.read(&written[..end]), Ok(None)),
                        "{length:?} {value}"
                    );
                }
                let size = written.len();
                written.put_u8(0xff);
                let read = length.read(&written).ok().flatten();
                assert_eq!(read, Some((value, size)), "{length:?} {value}");
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_docs() {
        let written = |length: Length| {
            let mut dst = BytesMut::new();
            length.write(300, &mut dst);
            dst.to_vec()
        };
        assert_eq!(written(Length::U16), [0x01, 0x2c]);
        assert_eq!(written(Length::U16Le), [0x2c, 0x01]);
        assert_eq!(written(Length::U24), [0x00, 0x01, 0x2c]);
        assert_eq!(written(Length::U24Le), [0x2c, 0x01, 0x00]);
        assert_eq!(written(Length::U32Le), [0x2c, 0x01, 0x00, 0x00]);
        assert_eq!(written(Length::Varint), [0xac, 0x02]);
    }

    #[test]
    fn a_varint_may_be_padded_but_neither_endless_nor_too_large() {
        let read = |src: &[u8]| Length::Varint.read(src);
        assert_eq!(read(&[0x81, 0x80, 0x00]).ok().flatten(), Some((1, 3)));
        assert!(matches!(read(&[0x80; 9]), Ok(None)));
        assert!(read(&[0x80; 10]).is_err());
        let mut beyond = [0xff; 10];
        beyond[9] = 0x02;
        assert!(read(&beyond).is_err());
        beyond[9] = 0x01;
        assert_eq!(read(&beyond).ok().flatten(), Some((u64::MAX, 10)));
    }
}
