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

use std::{
    hint::black_box,
    io::{self, Write as _},
    time::Instant,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tokio_util::codec::{
    AnyDelimiterCodec, AnyDelimiterCodecError, Decoder, Encoder, LengthDelimitedCodec,
};
use wattle_codecs::{
    Cbor, CodecExt, Crc32, Delimited, Envelope, Enveloped, Fixed, Json, Layout, Length, Lz4,
    MessagePack, Postcard, Prefixed, Protobuf, Zstd,
    noise::{Noise, NoiseCodec, snow},
};

/// Payload sizes of the frames in bytes.
const SIZES: [usize; 3] = [16, 1024, 64 * 1024];
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// No frame here is larger.
const MOST: usize = 1024 * 1024;
/// What a batch comes to, roughly, and the fewest frames in one.
const BATCH_BYTES: usize = 256 * 1024;
const BATCH_LEAST: usize = 16;
const ROUNDS: usize = 41;
const ROUNDS_QUICK: usize = 7;

/// One of two that take turns: an encoder, a decoder for what it writes, and the message to send.
struct Contender<E, D, M> {
    encoder: E,
    decoder: D,
    message: M,
}

impl<C: Clone, M> Contender<C, C, M> {
    fn new(codec: C, message: M) -> Self {
        Self {
            encoder: codec.clone(),
            decoder: codec,
            message,
        }
    }
}

/// What a frame took, in nanoseconds.
#[derive(Clone, Copy)]
struct Took {
    encode: f64,
    decode: f64,
}

trait Batch {
    /// Encodes a batch of frames and decodes it again.
    fn run(&mut self, frames: usize) -> Took;
}

impl<E, D, M> Batch for Contender<E, D, M>
where
    E: Encoder<M>,
    D: Decoder,
    M: Clone,
{
    fn run(&mut self, frames: usize) -> Took {
        let messages = vec![self.message.clone(); frames];
        let mut wire = BytesMut::with_capacity(2 * BATCH_BYTES + BATCH_LEAST * MOST / 8);
        let begun = Instant::now();
        for message in messages {
            let encoded = self.encoder.encode(black_box(message), &mut wire);
            assert!(encoded.is_ok());
        }
        let encode = per_frame(begun, frames);

        let begun = Instant::now();
        let mut decoded = 0;
        while let Ok(Some(item)) = self.decoder.decode(&mut wire) {
            drop(black_box(item));
            decoded += 1;
            if wire.is_empty() {
                break;
            }
        }
        let decode = per_frame(begun, frames);
        assert_eq!(decoded, frames, "each frame is decoded");
        Took { encode, decode }
    }
}

fn per_frame(begun: Instant, frames: usize) -> f64 {
    begun.elapsed().as_nanos() as f64 / frames as f64
}

struct Bench {
    filter: Option<String>,
    rounds: usize,
}

impl Bench {
    fn from_args() -> Self {
        let mut bench = Self {
            filter: None,
            rounds: ROUNDS,
        };
        for arg in std::env::args().skip(1) {
            match arg.as_str() {
                "--bench" => {}
                "--quick" => bench.rounds = ROUNDS_QUICK,
                name => bench.filter = Some(name.to_owned()),
            }
        }
        bench
    }

    fn compare(
        &self,
        name: &str,
        counterpart: &str,
        size: usize,
        mut ours: impl Batch,
        mut bare: impl Batch,
    ) {
        if self
            .filter
            .as_ref()
            .is_some_and(|filter| !name.contains(filter.as_str()))
        {
            return;
        }
        let frames = (BATCH_BYTES / size).max(BATCH_LEAST);
        let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
        // The first of each warms the caches up.
        ours.run(frames);
        bare.run(frames);
        for round in 0..self.rounds {
            // Whoever goes second finds the allocator as the first left it.
            if round % 2 == 0 {
                of_ours.push(ours.run(frames));
                of_bare.push(bare.run(frames));
            } else {
                of_bare.push(bare.run(frames));
                of_ours.push(ours.run(frames));
            }
        }
        report(name, counterpart, size, &of_ours, &of_bare);
    }
}

fn report(name: &str, counterpart: &str, size: usize, ours: &[Took], bare: &[Took]) {
    let label = if size >= 1024 {
        format!("{}KiB", size / 1024)
    } else {
        format!("{size}B")
    };
    for (what, of) in [
        ("encode", (|took| took.encode) as fn(&Took) -> f64),
        ("decode", |took| took.decode),
        ("both", |took| took.encode + took.decode),
    ] {
        let (ours, bare) = (median(ours.iter().map(of)), median(bare.iter().map(of)));
        let rate = |ns: f64| size as f64 * 1e3 / ns;
        println!(
            "{name:<22} {label:>6} {what}  {ours:>9.1} ns {:>8.0} MB/s   {bare:>9.1} ns {:>8.0} MB/s   {counterpart}",
            rate(ours),
            rate(bare),
        );
        println!("ratio codecs/{name}/{label}/{what} {:.2}", ours / bare);
    }
    io::stdout().flush().ok();
}

fn median(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<_> = times.collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

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

/// What tokio-util has for lengths, with a cap.
fn length_delimited() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(2 * MOST)
        .new_codec()
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

/// `AnyDelimiterCodec` encodes text alone.
#[derive(Clone)]
struct AnyLines(AnyDelimiterCodec);

fn any_lines() -> AnyLines {
    let end = b"\n".to_vec();
    AnyLines(AnyDelimiterCodec::new_with_max_length(
        end.clone(),
        end,
        MOST,
    ))
}

impl Decoder for AnyLines {
    type Item = Bytes;
    type Error = AnyDelimiterCodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, AnyDelimiterCodecError> {
        self.0.decode(src)
    }
}

impl Encoder<Bytes> for AnyLines {
    type Error = io::Error;

    fn encode(&mut self, line: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        dst.reserve(line.len() + 1);
        dst.put_slice(&line);
        dst.put_u8(b'\n');
        Ok(())
    }
}

/// The same, refusing what would be two lines.
#[derive(Clone)]
struct LookingLines(AnyLines);

impl Decoder for LookingLines {
    type Item = Bytes;
    type Error = AnyDelimiterCodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, AnyDelimiterCodecError> {
        self.0.decode(src)
    }
}

impl Encoder<Bytes> for LookingLines {
    type Error = io::Error;

    fn encode(&mut self, line: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        if line.contains(&b'\n') || line.ends_with(b"\r") {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.0.encode(line, dst)
    }
}

#[derive(Clone)]
struct SplitTo(usize);

impl Decoder for SplitTo {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        Ok((src.len() >= self.0).then(|| src.split_to(self.0).freeze()))
    }
}

impl Encoder<Bytes> for SplitTo {
    type Error = io::Error;

    fn encode(&mut self, frame: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        dst.extend_from_slice(&frame);
        Ok(())
    }
}

const MAGIC: [u8; 4] = [0xf9, 0xbe, 0xb4, 0xd9];
const COMMAND: &[u8; 12] = b"block\0\0\0\0\0\0\0";
const HEADER: usize = 24;

fn envelope_frames() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .little_endian()
        .length_field_offset(16)
        .length_field_length(4)
        .length_adjustment(HEADER as isize)
        .num_skip(0)
        .max_frame_length(2 * MOST)
        .new_codec()
}

/// The same header, taken apart by hand.
#[derive(Clone)]
struct EnvelopeByHand(LengthDelimitedCodec);

impl Decoder for EnvelopeByHand {
    type Item = (BytesMut, Bytes);
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<(BytesMut, Bytes)>> {
        let Some(mut frame) = self.0.decode(src)? else {
            return Ok(None);
        };
        let header = frame.split_to(HEADER);
        let sum = crc32fast::hash(&frame).to_be_bytes();
        if header[..4] != MAGIC || header[20..] != sum {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some((header, frame.freeze())))
    }
}

impl Encoder<([u8; 12], Bytes)> for EnvelopeByHand {
    type Error = io::Error;

    fn encode(&mut self, item: ([u8; 12], Bytes), dst: &mut BytesMut) -> io::Result<()> {
        let (command, payload) = item;
        if payload.len() > MOST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        dst.reserve(HEADER + payload.len());
        dst.put_slice(&MAGIC);
        dst.put_slice(&command);
        dst.put_u32_le(payload.len() as u32);
        dst.put_u32(crc32fast::hash(&payload));
        dst.put_slice(&payload);
        Ok(())
    }
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

#[derive(Clone)]
struct JsonLines(AnyLines);

impl Decoder for JsonLines {
    type Item = Note;
    type Error = BoxError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Note>, BoxError> {
        match self.0.decode(src)? {
            Some(line) => Ok(Some(serde_json::from_slice(&line)?)),
            None => Ok(None),
        }
    }
}

impl Encoder<Note> for JsonLines {
    type Error = BoxError;

    fn encode(&mut self, note: Note, dst: &mut BytesMut) -> Result<(), BoxError> {
        Ok(self.0.encode(serde_json::to_vec(&note)?.into(), dst)?)
    }
}

/// A frame codec, and a function each way.
#[derive(Clone)]
struct ByHand<M> {
    frames: LengthDelimitedCodec,
    write: fn(&M) -> Option<Vec<u8>>,
    read: fn(BytesMut) -> Option<M>,
}

impl<M> Decoder for ByHand<M> {
    type Item = M;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<M>> {
        let Some(frame) = self.frames.decode(src)? else {
            return Ok(None);
        };
        (self.read)(frame)
            .map(Some)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl<M> Encoder<M> for ByHand<M> {
    type Error = io::Error;

    fn encode(&mut self, message: M, dst: &mut BytesMut) -> io::Result<()> {
        let frame = (self.write)(&message).ok_or(io::ErrorKind::InvalidInput)?;
        self.frames.encode(Bytes::from(frame), dst)
    }
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

/// Keeps the bytes of each frame for a log.
#[derive(Clone)]
struct Kept(LengthDelimitedCodec, Vec<u8>);

impl Decoder for Kept {
    type Item = BytesMut;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<BytesMut>> {
        let frame = self.0.decode(src)?;
        if let Some(frame) = &frame {
            self.1.clear();
            self.1.put_u32(frame.len() as u32);
            self.1.put_slice(frame);
            black_box(&self.1);
        }
        Ok(frame)
    }
}

impl Encoder<Bytes> for Kept {
    type Error = io::Error;

    fn encode(&mut self, payload: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        self.0.encode(payload, dst)
    }
}

/// With contexts that are used again, as everybody would who has more than one frame.
struct ZstdByHand {
    frames: LengthDelimitedCodec,
    compressor: zstd::bulk::Compressor<'static>,
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl ZstdByHand {
    fn new() -> Self {
        let contexts = (
            zstd::bulk::Compressor::new(0),
            zstd::bulk::Decompressor::new(),
        );
        let (Ok(compressor), Ok(decompressor)) = contexts else {
            unreachable!("contexts without dictionaries");
        };
        Self {
            frames: length_delimited(),
            compressor,
            decompressor,
        }
    }
}

impl Decoder for ZstdByHand {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let Some(frame) = self.frames.decode(src)? else {
            return Ok(None);
        };
        let size = zstd::zstd_safe::get_frame_content_size(&frame)
            .ok()
            .flatten()
            .unwrap_or(0);
        let most = usize::try_from(size).unwrap_or(MOST).min(MOST);
        self.decompressor
            .decompress(&frame, most)
            .map(|payload| Some(payload.into()))
    }
}

impl Encoder<Bytes> for ZstdByHand {
    type Error = io::Error;

    fn encode(&mut self, payload: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        let frame = self.compressor.compress(&payload)?;
        self.frames.encode(Bytes::from(frame), dst)
    }
}

/// The most that a Noise message holds, and what it adds.
const NOISE_MOST: usize = 65_519;
const NOISE_TAG: usize = 16;

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

fn snow_pair() -> (snow::TransportState, snow::TransportState) {
    let handshake = || -> Result<_, snow::Error> {
        let params: snow::params::NoiseParams = "Noise_NN_25519_ChaChaPoly_BLAKE2s".parse()?;
        let mut a = snow::Builder::new(params.clone()).build_initiator()?;
        let mut b = snow::Builder::new(params).build_responder()?;
        let (mut wire, mut payload) = ([0; 128], [0; 128]);
        let len = a.write_message(&[], &mut wire)?;
        b.read_message(&wire[..len], &mut payload)?;
        let len = b.write_message(&[], &mut wire)?;
        a.read_message(&wire[..len], &mut payload)?;
        Ok((a.into_transport_mode()?, b.into_transport_mode()?))
    };
    let Ok(pair) = handshake() else {
        unreachable!("a handshake with oneself");
    };
    pair
}

/// A length of two bytes and a Noise message, as often as it takes; the reader knows the size.
struct Snow {
    state: snow::TransportState,
    size: usize,
}

impl Encoder<Bytes> for Snow {
    type Error = io::Error;

    fn encode(&mut self, payload: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        for part in payload.chunks(NOISE_MOST) {
            dst.put_u16((part.len() + NOISE_TAG) as u16);
            let at = dst.len();
            dst.resize(at + part.len() + NOISE_TAG, 0);
            self.state
                .write_message(part, &mut dst[at..])
                .map_err(io::Error::other)?;
        }
        Ok(())
    }
}

impl Decoder for Snow {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let mut message = BytesMut::zeroed(self.size);
        let mut read = 0;
        while read < self.size {
            let len = usize::from(src.get_u16());
            let into = &mut message[read..];
            read += self
                .state
                .read_message(&src[..len], into)
                .map_err(io::Error::other)?;
            src.advance(len);
        }
        Ok(Some(message.freeze()))
    }
}
