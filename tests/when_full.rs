//! What becomes of a message whose peer's queue is full, by policy: nothing is lost in silence.

use std::{fmt::Debug, ops::Range};

use futures::{Sink, SinkExt};
use tokio::io::DuplexStream;
use wattle::{Builder, Disconnect, Event, Events, Node, NotSent, Peer, Reason, WhenFull};

mod common;
#[path = "when_full/disconnecting.rs"]
mod disconnecting;
#[path = "when_full/dropping.rs"]
mod dropping;
#[path = "when_full/flushing.rs"]
mod flushing;

use common::{
    Duplex, ending, expect_text, finish_events, in_memory, join, next_event, quiet, read_text,
    shut_down, soon, start_lines, within,
};

/// A node with one peer that reads nothing. The task is stuck in the middle of its first message; the
/// queue is empty and has room for four.
struct Stuck {
    node: Node<String>,
    events: Events<String>,
    peer: Peer,
    remote: DuplexStream,
    /// Messages whose loss was reported.
    reported: u64,
}

const ROOM: u64 = 4;

/// What the task is stuck with: the write buffer takes this one, and the remote only its beginning.
const FIRST: &str = "first message";

async fn stuck(builder: Builder<Duplex>) -> Stuck {
    let (node, inbound) = start_lines(builder.write_boundary(1)).await;
    let mut events = inbound.into_events();
    let (peer, remote) = join(&node, 4).await;
    assert!(matches!(next_event(&mut events).await, Event::Connected(_)));
    within(node.send_to(FIRST.to_owned(), peer)).await.unwrap();
    quiet().await;
    Stuck {
        node,
        events,
        peer,
        remote,
        reported: 0,
    }
}

fn room_for(messages: usize) -> Builder<Duplex> {
    in_memory().max_outbound_messages(messages)
}

/// These numbers, as messages.
fn numbers(which: Range<u64>) -> impl Iterator<Item = String> {
    which.map(|n| n.to_string())
}

/// Feeds a sink with all of them.
async fn feed<T, S: Sink<T, Error: Debug> + Unpin>(
    sink: &mut S,
    messages: impl IntoIterator<Item = T>,
) {
    for (n, message) in messages.into_iter().enumerate() {
        let fed = soon(&format!("message {n} is fed"), sink.feed(message)).await;
        fed.unwrap_or_else(|error| panic!("message {n}: {error:?}"));
    }
}

impl Stuck {
    async fn under(policy: WhenFull) -> Self {
        stuck(room_for(ROOM as usize).when_full(policy)).await
    }

    /// The numbers below this one, to the peer.
    fn addressed(&self, below: u64) -> impl Iterator<Item = (String, Peer)> {
        let peer = self.peer;
        numbers(0..below).map(move |text| (text, peer))
    }

    /// Sends the numbers below this one, none of which is refused.
    async fn send(&self, below: u64) {
        for (text, peer) in self.addressed(below) {
            let sent = soon(&format!("{text} is sent"), self.node.send_to(text, peer)).await;
            sent.unwrap_or_else(|error| panic!("{}: {error}", error.message));
        }
    }

    /// Why a message is refused, which comes back then.
    async fn given_back(&self) -> NotSent {
        let refused = within(self.node.send_to("more".to_owned(), self.peer)).await;
        let error = refused.unwrap_err();
        assert_eq!(error.message, "more");
        error.reason
    }

    /// Expects the connection to end because its queue was full, with so many messages undelivered.
    async fn expect_overflow(&mut self, undelivered: u64) -> Disconnect {
        let ended = ending(&mut self.events, self.peer).await;
        assert!(matches!(ended.reason, Reason::QueueFull), "{ended}");
        assert_eq!(ended.undelivered, undelivered, "{ended}");
        assert_eq!(self.node.stats().undelivered, undelivered);
        ended
    }

    fn dropped(&self) -> u64 {
        self.node.peer_stats(self.peer).unwrap().dropped
    }

    /// Expects the report of so many more dropped messages, in one event or several.
    async fn expect_dropped(&mut self, more: u64) {
        let expected = self.reported + more;
        while self.reported < expected {
            match next_event(&mut self.events).await {
                Event::Dropped(peer, more) => {
                    assert_eq!(peer, self.peer);
                    self.reported += more;
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        assert_eq!(self.reported, expected);
        assert_eq!(self.dropped(), expected);
        assert_eq!(self.node.stats().dropped, expected);
    }

    /// Lets the remote read on, and asserts what it reads behind the first message.
    async fn expect_lines(self, lines: Range<u64>) {
        self.expect_lines_and(numbers(lines), []).await;
    }

    async fn expect_lines_and<'a>(
        self,
        lines: impl IntoIterator<Item = String>,
        more: impl IntoIterator<Item = &'a str>,
    ) {
        let lines = lines.into_iter().chain(more.into_iter().map(str::to_owned));
        let lines: Vec<_> = lines.map(|line| line + "\n").collect();
        let written = lines.len() as u64 + 1;
        let dropped = self.dropped();
        let expected = format!("{FIRST}\n{}", lines.concat());
        let Self {
            node,
            events,
            mut remote,
            peer,
            ..
        } = self;
        expect_text(&mut remote, &expected).await;
        // What was dropped doesn't hold up a flush, and isn't counted as sent.
        let mut sink = node.peer_sink(peer).unwrap();
        within(sink.flush()).await.unwrap();
        let stats = node.peer_stats(peer).unwrap();
        assert_eq!((stats.messages_out, stats.queued), (written, 0));
        drop((remote, sink));
        finish_events(&node, events).await;
        let stats = node.stats();
        assert_eq!((stats.messages_out, stats.dropped), (written, dropped));
        assert_eq!(stats.undelivered, 0);
    }
}
