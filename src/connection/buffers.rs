//! Buffers are lent to a connection while it works, and taken back when it waits.
//!
//! A `Framed` keeps its buffers for ever, however idle it is. Here each worker thread keeps one of
//! each kind to lend, so that an idle connection costs none, and a busy one no allocation.
//!
//! A decoded message may still point into the block it was read into, and then pins it. So a block is
//! lent until it is used up, whoever reads into it, and only then replaced: what many small messages
//! pin is what they were read from, and not a block each.

use std::{
    cell::Cell,
    mem,
    sync::atomic::{AtomicUsize, Ordering},
    thread::LocalKey,
};

use bytes::BytesMut;

/// What a connection mostly receives, and so what it reads into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Messages {
    Small,
    /// So many bytes each.
    Large(u32),
    Huge,
}

/// Which messages are large, in bytes on average.
const LARGE: usize = 8 * 1024;

/// A block to read small messages into: many share a system call.
const BLOCK_FOR_SMALL: usize = 64 * 1024;

/// What is read of a message that is huge before the codec, which learns from its beginning how large it is,
/// reserves the room for the rest: the beginning has to be moved there.
const BLOCK_FOR_HUGE: usize = 16 * 1024;

/// Which messages are huge: to move the beginning is little, and the room for all of it is much for a guess.
const HUGE: usize = 256 * 1024;

/// A read into less room than this isn't worth its system call.
const READ_LEAST: usize = 2 * 1024;

/// The beginning of a frame is moved out of its block while the connection waits for the rest, if it
/// would fill less than one part in so many: a remote that never sends the rest holds no more than so many
/// times what it has sent. To move more would cost more than it gives back, as what comes next is
/// read into a block again, behind a copy of what was moved.
const MOVE_BELOW: usize = 4;

/// To move this much costs next to nothing. More of it may stay where it is, in a few connections at a
/// time: those that receive all the time wait in the middle of a frame at every turn.
const MOVE_ALWAYS: usize = 1024;

/// How many connections of the process may keep a block with what has begun in it: no more than 4 MiB.
const KEEP_WHOLE: usize = 64;

/// How many do.
static KEPT_WHOLE: Alone = Alone(AtomicUsize::new(0));

/// Alone on its cache lines, so that what writes it disturbs nobody who reads something else.
#[repr(align(128))]
struct Alone(AtomicUsize);

/// What a write buffer begins with; it grows to the write boundary and is lent again at that size.
const WRITE_BLOCK: usize = 8 * 1024;

/// A buffer that has grown beyond this isn't lent again.
const KEEP_MOST: usize = 256 * 1024;

type Spare = LocalKey<Cell<BytesMut>>;

thread_local! {
    static FOR_SMALL: Cell<BytesMut> = Cell::default();
    static FOR_LARGE: Cell<BytesMut> = Cell::default();
    static WRITE: Cell<BytesMut> = Cell::default();
}

/// A block that a waiting connection keeps for the beginning of a frame; one of [`KEEP_WHOLE`].
#[derive(Debug)]
pub(super) struct WholeBlock(());

impl WholeBlock {
    fn keep() -> Option<Self> {
        let kept = Self(());
        // Beyond the bound it is dropped, and so taken back, at once.
        (KEPT_WHOLE.0.fetch_add(1, Ordering::Relaxed) < KEEP_WHOLE).then_some(kept)
    }
}

impl Drop for WholeBlock {
    fn drop(&mut self) {
        KEPT_WHOLE.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Messages {
    pub(super) fn of_mean_size(size: usize) -> Self {
        match size {
            size if size > HUGE => Self::Huge,
            size if size > LARGE => Self::Large(size as u32),
            _ => Self::Small,
        }
    }

    /// How large the next block is. For large messages it ends where a message does if they are as
    /// large as the last ones: in any other, what has begun would have to be moved along each time.
    fn block(self) -> (usize, &'static Spare) {
        match self {
            Self::Small => (BLOCK_FOR_SMALL, &FOR_SMALL),
            Self::Large(size) => {
                let size = size as usize;
                (size * (BLOCK_FOR_SMALL / size).max(1), &FOR_LARGE)
            }
            Self::Huge => (BLOCK_FOR_HUGE, &FOR_LARGE),
        }
    }

    /// How much room there should be behind the beginning of a frame: for a large one, as much as it takes
    /// to be whole.
    fn room_behind(self, begun: usize) -> usize {
        match self {
            Self::Large(size) => (size as usize).saturating_sub(begun),
            _ if begun < self.block().0 / MOVE_BELOW => READ_LEAST,
            _ => 0,
        }
    }
}

/// Makes sure that there is room to read into. A frame of which more has come than is moved grows in
/// a buffer of its own.
pub(super) fn lend_read(buffer: &mut BytesMut, messages: Messages) {
    let (block, spare) = messages.block();
    let wanted = messages.room_behind(buffer.len());
    let room = buffer.capacity() - buffer.len();
    // At the end of a block that no message points into any more, its beginning is room, too.
    if room >= wanted || buffer.try_reclaim(wanted) {
        return;
    }
    let mut lent = spare.take();
    let (needed, left) = (wanted + buffer.len(), lent.capacity());
    // Of a block for small messages half is as good; to ask costs something.
    let plenty = match messages {
        Messages::Small => block / 2,
        Messages::Large(_) | Messages::Huge => block,
    };
    let of_use = left >= plenty.max(needed) || lent.try_reclaim(block) || left >= needed;
    // What was kept may have been the end of a larger one.
    if !of_use || lent.capacity() > KEEP_MOST {
        lent = BytesMut::with_capacity(block);
    }
    lent.extend_from_slice(buffer);
    *buffer = lent;
}

/// Takes a block back that the connection would only hold while it waits.
pub(super) fn return_read(
    buffer: &mut BytesMut,
    messages: Messages,
    whole: &mut Option<WholeBlock>,
) {
    let (block, spare) = messages.block();
    // A larger one has been reserved by the codec for a frame that has begun, or has grown with it: the
    // cap on frames bounds it.
    let grown = !buffer.is_empty() && buffer.capacity() > block;
    let large = grown || buffer.len() >= block / MOVE_BELOW;
    if large || buffer.len() < MOVE_ALWAYS {
        *whole = None;
    } else if whole.is_none() {
        *whole = WholeBlock::keep();
    }
    if large || whole.is_some() {
        return;
    }
    let begun = match buffer.is_empty() {
        true => BytesMut::new(),
        false => BytesMut::from(&buffer[..]),
    };
    take_back(spare, block, mem::replace(buffer, begun));
}

/// Makes sure that there is room to encode into.
pub(super) fn lend_write(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        *buffer = WRITE.take();
        if buffer.capacity() < WRITE_BLOCK / 2 {
            buffer.reserve(WRITE_BLOCK);
        }
    }
}

/// Takes an empty write buffer back.
pub(super) fn return_write(buffer: &mut BytesMut) {
    if buffer.is_empty() {
        take_back(&WRITE, KEEP_MOST, mem::take(buffer));
    }
}

/// Keeps the larger of two, up to a limit.
fn take_back(spare: &'static Spare, most: usize, mut buffer: BytesMut) {
    buffer.clear();
    let kept = spare.take();
    let better = kept.capacity() < buffer.capacity() && buffer.capacity() <= most;
    spare.set(if better { buffer } else { kept });
}
