//! What both sides have to agree on, and the keys for it: [`Noise`].

use std::fmt;

use bytes::Bytes;
use snow::{
    Builder, HandshakeState,
    params::{DHChoice, HandshakeModifier, HandshakePattern, NoiseParams},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Handshake, Keypair, NoiseError, PublicKey, Session, SetupProblem, keys::KEY};

/// What a Noise protocol is called behind its pattern, unless it is [named](Noise::named).
const SUITE: &str = "25519_ChaChaPoly_BLAKE2s";

/// A Noise protocol with this side's keys: made once, run with each connection.
///
/// `most` is the cap in bytes on a message of the session, sent or received.
///
/// # Examples
///
/// The dialer knows whom it dials, and both know a secret, as in WireGuard's handshake:
///
/// ```
/// # use wattle_codecs::noise::{Keypair, Noise, NoiseError};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), NoiseError> {
/// # let (dialed, accepted) = tokio::io::duplex(1024);
/// # let (pea, bean) = (Keypair::generate()?, Keypair::generate()?);
/// # let (bean_public, secret) = (bean.public(), [7; 32]);
/// let pea = Noise::ik(pea, 65_519).psk(2, secret).prologue("garden 1").remote(bean_public);
/// let bean = Noise::ik(bean, 65_519).psk(2, secret).prologue("garden 1");
/// let sessions = tokio::try_join!(pea.initiate(dialed), bean.respond(accepted))?;
/// assert_eq!(sessions.0.handshake_hash, sessions.1.handshake_hash);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Noise {
    pattern: HandshakePattern,
    /// The positions of the pre-shared keys, as in the name.
    positions: Vec<u8>,
    suite: String,
    keypair: Option<Keypair>,
    remote: Option<PublicKey>,
    psks: Vec<(u8, [u8; KEY])>,
    prologue: Bytes,
    payload: Bytes,
    rekey_every: Option<u64>,
    most: usize,
}

impl Noise {
    /// `Noise_XX_25519_ChaChaPoly_BLAKE2s`: neither side knows the other's static key beforehand,
    /// each is handed it, encrypted. The initiator's is shown to a responder who has shown his.
    pub fn xx(keypair: Keypair, most: usize) -> Self {
        Self::new(HandshakePattern::XX, most).keypair(keypair)
    }

    /// `Noise_IK_25519_ChaChaPoly_BLAKE2s`: the initiator knows the responder's static key, which
    /// goes to [`remote`](Self::remote), and the responder is handed the initiator's.
    ///
    /// One message less to wait for than [`xx`](Self::xx). The first one can be replayed to the
    /// responder, whose handshake then succeeds, with the initiator's key; but no message of the session
    /// follows that decrypts. Until one has, the responder doesn't know who is there.
    pub fn ik(keypair: Keypair, most: usize) -> Self {
        Self::new(HandshakePattern::IK, most).keypair(keypair)
    }

    /// `Noise_NN_25519_ChaChaPoly_BLAKE2s`: nobody is authenticated, unless by a pre-shared key
    /// ([`psk`](Self::psk)). Without one it keeps out who only listens, and nobody else.
    pub fn nn(most: usize) -> Self {
        Self::new(HandshakePattern::NN, most)
    }

    /// The protocol of this name, such as `Noise_XXpsk3_25519_AESGCM_SHA256` (section 8 of the
    /// specification).
    ///
    /// # Errors
    ///
    /// [`SetupProblem::Unsupported`] for what `snow` doesn't know, and for other curves than 25519:
    /// those are run by [`Handshake`].
    pub fn named(name: &str, most: usize) -> Result<Self, NoiseError> {
        let unsupported = |source| SetupProblem::Unsupported {
            name: name.to_owned(),
            source,
        };
        let params: NoiseParams = name.parse().map_err(unsupported)?;
        if params.dh != DHChoice::Curve25519 {
            let problem = snow::error::PatternProblem::UnsupportedDhType;
            return Err(unsupported(problem.into()).into());
        }
        let positions = params.handshake.modifiers.list.iter().map(position);
        let positions: Option<Vec<u8>> = positions.collect();
        let Some(positions) = positions else {
            let problem = snow::error::PatternProblem::UnsupportedModifier;
            return Err(unsupported(problem.into()).into());
        };
        // Behind the base and the pattern, which the parser has seen to be there.
        let suite = name.splitn(3, '_').last().unwrap_or(SUITE);
        Ok(Self {
            positions,
            suite: suite.to_owned(),
            ..Self::new(params.handshake.pattern, most)
        })
    }

