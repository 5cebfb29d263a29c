//! An echo server: every line goes back to whom it came from.
//!
//! ```text
//! cargo run --example echo                                      # any free port
//! cargo run --example echo -- 127.0.0.1:7777                    # this one
//! cargo run --example echo -- --half-open 127.0.0.1:7777        # for clients like `nc -N`
//! RUST_LOG=wattle=debug cargo run --example echo                # follow the connections
//! ```
//!
//! It prints `listening on 127.0.0.1:7777` first. Talk to it with `nc 127.0.0.1 7777`, and end it
//! with Ctrl-C; it prints then what it did, for example
//!
//! ```text
//! connections: 2, lines in: 3 (15 bytes), lines out: 3 (15 bytes), undelivered: 0
//! ```
//!
//! A client that ends its side is gone by default: its connection is closed when what is queued for
//! it was written. `nc -N` ends its side when its input ends, and still wants the answers. With
//! `--half-open` it gets them all: `printf 'a\nb\n' | nc -N 127.0.0.1 7777` prints both lines.

use std::{error::Error, future::Future, io, time::Duration};

use clap::Parser;
use futures::StreamExt;
use tokio_util::codec::LinesCodec;
use tracing_subscriber::EnvFilter;
use wattle::{Event, Inbound, Node};

#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 means any free one.
    #[arg(default_value = "127.0.0.1:0")]
    addr: String,
    /// Keep a connection whose client has ended its side until it has all its lines back.
    #[arg(long)]
    half_open: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    let stop = stop_signal()?;

    let (node, inbound) = Node::builder()
        .allow_half_open(args.half_open)
        // A client that doesn't hang up when we do shall not hold up Ctrl-C for long.
        .drain_timeout(Duration::from_secs(1))
        .start(|_| LinesCodec::new_with_max_length(8192))
        .await?;
    println!("listening on {}", node.listen(args.addr).await?);

    let echo = async {
        if args.half_open {
            echo_half_open(&node, inbound).await;
            return Ok(());
        }
        inbound.map(Ok).forward(node.outbound()).await
    };
    tokio::select! {
        () = stop => {}
        ended = echo => ended?,
    }

    node.shutdown().await;
    let stats = node.stats();
    println!(
        "connections: {}, lines in: {} ({} bytes), lines out: {} ({} bytes), undelivered: {}",
        stats.connected,
        stats.messages_in,
        stats.bytes_in,
        stats.messages_out,
        stats.bytes_out,
        stats.undelivered,
    );
    Ok(())
}

/// The same with the event stream, which tells when a client has ended its side.
async fn echo_half_open(node: &Node<String>, inbound: Inbound<String>) {
    let mut events = inbound.into_events();
    while let Some(event) = events.next().await {
        match event {
            Event::Message(line, peer) => {
                // It resolves when the line is queued. If the client is gone, so is its line.
                let _ = node.send_to(line, peer).await;
            }
            Event::ReadClosed(peer) => {
                // All its lines are queued by now, and a graceful end writes them first. That waits
                // for the client, which the others shall not.
                let node = node.clone();
                tokio::spawn(async move { node.disconnect(peer).await });
            }
            _ => {}
        }
    }
}

/// Resolves at Ctrl-C or when the program is told to terminate; watches for that from this call on.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves at Ctrl-C; watches for that from this call on.
#[cfg(windows)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
    })
}
