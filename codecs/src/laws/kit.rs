//! What to check, and with which options: [`Laws`].

use std::{env, fmt};

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use super::{
    Law, SEED_VARIABLE, Violation,
    random::Random,
    reader::{GoesOn, Reader},
};

/// The seed unless another is given: tests run the same way every time.
const SEED: u64 = 0x7761_7474_6c65;
/// Random cases of a law unless another number is given.
pub(super) const CASES: usize = 128;

type Factory<'a, E, D> = Box<dyn Fn() -> (E, D) + 'a>;
type Equal<'a, I, Out> = Box<dyn Fn(&I, &Out) -> bool + 'a>;
type Twin<'a, Out> = Box<dyn Fn(&Out) -> Result<BytesMut, String> + 'a>;

/// A codec, messages to check it with, and what else the laws need to know.
///
/// [`check`](crate::laws::check) is enough for a codec without a cap whose items compare with the
/// messages. With more to say, it looks like this:
///
/// ```
/// use bytes::Bytes;
/// use wattle_codecs::{Length, Prefixed, laws::{Laws, Violation}};
///
/// # fn main() -> Result<(), Violation> {
/// let codec = || Prefixed::new(Length::U16, 100);
/// Laws::new(codec, [Bytes::from("abc"), Bytes::new()])
///     .cap(2 + 100)
///     .oversized([Bytes::from(vec![7; 101]), Bytes::from(vec![7; 60_000])])
///     .uncapped(|| Prefixed::new(Length::U16, usize::MAX))
///     .check()
/// # }
/// ```
///
/// Each law is a method too.
pub struct Laws<'a, E, D: Decoder, Out> {
    factory: Factory<'a, E, D>,
    equal: Equal<'a, D::Item, Out>,
    goes_on: Box<GoesOn<'a, D::Error>>,
    twin: Option<Twin<'a, Out>>,
    without: Vec<Law>,
    seed: u64,
    pub(super) messages: Vec<Out>,
    pub(super) unencodable: Vec<Out>,
    pub(super) oversized: Vec<Out>,
    pub(super) cap: Option<usize>,
    pub(super) last_may_be_open: bool,
    pub(super) cases: usize,
}

