//! Two nodes in memory whose every operation waits, and what has to be true of them at all times.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{
    BoxError, Disconnect, Event, Events, Inbound, Node, Peer, Protocol, transport::ByteStream,
};

use crate::common::{
    hesitant::{HesitantNetwork, Rhythm},
    quiet, within,
};

pub(crate) type Started = (Node<String>, Inbound<String>);

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Two exchanges each way, so that there are places where it can be dropped.
pub(crate) struct Polite;

const GREETINGS: [&str; 2] = ["good day", "how do you do"];

impl Polite {
    /// Says all that it has to say.
    pub(crate) async fn greet(stream: &mut DuplexStream) {
        for greeting in GREETINGS {
            let line = format!("{greeting}\n");
            within(stream.write_all(line.as_bytes())).await.unwrap();
        }
    }
}

impl<S: ByteStream> Protocol<S> for Polite {
    type Io = S;
    type Codec = LinesCodec;

    async fn handshake(&self, stream: S, _: Peer) -> Result<Framed<S, LinesCodec>, BoxError> {
        let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(64));
        for greeting in GREETINGS {
            lines.send(greeting).await?;
            let theirs = lines.next().await.ok_or("left")??;
            if theirs != greeting {
                return Err("rude".into());
            }
        }
        Ok(lines)
    }
}

