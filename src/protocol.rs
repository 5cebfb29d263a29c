//! What a connection speaks: [`Protocol`].

use std::future::Future;

use tokio::net::TcpStream;
use tokio_util::codec::{Decoder, Framed};

use crate::{disconnect::BoxError, peer::Peer, transport::ByteStream};

/// What a connection speaks: a handshake that turns a fresh stream into the `Framed` of the session.
///
/// Every `Fn(Peer) -> C` that makes a codec is a protocol without a handshake. Implement the trait
/// for one that begins with a handshake, and put into it whatever the handshake needs: keys, a
/// version, a channel for what it learns.
///
/// The handshake runs in a task of its own for incoming connections, and in the caller of
/// [`Node::connect`](crate::Node::connect) or [`Node::adopt`](crate::Node::adopt) for our own; the
/// handshake timeout bounds both. What
/// arrived behind the handshake belongs to the session: to change the codec use
/// `Framed::map_codec`, or `into_parts` and `from_parts`, and never `into_inner`, which throws away
/// the bytes that were read already. (The buffers and the boundary of the `Framed` become the
/// node's own; the bytes in them stay.)
///
/// # Examples
///
/// Both sides send a line with their version, and go on in frames:
///
/// ```
/// use futures::{SinkExt, StreamExt};
/// use tokio::net::TcpStream;
/// use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec};
/// use wattle::{BoxError, Peer, Protocol};
///
/// struct Versioned(u32);
///
/// impl Protocol for Versioned {
///     type Io = TcpStream;
///     type Codec = LengthDelimitedCodec;
///
///     async fn handshake(
///         &self,
///         stream: TcpStream,
///         _peer: Peer,
///     ) -> Result<Framed<TcpStream, LengthDelimitedCodec>, BoxError> {
///         let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(16));
///         lines.send(self.0.to_string()).await?;
///         let theirs = lines.next().await.ok_or("closed before the version")??;
///         if theirs.parse() != Ok(self.0) {
///             return Err(format!("expected version {}, got {theirs:?}", self.0).into());
///         }
///         Ok(lines.map_codec(|_| LengthDelimitedCodec::new()))
///     }
/// }
/// ```
pub trait Protocol<S = TcpStream>: Send + Sync + 'static {
    /// The session's stream: the transport's own, or one wrapped around it.
    type Io: ByteStream;

    /// The session's codec. What it decodes is what [`Inbound`](crate::Inbound) yields; it must
    /// encode what the node sends.
    ///
    /// What the protocol skips (a filler, a message of an unknown kind) is best an item too. Bytes
    /// that the codec consumes without an item look like the beginning of a frame: if the remote
    /// closes its side cleanly right behind them, the reason is
    /// [`EndInsideFrame`](crate::Reason::EndInsideFrame) and not
    /// [`EndOfStream`](crate::Reason::EndOfStream).
    type Codec: Decoder<Item: Send + 'static, Error: Into<BoxError>> + Send + 'static;

    /// Turns the fresh stream into the session.
    ///
    /// # Errors
    ///
    /// Whatever makes the session impossible. The stream is closed then; the error goes to the
    /// caller of `connect` or `adopt`, or into
    /// [`Event::HandshakeFailed`](crate::Event::HandshakeFailed).
    ///
    /// # Cancel safety
    ///
    /// The node drops the future at the handshake timeout, when it shuts down, and when the caller
    /// of `connect` or `adopt` goes away.
    fn handshake(
        &self,
        stream: S,
        peer: Peer,
    ) -> impl Future<Output = Result<Framed<Self::Io, Self::Codec>, BoxError>> + Send;
}

impl<S, F, C> Protocol<S> for F
where
    S: ByteStream,
    F: Fn(Peer) -> C + Send + Sync + 'static,
    C: Decoder<Item: Send + 'static, Error: Into<BoxError>> + Send + 'static,
{
    type Io = S;
    type Codec = C;

    async fn handshake(&self, stream: S, peer: Peer) -> Result<Framed<S, C>, BoxError> {
        // The connection brings buffers when there is something to read or to write.
        Ok(Framed::with_capacity(stream, self(peer), 0))
    }
}
