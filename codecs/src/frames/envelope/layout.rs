//! What stands where in an envelope: [`Layout`].

use std::{error::Error, fmt};

use bytes::Bytes;

use super::{plan::Plan, template::Templates};
use crate::Length;

/// What the frames of an [`Envelope`](crate::Envelope) are made of, field by field in wire order.
///
/// | field | what it is |
/// |---|---|
/// | [`magic`](Self::magic) | bytes that are always the same; there may be several |
/// | [`opaque`](Self::opaque) | bytes of the program's, handed over with the payload; there may be several |
/// | [`length`](Self::length) | how long the payload is; exactly one |
/// | [`checksum`](Self::checksum) | the checksum of the payload |
/// | *the payload* | behind all of these |
/// | [`trailer`](Self::trailer) | behind the payload, the checksum of all that is in front of it |
///
/// The length is that of the payload, unless [`counting`](Self::counting) or
/// [`inclusive`](Self::inclusive) say what else it counts.
///
/// # Examples
///
/// ```
/// use wattle_codecs::{Layout, Length};
///
/// // HTTP/2 (RFC 9113, section 4.1): length, then type, flags and stream, which aren't counted.
/// let http2 = Layout::new().length(Length::U24).opaque(6);
///
/// // TPKT (RFC 1006, section 6): version 3, reserved 0, the length of all.
/// let tpkt = Layout::new().magic([3, 0]).length(Length::U16).inclusive();
///
/// // PostgreSQL, protocol 3: a type, a length that counts itself but not the type.
/// let postgres = Layout::new().opaque(1).length(Length::U32).counting(4);
///
/// // Kafka: a length that counts the header behind it (API key, version, correlation).
/// let kafka = Layout::new().length(Length::U32).opaque(8).counting(8);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    fields: Vec<Field>,
    trailer: bool,
    behind_trailer: bool,
    counts: Counts,
}

/// A field of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Magic(Bytes),
    Opaque(usize),
    Length(Length),
    Checksum,
}

impl Field {
    /// In bytes, if the length is of `length` bytes and a checksum of `sum`.
    pub(super) fn size(&self, length: usize, sum: usize) -> usize {
        match self {
            Self::Magic(magic) => magic.len(),
            Self::Opaque(len) => *len,
            Self::Length(_) => length,
            Self::Checksum => sum,
        }
    }
}

/// What the length counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// The payload, and so many bytes more.
    Also(usize),
    /// All of the frame.
    Frame,
}

impl Default for Counts {
    fn default() -> Self {
        Self::Also(0)
    }
}

impl Layout {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// These bytes. Anything else in their place is an error.
    pub fn magic(self, bytes: impl AsRef<[u8]>) -> Self {
        self.field(Field::Magic(Bytes::copy_from_slice(bytes.as_ref())))
    }

    /// `len` bytes that the codec doesn't look at: a part of
    /// [`Enveloped::header`](crate::Enveloped::header).
    pub fn opaque(self, len: usize) -> Self {
        self.field(Field::Opaque(len))
    }

    /// The length of the payload.
    pub fn length(self, length: Length) -> Self {
        self.field(Field::Length(length))
    }

    /// The checksum of the payload.
    pub fn checksum(self) -> Self {
        self.field(Field::Checksum)
    }

    /// Behind the payload, the checksum of header and payload. No field comes after it.
    pub fn trailer(mut self) -> Self {
        self.behind_trailer |= self.trailer;
        self.trailer = true;
        self
    }

    /// The length counts `bytes` beside those of the payload, for instance its own or those of
    /// the fields behind it. Instead of [`inclusive`](Self::inclusive).
    pub fn counting(mut self, bytes: usize) -> Self {
        self.counts = Counts::Also(bytes);
        self
    }

    /// The length counts all bytes of the frame: header, payload and trailer. Instead of
    /// [`counting`](Self::counting).
    pub fn inclusive(mut self) -> Self {
        self.counts = Counts::Frame;
        self
    }

    fn field(mut self, field: Field) -> Self {
        self.behind_trailer |= self.trailer;
        self.fields.push(field);
        self
    }

