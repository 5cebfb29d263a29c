//! A wattle node and a node of the crate `pea2pea` talk both ways: whatever either of them sends,
//! in whichever connection, arrives at the other equal and in order.

mod common;

use std::{collections::HashMap, io, net::SocketAddr};

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use pea2pea::{
    Config, ConnectionSide, DisconnectOrigin, Node as PeaNode, Pea2Pea,
    protocols::{OnConnect, OnDisconnect, Reading, Writing},
};
use tokio::sync::mpsc;
use tokio_util::codec::LengthDelimitedCodec;
use wattle::{Event, Events, Initiator, Node, Peer, Reason, Side};

use common::{random, seed, within};

/// How many messages go each way in each of the two connections.
const MESSAGES: usize = 10_000;

/// The messages of one direction of one connection, determined by the seed: mostly small, some
/// empty, a few larger than any buffer that they pass.
struct Messages {
    state: u64,
    left: usize,
}

impl Messages {
    fn new(seed: u64, direction: u64, side: Side) -> Self {
        let stream = 2 * direction + u64::from(side == Side::Dialer);
        Self {
            state: seed ^ stream.wrapping_mul(0x1234_5678_9abc_def1),
            left: MESSAGES,
        }
    }
}

impl Iterator for Messages {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.left = self.left.checked_sub(1)?;
        let most = match random(&mut self.state) % 1000 {
            0 => 100_000,
            1..50 => 4_000,
            50..70 => 1,
            _ => 100,
        };
        let size = random(&mut self.state) % most;
        let first = random(&mut self.state) as u8;
        Some((0..size).map(|i| first.wrapping_add(i as u8)).collect())
    }
}

const TO_PEA: u64 = 0;
const TO_WATTLE: u64 = 1;

/// A pea2pea node that tells all that it sees.
#[derive(Clone)]
struct Pea {
    node: PeaNode,
    seen: mpsc::UnboundedSender<Seen>,
}

#[derive(Debug)]
enum Seen {
    Connected(SocketAddr),
    Message(SocketAddr, BytesMut),
    Disconnected(SocketAddr, DisconnectOrigin),
}

impl Pea {
    async fn start() -> io::Result<(Self, SocketAddr, mpsc::UnboundedReceiver<Seen>)> {
        let config = Config {
            listener_addr: Some(([127, 0, 0, 1], 0).into()),
            max_connections_per_ip: 2,
            ..Config::default()
        };
        let (seen, events) = mpsc::unbounded_channel();
        let pea = Self {
            node: PeaNode::new(config),
            seen,
        };
        pea.enable_on_connect().await;
        pea.enable_reading().await;
        pea.enable_writing().await;
        pea.enable_on_disconnect().await;
        let addr = pea.node.toggle_listener().await?;
        Ok((pea, addr.expect("it listens now"), events))
    }

    fn saw(&self, seen: Seen) {
        self.seen.send(seen).expect("the test listens");
    }
}

impl Pea2Pea for Pea {
    fn node(&self) -> &PeaNode {
        &self.node
    }
}

impl OnConnect for Pea {
    async fn on_connect(&self, addr: SocketAddr) {
        self.saw(Seen::Connected(addr));
    }
}

impl OnDisconnect for Pea {
    async fn on_disconnect(&self, addr: SocketAddr, origin: DisconnectOrigin) {
        self.saw(Seen::Disconnected(addr, origin));
    }
}

impl Reading for Pea {
    type Message = BytesMut;
    type Codec = LengthDelimitedCodec;

    fn codec(&self, _addr: SocketAddr, _side: ConnectionSide) -> LengthDelimitedCodec {
        LengthDelimitedCodec::new()
    }

    async fn process_message(&self, source: SocketAddr, message: BytesMut) {
        self.saw(Seen::Message(source, message));
    }
}

impl Writing for Pea {
    /// `unicast` fails when the queue is full; all messages fit in.
    const MESSAGE_QUEUE_DEPTH: usize = MESSAGES;

    type Message = Bytes;
    type Codec = LengthDelimitedCodec;

    fn codec(&self, _addr: SocketAddr, _side: ConnectionSide) -> LengthDelimitedCodec {
        LengthDelimitedCodec::new()
    }
}

/// One connection, as each of the nodes names it.
struct Both {
    peer: Peer,
    addr: SocketAddr,
}

/// Each node dials the other once.
async fn connect_both_ways(
    node: &Node<Bytes>,
    events: &mut Events<BytesMut>,
    pea: &Pea,
    pea_addr: SocketAddr,
    seen: &mut mpsc::UnboundedReceiver<Seen>,
) -> (Both, Both) {
    let dialled = node.connect(pea_addr).await.expect("pea2pea accepts");
    let Some(Seen::Connected(addr)) = seen.recv().await else {
        panic!("pea2pea saw something before the connection");
    };
    let ours = Both {
        peer: dialled,
        addr,
    };
    let addr = node.local_addr().expect("it listens");
    pea.node.connect(addr).await.expect("wattle accepts");
    assert!(matches!(seen.recv().await, Some(Seen::Connected(at)) if at == addr));
    assert!(matches!(events.next().await, Some(Event::Connected(peer)) if peer == dialled));
    let Some(Event::Connected(accepted)) = events.next().await else {
        panic!("wattle saw something before the connection");
    };
    assert_eq!(
        (dialled.side(), accepted.side()),
        (Side::Dialer, Side::Listener)
    );
    let theirs = Both {
        peer: accepted,
        addr,
    };
    (ours, theirs)
}

