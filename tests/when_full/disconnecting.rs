//! A full queue that ends the connection.

use wattle::{Initiator, PeerGone};

use super::*;

#[tokio::test(start_paused = true)]
async fn disconnect_ends_the_connection_of_a_peer_whose_queue_is_full() {
    let mut stuck = Stuck::under(WhenFull::Disconnect).await;
    stuck.send(ROOM).await;
    assert_eq!(stuck.given_back().await, NotSent::NotConnected);
    let ended = stuck.expect_overflow(1 + ROOM).await;
    assert_eq!(ended.initiator, Initiator::Library);
    assert_eq!(
        ended.to_string(),
        "its outbound queue was full (by the library), 5 messages undelivered"
    );
    assert!(FIRST.starts_with(&read_text(&mut stuck.remote).await));
    assert_eq!(stuck.node.stats().dropped, 0);
    shut_down(&stuck.node).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_disconnects_counts_its_message_as_undelivered() {
    let mut stuck = Stuck::under(WhenFull::Wait).await;
    let mut outbound = stuck.node.outbound().when_full(WhenFull::Disconnect);
    feed(&mut outbound, stuck.addressed(ROOM + 1)).await;
    stuck.expect_overflow(1 + ROOM + 1).await;
    drop(outbound);
    shut_down(&stuck.node).await;
}

#[tokio::test(start_paused = true)]
async fn a_peers_sink_that_disconnects_counts_its_message_and_says_that_the_peer_is_gone() {
    let mut stuck = Stuck::under(WhenFull::Disconnect).await;
    let mut sink = stuck.node.peer_sink(stuck.peer).unwrap();
    feed(&mut sink, numbers(0..ROOM)).await;
    let gone = within(sink.feed("more".to_owned())).await.unwrap_err();
    assert_eq!(gone, PeerGone(stuck.peer));
    stuck.expect_overflow(1 + ROOM + 1).await;
    drop(sink);
    shut_down(&stuck.node).await;
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_disconnects_names_whom_and_counts_the_message() {
    let mut stuck = Stuck::under(WhenFull::Disconnect).await;
    for text in numbers(0..ROOM) {
        assert_eq!(stuck.node.broadcast(text).queued, 1);
    }
    let report = stuck.node.broadcast("more".to_owned());
    assert_eq!((report.queued, report.full), (0, vec![stuck.peer]));
    stuck.expect_overflow(1 + ROOM + 1).await;
    shut_down(&stuck.node).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_to_abort_is_greater_than_a_full_queue() {
    let Stuck {
        node,
        mut events,
        peer,
        remote: _remote,
        ..
    } = Stuck::under(WhenFull::Disconnect).await;
    while node.try_send_to("fill".to_owned(), peer).is_ok() {}
    assert!(node.abort(peer));
    let ended = ending(&mut events, peer).await;
    assert!(matches!(ended.reason, Reason::Aborted), "{ended}");
    shut_down(&node).await;
}
