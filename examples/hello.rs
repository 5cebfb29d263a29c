//! Alice connects to Bob and says hello: two nodes and a codec of one's own.
//!
//! `cargo run --example hello` prints a line like `Bob: #2 127.0.0.1:49152 says "Hello there!"`.
use std::{error::Error, io};

use tokio_util::bytes::{Buf, BufMut, BytesMut};
use tokio_util::codec::{Decoder, Encoder};
use wattle::Node;

/// Text, prefixed with its length in bytes as a little-endian `u16` that is never zero.
struct Text;

impl Decoder for Text {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<String>> {
        let Some(&prefix) = src.first_chunk() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_le_bytes(prefix));
        if length == 0 {
            return Err(io::Error::other("a text of length zero"));
        }
        if src.len() < 2 + length {
            return Ok(None);
        }
        src.advance(2);
        let text = String::from_utf8(src.split_to(length).into());
        text.map(Some).map_err(io::Error::other)
    }
}

impl Encoder<String> for Text {
    type Error = io::Error;

    fn encode(&mut self, text: String, dst: &mut BytesMut) -> io::Result<()> {
        match u16::try_from(text.len()) {
            Ok(0) | Err(_) => return Err(io::Error::other("the text is empty or too long")),
            Ok(length) => dst.put_u16_le(length),
        }
        dst.put_slice(text.as_bytes());
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (alice, _) = Node::builder().start(|_| Text).await?;
    let (bob, mut inbound): (Node<String>, _) = Node::builder().start(|_| Text).await?;
    let addr = bob.listen("127.0.0.1:0").await?;
    let peer = alice.connect(addr).await?;
    alice.send_to("Hello there!".to_owned(), peer).await?;
    if let Some((text, from)) = inbound.recv().await {
        println!("Bob: {from} says {text:?}");
    }
    tokio::join!(alice.shutdown(), bob.shutdown());
    Ok(())
}
