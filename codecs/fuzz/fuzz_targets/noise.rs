#![no_main]

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::noise::{Keypair, Noise, NoiseCodec};
use wattle_codecs_fuzz::choose;

const MOST: usize = 100_000;

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().build().unwrap());
}

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    match choice % 3 {
        0 => stranger(data),
        _ => session(choice, data),
    }
});

/// A handshake with somebody who sends these bytes and closes: an error, whatever they are.
fn stranger(data: &[u8]) {
    let ours = Noise::xx(Keypair::from_private([7; 32]).unwrap(), MOST);
    let io = || tokio::io::join(data, tokio::io::sink());
    RUNTIME.with_borrow(|runtime| {
        assert!(runtime.block_on(ours.respond(io())).is_err());
        assert!(runtime.block_on(ours.initiate(io())).is_err());
    });
}

/// Two ends of a session.
fn pair() -> (NoiseCodec, NoiseCodec) {
    let noise = Noise::nn(MOST).rekey_every(3);
    let (a, b) = tokio::io::duplex(1024);
    RUNTIME.with_borrow(|runtime| {
        let both = async { tokio::try_join!(noise.initiate(a), noise.respond(b)) };
        let (a, b) = runtime.block_on(both).unwrap();
        (a.framed.into_parts().codec, b.framed.into_parts().codec)
    })
}

/// Messages of the sizes that the bytes say, read in pieces; one bit of what is on the wire is
/// flipped, or none. What is decoded is what was sent, up to the error.
fn session(choice: usize, data: &[u8]) {
    let (mut sender, mut receiver) = pair();
    let (mut wire, mut sent) = (BytesMut::new(), Vec::new());
    for size in data.chunks(2).take(6) {
        let size = size
            .iter()
            .fold(0, |size, &byte| size << 8 | usize::from(byte));
        let message = Bytes::from(vec![size as u8; size * (choice % 5)]);
        if sender.encode(message.clone(), &mut wire).is_ok() {
            sent.push(message);
        }
    }
    let flipped = data
        .iter()
        .rev()
        .fold(0, |at, &byte| at << 8 ^ usize::from(byte));
    let is_flipped = choice >= 128 && !wire.is_empty();
    if is_flipped {
        let bits = wire.len() * 8;
        wire[flipped % bits / 8] ^= 1 << (flipped % 8);
    }

    let (mut src, mut received, mut failed) = (BytesMut::new(), 0, false);
    'stream: for piece in wire.chunks(1 + 97 * (choice % 16)) {
        src.extend_from_slice(piece);
        loop {
            match receiver.decode(&mut src) {
                Ok(Some(message)) => {
                    assert_eq!(message, sent[received]);
                    received += 1;
                }
                Ok(None) => break,
                Err(_) => {
                    failed = true;
                    break 'stream;
                }
            }
        }
    }
    failed |= receiver.decode_eof(&mut src).is_err();
    assert_eq!(failed, is_flipped);
    assert!(is_flipped || received == sent.len());
}
