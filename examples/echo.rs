//! An echo server for strangers: every line goes back to whom it came from.
//!
//! ```text
//! cargo run --example echo                                      # any free port
//! cargo run --example echo -- 127.0.0.1:7777                    # this one
//! cargo run --example echo -- --half-open 127.0.0.1:7777        # for clients like `nc -N`
//! cargo run --example echo -- --max-per-ip 8 --frame-timeout 2s # with limits; all: --help
//! RUST_LOG=wattle=debug cargo run --example echo                # follow the connections
//! ```
//!
//! It prints `listening on 127.0.0.1:7777` first. Talk to it with `nc 127.0.0.1 7777`, and end it
//! with Ctrl-C; its last line says as JSON what it did, here a bit shortened:
//!
//! ```text
//! {"bytes_in":15,…,"connected":2,"connections":1,"ended":{"end_of_stream":1,…,"shutdown":1,…},
//!  "messages_in":3,…,"refused":{"max_per_ip":0,…},"tasks":2,"timeouts":{"frame":0,…},"uptime":7.2}
//! ```
//!
//! `connections` and `tasks` are those that there were when it was told to stop, the other numbers
//! are the sums at the end.
//!
//! A client that ends its side is gone by default: its connection is closed when what is queued for
//! it was written. `nc -N` ends its side when its input ends, and still wants the answers. With
//! `--half-open` it gets them all: `printf 'a\nb\n' | nc -N 127.0.0.1 7777` prints both lines.
//!
//! One that sends and doesn't read what comes back must not hold up the others, so nobody waits for
//! it: when [`UNREAD_BYTES`] are queued for it, on top of what the kernel holds, it is disconnected.
//! When many do so at once, it takes less, so that all that is queued stays within
//! [`MEMORY_BUDGET`].

use std::{error::Error, future::Future, io, time::Duration};

use clap::Parser;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio_util::codec::LinesCodec;
use tracing_subscriber::EnvFilter;
use wattle::{Event, Inbound, Node, Stats, WhenFull};

/// As much as a client that writes and reads at the same time may be behind for a moment.
const UNREAD_BYTES: usize = 1024 * 1024;

/// The same in lines, as short ones cost more than their bytes.
const UNREAD_LINES: usize = 64 * 1024;

/// Room for dozens that are that far behind; a thousand would fill a gigabyte.
const MEMORY_BUDGET: usize = 64 * 1024 * 1024;

#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 means any free one.
    #[arg(default_value = "127.0.0.1:0")]
    addr: String,
    /// Keep a connection whose client has ended its side until it has all its lines back.
    #[arg(long)]
    half_open: bool,
    /// How many connections there may be.
    #[arg(long, default_value = "1024")]
    max_connections: usize,
    /// How many of them from one IP address; any number by default.
    #[arg(long)]
    max_per_ip: Option<usize>,
    /// How many may have been accepted and not be established yet.
    #[arg(long)]
    max_pending: Option<usize>,
    /// How long a client may be silent, such as 500ms, 2s or 1m; for ever by default.
    #[arg(long, value_parser = humantime::parse_duration)]
    idle_timeout: Option<Duration>,
    /// How long a line may take from its first byte to its end; for ever by default.
    #[arg(long, value_parser = humantime::parse_duration)]
    frame_timeout: Option<Duration>,
    /// How many bytes a line may have, with its end.
    #[arg(long, default_value = "8192")]
    max_frame: usize,
    /// How long a client may take nothing of what there is for it.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    write_timeout: Duration,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    let stop = stop_signal()?;

    let mut builder = Node::builder()
        .allow_half_open(args.half_open)
        .max_connections(args.max_connections)
        .max_per_ip(args.max_per_ip)
        .idle_timeout(args.idle_timeout)
        .frame_timeout(args.frame_timeout)
        .max_frame_bytes(args.max_frame)
        .write_timeout(args.write_timeout)
        .max_outbound_messages(UNREAD_LINES)
        .max_outbound_bytes(UNREAD_BYTES)
        .when_full(WhenFull::Disconnect)
        .memory_budget(MEMORY_BUDGET)
        // A client that doesn't hang up when we do shall not hold up Ctrl-C for long.
        .drain_timeout(Duration::from_secs(1));
    if let Some(pending) = args.max_pending {
        builder = builder.max_pending(pending);
    }
    // The codec needs no cap of its own: the node has one for every codec.
    let (node, inbound) = builder.start(|_| LinesCodec::new()).await?;
    println!("listening on {}", node.listen(args.addr).await?);

    let shut_down = async {
        stop.await;
        let connections = node.stats().connections;
        let tasks = Handle::current().metrics().num_alive_tasks();
        node.shutdown().await;
        (connections, tasks)
    };
    let ((), (connections, tasks)) = tokio::join!(echo(&node, inbound), shut_down);

    let mut last_words = statistics(&node.stats());
    last_words["connections"] = json!(connections);
    last_words["tasks"] = json!(tasks);
    println!("{last_words}");
    Ok(())
}

/// Echoes until the node is shut down. Without the clients that end their side, it would be
/// `inbound.map(Ok).forward(node.outbound())`.
async fn echo(node: &Node<String>, inbound: Inbound<String>) {
    let mut events = inbound.into_events();
    let mut outbound = node.outbound();
    while let Some(event) = events.next().await {
        match event {
            Event::Message(line, peer) => {
                // It waits for nobody, see above. It fails when the node is shut down, and then the
                // events end as well.
                let _ = outbound.feed((line, peer)).await;
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

fn statistics(stats: &Stats) -> Value {
    let (ended, refused, timeouts) = (&stats.ended, &stats.refused, &stats.timeouts);
    json!({
        "uptime": stats.uptime.as_secs_f64(),
        "connected": stats.connected,
        "disconnected": stats.disconnected,
        "messages_in": stats.messages_in,
        "messages_out": stats.messages_out,
        "bytes_in": stats.bytes_in,
        "bytes_out": stats.bytes_out,
        "undelivered": stats.undelivered,
        "dropped": stats.dropped,
        "handshakes_failed": stats.handshakes_failed,
        "ended": {
            "end_of_stream": ended.end_of_stream,
            "reset": ended.reset,
            "io": ended.io,
            "decode": ended.decode,
            "frame_too_large": ended.frame_too_large,
            "queue_full": ended.queue_full,
            "timed_out": ended.timed_out,
            "disconnected": ended.disconnected,
            "shutdown": ended.shutdown,
        },
        "refused": {
            "max_connections": refused.max_connections,
            "max_pending": refused.max_pending,
            "max_per_ip": refused.max_per_ip,
        },
        "timeouts": {
            "idle": timeouts.idle,
            "frame": timeouts.frame,
            "write": timeouts.write,
            "drain": timeouts.drain,
        },
    })
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
