//! The handshake itself: [`Handshake`], and what it ends in: [`Session`].

use std::{collections::VecDeque, fmt};

use bytes::{Buf, Bytes, BytesMut};
use snow::HandshakeState;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::{Framed, FramedParts};

use super::{
    MOST_NOISE, NoiseCodec, NoiseError, PREFIX, PublicKey, SetupProblem, announced, whole,
};

/// Room for a handshake's messages without payloads; it grows as more arrives, whatever is announced.
const READ_ROOM: usize = 512;

/// A handshake of a [`snow::HandshakeState`] of one's own: any pattern, curve, and resolver that
/// `snow` can be given. [`Noise`](super::Noise) makes the usual ones.
///
/// # Examples
///
/// ```
/// # use tokio::io::duplex;
/// use wattle_codecs::noise::{Handshake, snow};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (ours, theirs) = duplex(64);
/// let builder = || Ok::<_, snow::Error>(snow::Builder::new("Noise_NN_25519_AESGCM_SHA512".parse()?));
/// let pea = Handshake::new(builder()?.build_initiator()?, 4096).payloads(["hello"]);
/// let bean = Handshake::new(builder()?.build_responder()?, 4096);
/// let (pea, bean) = tokio::try_join!(pea.run(ours), bean.run(theirs))?;
/// assert_eq!(bean.payloads, ["hello"]);
/// # Ok(())
/// # }
/// ```
pub struct Handshake {
    state: HandshakeState,
    most: usize,
    payloads: VecDeque<Bytes>,
    received: Vec<Bytes>,
    remote: Option<PublicKey>,
    rekey_every: Option<u64>,
}

/// What a handshake ends in.
#[non_exhaustive]
pub struct Session<IO> {
    /// The session's messages. Those that came right behind the handshake are in its read buffer.
    pub framed: Framed<IO, NoiseCodec>,
    /// The static key that the remote has shown to hold, if the pattern has one for it. To the responder
    /// of [IK](super::Noise::ik) it is shown only with the first message of the session that comes.
    pub remote_static: Option<PublicKey>,
    /// A hash over the whole handshake, the same at both sides and no other session's: what to sign to
    /// bind an identity to this channel (section 11.2 of the specification). It isn't secret.
    pub handshake_hash: Vec<u8>,
    /// What went along with each of the remote's messages of the handshake, empty or not.
    pub payloads: Vec<Bytes>,
}

impl Handshake {
    /// Goes on with `state` where it stands; its messages are to be all that is sent. `most` is the
    /// cap in bytes on a message of the session, sent or received.
    pub fn new(state: HandshakeState, most: usize) -> Self {
        Self {
            state,
            most,
            payloads: VecDeque::new(),
            received: Vec::new(),
            remote: None,
            rekey_every: None,
        }
    }

    /// What goes along with this side's messages, first to last; nothing with those behind.
    pub fn payloads<P: Into<Bytes>>(mut self, payloads: impl IntoIterator<Item = P>) -> Self {
        self.payloads = payloads.into_iter().map(Into::into).collect();
        self
    }

    /// As [`Noise::remote`](super::Noise::remote).
    pub fn remote(mut self, remote: PublicKey) -> Self {
        self.remote = Some(remote);
        self
    }

    /// As [`Noise::rekey_every`](super::Noise::rekey_every).
    pub fn rekey_every(mut self, messages: u64) -> Self {
        self.rekey_every = Some(messages);
        self
    }

