//! What becomes of a message whose peer's queue is full, by policy: nothing is lost in silence.

mod common;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use common::{
    Memory, ending, expect_text, finish_events, in_memory, join, next_event, quiet, read_text,
    shut_down, start_lines, within,
};
use futures::{FutureExt, SinkExt};
use tokio::io::DuplexStream;
use tokio_util::{
    bytes::BytesMut,
    codec::{Decoder, Encoder, LinesCodec, LinesCodecError},
};
use wattle::{
    Builder, Event, Events, Initiator, Node, NotSent, Peer, PeerGone, PeerSink, Reason, WhenFull,
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

async fn stuck(builder: Builder<Memory>) -> Stuck {
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

fn room_for(messages: usize) -> Builder<Memory> {
    in_memory().max_outbound_messages(messages)
}

impl Stuck {
    async fn under(policy: WhenFull) -> Self {
        stuck(room_for(ROOM as usize).when_full(policy)).await
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
    async fn expect_lines(self, lines: impl IntoIterator<Item = u64>) {
        let lines = lines.into_iter().map(|n| n.to_string());
        self.expect_lines_and(lines, []).await;
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

#[tokio::test(start_paused = true)]
async fn reject_gives_the_message_back() {
    let stuck = Stuck::under(WhenFull::Reject).await;
    for n in 0..ROOM {
        within(stuck.node.send_to(n.to_string(), stuck.peer))
            .await
            .unwrap();
    }
    let error = within(stuck.node.send_to("more".to_owned(), stuck.peer))
        .await
        .unwrap_err();
    assert_eq!(
        (error.reason, error.message),
        (NotSent::Full, "more".to_owned())
    );
    assert_eq!(stuck.node.broadcast("more".to_owned()).full, [stuck.peer]);
    assert_eq!(stuck.dropped(), 0);
    stuck.expect_lines(0..ROOM).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_sink_what_is_rejected_is_dropped_and_reported() {
    let mut stuck = Stuck::under(WhenFull::Reject).await;
    let mut outbound = stuck.node.outbound();
    for n in 0..ROOM + 3 {
        within(outbound.feed((n.to_string(), stuck.peer)))
            .await
            .unwrap();
    }
    stuck.expect_dropped(3).await;
    stuck.expect_lines(0..ROOM).await;
}

#[tokio::test(start_paused = true)]
async fn drop_newest_loses_what_comes_when_there_is_no_room() {
    let mut stuck = Stuck::under(WhenFull::DropNewest).await;
    for n in 0..10 {
        within(stuck.node.send_to(n.to_string(), stuck.peer))
            .await
            .unwrap();
    }
    stuck.node.try_send_to("10".to_owned(), stuck.peer).unwrap();
    assert_eq!(stuck.node.broadcast("11".to_owned()).full, [stuck.peer]);
    stuck.expect_dropped(12 - ROOM).await;
    stuck.expect_lines(0..ROOM).await;
}

#[tokio::test(start_paused = true)]
async fn drop_oldest_keeps_what_came_last_and_what_is_being_written() {
    let mut stuck = Stuck::under(WhenFull::DropOldest).await;
    for n in 0..9 {
        within(stuck.node.send_to(n.to_string(), stuck.peer))
            .await
            .unwrap();
    }
    stuck.node.try_send_to("9".to_owned(), stuck.peer).unwrap();
    let report = stuck.node.broadcast("10".to_owned());
    assert_eq!((report.queued, report.full), (1, vec![]));
    stuck.expect_dropped(11 - ROOM).await;
    stuck.expect_lines(11 - ROOM..11).await;
}

#[tokio::test(start_paused = true)]
async fn many_losses_of_one_peer_are_one_report() {
    let mut stuck = Stuck::under(WhenFull::DropNewest).await;
    for n in 0..ROOM + 5_000 {
        stuck.node.try_send_to(n.to_string(), stuck.peer).unwrap();
    }
    let event = next_event(&mut stuck.events).await;
    assert!(matches!(event, Event::Dropped(_, 5_000)), "{event:?}");
    stuck.expect_lines(0..ROOM).await;
}

/// However many peers there are, and however late the events are read: what was reported by the end is
/// what was dropped, of each.
#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_reported_of_every_one_of_many_peers_before_it_is_disconnected() {
    const PEERS: usize = 1_500;
    const BROADCASTS: u64 = 3;
    let options = room_for(1).max_connections(PEERS).write_boundary(1);
    let (node, inbound) = start_lines(options.when_full(WhenFull::DropNewest)).await;
    let mut remotes = Vec::new();
    for _ in 0..PEERS {
        remotes.push(join(&node, 4).await);
    }
    node.broadcast(FIRST.to_owned());
    quiet().await;
    node.broadcast("fills the queue".to_owned());
    for _ in 0..BROADCASTS {
        assert_eq!(node.broadcast("dropped".to_owned()).full.len(), PEERS);
    }
    for (peer, _) in &remotes {
        assert!(node.abort(*peer));
    }
    let expected = BROADCASTS * PEERS as u64;
    assert_eq!(node.stats().dropped, expected);
    let mut events = inbound.into_events();
    let mut reported: BTreeMap<_, _> = remotes.iter().map(|(peer, _)| (*peer, 0)).collect();
    while !reported.is_empty() {
        match next_event(&mut events).await {
            Event::Connected(_) => {}
            Event::Dropped(peer, more) => *reported.get_mut(&peer).unwrap() += more,
            Event::Disconnected(peer, _) => {
                assert_eq!(reported.remove(&peer), Some(BROADCASTS), "{peer}");
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn every_sink_can_have_a_policy_of_its_own_and_so_have_its_clones() {
    let mut stuck = Stuck::under(WhenFull::Wait).await;
    let oldest = stuck.node.outbound().when_full(WhenFull::DropOldest);
    for n in 0..10_u64 {
        let mut clone = oldest.clone();
        within(clone.feed((n.to_string(), stuck.peer)))
            .await
            .unwrap();
    }
    stuck.expect_dropped(10 - ROOM).await;

    let sink = stuck.node.peer_sink(stuck.peer).unwrap();
    let mut newest = sink.when_full(WhenFull::DropNewest);
    within(newest.clone().feed("lost".to_owned()))
        .await
        .unwrap();
    within(newest.feed("lost".to_owned())).await.unwrap();
    stuck.expect_dropped(2).await;

    let sink = stuck.node.peer_sink(stuck.peer).unwrap();
    let mut oldest = sink.when_full(WhenFull::DropOldest);
    within(oldest.feed("10".to_owned())).await.unwrap();
    stuck.expect_dropped(1).await;

    let refused = stuck.node.try_send_to("waits".to_owned(), stuck.peer);
    assert_eq!(refused.unwrap_err().reason, NotSent::Full);
    stuck.expect_lines(11 - ROOM..11).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_waits_at_a_node_that_drops() {
    let stuck = Stuck::under(WhenFull::DropOldest).await;
    let mut sink = stuck
        .node
        .peer_sink(stuck.peer)
        .unwrap()
        .when_full(WhenFull::Wait);
    for n in 0..ROOM {
        within(sink.feed(n.to_string())).await.unwrap();
    }
    assert!(sink.feed("more".to_owned()).now_or_never().is_none());
    let mut outbound = stuck.node.outbound().when_full(WhenFull::Wait);
    outbound
        .feed(("more".to_owned(), stuck.peer))
        .now_or_never()
        .unwrap()
        .unwrap();
    let flush = tokio::spawn(async move { outbound.flush().await });
    quiet().await;
    assert!(!flush.is_finished());
    assert_eq!(stuck.dropped(), 0);
    stuck
        .expect_lines_and((0..ROOM).map(|n| n.to_string()), ["more"])
        .await;
    within(flush).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_what_was_dropped_and_not_resolve_before_what_was_not() {
    let mut stuck = Stuck::under(WhenFull::DropOldest).await;
    let mut first = stuck.node.peer_sink(stuck.peer).unwrap();
    within(first.feed("dropped".to_owned())).await.unwrap();
    let mut outbound = stuck.node.outbound();
    for n in 0..ROOM {
        within(outbound.feed((n.to_string(), stuck.peer)))
            .await
            .unwrap();
    }
    stuck.expect_dropped(1).await;
    // Of what stands in front of it, the first message isn't written.
    let mut flush = tokio_test::task::spawn(async move { first.flush().await });
    assert!(flush.poll().is_pending());
    expect_text(&mut stuck.remote, &format!("{FIRST}\n")).await;
    quiet().await;
    quiet().await;
    expect_text(&mut stuck.remote, "0\n1\n2\n3\n").await;
    assert!(flush.is_woken());
    within(flush).await.unwrap();
    within(outbound.flush()).await.unwrap();
    assert_eq!(
        stuck.node.peer_stats(stuck.peer).unwrap().messages_out,
        1 + ROOM
    );
    let Stuck {
        node,
        events,
        remote,
        ..
    } = stuck;
    drop((remote, outbound));
    finish_events(&node, events).await;
}

/// Encodes lines, and feeds more of them while it encodes the first.
struct Feeding {
    lines: LinesCodec,
    more: Arc<Mutex<Option<PeerSink<String>>>>,
}

impl Decoder for Feeding {
    type Item = String;
    type Error = LinesCodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<String>, LinesCodecError> {
        self.lines.decode(src)
    }
}

impl Encoder<String> for Feeding {
    type Error = LinesCodecError;

    fn encode(&mut self, line: String, dst: &mut BytesMut) -> Result<(), LinesCodecError> {
        if let Some(mut more) = self.more.lock().unwrap().take() {
            for n in 0..ROOM + 3 {
                let fed = more.feed(n.to_string()).now_or_never();
                fed.expect("it drops and doesn't wait").unwrap();
            }
        }
        self.lines.encode(line, dst)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_encoded_and_not_written_is_not_flushed_by_what_is_dropped_behind_it() {
    let more = Arc::new(Mutex::new(None));
    let codec = {
        let more = more.clone();
        move |_| Feeding {
            lines: LinesCodec::new(),
            more: more.clone(),
        }
    };
    let builder = room_for(ROOM as usize).when_full(WhenFull::DropOldest);
    let (node, inbound) = within(builder.start(codec)).await.unwrap();
    let (peer, mut remote) = join(&node, 1).await;
    let mut sink = node.peer_sink(peer).unwrap();
    *more.lock().unwrap() = Some(sink.clone());
    within(sink.feed("first".to_owned())).await.unwrap();
    quiet().await;
    assert_eq!(node.peer_stats(peer).unwrap().dropped, 3);
    assert!(sink.flush().now_or_never().is_none());
    expect_text(&mut remote, "first\n3\n4\n5\n6\n").await;
    within(sink.flush()).await.unwrap();
    drop((remote, sink));
    finish_events(&node, inbound.into_events()).await;
}

#[tokio::test(start_paused = true)]
async fn disconnect_ends_the_connection_of_a_peer_whose_queue_is_full() {
    let stuck = Stuck::under(WhenFull::Disconnect).await;
    for n in 0..ROOM {
        within(stuck.node.send_to(n.to_string(), stuck.peer))
            .await
            .unwrap();
    }
    let error = within(stuck.node.send_to("more".to_owned(), stuck.peer))
        .await
        .unwrap_err();
    assert_eq!(
        (error.reason, error.message),
        (NotSent::NotConnected, "more".to_owned())
    );
    let Stuck {
        node,
        mut events,
        peer,
        mut remote,
        ..
    } = stuck;
    let ended = ending(&mut events, peer).await;
    assert!(matches!(ended.reason, Reason::QueueFull), "{ended}");
    assert_eq!(ended.initiator, Initiator::Library);
    assert_eq!(ended.undelivered, 1 + ROOM);
    assert_eq!(
        ended.to_string(),
        "its outbound queue was full (by the library), 5 messages undelivered"
    );
    assert!(FIRST.starts_with(&read_text(&mut remote).await));
    assert_eq!(node.stats().dropped, 0);
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_disconnects_counts_its_message_as_undelivered() {
    let stuck = Stuck::under(WhenFull::Wait).await;
    let Stuck {
        node,
        mut events,
        peer,
        ..
    } = stuck;
    let mut outbound = node.outbound().when_full(WhenFull::Disconnect);
    for n in 0..=ROOM {
        within(outbound.feed((n.to_string(), peer))).await.unwrap();
    }
    let ended = ending(&mut events, peer).await;
    assert!(matches!(ended.reason, Reason::QueueFull), "{ended}");
    assert_eq!(ended.undelivered, 1 + ROOM + 1);
    assert_eq!(node.stats().undelivered, ended.undelivered);
    drop(outbound);
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn a_peers_sink_that_disconnects_counts_its_message_and_says_that_the_peer_is_gone() {
    let Stuck {
        node,
        mut events,
        peer,
        ..
    } = Stuck::under(WhenFull::Disconnect).await;
    let mut sink = node.peer_sink(peer).unwrap();
    for n in 0..ROOM {
        within(sink.feed(n.to_string())).await.unwrap();
    }
    let gone = within(sink.feed("more".to_owned())).await.unwrap_err();
    assert_eq!(gone, PeerGone(peer));
    let ended = ending(&mut events, peer).await;
    assert_eq!(ended.undelivered, 1 + ROOM + 1);
    assert_eq!(node.stats().undelivered, ended.undelivered);
    drop(sink);
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_disconnects_names_whom_and_counts_the_message() {
    let Stuck {
        node,
        mut events,
        peer,
        ..
    } = Stuck::under(WhenFull::Disconnect).await;
    for n in 0..ROOM {
        assert_eq!(node.broadcast(n.to_string()).queued, 1);
    }
    let report = node.broadcast("more".to_owned());
    assert_eq!((report.queued, report.full), (0, vec![peer]));
    let ended = ending(&mut events, peer).await;
    assert!(matches!(ended.reason, Reason::QueueFull), "{ended}");
    assert_eq!(ended.undelivered, 1 + ROOM + 1);
    assert_eq!(node.stats().undelivered, ended.undelivered);
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_to_abort_is_greater_than_a_full_queue() {
    let Stuck {
        node,
        mut events,
        peer,
        ..
    } = Stuck::under(WhenFull::Disconnect).await;
    while node.try_send_to("fill".to_owned(), peer).is_ok() {}
    assert!(node.abort(peer));
    let ended = ending(&mut events, peer).await;
    assert!(matches!(ended.reason, Reason::Aborted), "{ended}");
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn as_many_of_the_oldest_are_dropped_as_a_large_one_needs() {
    let bounded = room_for(1_000).max_outbound_bytes(100);
    let mut stuck = stuck(bounded.when_full(WhenFull::DropOldest)).await;
    let send = |text: String| stuck.node.try_send_to(text, stuck.peer).unwrap();
    // It is full with the message that reaches the bound: 5 × 20.
    (0..5).for_each(|n| send(n.to_string().repeat(20)));
    send("x".repeat(90));
    stuck.expect_dropped(1).await;
    // 20 × 4 + 90 bytes are there.
    stuck.node.try_send_to("y".repeat(5), stuck.peer).unwrap();
    stuck.expect_dropped(4).await;
    let lines = ["x".repeat(90), "y".repeat(5)];
    stuck.expect_lines_and([], [&*lines[0], &*lines[1]]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_in_front_of_a_closing_queue_is_in_the_books() {
    let mut stuck = Stuck::under(WhenFull::DropOldest).await;
    for n in 0..7 {
        within(stuck.node.send_to(n.to_string(), stuck.peer))
            .await
            .unwrap();
    }
    stuck.expect_dropped(7 - ROOM).await;
    let Stuck {
        node,
        mut events,
        peer,
        remote,
        ..
    } = stuck;
    assert_eq!(node.peer_stats(peer).unwrap().queued, 1 + ROOM);
    assert!(node.abort(peer));
    let ended = ending(&mut events, peer).await;
    assert_eq!(ended.undelivered, 1 + ROOM);
    let stats = node.stats();
    assert_eq!(
        (stats.dropped, stats.undelivered, stats.messages_out),
        (3, 1 + ROOM, 0)
    );
    drop(remote);
    shut_down(&node).await;
}
