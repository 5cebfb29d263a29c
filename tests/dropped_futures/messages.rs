//! Futures that send or receive lose and double nothing.

use std::{
    fmt::Debug,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Sink, SinkExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
};
use wattle::{Event, Events, Inbound, Node, NodeShutDown, Outbound, Peer, PeerSink};

use super::world::Started;
use crate::common::{
    adopt, adopting,
    dropped::drop_at_every_await,
    hesitant::{Hesitant, Rhythm},
    lines, quiet, within,
};

/// A node with one connection, of which every operation waits, and room for one message in its queue.
struct Line<In> {
    node: Node<String>,
    inbound: In,
    peer: Peer,
    remote: Remote,
    rhythm: Rhythm,
}

enum Remote {
    Here(DuplexStream),
    /// Reads to the end.
    Reads(JoinHandle<String>),
}

impl Line<Inbound<String>> {
    async fn new(rhythm: Rhythm) -> Self {
        let builder = adopting::<Hesitant>().max_outbound_messages(1);
        let builder = builder.max_inbound_messages(3);
        let (node, inbound): Started = builder.start(lines).await.unwrap();
        let (ours, theirs) = duplex(1);
        let peer = adopt(&node, rhythm.stream(ours)).await;
        Self {
            node,
            inbound,
            peer,
            remote: Remote::Here(theirs),
            rhythm,
        }
    }

    /// One that reads nothing yet: a message is being written, and one fills the queue.
    async fn full(rhythm: Rhythm) -> Self {
        let line = Self::new(rhythm).await;
        for text in ["one", "two"] {
            line.node.try_send_to(text.into(), line.peer).unwrap();
            quiet().await;
        }
        let refused = line.node.try_send_to("three".into(), line.peer);
        assert!(refused.is_err(), "it has to be full");
        line
    }
}

impl<In> Line<In> {
    /// From here on the remote reads.
    fn read(&mut self) {
        let Remote::Here(stream) = &mut self.remote else {
            return;
        };
        let mut stream = std::mem::replace(stream, duplex(1).0);
        self.remote = Remote::Reads(tokio::spawn(async move {
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.unwrap();
            heard
        }));
    }

