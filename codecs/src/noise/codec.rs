//! The session behind the handshake: [`NoiseCodec`].

use std::{fmt, mem};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use snow::{StatelessTransportState, error::StateProblem};
use tokio_util::codec::{Decoder, Encoder};

use super::{FULL, NoiseError, PREFIX, TAG, announced, whole};
use crate::position::Position;

/// How many messages before the expected one, and how many behind it, a message is compared with that
/// doesn't decrypt. It happens once in a connection's life; each costs about as much as a message.
const NEIGHBOURS: u64 = 64;

/// So many bytes are decrypted for that at most, and at least the next neighbours: a stranger who sends a large
/// message that is none costs no more than a few dozen of them.
const TRIAL_BYTES: u64 = 1024 * 1024;

/// Encrypts and decrypts the messages of a session; the [module](super) draws their layout.
///
/// It comes out of a [handshake](super::Noise) and lives as long as the session: it can't be cloned,
/// because two that encrypt with the same key and nonce tell everything.
///
/// Memory for a message that is split grows as its parts arrive; between two messages the codec holds
/// a few hundred bytes.
///
/// # Errors
///
/// [`NoiseError`]. None is recoverable: behind a message that doesn't decrypt, nothing does.
pub struct NoiseCodec {
    transport: StatelessTransportState,
    rekey_every: Option<u64>,
    most: usize,
    /// Noise messages so far, and thereby the next nonce.
    sent: u64,
    /// The same in the other direction.
    received: u64,
    /// The parts of a message that isn't all there: full ones, so that none of it means none.
    message: BytesMut,
    position: Position,
}

impl NoiseCodec {
    pub(super) fn new(
        transport: StatelessTransportState,
        rekey_every: Option<u64>,
        most: usize,
    ) -> Self {
        Self {
            transport,
            rekey_every,
            most,
            sent: 0,
            received: 0,
            message: BytesMut::new(),
            position: Position::default(),
        }
    }

    /// Takes a new key for what is encoded from now on, whatever
    /// [`rekey_every`](super::Noise::rekey_every) says. The remote has to do the same with
    /// [`rekey_incoming`](Self::rekey_incoming) exactly there; both have to agree on where.
    pub fn rekey_outgoing(&mut self) {
        self.transport.rekey_outgoing();
    }

    /// Takes a new key for what is decoded from now on. The last item that was decoded is the last one
    /// under the old key.
    pub fn rekey_incoming(&mut self) {
        self.transport.rekey_incoming();
    }

    /// Appends a Noise message as a frame.
    fn seal(&mut self, part: &[u8], dst: &mut BytesMut) -> Result<(), NoiseError> {
        let len = part.len() + TAG;
        // At most `FULL + TAG`, which is what 16 bits can say.
        dst.put_u16(len as u16);
        let begin = dst.len();
        dst.resize(begin + len, 0);
        self.transport
            .write_message(self.sent, part, &mut dst[begin..])
            .map_err(refused)?;
        self.sent += 1;
        if is_due(self.rekey_every, self.sent) {
            self.transport.rekey_outgoing();
        }
        Ok(())
    }

    /// The length of the Noise message that `src` begins with, if it may have that.
    fn announced(&self, src: &[u8]) -> Result<Option<usize>, NoiseError> {
        let Some(len) = announced(src) else {
            return Ok(None);
        };
        let at = self.position.get();
        let least = TAG;
        let Some(part) = len.checked_sub(least) else {
            return Err(NoiseError::TooShort { len, least, at });
        };
        let len_so_far = self.message.len() + part;
        if len_so_far > self.most {
            return Err(NoiseError::TooLong {
                len: len_so_far,
                most: self.most,
                at,
            });
        }
        Ok(Some(len))
    }

    /// Appends what a Noise message holds to the message that is being put together.
    fn open(&mut self, frame: &[u8]) -> Result<(), NoiseError> {
        let begin = self.message.len();
        self.message.resize(begin + frame.len() - TAG, 0);
        let part = &mut self.message[begin..];
        let opened = match self.transport.read_message(self.received, frame, part) {
            Ok(_) => Ok(()),
            Err(snow::Error::Decrypt) => Err(self.explain(frame, begin)),
            Err(error) => Err(refused(error)),
        };
        if opened.is_err() {
            self.message.truncate(begin);
            return opened;
        }
        self.received += 1;
        if is_due(self.rekey_every, self.received) {
            self.transport.rekey_incoming();
        }
        Ok(())
    }

    /// What a frame is that isn't the expected one. Whatever it decrypts to is thrown away.
    fn explain(&mut self, frame: &[u8], begin: usize) -> NoiseError {
        let (expected, at) = (self.received, self.position.get());
        let reach = (TRIAL_BYTES / (2 * frame.len() as u64)).clamp(1, NEIGHBOURS);
        let earlier = (expected.saturating_sub(reach)..expected).rev();
        let later = (expected..=expected.saturating_add(reach)).skip(1);
        let part = &mut self.message[begin..];
        let came = earlier
            .chain(later)
            .find(|&nonce| self.transport.read_message(nonce, frame, part).is_ok());
        match came {
            Some(came) if came < expected => NoiseError::Replayed { expected, came, at },
            Some(came) => NoiseError::Skipped { expected, came, at },
            None => NoiseError::Tampered { expected, at },
        }
    }
}

/// Whether the key is to be changed, now that there have been so many messages.
fn is_due(rekey_every: Option<u64>, messages: u64) -> bool {
    rekey_every.is_some_and(|every| messages.is_multiple_of(every))
}

