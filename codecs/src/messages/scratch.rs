//! What a message is written into before the frame codec gets it: [`serialize`].

use std::cell::Cell;

use bytes::Bytes;

use super::WriteMessage;

/// The largest scratch buffer that a thread keeps. Most messages are far smaller; to copy a larger one
/// would cost more than the allocations that it saves.
const KEPT: usize = 16 * 1024;

thread_local! {
    /// One for the thread instead of one for the connection, so that an idle connection holds none.
    static SCRATCH: Cell<Vec<u8>> = Cell::default();
}

/// The bytes of a message.
///
/// One whose size is known is written into a block of its own. For any other the scratch buffer is taken
/// for as long as it is written to, so that a message which is written in the course of writing another one
/// just gets a buffer of its own. A block of just the right size, which the payload is copied to, is
/// allocated faster than one that grows with it.
pub(super) fn serialize<M, T>(format: &M, message: &T) -> Result<Bytes, M::Error>
where
    M: WriteMessage<T>,
{
    if let Some(size) = format.size(message) {
        let mut payload = Vec::with_capacity(size);
        return format.write(message, &mut payload).map(|()| payload.into());
    }
    let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
    let written = format.write(message, &mut scratch);
    if scratch.capacity() > KEPT {
        return written.map(|()| scratch.into());
    }
    let payload = written.map(|()| Bytes::copy_from_slice(&scratch));
    scratch.clear();
    // Fails while the thread's own data are being dropped; then there is nothing to keep it for.
    let _ = SCRATCH.try_with(|kept| kept.set(scratch));
    payload
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
        fn write(&self, len: &usize, to: &mut Vec<u8>) -> Result<(), Infallible> {
            to.resize(to.len() + len, 0);
            Ok(())
        }
    }

    fn kept_after(len: usize) -> (usize, usize) {
        assert_eq!(serialize(&Zeros, &len).unwrap().len(), len);
        let scratch = SCRATCH.take();
        (scratch.len(), scratch.capacity())
    }

    #[test]
    fn a_small_block_is_kept_and_a_large_one_is_given_away() {
        let (kept, block) = kept_after(1000);
        assert_eq!(kept, 0);
        assert!((1000..KEPT).contains(&block), "{block}");
        assert_eq!(kept_after(KEPT + 1), (0, 0));
    }
}
