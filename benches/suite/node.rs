//! wattle, as one uses it: `Node`, `Inbound`, `PeerSink`, `broadcast`.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::{
    sync::Barrier,
    task::{JoinHandle, JoinSet},
};
use tokio_util::codec::LengthDelimitedCodec;
use wattle::{Event, Inbound, Node, PeerSink};

use super::{
    flow::{self, Flow},
    spread::{self, End, Receiver, Senders},
    visits::{Gone, Heard, Remotes, Visits},
};

pub(crate) type Started = (Node<Bytes>, Inbound<BytesMut>);

pub(crate) async fn start() -> Started {
    let started = Node::builder().start(|_| LengthDelimitedCodec::new());
    started.await.expect("start")
}

pub(crate) async fn listen() -> (Started, SocketAddr) {
    let builder = Node::builder().listen("127.0.0.1:0");
    let started: Started = builder
        .start(|_| LengthDelimitedCodec::new())
        .await
        .expect("start");
    let addr = started.0.local_addr().expect("it listens");
    (started, addr)
}

/// A node per sender; one receives.
pub(crate) async fn many_to_one(flow: Flow) -> Duration {
    let ((receiver, mut inbound), addr) = listen().await;
    let start_all = Arc::new(Barrier::new(flow.connections + 1));
    let mut senders = JoinSet::new();
    for _ in 0..flow.connections {
        let (node, inbound) = start().await;
        let peer = node.connect(addr).await.expect("it listens");
        let sink = node.peer_sink(peer).expect("connected");
        let start_all = start_all.clone();
        senders.spawn(async move {
            start_all.wait().await;
            feed(sink, flow).await;
            (node, inbound)
        });
    }
    let received = tokio::spawn(async move {
        for _ in 0..flow.total() {
            inbound.recv().await.expect("a message");
        }
    });
    start_all.wait().await;
    let began = Instant::now();
    received.await.expect("no panic");
    let took = began.elapsed();
    for (sender, _inbound) in senders.join_all().await {
        sender.shutdown().await;
    }
    receiver.shutdown().await;
    took
}

/// One node sends, with a sink and a task per receiver; the receivers have nodes of their own.
pub(crate) async fn one_to_many(flow: Flow) -> Duration {
    let (sender, _inbound) = start().await;
    let mut receivers = Receivers::connected_to(&sender, flow).await;
    let start_all = Arc::new(Barrier::new(flow.connections + 1));
    let mut feeding = JoinSet::new();
    for peer in sender.peers() {
        let sink = sender.peer_sink(peer).expect("connected");
        let start_all = start_all.clone();
        feeding.spawn(async move {
            start_all.wait().await;
            feed(sink, flow).await;
        });
    }
    start_all.wait().await;
    let began = Instant::now();
    receivers.have_all().await;
    let took = began.elapsed();
    feeding.join_all().await;
    receivers.shut_down().await;
    sender.shutdown().await;
    took
}

/// One node tells all: `broadcast`, and who had no room is waited for.
pub(crate) async fn broadcast(flow: Flow) -> Duration {
    let (sender, _inbound) = start().await;
    let mut receivers = Receivers::connected_to(&sender, flow).await;
    let payload = flow.payload();
    let began = Instant::now();
    for _ in 0..flow.messages {
        for peer in sender.broadcast(payload.clone()).full {
            sender
                .send_to(payload.clone(), peer)
                .await
                .expect("connected");
        }
    }
    receivers.have_all().await;
    let took = began.elapsed();
    receivers.shut_down().await;
    sender.shutdown().await;
    took
}

async fn feed(mut sink: PeerSink<Bytes>, flow: Flow) {
    let payload = flow.payload();
    for _ in 0..flow.messages {
        sink.feed(payload.clone()).await.expect("feed");
    }
    sink.flush().await.expect("flush");
}

/// Nodes that receive what one sends to each.
struct Receivers {
    nodes: Vec<Node<Bytes>>,
    receiving: JoinSet<Inbound<BytesMut>>,
}

