//! Two nodes that know each other by their keys, and that nobody listens in on.
//!
//! Each connection begins with a handshake of the Noise Protocol Framework, pattern XX: either side
//! shows its public key and proves that it holds the private one, and the session behind it is encrypted
//! in both directions. What a key is good for is up to the program. Here, the third node dials
//! somebody whose key it knows, finds another one at that address, and goes no further.
//!
//! ```text
//! cargo run --example noise
//! ```
//!
//! prints (the keys are new each time, and have 64 digits)
//!
//! ```text
//! pea: connected to a2b2c3…
//! bean: connected to 74f19d…
//! bean: got b"Are the poles up yet?"
//! pea: got b"Since this morning."
//! weevil: handshake with #3 127.0.0.1:40921: failed: the remote's static key: expected 74f19d…, got a2b2c3…
//! ```
//!
//! (who of the two is first at the top is up to the scheduler).

use std::error::Error;

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_util::bytes::Bytes;
use tokio_util::codec::Framed;
use wattle::{BoxError, Inbound, Node, Peer, Protocol, Side};
use wattle_codecs::noise::{Keypair, Noise, NoiseCodec};

/// The most bytes of a message; one of up to 65,518 goes into a single frame.
const MOST: usize = 65_518;

/// What a node needs to prove who it is.
struct Secure {
    name: &'static str,
    noise: Noise,
}

impl Protocol for Secure {
    type Io = TcpStream;
    type Codec = NoiseCodec;

    async fn handshake(
        &self,
        stream: TcpStream,
        peer: Peer,
    ) -> Result<Framed<TcpStream, NoiseCodec>, BoxError> {
        let session = match peer.side() {
            Side::Dialer => self.noise.initiate(stream).await?,
            Side::Listener => self.noise.respond(stream).await?,
        };
        // The place to look the key up: an error here refuses the connection.
        let theirs = session.remote_static.ok_or("XX hands over a key")?;
        println!("{}: connected to {theirs}", self.name);
        Ok(session.framed)
    }
}

/// A node that speaks this protocol. Any layer goes on top, as around every codec of frames:
/// `session.framed.map_codec(|noise| Serde::new(noise, Postcard))`.
async fn start(
    name: &'static str,
    noise: Noise,
) -> Result<(Node<Bytes>, Inbound<Bytes>), Box<dyn Error>> {
    Ok(Node::builder().start(Secure { name, noise }).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (pea_key, bean_key) = (Keypair::generate()?, Keypair::generate()?);
    let (pea_public, bean_public) = (pea_key.public(), bean_key.public());

    // The dialer insists on the key; the listener takes everybody, and sees who it is.
    let pea_noise = Noise::xx(pea_key, MOST).remote(bean_public);
    let (pea, mut at_pea) = start("pea", pea_noise).await?;
    let (bean, mut at_bean) = start("bean", Noise::xx(bean_key, MOST)).await?;

    let addr = bean.listen("127.0.0.1:0").await?;
    let peer = pea.connect(addr).await?;
    pea.send_to(Bytes::from("Are the poles up yet?"), peer)
        .await?;

    let (question, from) = at_bean.next().await.ok_or("bean is gone")?;
    println!("bean: got {question:?}");
    let answer = Bytes::from("Since this morning.");
    bean.outbound().send((answer, from)).await?;
    let (answer, _) = at_pea.next().await.ok_or("pea is gone")?;
    println!("pea: got {answer:?}");

    let weevil_noise = Noise::xx(Keypair::generate()?, MOST).remote(pea_public);
    let (weevil, _) = start("weevil", weevil_noise).await?;
    if let Err(error) = weevil.connect(addr).await {
        println!("weevil: {error}");
    }

    tokio::join!(weevil.shutdown(), pea.shutdown(), bean.shutdown());
    Ok(())
}
