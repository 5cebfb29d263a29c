//! TLS as the handshake of a session: [`connect`] and [`accept`].
//!
//! Both end in a [`Framed`] of one type, whichever side it is, with the codec made from what the
//! handshake came to: who the remote is and which protocol (ALPN) was agreed on. TLS itself is that of
//! [`rustls`], versions 1.2 and 1.3 ([RFC 5246], [RFC 8446]), with ALPN as in [RFC 7301]; what is to
//! be checked and shown is in rustls' own configurations.
//!
//! ```text
//!     TcpStream  →  TlsStream<TcpStream>  →  Framed<TlsStream<TcpStream>, C>
//!                   records, certificates    frames, messages
//! ```
//!
//! # No cryptography is chosen here
//!
//! This crate switches on none of rustls' features: neither a provider (`ring`, `aws_lc_rs`), nor TLS
//! 1.2 (`tls12`), nor its log. Depend on `rustls` (the version that is exported here, 0.23) without
//! default features and with those that you want. If that is exactly one provider,
//! `ClientConfig::builder()` and `ServerConfig::builder()` find it. Otherwise they panic, unless the
//! program has said which with `CryptoProvider::install_default`; `builder_with_provider` takes it as
//! an argument.
//!
//! # A node is both sides
//!
//! A `wattle::Protocol` takes whichever fits:
//!
//! ```text
//!     match peer.side() {
//!         Side::Dialer => {
//!             let name = ServerName::from(peer.addr().ip());
//!             tls::connect(stream, self.client.clone(), name, |_| codec()).await
//!         }
//!         Side::Listener => tls::accept(stream, self.server.clone(), |_| codec()).await,
//!     }
//! ```
//!
//! Peers are often known by an address or a key and not by a name. A certificate can be made out to
//! an IP address; whoever knows a key beforehand or checks it later writes a `ServerCertVerifier`
//! and a `ClientCertVerifier` of their own.
//!
//! # What the session has to know
//!
//! - **In TLS 1.3 a client is done before the server has looked at its certificate.** So a
//!   [`connect`] that succeeded doesn't mean that the server will have us: its refusal is the error
//!   of the first read, as an `io::Error` within the codec's (and `Reason::Io` of a `wattle`
//!   connection). [`TlsError::from`], given a reference to it, makes it
//!   [`RemoteRefused`](TlsError::RemoteRefused) again. What the
//!   client wrote until then is lost, and a write may be the first to fail, as the server has closed: why
//!   is as a rule still to be read then. A protocol in which the server speaks first knows at once.
//! - **A stream that is cut off isn't one that ends.** A remote that closes properly says so
//!   (`close_notify`), and the session ends with `None`. If the connection ends without that, as when
//!   the remote crashed, or somebody on the path cut it, the read fails with
//!   [`io::ErrorKind::UnexpectedEof`]. Closing the [`Framed`] as a sink says so to the remote;
//!   dropping it doesn't.
//! - **Nothing is lost between the handshake and the session**: the [`Framed`] is empty, and what came
//!   with the last bytes of the handshake is inside the TLS stream, where it is read from.
//! - A record has at most 16 KiB. Messages of any size go through; what bounds them is the codec.
//!
//! [RFC 5246]: https://www.rfc-editor.org/rfc/rfc5246
//! [RFC 7301]: https://www.rfc-editor.org/rfc/rfc7301
//! [RFC 8446]: https://www.rfc-editor.org/rfc/rfc8446
//! [`io::ErrorKind::UnexpectedEof`]: std::io::ErrorKind::UnexpectedEof

mod error;

use std::{io, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};
use tokio_util::codec::Framed;

use self::rustls::{
    ClientConfig, CommonState, ServerConfig,
    pki_types::{CertificateDer, ServerName},
    server::{Acceptor, ClientHello},
};

pub use self::error::TlsError;
pub use tokio_rustls::{TlsStream, rustls};

/// The most names of protocols that are kept of a client that offers none of ours: enough for an
/// error, whatever the client has sent.
const MAX_NAMES: usize = 16;

