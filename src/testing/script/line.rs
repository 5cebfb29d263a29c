//! How a connection is opened, and what is under the codec then, whatever the transport.

use std::{future::Future, pin::Pin};

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio_util::codec::Decoder;

use crate::{
    disconnect::BoxError,
    peer::Peer,
    protocol::Protocol,
    transport::{ByteStream, reset_on_drop},
};

/// A stream of any type.
pub(super) trait Line: ByteStream {
    /// Resets the connection, or gives the stream back if it is of a kind that can't be.
    fn reset(self: Box<Self>) -> Result<(), Box<dyn Line>>;
}

impl<S: ByteStream> Line for S {
    fn reset(mut self: Box<Self>) -> Result<(), Box<dyn Line>> {
        match reset_on_drop(&mut *self) {
            true => Ok(()),
            false => Err(self),
        }
    }
}

/// A fresh session.
pub(super) struct Session<C> {
    pub(super) line: Box<dyn Line>,
    pub(super) codec: C,
    /// What came behind the handshake.
    pub(super) unread: BytesMut,
}

type Opened<'a, C> = Pin<Box<dyn Future<Output = Result<Session<C>, BoxError>> + Send + 'a>>;

/// A [`Protocol`] behind a pointer, so that a script's type names the codec only.
pub(super) trait Open<S, C>: Send + Sync {
    fn open(&self, stream: S, peer: Peer) -> Opened<'_, C>;
}

pub(super) struct Opening<P>(pub(super) P);

impl<S, P> Open<S, P::Codec> for Opening<P>
where
    S: ByteStream,
    P: Protocol<S, Codec: Decoder>,
{
    fn open(&self, stream: S, peer: Peer) -> Opened<'_, P::Codec> {
        Box::pin(async move {
            let mut parts = self.0.handshake(stream, peer).await?.into_parts();
            // What the handshake has left to be written.
            parts.io.write_all_buf(&mut parts.write_buf).await?;
            Ok(Session {
                line: Box::new(parts.io),
                codec: parts.codec,
                unread: parts.read_buf,
            })
        })
    }
}
