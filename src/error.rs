//! What can go wrong, one type per operation. Why a connection *ended* is a
//! [`Disconnect`](crate::Disconnect).

mod connecting;
mod refusing;
mod sending;
mod starting;

pub use connecting::{AdoptError, ConnectError, HandshakeError};
pub use refusing::{Limit, Refusal};
pub use sending::{NodeShutDown, NotSent, PeerGone, SendError};
pub use starting::{InvalidOption, ListenError, StartError};
