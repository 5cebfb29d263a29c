#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tokio_util::codec::BytesCodec;
use wattle_codecs::hello::Hello;
use wattle_codecs_fuzz::choose;

// What a stranger says, and then closes: an error, or a session with just what came behind it.
fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    let ours = Hello::new(b"fz", 1..=3)
        .features(0b111)
        .required((choice % 4) as u64)
        .identity("me");
    // Half of the inputs begin as they should, so that the fuzzer needn't find that out.
    let begun = [b"fz", data].concat();
    let data = if choice < 128 { &begun[..] } else { data };

    let io = tokio::io::join(data, tokio::io::sink());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let exchanged = runtime.block_on(ours.exchange(io, |_| Ok(()), |_| BytesCodec::new()));
    if let Ok((framed, agreed)) = exchanged {
        assert!((1..=3).contains(&agreed.version));
        assert_eq!(agreed.features & !agreed.remote.features, 0);
        let parts = framed.into_parts();
        let rest = Bytes::from([&parts.read_buf[..], parts.io.reader()].concat());
        assert!(
            data.ends_with(&rest),
            "what is left is the end of what came"
        );
    }
});