/// The life of connections as it was told.
#[derive(Default)]
pub(crate) struct Books(BTreeMap<Peer, Vec<&'static str>>);

impl Books {
    fn enter(&mut self, event: &Event<String>) {
        let (peer, what) = match event {
            Event::Connected(peer) => (peer, "connected"),
            Event::Message(_, peer) => (peer, "message"),
            Event::Disconnected(peer, _) => (peer, "disconnected"),
            Event::HandshakeFailed(peer, _) => (peer, "failed"),
            _ => return,
        };
        self.0.entry(*peer).or_default().push(what);
    }

    /// Every connection that came has gone, and nothing was told before or after.
    pub(crate) fn assert_paired(&self) {
        for (peer, life) in &self.0 {
            match &life[..] {
                ["failed"] => {}
                ["connected", between @ .., "disconnected"] => {
                    let messages = between.iter().all(|&what| what == "message");
                    assert!(messages, "{peer}: {life:?}");
                }
                _ => panic!("{peer}: {life:?}"),
            }
        }
    }

    fn count(&self, what: &str) -> u64 {
        self.0.values().flatten().filter(|&&w| w == what).count() as u64
    }
}

/// A node, and what it has told.
pub(crate) struct End {
    pub(crate) node: Node<String>,
    events: Events<String>,
    pub(crate) books: Books,
    /// What was told while waiting for something else.
    seen: VecDeque<Event<String>>,
}

impl End {
    /// With room for two, one of them pending.
    async fn start(network: &HesitantNetwork) -> Self {
        let builder = Node::builder().transport(network.clone()).listen(ANY);
        let builder = builder.max_connections(2).max_pending(1);
        let (node, inbound): Started = within(builder.start(Polite)).await.unwrap();
        Self {
            node,
            events: inbound.into_events(),
            books: Books::default(),
            seen: VecDeque::new(),
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.node.local_addr().expect("it listens")
    }

    /// The next thing it tells.
    pub(crate) async fn next(&mut self) -> Option<Event<String>> {
        let event = within(self.events.recv()).await?;
        self.books.enter(&event);
        Some(event)
    }

    /// What it tells of a kind, now or before.
    async fn find<T>(&mut self, wanted: impl Fn(&Event<String>) -> Option<T>) -> T {
        if let Some(index) = self.seen.iter().position(|event| wanted(event).is_some()) {
            return wanted(&self.seen.remove(index).unwrap()).unwrap();
        }
        loop {
            let event = self.next().await.expect("it should be told");
            match wanted(&event) {
                Some(found) => return found,
                None => self.seen.push_back(event),
            }
        }
    }

    pub(crate) async fn hears(&mut self, words: &str) -> Peer {
        let message = |event: &Event<String>| match event {
            Event::Message(heard, peer) if heard == words => Some(*peer),
            _ => None,
        };
        self.find(message).await
    }

    pub(crate) async fn ending(&mut self, of: Peer) -> Disconnect {
        let ending = |event: &Event<String>| match event {
            Event::Disconnected(peer, end) if *peer == of => Some(end.clone()),
            _ => None,
        };
        self.find(ending).await
    }

    /// Reads to the end, and compares what was told with what was counted.
    async fn close(&mut self) {
        while self.next().await.is_some() {}
        self.books.assert_paired();
        let stats = self.node.stats();
        assert_eq!(stats.connections, 0);
        assert_eq!(stats.connected, self.books.count("connected"));
        assert_eq!(stats.disconnected, self.books.count("disconnected"));
        assert_eq!(stats.messages_in, self.books.count("message"));
        assert_eq!(stats.undelivered, 0);
    }
}

/// Bob and Alice both listen; she has dialled him, and this connection is the bystander.
pub(crate) struct World {
    pub(crate) network: HesitantNetwork,
    pub(crate) alice: End,
    pub(crate) bob: End,
    pub(crate) listening_at: [SocketAddr; 2],
    /// A peer that the test is about.
    pub(crate) peer: Option<Peer>,
    bystander: Peer,
    rhythm: Rhythm,
}

impl World {
    pub(crate) async fn new(rhythm: Rhythm) -> Self {
        let network = HesitantNetwork::new(rhythm.clone());
        let alice = End::start(&network).await;
        let bob = End::start(&network).await;
        let bystander = within(alice.node.connect(bob.addr())).await.unwrap();
        let listening_at = [alice.addr(), bob.addr()];
        quiet().await;
        Self {
            network,
            alice,
            bob,
            listening_at,
            peer: None,
            bystander,
            rhythm,
        }
    }

    /// Bob has the bystander and this peer, and nobody else; so has Alice.
    pub(crate) async fn bob_is_connected(&mut self, peer: Peer) {
        quiet().await;
        let peers = self.bob.node.peers();
        assert!(peers.contains(&peer) && peers.len() == 2, "{peers:?}");
        assert_eq!(self.alice.node.peers().len(), 2);
        assert_eq!(self.bob.node.stats().connections, 2);
        within(self.bob.node.disconnect(peer)).await.unwrap();
    }

    /// The bystander is the only connection, and has the only streams.
    pub(crate) async fn nobody_came(&self) {
        assert_eq!(self.bob.node.peers().len(), 1);
        quiet().await;
        for end in [&self.alice, &self.bob] {
            let stats = end.node.stats();
            assert_eq!((end.node.peers().len(), stats.connections), (1, 1));
        }
        assert_eq!(self.rhythm.streams(), 2, "streams");
    }

    /// Whoever looked whether Alice listens is gone.
    pub(crate) async fn knocked(&mut self) {
        let gone = |event: &Event<String>| {
            matches!(event, Event::HandshakeFailed(..) | Event::Refused(..)).then_some(())
        };
        self.alice.find(gone).await;
    }

    /// The bystander works both ways, and so does another connection, for which there is room; in the
    /// end nothing is left.
    pub(crate) async fn assert_well(mut self) {
        let bystander = self.bystander;
        self.echo(bystander).await;
        quiet().await;
        let addr = match self.alice.node.local_addr() {
            Some(addr) => addr,
            None => within(self.alice.node.listen(ANY)).await.unwrap(),
        };
        let newcomer = within(self.bob.node.connect(addr)).await;
        let newcomer = newcomer.expect("there is room");
        let sent = self.bob.node.send_to("hello".into(), newcomer);
        within(sent).await.unwrap();
        let from = self.alice.hears("hello").await;
        within(self.alice.node.send_to("hello yourself".into(), from))
            .await
            .unwrap();
        assert_eq!(self.bob.hears("hello yourself").await, newcomer);
        self.end().await;
    }

    async fn echo(&mut self, bystander: Peer) {
        let sent = self.alice.node.send_to("well?".into(), bystander);
        within(sent).await.unwrap();
        let from = self.bob.hears("well?").await;
        within(self.bob.node.send_to("well.".into(), from))
            .await
            .unwrap();
        assert_eq!(self.alice.hears("well.").await, bystander);
    }

    pub(crate) async fn end(mut self) {
        let both = futures::future::join(self.alice.node.shutdown(), self.bob.node.shutdown());
        let (alice, bob) = within(both).await;
        assert!(alice.is_clean() && bob.is_clean(), "{alice}; {bob}");
        self.alice.close().await;
        self.bob.close().await;
        drop((self.alice, self.bob));
        quiet().await;
        assert_eq!(self.rhythm.streams(), 0, "streams");
    }
}
