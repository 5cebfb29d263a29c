//! What each codec costs, beside the bare building block that it is made of.
//!
//! ```text
//! cargo bench -p wattle-codecs --bench codecs              # all
//! cargo bench -p wattle-codecs --bench codecs -- noise     # those with this in their name
//! cargo bench -p wattle-codecs --bench codecs -- --quick
//! ```
//!
//! Each codec and its counterpart take turns, in one process: a batch of frames is encoded and
//! decoded by the one, then by the other, and so on; printed are the medians of all rounds. The
//! counterpart is what a user would write with the same building block and nothing of this crate: the table
//! says which. One line per figure, `ratio codecs/NAME/SIZE/WHAT VALUE`, is the codec's time
//! divided by its counterpart's; below 1 is better.

#[path = "codecs/by_hand.rs"]
mod by_hand;
#[path = "codecs/turns.rs"]
mod turns;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use wattle_codecs::{
    Cbor, CodecExt, Crc32, Delimited, Envelope, Enveloped, Fixed, Json, Layout, Length, Lz4,
    MessagePack, Postcard, Prefixed, Protobuf, Zstd,
    noise::{Noise, NoiseCodec},
};

use by_hand::{
    ByHand, COMMAND, EnvelopeByHand, JsonLines, Kept, LookingLines, MAGIC, Snow, SplitTo,
    ZstdByHand, any_lines, envelope_frames, length_delimited, snow_pair,
};
use turns::{Bench, Contender};

/// Payload sizes of the frames in bytes.
const SIZES: [usize; 3] = [16, 1024, 64 * 1024];

/// No frame here is larger.
const MOST: usize = 1024 * 1024;

fn main() {
    let bench = Bench::from_args();
    for size in SIZES {
        frames(&bench, size);
        messages(&bench, size);
        layers(&bench, size);
        sessions(&bench, size);
    }
}

fn payload(size: usize) -> Bytes {
    // Something between random and all alike, as messages mostly are.
    (0..size)
        .map(|i| b"the quick brown fox jumps over the lazy dog"[(i * i / 7 + i) % 43])
        .collect()
}

fn frames(bench: &Bench, size: usize) {
    let payload = payload(size);
    let bytes = || Contender::new(length_delimited(), payload.clone());
    let prefixed = |length| Contender::new(Prefixed::new(length, MOST), payload.clone());
    bench.compare(
        "prefixed-u32",
        "LengthDelimitedCodec",
        size,
        prefixed(Length::U32),
        bytes(),
    );
    bench.compare(
        "prefixed-varint",
        "LengthDelimitedCodec",
        size,
        prefixed(Length::Varint),
        bytes(),
    );
    let lines = || Contender::new(Delimited::lines(MOST), payload.clone());
    bench.compare(
        "delimited-lines",
        "AnyDelimiterCodec",
        size,
        lines(),
        Contender::new(any_lines(), payload.clone()),
    );
    // A line with a newline in it would be two. `AnyDelimiterCodec` doesn't look; ours beside one that does.
    bench.compare(
        "looking-lines",
        "AnyDelimiterCodec + contains",
        size,
        lines(),
        Contender::new(LookingLines(any_lines()), payload.clone()),
    );
    bench.compare(
        "fixed",
        "split_to",
        size,
        Contender::new(Fixed::new(size), payload.clone()),
        Contender::new(SplitTo(size), payload.clone()),
    );
    let layout = Layout::new()
        .magic(MAGIC)
        .opaque(12)
        .length(Length::U32Le)
        .checksum();
    let Ok(envelope) = Envelope::<12, Crc32>::new(layout, MOST) else {
        unreachable!("the layout is right");
    };
    bench.compare(
        "envelope-crc32",
        "LengthDelimitedCodec + crc32fast",
        size,
        Contender::new(
            envelope,
            Enveloped {
                header: *COMMAND,
                payload: payload.clone(),
            },
        ),
        Contender::new(
            EnvelopeByHand(envelope_frames()),
            (*COMMAND, payload.clone()),
        ),
    );
}

#[derive(Clone, Serialize, Deserialize, prost::Message)]
struct Note {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    text: String,
}

/// A message whose text makes up the size.
fn note(size: usize) -> Note {
    Note {
        id: 300,
        text: String::from_utf8_lossy(&payload(size.saturating_sub(6))).into_owned(),
    }
}

fn messages(bench: &Bench, size: usize) {
    let against = |write: fn(&Note) -> Option<Vec<u8>>, read: fn(BytesMut) -> Option<Note>| {
        Contender::new(
            ByHand {
                frames: length_delimited(),
                write,
                read,
            },
            note(size),
        )
    };
    bench.compare(
        "json-framed",
        "LengthDelimitedCodec + serde_json",
        size,
        Contender::new(Json::framed::<Note>(MOST), note(size)),
        against(
            |note| serde_json::to_vec(note).ok(),
            |frame| serde_json::from_slice(&frame).ok(),
        ),
    );
    bench.compare(
        "json-lines",
        "AnyDelimiterCodec + serde_json",
        size,
        Contender::new(Json::lines::<Note>(MOST), note(size)),
        Contender::new(JsonLines(any_lines()), note(size)),
    );
    bench.compare(
        "postcard",
        "LengthDelimitedCodec + postcard",
        size,
        Contender::new(Postcard::framed::<Note>(MOST), note(size)),
        against(
            |note| postcard::to_stdvec(note).ok(),
            |frame| postcard::from_bytes(&frame).ok(),
        ),
    );
    bench.compare(
        "messagepack",
        "LengthDelimitedCodec + rmp-serde",
        size,
        Contender::new(MessagePack::framed::<Note>(MOST), note(size)),
        against(
            |note| rmp_serde::to_vec(note).ok(),
            |frame| rmp_serde::from_slice(&frame).ok(),
        ),
    );
    bench.compare(
        "cbor",
        "LengthDelimitedCodec + ciborium",
        size,
        Contender::new(Cbor::framed::<Note>(MOST), note(size)),
        against(
            |note| {
                let mut written = Vec::new();
                ciborium::into_writer(note, &mut written)
                    .ok()
                    .map(|()| written)
            },
            |frame| ciborium::from_reader(&frame[..]).ok(),
        ),
    );
    bench.compare(
        "protobuf",
        "LengthDelimitedCodec + prost",
        size,
        Contender::new(Protobuf::delimited::<Note>(MOST), note(size)),
        against(
            |note| Some(note.encode_to_vec()),
            |frame| Note::decode(frame).ok(),
        ),
    );
}

