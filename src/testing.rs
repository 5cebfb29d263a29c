//! A kit for tests, with the feature `testing`: of networks that were built on wattle, and of somebody
//! else's nodes from outside.
//!
//! Everything here speaks in decoded messages, and nothing in it sleeps: what a test waits for is an
//! event.
//!
//! - *Many nodes, connected:* [`network()`] starts them in the shape of a [`Topology`], and resolves when
//!   both ends of every edge know each other.
//! - *What should be the case by now:* [`eventually`], [`assert_connected!`], [`expect_event!`] and
//!   [`assert_no_leaks`] wait for it as long as it may take, and show the last events of the node when it
//!   doesn't come about.
//! - *A network without sockets:* [`Memory`] is a [`Transport`](crate::Transport) under paused time, where a
//!   seed fixes what happens.
//! - *A bad network:* [`Conditions`] of a [`Link`] (latency, bandwidth, loss of the connection, corruption,
//!   partitions) in [`Memory`], and between real sockets with a [`Proxy`].
//! - *Faults by message:* an [`Interceptor`] knows the codec, and drops, delays, repeats, reorders or replaces
//!   what a closure tells it to.
//! - *A peer that sends this, expects that, and misbehaves as it is told:* [`Script`]. It plays against a
//!   node of yours or against somebody's program, dials or listens, over TCP or any
//!   [`Transport`](crate::Transport), and what isn't as it is written becomes a [`Failure`](script::Failure) that shows
//!   what was sent and received until then.
//! - *What has passed, and the same again:* a [`Capture`] writes every frame with its message, as lines of
//!   JSON and for Wireshark; a [`Replay`] plays one side of it against a live peer, and compares what comes
//!   back.
//! - *Load, and what it measures:* [`Load`], open-loop or closed-loop; the example `stress` is a program
//!   around it.

mod assertions;
mod network;
mod topology;

#[doc(inline)]
pub use crate::{
    __assert_connected as assert_connected, __assert_disconnected as assert_disconnected,
    __expect_event as expect_event, __expect_next_event as expect_next_event,
};
#[doc(hidden)]
pub use assertions::{Changes, Others};
pub use assertions::{
    Check, Checking, Failed, Leaks, Observe, PATIENCE, Recorded, assert_no_leaks, connected,
    disconnected, eventually,
};
pub use network::{Merged, Network, NetworkBuilder, NetworkError, Unchanged, network};
pub use topology::{Topology, TopologyError};

mod conditions;
mod memory;
pub use conditions::{Conditions, Link, Proxy};
pub use memory::{Memory, MemoryAcceptor, MemoryStream};

pub mod script;
pub use script::{Closed, Script};

mod interceptor;
pub use interceptor::{InterceptFailure, Interceptor, Passage, Verdict};

pub mod load;
pub use load::Load;

pub mod capture;
pub use capture::{Capture, Recording, Replay};
