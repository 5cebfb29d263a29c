//! Two nodes with a connection between them, over TCP, whatever they speak.

use std::{fmt::Debug, net::SocketAddr};

use bytes::Bytes;
use tokio_util::codec::{Decoder, Encoder};
use wattle::{BoxError, Builder, Disconnect, Event, Events, Node, Peer, Protocol};

use super::{ending, finish_events, next_event, soon, within};

/// The sizes of messages that every codec has to carry: some none, some larger than any buffer.
pub(crate) const SIZES: [usize; 4] = [0, 1, 1024, 200 * 1024];

/// A node that speaks a protocol over TCP, and its events.
pub(crate) async fn start<P, Out>(
    builder: Builder,
    protocol: P,
) -> (Node<Out>, Events<<P::Codec as Decoder>::Item>)
where
    P: Protocol,
    P::Codec: Encoder<Out, Error: Into<BoxError>>,
    Out: Send + 'static,
{
    let (node, inbound) = within(builder.start(protocol)).await.expect("a node");
    (node, inbound.into_events())
}

/// The same for one that listens on a free port.
pub(crate) async fn serve<P, Out>(
    builder: Builder,
    protocol: P,
) -> (Node<Out>, Events<<P::Codec as Decoder>::Item>, SocketAddr)
where
    P: Protocol,
    P::Codec: Encoder<Out, Error: Into<BoxError>>,
    Out: Send + 'static,
{
    let (node, events) = start(builder.listen("127.0.0.1:0"), protocol).await;
    let addr = node.local_addr().expect("it listens");
    (node, events, addr)
}

/// Who has just connected.
pub(crate) async fn connected<In: Debug>(events: &mut Events<In>) -> Peer {
    match next_event(events).await {
        Event::Connected(peer) => peer,
        other => panic!("expected `Connected`, got {other:?}"),
    }
}

/// The next event, which has to be a message of this peer.
pub(crate) async fn message<In: Debug>(events: &mut Events<In>, from: Peer) -> In {
    match next_event(events).await {
        Event::Message(message, peer) if peer == from => message,
        other => panic!("expected a message of {from}, got {other:?}"),
    }
}

/// A node and its one connection.
pub(crate) struct End<Out, In> {
    pub(crate) node: Node<Out>,
    pub(crate) events: Events<In>,
    pub(crate) peer: Peer,
}

impl<Out: Clone + Send + 'static, In: Debug> End<Out, In> {
    /// Sends these, while the same number of messages comes; tells what came.
    pub(crate) async fn exchange(&mut self, messages: &[Out]) -> Vec<In> {
        let Self { node, events, peer } = self;
        let send = async {
            for message in messages {
                let sent = node.send_to(message.clone(), *peer).await;
                sent.expect("it is connected");
            }
        };
        let receive = async {
            let mut came = Vec::new();
            for _ in messages {
                came.push(message(events, *peer).await);
            }
            came
        };
        soon("all messages", async { tokio::join!(receive, send).0 }).await
    }

    pub(crate) async fn say(&self, message: impl Into<Out>) {
        let sent = self.node.send_to(message.into(), self.peer);
        assert!(within(sent).await.is_ok(), "it is connected");
    }

    /// The next message.
    pub(crate) async fn hear(&mut self) -> In {
        message(&mut self.events, self.peer).await
    }

    /// How the connection ended; what comes before is skipped.
    pub(crate) async fn ending(&mut self) -> Disconnect {
        ending(&mut self.events, self.peer).await
    }

    /// Shuts the node down, and asserts that nothing is left of it.
    pub(crate) async fn finish(self) {
        finish_events(&self.node, self.events).await;
    }
}

/// A node that dials this address, and its connection.
pub(crate) async fn dial<P, Out>(
    protocol: P,
    addr: SocketAddr,
) -> End<Out, <P::Codec as Decoder>::Item>
where
    P: Protocol,
    P::Codec: Decoder<Item: Debug> + Encoder<Out, Error: Into<BoxError>>,
    Out: Send + 'static,
{
    let (node, mut events) = start(Node::builder(), protocol).await;
    let peer = within(node.connect(addr)).await.expect("a connection");
    assert_eq!(connected(&mut events).await, peer);
    End { node, events, peer }
}

/// A connection between a node that speaks the one and a node that speaks the other; the first dials.
pub(crate) async fn pair<D, L, DOut, LOut>(
    dialer: D,
    listener: L,
) -> (
    End<DOut, <D::Codec as Decoder>::Item>,
    End<LOut, <L::Codec as Decoder>::Item>,
)
where
    D: Protocol,
    L: Protocol,
    D::Codec: Decoder<Item: Debug> + Encoder<DOut, Error: Into<BoxError>>,
    L::Codec: Decoder<Item: Debug> + Encoder<LOut, Error: Into<BoxError>>,
    DOut: Send + 'static,
    LOut: Send + 'static,
{
    let (node, mut events, addr) = serve(Node::builder(), listener).await;
    let dialer = dial(dialer, addr).await;
    let peer = connected(&mut events).await;
    (dialer, End { node, events, peer })
}

/// Asserts that messages arrive in order when both ends send at the same time, and that both nodes
/// end cleanly.
pub(crate) async fn assert_carries<P, T>(protocol: P, messages: &[T])
where
    P: Protocol + Clone,
    P::Codec: Decoder<Item = T> + Encoder<T, Error: Into<BoxError>>,
    T: Clone + Debug + PartialEq + Send + 'static,
{
    let (mut dialer, mut listener): (End<T, T>, End<T, T>) = pair(protocol.clone(), protocol).await;
    let (forth, back) = tokio::join!(listener.exchange(messages), dialer.exchange(messages));
    assert!(forth == messages && back == messages, "not what was sent");
    for end in [&dialer, &listener] {
        let stats = end.node.stats();
        let sent = messages.len() as u64;
        assert_eq!((stats.messages_in, stats.messages_out), (sent, sent));
    }
    dialer.finish().await;
    listener.finish().await;
}

/// Letters and spaces, so many, that tell one message from another.
pub(crate) fn text(size: usize, number: usize) -> String {
    let letter = |i: usize| match (i + number) % 27 {
        26 => ' ',
        n => char::from(b'a' + n as u8),
    };
    (0..size).map(letter).collect()
}

/// Messages of all [`SIZES`], several times over.
pub(crate) fn payloads() -> Vec<Bytes> {
    let sizes = SIZES.iter().cycle().take(3 * SIZES.len()).enumerate();
    sizes.map(|(i, &size)| text(size, i).into()).collect()
}
