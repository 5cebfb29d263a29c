//! The ways to send: room, flushes, what becomes of messages for peers that are gone.

mod common;

use std::pin::pin;

use common::{ending, expect_text, finish, in_memory, join, next_event, quiet, read_text};
use common::{shut_down, start_lines, within};
use futures::{FutureExt, SinkExt, StreamExt, channel::mpsc, stream};
use tokio::io::DuplexStream;
use wattle::{Event, Events, Inbound, Node, NodeShutDown, NotSent, Peer, PeerGone};

/// Fills the stream of a peer that doesn't read, and its queue of `most` messages behind it.
async fn fill(node: &Node<String>, peer: Peer, most: usize) -> usize {
    let mut queued = 0;
    loop {
        // Whatever the connection can take out of the queue, it has.
        quiet().await;
        let mut took = 0;
        while node.try_send_to("filler".to_owned(), peer).is_ok() {
            took += 1;
        }
        queued += took;
        assert!(took <= most, "{took} messages found room");
        if took == 0 {
            return queued;
        }
    }
}

/// A node with queues of two messages, and a peer whose queue and stream are full.
async fn with_a_full_peer() -> (Node<String>, Inbound<String>, Peer, DuplexStream, usize) {
    let (node, inbound) = start_lines(in_memory().max_outbound_messages(2)).await;
    let (peer, remote) = join(&node, 4).await;
    let queued = fill(&node, peer, 2).await;
    (node, inbound, peer, remote, queued)
}

