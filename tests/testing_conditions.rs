//! What a link does to the bytes on it, under paused time.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};
use tokio_test::{assert_pending, task};
use wattle::{
    Transport,
    testing::{Conditions, Link, Memory, MemoryAcceptor, MemoryStream},
};

#[path = "testing_conditions/broken.rs"]
mod broken;
mod common;
#[path = "testing_conditions/content.rs"]
mod content;
#[path = "testing_conditions/held.rs"]
mod held;
#[path = "testing_conditions/slow.rs"]
mod slow;

use common::{quiet, random, seed};

const ALICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const CAROL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3));

/// Where Bob listens.
const SERVER: SocketAddr = SocketAddr::new(BOB, 7);

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(100_000);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn memory() -> Memory {
    Memory::with_seed(seed())
}

/// The network, in which Bob listens.
struct World {
    memory: Memory,
    acceptor: MemoryAcceptor,
}

impl World {
    async fn join(&mut self, from: IpAddr) -> (MemoryStream, MemoryStream) {
        let stream = self.memory.at(from).connect(SERVER).await;
        (stream.unwrap(), self.acceptor.accept().await.unwrap().0)
    }
}

/// Alice's connection to Bob, and what is needed to have others.
async fn listening(memory: Memory) -> (World, Link, MemoryStream, MemoryStream) {
    let acceptor = memory.at(BOB).bind(SERVER).await.unwrap();
    let link = memory.link(ALICE, BOB);
    let mut world = World { memory, acceptor };
    let (alice, bob) = world.join(ALICE).await;
    (world, link, alice, bob)
}

/// The same where there shall be no others.
async fn connected(memory: Memory) -> (Link, MemoryStream, MemoryStream) {
    let (_, link, alice, bob) = listening(memory).await;
    (link, alice, bob)
}

/// How long something takes, to the millisecond above, which is the timer's.
async fn time<T>(future: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let output = timeout(LONG, future).await.expect("it never happens");
    (start.elapsed(), output)
}

#[track_caller]
fn assert_about(took: Duration, expected: Duration) {
    let most = expected + ms(2);
    assert!(
        took >= expected && took <= most,
        "{took:?} instead of {expected:?}"
    );
}

/// Writes so much at one end and reads it at the other, and says how long that took.
async fn transfer(from: &mut MemoryStream, to: &mut MemoryStream, bytes: usize) -> Duration {
    let sent: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
    let mut read = vec![0; bytes];
    let both = async { tokio::join!(from.write_all(&sent), to.read_exact(&mut read)) };
    let (took, (written, came)) = time(both).await;
    written.unwrap();
    came.unwrap();
    assert!(read == sent, "not what was sent");
    took
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.expect_err("it should fail").kind()
}
