//! The laws of memory: the cap, and what is reserved.

use std::{fmt::Debug, slice};

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use super::{Law, Laws, Violation, kit::CASES, stream::Case};

/// How much more than the cap may have come before the decoder has to say so: it need not look at
/// every byte, and the cap may be one of the payload alone.
pub const CAP_SLACK: usize = 64;
/// How much more than necessary a decoder may reserve: what `Framed` itself begins with.
pub const RESERVE_SLACK: usize = 8 * 1024;
/// How far ahead of the bytes that have come a decoder may reserve, whatever was announced, while
/// fewer than this many have come.
pub const ROOM_AHEAD: usize = 64 * 1024;

/// Of each message's frame, so many bytes are taken for a length.
pub(super) const HEAD: usize = 16;
/// So many bytes are read one by one when what is reserved is watched.
const BY_BYTE: usize = 40;
/// Frames to damage; more would show no more.
pub(super) const FRAMES: usize = 4;

impl<E, D, Out> Laws<'_, E, D, Out>
where
    E: Encoder<Out, Error: Debug>,
    D: Decoder<Item: Debug, Error: Debug>,
    Out: Clone + Debug,
{
    /// [`Law::Cap`], with what [`cap`](Self::cap), [`oversized`](Self::oversized) and
    /// [`uncapped`](Self::uncapped) have given; without, there is nothing to check.
    ///
    /// # Errors
    ///
    /// The violation.
    pub fn cap_holds(&self) -> Result<(), Violation> {
        if let Some(cap) = self.cap {
            self.nothing_is_larger(cap)?;
        }
        for bad in &self.oversized {
            let (mut encoder, _) = self.make();
            self.refuses(Law::Cap, &mut encoder, bad, &mut BytesMut::new())?;
            match self.twin_of(bad) {
                None => {}
                Some(Ok(wire)) => self.is_refused(bad, &wire)?,
                Some(Err(error)) => return Err(self.no_twin(bad, error)),
            }
        }
        Ok(())
    }

    fn nothing_is_larger(&self, cap: usize) -> Result<(), Violation> {
        let stream = self.stream(Law::Cap, &self.messages)?;
        for (i, message) in self.messages.iter().enumerate() {
            let wire = &stream.wire[stream.begin(i)..stream.ends[i]];
            if wire.len() > cap {
                let case = cap_case(message, wire, &[]);
                let expected = format!("a frame of at most {cap} bytes");
                return Err(self.broken(case, expected, format!("one of {}", wire.len())));
            }
        }
        Ok(())
    }

    fn no_twin(&self, bad: &Out, error: String) -> Violation {
        let case = cap_case(bad, &[], &[]);
        self.broken(
            case,
            "the uncapped codec encodes it",
            format!("error {error}"),
        )
    }

    /// A frame beyond the cap, byte by byte.
    fn is_refused(&self, bad: &Out, wire: &[u8]) -> Result<(), Violation> {
        let mut reader = self.fresh_reader();
        let most = self.cap.unwrap_or(wire.len()).saturating_add(CAP_SLACK);
        for (i, &byte) in wire.iter().enumerate() {
            let case = cap_case(bad, wire, &[]);
            reader.read(&[byte]);
            match reader.decode() {
                None if i < most => {}
                None => {
                    let expected = format!("an error before more than {most} bytes have come");
                    let came = format!("after {} bytes the decoder waits for more", i + 1);
                    return Err(self.broken(case, expected, came));
                }
                Some(super::reader::Event::Error { .. }) => return Ok(()),
                Some(event) => {
                    return Err(self.broken(case, "an error", event.describe()));
                }
            }
        }
        let came = "the decoder waits for more bytes";
        Err(self.broken(cap_case(bad, wire, &[]), "an error", came))
    }

    /// [`Law::Reserve`]: the capacity of the decoder's buffer is watched while frames come byte by
    /// byte whose first bytes, where lengths are, have been changed; and those of
    /// [`oversized`](Self::oversized) messages.
    ///
    /// A decoder may make room for [`ROOM_AHEAD`] bytes, or the cap if that is less, or as
    /// many as it has got; and for [`RESERVE_SLACK`] more.
    ///
    /// # Errors
    ///
    /// The violation.
    pub fn reserve(&self) -> Result<(), Violation> {
        for bad in &self.oversized {
            if let Some(Ok(wire)) = self.twin_of(bad) {
                self.reserves_little(slice::from_ref(bad), &wire)?;
            }
        }
        let stream = self.stream(Law::Reserve, &self.messages)?;
        self.reserves_little(&self.messages, &stream.wire)?;
        for message in self.messages.iter().take(FRAMES) {
            let message = slice::from_ref(message);
            let frame = self.stream(Law::Reserve, message)?.wire;
            for wire in with_other_lengths(&frame).step_by(self.stride()) {
                self.reserves_little(message, &wire)?;
            }
        }
        Ok(())
    }

    pub(super) fn reserves_little(&self, messages: &[Out], wire: &[u8]) -> Result<(), Violation> {
        let mut reader = self.fresh_reader();
        let by_byte = wire.len().min(BY_BYTE);
        let rest = (by_byte..wire.len())
            .step_by((wire.len() / 8).max(1))
            .skip(1);
        let cuts: Vec<_> = (1..=by_byte).chain(rest).collect();
        for bytes in super::violation::chunks(wire, &cuts) {
            reader.read(bytes);
            // Capacity that was there before would hide what the decoder reserves.
            reader.src = BytesMut::from(&reader.src[..]);
            let buffered = reader.src.len();
            reader.drain(&mut Vec::new());
            let capacity = reader.src.capacity();
            let most = buffered + self.room_ahead(buffered);
            if capacity > most {
                let case = reserve_case(messages, wire, &cuts);
                let expected = format!("a capacity of at most {most} for {buffered} bytes");
                return Err(self.broken(case, expected, format!("a capacity of {capacity}")));
            }
        }
        Ok(())
    }

    /// With fewer cases than usual, fewer damaged headers.
    pub(super) fn stride(&self) -> usize {
        CASES.div_ceil(self.cases.max(1))
    }

    fn room_ahead(&self, buffered: usize) -> usize {
        let ahead = self.cap.map_or(ROOM_AHEAD, |cap| cap.min(ROOM_AHEAD));
        ahead.max(buffered) + RESERVE_SLACK
    }
}

