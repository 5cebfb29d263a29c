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
    delimited::{Delimited, DelimitedError},
    envelope::{Envelope, EnvelopeError, Enveloped, Layout, LayoutError, NoChecksum},
    fixed::{Fixed, FixedError},
    length::Length,
    prefixed::{Prefixed, PrefixedError},
};

/// The room that is made for a frame as soon as its length is known. Most frames fit, and are read
/// without being moved; a remote that announces a large one and sends nothing more costs no more than this.
const ROOM_AHEAD: usize = 64 * 1024;

/// Makes room for the rest of a frame of `len` bytes that begins `src`, whose length the remote has
/// announced: beyond `ROOM_AHEAD` only when the buffer is full, and then for no more bytes than have come.
#[inline]
fn make_room(src: &mut BytesMut, len: usize) {
    let room = if src.is_empty() {
        // An idle connection has no frame to make room for.
        return;
    } else if src.len() < ROOM_AHEAD {
        ROOM_AHEAD
    } else if src.len() == src.capacity() {
        2 * src.len()
    } else {
        return;
    };
    src.reserve(room.min(len).saturating_sub(src.len()));
}