    /// Runs it, as the side that the state was built for.
    ///
    /// # Errors
    ///
    /// Each [`NoiseError`] of a handshake.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has used up the stream. It waits for the remote as long as the caller lets it.
    pub async fn run<IO>(mut self, mut io: IO) -> Result<Session<IO>, NoiseError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        if self.rekey_every == Some(0) {
            return Err(SetupProblem::RekeyEveryZero.into());
        }
        let mut came = BytesMut::with_capacity(READ_ROOM);
        let mut message = 0;
        while !self.state.is_handshake_finished() {
            message += 1;
            if self.state.is_my_turn() {
                io.write_all(&self.write(message)?).await?;
                io.flush().await?;
            } else {
                let len = receive(&mut io, &mut came, message).await?;
                self.read(&came[PREFIX..][..len], message)?;
                came.advance(PREFIX + len);
            }
        }
        self.finish(io, came)
    }

    /// The next message of this side, as a frame.
    fn write(&mut self, message: usize) -> Result<Vec<u8>, NoiseError> {
        let payload = self.payloads.pop_front().unwrap_or_default();
        let mut written = vec![0; MOST_NOISE];
        let len = match self.state.write_message(&payload, &mut written) {
            Ok(len) => len,
            Err(snow::Error::Input) => {
                let len = payload.len();
                return Err(SetupProblem::PayloadTooLong { message, len }.into());
            }
            Err(error) => return Err(SetupProblem::Snow(error).into()),
        };
        // Not more than `written` has room for.
        let prefix = (len as u16).to_be_bytes();
        Ok([&prefix, &written[..len]].concat())
    }

    /// Takes a message of the remote.
    fn read(&mut self, came: &[u8], message: usize) -> Result<(), NoiseError> {
        let mut payload = BytesMut::zeroed(came.len());
        match self.state.read_message(came, &mut payload) {
            Ok(len) => payload.truncate(len),
            Err(snow::Error::Decrypt) => return Err(NoiseError::HandshakeDecrypt { message }),
            Err(snow::Error::Input | snow::Error::Dh) => {
                let len = came.len();
                return Err(NoiseError::HandshakeMalformed { message, len });
            }
            Err(error) => return Err(SetupProblem::Snow(error).into()),
        }
        self.received.push(payload.freeze());
        // Now, and not at the end: this side doesn't show its own key to somebody else.
        match self.remote_static() {
            Some(key) if key.is_nobodys() => {
                let len = came.len();
                Err(NoiseError::HandshakeMalformed { message, len })
            }
            Some(key) => self.expect_remote(Some(key)),
            None => Ok(()),
        }
    }

    fn remote_static(&self) -> Option<PublicKey> {
        self.state.get_remote_static().and_then(PublicKey::new)
    }

    fn expect_remote(&self, came: Option<PublicKey>) -> Result<(), NoiseError> {
        match self.remote {
            Some(expected) if came != Some(expected) => Err(NoiseError::WrongRemote {
                expected: Box::new(expected),
                came: came.map(Box::new),
            }),
            _ => Ok(()),
        }
    }

    fn finish<IO>(self, io: IO, came: BytesMut) -> Result<Session<IO>, NoiseError>
    where
        IO: AsyncRead + AsyncWrite,
    {
        let remote_static = self.remote_static();
        self.expect_remote(remote_static)?;
        if !self.payloads.is_empty() {
            let left = self.payloads.len();
            return Err(SetupProblem::PayloadLeft { left }.into());
        }
        let handshake_hash = self.state.get_handshake_hash().to_vec();
        let transport = self
            .state
            .into_stateless_transport_mode()
            .map_err(SetupProblem::Snow)?;
        let codec = NoiseCodec::new(transport, self.rekey_every, self.most);
        let mut parts = FramedParts::new::<Bytes>(io, codec);
        parts.read_buf = came;
        Ok(Session {
            framed: Framed::from_parts(parts),
            remote_static,
            handshake_hash,
            payloads: self.received,
        })
    }
}

/// Reads until `came` begins with a whole message, and says how long that is.
async fn receive<IO>(io: &mut IO, came: &mut BytesMut, message: usize) -> Result<usize, NoiseError>
where
    IO: AsyncRead + Unpin,
{
    loop {
        let len = announced(came);
        if let Some(len) = len
            && whole(came, len).is_some()
        {
            return Ok(len);
        }
        // More room only when there is none left: by doubling what has come.
        came.reserve(1);
        if io.read_buf(came).await? == 0 {
            return Err(match came.len() {
                0 => NoiseError::Closed { message },
                came => NoiseError::HandshakeTruncated {
                    message,
                    expected: PREFIX + len.unwrap_or(0),
                    came,
                },
            });
        }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("initiator", &self.state.is_initiator())
            .field("remote", &self.remote)
            .field("rekey_every", &self.rekey_every)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl<IO> fmt::Debug for Session<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("codec", self.framed.codec())
            .field("remote_static", &self.remote_static)
            .finish_non_exhaustive()
    }
}
