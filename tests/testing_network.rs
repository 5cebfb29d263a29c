//! Networks in one line: started, connected at both ends, complete in their events, torn down.

mod common;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{lines, soon, within};
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{
    BoxError, ConnectError, Event, Inbound, Node, Peer, Protocol, ShutdownReport, Side, StartError,
    Transport,
    testing::{Memory, Network, NetworkError, Topology, TopologyError, eventually, network},
    transport::ByteStream,
};

type Lines = Network<String, String>;

async fn start(nodes: usize, topology: Topology) -> Lines {
    let started = soon("a network", network(nodes, topology, lines)).await;
    started.expect("the network should start")
}

/// Shuts a network down, and asserts that everything was written and nothing is left.
async fn finish(network: Lines) {
    let reports = soon("the shutdown", network.shutdown()).await;
    assert!(reports.iter().all(ShutdownReport::is_clean), "{reports:?}");
    assert!(network.nodes.iter().all(|node| node.peers().is_empty()));
}

#[tokio::test]
async fn both_ends_of_every_edge_know_each_other_when_it_returns() {
    let network = start(12, Topology::Random { degree: 3, seed: 5 }).await;
    assert_eq!(network.edges().len(), 18);
    for &(dialer, listener) in network.edges() {
        let there = network.peer(dialer, listener).expect("an edge");
        let back = network.peer(listener, dialer).expect("an edge");
        assert_eq!((there.side(), back.side()), (Side::Dialer, Side::Listener));
        assert!(network.nodes[dialer].peers().contains(&there));
        assert!(network.nodes[listener].peers().contains(&back));
        assert_eq!(Some(there.addr()), network.nodes[listener].local_addr());
    }
    assert!(network.nodes.iter().all(|node| node.peers().len() == 3));
    finish(network).await;
}

/// Ends are told apart by sending to each: whoever gets it is who the map says.
#[tokio::test]
async fn a_message_to_the_peer_of_a_pair_arrives_at_the_other_of_the_pair() {
    let mut network = start(6, Topology::Mesh).await;
    let mut messages = network.messages();
    for from in 0..6 {
        for to in (0..6).filter(|to| *to != from) {
            let peer = network.peer(from, to).expect("a mesh");
            assert_eq!(network.index_of(peer), Some(to));
            let text = format!("{from} to {to}");
            network.nodes[from].send_to(text, peer).await.unwrap();
        }
    }
    for _ in 0..30 {
        let (to, (text, peer)) = within(messages.recv()).await.expect("a message");
        let from = network.index_of(peer).expect("a node of the network");
        assert_eq!(text, format!("{from} to {to}"));
        assert_eq!(network.peer(to, from), Some(peer));
    }
    finish(network).await;
}

#[tokio::test]
async fn the_events_begin_with_every_connection() {
    let mut network = start(5, Topology::Star).await;
    let mut events = network.events();
    for _ in 0..8 {
        match within(events.recv()).await {
            Some((index, Event::Connected(peer))) => {
                let other = network.index_of(peer).expect("a node of the network");
                assert_eq!(network.peer(index, other), Some(peer));
            }
            other => panic!("expected `Connected`, got {other:?}"),
        }
    }
    finish(network).await;
    let mut endings = 0;
    while let Some((_, event)) = within(events.recv()).await {
        assert!(matches!(event, Event::Disconnected(..)), "{event:?}");
        endings += 1;
    }
    assert_eq!(endings, 8);
}

/// A program of a user: what a network is for.
async fn gossip(node: Node<String>, mut inbound: Inbound<String>, heard: Arc<Mutex<Vec<String>>>) {
    let mut known = Vec::new();
    while let Some((rumour, from)) = inbound.recv().await {
        if !known.contains(&rumour) {
            known.push(rumour.clone());
            heard.lock().unwrap().push(rumour.clone());
            node.broadcast_where(rumour, |peer| peer != from);
        }
    }
}

#[tokio::test]
async fn a_program_per_node_takes_nodes_and_streams_as_they_are() {
    let network = start(
        9,
        Topology::Grid {
            width: 3,
            height: 3,
        },
    )
    .await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let inbounds = network.inbounds;
    let programs: Vec<_> = network
        .nodes
        .iter()
        .cloned()
        .zip(inbounds)
        .map(|(node, inbound)| tokio::spawn(gossip(node, inbound, heard.clone())))
        .collect();
    network.nodes[4].broadcast("rumour".to_owned());
    eventually(&network.nodes, || heard.lock().unwrap().len() >= 8).await;
    for node in &network.nodes {
        within(node.shutdown()).await;
    }
    for program in programs {
        within(program).await.unwrap();
    }
}