impl Receivers {
    async fn connected_to(sender: &Node<Bytes>, flow: Flow) -> Self {
        let (mut nodes, mut receiving) = (Vec::new(), JoinSet::new());
        for _ in 0..flow.connections {
            let ((node, mut inbound), addr) = listen().await;
            sender.connect(addr).await.expect("it listens");
            nodes.push(node);
            receiving.spawn(async move {
                for _ in 0..flow.messages {
                    inbound.recv().await.expect("a message");
                }
                inbound
            });
        }
        Self { nodes, receiving }
    }

    async fn have_all(&mut self) {
        while let Some(received) = self.receiving.join_next().await {
            received.expect("no panic");
        }
    }

    async fn shut_down(self) {
        for node in self.nodes {
            node.shutdown().await;
        }
    }
}

/// How long each of so many messages took to a node and back; beside a bulk transfer to it, if told so.
pub(crate) async fn ping(pings: usize, busy: bool) -> Vec<Duration> {
    let ((server, mut heard), addr) = listen().await;
    let answering = server.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some((message, peer)) = heard.recv().await {
            if message.len() == flow::PING.len() {
                answering
                    .send_to(message.freeze(), peer)
                    .await
                    .expect("connected");
            }
        }
    });
    let (bulk, _inbound) = start().await;
    if busy {
        let peer = bulk.connect(addr).await.expect("it listens");
        let mut sink = bulk.peer_sink(peer).expect("connected");
        tasks.spawn(
            async move { while sink.feed(Bytes::from_static(&flow::BULK)).await.is_ok() {} },
        );
    }
    let (client, mut answers) = start().await;
    let peer = client.connect(addr).await.expect("it listens");
    let mut took = Vec::new();
    for _ in 0..pings {
        let began = Instant::now();
        let sent = client.send_to(Bytes::from_static(&flow::PING), peer).await;
        sent.expect("connected");
        answers.recv().await.expect("an answer");
        took.push(began.elapsed());
    }
    drop(tasks);
    for node in [client, bulk, server] {
        node.shutdown().await;
    }
    took
}

/// How long each of so many messages took along so many hops.
pub(crate) async fn chain(hops: usize, passes: usize) -> Vec<Duration> {
    let ((last, mut arrivals), mut next) = listen().await;
    let mut nodes = vec![last];
    let mut tasks = JoinSet::new();
    for _ in 1..hops {
        let ((node, inbound), addr) = listen().await;
        let peer = node.connect(next).await.expect("it listens");
        let onward = inbound.map(move |(message, _)| Ok((message.freeze(), peer)));
        tasks.spawn(onward.forward(node.outbound()));
        next = addr;
        nodes.push(node);
    }
    let (first, _inbound) = start().await;
    let peer = first.connect(next).await.expect("it listens");
    let mut took = Vec::new();
    for _ in 0..passes {
        let began = Instant::now();
        let sent = first.send_to(Bytes::from_static(&flow::PING), peer).await;
        sent.expect("connected");
        arrivals.recv().await.expect("it comes");
        took.push(began.elapsed());
    }
    drop(tasks);
    nodes.push(first);
    for node in nodes {
        node.shutdown().await;
    }
    took
}

/// Who receives stamped messages: where, and how old they were.
pub(crate) async fn ages() -> (SocketAddr, JoinHandle<Vec<Duration>>) {
    let ((node, inbound), addr) = listen().await;
    let mut events = inbound.into_events();
    let receiving = tokio::spawn(async move {
        let (mut ages, mut open) = (Vec::new(), 0);
        while let Some(event) = events.recv().await {
            match event {
                Event::Message(message, _) => ages.extend(flow::age(&message)),
                Event::Connected(_) => open += 1,
                Event::Disconnected(..) => open -= 1,
                _ => {}
            }
            if open == 0 {
                break;
            }
        }
        node.shutdown().await;
        ages
    });
    (addr, receiving)
}

