//! Scripted peers play against nodes, against each other, and against a program.

use std::{fmt::Debug, future::Future, net::SocketAddr, time::Duration};

use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::codec::{Decoder, LinesCodec};
use wattle::{
    BoxError, Disconnect, Event, Events, Node, Peer, Reason, Transport,
    testing::{
        Closed, Memory, Script,
        script::{Entry, Failure, Happening, Player, Transcript},
    },
};

#[path = "testing_script/beside.rs"]
mod beside;
mod common;
#[path = "testing_script/in_memory.rs"]
mod in_memory;
#[path = "testing_script/over_tcp.rs"]
mod over_tcp;
#[path = "testing_script/protocols.rs"]
mod protocols;
#[path = "testing_script/value.rs"]
mod value;
#[path = "testing_script/wire.rs"]
mod wire;

use common::{next_event, within};

const SECOND: Duration = Duration::from_secs(1);

fn lines(_: Peer) -> LinesCodec {
    LinesCodec::new_with_max_length(8192)
}

/// A script that isn't played over its transport.
fn script() -> Script<LinesCodec> {
    Script::new(lines)
}

fn localhost() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Two ends of a stream with a player on one.
fn on_stage(capacity: usize) -> (Player<LinesCodec>, DuplexStream) {
    let (ours, theirs) = duplex(capacity);
    (Player::on(ours, LinesCodec::new()), theirs)
}

/// Plays it to one who comes, in a task, and says where.
async fn serve<C, T>(script: Script<C, T>) -> (SocketAddr, JoinHandle<Result<Transcript, Failure>>)
where
    C: Decoder<Item: Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
    T: Transport,
{
    let mut listening = script.listen(localhost()).await.unwrap();
    let addr = listening.local_addr();
    (addr, tokio::spawn(async move { listening.play().await }))
}

/// Plays two against each other.
async fn play_both<A: Debug, B: Debug>(
    one: impl Future<Output = Result<A, Failure>>,
    other: impl Future<Output = Result<B, Failure>>,
) {
    let (one, other) = tokio::join!(one, other);
    one.unwrap();
    other.unwrap();
}

/// How the first connection that ends does.
async fn first_end(events: &mut Events<String>) -> Disconnect {
    loop {
        if let Event::Disconnected(_, why) = next_event(events).await {
            return why;
        }
    }
}
