//! Two nodes that know each other by their certificates, and whom they don't know stays outside.
//!
//! An authority made on the spot vouches for alice and bob. Each shows its certificate and demands
//! one; the protocol (ALPN) is agreed on in the same handshake. The session's stream is the TLS
//! stream, and everything else is as it is without: here, lines of text. Mallory has a certificate
//! too, but of an authority of her own.
//!
//! ```text
//! cargo run --example tls
//! ```
//!
//! prints
//!
//! ```text
//! alice is 9e48a5b5b48c73f2…
//! bob is 0b9c5c5aa3ff83d4…
//! alice: talks wattle-lines/1 to 0b9c5c5aa3ff83d4…
//! bob: talks wattle-lines/1 to 9e48a5b5b48c73f2…
//! bob received "hello, who else is there?"
//! alice received "only us"
//! mallory is 1f6d0a4c2be07a93…
//! mallory: handshake with #4 127.0.0.1:49152: failed: we refuse the remote's certificate: UnknownIssuer
//! ```
//!
//! (the fingerprints differ each time, and who of the two is first is up to the scheduler).

use std::{error::Error, sync::Arc};

use futures::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{BoxError, Node, Peer, Protocol, Side};
use wattle_codecs::tls::{self, TlsStream, rustls};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::WebPkiClientVerifier,
};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// One node's certificate and whom it trusts, as rustls has it for either side of a connection.
struct Secure {
    name: &'static str,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Protocol for Secure {
    type Io = TlsStream<TcpStream>;
    type Codec = LinesCodec;

    async fn handshake(
        &self,
        stream: TcpStream,
        peer: Peer,
    ) -> Result<Framed<TlsStream<TcpStream>, LinesCodec>, BoxError> {
        let codec = |_: &_| LinesCodec::new_with_max_length(8192);
        let session = match peer.side() {
            Side::Dialer => {
                let name = ServerName::from(peer.addr().ip());
                tls::connect(stream, self.client.clone(), name, codec).await?
            }
            Side::Listener => tls::accept(stream, self.server.clone(), codec).await?,
        };
        let protocol = tls::alpn(&session).ok_or("no protocol was agreed on")?;
        let certificates = tls::peer_certificates(&session);
        let remote = fingerprint(certificates.first().ok_or("no certificate was shown")?);
        println!(
            "{}: talks {} to {remote}",
            self.name,
            protocol.escape_ascii()
        );
        Ok(session)
    }
}

impl Secure {
    /// With a certificate that the authority signs for any node at this host.
    fn new(name: &'static str, authority: &Authority) -> Result<Self, Box<dyn Error>> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(["127.0.0.1".to_owned()])?;
        let certificate = params.signed_by(&key, authority)?.der().clone();
        println!("{name} is {}", fingerprint(&certificate));

        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let roots = Arc::new(roots);
        let (chain, key) = (vec![certificate], PrivateKeyDer::from(key));
        let mut client = ClientConfig::builder()
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain.clone(), key.clone_key())?;
        let mut server = ServerConfig::builder()
            .with_client_cert_verifier(WebPkiClientVerifier::builder(roots).build()?)
            .with_single_cert(chain, key)?;
        client.alpn_protocols = vec![b"wattle-lines/1".to_vec()];
        server.alpn_protocols = client.alpn_protocols.clone();
        Ok(Self {
            name,
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }
}

/// The beginning of what `openssl x509 -fingerprint -sha256` says.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let suite = TLS13_AES_128_GCM_SHA256
        .tls13()
        .expect("it is one of TLS 1.3");
    let hash = suite.common.hash_provider.hash(certificate);
    let hex: String = hash.as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    hex + "…"
}

fn authority(name: &str) -> Result<Authority, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ours = authority("ours")?;
    let (alice, mut to_alice) = Node::builder().start(Secure::new("alice", &ours)?).await?;
    let (bob, mut to_bob) = Node::builder().start(Secure::new("bob", &ours)?).await?;

    let addr = bob.listen("127.0.0.1:0").await?;
    let peer = alice.connect(addr).await?;
    alice
        .send_to("hello, who else is there?".to_owned(), peer)
        .await?;
    if let Some((line, from)) = to_bob.next().await {
        println!("bob received {line:?}");
        bob.send_to("only us".to_owned(), from).await?;
    }
    if let Some((line, _)) = to_alice.next().await {
        println!("alice received {line:?}");
    }

    let mallory = Secure::new("mallory", &authority("hers")?)?;
    let (mallory, _): (Node<String>, _) = Node::builder().start(mallory).await?;
    if let Err(refusal) = mallory.connect(addr).await {
        println!("mallory: {refusal}");
    }

    tokio::join!(alice.shutdown(), bob.shutdown(), mallory.shutdown());
    Ok(())
}
