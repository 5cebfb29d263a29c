//! What the tests of Noise share: fixed keys, and a stream that plays a script.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_util::codec::{Decoder, Encoder, Framed};
use wattle_codecs::{
    Recoverable,
    noise::{
        Handshake, Keypair, Noise, NoiseCodec, NoiseError, Session,
        snow::{Builder, HandshakeState},
    },
};

pub(crate) type Ended = Result<Session<DuplexStream>, NoiseError>;

/// A cap that no test but those of caps comes near.
pub(crate) const MOST: usize = 1 << 20;

pub(crate) fn keypair(seed: u8) -> Keypair {
    Keypair::from_private([seed; 32]).expect("a key")
}

/// Runs both sides over a pipe of a few bytes, so that hardly a read or write is whole.
pub(crate) async fn run(initiator: &Noise, responder: &Noise) -> (Ended, Ended) {
    let (ours, theirs) = tokio::io::duplex(7);
    tokio::join!(initiator.initiate(ours), responder.respond(theirs))
}

/// The same where both succeed.
pub(crate) async fn sessions(
    initiator: &Noise,
    responder: &Noise,
) -> (Session<DuplexStream>, Session<DuplexStream>) {
    let (pea, bean) = run(initiator, responder).await;
    (pea.expect("initiated"), bean.expect("responded"))
}

/// Sends a message while the other side reads, and says what comes.
pub(crate) async fn talk(
    from: &mut Framed<DuplexStream, NoiseCodec>,
    to: &mut Framed<DuplexStream, NoiseCodec>,
    message: impl Into<Bytes>,
) -> Bytes {
    let (sent, came) = tokio::join!(from.send(message.into()), to.next());
    sent.expect("sent");
    came.expect("a message").expect("decoded")
}

/// The codecs of a session that the two agreed on.
pub(crate) async fn codecs(initiator: &Noise, responder: &Noise) -> (NoiseCodec, NoiseCodec) {
    let (pea, bean) = sessions(initiator, responder).await;
    (
        pea.framed.into_parts().codec,
        bean.framed.into_parts().codec,
    )
}

/// The most that a Noise message carries.
pub(crate) const FULL: usize = 65_519;

/// What a frame has on top of its message: length and tag.
pub(crate) const EXTRA: usize = 2 + 16;

pub(crate) async fn pair_of(most: usize) -> (NoiseCodec, NoiseCodec) {
    codecs(&Noise::nn(most), &Noise::nn(most)).await
}

pub(crate) async fn pair() -> (NoiseCodec, NoiseCodec) {
    pair_of(MOST).await
}

pub(crate) fn encoded(codec: &mut NoiseCodec, message: impl Into<Bytes>) -> BytesMut {
    let mut wire = BytesMut::new();
    codec.encode(message.into(), &mut wire).expect("encoded");
    wire
}

pub(crate) fn decoded(
    codec: &mut NoiseCodec,
    wire: impl AsRef<[u8]>,
) -> Result<Option<Bytes>, NoiseError> {
    let mut wire = BytesMut::from(wire.as_ref());
    let decoded = codec.decode(&mut wire);
    if let Ok(Some(_)) = &decoded {
        assert!(wire.is_empty(), "{} bytes are left", wire.len());
    }
    decoded
}

/// The error of a frame.
pub(crate) fn refused(codec: &mut NoiseCodec, wire: impl AsRef<[u8]>) -> NoiseError {
    let error = decoded(codec, wire).expect_err("refused");
    assert!(!error.is_recoverable());
    error
}

pub(crate) fn pattern(len: usize) -> Bytes {
    (0..len).map(|i| (i / 251) as u8 ^ i as u8).collect()
}

/// The initiator or the responder of `Noise_XX_25519_ChaChaPoly_BLAKE2s` with keys that are the same
/// each time, the ephemeral ones too, so that what a side sends can be sent to the other one later.
pub(crate) fn fixed(initiator: bool) -> Handshake {
    Handshake::new(fixed_state(initiator), MOST)
}

fn fixed_state(initiator: bool) -> HandshakeState {
    let keys = |seed: u8| ([seed; 32], [seed + 1; 32]);
    let (fixed, ephemeral) = keys(if initiator { 10 } else { 20 });
    let name = "Noise_XX_25519_ChaChaPoly_BLAKE2s";
    let builder = Builder::new(name.parse().expect("a name"))
        .local_private_key(&fixed)
        .expect("a key")
        .fixed_ephemeral_key_for_testing_only(&ephemeral);
    let state = if initiator {
        builder.build_initiator()
    } else {
        builder.build_responder()
    };
    state.expect("a state")
}

/// All that the initiator and the responder of a [`fixed`] handshake send: 34 + 66 and 98 bytes.
pub(crate) async fn handshake_bytes() -> (Vec<u8>, Vec<u8>) {
    let mut sent = (Vec::new(), Vec::new());
    for initiator in [true, false, true] {
        let (ours, theirs) = if initiator {
            (&mut sent.0, &sent.1)
        } else {
            (&mut sent.1, &sent.0)
        };
        let script = Script::new([theirs]);
        // It ends in a session or in want of an answer.
        let _ = fixed(initiator).run(script.clone()).await;
        *ours = script.written();
    }
    sent
}

/// A stream that reads chunk after chunk, whatever is written, and then ends; it keeps what is written.
#[derive(Debug, Default, Clone)]
pub(crate) struct Script {
    chunks: VecDeque<Bytes>,
    written: Arc<Mutex<Vec<u8>>>,
    /// The most room that was offered to a read.
    room: Arc<Mutex<usize>>,
}

impl Script {
    pub(crate) fn new<C: AsRef<[u8]>>(chunks: impl IntoIterator<Item = C>) -> Self {
        let chunks = chunks
            .into_iter()
            .map(|chunk| Bytes::copy_from_slice(chunk.as_ref()))
            .filter(|chunk| !chunk.is_empty());
        Self {
            chunks: chunks.collect(),
            ..Self::default()
        }
    }

    pub(crate) fn written(&self) -> Vec<u8> {
        self.written.lock().expect("written").clone()
    }

    pub(crate) fn room(&self) -> usize {
        *self.room.lock().expect("room")
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = self.room().max(buf.remaining());
        *self.room.lock().expect("room") = most;
        if let Some(chunk) = self.chunks.front_mut() {
            let len = chunk.len().min(buf.remaining());
            buf.put_slice(&chunk[..len]);
            chunk.advance(len);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written
            .lock()
            .expect("written")
            .extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
