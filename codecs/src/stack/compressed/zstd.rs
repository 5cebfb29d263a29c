//! Zstandard frames that say their size: [`Zstd`].

use std::cell::Cell;

use zstd::zstd_safe::{self, CCtx, DCtx, zstd_sys::ZSTD_MAGICNUMBER};

use super::{Compression, CompressionError};

/// [Zstandard], for [`compressed`](crate::CodecExt::compressed): saves more than LZ4, and takes
/// several times as long to compress and to expand.
///
/// Each payload is exactly one frame of [RFC 8878] (section 3.1.1), as the command `zstd` writes it
/// for a file, and it must say its *Frame_Content_Size*. What the RFC also allows and what has no
/// place in a message is refused: several frames after one another, skippable frames, frames that
/// need a dictionary.
///
/// # Memory
///
/// A payload is expanded in one go into its final place, which is its window as well: the window
/// size in its header costs nothing, however large it is.
///
/// What zstd needs to work with (100 KiB to expand, at most 1.3 MiB to compress with the default
/// level) belongs to the thread, not to the codec: there is one of each per thread that ever
/// compresses or expands, and an idle connection holds none. What grows beyond 2 MiB, as it does
/// from level 5 on with payloads of a mebibyte, is freed at once.
///
/// [Zstandard]: https://facebook.github.io/zstd/
/// [RFC 8878]: https://www.rfc-editor.org/rfc/rfc8878
#[derive(Debug, Clone, Copy, Default)]
pub struct Zstd {
    /// 0 is zstd's default.
    level: i32,
}

impl Zstd {
    /// With a level of compression, where `Zstd::default()` takes zstd's default: 3, at present.
    ///
    /// Higher ones compress more and are slower, negative ones are quicker; 1 to 9 make sense for
    /// messages. What is beyond zstd's range (up to 22) is as if it were the end of the range. The levels
    /// of the two sides may differ.
    pub fn level(level: i32) -> Self {
        Self { level }
    }
}

/// What begins a frame; the other kinds (skippable, and of versions before 0.8) have another one.
const MAGIC: [u8; 4] = ZSTD_MAGICNUMBER.to_le_bytes();

/// A block of up to 128 KiB takes at least four bytes: three of a header, and the one to repeat.
const MOST_PER_BYTE: u64 = 128 * 1024 / 4;

/// The largest context that a thread keeps: more than the default level takes for any payload.
const MOST_KEPT: usize = 2 * 1024 * 1024;

thread_local! {
    // Taken while in use, put back afterwards: nothing is borrowed, so nothing can be borrowed twice.
    static COMPRESS: Cell<Option<CCtx<'static>>> = const { Cell::new(None) };
    static EXPAND: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

impl Compression for Zstd {
    fn compress(&mut self, payload: &[u8]) -> Result<Vec<u8>, CompressionError> {
        // The thread's own may be gone while the thread ends.
        let kept = COMPRESS.try_with(Cell::take).ok().flatten();
        let mut context = kept.or_else(CCtx::try_create).ok_or(NO_MEMORY)?;
        let mut compressed = Vec::with_capacity(zstd_safe::compress_bound(payload.len()));
        let result = context.compress(&mut compressed, payload, self.level);
        if context.sizeof() <= MOST_KEPT {
            let _ = COMPRESS.try_with(|kept| kept.set(Some(context)));
        }
        result.map_err(told)?;
        Ok(compressed)
    }

    fn expanded_size(&self, compressed: &[u8]) -> Result<Option<u64>, CompressionError> {
        if !compressed.starts_with(&MAGIC) {
            return Err("no zstd frame begins there".into());
        }
        let frame = zstd_safe::find_frame_compressed_size(compressed).map_err(told)?;
        if frame != compressed.len() {
            let behind = compressed.len() - frame;
            return Err(format!("there are {behind} bytes behind the zstd frame").into());
        }
        let size = zstd_safe::get_frame_content_size(compressed);
        size.map_err(|_| "the header of the zstd frame is invalid".into())
    }

    fn max_ratio(&self) -> u64 {
        MOST_PER_BYTE
    }

    fn expand(&mut self, compressed: &[u8], size: usize) -> Result<Vec<u8>, CompressionError> {
        let kept = EXPAND.try_with(Cell::take).ok().flatten();
        let mut context = kept.or_else(DCtx::try_create).ok_or(NO_MEMORY)?;
        // It is filled up to its capacity at most.
        let mut payload = Vec::with_capacity(size);
        let result = context.decompress(&mut payload, compressed);
        let _ = EXPAND.try_with(|kept| kept.set(Some(context)));
        result.map_err(told)?;
        Ok(payload)
    }
}

const NO_MEMORY: &str = "no memory to work with for zstd";

/// What zstd says about an error.
fn told(code: usize) -> CompressionError {
    zstd_safe::get_error_name(code).into()
}