/// Receives so many messages over so many connections.
pub(crate) async fn receive(connections: usize, messages: usize) -> Receiver {
    let builder = Node::builder()
        .listen("127.0.0.1:0")
        .max_connections(connections)
        .max_pending(connections);
    let (node, mut inbound): Started = builder
        .start(|_| LengthDelimitedCodec::new())
        .await
        .expect("start");
    let addr = node.local_addr().expect("it listens");
    let receiving = tokio::spawn(async move {
        for _ in 0..messages {
            inbound.recv().await.expect("a message");
        }
        End::new(async move {
            node.shutdown().await;
        })
    });
    (addr, receiving)
}

/// Sends so many messages, a part of them to each of these addresses.
pub(crate) async fn send(addrs: Vec<SocketAddr>, messages: usize) -> Senders {
    // Nobody waits at the end for a peer that takes nothing: what is measured next begins right away.
    let builder = Node::builder()
        .max_connections(addrs.len())
        .drain_timeout(Duration::from_millis(1));
    let (node, inbound): Started = builder
        .start(|_| LengthDelimitedCodec::new())
        .await
        .expect("start");
    let ending = node.clone();
    let mut senders = Senders::new(addrs.len(), async move {
        ending.shutdown().await;
        drop(inbound);
    });
    for addr in &addrs {
        let peer = node.connect(addr).await.expect("it listens");
        let sink = node.peer_sink(peer).expect("connected");
        senders.add(spread::send(sink, messages / addrs.len()));
    }
    senders
}

/// How connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// When both sides have closed.
    Gracefully,
    /// Without waiting for the remote.
    AtOnce,
}

/// A client, who may connect again while its last connection is still ending.
async fn visitor() -> Started {
    let builder = Node::builder().allow_duplicates(true);
    let started = builder.start(|_| LengthDelimitedCodec::new()).await;
    started.expect("start")
}

/// Clients that connect, say one thing, and leave when it was heard.
pub(crate) async fn visit(visits: Visits, leave: Leave) -> Duration {
    let heard = Heard::of(visits.clients);
    let ((server, mut inbound), addr) = listen().await;
    let mut clients = Vec::new();
    for client in 0..visits.clients {
        let ((node, inbound), heard) = (visitor().await, heard.clone());
        clients.push(async move {
            for _ in 0..visits.each {
                let peer = node.connect(addr).await.expect("it listens");
                let sent = node.send_to(Heard::message(client), peer).await;
                sent.expect("connected");
                heard.has(client).await;
                if leave == Leave::AtOnce {
                    node.abort(peer);
                } else {
                    node.disconnect(peer).await.expect("connected");
                }
            }
            (node, inbound)
        });
    }
    let hearing = tokio::spawn(async move {
        while let Some((message, _)) = inbound.recv().await {
            heard.note(&message);
        }
    });
    let (took, clients) = Visits::time(clients).await;
    for (node, _inbound) in clients {
        node.shutdown().await;
    }
    server.shutdown().await;
    hearing.await.expect("no panic");
    took
}

/// So many nodes, one after the other.
pub(crate) async fn start_many(nodes: usize) -> Duration {
    let (mut started, began) = (Vec::new(), Instant::now());
    for _ in 0..nodes {
        started.push(listen().await.0);
    }
    let took = began.elapsed();
    for (node, _inbound) in started {
        node.shutdown().await;
    }
    took
}

/// The shutdown of so many nodes with so many connections each, one node after the other.
pub(crate) async fn shutdown(
    nodes: usize,
    connections: usize,
    gone: Gone,
    leave: Leave,
) -> Duration {
    let remotes = Remotes::new(connections).await;
    let mut took = Duration::ZERO;
    for _ in 0..nodes {
        let ((node, _inbound), _) = listen().await;
        for addr in &remotes.addrs {
            node.connect(*addr).await.expect("it listens");
        }
        let shutdown = async {
            if leave == Leave::AtOnce {
                for peer in node.peers() {
                    node.abort(peer);
                }
            }
            node.shutdown().await
        };
        took += remotes.time(shutdown, gone).await;
    }
    took
}