#[tokio::test]
async fn neighbours_are_those_at_the_other_ends_of_edges() {
    let network = start(7, Topology::Tree { arity: 2 }).await;
    let mut neighbours: Vec<_> = network.neighbours(1).collect();
    neighbours.sort_unstable();
    assert_eq!(neighbours, [0, 3, 4]);
    assert_eq!(network.peer(3, 4), None);
    assert!(!network.is_connected(3, 4));
    finish(network).await;
}

#[tokio::test]
async fn one_node_alone_is_a_network() {
    let network = start(1, Topology::Line).await;
    assert_eq!(network.edges(), []);
    assert!(network.is_whole());
    finish(network).await;
}

#[tokio::test]
async fn a_graph_that_cannot_be_is_the_error_of_the_topology() {
    let shape = Topology::Grid {
        width: 2,
        height: 2,
    };
    let started: Result<Lines, _> = network(5, shape, lines).await;
    match started {
        Err(NetworkError::Topology(TopologyError::GridDoesNotFit { nodes: 5, .. })) => {}
        other => panic!("{other:?}"),
    }
}

/// Clones of the handles and the streams are elsewhere, and all the same every connection ends.
#[tokio::test]
async fn a_network_that_is_dropped_shuts_its_nodes_down_whoever_holds_them() {
    let mut network = start(4, Topology::Ring).await;
    let mut events = network.events();
    let nodes = network.nodes.clone();
    drop(network);
    let mut endings = 0;
    while let Some((_, event)) = within(events.recv()).await {
        endings += usize::from(matches!(event, Event::Disconnected(..)));
    }
    assert_eq!(endings, 8);
    assert!(nodes.iter().all(|node| node.peers().is_empty()));
}

#[tokio::test]
async fn an_edge_can_be_closed_and_opened_again() {
    let mut network = start(3, Topology::Line).await;
    let before = network.peer(0, 1).expect("an edge");
    within(network.disconnect(0, 1)).await.unwrap();
    assert_eq!(network.edges(), [(2, 1)]);
    assert_eq!(network.nodes[0].peers(), []);
    assert_eq!(network.nodes[1].peers().len(), 1);
    assert_eq!(network.peer(1, 0), None);

    within(network.connect(0, 1)).await.unwrap();
    assert!(network.is_connected(1, 0));
    assert_ne!(network.peer(0, 1), Some(before));
    let again = network.disconnect(0, 2).await.unwrap_err();
    assert_eq!(again.to_string(), "node 0 and node 2 are not connected");
    finish(network).await;
}

#[tokio::test]
async fn options_are_given_by_node() {
    let named: Lines = Network::builder()
        .options(|index, node| match index {
            0 => node.name("hub").listen("127.0.0.1:0").listen("127.0.0.1:0"),
            _ => node,
        })
        .start(2, Topology::Line, lines)
        .await
        .unwrap();
    assert_eq!(named.nodes[0].local_addrs().len(), 2);
    assert_eq!(named.nodes[1].local_addrs().len(), 1);
    let names: Vec<_> = named.nodes.iter().map(|node| format!("{node:?}")).collect();
    assert!(names[0].contains("\"hub\""), "{names:?}");
    assert!(names[1].contains("\"node-1\""), "{names:?}");
    finish(named).await;
}

