//! The game of telephone: a line of nodes passes a message along and back, each adding its number.
//!
//! ```text
//! cargo run --example telephone
//! cargo run --example telephone -- 4
//! ```
//!
//! Ten nodes unless told otherwise. Four of them print
//!
//! ```text
//! what came back over 6 hops: Psst! 1 2 3 2 1
//! ```
//!
//! All nodes but the first run one and the same program of combinators. The first speaks, and
//! listens for what comes back.

use std::error::Error;

use clap::Parser;
use futures::{StreamExt, future::join_all};
use tokio_util::codec::LinesCodec;
use wattle::{Inbound, Node, NodeShutDown, StartError};

#[derive(Parser)]
struct Args {
    /// How many nodes play.
    #[arg(default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=200))]
    nodes: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Args { nodes: count } = Args::parse();

    // From the far end to the near one, so that there is somebody to connect to.
    let mut line = Vec::new();
    let mut next = None;
    for number in (1..count).rev() {
        let (node, inbound) = start().await?;
        if let Some(addr) = next {
            node.connect(addr).await?;
        }
        next = Some(node.listen("127.0.0.1:0").await?);
        tokio::spawn(pass_on(number, node.clone(), inbound));
        line.push(node);
    }

    let (first, mut inbound) = start().await?;
    let second = first.connect(next.ok_or("a line needs two nodes")?).await?;
    first.send_to("Psst!".to_owned(), second).await?;
    let (heard, _) = inbound.recv().await.ok_or("the line is dead")?;
    println!("what came back over {} hops: {heard}", 2 * (count - 1));

    line.push(first);
    join_all(line.iter().map(Node::shutdown)).await;
    Ok(())
}

async fn start() -> Result<(Node<String>, Inbound<String>), StartError> {
    let codec = |_| LinesCodec::new_with_max_length(8192);
    Node::builder().start(codec).await
}

/// What comes from one neighbour goes to the other. The node at the end has only one, which gets it
/// back.
async fn pass_on(
    number: u64,
    node: Node<String>,
    inbound: Inbound<String>,
) -> Result<(), NodeShutDown> {
    let other = |from| node.peers().into_iter().find(|&peer| peer != from);
    inbound
        .map(|(message, from)| (format!("{message} {number}"), other(from).unwrap_or(from)))
        .map(Ok)
        .forward(node.outbound())
        .await
}
