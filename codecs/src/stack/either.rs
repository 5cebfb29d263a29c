//! Whichever of two codecs the remote speaks: [`Either`].

use std::{error::Error, fmt, io};

use bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::Recoverable;
use crate::encode::encode_or_nothing;
use crate::progress::Decoded;

/// Whichever of two codecs the remote speaks, see [`either`](super::CodecExt::either); or one of two
/// as chosen at run time: [`Either::left`], [`Either::right`].
///
/// ```text
///                        left yields an item first            decided: left
///                      ┌─────────────────────────────────────────────►
///     undecided: both ─┤ right is out                 an item
///                      ├───────────────► left alone ─────────►  decided: left
///                      │                     └─ left is out ─►  EitherError::Neither
///                      │ both are out at once
///                      ├─────────────────────────────────────►  EitherError::Neither
///                      └ …and the same with left and right exchanged
/// ```
pub struct Either<A: Decoder, B: Decoder> {
    left: Candidate<A>,
    right: Candidate<B>,
    /// How much of the buffer both have been given already, while there are two.
    known: usize,
    decided: bool,
}

/// One of the two. Without its codec it is out.
struct Candidate<C: Decoder> {
    codec: Option<C>,
    /// While there are two: its own copy of what came, without what it has consumed.
    copy: BytesMut,
    /// Why it is out, for the case that the other will be as well.
    lost: Option<C::Error>,
}

impl<C: Decoder> Candidate<C> {
    fn new(codec: Option<C>) -> Self {
        Self {
            codec,
            copy: BytesMut::new(),
            lost: None,
        }
    }

    fn out(why: Option<C::Error>) -> Self {
        Self {
            lost: why,
            ..Self::new(None)
        }
    }
}

impl<A: Decoder, B: Decoder> Either<A, B> {
    /// What [`either`](super::CodecExt::either) does: whichever the remote speaks.
    pub fn new(left: A, right: B) -> Self {
        Self::of(Some(left), Some(right), false)
    }

    /// The left one, decided already.
    pub fn left(codec: A) -> Self {
        Self::of(Some(codec), None, true)
    }

    /// The right one, decided already.
    pub fn right(codec: B) -> Self {
        Self::of(None, Some(codec), true)
    }

    fn of(left: Option<A>, right: Option<B>, decided: bool) -> Self {
        Self {
            left: Candidate::new(left),
            right: Candidate::new(right),
            known: 0,
            decided,
        }
    }

    /// Whether it is known which of the two the remote speaks. Then exactly one of
    /// [`as_left`](Self::as_left) and [`as_right`](Self::as_right) is there.
    pub fn is_decided(&self) -> bool {
        self.decided
    }

    /// The left codec, unless it is out.
    pub fn as_left(&self) -> Option<&A> {
        self.left.codec.as_ref()
    }

    /// The right codec, unless it is out.
    pub fn as_right(&self) -> Option<&B> {
        self.right.codec.as_ref()
    }

    /// The left codec to change, unless it is out.
    ///
    /// Before a decision it decodes a copy of what came; to decode with it by hand is to lose it.
    pub fn as_left_mut(&mut self) -> Option<&mut A> {
        self.left.codec.as_mut()
    }

    /// The right codec to change, unless it is out. The same holds as for
    /// [`as_left_mut`](Self::as_left_mut).
    pub fn as_right_mut(&mut self) -> Option<&mut B> {
        self.right.codec.as_mut()
    }

    /// The codecs that are not out.
    pub fn into_inner(self) -> (Option<A>, Option<B>) {
        (self.left.codec, self.right.codec)
    }
}

type Step<A, B> =
    Result<Option<<A as Decoder>::Item>, EitherError<<A as Decoder>::Error, <B as Decoder>::Error>>;

impl<A: Decoder, B: Decoder<Item = A::Item>> Either<A, B> {
    #[inline]
    fn step(
        &mut self,
        left: impl FnOnce(&mut A, &mut BytesMut) -> Decoded<A>,
        right: impl FnOnce(&mut B, &mut BytesMut) -> Decoded<B>,
        src: &mut BytesMut,
    ) -> Step<A, B> {
        match (&mut self.left.codec, &mut self.right.codec) {
            (Some(a), Some(b)) => {
                let new = src.get(self.known..).unwrap_or_default();
                self.left.copy.extend_from_slice(new);
                self.right.copy.extend_from_slice(new);
                let a = left(a, &mut self.left.copy);
                let b = right(b, &mut self.right.copy);
                self.compare(a, b, src)
            }
            (Some(a), None) => match left(a, src) {
                Ok(item) => Ok(self.decide(item)),
                Err(error) => Err(self.left_lost(error)),
            },
            (None, Some(b)) => match right(b, src) {
                Ok(item) => Ok(self.decide(item)),
                Err(error) => Err(self.right_lost(error)),
            },
            (None, None) => unreachable!("one of the two is never out"),
        }
    }

    /// What both make of what came: the heart of it.
    fn compare(
        &mut self,
        left: Result<Option<A::Item>, A::Error>,
        right: Result<Option<B::Item>, B::Error>,
        src: &mut BytesMut,
    ) -> Step<A, B> {
        let left_first = self.left.copy.len() >= self.right.copy.len();
        let item = match (left, right) {
            // Of two items that is the first which ends first, as if bytes came one by one.
            (Ok(Some(item)), Ok(Some(_))) if left_first => self.take_left(Some(item), None, src),
            (Ok(Some(item)), Ok(None)) => self.take_left(Some(item), None, src),
            (Ok(_), Ok(Some(item))) => self.take_right(Some(item), None, src),
            (Ok(item), Err(why)) => self.take_left(item, Some(why), src),
            (Err(why), Ok(item)) => self.take_right(item, Some(why), src),
            (Ok(None), Ok(None)) => {
                self.keep_longer(src);
                None
            }
            (Err(left), Err(right)) => {
                self.keep_longer(src);
                return Err(EitherError::Neither { left, right });
            }
        };
        Ok(item)
    }

