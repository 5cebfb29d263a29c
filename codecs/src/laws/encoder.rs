//! The laws of the encoder.

use std::{fmt::Debug, iter, slice};

use bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::{
    Law, Laws, Violation,
    stream::{Case, Failed, try_encode},
    violation::hex,
};

/// What is in the encoder's buffer before it encodes.
const THERE: &[u8] = b"\xde\xad\xbe\xef there before\r\n\0";
/// Room for any small frame.
const AMPLE: usize = 16 * 1024;

/// Buffers with the same content, each of another making.
fn buffers(content: &[u8]) -> [BytesMut; 3] {
    let tight = BytesMut::from(content);
    let mut ample = BytesMut::with_capacity(content.len() + AMPLE);
    ample.extend_from_slice(content);
    // Its beginning has been written to the socket already.
    let mut advanced = BytesMut::from(&b"gone"[..]);
    advanced.extend_from_slice(content);
    advanced.advance(4);
    [tight, ample, advanced]
}

impl<E, D, Out> Laws<'_, E, D, Out>
where
    E: Encoder<Out, Error: Debug>,
    D: Decoder<Item: Debug, Error: Debug>,
    Out: Clone + Debug,
{
    /// [`Law::EncoderAppends`]: into a buffer without room, with room, and one that has been read
    /// from.
    ///
    /// # Errors
    ///
    /// The violation.
    pub fn encoder_appends(&self) -> Result<(), Violation> {
        for message in &self.messages {
            for there in [&[], THERE] {
                buffers(there)
                    .into_iter()
                    .try_for_each(|dst| self.appends(message, there, dst))?;
            }
        }
        Ok(())
    }

    fn appends(&self, message: &Out, there: &[u8], mut dst: BytesMut) -> Result<(), Violation> {
        let (mut encoder, decoder) = self.make();
        self.encode(Law::EncoderAppends, &mut encoder, message, &mut dst)?;
        let case = Case {
            law: Law::EncoderAppends,
            messages: slice::from_ref(message),
            wire: &dst,
            cuts: &[],
        };
        if !dst.starts_with(there) {
            let expected = format!("the buffer still begins with {}", hex(there));
            return Err(self.broken(case, expected, format!("the buffer is {}", hex(&dst))));
        }
        let mut reader = self.reader(decoder);
        let events = reader.feed(iter::once(&dst[there.len()..]));
        self.are(case, &events, slice::from_ref(message))
    }

    /// [`Law::FailedEncode`], with what [`unencodable`](Self::unencodable) and
    /// [`oversized`](Self::oversized) have given; without any, there is nothing to check.
    ///
    /// # Errors
    ///
    /// The violation.
    pub fn failed_encode(&self) -> Result<(), Violation> {
        let all = self.unencodable.iter().chain(&self.oversized);
        all.flat_map(|bad| [(bad, &b""[..]), (bad, THERE)])
            .try_for_each(|(bad, there)| {
                buffers(there)
                    .into_iter()
                    .try_for_each(|dst| self.fails_cleanly(bad, there, dst))
            })
    }

    fn fails_cleanly(&self, bad: &Out, there: &[u8], mut dst: BytesMut) -> Result<(), Violation> {
        let (mut encoder, decoder) = self.make();
        self.refuses(Law::FailedEncode, &mut encoder, bad, &mut dst)?;
        let case = Case {
            law: Law::FailedEncode,
            messages: slice::from_ref(bad),
            wire: &dst,
            cuts: &[],
        };
        if dst != there {
            let expected = format!("the buffer is still {}", hex(there));
            return Err(self.broken(case, expected, format!("the buffer is {}", hex(&dst))));
        }
        self.encodes_on(bad, encoder, decoder)
    }

    /// Between any two messages that are encoded, one that can't be makes no difference.
    fn encodes_on(&self, bad: &Out, mut encoder: E, decoder: D) -> Result<(), Violation> {
        let mut wire = BytesMut::new();
        for message in &self.messages {
            self.encode(Law::FailedEncode, &mut encoder, message, &mut wire)?;
            self.refuses(Law::FailedEncode, &mut encoder, bad, &mut wire)?;
        }
        let mut reader = self.reader(decoder);
        let events = reader.feed(iter::once(&wire[..]));
        let case = Case {
            law: Law::FailedEncode,
            messages: &self.messages,
            wire: &wire,
            cuts: &[],
        };
        self.are(case, &events, &self.messages)
    }

    /// Encodes a message that must not be encodable.
    pub(super) fn refuses(
        &self,
        law: Law,
        encoder: &mut E,
        bad: &Out,
        dst: &mut BytesMut,
    ) -> Result<(), Violation> {
        let came = match try_encode(encoder, bad, dst) {
            Err(Failed::Error(_)) => return Ok(()),
            Err(failed) => failed.describe(),
            Ok(()) => "encode: Ok(())".to_owned(),
        };
        let case = Case {
            law,
            messages: slice::from_ref(bad),
            wire: dst,
            cuts: &[],
        };
        Err(self.broken(case, "an error of encode", came))
    }
}
