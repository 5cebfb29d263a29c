//! How headers are written: [`Template`].

use std::{ops::Range, sync::Arc};

use bytes::BytesMut;

use super::layout::Field;
use crate::Length;

/// So many bytes are copied at once, without a call.
const BLOCK: usize = 32;

/// All templates of a layout: one for each size of the length.
#[derive(Debug, Clone)]
pub(super) enum Templates {
    One(Template),
    /// Of varints, whose sizes begin with 1.
    BySize(Arc<[Template]>),
}

impl Templates {
    /// With a checksum of `sum` bytes.
    pub(super) fn new(fields: &[Field], length: Length, sum: usize) -> Self {
        let template = |size| Template::new(fields, size, sum);
        match length.size_of(length.most()) {
            most if length == Length::Varint => Self::BySize((1..=most).map(template).collect()),
            size => Self::One(template(size)),
        }
    }
}

/// A header as it is written, but for what differs from frame to frame.
#[derive(Debug, Clone)]
pub(super) struct Template {
    /// The magic in its place, zeros elsewhere and behind the header.
    first: [u8; BLOCK],
    /// What is behind the first block, if the header is that long.
    more: Arc<[[u8; BLOCK]]>,
    /// Bytes of the header.
    len: usize,
    opaque: Opaque,
    /// Where the length is.
    pub(super) length: usize,
    /// Where the checksum is, if it is there.
    pub(super) checksum: usize,
}

/// Where the opaque fields are.
#[derive(Debug, Clone)]
enum Opaque {
    /// All of it is one field, as it mostly is: where that begins.
    Whole(usize),
    Parts(Arc<[Range<usize>]>),
}

impl Template {
    /// With a length of `size` bytes and a checksum of `sum`.
    fn new(fields: &[Field], size: usize, sum: usize) -> Self {
        let mut bytes = Vec::new();
        let mut opaque = Vec::new();
        let (mut length, mut checksum) = (0, 0);
        for field in fields {
            let place = bytes.len()..bytes.len() + field.size(size, sum);
            bytes.resize(place.end, 0);
            match field {
                Field::Magic(magic) => bytes[place].copy_from_slice(magic),
                Field::Opaque(_) => opaque.push(place),
                Field::Length(_) => length = place.start,
                Field::Checksum => checksum = place.start,
            }
        }
        let len = bytes.len();
        bytes.resize(len.next_multiple_of(BLOCK), 0);
        let [first, more @ ..] = bytes.as_chunks().0 else {
            unreachable!("a header has a length");
        };
        Self {
            first: *first,
            more: more.into(),
            len,
            opaque: match opaque[..] {
                [Range { start, .. }] => Opaque::Whole(start),
                ref parts => Opaque::Parts(parts.into()),
            },
            length,
            checksum,
        }
    }

    /// The room in bytes that [`append_to`](Self::append_to) needs; not less than the header.
    #[inline]
    pub(super) fn room(&self) -> usize {
        (1 + self.more.len()) * BLOCK
    }

    /// Appends the header, with zeros where frames differ.
    #[inline]
    pub(super) fn append_to(&self, dst: &mut BytesMut) {
        let end = dst.len() + self.len;
        dst.extend_from_slice(&self.first);
        for block in &self.more[..] {
            dst.extend_from_slice(block);
        }
        dst.truncate(end);
    }

    /// Writes the opaque fields into the header that begins `frame`.
    #[inline]
    pub(super) fn write_opaque<const N: usize>(&self, opaque: &[u8; N], frame: &mut [u8]) {
        let parts = match &self.opaque {
            // Of a size that is known when this is compiled.
            Opaque::Whole(at) => return frame[*at..][..N].copy_from_slice(opaque),
            Opaque::Parts(parts) => parts,
        };
        let mut rest = &opaque[..];
        for range in &parts[..] {
            let (bytes, later) = rest.split_at(range.len());
            frame[range.clone()].copy_from_slice(bytes);
            rest = later;
        }
    }
}
