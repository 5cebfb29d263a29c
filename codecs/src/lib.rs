//! Codecs to plug in, codecs to stack, and handshakes that end in a codec, for
//! [`tokio_util::codec::Framed`].

mod checksum;
mod frames;
#[cfg(feature = "hello")]
pub mod hello;
#[cfg(feature = "laws")]
pub mod laws;
mod messages;
#[cfg(feature = "noise")]
pub mod noise;
mod position;
mod recoverable;
mod stack;
#[cfg(feature = "tls")]
pub mod tls;

pub use checksum::*;
pub use frames::*;
pub use messages::*;
pub use recoverable::Recoverable;
pub use stack::*;
