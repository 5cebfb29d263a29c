//! Where a message is written before the frame codec gets it: [`serialize`].

use std::cell::Cell;

use bytes::{Bytes, BytesMut};

use super::WriteMessage;

/// The largest scratch buffer that a thread keeps. Most messages are far smaller; a larger one
/// costs an allocation, which is little beside the writing of it.
const KEPT: usize = 64 * 1024;

thread_local! {
    /// One for the thread instead of one for the connection, so that an idle connection holds none.
    static SCRATCH: Cell<BytesMut> = Cell::default();
}

/// The bytes of a message, in a block that is used again as soon as they are dropped.
///
/// The buffer is taken for as long as it is written to, so that a message which is written in the
/// course of writing another one just gets a buffer of its own.
pub(super) fn serialize<M, T>(format: &M, message: &T) -> Result<Bytes, M::Error>
where
    M: WriteMessage<T>,
{
    let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
    let written = format.write(message, &mut scratch);
    let block = scratch.capacity();
    let payload = scratch.split().freeze();
    if block <= KEPT {
        // Fails while the thread's own data are being dropped; then there is nothing to keep it
        // for.
        let _ = SCRATCH.try_with(|kept| kept.set(scratch));
    }
    written.map(|()| payload)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::Format;

    struct Zeros;

    impl Format for Zeros {
        type Error = Infallible;
    }

    impl WriteMessage<usize> for Zeros {
        fn write(&self, len: &usize, to: &mut BytesMut) -> Result<(), Infallible> {
            to.resize(to.len() + len, 0);
            Ok(())
        }
    }

    fn kept_after(len: usize) -> (usize, usize) {
        assert_eq!(serialize(&Zeros, &len).unwrap().len(), len);
        let mut scratch = SCRATCH.take();
        let kept = scratch.len();
        // All of the block is free again.
        scratch.reserve(1);
        (kept, scratch.capacity())
    }

    #[test]
    fn a_small_block_is_kept_and_a_large_one_is_given_back() {
        let (kept, block) = kept_after(1000);
        assert_eq!(kept, 0);
        assert!((1000..KEPT).contains(&block), "{block}");
        let (kept, block) = kept_after(KEPT + 1);
        assert_eq!(kept, 0);
        assert!(block < 1000, "{block}");
    }
}
