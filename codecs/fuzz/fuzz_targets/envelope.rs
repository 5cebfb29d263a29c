#![no_main]

use libfuzzer_sys::fuzz_target;
use wattle_codecs::{CodecExt, Crc32, Envelope, Enveloped, Layout, Length, laws};
use wattle_codecs_fuzz::{MOST, choose, decode};

fuzz_target!(|data: &[u8]| {
    let (choice, data) = choose(data);
    let checked = Layout::new()
        .magic([0xf9, 0xbe])
        .opaque(2)
        .length(Length::U16Le)
        .checksum();
    let split = Layout::new()
        .opaque(1)
        .length(Length::Varint)
        .opaque(2)
        .trailer()
        .inclusive();
    match choice % 4 {
        0 => plain(Layout::new().length(Length::U8).opaque(3), data),
        1 => plain(
            Layout::new().opaque(3).length(Length::U24).inclusive(),
            data,
        ),
        2 => {
            let codec = Envelope::<2, Crc32>::new(checked, MOST).unwrap();
            decode(|| codec.clone(), data);
            decode(|| codec.clone().tolerant(2), data);
        }
        _ => {
            let codec = Envelope::<3, Crc32>::new(split, MOST).unwrap();
            decode(|| codec.clone().tolerant(2), data);
        }
    }
});

fn plain(layout: Layout, data: &[u8]) {
    let codec = Envelope::<3>::new(layout, 200).unwrap();
    decode(|| codec.clone(), data);
    if let Some((&[a, b, c, size], rest)) = data.split_first_chunk() {
        let frame = |payload: &[u8]| Enveloped {
            header: [a, b, c],
            payload: payload.to_vec().into(),
        };
        let frames = rest
            .chunks(usize::from(size).clamp(1, 200))
            .take(8)
            .map(frame);
        if let Err(violation) = laws::fuzz_round_trip(|| codec.clone(), frames, &[size; 64]) {
            panic!("{violation}");
        }
    }
}
