//! A handshake of the [Noise Protocol Framework], revision 34, that ends in an encrypted session:
//! [`Noise`], and [`NoiseCodec`] for the frames behind it. The cryptography is that of [`snow`].
//!
//! # On the wire
//!
//! Noise leaves it to the application how a message is delimited. Here each one, of the handshake as
//! of the session, has its length in front, 16 bits with the most significant byte first, as is usual
//! ([section 13] of the specification recommends it):
//!
//! ```text
//!     +----------+-------------------------------------+
//!     | len: u16 | Noise message, at most 65,535 bytes |
//!     +----------+-------------------------------------+
//!                |<-------------- len ---------------->|
//!
//!     handshake, pattern XX                        session
//!     → 0020  e                                    → len  ciphertext  tag
//!     ← 0060  e, ee, s, es + payload               ← len  ciphertext  tag
//!     → 0040  s, se + payload                             |<- ≥ 0 ->|<16>|
//! ```
//!
//! A message of the session carries up to 65,519 bytes. What is larger is split: a Noise message that
//! is full says that more follows, the first one that isn't ends it. So each message of up to 65,518
//! bytes is exactly one Noise message, as any other implementation writes and reads it, and of those
//! that are larger,
//!
//! ```text
//!      65,518 bytes:  65,518                    131,038 bytes:  65,519 + 65,519 + 0
//!      65,519 bytes:  65,519 + 0                200,000 bytes:  65,519 + 65,519 + 65,519 + 3,443
//! ```
//!
//! A remote of another make that doesn't split like this has to stay below 65,519 bytes: a Noise message
//! that is full, alone, is taken for a beginning, and what it belongs to waits for the rest.
//!
//! # Which pattern when
//!
//! | pattern | known beforehand | who is authenticated | messages |
//! |---|---|---|---|
//! | [`xx`](Noise::xx) | nothing | both, by the key that the handshake hands over | 3 |
//! | [`ik`](Noise::ik) | the responder's key, by the initiator | both | 2 |
//! | [`nn`](Noise::nn) | nothing | nobody, unless with [`psk`](Noise::psk) | 2 |
//! | [`named`](Noise::named) | | each of the specification's, with each suite on Curve25519 | 1 to 4 |
//! | [`Handshake`] | | whatever `snow` can be made to speak | |
//!
//! Authenticated means that the remote holds the private key to
//! [`remote_static`](Session::remote_static). Whether that is somebody to talk to is for the caller to
//! say: with a key that is expected ([`Noise::remote`]), or by a look at the one that came.
//!
//! In a pattern whose last message the responder sends, such as IK, the responder can't know that at
//! once: somebody who has recorded the initiator's message can send it again, and gets as far as a
//! [`Session`] with the initiator's key, but not to a message of it. So whatever a responder of IK does
//! for a key (give up an older connection, count a login) has to wait for the first item of the session.
//!
//! # What it doesn't do
//!
//! Time is the caller's: nothing here gives up on a remote that is silent. wattle bounds each handshake;
//! elsewhere put it under `tokio::time::timeout`. A handshake that is dropped half-way has used up its
//! stream, since what was read and written of it is lost.
//!
//! Noise doesn't say that a session has ended: whoever can cut the connection can cut it between
//! two messages, and that looks like a clean end. Where it matters, say goodbye in a message.
//!
//! # Examples
//!
//! ```
//! use bytes::Bytes;
//! use futures::{SinkExt, StreamExt};
//! use wattle_codecs::noise::{Keypair, Noise, NoiseError};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), NoiseError> {
//! let (ours, theirs) = tokio::io::duplex(1024);
//! let (pea, bean) = (Keypair::generate()?, Keypair::generate()?);
//! let (pea_public, bean_public) = (pea.public(), bean.public());
//!
//! let (pea, bean) = (Noise::xx(pea, 1 << 20), Noise::xx(bean, 1 << 20));
//! let (pea, bean) = tokio::try_join!(pea.initiate(ours), bean.respond(theirs))?;
//! assert_eq!(pea.remote_static, Some(bean_public));
//! assert_eq!(bean.remote_static, Some(pea_public));
//!
//! let (mut pea, mut bean) = (pea.framed, bean.framed);
//! pea.send(Bytes::from("nobody else reads this")).await?;
//! assert_eq!(bean.next().await.unwrap()?, "nobody else reads this");
//! # Ok(())
//! # }
//! ```
//!
//! A typed session: `session.framed.map_codec(|noise| Serde::new(noise, Postcard))`. In a node:
//! the example `noise` of wattle.
//!
//! [Noise Protocol Framework]: https://noiseprotocol.org/noise.html
//! [section 13]: https://noiseprotocol.org/noise.html#application-responsibilities

mod codec;
mod error;
mod handshake;
mod keys;
mod setup;

use std::ops::Range;

pub use snow;

pub use self::{
    codec::NoiseCodec,
    error::{NoiseError, SetupProblem},
    handshake::{Handshake, Session},
    keys::{Keypair, ParseKeyError, PublicKey},
    setup::Noise,
};

/// The length in front of each Noise message, in bytes.
const PREFIX: usize = 2;

/// The most bytes of a Noise message (section 3 of the specification).
const MOST_NOISE: usize = 65_535;

/// The authentication tag at the end of each message of the session, in bytes.
const TAG: usize = 16;

/// The most bytes of plaintext that a message of the session holds; as many say that more follow.
const FULL: usize = MOST_NOISE - TAG;

/// The length of the Noise message that `src` begins with, as announced.
fn announced(src: &[u8]) -> Option<usize> {
    let prefix = src.first_chunk::<PREFIX>()?;
    Some(usize::from(u16::from_be_bytes(*prefix)))
}

/// Where the Noise message of `len` bytes at the beginning of `src` is, if all of it has come.
fn whole(src: &[u8], len: usize) -> Option<Range<usize>> {
    let message = PREFIX..PREFIX + len;
    (src.len() >= message.end).then_some(message)
}
