//! A node with a connection whose pieces are faulty, and one whose pieces are not.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::Handle,
};
use tracing::{Level, subscriber::DefaultGuard};
use wattle::{
    Builder, Disconnect, Event, Events, Inbound, Node, Peer, Side, Stats, transport::AdoptOnly,
};

use super::{
    codec::Codec,
    stream::Stream,
    text::{Text, text},
};
use crate::common::{adopting, expect_text, next_event, quiet, within};

/// What is wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    DecodePanics,
    /// With a payload that panics in turn when it is dropped.
    DecodePanicsTwice,
    DecodeFails,
    /// With an error that panics when it is looked at.
    DecodeErrorPanics,
    /// With an error that panics when it is boxed.
    DecodeErrorUnboxable,
    /// Takes all that comes, and never makes a message of it.
    DecodeNever,
    /// Makes message after message of one line.
    DecodeForever,
    EofPanics,
    EofFails,
    /// Makes message after message of the end.
    EofForever,
    EncodePanics,
    EncodeFails,
    EncodeErrorPanics,
    EncodeNothing,
    EncodeHugely,
    CodecDropPanics,
    ReadPanics,
    ReadFails,
    /// Never has anything and is always about to.
    ReadSpins,
    /// Hands back another buffer than it was given.
    ReadSwaps,
    WritePanics,
    WriteFails,
    WriteNothing,
    /// Says that it has written more than it was given.
    WriteTooMuch,
    FlushPanics,
    FlushFails,
    FlushStalls,
    ShutdownPanics,
    ShutdownFails,
    ShutdownStalls,
    StreamDropPanics,
}

/// How many things there are.
#[derive(Clone, Default)]
pub(crate) struct Census(Arc<AtomicUsize>);

/// One of them.
pub(crate) struct Counted(Census);

impl Census {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn enter(&self) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many bytes are under way on a connection, each way.
const IN_FLIGHT: usize = 64;

/// For deadlines with which nothing competes: time is paused.
pub(crate) const SOON: Duration = Duration::from_secs(3);

pub(crate) type Options = Builder<AdoptOnly<Stream>>;

/// A node with room for two connections: the victim's, whose pieces are faulty, and a bystander's, who
/// must notice nothing.
pub(crate) struct Scene {
    pub(crate) node: Node<Text>,
    pub(crate) events: Events<Text>,
    pub(crate) victim: Peer,
    /// The victim's remote end.
    pub(crate) remote: DuplexStream,
    bystander: (Peer, DuplexStream),
    /// What was seen of the victim while waiting for something else.
    seen: VecDeque<Event<Text>>,
    streams: Census,
    codecs: Census,
}

impl Scene {
    pub(crate) async fn new(fault: Fault) -> Self {
        Self::with(fault, |options| options).await
    }

    pub(crate) async fn with(fault: Fault, options: fn(Options) -> Options) -> Self {
        let builder = adopting().max_connections(2).max_pending(1);
        let builder = builder.write_timeout(SOON).drain_timeout(SOON);
        let (streams, codecs) = (Census::default(), Census::default());
        let count = codecs.clone();
        let codec = move |peer: Peer| Codec::new(fault_of(peer, fault), count.enter());
        let start = options(builder).start(codec);
        let (node, inbound): (Node<Text>, Inbound<Text>) = within(start).await.unwrap();
        let mut events = inbound.into_events();
        let (victim, remote) = join(&node, VICTIM, fault, &streams, &mut events).await;
        let bystander = join(&node, BYSTANDER, Fault::None, &streams, &mut events).await;
        Self {
            node,
            events,
            victim,
            remote,
            bystander,
            seen: VecDeque::new(),
            streams,
            codecs,
        }
    }

    pub(crate) async fn hears(&mut self, bytes: &[u8]) {
        within(self.remote.write_all(bytes)).await.unwrap();
    }

    pub(crate) fn says(&self, words: &str) {
        self.node.try_send_to(text(words), self.victim).unwrap();
    }

    /// All that the victim's remote gets until the end.
    pub(crate) async fn wire(&mut self) -> String {
        let mut wire = String::new();
        within(self.remote.read_to_string(&mut wire)).await.unwrap();
        wire
    }

    /// The next event of the victim.
    pub(crate) async fn next(&mut self) -> Event<Text> {
        match self.seen.pop_front() {
            Some(event) => event,
            None => next_event(&mut self.events).await,
        }
    }

