//! The version exchange that most protocols begin with: [`Hello`].
//!
//! Both sides say at once what they speak and who they are, then both say whether they go on. There
//! are no roles, so it is the same for the side that dialled and the side that accepted.
//!
//! ```text
//!            one side                         the other
//!     hello: versions 1 to 3  ──┐  ┌──  hello: versions 2 to 5
//!                               ╳
//!     verdict: accepted       ──┐  ┌──  verdict: refused, 300, "banned"
//!                               ╳
//!     HelloError::Refused                    HelloError::Declined
//! ```
//!
//! A session begins when both have accepted: with the highest version that both speak, the features
//! that both have, and a codec made from these. Nothing is read beyond the remote's verdict: what is
//! behind it is the session's, or that of [another handshake](#with-another-handshake).
//!
//! # On the wire
//!
//! Integers have the most significant byte first. The hello, in a protocol with a magic of `m` bytes:
//!
//! ```text
//!          0   magic, 1 to 16 bytes, the same on both sides
//!          m   u16   length of all that follows here, at most 4,096
//!      m + 2   u32   oldest version
//!      m + 6   u32   newest version
//!     m + 10   u64   features, a set of bits
//!     m + 18   u16   length of the identity, at most 1,024
//!     m + 20   identity
//!              whatever else the length covers is skipped: later versions of this format append there
//! ```
//!
//! and the verdict:
//!
//! ```text
//!          0   u16   0      accepted
//!                    1      refused: no common version
//!                    2      refused: the remote lacks features that are required
//!                    3…255  refused: kept for later versions of this format
//!                    256…   refused: the application's own codes
//!          2   u8    length of the text
//!          3   text in UTF-8: why it is refused. That of an acceptance is skipped
//! ```
//!
//! # In a node
//!
//! ```text
//!     impl Protocol for Chat {
//!         type Io = TcpStream;
//!         type Codec = LinesCodec;
//!
//!         async fn handshake(&self, stream: TcpStream, _: Peer) -> Result<Framed<…>, BoxError> {
//!             let (framed, agreed) = self.hello.exchange(stream, |_| Ok(()), codec).await?;
//!             Ok(framed)
//!         }
//!     }
//! ```
//!
//! # A refusal arrives
//!
//! A side sends nothing behind its verdict before it has the other's, and each reads the other's
//! verdict even if its own was a refusal. So when [`exchange`](Hello::exchange) returns the refusal of
//! either side, all that the remote had to say has been read, ours has been flushed and the write side
//! shut down: the stream is dropped without resetting the connection under the refusal that is on its way.
//! (Bytes that are no hello get no answer: there is nobody to understand it.)
//!
//! The exchange waits for the remote without a limit of time: bound it, as `wattle` does with the
//! handshake timeout. A remote that sends a hello and no verdict has that timeout as its end, not
//! the refusal; a [check](Hello::exchange) that wants it known can tell somebody by itself.
//!
//! # What it isn't
//!
//! Nothing here is secret or authenticated: who can change bytes under way can make two nodes agree
//! on an older version, and an identity is what the remote claims. A remote that sends back what it
//! gets looks like a node with our own identity; so does a node that dialled itself. A check of the
//! identity finds both.
//!
//! # With another handshake
//!
//! Where that matters, exchange hellos inside TLS (feature `tls`), whose stream is a stream like any
//! other:
//!
//! ```text
//!     let stream = tls::connect(stream, config, name, |_| ()).await?.into_parts().io;
//!     let (framed, agreed) = hello.exchange(stream, |_| Ok(()), codec).await?;
//! ```
//!
//! Or begin in the clear and go on with a handshake on the same stream. What was agreed on is still to be
//! confirmed then by both, as in the prologue of Noise (feature `noise`): all that both sides have
//! said, the versions above all, the dialer's first.
//!
//! ```text
//!     let (_, agreed) = hello.exchange(&mut stream, |_| Ok(()), |_| ()).await?;
//!     let session = noise.prologue(said(&agreed)).initiate(stream).await?;
//! ```

mod error;
mod refusal;
mod swap;
mod wire;

use std::{io, ops::RangeInclusive};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::codec::Framed;

pub use self::{
    error::{HelloError, Part},
    refusal::Refusal,
};

/// The longest magic in bytes.
pub const MAX_MAGIC: usize = 16;

/// The longest identity in bytes: room for a public key or a short certificate, with a signature.
pub const MAX_IDENTITY: usize = 1024;

/// What a node says of itself, and how it comes to an agreement with another.
///
/// The [module](self) has the bytes and the order of things.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle_codecs::hello::{Hello, Refusal};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ours = Hello::new(b"chat", 1..=3).features(0b101).identity("alice");
/// let theirs = Hello::new(b"chat", 2..=5).features(0b110).identity("bob");
///
/// let (a, b) = tokio::io::duplex(64);
/// let no_self_connection = |agreed: &wattle_codecs::hello::Agreed| {
///     if agreed.remote.identity == "alice" {
///         return Err(Refusal::new(256, "self connection"));
///     }
///     Ok(())
/// };
/// let ((_session, agreed), _) = tokio::try_join!(
///     ours.exchange(a, no_self_connection, |agreed| {
///         LinesCodec::new_with_max_length(if agreed.version < 2 { 512 } else { 8192 })
///     }),
///     theirs.exchange(b, |_| Ok(()), |_| LinesCodec::new_with_max_length(8192)),
/// )?;
/// assert_eq!((agreed.version, agreed.features), (3, 0b100));
/// assert_eq!(agreed.remote.identity, "bob");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    magic: Bytes,
    versions: RangeInclusive<u32>,
    features: u64,
    required: u64,
    identity: Bytes,
}

