//! LZ4 blocks with their size in front: [`Lz4`].

use lz4_flex::block;

use super::{Compression, CompressionError};

/// [LZ4], for [`compressed`](crate::CodecExt::compressed): quick, and modest in what it saves.
///
/// ```text
///     +---------------+--------------------------+
///     | expanded size | one block of LZ4         |
///     +---------------+--------------------------+
///      u32, little endian
/// ```
///
/// The block is that of the [LZ4 block format]. The format leaves it to its users how to tell the
/// size; four bytes in front are what `lz4.block.compress` of Python and
/// `compress_prepend_size` of the crate `lz4_flex` write. It is not the LZ4 *frame* format of the command `lz4`.
///
/// A byte of LZ4 expands to at most 255 bytes, so a block that says that it will become more is
/// refused before room is made for it. Compressing takes a table of 8 or 16 KiB for as long as it lasts,
/// expanding takes nothing but the payload's own memory.
///
/// [LZ4]: https://lz4.org
/// [LZ4 block format]: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
#[derive(Debug, Clone, Copy, Default)]
pub struct Lz4;

/// The bytes that tell the expanded size.
const SIZE_LEN: usize = size_of::<u32>();

/// One more byte of a length stands for up to 255 more of the payload, and nothing for more.
const MOST_PER_BYTE: u64 = 255;

impl Compression for Lz4 {
    fn compress(&mut self, payload: &[u8]) -> Result<Vec<u8>, CompressionError> {
        let size = u32::try_from(payload.len()).map_err(|_| "LZ4 takes at most 4 GiB at once")?;
        let mut compressed = vec![0; SIZE_LEN + block::get_maximum_output_size(payload.len())];
        compressed[..SIZE_LEN].copy_from_slice(&size.to_le_bytes());
        let len = block::compress_into(payload, &mut compressed[SIZE_LEN..])?;
        compressed.truncate(SIZE_LEN + len);
        Ok(compressed)
    }

    fn expanded_size(&self, compressed: &[u8]) -> Result<Option<u64>, CompressionError> {
        let size = compressed.first_chunk();
        Ok(size.map(|size| u32::from_le_bytes(*size).into()))
    }

    fn max_ratio(&self) -> u64 {
        MOST_PER_BYTE
    }

    fn expand(&mut self, compressed: &[u8], size: usize) -> Result<Vec<u8>, CompressionError> {
        let block = compressed.get(SIZE_LEN..).unwrap_or_default();
        let mut payload = vec![0; size];
        let len = block::decompress_into(block, &mut payload)?;
        payload.truncate(len);
        Ok(payload)
    }
}
