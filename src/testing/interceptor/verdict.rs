//! What is decided about a message.

use std::time::Duration;

use crate::Side;

/// Which message it is that an [`Interceptor`](super::Interceptor) asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Passage {
    /// On which link; they are numbered from 0 as they are accepted.
    pub link: u64,
    /// Who sent it: who dialled the interceptor, or the one that it dialled.
    pub from: Side,
    /// How many came before it on this link from this side.
    pub number: u64,
}

/// What becomes of a message. It may be another than the one that came: that is how one is replaced.
///
/// # Examples
///
/// A closure for an [`Interceptor`](super::Interceptor):
///
/// ```
/// use std::time::Duration;
/// use wattle::{Side, testing::{Passage, Verdict}};
///
/// let judge = |passage: Passage, line: String| match (passage.from, passage.number) {
///     (Side::Dialer, 0) => Verdict::twice(line),
///     (Side::Dialer, 1) => Verdict::Reorder(line),
///     (Side::Listener, 0) => Verdict::Delay(line, Duration::from_secs(60)),
///     (_, 9) => Verdict::CutBefore,
///     _ => Verdict::Deliver(line),
/// };
/// # let _ = judge;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<M> {
    /// It goes on.
    Deliver(M),
    /// Nobody sees it.
    Drop,
    /// These go on in its place, in this order; see also [`Verdict::twice`].
    DeliverAll(Vec<M>),
    /// It goes on after this time. What its sender sends meanwhile waits behind it, as in a stream.
    Delay(M, Duration),
    /// It goes on behind the next one of its sender that does, or behind the last. Until then it is kept, however
    /// many there are of them.
    Reorder(M),
    /// The link is cut, on both ends, and it isn't delivered; what came before it is.
    CutBefore,
    /// It is delivered, and then the link is cut, on both ends.
    CutAfter(M),
}

impl<M: Clone> Verdict<M> {
    /// It goes on, and once more.
    pub fn twice(message: M) -> Self {
        Self::DeliverAll(vec![message.clone(), message])
    }
}
