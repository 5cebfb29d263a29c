//! Buffers are lent to a connection while it works, and taken back when it is idle.
//!
//! A `Framed` keeps its buffers for ever, however idle it is. Here each worker thread keeps one of
//! each kind to lend, so that an idle connection costs none, and a busy one no allocation.

use std::cell::Cell;

use bytes::BytesMut;

/// What is read at once when the codec hasn't asked for more. Large enough that small messages share
/// a system call, small enough that a large frame is seldom copied when its block ends: the codec
/// reserves the room for the rest of such a frame itself.
const READ_BLOCK: usize = 16 * 1024;

/// Below this much room a read isn't worth its system call, and gets a new block.
const READ_LEAST: usize = 2 * 1024;

/// What a write buffer begins with; it grows to the write boundary and is lent again at that size.
const WRITE_BLOCK: usize = 8 * 1024;

/// A buffer that has grown beyond this isn't kept.
const KEEP_MOST: usize = 256 * 1024;

type Spare = std::thread::LocalKey<Cell<Option<BytesMut>>>;

thread_local! {
    static READ: Cell<Option<BytesMut>> = const { Cell::new(None) };
    static WRITE: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// Makes sure that there is room to read into. A buffer with bytes in it is its codec's to grow.
pub(super) fn lend_read(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() < READ_LEAST && !buffer.try_reclaim(READ_BLOCK) {
        *buffer = lend(&READ, READ_BLOCK);
    }
}

/// Takes an empty read buffer back.
pub(super) fn return_read(buffer: &mut BytesMut) {
    take_back(&READ, READ_BLOCK, buffer);
}

/// Makes sure that there is room to encode into.
pub(super) fn lend_write(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        *buffer = lend(&WRITE, WRITE_BLOCK);
    }
}

/// Takes an empty write buffer back.
pub(super) fn return_write(buffer: &mut BytesMut) {
    take_back(&WRITE, WRITE_BLOCK, buffer);
}

fn lend(spare: &'static Spare, block: usize) -> BytesMut {
    spare
        .take()
        .unwrap_or_else(|| BytesMut::with_capacity(block))
}

/// A block that messages still point into can't be lent to another; it is theirs from now on.
fn take_back(spare: &'static Spare, block: usize, buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > 0 {
        let mut buffer = std::mem::take(buffer);
        if buffer.try_reclaim(block) && buffer.capacity() <= KEEP_MOST {
            spare.set(Some(buffer));
        }
    }
}
