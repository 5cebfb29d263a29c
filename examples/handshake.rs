//! A handshake under one codec, a session under another, and not a byte lost between them.
//!
//! Two nodes tell each other the newest version that they speak, as lines of text. The dialer then
//! confirms the older of the two, and goes on in length-delimited frames, whose header depends on
//! the version. Its first frame leaves together with the confirmation, in one write: the listener
//! finds it in its read buffer, behind the end of the handshake, and that is where it stays until
//! the session takes it.
//!
//! ```text
//! cargo run --example handshake
//! ```
//!
//! prints
//!
//! ```text
//! Listener: they speak 3, we speak 2
//! Dialer: they speak 2, we speak 3
//! Dialer: confirmed version 2, 17 bytes of the session go with it
//! Listener: confirmed version 2, 17 bytes of the session came with it
//! Listener: first message of the session: b"sent in advance"
//! a node from the stone age: handshake with #4 127.0.0.1:49152: failed: version 0 is too old
//! ```
//!
//! (who of the two is first at the top is up to the scheduler).

use std::error::Error;

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec};
use wattle::{BoxError, Node, Peer, Protocol, Side};

/// The oldest version that anybody still speaks.
const OLDEST: u8 = 1;

/// The newest version that a node speaks.
struct Versions {
    newest: u8,
}

impl Protocol for Versions {
    type Io = TcpStream;
    type Codec = LengthDelimitedCodec;

    async fn handshake(
        &self,
        stream: TcpStream,
        peer: Peer,
    ) -> Result<Framed<TcpStream, LengthDelimitedCodec>, BoxError> {
        let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(16));
        lines.send(self.newest.to_string()).await?;
        let theirs = version(&mut lines).await?;
        let agreed = theirs.min(self.newest);
        if agreed < OLDEST {
            return Err(format!("version {agreed} is too old").into());
        }
        println!(
            "{:?}: they speak {theirs}, we speak {}",
            peer.side(),
            self.newest
        );
        match peer.side() {
            Side::Dialer => confirm(lines, agreed).await,
            Side::Listener => await_confirmation(lines, agreed).await,
        }
    }
}

/// The dialer's end of the handshake, with the beginning of the session.
async fn confirm(
    mut lines: Framed<TcpStream, LinesCodec>,
    agreed: u8,
) -> Result<Framed<TcpStream, LengthDelimitedCodec>, BoxError> {
    lines.feed(agreed.to_string()).await?;
    let confirmation = lines.write_buffer().len();

    let mut session = lines.map_codec(|_| frames(agreed));
    session.feed(Bytes::from("sent in advance")).await?;
    let begun = session.write_buffer().len() - confirmation;
    println!("Dialer: confirmed version {agreed}, {begun} bytes of the session go with it");
    // Nothing was flushed since; the session begins with writing out what it finds in the buffer.
    Ok(session)
}

/// The listener's end of the handshake. Behind it there may be bytes of the session in the read
/// buffer, which `map_codec` leaves there.
async fn await_confirmation(
    mut lines: Framed<TcpStream, LinesCodec>,
    agreed: u8,
) -> Result<Framed<TcpStream, LengthDelimitedCodec>, BoxError> {
    let confirmed = version(&mut lines).await?;
    if confirmed != agreed {
        return Err(format!("version {confirmed} was confirmed instead of {agreed}").into());
    }
    let begun = lines.read_buffer().len();
    println!("Listener: confirmed version {agreed}, {begun} bytes of the session came with it");
    Ok(lines.map_codec(|_| frames(agreed)))
}

async fn version(lines: &mut Framed<TcpStream, LinesCodec>) -> Result<u8, BoxError> {
    let line = lines.next().await.ok_or("closed during the handshake")??;
    Ok(line.parse()?)
}

/// What the session speaks: up to version 2, a frame's header has two bytes; from then on, four.
fn frames(version: u8) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .length_field_length(if version <= 2 { 2 } else { 4 })
        .max_frame_length(8192)
        .new_codec()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (listener, mut inbound): (Node<Bytes>, _) =
        Node::builder().start(Versions { newest: 2 }).await?;
    let addr = listener.listen("127.0.0.1:0").await?;

    let (dialer, _): (Node<Bytes>, _) = Node::builder().start(Versions { newest: 3 }).await?;
    dialer.connect(addr).await?;
    if let Some((message, _)) = inbound.next().await {
        println!("Listener: first message of the session: {message:?}");
    }

    let (old, _): (Node<Bytes>, _) = Node::builder().start(Versions { newest: 0 }).await?;
    if let Err(refusal) = old.connect(addr).await {
        println!("a node from the stone age: {refusal}");
    }

    tokio::join!(dialer.shutdown(), listener.shutdown());
    Ok(())
}
