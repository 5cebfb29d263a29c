//! Between the session and its codec: what goes through is told to the capture.

use std::{
    any::Any,
    fmt::{self, Debug},
    net::SocketAddr,
};

use bytes::{Buf, BytesMut};
use tokio::net::TcpStream;
use tokio_util::codec::{Decoder, Encoder, Framed};

use super::{
    Capture, Direction,
    document::{Source, What},
};
use crate::{
    BoxError, Peer, Protocol,
    disconnect::{contain, shown},
    testing::MemoryStream,
    transport::ByteStream,
};

/// A protocol whose sessions are recorded; see [`Capture::tap`].
///
/// Its messages have to be `Debug`, those that the node sends, too.
#[derive(Debug, Clone)]
pub struct Tapped<P> {
    capture: Capture,
    protocol: P,
}

impl<P> Tapped<P> {
    pub(super) fn new(capture: Capture, protocol: P) -> Self {
        Self { capture, protocol }
    }
}

impl<S, P> Protocol<S> for Tapped<P>
where
    S: ByteStream,
    P: Protocol<S, Codec: Decoder<Item: Debug>>,
{
    type Io = P::Io;
    type Codec = TapCodec<P::Codec>;

    async fn handshake(
        &self,
        stream: S,
        peer: Peer,
    ) -> Result<Framed<P::Io, TapCodec<P::Codec>>, BoxError> {
        // Asked now, as the session's stream may be another that has this one in it.
        let local = local_addr(&stream);
        let framed = self.protocol.handshake(stream, peer).await?;
        let (number, node) = (self.capture.next_connection(), self.capture.node.clone());
        let tap = Tap {
            capture: self.capture.clone(),
            source: Source::new(number, node, peer, local),
        };
        tap.tell(&What::Open);
        tap.tell_bytes(Direction::Out, framed.write_buffer());
        // Keeps what is in the buffers.
        Ok(framed.map_codec(|codec| TapCodec::new(codec, tap)))
    }
}

/// The streams of our own transports are known to have one.
fn local_addr<S: ByteStream>(stream: &S) -> Option<SocketAddr> {
    let stream: &dyn Any = stream;
    let tcp = stream.downcast_ref().map(TcpStream::local_addr);
    let memory = || stream.downcast_ref().map(MemoryStream::local_addr);
    tcp.or_else(memory)?.ok()
}

/// The codec of a recorded session: the protocol's own, and a note of what goes through it.
///
/// Errors are those of the codec in a box.
pub struct TapCodec<C> {
    codec: C,
    tap: Tap,
    /// What came and isn't part of a message yet, as it came. Each byte is copied into it once, when the codec is asked
    /// for the first time with the byte there.
    came: BytesMut,
    /// How many bytes of the buffer have been seen before. What is beyond is new.
    seen: usize,
    ended: bool,
}

struct Tap {
    capture: Capture,
    source: Source,
}

impl Tap {
    fn tell(&self, what: &What<'_>) {
        self.capture.record(&self.source, what);
    }

    fn tell_bytes(&self, direction: Direction, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.tell(&What::Bytes { direction, bytes });
        }
    }

    fn tell_error(&self, direction: Direction, error: &BoxError) {
        let error = &shown(error);
        self.tell(&What::Error { direction, error });
    }
}

impl<C> TapCodec<C> {
    fn new(codec: C, tap: Tap) -> Self {
        Self {
            codec,
            tap,
            came: BytesMut::new(),
            seen: 0,
            ended: false,
        }
    }

    fn see(&mut self, buffer: &BytesMut) {
        if let Some(new) = buffer.get(self.seen..) {
            self.came.extend_from_slice(new);
        }
    }

    /// Tells what the codec made of the buffer. One that unpacks in place may leave more in it than there was;
    /// it counts as not having consumed anything, as it does for the node.
    fn told<T: Debug>(
        &mut self,
        buffer: &BytesMut,
        decoded: Result<Option<T>, BoxError>,
    ) -> Result<Option<T>, BoxError> {
        self.seen = buffer.len();
        match &decoded {
            Ok(Some(message)) => {
                let consumed = self.came.len().saturating_sub(buffer.len());
                let what = What::Frame {
                    direction: Direction::In,
                    bytes: &self.came[..consumed],
                    message: &written(message),
                };
                self.tap.tell(&what);
                self.came.advance(consumed);
            }
            Ok(None) => {}
            Err(error) => self.tap.tell_error(Direction::In, error),
        }
        decoded
    }
}

/// What the user's `Debug` writes. It may panic instead, which is no business of the connection.
fn written(message: &impl Debug) -> String {
    let mut text = "a message that panics when it is asked what it is".to_owned();
    contain(|| text = format!("{message:?}"));
    text
}

impl<C> Decoder for TapCodec<C>
where
    C: Decoder<Item: Debug, Error: Into<BoxError>>,
{
    type Item = C::Item;
    type Error = BoxError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<C::Item>, BoxError> {
        self.see(buffer);
        let decoded = self.codec.decode(buffer).map_err(Into::into);
        self.told(buffer, decoded)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<C::Item>, BoxError> {
        self.see(buffer);
        if !self.ended {
            self.ended = true;
            let undecoded = &self.came[..];
            self.tap.tell(&What::End { undecoded });
        }
        let decoded = self.codec.decode_eof(buffer).map_err(Into::into);
        self.told(buffer, decoded)
    }
}

impl<C, Out> Encoder<Out> for TapCodec<C>
where
    C: Encoder<Out, Error: Into<BoxError>>,
    Out: Debug,
{
    type Error = BoxError;

    fn encode(&mut self, message: Out, buffer: &mut BytesMut) -> Result<(), BoxError> {
        // The codec takes the message.
        let text = written(&message);
        let before = buffer.len();
        match self.codec.encode(message, buffer).map_err(Into::into) {
            Ok(()) => {
                let what = What::Frame {
                    direction: Direction::Out,
                    bytes: buffer.get(before..).unwrap_or_default(),
                    message: &text,
                };
                self.tap.tell(&what);
                Ok(())
            }
            Err(error) => {
                self.tap.tell_error(Direction::Out, &error);
                Err(error)
            }
        }
    }
}

impl<C> Drop for TapCodec<C> {
    fn drop(&mut self) {
        self.tap.tell_bytes(Direction::In, &self.came);
        self.tap.tell(&What::Close);
    }
}

impl<C> Debug for TapCodec<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TapCodec")
            .field("peer", &self.tap.source.peer)
            .finish_non_exhaustive()
    }
}