async fn expect_fillers(remote: &mut DuplexStream, count: usize) {
    expect_text(remote, &"filler\n".repeat(count)).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_gives_the_message_back_or_makes_the_sender_wait_for_room() {
    let (node, inbound, peer, mut remote, queued) = with_a_full_peer().await;
    let error = node.try_send_to("no room".to_owned(), peer).unwrap_err();
    assert_eq!((error.peer, error.reason), (peer, NotSent::Full));
    assert_eq!(error.into_message(), "no room");
    {
        let mut waiting = pin!(node.send_to("waited".to_owned(), peer));
        assert!(waiting.as_mut().now_or_never().is_none());
        quiet().await;
        assert!(waiting.as_mut().now_or_never().is_none());
        // Another one gives up, and its message goes nowhere.
        let dropped = node.send_to("dropped".to_owned(), peer);
        assert!(dropped.now_or_never().is_none());
        expect_fillers(&mut remote, queued).await;
        within(waiting).await.unwrap();
    }
    expect_text(&mut remote, "waited\n").await;
    node.try_send_to("room again".to_owned(), peer).unwrap();
    expect_text(&mut remote, "room again\n").await;
    drop(remote);
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_for_a_peer_that_is_gone_comes_back() {
    let (node, inbound, peer, remote, queued) = with_a_full_peer().await;
    let mut events = inbound.into_events();
    let mut waiting = pin!(node.send_to("waiting".to_owned(), peer));
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(remote);
    let error = within(waiting).await.unwrap_err();
    assert_eq!((error.peer, error.reason), (peer, NotSent::NotConnected));
    assert_eq!(error.into_message(), "waiting");
    let error = within(node.send_to("late".to_owned(), peer))
        .await
        .unwrap_err();
    assert_eq!(
        (&error.message[..], error.reason),
        ("late", NotSent::NotConnected)
    );
    let error = node.try_send_to("later".to_owned(), peer).unwrap_err();
    assert_eq!(
        (&error.message[..], error.reason),
        ("later", NotSent::NotConnected)
    );
    // What had been taken is counted with the connection; what came back isn't.
    let disconnect = ending(&mut events, peer).await;
    assert_eq!(disconnect.undelivered, queued as u64);
    assert_eq!(node.stats().undelivered, queued as u64);
    assert!(node.peer_sink(peer).is_none());
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn a_flush_resolves_when_the_messages_are_written_and_not_before() {
    let (node, inbound) = start_lines(in_memory()).await;
    let (peer, mut remote) = join(&node, 4).await;
    let (mut outbound, mut sink) = (node.outbound(), node.peer_sink(peer).unwrap());
    let item = ("first".to_owned(), peer);
    within(outbound.feed(item)).await.unwrap();
    quiet().await;
    assert!(outbound.flush().now_or_never().is_none());
    expect_text(&mut remote, "f").await;
    quiet().await;
    assert!(outbound.flush().now_or_never().is_none());
    // Its last byte is written now, and not yet read.
    expect_text(&mut remote, "i").await;
    within(outbound.flush()).await.unwrap();
    expect_text(&mut remote, "rst\n").await;

    within(sink.feed("second".to_owned())).await.unwrap();
    expect_text(&mut remote, "se").await;
    quiet().await;
    assert!(sink.flush().now_or_never().is_none());
    expect_text(&mut remote, "c").await;
    within(sink.flush()).await.unwrap();
    expect_text(&mut remote, "ond\n").await;
    drop(remote);
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_the_messages_of_its_own_handle_only() {
    let (node, inbound) = start_lines(in_memory().write_boundary(1)).await;
    let (peer, mut remote) = join(&node, 8).await;
    let (mut first, mut second) = (node.outbound(), node.outbound());
    // All are in one batch, and the stream takes the first of them and a part of the second.
    let item = |text: &str| (text.to_owned(), peer);
    within(first.feed(item("first"))).await.unwrap();
    within(second.feed(item("second"))).await.unwrap();
    within(second.feed(item("third"))).await.unwrap();
    within(first.flush()).await.unwrap();
    quiet().await;
    assert!(second.flush().now_or_never().is_none());
    expect_text(&mut remote, "first\nsecond\n").await;
    within(second.flush()).await.unwrap();
    expect_text(&mut remote, "third\n").await;
    drop(remote);
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn a_flush_resolves_when_its_peer_is_gone() {
    let (node, inbound) = start_lines(in_memory()).await;
    let (peer, remote) = join(&node, 4).await;
    let (mut outbound, mut sink) = (node.outbound(), node.peer_sink(peer).unwrap());
    within(outbound.feed(("too long".to_owned(), peer)))
        .await
        .unwrap();
    within(sink.feed("too".to_owned())).await.unwrap();
    quiet().await;
    let mut flush = pin!(outbound.flush());
    assert!(flush.as_mut().now_or_never().is_none());
    drop(remote);
    within(flush).await.unwrap();
    assert_eq!(within(sink.flush()).await, Err(PeerGone(peer)));
    assert_eq!(
        within(sink.feed("more".to_owned())).await,
        Err(PeerGone(peer))
    );
    assert_eq!(node.stats().undelivered, 2);
    finish(&node, inbound).await;
}

/// What a peer that is gone has missed of what was fed to an [`wattle::Outbound`].
async fn undelivered(events: &mut Events<String>, peer: Peer, count: u64) {
    let mut missed = 0;
    while missed < count {
        if let Event::Undelivered(who, messages) = next_event(events).await {
            assert_eq!(who, peer);
            missed += messages;
        }
    }
    assert_eq!(missed, count);
}

#[tokio::test(start_paused = true)]
async fn a_forward_survives_a_peer_that_goes_and_what_it_missed_is_told() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = inbound.into_events();
    let (dying, dying_remote) = join(&node, 1024).await;
    let (living, mut remote) = join(&node, 1024).await;
    let (feed, fed) = mpsc::unbounded();
    let forward = tokio::spawn(fed.map(Ok).forward(node.outbound()));
    for n in 0..3 {
        feed.unbounded_send((format!("{n}"), dying)).unwrap();
        feed.unbounded_send((format!("{n}"), living)).unwrap();
    }
    expect_text(&mut remote, "0\n1\n2\n").await;
    drop(dying_remote);
    assert_eq!(ending(&mut events, dying).await.undelivered, 0);
    for n in 3..10 {
        feed.unbounded_send((format!("{n}"), dying)).unwrap();
        feed.unbounded_send((format!("{n}"), living)).unwrap();
    }
    expect_text(&mut remote, "3\n4\n5\n6\n7\n8\n9\n").await;
    undelivered(&mut events, dying, 7).await;
    assert_eq!(node.stats().undelivered, 7);
    drop(feed);
    within(forward).await.unwrap().unwrap();
    // The forward has closed its sink, and that closed nothing else.
    within(node.send_to("the node lives".to_owned(), living))
        .await
        .unwrap();
    expect_text(&mut remote, "the node lives\n").await;
    drop(remote);
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_a_dropped_handle_still_held_is_told_as_undelivered() {
    let (node, inbound, peer, mut remote, queued) = with_a_full_peer().await;
    let mut events = inbound.into_events();
    let mut outbound = node.outbound();
    within(outbound.feed(("held".to_owned(), peer)))
        .await
        .unwrap();
    assert!(
        outbound
            .feed(("not taken".to_owned(), peer))
            .now_or_never()
            .is_none()
    );
    drop(outbound);
    undelivered(&mut events, peer, 1).await;
    assert_eq!(node.stats().undelivered, 1);
    expect_fillers(&mut remote, queued).await;
    drop(remote);
    assert_eq!(ending(&mut events, peer).await.undelivered, 0);
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn closing_a_sink_flushes_it_and_closes_nothing_else() {
    let (node, inbound) = start_lines(in_memory()).await;
    let (peer, mut remote) = join(&node, 64).await;
    let (mut outbound, mut sink) = (node.outbound(), node.peer_sink(peer).unwrap());
    let (another, mut another_sink) = (node.outbound(), sink.clone());
    within(outbound.feed(("one".to_owned(), peer)))
        .await
        .unwrap();
    within(outbound.close()).await.unwrap();
    within(sink.feed("two".to_owned())).await.unwrap();
    within(sink.close()).await.unwrap();
    let stats = node.peer_stats(peer).unwrap();
    assert_eq!((stats.messages_out, stats.queued), (2, 0));
    drop((outbound, sink));
    within(another_sink.send("three".to_owned())).await.unwrap();
    let more = stream::iter([Ok(("four".to_owned(), peer))]);
    within(more.forward(another)).await.unwrap();
    expect_text(&mut remote, "one\ntwo\nthree\nfour\n").await;
    drop(remote);
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_every_way_to_send_says_so() {
    let (node, inbound) = start_lines(in_memory()).await;
    let (peer, remote) = join(&node, 64).await;
    let (mut outbound, mut sink) = (node.outbound(), node.peer_sink(peer).unwrap());
    within(outbound.send(("before".to_owned(), peer)))
        .await
        .unwrap();
    drop(remote);
    finish(&node, inbound).await;
    let item = || ("after".to_owned(), peer);
    assert_eq!(within(outbound.send(item())).await, Err(NodeShutDown));
    assert_eq!(
        within(node.outbound().send(item())).await,
        Err(NodeShutDown)
    );
    assert_eq!(
        within(sink.send("after".to_owned())).await,
        Err(PeerGone(peer))
    );
    let error = within(node.send_to("after".to_owned(), peer))
        .await
        .unwrap_err();
    assert_eq!(
        (&error.message[..], error.reason),
        ("after", NotSent::NotConnected)
    );
    assert_eq!(node.broadcast("after".to_owned()), Default::default());
    assert_eq!(node.stats().undelivered, 0);
}

#[tokio::test]
async fn messages_through_one_handle_keep_their_order_whatever_the_peers_between_them() {
    let (node, inbound) = start_lines(in_memory().max_outbound_messages(3)).await;
    let mut peers = Vec::new();
    let mut remotes = Vec::new();
    for _ in 0..3 {
        let (peer, mut remote) = join(&node, 32).await;
        peers.push(peer);
        remotes.push(tokio::spawn(async move { read_text(&mut remote).await }));
    }
    let to = |n: usize| peers[[0, 1, 0, 2, 2, 1, 0][n % 7]];
    let mut outbound = node.outbound();
    let messages = stream::iter((0..7_000).map(|n| Ok((n.to_string(), to(n)))));
    within(messages.forward(&mut outbound)).await.unwrap();
    let writing = node.stats();
    assert_eq!((writing.messages_out, writing.undelivered), (7_000, 0));
    shut_down(&node).await;
    for (peer, remote) in peers.iter().zip(remotes) {
        let sent = (0..7_000).filter(|n| to(*n) == *peer);
        let expected: String = sent.map(|n| format!("{n}\n")).collect();
        assert_eq!(within(remote).await.unwrap(), expected);
    }
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_takes_no_more_messages_than_its_bound() {
    for most in [1, 2, 100] {
        let (node, inbound) = start_lines(in_memory().max_outbound_messages(most)).await;
        let (peer, mut remote) = join(&node, 1).await;
        let queued = fill(&node, peer, most).await;
        // As many again are in the batch that is being written.
        assert!((most..=2 * most).contains(&queued), "{queued} for {most}");
        assert_eq!(node.peer_stats(peer).unwrap().queued, queued as u64);
        expect_fillers(&mut remote, queued).await;
        drop(remote);
        finish(&node, inbound).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_all_peers_but_those_that_it_names() {
    let (node, inbound, full, mut full_remote, queued) = with_a_full_peer().await;
    let (_, mut second) = join(&node, 64).await;
    let (_, mut third) = join(&node, 64).await;
    let report = node.broadcast("to all".to_owned());
    assert_eq!((report.queued, &report.full[..]), (2, &[full][..]));
    expect_text(&mut second, "to all\n").await;
    expect_text(&mut third, "to all\n").await;
    expect_fillers(&mut full_remote, queued).await;
    assert_eq!(node.broadcast("again".to_owned()).queued, 3);
    expect_text(&mut full_remote, "again\n").await;
    drop((full_remote, second, third));
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_can_leave_some_out() {
    let (node, inbound) = start_lines(in_memory()).await;
    let (first, mut to_first) = join(&node, 64).await;
    let (_, mut to_second) = join(&node, 64).await;
    let report = node.broadcast_where("not to the first".to_owned(), |peer| peer != first);
    assert_eq!((report.queued, &report.full[..]), (1, &[][..]));
    assert_eq!(node.broadcast("to both".to_owned()).queued, 2);
    expect_text(&mut to_second, "not to the first\nto both\n").await;
    expect_text(&mut to_first, "to both\n").await;
    drop((to_first, to_second));
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_holds_up_no_sink_but_its_own() {
    let (node, inbound, full, mut full_remote, queued) = with_a_full_peer().await;
    let (living, mut remote) = join(&node, 1024).await;
    let mut stuck = node.peer_sink(full).unwrap();
    let mut free = node.peer_sink(living).unwrap();
    let mut outbound = node.outbound();
    let mut waiting = pin!(stuck.send("waited".to_owned()));
    assert!(waiting.as_mut().now_or_never().is_none());
    for _ in 0..50 {
        within(free.send("a".to_owned())).await.unwrap();
        within(outbound.send(("b".to_owned(), living)))
            .await
            .unwrap();
        expect_text(&mut remote, "a\nb\n").await;
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    // A handle that holds a message for the full peer waits with it, and its clones don't.
    within(outbound.feed(("held".to_owned(), full)))
        .await
        .unwrap();
    assert!(
        outbound
            .feed(("c".to_owned(), living))
            .now_or_never()
            .is_none()
    );
    within(outbound.clone().send(("d".to_owned(), living)))
        .await
        .unwrap();
    expect_text(&mut remote, "d\n").await;
    expect_fillers(&mut full_remote, queued).await;
    let (sent, ()) = tokio::join!(within(waiting), expect_text(&mut full_remote, "waited\n"));
    sent.unwrap();
    let item = ("e".to_owned(), living);
    let (sent, ()) = tokio::join!(
        within(outbound.send(item)),
        expect_text(&mut full_remote, "held\n")
    );
    sent.unwrap();
    expect_text(&mut remote, "e\n").await;
    drop((full_remote, remote));
    finish(&node, inbound).await;
}
