//! wattle

mod node;

mod connection;

mod dialer;
mod listener;
mod outbound;
mod protocol;

mod admission;
mod deadlines;
mod inbound;
mod meter;
mod registry;

mod config;
mod disconnect;
mod error;
mod peer;
mod shutdown;
mod stats;
mod sync;
pub mod transport;
mod waiters;

pub use disconnect::{BoxError, Disconnect, Initiator, Reason, SharedError, Timeout};
pub use error::{
    AdoptError, ConnectError, HandshakeError, Limit, ListenError, NodeShutDown, NotSent, PeerGone,
    SendError, StartError,
};
pub use inbound::{Event, Events, Inbound};
pub use node::{Broadcast, Builder, Node};
pub use outbound::{Outbound, PeerSink};
pub use peer::{Peer, Side};
pub use protocol::Protocol;
pub use shutdown::ShutdownReport;
pub use stats::{PeerStats, Refused, Stats, Timeouts};
pub use transport::Transport;
