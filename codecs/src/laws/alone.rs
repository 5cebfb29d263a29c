//! The laws as functions: all at once, or one alone.

use std::fmt::Debug;

use tokio_util::codec::{Decoder, Encoder};

#[cfg(doc)]
use super::Law;
use super::{Laws, Violation};

/// What the laws ask of a codec's types: items that compare with the messages, and that, as well as the
/// errors, can be printed.
///
/// Every codec that has this implements it. Where the items don't compare: [`Laws::new_by`].
pub trait Checkable<Out>:
    Decoder<Item: PartialEq<Out> + Debug, Error: Debug> + Encoder<Out, Error: Debug>
{
}

impl<C, Out> Checkable<Out> for C where
    C: Decoder<Item: PartialEq<Out> + Debug, Error: Debug> + Encoder<Out, Error: Debug>
{
}

/// Checks a codec with messages against all laws that need to know no more: the cap and failing
/// encodes need [`Laws`].
///
/// `factory` makes the codec anew, as often as need be.
///
/// # Errors
///
/// The first [`Violation`].
///
/// # Panics
///
/// Without any message: nothing would be checked.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle_codecs::laws;
///
/// let codec = || LinesCodec::new_with_max_length(80);
/// let violation = laws::check(codec, ["a line", "\n"]).unwrap_err();
/// assert_eq!(violation.law(), laws::Law::RoundTrip);
/// ```
pub fn check<'a, C, Out>(
    factory: impl Fn() -> C + 'a,
    messages: impl IntoIterator<Item = Out>,
) -> Result<(), Violation>
where
    C: Checkable<Out> + 'a,
    Out: Clone + Debug + 'a,
{
    Laws::new(factory, messages).check()
}

/// Checks an encoder and the decoder at the other end, which `factory` makes together, against all
/// laws: the two sides of an encrypted session, say.
///
/// # Errors
///
/// The first [`Violation`].
///
/// # Panics
///
/// Without any message: nothing would be checked.
pub fn check_pair<'a, E, D, Out>(
    factory: impl Fn() -> (E, D) + 'a,
    messages: impl IntoIterator<Item = Out>,
) -> Result<(), Violation>
where
    E: Encoder<Out, Error: Debug>,
    D: Decoder<Item: PartialEq<Out> + Debug, Error: Debug> + 'a,
    Out: Clone + Debug + 'a,
{
    Laws::pair(factory, messages).check()
}

/// A function for a law that needs no more than codec and messages.
macro_rules! alone {
    ($(#[$doc:meta])* $law:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// The violation.
        pub fn $law<'a, C, Out>(
            factory: impl Fn() -> C + 'a,
            messages: impl IntoIterator<Item = Out>,
        ) -> Result<(), Violation>
        where
            C: Checkable<Out> + 'a,
            Out: Clone + Debug + 'a,
        {
            Laws::new(factory, messages).$law()
        }
    };
}

alone! {
    /// [`Law::RoundTrip`] alone.
    round_trip
}
alone! {
    /// [`Law::EverySplit`] alone.
    every_split
}
alone! {
    /// [`Law::ManyInOneRead`] alone.
    many_in_one_read
}
alone! {
    /// [`Law::EncoderAppends`] alone.
    encoder_appends
}
alone! {
    /// [`Law::Reserve`] alone.
    reserve
}
alone! {
    /// [`Law::End`] alone.
    end
}
alone! {
    /// [`Law::Garbage`] alone.
    garbage
}
alone! {
    /// [`Law::NoOverRead`] alone.
    no_over_read
}
alone! {
    /// [`Law::StateSurvives`] alone.
    state_survives
}
alone! {
    /// [`Law::Fresh`] alone.
    fresh
}

/// [`Law::FailedEncode`] alone: with messages, and others that can't be encoded.
///
/// # Errors
///
/// The violation.
pub fn failed_encode<'a, C, Out>(
    factory: impl Fn() -> C + 'a,
    messages: impl IntoIterator<Item = Out>,
    unencodable: impl IntoIterator<Item = Out>,
) -> Result<(), Violation>
where
    C: Checkable<Out> + 'a,
    Out: Clone + Debug + 'a,
{
    let laws = Laws::new(factory, messages).unencodable(unencodable);
    laws.failed_encode()
}

/// [`Law::Cap`] alone: a cap of `most` bytes on the wire, and messages beyond it, encoded by the
/// same codec without the cap.
///
/// # Errors
///
/// The violation.
pub fn cap_holds<'a, C, Out>(
    factory: impl Fn() -> C + 'a,
    uncapped: impl Fn() -> C + 'a,
    messages: impl IntoIterator<Item = Out>,
    most: usize,
    oversized: impl IntoIterator<Item = Out>,
) -> Result<(), Violation>
where
    C: Checkable<Out> + 'a,
    Out: Clone + Debug + 'a,
{
    let laws = Laws::new(factory, messages).cap(most);
    laws.oversized(oversized).uncapped(uncapped).cap_holds()
}