#[tokio::test]
async fn an_option_that_makes_no_sense_says_whose_it_is() {
    let started: Result<Lines, _> = Network::builder()
        .options(|index, node| node.max_inbound_messages(3 - index))
        .start(5, Topology::Line, lines)
        .await;
    match started {
        Err(
            error @ NetworkError::Start {
                node: 3,
                source: StartError::InvalidOption(_),
            },
        ) => {
            let text = error.to_string();
            assert!(
                text.starts_with("node 3: option `max_inbound_messages`"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
}

/// More edges than a node has room for by default.
#[tokio::test]
async fn a_hub_has_room_for_all_its_edges() {
    let network = start(1100, Topology::Star).await;
    assert_eq!(network.nodes[0].peers().len(), 1099);
    finish(network).await;
}

#[tokio::test]
async fn a_network_in_memory_needs_no_time() {
    let memory = Memory::new();
    tokio::time::pause();
    let network: Lines = Network::builder()
        .options(|_, node| node.transport(memory.clone()))
        .start(20, Topology::Mesh, lines)
        .await
        .unwrap();
    assert!(network.is_whole());
    finish(network).await;
}

/// What both ends are told by their handshakes has to agree with what the network says.
struct Keyed {
    index: usize,
    met: Arc<Mutex<Vec<(usize, Peer)>>>,
}

impl<S: ByteStream> Protocol<S> for Keyed {
    type Io = S;
    type Codec = LinesCodec;

    async fn handshake(&self, stream: S, peer: Peer) -> Result<Framed<S, LinesCodec>, BoxError> {
        self.met.lock().unwrap().push((self.index, peer));
        Ok(Framed::new(stream, lines(peer)))
    }
}

#[tokio::test]
async fn each_node_may_have_a_protocol_of_its_own() {
    let met = Arc::new(Mutex::new(Vec::new()));
    let protocol = |index| Keyed {
        index,
        met: met.clone(),
    };
    let builder = Network::builder();
    let network: Lines = builder
        .start_with(4, Topology::Ring, protocol)
        .await
        .unwrap();
    let met = met.lock().unwrap().clone();
    assert_eq!(met.len(), 8);
    for (index, peer) in met {
        let other = network.index_of(peer).expect("a node of the network");
        assert_eq!(network.peer(index, other), Some(peer));
    }
    finish(network).await;
}

/// Lets nobody in who comes from outside; those who dial notice nothing until it hangs up.
struct Unfriendly;

impl<S: ByteStream> Protocol<S> for Unfriendly {
    type Io = S;
    type Codec = LinesCodec;

    async fn handshake(&self, stream: S, peer: Peer) -> Result<Framed<S, LinesCodec>, BoxError> {
        match peer.side() {
            Side::Listener => Err("I know you not".into()),
            Side::Dialer => Ok(Framed::new(stream, lines(peer))),
        }
    }
}

#[tokio::test]
async fn a_listener_that_does_not_take_the_connection_is_told_with_its_reason() {
    let started: Result<Lines, _> = within(network(2, Topology::Line, Unfriendly)).await;
    match started {
        Err(
            error @ NetworkError::Lost {
                dialer: 1,
                listener: 0,
                ..
            },
        ) => {
            let text = error.to_string();
            assert!(text.contains("I know you not"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_listener_that_refuses_is_told_with_its_reason() {
    let started = Network::builder()
        .options(|_, node| node.filter(|_| false))
        .start(2, Topology::Line, lines);
    let started: Result<Lines, _> = within(started).await;
    let text = started.expect_err("nobody gets in").to_string();
    assert!(text.contains("refused 127.0.0.1"), "{text}");
}

/// The dialer's handshake is done at once, the listener's never.
struct Slow;

impl<S: ByteStream> Protocol<S> for Slow {
    type Io = S;
    type Codec = LinesCodec;

    async fn handshake(&self, stream: S, peer: Peer) -> Result<Framed<S, LinesCodec>, BoxError> {
        if peer.side() == Side::Listener {
            std::future::pending::<()>().await;
        }
        Ok(Framed::new(stream, lines(peer)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_never_gets_ready_is_waited_for_so_long_and_no_longer() {
    let memory = Memory::new();
    let limit = Duration::from_secs(7);
    let started: Result<Lines, _> = Network::builder()
        .options(|_, node| node.transport(memory.clone()))
        .patience(limit)
        .start(2, Topology::Line, Slow)
        .await;
    match started {
        Err(NetworkError::TimedOut {
            first: 1,
            second: 0,
            after,
            ..
        }) => assert_eq!(after, limit),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whom_nobody_listens_for_is_said() {
    let mut network = start(3, Topology::Line).await;
    network.nodes[0].stop_listening().await;
    match network.connect(2, 0).await {
        Err(NetworkError::NotListening { node: 0 }) => {}
        other => panic!("{other:?}"),
    }
    match network.connect(2, 1).await {
        Err(NetworkError::Connect {
            dialer: 2,
            listener: 1,
            source: ConnectError::AlreadyConnected(peer),
        }) => assert_eq!(Some(peer), network.peer(2, 1)),
        other => panic!("{other:?}"),
    }
    finish(network).await;
}

/// A start that is dropped at any point leaves nothing that listens.
#[tokio::test]
async fn a_start_that_is_dropped_leaves_no_node_behind() {
    for polls in 0..12 {
        let (memory, addrs) = (Memory::new(), Arc::new(Mutex::new(Vec::new())));
        let start = Network::builder()
            .options(|index, node| {
                let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 1000 + index as u16));
                addrs.lock().unwrap().push(addr);
                node.transport(memory.clone()).listen(addr)
            })
            .start(3, Topology::Ring, lines);
        let started: Option<Result<Lines, _>> = common::polled(polls, start).await;
        drop(started);
        let addrs = addrs.lock().unwrap().clone();
        for addr in addrs {
            let closed = async {
                while memory.connect(addr).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            };
            soon("the address to be closed", closed).await;
            let refused = memory.connect(addr).await.map(drop).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        }
    }
}
