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
//! On the wire a line is `[ID] NAME: TEXT`, its id a random number in eight hexadecimal digits.
//! A node passes a line on to all its neighbours but the one that it has it from, unless it has seen
//! the id lately; so lines don't go around in circles, whatever the shape of the network. A line
//! without an id is from somebody with a plain `nc`; the node that gets it gives it one, with the
//! address for a name.
//!
//! Nobody proves here who they are. What comes from others is cut to a sensible length, and stripped
//! of control characters before it meets your terminal.

use std::{
    collections::VecDeque,
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

/// The longest text in characters; with its id it always fits into a line.
const MAX_TEXT: usize = 1024;

/// How many ids a node remembers: more than are on their way at any time.
const MAX_SEEN: usize = 1024;

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
        seen: VecDeque::new(),
    };
    while let Some(input) = inputs.next().await {
        match input {
            Input::Typed(text) => room.say(&args.name, &text),
            Input::Network(Event::Message(line, peer)) => room.hear(&line, peer),
            Input::Network(Event::Connected(peer)) => println!("* {} joined", peer.addr()),
            Input::Network(Event::Disconnected(peer, why)) => {
                println!("* {} left: {why}", peer.addr());
            }
            Input::Network(_) => {}
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
    /// The ids of the latest lines, the newest last.
    seen: VecDeque<u32>,
}

impl Room {
    /// We say something.
    fn say(&mut self, name: &str, text: &str) {
        let id = random();
        self.is_news(id);
        self.pass_on(id, &clean(&format!("{name}: {text}")), None);
    }

    /// A neighbour says something, or passes something on.
    fn hear(&mut self, line: &str, from: Peer) {
        let (id, said) = match parse(line) {
            Some((id, said)) => (id, clean(said)),
            None => (random(), clean(&format!("{}: {line}", from.addr()))),
        };
        if self.is_news(id) {
            println!("{said}");
            self.pass_on(id, &said, Some(from));
        }
    }

    /// To all neighbours but one. Nobody waits for a slow neighbour; that one misses the line.
    fn pass_on(&self, id: u32, said: &str, except: Option<Peer>) {
        let line = format!("[{id:08x}] {said}");
        for peer in self.node.peers() {
            if Some(peer) != except
                && let Err(error) = self.node.try_send_to(line.clone(), peer)
                && error.reason == NotSent::Full
            {
                println!("* {} is too slow and misses a line", peer.addr());
            }
        }
    }

    /// Whether an id is new; from now on it isn't.
    fn is_news(&mut self, id: u32) -> bool {
        if self.seen.contains(&id) {
            return false;
        }
        if self.seen.len() == MAX_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(id);
        true
    }
}

/// `[ID] SAID`; `None` is a line without an id.
fn parse(line: &str) -> Option<(u32, &str)> {
    let (id, said) = line.strip_prefix('[')?.split_once("] ")?;
    Some((u32::from_str_radix(id, 16).ok()?, said))
}

/// What may be shown on a terminal.
fn clean(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(MAX_TEXT).collect()
}

fn random() -> u32 {
    RandomState::new().hash_one(()) as u32
}
