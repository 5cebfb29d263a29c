//! What the tests of TLS share: certificates, and two sides that meet.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod certificates;

use std::{io, sync::Arc};

use certificates::{Authority, Identity, NAME, Versions};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};
use wattle_codecs::tls::{
    self, TlsError, TlsStream,
    rustls::{ClientConfig, CommonState, ServerConfig, pki_types::ServerName},
};

pub(crate) type Session<IO = DuplexStream> = Framed<TlsStream<IO>, LinesCodec>;
pub(crate) type Outcome<IO = DuplexStream> = Result<Session<IO>, TlsError>;

pub(crate) fn lines(_: &CommonState) -> LinesCodec {
    LinesCodec::new_with_max_length(8192)
}

pub(crate) fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).unwrap()
}

pub(crate) async fn connect<IO>(io: IO, client: ClientConfig) -> Outcome<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    tls::connect(io, Arc::new(client), name(), lines).await
}

pub(crate) async fn accept<IO>(io: IO, server: ServerConfig) -> Outcome<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    tls::accept(io, Arc::new(server), lines).await
}

pub(crate) async fn meet(client: ClientConfig, server: ServerConfig) -> (Outcome, Outcome) {
    let (a, b) = duplex(16 * 1024);
    tokio::join!(connect(a, client), accept(b, server))
}

/// Two that let each other in.
pub(crate) async fn sessions(versions: Versions) -> (Session, Session) {
    let (ca, identity) = authority();
    let (client, server) = meet(ca.client(versions, None), ca.server(versions, &identity)).await;
    (client.unwrap(), server.unwrap())
}

pub(crate) fn authority() -> (Authority, Identity) {
    let ca = Authority::new("an authority");
    let identity = ca.issue();
    (ca, identity)
}

pub(crate) fn refused(outcome: Outcome) -> TlsError {
    outcome.expect_err("the handshake fails")
}

/// The error that a session ends with.
pub(crate) async fn end_of<IO>(session: &mut Session<IO>) -> io::Error
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    match session.next().await {
        Some(Err(LinesCodecError::Io(error))) => error,
        other => panic!("expected an error of the stream, got {other:?}"),
    }
}

pub(crate) async fn talk<IO>(from: &mut Session<IO>, to: &mut Session<IO>, line: &str)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (sent, came) = tokio::join!(from.send(line), to.next());
    sent.unwrap();
    assert_eq!(came.unwrap().unwrap(), line);
}