    /// All that the remote ever got; it was what was counted.
    async fn heard(mut self) -> (String, u64) {
        self.read();
        let report = within(self.node.shutdown()).await;
        let Remote::Reads(heard) = self.remote else {
            unreachable!();
        };
        let heard = within(heard).await.unwrap();
        let stats = self.node.stats();
        assert_eq!(stats.messages_out, heard.lines().count() as u64);
        assert_eq!(report.undelivered, 0);
        drop((self.inbound, self.node));
        quiet().await;
        assert_eq!(self.rhythm.streams(), 0, "streams");
        (heard, stats.undelivered)
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_send_to_has_queued_its_message_or_not_taken_it() {
    let send = async |line: &mut Line<_>| {
        line.read();
        line.node.send_to("mine".into(), line.peer).await
    };
    // With room it never waits.
    drop_at_every_await(0, Line::new, send, async |line, sent, polled| {
        assert_eq!(sent.is_some(), polled);
        let expected = if polled { "mine\n" } else { "" };
        assert_eq!(line.heard().await, (expected.to_owned(), 0));
    })
    .await;
    drop_at_every_await(1, Line::full, send, async |line, sent, _| {
        let expected = match sent {
            Some(sent) => sent.map(|()| "one\ntwo\nmine\n").unwrap(),
            None => "one\ntwo\n",
        };
        assert_eq!(line.heard().await, (expected.to_owned(), 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_dropped_takes_nobodys_room_with_it() {
    struct Two {
        line: Line<Inbound<String>>,
        other: JoinHandle<()>,
    }
    let set = async |rhythm: Rhythm| {
        let mut line = Line::full(rhythm).await;
        line.read();
        let (node, peer) = (line.node.clone(), line.peer);
        let other = tokio::spawn(async move {
            node.send_to("theirs".into(), peer).await.unwrap();
        });
        Two { line, other }
    };
    let send = async |two: &mut Two| two.line.node.send_to("mine".into(), two.line.peer).await;
    drop_at_every_await(1, set, send, async |two, sent, _| {
        within(two.other).await.unwrap();
        let (heard, undelivered) = two.line.heard().await;
        assert_eq!(undelivered, 0);
        assert!(heard.starts_with("one\ntwo\n"), "{heard:?}");
        let mut rest: Vec<_> = heard.lines().skip(2).collect();
        rest.sort_unstable();
        let expected: &[_] = match sent {
            Some(_) => &["mine", "theirs"],
            None => &["theirs"],
        };
        assert_eq!(rest, expected);
    })
    .await;
}

const COUNT: usize = 20;

/// Lets the remote write numbers, and then leave.
fn writes<In>(mut line: Line<In>) -> Line<In> {
    let Remote::Here(stream) = &mut line.remote else {
        unreachable!();
    };
    let mut stream = std::mem::replace(stream, duplex(1).0);
    line.remote = Remote::Reads(tokio::spawn(async move {
        for number in 0..COUNT {
            let line = format!("{number}\n");
            stream.write_all(line.as_bytes()).await.unwrap();
        }
        String::new()
    }));
    line
}

fn numbers() -> Vec<String> {
    (0..COUNT).map(|number| number.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_dropped_recv_has_taken_nothing() {
    let set = async |rhythm| writes(Line::new(rhythm).await);
    let recv = async |line: &mut Line<Inbound<String>>| line.inbound.recv().await;
    drop_at_every_await(1, set, recv, async |mut line, first, _| {
        let mut came: Vec<_> = first.map(|first| first.unwrap().0).into_iter().collect();
        while came.len() < COUNT {
            came.push(within(line.inbound.recv()).await.unwrap().0);
        }
        assert_eq!(came, numbers());
        assert_eq!(line.heard().await.1, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_recv_of_events_has_taken_nothing() {
    let set = async |rhythm| {
        let line = writes(Line::new(rhythm).await);
        let mut events = line.inbound.into_events();
        let first = within(events.recv()).await;
        assert!(matches!(first, Some(Event::Connected(peer)) if peer == line.peer));
        Line {
            node: line.node,
            inbound: events,
            peer: line.peer,
            remote: line.remote,
            rhythm: line.rhythm,
        }
    };
    let recv = async |line: &mut Line<Events<String>>| line.inbound.recv().await;
    drop_at_every_await(1, set, recv, async |mut line, first, _| {
        let mut came = Vec::new();
        let mut next = first;
        loop {
            let event = match next.take() {
                Some(event) => event,
                None => within(line.inbound.recv()).await,
            };
            match event.unwrap() {
                Event::Message(message, _) => came.push(message),
                Event::Disconnected(peer, _) => break assert_eq!(peer, line.peer),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(came, numbers());
        assert_eq!(line.heard().await.1, 0);
    })
    .await;
}

/// What a sink's future is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Feed,
    Send,
    Flush,
    Close,
}

const ASKS: [Ask; 4] = [Ask::Feed, Ask::Send, Ask::Flush, Ask::Close];

/// Whichever sink and future: what was fed comes once or not at all, and in order; the sink works on,
/// or, if it is `dropped` as well, what it held is counted.
async fn assert_sink_survives<K>(make: impl Fn(&Node<String>, Peer) -> K, dropped: bool)
where
    K: Sink<String, Error: Debug> + Unpin,
{
    struct Sinking<K> {
        line: Line<Inbound<String>>,
        sink: K,
    }
    for ask in ASKS {
        let set = async |rhythm: Rhythm| {
            let line = Line::full(rhythm).await;
            let sink = make(&line.node, line.peer);
            Sinking { line, sink }
        };
        let act = async |sinking: &mut Sinking<K>| {
            let Sinking { line, sink } = sinking;
            line.read();
            let mine = "mine".to_owned();
            match ask {
                Ask::Feed => sink.feed(mine).await,
                Ask::Send => sink.send(mine).await,
                Ask::Flush => flush_after("mine", sink).await,
                Ask::Close => {
                    sink.feed(mine).await.unwrap();
                    sink.close().await
                }
            }
        };
        // A sink of the node is ready at once, as long as it holds nothing.
        let least = usize::from(ask != Ask::Feed);
        drop_at_every_await(least, set, act, async |sinking, done, polled| {
            let Sinking { mut line, mut sink } = sinking;
            let finished = done.map(Result::unwrap).is_some();
            line.read();
            let mut sent = "one\ntwo\nmine\n".to_owned();
            if dropped {
                drop(sink);
                if finished && ask != Ask::Feed {
                    assert_eq!(line.node.peer_stats(line.peer).unwrap().queued, 0);
                }
            } else {
                within(sink.send("last".to_owned())).await.unwrap();
                assert_eq!(
                    line.node.peer_stats(line.peer).unwrap().queued,
                    0,
                    "flushed"
                );
                drop(sink);
                sent += "last\n";
            }
            let (heard, undelivered) = line.heard().await;
            let mine = heard.lines().filter(|&line| line == "mine").count() as u64;
            assert!(mine + undelivered <= 1, "{heard:?}, {undelivered} lost");
            assert!(mine + undelivered == 1 || !finished, "{heard:?} is all");
            assert!(mine + undelivered == 0 || polled, "nobody asked");
            let without = sent.replace("mine\n", "");
            assert!(heard == sent || heard == without, "{heard:?}");
        })
        .await;
    }
}

/// Flushes what it has fed before.
async fn flush_after<K: Sink<String, Error: Debug> + Unpin>(
    words: &str,
    sink: &mut K,
) -> Result<(), K::Error> {
    sink.feed(words.to_owned()).await?;
    sink.flush().await
}

fn of_peer(node: &Node<String>, peer: Peer) -> PeerSink<String> {
    node.peer_sink(peer).expect("it is connected")
}

fn of_node(node: &Node<String>, peer: Peer) -> ToPeer {
    ToPeer(node.outbound(), peer)
}

/// The node's sink for one peer, without the buffer that `SinkExt::with` has.
struct ToPeer(Outbound<String>, Peer);

impl Sink<String> for ToPeer {
    type Error = NodeShutDown;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NodeShutDown>> {
        self.0.poll_ready_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, text: String) -> Result<(), NodeShutDown> {
        let peer = self.1;
        self.0.start_send_unpin((text, peer))
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NodeShutDown>> {
        self.0.poll_flush_unpin(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NodeShutDown>> {
        self.0.poll_close_unpin(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn futures_of_a_peer_sink_can_be_dropped() {
    assert_sink_survives(of_peer, false).await;
}

#[tokio::test(start_paused = true)]
async fn futures_of_a_peer_sink_can_be_dropped_with_it() {
    assert_sink_survives(of_peer, true).await;
}

#[tokio::test(start_paused = true)]
async fn futures_of_the_nodes_sink_can_be_dropped() {
    assert_sink_survives(of_node, false).await;
}

#[tokio::test(start_paused = true)]
async fn futures_of_the_nodes_sink_can_be_dropped_with_it() {
    assert_sink_survives(of_node, true).await;
}
