//! The counterparts: what a user would write with the same building blocks.

use std::{hint::black_box, io};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{
    AnyDelimiterCodec, AnyDelimiterCodecError, Decoder, Encoder, LengthDelimitedCodec,
};
use wattle_codecs::noise::snow;

use super::{MOST, Note};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What tokio-util has for lengths, with a cap.
pub(crate) fn length_delimited() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(2 * MOST)
        .new_codec()
}

/// `AnyDelimiterCodec` encodes text alone. So bytes are written by hand, and as there: without a look inside, and
/// without a cap.
#[derive(Clone)]
pub(crate) struct AnyLines(AnyDelimiterCodec);

pub(crate) fn any_lines() -> AnyLines {
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
pub(crate) struct LookingLines(pub(crate) AnyLines);

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
pub(crate) struct SplitTo(pub(crate) usize);

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

pub(crate) const MAGIC: [u8; 4] = [0xf9, 0xbe, 0xb4, 0xd9];
pub(crate) const COMMAND: &[u8; 12] = b"block\0\0\0\0\0\0\0";
const HEADER: usize = 24;

pub(crate) fn envelope_frames() -> LengthDelimitedCodec {
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
pub(crate) struct EnvelopeByHand(pub(crate) LengthDelimitedCodec);

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

#[derive(Clone)]
pub(crate) struct JsonLines(pub(crate) AnyLines);

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
pub(crate) struct ByHand<M> {
    pub(crate) frames: LengthDelimitedCodec,
    pub(crate) write: fn(&M) -> Option<Vec<u8>>,
    pub(crate) read: fn(BytesMut) -> Option<M>,
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

/// Keeps the bytes of each frame for a log.
#[derive(Clone)]
pub(crate) struct Kept(pub(crate) LengthDelimitedCodec, pub(crate) Vec<u8>);

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
pub(crate) struct ZstdByHand {
    frames: LengthDelimitedCodec,
    compressor: zstd::bulk::Compressor<'static>,
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl ZstdByHand {
    pub(crate) fn new() -> Self {
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

pub(crate) fn snow_pair() -> (snow::TransportState, snow::TransportState) {
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
pub(crate) struct Snow {
    pub(crate) state: snow::TransportState,
    pub(crate) size: usize,
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