/// What a remote said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remote {
    /// The versions that it speaks.
    pub versions: RangeInclusive<u32>,
    /// The features that it has.
    pub features: u64,
    /// Who it claims to be; opaque, at most [`MAX_IDENTITY`] bytes.
    pub identity: Bytes,
}

/// What two nodes agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreed {
    /// The highest version that both speak.
    pub version: u32,
    /// The features that both have.
    pub features: u64,
    /// What the remote said of itself.
    pub remote: Remote,
}

impl Hello {
    /// The hello of a protocol that is told from others by its magic, in the versions that this
    /// node speaks; without features or an identity.
    ///
    /// # Panics
    ///
    /// If the magic is empty or longer than [`MAX_MAGIC`], or there is no version in the range.
    pub fn new(magic: &[u8], versions: RangeInclusive<u32>) -> Self {
        assert!(
            (1..=MAX_MAGIC).contains(&magic.len()),
            "a magic of {} bytes, expected 1 to {MAX_MAGIC}",
            magic.len()
        );
        assert!(!versions.is_empty(), "no version in {versions:?}");
        Self {
            magic: Bytes::copy_from_slice(magic),
            versions,
            features: 0,
            required: 0,
            identity: Bytes::new(),
        }
    }

    /// The features that this node has, a bit each. What the bits mean is up to the protocol.
    pub fn features(mut self, features: u64) -> Self {
        self.features = features;
        self
    }

    /// Features without which a remote is refused. This node has them too, whether or not
    /// [`features`](Self::features) says so.
    pub fn required(mut self, required: u64) -> Self {
        self.required = required;
        self
    }

    /// Who this node is: a key, an id, a name.
    ///
    /// # Panics
    ///
    /// If it is longer than [`MAX_IDENTITY`].
    pub fn identity(mut self, identity: impl Into<Bytes>) -> Self {
        let identity = identity.into();
        assert!(
            identity.len() <= MAX_IDENTITY,
            "an identity of {} bytes, expected at most {MAX_IDENTITY}",
            identity.len()
        );
        self.identity = identity;
        self
    }

    /// Exchanges hellos and verdicts over a fresh stream, and goes on with the codec made from what
    /// was agreed.
    ///
    /// `check` has the last word on a remote whose version and features are fine: its refusal is
    /// what the remote gets to read. Pass `|_| Ok(())` to take all.
    ///
    /// A remote that doesn't begin with the magic is turned away at the first wrong byte, whatever
    /// else it has sent or will send. Either side may be slow to read: nothing is written without
    /// reading at the same time.
    ///
    /// # Errors
    ///
    /// [`HelloError`]. If both sides refuse each other, each gets its own reason.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has used up the stream.
    pub async fn exchange<IO, C>(
        &self,
        mut io: IO,
        check: impl FnOnce(&Agreed) -> Result<(), Refusal>,
        codec: impl FnOnce(&Agreed) -> C,
    ) -> Result<(Framed<IO, C>, Agreed), HelloError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        match self.agree(&mut io, check).await {
            Ok(agreed) => Ok((Framed::new(io, codec(&agreed)), agreed)),
            Err(error) => {
                // So that what is on its way arrives on streams that don't see to it when dropped.
                // The error to tell is the one that is there already.
                let _ = io.shutdown().await;
                Err(error)
            }
        }
    }

    async fn agree<IO>(
        &self,
        io: &mut IO,
        check: impl FnOnce(&Agreed) -> Result<(), Refusal>,
    ) -> Result<Agreed, HelloError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let (remote, size) = self.swap_hellos(io).await?;
        let ours = self.judge(remote, check);
        let verdict = wire::verdict(ours.as_ref().err().and_then(HelloError::refusal).as_ref());
        let mut out = &verdict[..];
        let (theirs, sent) = match swap::swap(io, &mut out, wire::Verdict { at: size }).await {
            Ok(swapped) => swapped,
            Err(error) => {
                let Err(refused) = ours else {
                    return Err(error);
                };
                // Who says nothing more may still listen.
                let _: io::Result<()> = swap::send(io, &mut out).await;
                return Err(refused);
            }
        };
        let agreed = ours?;
        if let Some(refusal) = theirs {
            return Err(HelloError::Refused { refusal });
        }
        sent?;
        Ok(agreed)
    }

    /// The remote's hello and its size in bytes.
    async fn swap_hellos<IO>(&self, io: &mut IO) -> Result<(Remote, u64), HelloError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = wire::Hello { magic: &self.magic };
        let (came, sent) = swap::swap(io, &mut &wire::hello(self)[..], hello).await?;
        sent?;
        Ok(came)
    }

    /// Our side of the decision.
    fn judge(
        &self,
        remote: Remote,
        check: impl FnOnce(&Agreed) -> Result<(), Refusal>,
    ) -> Result<Agreed, HelloError> {
        let version = *self.versions.end().min(remote.versions.end());
        if version < *self.versions.start().max(remote.versions.start()) {
            return Err(HelloError::NoCommonVersion {
                ours: self.versions.clone(),
                theirs: remote.versions,
            });
        }
        if self.required & !remote.features != 0 {
            return Err(HelloError::MissingFeatures {
                required: self.required,
                theirs: remote.features,
            });
        }
        let agreed = Agreed {
            version,
            features: self.all_features() & remote.features,
            remote,
        };
        match check(&agreed) {
            Ok(()) => Ok(agreed),
            Err(refusal) => Err(HelloError::Declined { refusal }),
        }
    }

    fn all_features(&self) -> u64 {
        self.features | self.required
    }
}