/// The client's side of a handshake: checks that the server is who `name` says, or whatever the
/// configuration's verifier checks.
///
/// `codec` gets the connection as it is after the handshake: `peer_certificates()`,
/// `alpn_protocol()`, `protocol_version()`.
///
/// The handshake waits for the remote without a limit of time: bound it, as `wattle` does with the
/// handshake timeout. Its memory is bounded by rustls, which takes no message beyond 64 KiB; what it
/// makes of one is more. A chain of 60 certificates of 1,000 bytes costs 0.5 MB, and 9,000 of one byte
/// (of a server, or of a client that is asked for one) 1.3 MB, before anything of it is verified. So
/// bound how many handshakes there are at a time, too.
///
/// A server that knows no protocols (ALPN) agrees to none: the handshake succeeds, and [`alpn`] says
/// `None`. What that means is up to the caller.
///
/// # Errors
///
/// [`TlsError`].
///
/// # Cancel safety
///
/// A handshake that is dropped closes the stream.
///
/// # Examples
///
/// Both sides, with a certificate made on the spot:
///
/// ```
/// use std::sync::Arc;
/// use futures::{SinkExt, StreamExt};
/// use tokio_util::codec::LinesCodec;
/// use wattle_codecs::tls::{self, rustls};
/// use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivateKeyDer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let made = rcgen::generate_simple_self_signed(["peer.example".to_owned()])?;
/// let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
/// let mut roots = RootCertStore::empty();
/// roots.add(made.cert.der().clone())?;
/// let mut server = ServerConfig::builder()
///     .with_no_client_auth()
///     .with_single_cert(vec![made.cert.der().clone()], key)?;
/// let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
/// server.alpn_protocols = vec![b"chat/2".to_vec(), b"chat/1".to_vec()];
/// client.alpn_protocols = vec![b"chat/1".to_vec()];
///
/// let (a, b) = tokio::io::duplex(4096);
/// let codec = |_: &_| LinesCodec::new_with_max_length(8192);
/// let (mut dialled, mut accepted) = tokio::try_join!(
///     tls::connect(a, Arc::new(client), "peer.example".try_into()?, codec),
///     tls::accept(b, Arc::new(server), codec),
/// )?;
/// assert_eq!(tls::alpn(&accepted), Some(&b"chat/1"[..]));
/// assert_eq!(tls::peer_certificates(&dialled), [made.cert.der().clone()]);
///
/// dialled.send("hello").await?;
/// assert_eq!(accepted.next().await.unwrap()?, "hello");
/// # Ok(())
/// # }
/// ```
pub async fn connect<IO, C>(
    io: IO,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    codec: impl FnOnce(&CommonState) -> C,
) -> Result<Framed<TlsStream<IO>, C>, TlsError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let connector = TlsConnector::from(config.clone());
    match connector.connect(name, io).into_fallible().await {
        Ok(stream) => Ok(session(stream.into(), codec)),
        Err((error, io)) => {
            part(io).await;
            Err(TlsError::from(error).about_alpn(&config.alpn_protocols, Vec::new()))
        }
    }
}

/// The server's side of a handshake. Whether clients need certificates is in the configuration.
///
/// Everything else is as with [`connect`]. A client that offers no protocol (ALPN) is accepted even
/// if the configuration has some; one that offers only others is not.
///
/// # Errors
///
/// [`TlsError`].
///
/// # Cancel safety
///
/// A handshake that is dropped closes the stream.
pub async fn accept<IO, C>(
    io: IO,
    config: Arc<ServerConfig>,
    codec: impl FnOnce(&CommonState) -> C,
) -> Result<Framed<TlsStream<IO>, C>, TlsError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), io);
    let begun = match (&mut acceptor).await {
        Ok(begun) => begun,
        Err(error) => {
            if let Some(io) = acceptor.take_io() {
                part(io).await;
            }
            return Err(error.into());
        }
    };
    // What the client offers isn't to be had any more when the handshake has failed for it.
    let offered = offered(&begun.client_hello());
    match begun.into_stream(config.clone()).into_fallible().await {
        Ok(stream) => Ok(session(stream.into(), codec)),
        Err((error, io)) => {
            part(io).await;
            Err(TlsError::from(error).about_alpn(&config.alpn_protocols, offered))
        }
    }
}

/// The certificates that the remote has shown, its own first; none if it is a client that wasn't
/// asked for them. They have been checked by the configuration's verifier.
pub fn peer_certificates<IO, C>(session: &Framed<TlsStream<IO>, C>) -> &[CertificateDer<'static>] {
    let (_, state) = session.get_ref().get_ref();
    state.peer_certificates().unwrap_or_default()
}

/// The protocol that was agreed on by ALPN, if any.
pub fn alpn<IO, C>(session: &Framed<TlsStream<IO>, C>) -> Option<&[u8]> {
    let (_, state) = session.get_ref().get_ref();
    state.alpn_protocol()
}

fn offered(hello: &ClientHello<'_>) -> Vec<Vec<u8>> {
    let names = hello.alpn().into_iter().flatten();
    names.take(MAX_NAMES).map(<[u8]>::to_vec).collect()
}

fn session<IO, C>(
    stream: TlsStream<IO>,
    codec: impl FnOnce(&CommonState) -> C,
) -> Framed<TlsStream<IO>, C>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let codec = codec(stream.get_ref().1);
    Framed::new(stream, codec)
}

/// The alert that says why has been written, but perhaps into a buffer: so that it goes out. The
/// error to tell is the one that is there already.
async fn part<IO: AsyncWrite + Unpin>(mut io: IO) {
    let _: io::Result<()> = io.shutdown().await;
}
