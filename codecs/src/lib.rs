//! Codecs for [`tokio_util::codec::Framed`]: to plug in, to stack, and to begin a session with.
//!
//! A codec says where a message begins and ends, and what it means. Here these are separate things that fit
//! together: a *frame codec* finds the frames, *layers* do something with each frame's payload, a
//! *format* makes a message of it.
//!
//! ```text
//!     bytes  ⇄  frames         ⇄  layers                    ⇄  format        ⇄  messages
//!               Prefixed          checked, compressed, …       Json, Postcard, …
//! ```
//!
//! This stack of three has a checksum in each frame, payloads compressed by LZ4, and an enum in Postcard:
//!
//! ```
//! # #[cfg(all(feature = "crc32", feature = "lz4", feature = "postcard"))] {
//! use bytes::BytesMut;
//! use serde::{Deserialize, Serialize};
//! use tokio_util::codec::{Decoder, Encoder};
//! use wattle_codecs::{CodecExt, Crc32, Length, Lz4, Postcard, Prefixed, Serde};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! enum Message {
//!     Ping(u64),
//!     Text { from: String, lines: Vec<String> },
//! }
//!
//! let frames = Prefixed::new(Length::U32, 64 * 1024).checked::<Crc32>().compressed(Lz4, 1 << 20);
//! let mut codec: Serde<_, _, Message> = Serde::new(frames, Postcard);
//!
//! let mut wire = BytesMut::new();
//! let lines = vec!["for peas to climb".to_owned(); 100];
//! codec.encode(Message::Text { from: "Ann".to_owned(), lines: lines.clone() }, &mut wire)?;
//! codec.encode(Message::Ping(7), &mut wire)?;
//! assert!(wire.len() < 100);
//!
//! let text = Message::Text { from: "Ann".to_owned(), lines };
//! assert_eq!(codec.decode(&mut wire)?, Some(text));
//! assert_eq!(codec.decode(&mut wire)?, Some(Message::Ping(7)));
//! assert_eq!(codec.decode(&mut wire)?, None);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Whatever comes out is a [`Decoder`](tokio_util::codec::Decoder) and an
//! [`Encoder`](tokio_util::codec::Encoder): it goes into a `Framed` over any stream, or into a node of the
//! crate `wattle`, which makes a codec for each connection: `Node::builder().start(|_| codec())`.
//!
//! # Which codec when
//!
//! | what is on the wire | codec | feature |
//! |---|---|---|
//! | a length of 1, 2, 3, 4 or 8 bytes or a varint, and a payload | [`Prefixed`] | |
//! | text in lines | [`Delimited::lines`] | |
//! | payloads that end with a delimiter of one byte or several | [`Delimited`] | |
//! | payloads of one size | [`Fixed`] | |
//! | a header of magic, fields, a length and a checksum, in any order; a length inside a larger header | [`Envelope`] | |
//! | JSON, a document a line or behind a length | [`Json::lines`], [`Json::framed`] | `json` |
//! | the smallest and fastest between Rust programs | [`Postcard::framed`] | `postcard` |
//! | small, for many languages, without a schema | [`MessagePack::framed`] | `messagepack` |
//! | the same as an Internet standard, with self-describing maps | [`Cbor::framed`] | `cbor` |
//! | Protocol Buffers, as `writeDelimitedTo` and its kin write them | [`Protobuf::delimited`] | `prost` |
//! | a format of your own in frames | [`Serde`] over [`Format`] | |
//! | one message for many peers, serialized once | [`Encoded`] | |
//!
//! | what is to be done with the frames | layer | feature |
//! |---|---|---|
//! | another type of items | [`map_in`], [`map_out`], [`with`], [`try_map`] | |
//! | a cap for a codec that has none | [`capped`] | |
//! | find damage | [`checked`] | `crc32` for [`Crc32`] |
//! | make them smaller | [`compressed`] | `lz4`, `zstd` |
//! | go on after a bad one | [`tolerant`] | |
//! | speak what the remote speaks | [`either`] | |
//! | look at what passes | [`tapped`] | |
//!
//! | how a session begins | | feature |
//! |---|---|---|
//! | both say what they speak, and agree on the highest version | [`hello`] | `hello` |
//! | encrypted and authenticated by keys, without certificates | [`noise`] | `noise` |
//! | encrypted and authenticated by certificates | [`tls`] | `tls` |
//!
//! | what tests of a codec need | | feature |
//! |---|---|---|
//! | the laws that it has to keep, and the smallest input that breaks one | [`laws`] | `laws`, `proptest` |
//!
//! Why not what tokio-util has? Take it where it does: its codecs stack like ours. `LengthDelimitedCodec` makes
//! room for what the remote announces, both it and `LinesCodec` have the cap as an option, and neither
//! says at which byte it failed.
//!
//! # What they all keep
//!
//! 1. **A cap is an argument of the constructor**, so none is forgotten. The exceptions are layers, which
//!    leave it to the codec inside, and [`capped`], which is one.
//! 2. **Memory grows with the bytes that came**, never with what the remote has announced. What
//!    [`compressed`] expands to has a cap of its own.
//! 3. **An error is a type of its own for each codec**, and says what was expected, what came, and at
//!    which byte of the stream. Nothing is skipped in silence, nothing a remote sends is a panic.
//! 4. **Where the stream can go on behind an error, the error [says so](Recoverable)**, and the
//!    decoder stands at the next frame. [`tolerant`] makes an item of it.
//! 5. **A stream that ends inside a frame is an error**, one that ends between two isn't.
//! 6. **An encoder appends, and a failed one leaves no byte.**
//! 7. **A codec holds no buffer while no frame is under way**; what zstd works with is one per thread.
//!
//! The [`laws`] are the tests of these, and each codec here goes through them, and through a fuzzer.
//!
//! [`map_in`]: CodecExt::map_in
//! [`map_out`]: CodecExt::map_out
//! [`with`]: CodecExt::with
//! [`try_map`]: CodecExt::try_map
//! [`capped`]: CodecExt::capped
//! [`checked`]: CodecExt::checked
//! [`compressed`]: CodecExt::compressed
//! [`tolerant`]: CodecExt::tolerant
//! [`either`]: CodecExt::either
//! [`tapped`]: CodecExt::tapped

mod checksum;
mod encode;
mod frames;
#[cfg(feature = "hello")]
pub mod hello;
#[cfg(feature = "laws")]
pub mod laws;
mod messages;
#[cfg(feature = "noise")]
pub mod noise;
mod position;
mod progress;
mod recoverable;
mod stack;
#[cfg(feature = "tls")]
pub mod tls;

#[cfg(feature = "crc32")]
pub use checksum::Crc32;
pub use checksum::{ByteArray, Checksum};
pub use frames::*;
pub use messages::*;
pub use recoverable::Recoverable;
pub use stack::*;

/// The examples of the README, as tests.
#[cfg(all(doctest, feature = "crc32", feature = "lz4", feature = "postcard"))]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