    /// The next event of the victim, which is a message.
    pub(crate) async fn message(&mut self) -> String {
        match self.next().await {
            Event::Message(message, peer) if peer == self.victim => message.words().to_owned(),
            _ => panic!("there should be a message"),
        }
    }

    /// The next event of the victim, which is its end. (Not printed if it isn't: errors may panic.)
    pub(crate) async fn end(&mut self) -> Disconnect {
        match self.next().await {
            Event::Disconnected(peer, end) if peer == self.victim => end,
            Event::Message(message, _) => panic!("{message:?} before the end"),
            _ => panic!("the next event should be the end"),
        }
    }

    /// The bystander talks and is talked to.
    pub(crate) async fn serve(&mut self) {
        let (peer, remote) = &mut self.bystander;
        within(remote.write_all(b"well?\n")).await.unwrap();
        loop {
            match next_event(&mut self.events).await {
                Event::Message(heard, from) if from == *peer => {
                    assert_eq!(heard.words(), "well?");
                    break;
                }
                // There may be no end of them.
                Event::Message(..) if self.seen.len() > 1000 => {}
                event => self.seen.push_back(event),
            }
        }
        let sent = within(self.node.send_to(text("well."), *peer)).await;
        sent.expect("the bystander is connected");
        let mut answer = [0; 6];
        within(remote.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"well.\n");
    }

    /// What the bystander's remote has got.
    pub(crate) async fn bystander_hears(&mut self, expected: &str) {
        expect_text(&mut self.bystander.1, expected).await;
    }

    /// The victim has ended; all else works, there is room for another, and nothing is left when the
    /// node is shut down. Gives the last figures.
    pub(crate) async fn assert_over(mut self) -> Stats {
        let bystander = self.bystander.0;
        assert_eq!(self.node.peers(), [bystander]);
        let waited = within(self.node.disconnect(self.victim)).await;
        assert!(waited.is_none(), "it has ended");
        assert_eq!(self.node.stats().connections, 1);
        self.serve().await;
        let (streams, events) = (self.streams.clone(), &mut self.events);
        let newcomer = join(&self.node, NEWCOMER, Fault::None, &streams, events).await;
        drop((newcomer, self.bystander, self.remote));
        let report = within(self.node.shutdown()).await;
        assert!(report.is_clean(), "{report}");
        let stats = self.node.stats();
        assert_eq!((stats.connected, stats.disconnected), (3, 3));
        assert_eq!(stats.connections, 0);
        while within(self.events.recv()).await.is_some() {}
        drop((self.node, self.events, self.seen));
        quiet().await;
        assert_eq!(self.streams.count(), 0, "streams");
        assert_eq!(self.codecs.count(), 0, "codecs");
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "tasks");
        stats
    }
}

const VICTIM: u16 = 1;
const BYSTANDER: u16 = 2;
const NEWCOMER: u16 = 3;

fn fault_of(peer: Peer, fault: Fault) -> Fault {
    match peer.addr().port() {
        VICTIM => fault,
        _ => Fault::None,
    }
}

async fn join(
    node: &Node<Text>,
    port: u16,
    fault: Fault,
    streams: &Census,
    events: &mut Events<Text>,
) -> (Peer, DuplexStream) {
    let (ours, theirs) = duplex(IN_FLIGHT);
    let ours = Stream::new(ours, fault, streams.enter());
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let peer = within(node.adopt(ours, addr, Side::Listener)).await;
    let peer = peer.expect("there is room");
    match next_event(events).await {
        Event::Connected(connected) => assert_eq!(connected, peer),
        _ => panic!("the next event should be `Connected`"),
    }
    (peer, theirs)
}

/// Listens to all that is told to `tracing` by this thread, so that errors are asked what they are: where
/// nobody listens, they aren't.
#[must_use]
pub(crate) fn listen() -> DefaultGuard {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_writer(std::io::sink)
        .finish();
    tracing::subscriber::set_default(subscriber)
}

/// An error that panics when it is looked at.
pub(crate) struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("unspeakable")
    }
}

impl fmt::Debug for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("undebuggable")
    }
}

impl std::error::Error for Unspeakable {}

/// A panic's payload that panics when it is dropped.
pub(crate) struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "payload dropped");
    }
}
