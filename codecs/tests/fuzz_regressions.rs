//! What fuzzers found, each input as small as it could be made, less the byte that chooses among the
//! codecs of its target in `fuzz/fuzz_targets`.

use bytes::BytesMut;
use tokio_util::codec::Decoder;
use wattle_codecs::{CodecExt, Delimited, Postcard, Serde, laws};

/// Target `capped`. The inner codec's error for an overlong line passed before the cap was looked at, if the
/// line came in one read.
#[test]
fn a_line_beyond_the_cap_is_beyond_it_in_one_read_as_in_several() {
    // Seven cuts, and a line that is too long for both.
    let mut input = vec![0xff, 0x0a, 0xff, 0x0a, 0x0f, 0x0f, 0x26, 0xff];
    input.resize(609, 0);
    laws::fuzz(|| Delimited::lines(600).capped(300), &input).unwrap();
}

/// Target `stack`. Where a message begins depended on how the overlong line before it was split: with what
/// came of that, its end was consumed or not.
#[test]
fn what_follows_an_overlong_line_is_told_by_the_same_byte_however_it_was_split() {
    let told = |reads: &[&[u8]]| {
        let mut codec = Serde::<_, _, u8>::new(Delimited::lines(10), Postcard).tolerant(2);
        let (mut src, mut told) = (BytesMut::new(), Vec::new());
        for read in reads {
            src.extend_from_slice(read);
            while let Some(item) = codec.decode(&mut src).unwrap() {
                told.push(item.unwrap_err().to_string());
            }
        }
        told
    };
    let whole = told(&[b"____________________\n\xff\xff\n"]);
    let split = told(&[b"____________", b"________\n\xff\xff\n"]);
    assert_eq!(whole, split);
    assert_eq!(whole.len(), 2);
}