    /// What follows from this, with so many opaque bytes and a checksum of `sum` bytes.
    pub(super) fn plan(self, opaque: usize, sum: usize, most: usize) -> Result<Plan, LayoutError> {
        let length = self.only_length()?;
        self.check_opaque(opaque)?;
        self.check_sums(sum)?;
        let size = length.size_of(length.most());
        let mut plan = Plan {
            templates: Templates::new(&self.fields, length, sum),
            fixed: self.fields.iter().map(|field| field.size(0, sum)).sum(),
            fields: self.fields.into(),
            length,
            sum,
            trailer: if self.trailer { sum } else { 0 },
            counts: self.counts,
            most,
        };
        let (said, counted) = (length.most(), plan.counted(size));
        let Some(left) = said.checked_sub(counted as u64) else {
            return Err(LayoutError::CountsTooMuch {
                counted,
                most: said,
            });
        };
        plan.most = most.min(usize::try_from(left).unwrap_or(usize::MAX));
        Ok(plan)
    }

    fn only_length(&self) -> Result<Length, LayoutError> {
        let mut lengths = self.fields.iter().filter_map(|field| match field {
            Field::Length(length) => Some(*length),
            _ => None,
        });
        match (lengths.next(), lengths.next()) {
            (Some(length), None) => Ok(length),
            (None, _) => Err(LayoutError::NoLength),
            (Some(_), Some(_)) => Err(LayoutError::TwoLengths),
        }
    }

    fn check_opaque(&self, expected: usize) -> Result<(), LayoutError> {
        let sizes = self.fields.iter().map(|field| match field {
            Field::Opaque(len) => *len,
            _ => 0,
        });
        let came = sizes.fold(0, usize::saturating_add);
        if came != expected {
            return Err(LayoutError::WrongOpaque { expected, came });
        }
        Ok(())
    }

    fn check_sums(&self, sum: usize) -> Result<(), LayoutError> {
        let in_header = self.fields.iter().filter(|&f| *f == Field::Checksum);
        let sums = in_header.count() + usize::from(self.trailer);
        match sums {
            _ if self.behind_trailer => Err(LayoutError::BehindTrailer),
            0 if sum > 0 => Err(LayoutError::NoChecksumField),
            1 if sum == 0 => Err(LayoutError::NoChecksumType),
            0 | 1 => Ok(()),
            _ => Err(LayoutError::TwoChecksums),
        }
    }
}

/// Why a [`Layout`] is not one of an [`Envelope`](crate::Envelope).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// There is no length: nobody could tell where a frame ends.
    NoLength,
    /// There is more than one length.
    TwoLengths,
    /// There is more than one checksum, the trailer included.
    TwoChecksums,
    /// There is a checksum in the layout, but the codec's second type parameter is
    /// [`NoChecksum`](crate::NoChecksum).
    NoChecksumType,
    /// The codec's second type parameter is a checksum, but none is in the layout.
    NoChecksumField,
    /// There is a field behind the trailer.
    BehindTrailer,
    /// The opaque fields are not of as many bytes as the codec's first type parameter says.
    WrongOpaque {
        /// The type parameter.
        expected: usize,
        /// The bytes of all opaque fields.
        came: usize,
    },
    /// What the length counts beside the payload is already more than it can say.
    CountsTooMuch {
        /// Bytes that are counted beside the payload.
        counted: usize,
        /// The most that the length can say.
        most: u64,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("layout of an envelope: ")?;
        match self {
            Self::NoLength => f.write_str("no length, expected one"),
            Self::TwoLengths => f.write_str("more than one length, expected one"),
            Self::TwoChecksums => f.write_str("more than one checksum, expected one at most"),
            Self::NoChecksumType => f.write_str("a checksum, but the codec's type names none"),
            Self::NoChecksumField => f.write_str("no checksum, but the codec's type names one"),
            Self::BehindTrailer => f.write_str("a field behind the trailer, expected none"),
            Self::WrongOpaque { expected, came } => write!(
                f,
                "opaque fields of {came} bytes in all, but the codec's type says {expected}"
            ),
            Self::CountsTooMuch { counted, most } => write!(
                f,
                "the length counts {counted} bytes beside the payload, expected at most {most}, \
                 which is what it can say"
            ),
        }
    }
}

impl Error for LayoutError {}
