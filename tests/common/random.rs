//! Random numbers that a printed seed determines.

use std::{
    env,
    hash::{BuildHasher, RandomState},
};

/// The seed of a randomised test: from `WATTLE_SEED`, else a new one. Printed, to be taken back.
pub(crate) fn seed() -> u64 {
    let seed = match env::var("WATTLE_SEED") {
        Ok(text) => text.parse().expect("WATTLE_SEED is a number"),
        Err(_) => RandomState::new().hash_one(0),
    };
    println!("WATTLE_SEED={seed}");
    seed
}

/// The next number of a sequence that its seed determines (splitmix64).
pub(crate) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
