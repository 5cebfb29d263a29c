//! One enum of messages, and three ways to put it on the wire, chosen by a flag.
//!
//! A shop keeps a stock; a customer asks for things and gets answers. What they say to each other is
//! `Message`, and not a line of them knows in which format it travels.
//!
//! ```text
//! cargo run --example typed                       # postcard
//! cargo run --example typed -- --format json
//! cargo run --example typed -- --format cbor
//! ```
//!
//! prints
//!
//! ```text
//! shop: "tea"? there it is
//! customer: bought Tea { grams: 100 }
//! shop: "coffee"? none left
//! customer: no coffee
//! both: 33 bytes on the wire as Postcard
//! ```

use std::error::Error;

use clap::{Parser, ValueEnum};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, Encoder};
use wattle::{BoxError, Event, Inbound, Node, Protocol, SendError};
use wattle_codecs::{Cbor, Json, Postcard};

/// No message is larger; a longer one ends the connection.
const MOST: usize = 8 * 1024;

/// All that the two say.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Wanted { name: String },
    Sold(Article),
    SoldOut,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Article {
    Tea { grams: u16 },
}

#[derive(Parser)]
struct Args {
    /// What messages look like on the wire.
    #[arg(long, value_enum, default_value_t = Format::Postcard)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Postcard,
    Json,
    Cbor,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let format = Args::parse().format;
    let bytes = match format {
        Format::Postcard => trade(|_| Postcard::framed::<Message>(MOST)).await?,
        Format::Json => trade(|_| Json::lines::<Message>(MOST)).await?,
        Format::Cbor => trade(|_| Cbor::framed::<Message>(MOST)).await?,
    };
    println!("both: {bytes} bytes on the wire as {format:?}");
    Ok(())
}

/// Two nodes that speak `protocol`, whatever it is, as long as it carries messages both ways.
/// Returns how many bytes that took.
async fn trade<P>(protocol: P) -> Result<u64, Box<dyn Error>>
where
    P: Protocol + Copy,
    P::Codec: Decoder<Item = Message> + Encoder<Message, Error: Into<BoxError>>,
{
    let (shop, orders) = Node::builder().start(protocol).await?;
    let addr = shop.listen("127.0.0.1:0").await?;
    let serving = tokio::spawn(serve(shop, orders));

    let (customer, mut answers) = Node::builder().start(protocol).await?;
    let peer = customer.connect(addr).await?;
    for name in ["tea", "coffee"] {
        let wanted = Message::Wanted { name: name.into() };
        customer.send_to(wanted, peer).await?;
        match answers.recv().await {
            Some((Message::Sold(article), _)) => println!("customer: bought {article:?}"),
            Some((Message::SoldOut, _)) => println!("customer: no {name}"),
            unexpected => return Err(format!("{unexpected:?} is no answer").into()),
        }
    }
    let stats = customer.stats();
    customer.shutdown().await;
    serving.await??;
    Ok(stats.bytes_in + stats.bytes_out)
}

/// The shop's day, until its customer leaves.
async fn serve(shop: Node<Message>, orders: Inbound<Message>) -> Result<(), SendError<Message>> {
    let mut events = orders.into_events();
    while let Some(event) = events.next().await {
        let (message, peer) = match event {
            Event::Message(message, peer) => (message, peer),
            Event::Disconnected(..) => break,
            _ => continue,
        };
        let answer = match message {
            Message::Wanted { name } if name == "tea" => {
                println!("shop: {name:?}? there it is");
                Message::Sold(Article::Tea { grams: 100 })
            }
            Message::Wanted { name } => {
                println!("shop: {name:?}? none left");
                Message::SoldOut
            }
            Message::Sold(_) | Message::SoldOut => continue,
        };
        shop.send_to(answer, peer).await?;
    }
    shop.shutdown().await;
    Ok(())
}