    /// Goes on with the left one alone, from where it stands in its copy.
    fn take_left(
        &mut self,
        item: Option<A::Item>,
        why: Option<B::Error>,
        src: &mut BytesMut,
    ) -> Option<A::Item> {
        *src = std::mem::take(&mut self.left.copy);
        self.right = Candidate::out(why);
        self.decide(item)
    }

    fn take_right(
        &mut self,
        item: Option<A::Item>,
        why: Option<A::Error>,
        src: &mut BytesMut,
    ) -> Option<A::Item> {
        *src = std::mem::take(&mut self.right.copy);
        self.left = Candidate::out(why);
        self.decide(item)
    }

    /// Leaves in the buffer what one of the two still needs.
    fn keep_longer(&mut self, src: &mut BytesMut) {
        let needed = self.left.copy.len().max(self.right.copy.len());
        src.advance(src.len().saturating_sub(needed));
        self.known = src.len();
    }

    /// An item of the only one that is left decides for it.
    fn decide(&mut self, item: Option<A::Item>) -> Option<A::Item> {
        if item.is_some() {
            self.decided = true;
            self.left.lost = None;
            self.right.lost = None;
        }
        item
    }

    fn left_lost(&mut self, left: A::Error) -> EitherError<A::Error, B::Error> {
        match self.right.lost.take() {
            Some(right) => EitherError::Neither { left, right },
            None => EitherError::Left(left),
        }
    }

    fn right_lost(&mut self, right: B::Error) -> EitherError<A::Error, B::Error> {
        match self.left.lost.take() {
            Some(left) => EitherError::Neither { left, right },
            None => EitherError::Right(right),
        }
    }
}

impl<A: Decoder, B: Decoder<Item = A::Item>> Decoder for Either<A, B> {
    type Item = A::Item;
    type Error = EitherError<A::Error, B::Error>;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<A::Item>, Self::Error> {
        self.step(A::decode, B::decode, src)
    }

    #[inline]
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<A::Item>, Self::Error> {
        self.step(A::decode_eof, B::decode_eof, src)
    }
}

impl<A, B, T> Encoder<T> for Either<A, B>
where
    A: Decoder + Encoder<T>,
    B: Decoder + Encoder<T>,
{
    type Error = EitherError<<A as Encoder<T>>::Error, <B as Encoder<T>>::Error>;

    #[inline]
    fn encode(&mut self, item: T, dst: &mut BytesMut) -> Result<(), Self::Error> {
        match (&mut self.left.codec, &mut self.right.codec) {
            (Some(a), _) => encode_or_nothing(a, item, dst).map_err(EitherError::Left),
            (None, Some(b)) => encode_or_nothing(b, item, dst).map_err(EitherError::Right),
            (None, None) => unreachable!("one of the two is never out"),
        }
    }
}

/// A clone of a codec that has lost its rival doesn't have the rival's error.
impl<A: Decoder + Clone, B: Decoder + Clone> Clone for Either<A, B> {
    fn clone(&self) -> Self {
        Self {
            left: self.left.clone(),
            right: self.right.clone(),
            ..*self
        }
    }
}

impl<C: Decoder + Clone> Clone for Candidate<C> {
    fn clone(&self) -> Self {
        Self {
            codec: self.codec.clone(),
            copy: self.copy.clone(),
            lost: None,
        }
    }
}

impl<A: Decoder + fmt::Debug, B: Decoder + fmt::Debug> fmt::Debug for Either<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Either")
            .field("left", &self.left.codec)
            .field("right", &self.right.codec)
            .field("decided", &self.decided)
            .finish_non_exhaustive()
    }
}

/// What [`Either`] errs with: the error of the codec that the remote speaks, or both errors.
#[derive(Debug)]
#[non_exhaustive]
pub enum EitherError<A, B> {
    /// The left codec's error, on a connection that speaks it.
    Left(A),
    /// The right codec's error, on a connection that speaks it.
    Right(B),
    /// What came is neither: no codec has yielded an item, and both have erred.
    Neither {
        /// What the left codec said.
        left: A,
        /// What the right codec said.
        right: B,
    },
    /// The transport's error.
    Io(io::Error),
}

impl<A: fmt::Display, B: fmt::Display> fmt::Display for EitherError<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left(error) => error.fmt(f),
            Self::Right(error) => error.fmt(f),
            Self::Neither { left, right } => {
                write!(
                    f,
                    "expected one of two codecs, what came is neither: {left}; {right}"
                )
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl<A: Error, B: Error> Error for EitherError<A, B> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Left(error) => error.source(),
            Self::Right(error) => error.source(),
            Self::Neither { .. } => None,
            Self::Io(error) => error.source(),
        }
    }
}

impl<A, B> From<io::Error> for EitherError<A, B> {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<A: Recoverable, B: Recoverable> Recoverable for EitherError<A, B> {
    fn is_recoverable(&self) -> bool {
        match self {
            Self::Left(error) => error.is_recoverable(),
            Self::Right(error) => error.is_recoverable(),
            Self::Neither { .. } | Self::Io(_) => false,
        }
    }
}
