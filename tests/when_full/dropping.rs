//! What is dropped, of whom, and what is said of it.

use std::collections::BTreeMap;

use super::*;

#[tokio::test(start_paused = true)]
async fn reject_gives_the_message_back() {
    let stuck = Stuck::under(WhenFull::Reject).await;
    stuck.send(ROOM).await;
    assert_eq!(stuck.given_back().await, NotSent::Full);
    assert_eq!(stuck.node.broadcast("more".to_owned()).full, [stuck.peer]);
    assert_eq!(stuck.dropped(), 0);
    stuck.expect_lines(0..ROOM).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_sink_what_is_rejected_is_dropped_and_reported() {
    let mut stuck = Stuck::under(WhenFull::Reject).await;
    let mut outbound = stuck.node.outbound();
    feed(&mut outbound, stuck.addressed(ROOM + 3)).await;
    stuck.expect_dropped(3).await;
    stuck.expect_lines(0..ROOM).await;
}

#[tokio::test(start_paused = true)]
async fn drop_newest_loses_what_comes_when_there_is_no_room() {
    let mut stuck = Stuck::under(WhenFull::DropNewest).await;
    stuck.send(10).await;
    stuck.node.try_send_to("10".to_owned(), stuck.peer).unwrap();
    assert_eq!(stuck.node.broadcast("11".to_owned()).full, [stuck.peer]);
    stuck.expect_dropped(12 - ROOM).await;
    stuck.expect_lines(0..ROOM).await;
}

#[tokio::test(start_paused = true)]
async fn drop_oldest_keeps_what_came_last_and_what_is_being_written() {
    let mut stuck = Stuck::under(WhenFull::DropOldest).await;
    stuck.send(9).await;
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
    stuck.send(7).await;
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
