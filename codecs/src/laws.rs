//! The laws that every codec keeps, as a kit for tests: of the codecs of this crate, of
//! tokio-util's, and of yours.

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
        Checked, cap_holds, check, check_pair, encoder_appends, end, every_split, failed_encode,
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