/// Feeds both connections by turns through the node's one sink.
async fn wattle_sends(node: &Node<Bytes>, seed: u64, peers: [Peer; 2]) {
    let mut outbound = node.outbound();
    let [first, second] = peers.map(|peer| Messages::new(seed, TO_PEA, peer.side()));
    for (one, two) in first.zip(second) {
        outbound.feed((one, peers[0])).await.expect("node is up");
        outbound.feed((two, peers[1])).await.expect("node is up");
    }
    outbound.flush().await.expect("node is up");
}

async fn pea_sends(pea: &Pea, seed: u64, connections: [&Both; 2]) {
    for both in connections {
        let mut last = None;
        for message in Messages::new(seed, TO_WATTLE, both.peer.side()) {
            last = Some(pea.unicast(both.addr, message).expect("there is room"));
        }
        let delivered = last.expect("there are messages").await;
        delivered.expect("it is connected").expect("it is written");
    }
}

async fn wattle_receives(events: &mut Events<BytesMut>, seed: u64, peers: [Peer; 2]) {
    let mut expected: HashMap<_, _> = peers
        .map(|peer| {
            (
                peer,
                Messages::new(seed, TO_WATTLE, peer.side()).enumerate(),
            )
        })
        .into();
    for _ in 0..2 * MESSAGES {
        match events.next().await {
            Some(Event::Message(message, peer)) => {
                let expected = expected.get_mut(&peer).expect("one of the two");
                let (index, wanted) = expected.next().expect("no more than were sent");
                assert!(message == wanted, "message {index} from {peer} differs");
            }
            other => panic!("not a message: {other:?}"),
        }
    }
}

async fn pea_receives(
    seen: &mut mpsc::UnboundedReceiver<Seen>,
    seed: u64,
    connections: [&Both; 2],
) {
    let mut expected: HashMap<_, _> = connections
        .map(|both| {
            let messages = Messages::new(seed, TO_PEA, both.peer.side());
            (both.addr, messages.enumerate())
        })
        .into();
    for _ in 0..2 * MESSAGES {
        match seen.recv().await {
            Some(Seen::Message(addr, message)) => {
                let expected = expected.get_mut(&addr).expect("one of the two");
                let (index, wanted) = expected.next().expect("no more than were sent");
                assert!(message == wanted, "message {index} to {addr} differs");
            }
            other => panic!("not a message: {other:?}"),
        }
    }
}

/// Wattle leaves the first connection, pea2pea the second; each sees the other go.
async fn disconnect_both_ways(
    node: &Node<Bytes>,
    events: &mut Events<BytesMut>,
    pea: &Pea,
    seen: &mut mpsc::UnboundedReceiver<Seen>,
    (first, second): (Both, Both),
) {
    let ending = node.disconnect(first.peer).await.expect("it was connected");
    assert!(matches!(ending.reason, Reason::Disconnected), "{ending}");
    assert_eq!(
        (ending.initiator, ending.undelivered),
        (Initiator::Local, 0)
    );
    assert!(matches!(
        seen.recv().await,
        Some(Seen::Disconnected(addr, DisconnectOrigin::Reading)) if addr == first.addr
    ));
    let Some(Event::Disconnected(peer, ending)) = events.next().await else {
        panic!("not the end of the first connection");
    };
    assert_eq!(peer, first.peer);
    assert!(matches!(ending.reason, Reason::Disconnected), "{ending}");

    assert!(pea.node.disconnect(second.addr).await);
    assert!(matches!(
        seen.recv().await,
        Some(Seen::Disconnected(addr, DisconnectOrigin::User)) if addr == second.addr
    ));
    let Some(Event::Disconnected(peer, ending)) = events.next().await else {
        panic!("not the end of the second connection");
    };
    assert_eq!(peer, second.peer);
    assert!(matches!(ending.reason, Reason::EndOfStream), "{ending}");
    assert_eq!(
        (ending.initiator, ending.undelivered),
        (Initiator::Remote, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_both_ways_whoever_dialled_and_each_sees_the_other_leave() {
    let seed = seed();
    let (pea, pea_addr, mut seen) = Pea::start().await.expect("pea2pea starts");
    let (node, inbound) = Node::builder()
        .listen("127.0.0.1:0")
        .start(|_| LengthDelimitedCodec::new())
        .await
        .expect("wattle starts");
    let mut events = inbound.into_events();

    let connecting = connect_both_ways(&node, &mut events, &pea, pea_addr, &mut seen);
    let (first, second) = within(connecting).await;
    let peers = [first.peer, second.peer];
    let connections = [&first, &second];
    within(async {
        tokio::join!(
            wattle_sends(&node, seed, peers),
            pea_sends(&pea, seed, connections),
            wattle_receives(&mut events, seed, peers),
            pea_receives(&mut seen, seed, connections),
        )
    })
    .await;

    let stats = node.stats();
    let all = 2 * MESSAGES as u64;
    assert_eq!((stats.messages_in, stats.messages_out), (all, all));
    let leaving = disconnect_both_ways(&node, &mut events, &pea, &mut seen, (first, second));
    within(leaving).await;

    within(pea.node.shut_down()).await;
    let report = within(node.shutdown()).await;
    assert!(report.is_clean() && report.connections == 0, "{report}");
    let rest = within(events.next()).await;
    assert!(rest.is_none(), "{rest:?}");
}
