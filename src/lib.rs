//! Peer-to-peer networking by codec: you bring a `tokio_util` codec; the node gives you one [`Stream`]
//! of messages in and one [`Sink`] of messages out.
//!
//! ```text
//! codec: Decoder + Encoder<Out>   ⇒   Inbound: Stream<Item = (In, Peer)>   +   Outbound: Sink<(Out, Peer)>
//! ```
//!
//! Every connection is a `Framed` of a stream and your codec, as you would make one by hand. A [`Node`]
//! keeps as many of them as you like, opened by itself or by others, and joins them into one stream and
//! one sink of pairs: a message, and whose it is. `tokio_util::udp::UdpFramed` has the same shape for
//! datagrams. There is nothing to implement and no callback to register: what you write with `StreamExt`
//! and `SinkExt`, or in a loop, is the program.
//!
//! # A node that answers
//!
//! This is an echo server, and all of it:
//!
//! ```no_run
//! use futures::StreamExt;
//! use tokio_util::codec::LinesCodec;
//! use wattle::Node;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (node, inbound) = Node::builder()
//!     .listen("127.0.0.1:7000")
//!     .start(|_| LinesCodec::new_with_max_length(8192))
//!     .await?;
//! inbound.map(Ok).forward(node.outbound()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! It does the same as this loop:
//!
//! ```no_run
//! # use tokio_util::codec::LinesCodec;
//! # use wattle::Node;
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # let (node, mut inbound) = Node::builder().start(|_| LinesCodec::new_with_max_length(8192)).await?;
//! while let Some((line, peer)) = inbound.recv().await {
//!     // The peer may be gone by now; the others are not.
//!     let _sent_or_gone = node.send_to(line, peer).await;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The stream of all peers ends when the node is shut down, not when a peer leaves. The sink of all
//! peers fails when the node is shut down, not when a peer leaves. That is why `forward` is a program.
//!
//! # Two nodes that talk
//!
//! A node listens, dials, or does both, and speaks first or second; to the program a connection is the
//! same either way, and [`Peer::side`] tells who opened it.
//!
//! ```
//! use tokio_util::codec::LinesCodec;
//! use wattle::{Event, Node, Reason, Side};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let codec = |_| LinesCodec::new_with_max_length(8192);
//!     let (alice, mut letters) = Node::builder().name("alice").start(codec).await?;
//!     let (bob, inbound) = Node::builder().name("bob").listen("127.0.0.1:0").start(codec).await?;
//!     let addr = bob.local_addr().ok_or("bob doesn't listen")?;
//!
//!     // Ready to be sent to as soon as `connect` resolves.
//!     let to_bob = alice.connect(addr).await?;
//!     alice.send_to("Hello there!", to_bob).await?;
//!
//!     // Bob watches the life of his connections as well.
//!     let mut events = inbound.into_events();
//!     while let Some(event) = events.recv().await {
//!         match event {
//!             Event::Connected(peer) => assert_eq!(peer.side(), Side::Listener),
//!             Event::Message(line, peer) => {
//!                 bob.send_to(format!("You said: {line}"), peer).await?;
//!                 // Writes what is queued, and resolves when the connection has ended.
//!                 bob.disconnect(peer).await;
//!             }
//!             Event::Disconnected(_, why) => {
//!                 assert!(matches!(why.reason, Reason::Disconnected));
//!                 break;
//!             }
//!             other => println!("{other:?}"),
//!         }
//!     }
//!
//!     let answer = letters.recv().await;
//!     assert_eq!(answer, Some(("You said: Hello there!".to_owned(), to_bob)));
//!     assert!(alice.shutdown().await.is_clean());
//!     assert!(bob.shutdown().await.is_clean());
//!     Ok(())
//! }
//! ```
//!
//! # The situations
//!
//! - *Messages come and are worked on:* combinators or a loop on [`Inbound`].
//! - *Peers come and go, and the program cares:* [`Inbound::into_events`].
//! - *A message to one peer, from anywhere:* [`Node::send_to`], or [`Node::try_send_to`] where waiting is
//!   no option.
//! - *A message to all, or to all but one:* [`Node::broadcast`], [`Node::broadcast_where`].
//! - *A pipeline ends in the network:* `forward` into an [`Outbound`].
//! - *A flow to one peer, at that peer's pace:* a [`PeerSink`].
//! - *Something has to be agreed on first:* a [`Protocol`] with a handshake.
//! - *Strangers can reach the node:* limits per address and per subnet, bans, a filter: [`Admission`].
//! - *Each who comes is to be decided on:* [`Node::listen_incoming`].
//! - *The bytes don't come from TCP:* a [`Transport`], or [`Node::adopt`] for a single stream.
//! - *The protocol is somebody else's, and to be tested:* the node is a peer like any other; see the
//!   reasons in [`Disconnect`] for how the other side takes what you send it.
//!
//! # The path of a message
//!
//! ```text
//! in :  socket → Framed<S, C> → connection task → inbound queue  → Inbound (Stream)  → your combinators
//! out:  socket ← Framed<S, C> ← connection task ← outbound queue ← Outbound (Sink)   ← your combinators
//! ```
//!
//! One task owns one `Framed`, in both directions, and nothing but batches goes from task to task: all
//! that a read brought, all that was queued. Both queues belong to the connection, and both are bounded,
//! in messages and in bytes. So a remote that sends too fast fills its own inbound queue, and is not read
//! from until you have taken what is there; one that reads too slowly fills its own outbound queue, and
//! who sends to it waits. Nobody else's connection notices.
//!
//! In the order in which a message meets them:
//!
//! 1. [`transport`] has the sockets, or what stands for them: [`Transport`], [`transport::Tcp`].
//! 2. [`Protocol`] is what a connection speaks: the handshake, and the codec of the session. The crate
//!    `wattle-codecs` has codecs and handshakes that are ready to be plugged in.
//! 3. [`Inbound`] is where messages come out, and [`Events`] the same with the life of connections
//!    ([`Event`]).
//! 4. [`Peer`] is whose message it is, and [`Side`] who opened that connection.
//! 5. [`Outbound`], [`PeerSink`] and [`Node::send_to`] are where messages go in.
//!
//! # The life of a connection
//!
//! ```text
//! listener ─┐                                    ┌─ the remote's end, an error, a deadline ─┐
//!           ├─► admission ─► handshake ─► connection ─ disconnect, shutdown ─► closing ─────┤
//!   dialer ─┘       │            │               └─ abort ──────────────────────────────────┤
//!                   ▼            ▼                                                          ▼
//!                Refused   HandshakeFailed                                    Disconnect ─► Event
//! ```
//!
//! 1. [`Builder`] has the options: limits, timeouts, queues. [`Builder::start`] checks them ([`StartError`])
//!    and makes a [`Node`].
//! 2. [`Node::listen`] lets others in ([`ListenError`]); [`Node::connect`] and [`Node::adopt`] open
//!    connections ([`ConnectError`], [`AdoptError`]). [`Admission`] counts them and says who may come in
//!    ([`Limits`], [`Refusal`]), or leaves each [`Incoming`] to the program; the handshake makes sessions
//!    of them ([`HandshakeError`]).
//! 3. [`Node::disconnect`] closes a connection gracefully, [`Node::abort`] at once.
//! 4. [`Disconnect`] says how it ended: the [`Reason`], the [`Initiator`], and what was left unsent.
//! 5. [`Node::shutdown`] ends them all ([`ShutdownReport`]). So does dropping the last handle and the
//!    [`Inbound`].
//!
//! What happened so far is counted in [`Stats`] and [`PeerStats`], and told to `tracing`: the life of
//! connections at `debug`, their batches at `trace`. Lines that a stranger can cause are told once per
//! second and kind, with how many were left out (`suppressed`); those are at `trace`.
//!
//! # What the node promises
//!
//! In short; [`promises`] has it whole, with the code that keeps each and the tests that would fail, what
//! holds under attack, and what is *not* promised. (Plain TCP is not encrypted, for one: begin with a
//! handshake where that matters.)
//!
//! 1. **Order.** Messages of one peer are yielded as they were decoded, and written as they were sent.
//!    Its `Connected` comes first and its `Disconnected` last, once each.
//! 2. **Backpressure is a matter between you and one peer.** A connection whose messages aren't taken
//!    stops reading its own socket and no other; no queue grows without bound.
//! 3. **Peers take turns.** Whoever floods gets one bounded batch per turn, so a quiet peer is heard after
//!    at most one batch of each other.
//! 4. **One peer never hurts another.** A dead, slow or hostile one uses up its own share only. What can't be
//!    delivered to it is counted and reported, never dropped in silence.
//! 5. **Flushed means written:** handed to the operating system, or the peer is gone. And nobody has to
//!    flush; a queue that runs empty is written out.
//! 6. **Nothing is left behind.** The node owns its tasks and nothing owns the node: when you have dropped
//!    all handles and the stream, everything ends by itself.
//! 7. **Futures can be dropped.** Each asynchronous method says what is the case then.
//! 8. **A codec's first error ends its connection,** with that error as the reason; what was queued by then
//!    is still written. An encoder that fails leaves no half of a message on the wire.
//! 9. **A codec's panic ends its connection,** and nothing else.
//! 10. **Reasons are exact.** End of stream, end inside a frame, reset, codec error, which timeout, whose
//!     decision: each is told from the others.
//! 11. **No byte is lost between handshake and session.** What arrived early belongs to the session.
//! 12. **What resolves has happened.** After `connect`, `disconnect` and `shutdown` there is nothing to wait
//!     for; no program and no test needs a sleep.
//!
//! [`Stream`]: futures::Stream
//! [`Sink`]: futures::Sink