impl<'a, C, Out> Laws<'a, C, C, Out>
where
    C: Decoder + Encoder<Out> + 'a,
    Out: 'a,
{
    /// A codec, made anew by `factory` as often as need be, and messages that it encodes.
    ///
    /// Messages that differ in size find more than those that don't: the empty one, one byte, a
    /// few, some thousands.
    pub fn new(factory: impl Fn() -> C + 'a, messages: impl IntoIterator<Item = Out>) -> Self
    where
        C::Item: PartialEq<Out>,
    {
        Self::new_by(factory, messages, PartialEq::eq)
    }

    /// The same, where `equal` says whether an item is what a message should decode to.
    pub fn new_by(
        factory: impl Fn() -> C + 'a,
        messages: impl IntoIterator<Item = Out>,
        equal: impl Fn(&C::Item, &Out) -> bool + 'a,
    ) -> Self {
        Self::pair_by(move || (factory(), factory()), messages, equal)
    }
}

impl<'a, E, D, Out> Laws<'a, E, D, Out>
where
    E: Encoder<Out>,
    D: Decoder + 'a,
    Out: 'a,
{
    /// An encoder and the decoder at the other end, where they belong together: the two sides of a
    /// session whose keys or dictionary they share.
    pub fn pair(factory: impl Fn() -> (E, D) + 'a, messages: impl IntoIterator<Item = Out>) -> Self
    where
        D::Item: PartialEq<Out>,
    {
        Self::pair_by(factory, messages, PartialEq::eq)
    }

    /// The same, where `equal` says whether an item is what a message should decode to.
    pub fn pair_by(
        factory: impl Fn() -> (E, D) + 'a,
        messages: impl IntoIterator<Item = Out>,
        equal: impl Fn(&D::Item, &Out) -> bool + 'a,
    ) -> Self {
        Self {
            factory: Box::new(factory),
            equal: Box::new(equal),
            goes_on: Box::new(|_| false),
            twin: None,
            without: Vec::new(),
            seed: seed(),
            messages: messages.into_iter().collect(),
            unencodable: Vec::new(),
            oversized: Vec::new(),
            cap: None,
            last_may_be_open: false,
            cases: CASES,
        }
    }

    /// The most bytes that a frame may take on the wire, header and all.
    ///
    /// For [`Law::Cap`], and for [`Law::Reserve`], which allows 64 KiB ahead of what has come where
    /// it doesn't know better.
    pub fn cap(mut self, bytes: usize) -> Self {
        self.cap = Some(bytes);
        self
    }

    /// Messages beyond the cap, for [`Law::Cap`] and [`Law::FailedEncode`]: the encoder must refuse them.
    /// One that is too long by one byte finds more than any other.
    pub fn oversized(mut self, messages: impl IntoIterator<Item = Out>) -> Self {
        self.oversized = messages.into_iter().collect();
        self
    }

    /// The same codec without a cap, or with a larger one: its encoder makes the frames of
    /// [`oversized`](Self::oversized) messages that the decoder must refuse.
    pub fn uncapped<T: Encoder<Out, Error: fmt::Debug>>(
        mut self,
        factory: impl Fn() -> T + 'a,
    ) -> Self
    where
        Out: Clone,
    {
        self.twin = Some(Box::new(move |message| {
            let mut wire = BytesMut::new();
            let encoded = factory().encode(message.clone(), &mut wire);
            encoded.map(|()| wire).map_err(|error| format!("{error:?}"))
        }));
        self
    }

    /// Messages that the encoder must refuse for another reason, for [`Law::FailedEncode`].
    pub fn unencodable(mut self, messages: impl IntoIterator<Item = Out>) -> Self {
        self.unencodable = messages.into_iter().collect();
        self
    }

    /// The end of the stream ends the last frame, as it ends the last line of a file: for
    /// [`Law::End`], such a frame is an item too.
    pub fn last_frame_may_be_open(mut self) -> Self {
        self.last_may_be_open = true;
        self
    }

    /// Errors that the decoder survives: it finds the next frame by itself. For [`Law::Garbage`],
    /// which otherwise stops at the first one.
    ///
    /// For the codecs of this crate, this is
    /// [`Recoverable::is_recoverable`](crate::Recoverable::is_recoverable).
    pub fn goes_on_after(mut self, goes_on: impl Fn(&D::Error) -> bool + 'a) -> Self {
        self.goes_on = Box::new(goes_on);
        self
    }

    /// Leaves a law out of [`check`](Self::check): one that this codec doesn't keep and need not.
    pub fn without(mut self, law: Law) -> Self {
        self.without.push(law);
        self
    }

    /// The seed of all that is random, unless the environment variable `WATTLE_LAWS_SEED` holds one.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed_of_environment().unwrap_or(seed);
        self
    }

    /// How much is tried: the number of random cases of each law, 128 unless told otherwise. Below that,
    /// fewer split points and damaged headers are tried as well, for codecs that are slow to make.
    pub fn cases(mut self, cases: usize) -> Self {
        self.cases = cases;
        self
    }
}

impl<E, D, Out> Laws<'_, E, D, Out>
where
    E: Encoder<Out, Error: fmt::Debug>,
    D: Decoder<Item: fmt::Debug, Error: fmt::Debug>,
    Out: Clone + fmt::Debug,
{
    /// All laws, in the order of [`Law::ALL`].
    ///
    /// # Errors
    ///
    /// The first violation.
    ///
    /// # Panics
    ///
    /// Without any message: nothing would be checked.
    pub fn check(&self) -> Result<(), Violation> {
        assert!(
            !self.messages.is_empty(),
            "the laws need messages to check a codec with, and there is none"
        );
        self.kept().try_for_each(|law| self.law(law))
    }

    /// All laws, to the end: the first violation of each law that is broken.
    ///
    /// A codec that breaks one often breaks others with it; [`check`](Self::check) tells of the
    /// simplest.
    pub fn violations(&self) -> Vec<Violation> {
        self.kept().filter_map(|law| self.law(law).err()).collect()
    }

    fn kept(&self) -> impl Iterator<Item = Law> {
        Law::ALL
            .into_iter()
            .filter(|law| !self.without.contains(law))
    }

    /// One law, by its name.
    ///
    /// # Errors
    ///
    /// The first violation.
    pub fn law(&self, law: Law) -> Result<(), Violation> {
        match law {
            Law::RoundTrip => self.round_trip(),
            Law::EverySplit => self.every_split(),
            Law::ManyInOneRead => self.many_in_one_read(),
            Law::EncoderAppends => self.encoder_appends(),
            Law::FailedEncode => self.failed_encode(),
            Law::Cap => self.cap_holds(),
            Law::Reserve => self.reserve(),
            Law::End => self.end(),
            Law::Garbage => self.garbage(),
            Law::NoOverRead => self.no_over_read(),
            Law::StateSurvives => self.state_survives(),
            Law::Fresh => self.fresh(),
        }
    }

    pub(super) fn make(&self) -> (E, D) {
        (self.factory)()
    }

    pub(super) fn reader(&self, decoder: D) -> Reader<'_, D> {
        Reader::new(decoder, &*self.goes_on)
    }

    /// A reader of nobody's bytes.
    pub(super) fn fresh_reader(&self) -> Reader<'_, D> {
        self.reader(self.make().1)
    }

    pub(super) fn is(&self, item: &D::Item, message: &Out) -> bool {
        (self.equal)(item, message)
    }

    pub(super) fn seeded(&self) -> u64 {
        self.seed
    }

    /// The same random numbers for a law, whether it is checked alone or after others.
    pub(super) fn random(&self, law: Law) -> Random {
        Random::new(self.seed ^ (law as u64) << 56)
    }

    /// An oversized message as the twin encodes it.
    pub(super) fn twin_of(&self, message: &Out) -> Option<Result<BytesMut, String>> {
        self.twin.as_ref().map(|encode| encode(message))
    }
}

/// That of the environment, otherwise the kit's own.
pub(super) fn seed() -> u64 {
    seed_of_environment().unwrap_or(SEED)
}

fn seed_of_environment() -> Option<u64> {
    let text = env::var(SEED_VARIABLE).ok()?;
    let seed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Some(seed.unwrap_or_else(|_| panic!("{SEED_VARIABLE} is {text:?}, expected a number")))
}

impl<E, D, Out> fmt::Debug for Laws<'_, E, D, Out>
where
    D: Decoder,
    Out: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Laws")
            .field("messages", &self.messages)
            .field("cap", &self.cap)
            .field("seed", &self.seed)
            .field("cases", &self.cases)
            .finish_non_exhaustive()
    }
}
