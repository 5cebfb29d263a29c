//! How a length is written: [`Length`].

use bytes::BufMut;

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
    /// All of them, for tests that go through them.
    pub const ALL: [Self; 10] = [
        Self::U8,
        Self::U16,
        Self::U16Le,
        Self::U24,
        Self::U24Le,
        Self::U32,
        Self::U32Le,
        Self::U64,
        Self::U64Le,
        Self::Varint,
    ];

    /// The size in bytes of a length when written.
    #[inline]
    pub(crate) fn size_of(self, value: u64) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::U16Le => 2,
            Self::U24 | Self::U24Le => 3,
            Self::U32 | Self::U32Le => 4,
            Self::U64 | Self::U64Le => 8,
            Self::Varint => (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize,
        }
    }

    /// The largest length that can be written.
    #[inline]
    pub(crate) fn most(self) -> u64 {
        match self {
            Self::U8 => 0xff,
            Self::U16 | Self::U16Le => 0xffff,
            Self::U24 | Self::U24Le => 0xff_ffff,
            Self::U32 | Self::U32Le => 0xffff_ffff,
            Self::U64 | Self::U64Le | Self::Varint => u64::MAX,
        }
    }

    /// What to announce for `rest` bytes if the length counts its own bytes too. (A varint may be a
    /// byte longer for it.)
    #[inline]
    pub(crate) fn inclusive(self, rest: u64) -> u64 {
        let guess = rest + self.size_of(rest) as u64;
        rest + self.size_of(guess) as u64
    }

    /// The length that `src` begins with and the number of bytes that it takes; `None` if not all
    /// of it is there.
    #[inline]
    pub(crate) fn read(self, src: &[u8]) -> Result<Option<(u64, usize)>, Overlong> {
        Ok(match self {
            Self::U8 => read_fixed(src, |[byte]| byte.into()),
            Self::U16 => read_fixed(src, |bytes| u16::from_be_bytes(bytes).into()),
            Self::U16Le => read_fixed(src, |bytes| u16::from_le_bytes(bytes).into()),
            Self::U24 => read_fixed(src, |[a, b, c]| u32::from_be_bytes([0, a, b, c]).into()),
            Self::U24Le => read_fixed(src, |[a, b, c]| u32::from_le_bytes([a, b, c, 0]).into()),
            Self::U32 => read_fixed(src, |bytes| u32::from_be_bytes(bytes).into()),
            Self::U32Le => read_fixed(src, |bytes| u32::from_le_bytes(bytes).into()),
            Self::U64 => read_fixed(src, u64::from_be_bytes),
            Self::U64Le => read_fixed(src, u64::from_le_bytes),
            Self::Varint => return read_varint(src),
        })
    }

    /// The least bytes that a length takes which `src` is the beginning of.
    pub(crate) fn least(self, src: &[u8]) -> usize {
        match self {
            Self::Varint => src.len() + 1,
            fixed => fixed.size_of(0),
        }
    }

    /// Writes a length that is not more than [`most`](Self::most), for which there must be room.
    #[inline]
    pub(crate) fn write(self, value: u64, dst: &mut impl BufMut) {
        debug_assert!(value <= self.most());
        match self {
            Self::U8 => dst.put_u8(value as u8),
            Self::U16 => dst.put_u16(value as u16),
            Self::U16Le => dst.put_u16_le(value as u16),
            Self::U24 => dst.put_uint(value, 3),
            Self::U24Le => dst.put_uint_le(value, 3),
            Self::U32 => dst.put_u32(value as u32),
            Self::U32Le => dst.put_u32_le(value as u32),
            Self::U64 => dst.put_u64(value),
            Self::U64Le => dst.put_u64_le(value),
            Self::Varint => write_varint(value, dst),
        }
    }

    /// The same over the first bytes of `dst`. Most lengths are of four bytes, and written without a jump.
    #[inline]
    pub(crate) fn overwrite(self, value: u64, dst: &mut [u8]) {
        match self {
            Self::U32 => dst[..4].copy_from_slice(&(value as u32).to_be_bytes()),
            Self::U32Le => dst[..4].copy_from_slice(&(value as u32).to_le_bytes()),
            _ => self.overwrite_other(value, dst),
        }
    }

    #[inline(never)]
    fn overwrite_other(self, value: u64, mut dst: &mut [u8]) {
        self.write(value, &mut dst);
    }
}

#[inline]
fn read_fixed<const WIDTH: usize>(
    src: &[u8],
    value: impl FnOnce([u8; WIDTH]) -> u64,
) -> Option<(u64, usize)> {
    src.first_chunk().map(|&bytes| (value(bytes), WIDTH))
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

/// Not inlined, so that a length of fixed size, which most are, is written without its loop in the way.
#[inline(never)]
fn write_varint(mut value: u64, dst: &mut impl BufMut) {
    while value >= 0x80 {
        dst.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    dst.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_not_a_byte_less() {
        for length in Length::ALL {
            let powers = (0..64).map(|bit| 1_u64 << bit);
            for value in powers.flat_map(|p| [p - 1, p, p + 1]).chain([u64::MAX]) {
                if value > length.most() {
                    continue;
                }
                let mut written = BytesMut::new();
                length.write(value, &mut written);
                assert_eq!(written.len(), length.size_of(value), "{length:?} {value}");
                let mut over = [0xee; VARINT_MOST + 1];
                length.overwrite(value, &mut over);
                let (front, behind) = over.split_at(written.len());
                assert_eq!(front, written, "{length:?} {value}");
                assert!(behind.iter().all(|&byte| byte == 0xee), "{length:?}");
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
        assert_eq!(written(Length::U32), [0x00, 0x00, 0x01, 0x2c]);
        assert_eq!(written(Length::U32Le), [0x2c, 0x01, 0x00, 0x00]);
        assert_eq!(written(Length::U64), [0, 0, 0, 0, 0, 0, 0x01, 0x2c]);
        assert_eq!(written(Length::U64Le), [0x2c, 0x01, 0, 0, 0, 0, 0, 0]);
        assert_eq!(written(Length::Varint), [0xac, 0x02]);
    }

    #[test]
    fn a_length_that_counts_itself_is_as_much_as_it_says() {
        for length in Length::ALL {
            let edges = [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152];
            for rest in edges
                .iter()
                .flat_map(|&edge: &u64| edge.saturating_sub(5)..edge + 5)
            {
                let announced = length.inclusive(rest);
                assert_eq!(
                    announced,
                    rest + length.size_of(announced) as u64,
                    "{length:?} {rest}"
                );
            }
        }
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
