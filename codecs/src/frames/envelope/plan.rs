//! How a layout is read and written: [`Plan`].

use std::sync::Arc;

use bytes::Bytes;

use super::{
    EnvelopeError,
    layout::{Counts, Field},
    template::{Template, Templates},
};
use crate::Length;

/// A layout that was found to be in order, and what is worth knowing about it.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) fields: Arc<[Field]>,
    pub(super) length: Length,
    /// Bytes of the header without the length.
    pub(super) fixed: usize,
    /// Bytes of the checksum, wherever it is.
    pub(super) sum: usize,
    /// Bytes of the trailer, 0 without one.
    pub(super) trailer: usize,
    pub(super) counts: Counts,
    /// The cap on the payload in bytes, which is not more than the length can say.
    pub(super) most: usize,
    pub(super) templates: Templates,
}

/// What a header says.
#[derive(Debug)]
pub(super) struct Header<const N: usize> {
    pub(super) opaque: [u8; N],
    /// Bytes of the header itself.
    pub(super) len: usize,
    /// Bytes of the payload, not more than the cap.
    pub(super) payload: usize,
    /// Where in the header the checksum is, if it is there.
    pub(super) checksum_at: usize,
}

impl Plan {
    /// Reads the header of the frame that begins `src`, and `at` this byte of the stream. `None` if
    /// not all of the header is there, and nothing wrong with what is.
    #[inline]
    pub(super) fn header<const N: usize>(
        &self,
        src: &[u8],
        at: u64,
    ) -> Result<Option<Header<N>>, EnvelopeError> {
        let mut header = Header {
            opaque: [0; N],
            len: 0,
            payload: 0,
            checksum_at: 0,
        };
        let mut opaque = &mut header.opaque[..];
        for field in &self.fields[..] {
            let rest = &src[header.len..];
            let size = match field {
                Field::Magic(magic) => check_magic(magic, rest, at + header.len as u64)?,
                Field::Opaque(len) => *len,
                Field::Length(length) => {
                    let read = length.read(rest);
                    let Some((announced, size)) =
                        read.map_err(|_| EnvelopeError::Overlong { at })?
                    else {
                        return Ok(None);
                    };
                    header.payload = self.payload(announced, size, at)?;
                    size
                }
                Field::Checksum => {
                    header.checksum_at = header.len;
                    self.sum
                }
            };
            let Some(bytes) = rest.get(..size) else {
                return Ok(None);
            };
            if let Field::Opaque(_) = field {
                let (now, later) = opaque.split_at_mut(size);
                now.copy_from_slice(bytes);
                opaque = later;
            }
            header.len += size;
        }
        Ok(Some(header))
    }

    /// The least bytes that a frame has which `src` is the beginning of.
    pub(super) fn least<const N: usize>(&self, src: &[u8]) -> usize {
        match self.header::<N>(src, 0) {
            Ok(Some(header)) => header.payload.saturating_add(header.len + self.trailer),
            _ => (self.fixed + self.length.least(&[]) + self.trailer).max(src.len() + 1),
        }
    }

    /// What the length counts beside the payload, if it is itself of `size` bytes.
    pub(super) fn counted(&self, size: usize) -> usize {
        match self.counts {
            Counts::Also(bytes) => bytes,
            Counts::Frame => self.fixed + size + self.trailer,
        }
    }

    /// The size of the payload, if that is what a length of `size` bytes announces.
    fn payload(&self, announced: u64, size: usize, at: u64) -> Result<usize, EnvelopeError> {
        let least = self.counted(size);
        let Some(payload) = announced.checked_sub(least as u64) else {
            return Err(EnvelopeError::TooShort {
                announced,
                least,
                at,
            });
        };
        usize::try_from(payload)
            .ok()
            .filter(|&payload| payload <= self.most)
            .ok_or(EnvelopeError::TooLong {
                announced,
                most: self.most,
                at,
            })
    }

    /// How the header with this length is written.
    #[inline]
    pub(super) fn template(&self, announced: u64) -> &Template {
        match &self.templates {
            Templates::One(template) => template,
            Templates::BySize(all) => &all[self.length.size_of(announced) - 1],
        }
    }

    /// The length to write for a payload.
    #[inline]
    pub(super) fn announce(&self, payload: usize) -> Result<u64, EnvelopeError> {
        if payload > self.most {
            return Err(EnvelopeError::UnencodablyLong {
                len: payload,
                most: self.most,
            });
        }
        Ok(match self.counts {
            Counts::Also(bytes) => payload as u64 + bytes as u64,
            Counts::Frame => {
                let rest = self.fixed + payload + self.trailer;
                self.length.inclusive(rest as u64)
            }
        })
    }
}

/// Compares as much of the magic as is there; its size.
fn check_magic(magic: &Bytes, src: &[u8], at: u64) -> Result<usize, EnvelopeError> {
    let came = &src[..src.len().min(magic.len())];
    if magic.starts_with(came) {
        return Ok(magic.len());
    }
    Err(EnvelopeError::BadMagic {
        expected: magic.clone(),
        came: Bytes::copy_from_slice(came),
        at,
    })
}
