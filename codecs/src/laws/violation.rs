//! What a codec did wrong: [`Violation`].

use std::{
    error::Error,
    fmt::{self, Debug, Write},
};

use super::{Law, SEED_VARIABLE};

/// The most bytes that are printed in full.
const HEX_MOST: usize = 96;
/// Of more bytes than that, this many at the beginning and at the end.
const HEX_ENDS: usize = 24;
/// The most characters of a message, an item or an error.
const TEXT_MOST: usize = 160;
/// The most messages and cuts that are listed.
const LIST_MOST: usize = 12;

/// A law that a codec breaks, with what it takes to see it happen again.
///
/// `Debug` prints the same text as `Display`, so that `unwrap` in a test, or a test that returns the
/// `Result`, shows it as it is meant to be read:
///
/// ```text
/// broken law: every split of the bytes decodes to the same
///   messages  "abc"
///   wire      00 03 61 62 63 (5 bytes)
///   reads     00 | 03 61 62 63
///   expected  item 1: "abc"
///   came      item 1: nothing, the decoder waits for more bytes
///   seed      WATTLE_LAWS_SEED=7 runs exactly this again
/// ```
pub struct Violation(Box<Inner>);

pub(super) struct Inner {
    pub(super) law: Law,
    pub(super) messages: Vec<String>,
    pub(super) wire: Vec<u8>,
    pub(super) cuts: Vec<usize>,
    pub(super) expected: String,
    pub(super) came: String,
    pub(super) seed: u64,
}

impl Violation {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Box::new(inner))
    }

    /// The law that is broken.
    pub fn law(&self) -> Law {
        self.0.law
    }

    /// The messages that were encoded, as their `Debug` prints them (long ones shortened).
    pub fn messages(&self) -> &[String] {
        &self.0.messages
    }

    /// The bytes on the wire.
    pub fn wire(&self) -> &[u8] {
        &self.0.wire
    }

    /// Where the wire was cut into reads: the first read is `wire()[..cuts()[0]]`. Without any
    /// cut, all of it came in one read.
    pub fn cuts(&self) -> &[usize] {
        &self.0.cuts
    }

    /// What should have come.
    pub fn expected(&self) -> &str {
        &self.0.expected
    }

    /// What came.
    pub fn came(&self) -> &str {
        &self.0.came
    }

    /// The seed of all that was random.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = &*self.0;
        writeln!(f, "broken law: {}", v.law)?;
        if !v.messages.is_empty() {
            writeln!(f, "  messages  {}", list(&v.messages))?;
        }
        writeln!(f, "  wire      {}", hex(&v.wire))?;
        if !v.cuts.is_empty() {
            writeln!(f, "  reads     {}", reads(&v.wire, &v.cuts))?;
        }
        writeln!(f, "  expected  {}", v.expected)?;
        writeln!(f, "  came      {}", v.came)?;
        write!(
            f,
            "  seed      {SEED_VARIABLE}={} runs exactly this again",
            v.seed
        )
    }
}

impl Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Violation {}

/// What `Debug` prints, shortened when long.
pub(super) fn shown(value: &impl Debug) -> String {
    shortened(format!("{value:?}"))
}

pub(super) fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT_MOST) {
        let left = text[end..].chars().count();
        text.truncate(end);
        let _ = write!(text, "… and {left} characters more");
    }
    text
}

fn list<T: ToString>(all: &[T]) -> String {
    let shown: Vec<_> = all.iter().take(LIST_MOST).map(T::to_string).collect();
    let mut text = shown.join(", ");
    if all.len() > LIST_MOST {
        let _ = write!(text, ", … and {} more", all.len() - LIST_MOST);
    }
    text
}

/// Bytes in hex, their middle left out when they are many.
pub(super) fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "no bytes".to_owned();
    }
    let size = match bytes.len() {
        1 => "1 byte".to_owned(),
        len => format!("{len} bytes"),
    };
    if bytes.len() <= HEX_MOST {
        return format!("{} ({size})", pairs(bytes));
    }
    let (head, tail) = (&bytes[..HEX_ENDS], &bytes[bytes.len() - HEX_ENDS..]);
    format!("{} … {} ({size})", pairs(head), pairs(tail))
}

fn pairs(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(" ")
}

/// The reads, apart; only where they are cut if there are too many bytes for that.
fn reads(wire: &[u8], cuts: &[usize]) -> String {
    if wire.len() > HEX_MOST {
        return format!("cut at {}", list(cuts));
    }
    let reads: Vec<_> = chunks(wire, cuts).map(pairs).collect();
    reads.join(" | ")
}

/// The reads into which the cuts, in order, divide the bytes; none is empty.
pub(super) fn chunks<'b>(bytes: &'b [u8], cuts: &[usize]) -> impl Iterator<Item = &'b [u8]> {
    let ends: Vec<_> = cuts.iter().copied().chain([bytes.len()]).collect();
    let mut from = 0;
    ends.into_iter().filter_map(move |end| {
        let end = end.min(bytes.len());
        let chunk = bytes.get(from..end).filter(|chunk| !chunk.is_empty())?;
        from = end;
        Some(chunk)
    })
}
