//! What fuzzers found, each input as small as it could be made, less the byte that chooses among the
//! codecs of its target in `fuzz/fuzz_targets`.

use wattle_codecs::{CodecExt, Delimited, laws};

/// Target `capped`. The inner codec's error for an overlong line passed before the cap was looked at, if the
/// line came in one read.
#[test]
fn a_line_beyond_the_cap_is_beyond_it_in_one_read_as_in_several() {
    // Seven cuts, and a line that is too long for both.
    let mut input = vec![0xff, 0x0a, 0xff, 0x0a, 0x0f, 0x0f, 0x26, 0xff];
    input.resize(609, 0);
    laws::fuzz(|| Delimited::lines(600).capped(300), &input).unwrap();
}
