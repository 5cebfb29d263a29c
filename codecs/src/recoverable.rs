//! Which errors a stream of frames survives: [`Recoverable`].

use std::{convert::Infallible, io};

use tokio_util::codec::{AnyDelimiterCodecError, LinesCodecError};

/// An error that may leave the framing intact, so that the decoder finds the next frame all the same.
///
/// The error says so itself: a checksum that doesn't match concerns one frame, a length beyond the
/// cap concerns everything that follows. What can go on is what
/// [`tolerant`](crate::CodecExt::tolerant) turns into an item.
///
/// Implement it for the error of a codec of your own; where the type isn't yours, wrap the codec
/// with [`try_map`](crate::CodecExt::try_map), or the error in one of yours.
pub trait Recoverable {
    /// Whether the decoder that returned this error stands at the beginning of the next frame, or
    /// will find it by itself.
    fn is_recoverable(&self) -> bool;
}

/// `LengthDelimitedCodec` and whatever else errs with `io::Error`: nobody can tell where to go on.
impl Recoverable for io::Error {
    fn is_recoverable(&self) -> bool {
        false
    }
}

/// `LinesCodec` throws an overlong line away up to its end.
impl Recoverable for LinesCodecError {
    fn is_recoverable(&self) -> bool {
        matches!(self, Self::MaxLineLengthExceeded)
    }
}

/// `AnyDelimiterCodec` throws an overlong chunk away up to its end.
impl Recoverable for AnyDelimiterCodecError {
    fn is_recoverable(&self) -> bool {
        matches!(self, Self::MaxChunkLengthExceeded)
    }
}

impl Recoverable for Infallible {
    fn is_recoverable(&self) -> bool {
        match *self {}
    }
}
