//! Where a frame begins and ends: codecs from bytes to `Bytes`, and back.
//!
//! Each takes its cap as an argument of its constructor, leaves a begun frame in the buffer until
//! all of it is there (so there is no state to lose between two reads), and reserves memory for a frame
//! as its bytes arrive, whatever length the remote has announced.

mod delimited;
mod envelope;
mod fixed;
mod length;
mod prefixed;

use bytes::BytesMut;

pub use self::{
    length::Length,
    prefixed::{Prefixed, PrefixedError},
};

/// The most room that is made ahead of bytes that were announced but have not come, while there are
/// fewer than this many. Most frames fit and are read without moving them; a remote that announces
/// a large one and sends nothing more costs no more than this.
const ROOM_AHEAD: usize = 64 * 1024;

/// Makes room for the rest of a frame of `len` bytes that begins `src`, but for no more bytes than
/// have come already: what is reserved grows with what has been received, by doubling.
fn make_room(src: &mut BytesMut, len: usize) {
    let missing = len.saturating_sub(src.len());
    src.reserve(missing.min(src.len().max(ROOM_AHEAD)));
}