    fn new(pattern: HandshakePattern, most: usize) -> Self {
        Self {
            pattern,
            positions: Vec::new(),
            suite: SUITE.to_owned(),
            keypair: None,
            remote: None,
            psks: Vec::new(),
            prologue: Bytes::new(),
            payload: Bytes::new(),
            rekey_every: None,
            most,
        }
    }

    /// This side's static key.
    pub fn keypair(mut self, keypair: Keypair) -> Self {
        self.keypair = Some(keypair);
        self
    }

    /// The static key that the remote must have. The initiator of IK needs it; elsewhere any other
    /// is [`NoiseError::WrongRemote`], found as soon as the remote's key comes: before this side
    /// answers, and so before the initiator of XX shows its own.
    pub fn remote(mut self, remote: PublicKey) -> Self {
        self.remote = Some(remote);
        self
    }

    /// A key that both sides know, mixed in at this position: 0 at the beginning of the first
    /// message, *n* at the end of the *n*th. Changes the protocol's name, as in `NNpsk0`, unless it
    /// was [named](Self::named) so. With several, a key has to be given for each.
    ///
    /// Only a key of full entropy is safe here, no password.
    pub fn psk(mut self, position: u8, key: [u8; KEY]) -> Self {
        if !self.positions.contains(&position) {
            self.positions.push(position);
            self.positions.sort_unstable();
        }
        self.psks.retain(|&(other, _)| other != position);
        self.psks.push((position, key));
        self
    }

    /// What the two sides must have in common for the handshake to succeed: a version, or what they
    /// have negotiated in the clear.
    pub fn prologue(mut self, prologue: impl Into<Bytes>) -> Self {
        self.prologue = prologue.into();
        self
    }

