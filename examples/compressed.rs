//! A stack of three: messages as JSON, compressed, in frames. And what becomes of a bomb.
//!
//! A node asks an archive for its log, which repeats itself, as logs do; printed is how much
//! text that is, and how much it is on the wire. Then somebody who isn't a node announces a message that would
//! expand to a gigabyte: it is refused before a byte of it is expanded.
//!
//! ```text
//! cargo run --example compressed
//! ```
//!
//! prints
//!
//! ```text
//! 1000 entries, 46890 bytes of text, 9226 bytes on the wire
//! archive: #3 127.0.0.1:49152 is out: frame at byte 0: expands to 1073741824 bytes, expected at most 1048576
//! ```

use std::{error::Error, net::SocketAddr};

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use wattle::{Disconnect, Event, Inbound, Node, Peer, Reason};
use wattle_codecs::{CodecExt, Compressed, Json, Length, Lz4, Prefixed, Serde};

/// The largest frame, as it comes from the wire, and the largest message, as it was before it was
/// compressed, both in bytes.
const MOST_COMPRESSED: usize = 64 * 1024;
const MOST_EXPANDED: usize = 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Ask,
    Log(Vec<Entry>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    number: u32,
    text: String,
}

type Codec = Serde<Compressed<Prefixed, Lz4>, Json, Message>;

/// From the wire to the message: where a frame ends, what it expands to, what that means.
fn codec(_peer: Peer) -> Codec {
    let frames = Prefixed::new(Length::U32, MOST_COMPRESSED);
    Serde::new(frames.compressed(Lz4, MOST_EXPANDED), Json)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (archive, requests) = Node::builder().start(codec).await?;
    let addr = archive.listen("127.0.0.1:0").await?;
    let archive = tokio::spawn(keep(archive, requests));

    let (reader, mut answers) = Node::builder().start(codec).await?;
    let peer = reader.connect(addr).await?;
    reader.send_to(Message::Ask, peer).await?;
    if let Some((Message::Log(entries), _)) = answers.recv().await {
        let text: usize = entries.iter().map(|entry| entry.text.len()).sum();
        let wire = reader.stats().bytes_in;
        println!(
            "{} entries, {text} bytes of text, {wire} bytes on the wire",
            entries.len()
        );
    }
    reader.shutdown().await;

    throw_bomb(addr).await?;
    archive.await?;
    Ok(())
}

/// Answers, until somebody has been thrown out.
async fn keep(archive: Node<Message>, requests: Inbound<Message>) {
    let mut events = requests.into_events();
    while let Some(event) = events.next().await {
        match event {
            Event::Message(Message::Ask, peer) => {
                let entries = (0..1000).map(|number| Entry {
                    number,
                    text: format!("entry {number}: the archive was found to be in order"),
                });
                archive
                    .send_to(Message::Log(entries.collect()), peer)
                    .await
                    .ok();
            }
            Event::Disconnected(
                peer,
                Disconnect {
                    reason: Reason::Decode(error),
                    ..
                },
            ) => {
                println!("archive: {peer} is out: {error}");
                break;
            }
            _ => {}
        }
    }
    archive.shutdown().await;
}

/// Eight bytes in a frame; the first four of them say that they expand to 1 GiB.
async fn throw_bomb(addr: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(&8_u32.to_be_bytes()).await?;
    stream.write_all(&(1_u32 << 30).to_le_bytes()).await?;
    stream.write_all(b"boom").await?;
    Ok(())
}
