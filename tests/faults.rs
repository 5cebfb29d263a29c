//! Every piece that a program brings may panic, err, stall for ever or lie. It costs the connection,
//! the call or the listener that it belongs to, which says so; the rest of the node goes on, and
//! nothing is left behind.
//!
//! What no library can contain, and is no test here: a piece that is not asynchronous and never
//! returns (a `decode` that loops) keeps the worker thread that called it; one that asks for more
//! memory than there is ends the process; so does a destructor that panics while another panic
//! unwinds.

#[path = "faults/codec.rs"]
mod codec;
mod common;
#[path = "faults/handshake.rs"]
mod handshake;
#[path = "faults/messages.rs"]
mod messages;
#[path = "faults/moody.rs"]
mod moody;
#[path = "faults/scene.rs"]
mod scene;
#[path = "faults/stream.rs"]
mod stream;
#[path = "faults/text.rs"]
mod text;
#[path = "faults/transport.rs"]
mod transport;
#[path = "faults/wakers.rs"]
mod wakers;
