//! Nodes and scripts on many hosts of a network in memory.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use futures::future;
use tokio_util::codec::LinesCodec;
use wattle::{
    Builder, ConnectError, Event, Events, Node, Reason,
    testing::{Memory, Script},
};

mod common;

use common::{finish_events, next_event, within};

async fn start(builder: Builder<Memory>) -> (Node<String>, Events<String>) {
    let (node, inbound) = within(builder.start(common::lines)).await.expect("a node");
    (node, inbound.into_events())
}

/// In the network, what the operating system has for addresses means nothing: for that, all of these are this host.
#[tokio::test(start_paused = true)]
async fn a_node_on_a_wildcard_dials_others_on_the_same_port_and_not_itself() {
    let memory = Memory::new();
    let mut nodes = Vec::new();
    for host in ["127.0.0.1", "127.0.0.2"] {
        let host: IpAddr = host.parse().unwrap();
        let builder = Node::builder().transport(memory.at(host));
        nodes.push(start(builder.listen("0.0.0.0:7")).await);
    }
    let node = &nodes[0].0;
    let error = within(node.connect("127.0.0.1:7")).await.unwrap_err();
    assert!(matches!(error, ConnectError::SelfConnect(_)), "{error}");
    let peer = within(node.connect("127.0.0.2:7")).await.unwrap();
    assert_eq!(node.peers(), [peer]);
    for (node, events) in nodes {
        finish_events(&node, events).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_is_played_by_many_peers_at_once_each_on_a_host_of_its_own() {
    const PEERS: usize = 300;
    let memory = Memory::new();
    let builder = Node::builder().transport(memory.at([10, 0, 0, 1]));
    let (node, mut events) = start(builder.listen("10.0.0.1:7")).await;
    let codec = |_| LinesCodec::new_with_max_length(80);
    let peer = Script::over(memory.at([10, 0, 0, 2]), codec);
    let peer = peer.send("here").expect("all are").reset();
    let all_are_there = async {
        let mut peers = Vec::new();
        while peers.len() < PEERS {
            match next_event(&mut events).await {
                Event::Connected(_) => {}
                Event::Message(_, peer) => peers.push(peer),
                event => panic!("unexpected {event:?}"),
            }
        }
        for &peer in &peers {
            node.send_to("all are".to_owned(), peer).await.unwrap();
        }
        peers
    };
    let dialing = peer.dial("10.0.0.1:7".parse().unwrap());
    let (played, peers) = within(future::join(dialing.play_times(PEERS), all_are_there)).await;
    let played: Result<Vec<_>, _> = played.into_iter().collect();
    assert_eq!(played.unwrap().len(), PEERS);
    let hosts: BTreeSet<_> = peers.iter().map(|peer| peer.addr().ip()).collect();
    let first = Ipv4Addr::new(127, 0, 1, 1).to_bits();
    let expected = (first..)
        .take(PEERS)
        .map(|bits| Ipv4Addr::from_bits(bits).into());
    assert_eq!(hosts, expected.collect());
    for _ in 0..PEERS {
        match next_event(&mut events).await {
            Event::Disconnected(_, why) => assert!(matches!(why.reason, Reason::Reset(_)), "{why}"),
            event => panic!("unexpected {event:?}"),
        }
    }
    finish_events(&node, events).await;
}