    /// What goes along with the last message of the handshake that this side sends; the other
    /// one finds it at the end of [`Session::payloads`].
    ///
    /// In XX and IK it is encrypted, if less secret than the session (section 7.7 of the specification
    /// has the table). The initiator of IK sends it in the message that may be replayed.
    ///
    /// **In the clear** it goes where an initiator's only message comes before any key: in NN, and of the
    /// patterns to be [named](Self::named) in NX, KN, KX, IN, IX, NK1, KK1 and IK1. A
    /// pre-shared key at position 0 or 1 encrypts it; with one behind that, anybody can decrypt it.
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.payload = payload.into();
        self
    }

    /// Both sides take a new key after every `messages` Noise messages of the session, in each
    /// direction by its own count. The old key can't be had from the new one.
    ///
    /// Both sides have to say the same: otherwise the first message with a key that the other side
    /// doesn't use is [`NoiseError::Tampered`].
    pub fn rekey_every(mut self, messages: u64) -> Self {
        self.rekey_every = Some(messages);
        self
    }

    /// The protocol's name, as the specification writes it.
    pub fn name(&self) -> String {
        let modifiers: Vec<_> = self.positions.iter().map(|n| format!("psk{n}")).collect();
        let modifiers = modifiers.join("+");
        format!("Noise_{}{modifiers}_{}", self.pattern.as_str(), self.suite)
    }

    /// Runs the handshake as the side that speaks first: the dialer, as a rule.
    ///
    /// # Errors
    ///
    /// Each [`NoiseError`] of a handshake. In a pattern whose last message the initiator sends, such
    /// as XX, a responder who refuses it just closes: the session exists, and ends.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has used up the stream. It waits for the remote as long as the caller lets it.
    pub async fn initiate<IO>(&self, io: IO) -> Result<Session<IO>, NoiseError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.handshake(true)?.run(io).await
    }

    /// Runs the handshake as the side that listens first. Otherwise as [`initiate`](Self::initiate).
    ///
    /// # Errors
    ///
    /// As [`initiate`](Self::initiate).
    pub async fn respond<IO>(&self, io: IO) -> Result<Session<IO>, NoiseError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.handshake(false)?.run(io).await
    }

    fn handshake(&self, initiator: bool) -> Result<Handshake, NoiseError> {
        let mut handshake =
            Handshake::new(self.state(initiator)?, self.most).payloads(self.payloads(initiator));
        if let Some(remote) = self.remote {
            handshake = handshake.remote(remote);
        }
        if let Some(messages) = self.rekey_every {
            handshake = handshake.rekey_every(messages);
        }
        Ok(handshake)
    }

    /// Empty ones for all messages of this side but the last.
    fn payloads(&self, initiator: bool) -> Vec<Bytes> {
        if self.payload.is_empty() {
            return Vec::new();
        }
        let messages = messages(self.pattern);
        let ours = (messages + usize::from(initiator)) / 2;
        let mut payloads = vec![Bytes::new(); ours.saturating_sub(1)];
        payloads.push(self.payload.clone());
        payloads
    }

    fn state(&self, initiator: bool) -> Result<HandshakeState, SetupProblem> {
        let name = self.name();
        let unsupported = |source| SetupProblem::Unsupported {
            name: name.clone(),
            source,
        };
        let mut builder = Builder::new(name.parse().map_err(unsupported)?)
            .prologue(&self.prologue)
            .map_err(SetupProblem::Snow)?;
        if let Some(keypair) = &self.keypair {
            builder = builder
                .local_private_key(keypair.private())
                .map_err(SetupProblem::Snow)?;
        } else if self.pattern.needs_local_static_key(initiator) {
            return Err(SetupProblem::NoKeypair);
        }
        if let Some(remote) = self.known_remote(initiator)? {
            builder = builder
                .remote_public_key(remote.as_bytes())
                .map_err(SetupProblem::Snow)?;
        }
        for &position in &self.positions {
            let key = self.psk_at(position)?;
            builder = builder.psk(position, key).map_err(unsupported)?;
        }
        let state = if initiator {
            builder.build_initiator()
        } else {
            builder.build_responder()
        };
        state.map_err(unsupported)
    }

    /// The remote's key, if the pattern wants it beforehand.
    fn known_remote(&self, initiator: bool) -> Result<Option<&PublicKey>, SetupProblem> {
        // Of another size it can neither be used nor ever come.
        if let Some(remote) = &self.remote
            && remote.as_bytes().len() != KEY
        {
            return Err(SetupProblem::RemoteLength(remote.as_bytes().len()));
        }
        if !self.pattern.need_known_remote_pubkey(initiator) {
            return Ok(None);
        }
        self.remote.as_ref().map(Some).ok_or(SetupProblem::NoRemote)
    }

    fn psk_at(&self, position: u8) -> Result<&[u8; KEY], SetupProblem> {
        self.psks
            .iter()
            .find(|(other, _)| *other == position)
            .map(|(_, key)| key)
            .ok_or(SetupProblem::NoPsk(position))
    }
}

/// The position of a pre-shared key, if that is what a modifier is.
fn position(modifier: &HandshakeModifier) -> Option<u8> {
    match modifier {
        HandshakeModifier::Psk(position) => Some(*position),
        _ => None,
    }
}

/// How many messages the handshake has, those of both sides (sections 7.4, 7.5 and 18.1 of the
/// specification): the deferred patterns pay for each DH that comes later.
fn messages(pattern: HandshakePattern) -> usize {
    use HandshakePattern::*;
    match pattern {
        N | K | X => 1,
        NN | NK | NX | KN | KK | KX | IN | IK | IX | NK1 | KK1 | IK1 => 2,
        X1N | X1K | X1X | X1K1 | X1X1 => 4,
        XN | XK | XX | XK1 | XX1 | NX1 | KX1 | IX1 | K1N | K1K | K1X | K1K1 | K1X1 | I1N | I1K
        | I1X | I1K1 | I1X1 => 3,
    }
}

impl fmt::Debug for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noise")
            .field("name", &self.name())
            .field("keypair", &self.keypair)
            .field("remote", &self.remote)
            .field("prologue", &self.prologue)
            .field("rekey_every", &self.rekey_every)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}
