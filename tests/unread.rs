//! A program that doesn't read for a while, or never: whoever comes, sends and leaves again and again finds
//! the limits, and not the memory.

mod common;

use std::{
    collections::BTreeMap,
    error::Error,
    fmt, io, iter,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::BytesMut;
use common::{
    ending, finish, finish_events, in_memory, join, lines, network, next_event, quiet, shut_down,
    start_lines, within,
};
use futures::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::coop::unconstrained,
};
use tokio_util::codec::{Decoder, Encoder};
use wattle::{
    Builder, ConnectError, Event, Events, Inbound, Initiator, Limit, Node, Peer, Transport,
    testing::Memory, transport::Acceptor,
};

/// A node in memory that listens, and whose program reads when the test says so.
struct House {
    network: Memory,
    node: Node<String>,
    addr: SocketAddr,
}

impl House {
    async fn open(
        options: impl FnOnce(Builder<Memory>) -> Builder<Memory>,
    ) -> (Self, Inbound<String>) {
        let network = network();
        let builder = options(Node::builder().transport(network.clone()));
        let (node, inbound) = within(builder.start(lines)).await.unwrap();
        let addr = within(node.listen("127.0.0.1:0")).await.unwrap();
        let house = Self {
            network,
            node,
            addr,
        };
        (house, inbound)
    }

    /// Comes from this address, says what it has to say, and leaves. (If it is refused, its words are lost.)
    async fn visit(&self, ip: &str, words: &str) {
        let ip: IpAddr = ip.parse().unwrap();
        let mut stream = within(self.network.at(ip).connect(self.addr))
            .await
            .unwrap();
        let _ = within(stream.write_all(words.as_bytes())).await;
        let _ = within(stream.shutdown()).await;
        let _ = within(stream.read_to_end(&mut Vec::new())).await;
        quiet().await;
    }

    /// How many have come in so far, and how many were refused because the house was full.
    fn came_in_and_refused(&self) -> (u64, u64) {
        let stats = self.node.stats();
        assert_eq!(stats.connections, 0, "all have left");
        (stats.connected, stats.refused.max_connections)
    }
}

