//! The laws for a fuzzer's bytes: [`fuzz`], [`fuzz_round_trip`].

use std::{convert::Infallible, fmt::Debug, io};

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

#[cfg(doc)]
use super::Law;
use super::{Laws, Violation};

/// How many splits at most are taken from the fuzzer's bytes.
const CUTS: usize = 7;

/// Encodes nothing, for laws that need only a decoder.
#[derive(Debug)]
struct Nothing;

/// What the encoder of nothing fails with.
#[derive(Debug)]
enum Never {}

impl From<io::Error> for Never {
    fn from(error: io::Error) -> Self {
        unreachable!("nothing is written: {error}")
    }
}

impl Encoder<Infallible> for Nothing {
    type Error = Never;

    fn encode(&mut self, message: Infallible, _: &mut BytesMut) -> Result<(), Never> {
        match message {}
    }
}

/// Takes a fuzzer's bytes for some splits and a stream, and decodes it whole and split.
///
/// The decoder must not panic, must come to an end, must come to the same items and the same
/// error (its variant) either way, and must not reserve what was announced, as
/// [`Law::Garbage`] and [`Law::Reserve`] say.
///
/// The first byte's low three bits are the number of splits, and as many bytes after it are the
/// sizes of the reads; all others are the stream. So a fuzzer finds its way from one to the other by small
/// changes.
///
/// # Errors
///
/// The violation. A fuzz target panics with it:
///
/// ```text
/// #![no_main]
/// use libfuzzer_sys::fuzz_target;
/// use wattle_codecs::laws;
///
/// fuzz_target!(|data: &[u8]| laws::fuzz(|| my_crate::MyCodec::new(), data).unwrap());
/// ```
///
/// Where `LengthDelimitedCodec` is inside, give it a cap of at most 64 KiB in the target: it reserves what is
/// announced.
pub fn fuzz<D>(factory: impl Fn() -> D, data: &[u8]) -> Result<(), Violation>
where
    D: Decoder<Item: Debug, Error: Debug>,
{
    let laws: Laws<'_, Nothing, D, Infallible> =
        Laws::pair_by(|| (Nothing, factory()), [], |_, never| match *never {});
    let (cuts, stream) = cuts_and_stream(data);
    laws.is_harmless(stream, &cuts)?;
    laws.reserves_little(&[], stream)
}

/// Checks that messages decode to themselves at the splits that a fuzzer's bytes say: for a target whose
/// input is messages made by the crate `arbitrary`, or made of the bytes in a way of your own.
///
/// # Errors
///
/// The violation.
pub fn fuzz_round_trip<C, Out>(
    factory: impl Fn() -> C,
    messages: impl IntoIterator<Item = Out>,
    splits: &[u8],
) -> Result<(), Violation>
where
    C: Decoder<Item: Debug + PartialEq<Out>, Error: Debug> + Encoder<Out, Error: Debug>,
    Out: Clone + Debug,
{
    let laws = Laws::new(factory, messages);
    laws.many_in_one_read()?;
    let mut at = 0;
    let cuts: Vec<_> = splits.iter().map(|&size| advance(&mut at, size)).collect();
    laws.split(&laws.messages, &cuts)
}

fn cuts_and_stream(data: &[u8]) -> (Vec<usize>, &[u8]) {
    let Some((&first, rest)) = data.split_first() else {
        return (Vec::new(), data);
    };
    let many = usize::from(first) & CUTS;
    let (sizes, stream) = rest.split_at(many.min(rest.len()));
    let mut at = 0;
    let cuts = sizes.iter().map(|&size| advance(&mut at, size)).collect();
    (cuts, stream)
}

fn advance(at: &mut usize, size: u8) -> usize {
    *at += usize::from(size) + 1;
    *at
}