fn layers(bench: &Bench, size: usize) {
    let payload = payload(size);
    let prefixed = || Prefixed::new(Length::U32, 2 * MOST);
    let plain = || Contender::new(prefixed(), payload.clone());
    let length = || Contender::new(length_delimited(), payload.clone());
    let against = |write: fn(&Bytes) -> Option<Vec<u8>>, read: fn(BytesMut) -> Option<Bytes>| {
        Contender::new(
            ByHand {
                frames: length_delimited(),
                write,
                read,
            },
            payload.clone(),
        )
    };

    bench.compare(
        "checked-crc32",
        "LengthDelimitedCodec + crc32fast",
        size,
        Contender::new(prefixed().checked::<Crc32>(), payload.clone()),
        against(
            |payload| {
                let mut frame = Vec::with_capacity(payload.len() + 4);
                frame.extend_from_slice(payload);
                frame.extend_from_slice(&crc32fast::hash(payload).to_be_bytes());
                Some(frame)
            },
            |mut frame| {
                let sum = frame.split_off(frame.len().checked_sub(4)?);
                (sum[..] == crc32fast::hash(&frame).to_be_bytes()).then(|| frame.freeze())
            },
        ),
    );
    bench.compare(
        "compressed-lz4",
        "LengthDelimitedCodec + lz4_flex",
        size,
        Contender::new(prefixed().compressed(Lz4, MOST), payload.clone()),
        against(
            |payload| Some(lz4_flex::compress_prepend_size(payload)),
            |frame| {
                lz4_flex::decompress_size_prepended(&frame)
                    .ok()
                    .map(Bytes::from)
            },
        ),
    );
    bench.compare(
        "compressed-zstd",
        "LengthDelimitedCodec + zstd's contexts",
        size,
        Contender::new(
            prefixed().compressed(Zstd::default(), MOST),
            payload.clone(),
        ),
        Contender {
            encoder: ZstdByHand::new(),
            decoder: ZstdByHand::new(),
            message: payload.clone(),
        },
    );
    // These add nothing to the frame, so the building block is what finds the frames. Beside it, what
    // the layer takes alone.
    let capped = || Contender::new(prefixed().capped(MOST), payload.clone());
    bench.compare("capped", "LengthDelimitedCodec", size, capped(), length());
    bench.compare("layer-capped", "Prefixed", size, capped(), plain());
    let tolerant = || Contender::new(prefixed().tolerant(8), payload.clone());
    bench.compare(
        "tolerant",
        "LengthDelimitedCodec",
        size,
        tolerant(),
        length(),
    );
    bench.compare("layer-tolerant", "Prefixed", size, tolerant(), plain());
    let with = || {
        let codec = prefixed().with(|frame: Bytes| frame, |frame: Bytes| frame);
        Contender::new(codec, payload.clone())
    };
    bench.compare("with", "LengthDelimitedCodec", size, with(), length());
    bench.compare("layer-with", "Prefixed", size, with(), plain());
    let either = || {
        let codec = prefixed().either(Prefixed::new(Length::U64, MOST));
        Contender::new(codec, payload.clone())
    };
    bench.compare("either", "LengthDelimitedCodec", size, either(), length());
    bench.compare("layer-either", "Prefixed", size, either(), plain());
    let tapped = || Contender::new(prefixed().tapped(|_| {}), payload.clone());
    // A tap is shown the bytes beside the item that takes them away, so somebody has to copy them: the building
    // block is what finds the frames, and a copy of each.
    bench.compare(
        "tapped",
        "LengthDelimitedCodec + a copy",
        size,
        tapped(),
        Contender::new(Kept(length_delimited(), Vec::new()), payload.clone()),
    );
    bench.compare("layer-tapped", "Prefixed", size, tapped(), plain());
}

fn sessions(bench: &Bench, size: usize) {
    let payload = payload(size);
    let (encoder, decoder) = noise_pair();
    let (sender, receiver) = snow_pair();
    bench.compare(
        "noise",
        "snow on slices",
        size,
        Contender {
            encoder,
            decoder,
            message: payload.clone(),
        },
        Contender {
            encoder: Snow {
                state: sender,
                size,
            },
            decoder: Snow {
                state: receiver,
                size,
            },
            message: payload,
        },
    );
}

fn noise_pair() -> (NoiseCodec, NoiseCodec) {
    let noise = Noise::nn(MOST);
    let (a, b) = tokio::io::duplex(1024);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        unreachable!("a runtime without drivers");
    };
    let both = runtime.block_on(async { tokio::try_join!(noise.initiate(a), noise.respond(b)) });
    let Ok((a, b)) = both else {
        unreachable!("a handshake with oneself");
    };
    (a.framed.into_parts().codec, b.framed.into_parts().codec)
}