/// What is there of each connection's life, by the order of their coming, without waiting for more.
fn told(events: &mut Events<String>) -> BTreeMap<Peer, Story> {
    let mut stories: BTreeMap<Peer, Story> = BTreeMap::new();
    while let Some(Some(event)) = unconstrained(events.recv()).now_or_never() {
        match event {
            Event::Connected(peer) => stories.entry(peer).or_default().connected += 1,
            Event::Message(_, peer) => stories.entry(peer).or_default().messages += 1,
            Event::Disconnected(peer, _) => stories.entry(peer).or_default().disconnected += 1,
            Event::Refused(..) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    stories
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    connected: u32,
    messages: u32,
    disconnected: u32,
}

impl Story {
    fn whole(messages: u32) -> Self {
        Self {
            connected: 1,
            messages,
            disconnected: 1,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_and_leaves_again_and_again_finds_the_house_full_until_the_messages_are_taken() {
    let (house, inbound) = House::open(|builder| builder.max_connections(4)).await;
    let mut events = inbound.into_events();
    for round in 1..=3 {
        for _ in 0..50 {
            house.visit("10.0.0.1", "one\ntwo\n").await;
        }
        assert_eq!(house.came_in_and_refused(), (4 * round, 46 * round));
        let stories = told(&mut events);
        assert_eq!(stories.len(), 4);
        assert!(stories.values().all(|story| *story == Story::whole(2)));
    }
    finish_events(&house.node, events).await;
}

#[tokio::test(start_paused = true)]
async fn unread_messages_take_the_room_of_their_own_address() {
    let (house, inbound) = House::open(|builder| builder.max_per_ip(2)).await;
    for _ in 0..20 {
        house.visit("10.0.0.1", "flood\n").await;
    }
    assert_eq!(house.node.stats().refused.max_per_ip, 18);
    house.visit("10.0.0.2", "hello\n").await;
    assert_eq!(house.node.stats().connected, 3);
    let mut events = inbound.into_events();
    assert_eq!(told(&mut events).len(), 3);
    house.visit("10.0.0.1", "again\n").await;
    assert_eq!(house.node.stats().connected, 4);
    assert_eq!(told(&mut events).len(), 1);
    finish_events(&house.node, events).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_library_ends_keeps_its_room_while_its_messages_wait() {
    let options = |builder: Builder<Memory>| {
        let builder = builder.max_connections(1).max_frame_bytes(100);
        builder.idle_timeout(Duration::from_secs(1))
    };
    let (house, inbound) = House::open(options).await;
    let mut events = inbound.into_events();
    let (no_text, too_long, nothing) = (&b"\xff\n"[..], &[b'x'; 200][..], &b""[..]);
    let endings = [
        (no_text, "decode error"),
        (too_long, "frame too large"),
        (nothing, "idle timeout"),
    ];
    for (round, (words, reason)) in endings.into_iter().enumerate() {
        let words = [b"first\n", words].concat();
        let mut stream = within(house.network.connect(house.addr)).await.unwrap();
        within(stream.write_all(&words)).await.unwrap();
        let _ = within(stream.read_to_end(&mut Vec::new())).await;
        drop(stream);
        quiet().await;
        house.visit("10.0.0.1", "").await;
        let round = round as u64;
        assert_eq!(house.came_in_and_refused(), (round + 1, round + 1));
        let disconnect = loop {
            if let Event::Disconnected(_, disconnect) = next_event(&mut events).await {
                break disconnect;
            }
        };
        assert_eq!(disconnect.initiator, Initiator::Library);
        assert!(disconnect.to_string().starts_with(reason), "{disconnect}");
    }
    finish_events(&house.node, events).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_messages_were_taken_leaves_its_room_although_its_end_is_not_read() {
    let (house, mut inbound) = House::open(|builder| builder.max_connections(1)).await;
    let mut stream = within(house.network.connect(house.addr)).await.unwrap();
    within(stream.write_all(b"taken\n")).await.unwrap();
    assert_eq!(within(inbound.recv()).await.unwrap().0, "taken");
    drop(stream);
    quiet().await;
    house.visit("10.0.0.1", "").await;
    assert_eq!(house.came_in_and_refused(), (2, 0));
    finish(&house.node, inbound).await;
}

/// On two threads the reader is quick to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_room_when_the_end_is_told_although_messages_kept_it() {
    let one = Node::builder().max_connections(1).max_pending(1);
    let one = one.pending_for_dialing(0).listen("127.0.0.1:0");
    let (node, inbound) = start_lines(one).await;
    let mut events = inbound.into_events();
    let addr = node.local_addr().unwrap();
    for round in 0..300 {
        let mut stream = within(TcpStream::connect(addr)).await.unwrap();
        within(stream.write_all(b"one\n")).await.unwrap();
        drop(stream);
        let peer = match next_event(&mut events).await {
            Event::Connected(peer) => peer,
            other => panic!("in round {round}: {other:?}"),
        };
        ending(&mut events, peer).await;
    }
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_program_ends_itself_leaves_its_room_with_messages_unread() {
    let (node, inbound) = start_lines(in_memory().max_connections(1)).await;
    for round in 0..10 {
        let (peer, mut remote) = join(&node, 64).await;
        within(remote.write_all(b"never read\n")).await.unwrap();
        quiet().await;
        match round % 2 {
            0 => {
                let (_, ended) = tokio::join!(remote.shutdown(), within(node.disconnect(peer)));
                assert_eq!(ended.unwrap().initiator, Initiator::Local);
            }
            _ => {
                assert!(node.abort(peer));
                quiet().await;
            }
        }
    }
    let mut events = inbound.into_events();
    let stories = told(&mut events);
    assert_eq!(stories.len(), 10);
    assert!(stories.values().all(|story| *story == Story::whole(1)));
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn whom_the_program_dialled_leaves_its_room_with_messages_unread() {
    let (house, inbound) = House::open(|builder| builder.max_connections(1)).await;
    let mut other = within(house.network.bind(([127, 0, 0, 1], 0).into()))
        .await
        .unwrap();
    let addr = other.local_addr().unwrap();
    for _ in 0..10 {
        let (peer, accepted) =
            tokio::join!(within(house.node.connect(addr)), within(other.accept()));
        peer.unwrap();
        let (mut stream, _) = accepted.unwrap();
        within(stream.write_all(b"never read\n")).await.unwrap();
        drop(stream);
        quiet().await;
    }
    assert_eq!(house.came_in_and_refused(), (10, 0));
    let mut events = inbound.into_events();
    assert_eq!(told(&mut events).len(), 10);
    finish_events(&house.node, events).await;
}

#[tokio::test(start_paused = true)]
async fn unread_messages_of_strangers_count_for_our_dialling_as_open_connections_do() {
    let (house, inbound) = House::open(|builder| builder.max_connections(1)).await;
    house.visit("10.0.0.1", "unread\n").await;
    let other = within(house.network.bind(([127, 0, 0, 1], 0).into()))
        .await
        .unwrap();
    let addr = other.local_addr().unwrap();
    let refused = within(house.node.connect(addr)).await.unwrap_err();
    assert!(
        matches!(refused, ConnectError::Limit(Limit::Connections(1))),
        "{refused}"
    );
    drop(inbound);
    within(house.node.connect(addr)).await.unwrap();
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_gives_all_room_back() {
    let (house, inbound) = House::open(|builder| builder.max_connections(4)).await;
    for _ in 0..10 {
        house.visit("10.0.0.1", "unread\n").await;
    }
    assert_eq!(house.came_in_and_refused(), (4, 6));
    drop(inbound);
    for _ in 0..10 {
        house.visit("10.0.0.1", "thrown away\n").await;
    }
    assert_eq!(house.came_in_and_refused(), (14, 6));
    shut_down(&house.node).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_no_reader_and_takes_nothing_from_it() {
    let (house, inbound) = House::open(|builder| builder.max_connections(4)).await;
    for _ in 0..10 {
        house.visit("10.0.0.1", "one\ntwo\n").await;
    }
    shut_down(&house.node).await;
    let mut events = inbound.into_events();
    let stories = told(&mut events);
    assert_eq!(stories.len(), 4);
    assert!(stories.values().all(|story| *story == Story::whole(2)));
    assert!(within(events.recv()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_dropped_with_messages_unread_ends() {
    let (house, mut inbound) = House::open(|builder| builder.max_connections(4)).await;
    for _ in 0..10 {
        house.visit("10.0.0.1", "unread\n").await;
    }
    let House {
        node,
        network,
        addr,
    } = house;
    drop(node);
    quiet().await;
    for _ in 0..4 {
        assert_eq!(within(inbound.recv()).await.unwrap().0, "unread");
    }
    drop(inbound);
    quiet().await;
    within(network.connect(addr)).await.unwrap_err();
}

/// So many connections that came and went without a message are told at least.
const STORIES: usize = 1024;

/// One that comes, says nothing, and goes.
async fn come_and_go(node: &Node<String>) -> Peer {
    let (peer, remote) = join(node, 64).await;
    drop(remote);
    quiet().await;
    peer
}

#[tokio::test(start_paused = true)]
async fn of_those_who_come_and_go_without_a_word_the_newest_are_told_each_as_a_whole() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut all = Vec::new();
    for _ in 0..5 * STORIES {
        all.push(come_and_go(&node).await);
    }
    let mut events = inbound.into_events();
    let stories = told(&mut events);
    let count = stories.len();
    assert!((STORIES..2 * STORIES).contains(&count), "{count} are told");
    assert!(stories.values().all(|story| *story == Story::whole(0)));
    let newest = &all[all.len() - count..];
    assert!(stories.keys().eq(newest), "not the newest ones");
    assert_eq!(node.stats().disconnected, all.len() as u64);

    // What came after the reader is told again from there on.
    let next = come_and_go(&node).await;
    assert_eq!(told(&mut events), BTreeMap::from([(next, Story::whole(0))]));
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_to_be_told_and_what_has_messages_is_told_to_its_end() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = inbound.into_events();
    let (begun, remote) = join(&node, 64).await;
    expect_connected(&mut events, begun).await;
    let (with_message, mut writer) = join(&node, 64).await;
    within(writer.write_all(b"kept\n")).await.unwrap();
    let (staying, silent) = join(&node, 64).await;
    drop((remote, writer));
    for _ in 0..4 * STORIES {
        come_and_go(&node).await;
    }
    let stories = told(&mut events);
    let only_end = Story {
        disconnected: 1,
        ..Story::default()
    };
    let only_beginning = Story {
        connected: 1,
        ..Story::default()
    };
    assert_eq!(stories[&begun], only_end);
    assert_eq!(stories[&with_message], Story::whole(1));
    assert_eq!(stories[&staying], only_beginning);
    let others = stories.len() - 3;
    assert!((STORIES..2 * STORIES).contains(&others), "{others} others");
    drop(silent);
    finish_events(&node, events).await;
}

async fn expect_connected(events: &mut Events<String>, expected: Peer) {
    match next_event(events).await {
        Event::Connected(peer) => assert_eq!(peer, expected),
        other => panic!("{other:?} instead of {expected}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_keeps_up_is_told_of_every_one_however_many_there_are() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = inbound.into_events();
    for round in 0..10 {
        let mut came = Vec::new();
        for _ in 0..STORIES / 2 {
            came.push(come_and_go(&node).await);
        }
        let stories = told(&mut events);
        assert!(stories.keys().eq(&came), "in round {round}");
    }
    finish_events(&node, events).await;
}

/// What comes is an error: `!` one that panics when it is dropped, and anything else a good one.
struct Refusing;

#[derive(Debug)]
struct Unwelcome {
    panics: bool,
}

impl fmt::Display for Unwelcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unwelcome")
    }
}

impl Error for Unwelcome {}

impl From<io::Error> for Unwelcome {
    fn from(_: io::Error) -> Self {
        Self { panics: false }
    }
}

impl Drop for Unwelcome {
    fn drop(&mut self) {
        assert!(!self.panics, "an error that panics when it is dropped");
    }
}

impl Decoder for Refusing {
    type Item = String;
    type Error = Unwelcome;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<String>, Unwelcome> {
        match src.is_empty() {
            true => Ok(None),
            false => Err(Unwelcome {
                panics: src.split().starts_with(b"!"),
            }),
        }
    }
}

impl Encoder<String> for Refusing {
    type Error = Unwelcome;

    fn encode(&mut self, _: String, _: &mut BytesMut) -> Result<(), Unwelcome> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_when_it_is_forgotten_holds_up_nobody() {
    let start = in_memory().start(|_| Refusing);
    let (node, mut inbound) = within(start).await.unwrap();
    for word in iter::once(b"!").chain(iter::repeat_n(b"?", 2 * STORIES - 2)) {
        let (_, mut remote) = join(&node, 64).await;
        within(remote.write_all(word)).await.unwrap();
        drop(remote);
        quiet().await;
    }
    // With this one the oldest are forgotten; who waits for its end is told.
    let (last, mut remote) = join(&node, 64).await;
    let (_, ended) = tokio::join!(remote.shutdown(), within(node.disconnect(last)));
    assert_eq!(ended.unwrap().initiator, Initiator::Local);
    assert_eq!(node.stats().disconnected, 2 * STORIES as u64);
    shut_down(&node).await;
    assert!(within(inbound.recv()).await.is_none());
}
