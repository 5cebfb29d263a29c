//! A chat room without a server: everybody listens, and dials whom they know.
//!
//! ```text
//! cargo run --example chat -- --name alice --listen 127.0.0.1:7001
//! cargo run --example chat -- --name bob   --listen 127.0.0.1:7002 127.0.0.1:7001
//! cargo run --example chat -- --name carol 127.0.0.1:7001 127.0.0.1:7002
//! nc 127.0.0.1 7001
//! ```
//!
//! Each prints `listening on ADDR` first, then what is said (`alice: hello`) and who comes and goes
//! (`* 127.0.0.1:7001 joined`, `* 127.0.0.1:7001 left: end of stream (by the remote)`). What you
//! type goes to everyone, over however many hops. Ctrl-C leaves the room. The end of the input, as
//! in `chat < /dev/null`, doesn't: the node then stays and passes on what others say.
//!
//! On the wire a line is `[ORIGIN.NUMBER] NAME: TEXT`. The origin is a random number that stands for
//! the node where the line began, and the node numbers its lines. A node passes a line on to all its
//! neighbours but the one that it has it from, unless it knows that number or a later one of the same
//! origin; so no line goes around in circles, whatever the shape of the network. A line without that
//! head is from somebody with a plain `nc`: the node that gets it begins a line for them, with their
//! address for a name.
//!
//! Nobody proves here who they are. What comes from others is cut to a sensible length, and stripped
//! of control characters before it meets your terminal.

use std::{
    collections::HashMap,
    error::Error,
    hash::{BuildHasher, RandomState},
    io,
    pin::pin,
    thread,
    time::Duration,
};

use clap::Parser;
use futures::{Stream, StreamExt, stream};
use tokio::{signal::ctrl_c, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::codec::LinesCodec;
use wattle::{Event, Node, NotSent, Peer};

/// The longest line in bytes: a neighbour that sends longer ones is disconnected.
const MAX_LINE: usize = 8192;

/// The longest text in characters; with its head it always fits into a line.
const MAX_TEXT: usize = 1024;

/// The most origins that a node remembers. A room with more is under attack, and full.
const MAX_ORIGINS: usize = 10_000;

/// A line's origin and number.
type Id = (u32, u64);

#[derive(Parser)]
struct Args {
    /// What the others call you.
    #[arg(long, default_value = "somebody")]
    name: String,
    /// Where to listen; port 0 means any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Whom to dial, as HOST:PORT.
    peers: Vec<String>,
}

/// All that can happen.
enum Input {
    Typed(String),
    Network(Event<String>),
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let (node, inbound) = Node::builder()
        // Ctrl-C doesn't wait longer than that for a neighbour that doesn't hang up.
        .drain_timeout(Duration::from_secs(1))
        .start(|_| LinesCodec::new_with_max_length(MAX_LINE))
        .await?;
    println!("listening on {}", node.listen(args.listen).await?);
    for addr in &args.peers {
        if let Err(error) = node.connect(addr).await {
            println!("* {addr} is not there: {error}");
        }
    }

    let network = inbound.into_events().map(Input::Network);
    let inputs = stream::select(typed().map(Input::Typed), network).take_until(ctrl_c());
    let mut inputs = pin!(inputs);
    let mut room = Room {
        node,
        origin: RandomState::new().hash_one(()) as u32,
        latest: HashMap::new(),
    };
    while let Some(input) = inputs.next().await {
        match input {
            Input::Typed(text) if !text.is_empty() => room.begin(&args.name, &text, None),
            Input::Network(Event::Message(line, peer)) if !line.is_empty() => {
                room.hear(&line, peer);
            }
            Input::Network(Event::Connected(peer)) => println!("* {} joined", peer.addr()),
            Input::Network(Event::Disconnected(peer, why)) => {
                println!("* {} left: {why}", peer.addr());
            }
            _ => {}
        }
    }
    room.node.shutdown().await;
    Ok(())
}

/// The lines of the standard input. A thread of its own reads them, because a read of a terminal
/// can't be cancelled, and the program shall end without it.
fn typed() -> impl Stream<Item = String> {
    let (sender, lines) = mpsc::channel(1);
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    ReceiverStream::new(lines)
}

/// Our place in the room.
struct Room {
    node: Node<String>,
    /// The origin of what begins here.
    origin: u32,
    /// The number of the latest line of each origin, ours included.
    latest: HashMap<u32, u64>,
}

impl Room {
    /// A neighbour passes a line on, or says something that is to become one.
    fn hear(&mut self, line: &str, from: Peer) {
        match parse(line) {
            None => {
                let name = from.addr().to_string();
                println!("{}", clean(&format!("{name}: {line}")));
                self.begin(&name, line, Some(from));
            }
            Some((id, said)) if self.is_news(id) => {
                println!("{}", clean(said));
                self.pass_on(id, said, Some(from));
            }
            Some(_) => {}
        }
    }

    /// A line begins here.
    fn begin(&mut self, name: &str, text: &str, from: Option<Peer>) {
        let number = self.latest.entry(self.origin).or_default();
        *number += 1;
        let id = (self.origin, *number);
        self.pass_on(id, &format!("{name}: {text}"), from);
    }

    /// To all neighbours but one. Nobody waits for a slow neighbour: that one misses the line.
    fn pass_on(&self, (origin, number): Id, said: &str, from: Option<Peer>) {
        let line = format!("[{origin:08x}.{number}] {}", clean(said));
        for peer in self.node.peers() {
            if Some(peer) != from
                && let Err(error) = self.node.try_send_to(line.clone(), peer)
                && error.reason == NotSent::Full
            {
                println!("* {} is too slow and misses a line", peer.addr());
            }
        }
    }

    /// Whether a line is new here; from now on it isn't. Lines of an origin come in order on every way,
    /// so one that is behind the latest has been here before. (Or it was lost on a quicker way, to a
    /// neighbour that was too slow; then it is late, and lost here too.)
    fn is_news(&mut self, (origin, number): Id) -> bool {
        if self.latest.len() == MAX_ORIGINS && !self.latest.contains_key(&origin) {
            return false;
        }
        let latest = self.latest.entry(origin).or_default();
        let news = number > *latest;
        *latest = number.max(*latest);
        news
    }
}

/// `[ORIGIN.NUMBER] SAID`; `None` is a line without that head.
fn parse(line: &str) -> Option<(Id, &str)> {
    let (id, said) = line.strip_prefix('[')?.split_once("] ")?;
    let (origin, number) = id.split_once('.')?;
    let origin = u32::from_str_radix(origin, 16).ok()?;
    Some(((origin, number.parse().ok()?), said))
}

/// What may be shown on a terminal.
fn clean(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(MAX_TEXT).collect()
}
