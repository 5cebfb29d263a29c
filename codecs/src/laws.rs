//! The laws that a codec keeps, as a kit for tests: for the codecs of this crate, for tokio-util's, and for
//! yours.
//!
//! What a codec gets wrong is seldom what a test with one frame in one buffer shows. TCP delivers
//! half a length in one read, and two frames and a half in the next; it ends in the middle; the other
//! side announces four gigabytes. [`check`] takes a way to make the codec and some messages, and tries
//! all that:
//!
//! ```
//! use bytes::{Buf, BufMut, BytesMut};
//! use tokio_util::codec::{Decoder, Encoder};
//! use wattle_codecs::laws;
//!
//! /// Temperatures in tenths of a degree: a count, and as many numbers of two bytes.
//! struct Temperatures;
//!
//! impl Decoder for Temperatures {
//!     type Item = Vec<i16>;
//!     type Error = std::io::Error;
//!
//!     fn decode(&mut self, src: &mut BytesMut) -> std::io::Result<Option<Vec<i16>>> {
//!         match src.first() {
//!             Some(&count) if src.len() > 2 * usize::from(count) => {
//!                 src.advance(1);
//!                 Ok(Some((0..count).map(|_| src.get_i16()).collect()))
//!             }
//!             _ => Ok(None),
//!         }
//!     }
//! }
//!
//! impl Encoder<Vec<i16>> for Temperatures {
//!     type Error = std::io::Error;
//!
//!     fn encode(&mut self, all: Vec<i16>, dst: &mut BytesMut) -> std::io::Result<()> {
//!         let count = u8::try_from(all.len()).map_err(std::io::Error::other)?;
//!         dst.put_u8(count);
//!         all.into_iter().for_each(|one| dst.put_i16(one));
//!         Ok(())
//!     }
//! }
//!
//! laws::check(|| Temperatures, [vec![215, -4], vec![], vec![i16::MIN; 255]])?;
//! # Ok::<(), laws::Violation>(())
//! ```
//!
//! In a test that returns `Result<(), Violation>`, or with `unwrap()`, this prints which law is broken by
//! which bytes, in the fewest reads that show it ([`Violation`]). With `src.len() >= 2 *
//! usize::from(count)`, an easy mistake, it would be:
//!
//! ```text
//! broken law: every split of the bytes decodes to the same
//!   messages  [215, -4]
//!   wire      02 00 d7 ff fc (5 bytes)
//!   reads     02 00 d7 ff | fc
//!   expected  item 1: [215, -4]
//!   came      item 1: panic: advance out of bounds: the len is 1 but advancing by 2, at …
//!   seed      WATTLE_LAWS_SEED=131260449320037 runs exactly this again
//! ```
//!
//! # The laws
//!
//! Each is a method of [`Laws`], a function of this module, and a [`Law`] to tell it by.
//!
//! | law | says |
//! |---|---|
//! | [`round_trip`] | What was encoded decodes to itself, and nothing is left over. |
//! | [`every_split`] | However the bytes are split into reads, they decode to the same: at each point, at random ones, byte by byte. |
//! | [`many_in_one_read`] | Many frames in one read decode to the same items, one after another. |
//! | [`encoder_appends`] | The encoder appends, and never touches what is in its buffer, whatever room is behind it. |
//! | [`failed_encode`] | An encode that fails leaves the buffer as it was, and the encoder able to go on. |
//! | [`cap_holds`] | What is beyond the cap is neither encoded nor decoded, and refused before much more than the cap has come. |
//! | [`reserve`] | Room is made for bytes that come, not for those that are announced. |
//! | [`end`] | A stream that ends inside a frame is an error, one that ends between two frames isn't. (What an encoder writes in front of its first message counts as part of that.) |
//! | [`garbage`] | Noise and damaged frames neither panic nor go on for ever, and decode to the same however they are split. |
//! | [`no_over_read`] | A frame is decoded without taking a byte of what follows, so that another codec can go on from there. |
//! | [`state_survives`] | After `Ok(None)`, calls without new bytes and a buffer that has moved change nothing. |
//! | [`fresh`] | A fresh decoder finds nothing in an empty buffer, and two codecs don't disturb each other. |
//!
//! `failed_encode` and `cap_holds` need messages that can't be encoded, so [`check`] has nothing to try for
//! these: [`Laws`] takes such messages, a cap, and what else a codec may need to say about itself. A
//! codec that breaks a law for a reason can leave it out by name ([`Laws::without`]).
//!
//! Where encoder and decoder belong together, because they share a session's keys, [`check_pair`]
//! and [`Laws::pair`] take a function that makes both.
//!
//! # What can't be seen
//!
//! * A decoder that never returns from one call hangs the test. One that returns again and again
//!   without an end is caught.
//! * `reserve` watches the buffer that is handed to the decoder, and not what it allocates
//!   elsewhere. A decoder that reserves more than there is at all aborts the process, as it would in
//!   production.
//! * A codec that writes more than items' frames (a preface, say, or a sign of life that the decoder skips) may end
//!   cleanly right behind that, and the law `end` doesn't know: leave it out, and test the end by hand.
//! * Panics are caught, so the laws need the default `panic = "unwind"`.
//!
//! # The seed
//!
//! What is random is so by a seed, and that is the same for each run, unless [`Laws::seed`] or the environment
//! variable `WATTLE_LAWS_SEED` (which goes before) has another. Each violation names it.
//!
//! # Strategies
//!
//! With the feature `proptest`, [`proptest`](proptest()) draws the messages from a strategy and shrinks what
//! fails.
//!
//! # Fuzzing
//!
//! [`fuzz`] takes a fuzzer's bytes for splits and a stream. After `cargo fuzz init`, this is a whole
//! target, `fuzz/fuzz_targets/decode.rs`:
//!
//! ```text
//! #![no_main]
//! use libfuzzer_sys::fuzz_target;
//! use my_crate::MyCodec;
//! use wattle_codecs::laws;
//!
//! fuzz_target!(|data: &[u8]| laws::fuzz(|| MyCodec::new(1024), data).unwrap());
//! ```
//!
//! [`fuzz_round_trip`] is for a target whose input is messages.

mod alone;
mod buffer;
mod encoder;
mod end;
mod fuzz;
mod garbage;
mod kit;
mod law;
mod memory;
mod panics;
#[cfg(feature = "proptest")]
mod proptest;
mod random;
mod reader;
mod round_trip;
mod splits;
mod stream;
mod violation;

#[cfg(feature = "proptest")]
pub use self::proptest::{proptest, proptest_with};
pub use self::{
    alone::{
        Checkable, cap_holds, check, check_pair, encoder_appends, end, every_split, failed_encode,
        fresh, garbage, many_in_one_read, no_over_read, reserve, round_trip, state_survives,
    },
    fuzz::{fuzz, fuzz_round_trip},
    kit::Laws,
    law::Law,
    memory::{CAP_SLACK, RESERVE_SLACK, ROOM_AHEAD},
    violation::Violation,
};

/// The environment variable that takes a seed back.
const SEED_VARIABLE: &str = "WATTLE_LAWS_SEED";