/// What `snow` refuses to do, whatever the bytes.
fn refused(error: snow::Error) -> NoiseError {
    match error {
        snow::Error::State(StateProblem::OneWay) => NoiseError::OneWay,
        snow::Error::State(StateProblem::Exhausted) => NoiseError::Exhausted,
        error => NoiseError::Setup(super::SetupProblem::Snow(error)),
    }
}

impl Decoder for NoiseCodec {
    type Item = Bytes;
    type Error = NoiseError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, NoiseError> {
        while let Some(len) = self.announced(src)? {
            let Some(frame) = whole(src, len) else {
                src.reserve(PREFIX + len - src.len());
                return Ok(None);
            };
            self.open(&src[frame])?;
            src.advance(PREFIX + len);
            self.position.advance(PREFIX + len);
            if len < FULL + TAG {
                return Ok(Some(mem::take(&mut self.message).freeze()));
            }
        }
        Ok(None)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, NoiseError> {
        if let Some(message) = self.decode(src)? {
            return Ok(Some(message));
        }
        let at = self.position.get();
        if !src.is_empty() {
            return Err(NoiseError::Truncated {
                expected: PREFIX + announced(src).unwrap_or(0),
                came: src.len(),
                at,
            });
        }
        match self.message.len() {
            0 => Ok(None),
            came => Err(NoiseError::Unfinished { came, at }),
        }
    }
}

impl Encoder<Bytes> for NoiseCodec {
    type Error = NoiseError;

    fn encode(&mut self, message: Bytes, dst: &mut BytesMut) -> Result<(), NoiseError> {
        let (len, most) = (message.len(), self.most);
        if len > most {
            return Err(NoiseError::UnencodablyLong { len, most });
        }
        // All that could fail is found before a nonce is used or a key changed.
        let parts = len / FULL + 1;
        if self.sent.checked_add(parts as u64).is_none() {
            return Err(NoiseError::Exhausted);
        }
        dst.reserve(len + parts * (PREFIX + TAG));
        let begin = dst.len();
        for part in 0..parts {
            let part = &message[part * FULL..len.min((part + 1) * FULL)];
            self.seal(part, dst).inspect_err(|_| dst.truncate(begin))?;
        }
        Ok(())
    }
}

impl fmt::Debug for NoiseCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoiseCodec")
            .field("sent", &self.sent)
            .field("received", &self.received)
            .field("rekey_every", &self.rekey_every)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use snow::Builder;

    use super::*;

    fn pair(most: usize) -> (NoiseCodec, NoiseCodec) {
        let params = "Noise_NN_25519_ChaChaPoly_BLAKE2s";
        let build = || Builder::new(params.parse().expect("a name"));
        let mut pea = build().build_initiator().expect("an initiator");
        let mut bean = build().build_responder().expect("a responder");
        let (mut wire, mut payload) = ([0; 128], [0; 128]);
        let len = pea.write_message(&[], &mut wire).expect("written");
        bean.read_message(&wire[..len], &mut payload).expect("read");
        let len = bean.write_message(&[], &mut wire).expect("written");
        pea.read_message(&wire[..len], &mut payload).expect("read");
        let codec = |state: snow::HandshakeState| {
            NoiseCodec::new(
                state.into_stateless_transport_mode().expect("done"),
                None,
                most,
            )
        };
        (codec(pea), codec(bean))
    }

    #[test]
    fn the_last_nonce_is_used_and_the_reserved_one_isnt() {
        let (mut pea, mut bean) = pair(usize::MAX);
        pea.sent = u64::MAX - 1;
        bean.received = u64::MAX - 1;
        let mut wire = BytesMut::new();
        pea.encode(Bytes::from("last"), &mut wire).expect("encoded");
        let last = wire.clone();
        assert!(matches!(
            pea.encode(Bytes::from("one too many"), &mut wire),
            Err(NoiseError::Exhausted)
        ));
        assert_eq!(wire, last);
        assert_eq!(
            bean.decode(&mut wire).expect("decoded"),
            Some(Bytes::from("last"))
        );
        wire.extend_from_slice(&last);
        assert!(matches!(bean.decode(&mut wire), Err(NoiseError::Exhausted)));
    }

    #[test]
    fn a_split_message_that_would_run_out_of_nonces_uses_none() {
        let (mut pea, mut bean) = pair(usize::MAX);
        pea.sent = u64::MAX - 2;
        bean.received = u64::MAX - 2;
        let mut wire = BytesMut::new();
        let long = Bytes::from(vec![0; 2 * FULL]);
        assert!(matches!(
            pea.encode(long, &mut wire),
            Err(NoiseError::Exhausted)
        ));
        assert!(wire.is_empty());
        let fits = Bytes::from(vec![0; FULL]);
        pea.encode(fits.clone(), &mut wire).expect("encoded");
        assert_eq!(bean.decode(&mut wire).expect("decoded"), Some(fits));
    }

    #[test]
    fn between_messages_no_memory_is_kept() {
        let (mut pea, mut bean) = pair(1 << 20);
        let mut wire = BytesMut::new();
        let long = Bytes::from(vec![1; 1 << 20]);
        pea.encode(long.clone(), &mut wire).expect("encoded");
        assert_eq!(bean.decode(&mut wire).expect("decoded"), Some(long));
        assert_eq!(bean.message.capacity(), 0);
    }
}
