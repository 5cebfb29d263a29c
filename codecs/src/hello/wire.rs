//! The bytes of hellos and verdicts. The module above draws them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{HelloError, MAX_IDENTITY, Part, Refusal, Remote, swap::Incoming};

/// The most that a hello's length may announce: what this version has, and some for later ones.
const MAX_BODY: usize = 4096;

/// What a hello of this version has beside the magic, the length and the identity.
const FIXED: usize = 4 + 4 + 8 + 2;

pub(super) fn hello(ours: &super::Hello) -> BytesMut {
    let length = FIXED + ours.identity.len();
    let mut out = BytesMut::with_capacity(ours.magic.len() + 2 + length);
    out.put_slice(&ours.magic);
    out.put_u16(length as u16);
    out.put_u32(*ours.versions.start());
    out.put_u32(*ours.versions.end());
    out.put_u64(ours.all_features());
    out.put_u16(ours.identity.len() as u16);
    out.put_slice(&ours.identity);
    out
}

pub(super) fn verdict(refusal: Option<&Refusal>) -> BytesMut {
    let (code, text) = refusal.map_or((0, ""), |refusal| (refusal.code(), refusal.text()));
    let mut out = BytesMut::with_capacity(3 + text.len());
    out.put_u16(code);
    out.put_u8(text.len() as u8);
    out.put_slice(text.as_bytes());
    out
}

/// A remote's hello, which begins the stream.
pub(super) struct Hello<'a> {
    pub(super) magic: &'a Bytes,
}

impl Incoming for Hello<'_> {
    /// What the remote says, and in how many bytes.
    type Item = (Remote, u64);

    fn size(&self, came: &[u8]) -> Result<usize, HelloError> {
        self.check_magic(came)?;
        let start = self.magic.len();
        let Some(&[high, low]) = came.get(start..).and_then(|rest| rest.first_chunk()) else {
            return Ok(start + 2);
        };
        let announced = u16::from_be_bytes([high, low]);
        let length = usize::from(announced);
        if !(FIXED..=MAX_BODY).contains(&length) {
            return Err(HelloError::Length {
                announced,
                least: FIXED,
                most: MAX_BODY,
                at: start as u64,
            });
        }
        Ok(start + 2 + length)
    }

    fn take(&self, came: &[u8]) -> Result<(Remote, u64), HelloError> {
        let start = self.magic.len() + 2;
        let remote = remote(&came[start..], start as u64)?;
        Ok((remote, came.len() as u64))
    }

    fn ended(&self, came: usize) -> HelloError {
        HelloError::Ended {
            inside: Part::Hello,
            came,
            at: 0,
        }
    }
}

impl Hello<'_> {
    fn check_magic(&self, came: &[u8]) -> Result<(), HelloError> {
        let wrong = self.magic.iter().zip(came).position(|(a, b)| a != b);
        wrong.map_or(Ok(()), |at| {
            Err(HelloError::Magic {
                expected: self.magic.clone(),
                came: Bytes::copy_from_slice(&came[..came.len().min(self.magic.len())]),
                at: at as u64,
            })
        })
    }
}

/// What is behind the length, at least `FIXED` bytes that begin at byte `at`.
fn remote(mut body: &[u8], at: u64) -> Result<Remote, HelloError> {
    let (oldest, newest) = (body.get_u32(), body.get_u32());
    if oldest > newest {
        return Err(HelloError::Versions { oldest, newest, at });
    }
    let features = body.get_u64();
    let announced = body.get_u16();
    let most = MAX_IDENTITY.min(body.len());
    let length = usize::from(announced);
    if length > most {
        return Err(HelloError::IdentityTooLong {
            announced,
            most,
            at: at + FIXED as u64 - 2,
        });
    }
    Ok(Remote {
        versions: oldest..=newest,
        features,
        identity: Bytes::copy_from_slice(&body[..length]),
    })
}

/// A remote's verdict, `None` if it accepts.
pub(super) struct Verdict {
    /// Where in the stream it begins.
    pub(super) at: u64,
}

impl Incoming for Verdict {
    type Item = Option<Refusal>;

    fn size(&self, came: &[u8]) -> Result<usize, HelloError> {
        Ok(3 + came.get(2).copied().map_or(0, usize::from))
    }

    fn take(&self, came: &[u8]) -> Result<Option<Refusal>, HelloError> {
        let code = u16::from_be_bytes([came[0], came[1]]);
        Ok((code != 0).then(|| Refusal::came(code, &came[3..])))
    }

    fn ended(&self, came: usize) -> HelloError {
        HelloError::Ended {
            inside: Part::Verdict,
            came,
            at: self.at,
        }
    }
}
