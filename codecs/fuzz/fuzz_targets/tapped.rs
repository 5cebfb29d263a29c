#![no_main]

use std::{cell::RefCell, rc::Rc};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tokio_util::codec::Decoder;
use wattle_codecs::{CodecExt, Delimited, Length, Passed, Prefixed};
use wattle_codecs_fuzz::{MOST, choose, decode, frames};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    match choice % 3 {
        0 => frames(|| Prefixed::new(Length::Varint, MOST).tapped(|_| {}), data),
        1 => decode(|| Delimited::lines(MOST).tapped(|_| {}).tolerant(2), data),
        _ => sees_all(data),
    }
});

/// Whatever the reads are, the tap is shown each byte that is consumed, once and in order.
fn sees_all(data: &[u8]) {
    let (size, data) = choose(data);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let shown = seen.clone();
    let mut codec = Delimited::lines(20).tapped(move |passed| match passed {
        Passed::Decoded { wire, .. }
        | Passed::Consumed { wire }
        | Passed::DecodeFailed { wire, .. } => shown.borrow_mut().extend_from_slice(wire),
        _ => {}
    });
    let (mut src, mut fed) = (BytesMut::new(), 0);
    for read in data.chunks(size + 1) {
        src.extend_from_slice(read);
        fed += read.len();
        while let Ok(Some(_)) | Err(_) = codec.decode(&mut src) {}
        let seen = seen.borrow();
        assert!(
            data[..fed - src.len()].starts_with(&seen),
            "what is shown is what came"
        );
    }
    // One ends what is being skipped, which is shown with the next line.
    src.extend_from_slice(b"\n\n");
    while let Ok(Some(_)) | Err(_) = codec.decode(&mut src) {}
    assert_eq!(
        &seen.borrow()[..],
        [data, b"\n\n"].concat(),
        "nothing is left out"
    );
}