fn cap_case<'c, Out>(message: &'c Out, wire: &'c [u8], cuts: &'c [usize]) -> Case<'c, Out> {
    Case {
        law: Law::Cap,
        messages: slice::from_ref(message),
        wire,
        cuts,
    }
}

fn reserve_case<'c, Out>(messages: &'c [Out], wire: &'c [u8], cuts: &'c [usize]) -> Case<'c, Out> {
    Case {
        law: Law::Reserve,
        messages,
        wire,
        cuts,
    }
}

/// The frame with others of its first bytes, where its length is: small changes before large ones, so that a
/// decoder that reserves what it reads is found out by megabytes and not by terabytes, which
/// abort the process.
pub(super) fn with_other_lengths(frame: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    const VALUES: [u8; 7] = [0x01, 0x10, b'9', 0x40, 0x7f, 0x80, 0xff];
    let positions = positions(frame);
    [1, 2, 4, 8].into_iter().flat_map(move |width| {
        let positions = positions.clone();
        positions.into_iter().flat_map(move |at| {
            VALUES.into_iter().filter_map(move |value| {
                let mut changed = frame.to_vec();
                let end = frame.len().min(at + width);
                changed.get_mut(at..end)?.fill(value);
                Some(changed)
            })
        })
    })
}

/// Those of a wide length in big endian from its least significant byte on, otherwise from the
/// second byte of all.
fn positions(frame: &[u8]) -> Vec<usize> {
    let head = &frame[..frame.len().min(HEAD)];
    let zeros = head.iter().take_while(|&&byte| byte == 0).count();
    let from = if zeros >= 4 { zeros } else { 1 };
    let mut positions: Vec<_> = (0..head.len()).collect();
    positions.sort_by_key(|at| at.abs_diff(from));
    positions
}