mod node;

mod connection;

mod dialer;
mod listener;
mod outbound;
mod protocol;

mod admission;
mod budget;
mod deadlines;
mod inbound;
mod incoming;
mod meter;
mod registry;

mod config;
mod disconnect;
mod error;
mod peer;
pub mod promises;
mod shutdown;
mod spares;
mod stats;
mod sync;
mod throttle;
pub mod transport;
mod turns;
mod waiters;

#[cfg(feature = "testing")]
pub mod testing;

pub use admission::Admission;
pub use config::{AcceptRate, Limits, WhenFull};
pub use disconnect::{BoxError, Disconnect, Initiator, Reason, SharedError, Timeout};
pub use error::{
    AdoptError, ConnectError, HandshakeError, InvalidOption, Limit, ListenError, NodeShutDown,
    NotSent, PeerGone, Refusal, SendError, StartError,
};
pub use inbound::{Event, Events, Inbound};
pub use incoming::{Incoming, Incomings};
pub use ipnet::IpNet;
pub use node::{Broadcast, Builder, Node};
pub use outbound::{AsEncoded, Outbound, PeerSink, Weigher};
pub use peer::{Peer, Side};
pub use protocol::Protocol;
pub use shutdown::ShutdownReport;
pub use stats::{Ended, PeerStats, Refused, Stats, Timeouts};
pub use transport::Transport;

// The hand-over between tasks under every interleaving; the file says how to run it.
#[cfg(all(test, wattle_loom))]
#[path = "../tests/model/hand_over.rs"]
mod model;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
