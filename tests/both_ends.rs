//! What both ends of a connection, and all who wait for its end, say of one ending.

mod common;

use std::pin::pin;

use common::pairs::{End, pair};
use common::{adopt, ending, finish, finish_events, in_memory, join, lines, quiet, read_text};
use common::{shut_down, start_lines, within};
use futures::{FutureExt, StreamExt, future::join_all};
use tokio::io::{AsyncWriteExt, duplex};
use tokio_util::codec::LinesCodec;
use wattle::{Disconnect, Initiator, Reason};

/// Alice has dialled Bob.
async fn ends() -> (End<String, String>, End<String, String>) {
    pair(lines, lines).await
}

fn assert_gone(disconnect: &Disconnect) {
    assert!(
        matches!(disconnect.reason, Reason::EndOfStream),
        "{disconnect}"
    );
    assert_eq!(disconnect.initiator, Initiator::Remote);
}

#[tokio::test]
async fn a_disconnect_comes_after_all_that_was_queued_and_is_a_clean_end_for_the_other() {
    let (mut alice, mut bob) = ends().await;
    for n in 0..1_000 {
        alice.node.try_send_to(n.to_string(), alice.peer).unwrap();
    }
    let disconnect = within(alice.node.disconnect(alice.peer)).await.unwrap();
    assert!(
        matches!(disconnect.reason, Reason::Disconnected),
        "{disconnect}"
    );
    assert_eq!(disconnect.initiator, Initiator::Local);
    assert_eq!(disconnect.undelivered, 0);
    for n in 0..1_000 {
        assert_eq!(bob.hear().await, n.to_string());
    }
    assert_gone(&bob.ending().await);
    let told = alice.ending().await;
    assert!(matches!(told.reason, Reason::Disconnected), "{told}");
    alice.finish().await;
    bob.finish().await;
}

#[tokio::test]
async fn an_abort_is_a_clean_end_for_the_other_as_well() {
    let (mut alice, mut bob) = ends().await;
    assert!(alice.node.abort(alice.peer));
    let told = alice.ending().await;
    assert!(matches!(told.reason, Reason::Aborted), "{told}");
    assert_gone(&bob.ending().await);
    alice.finish().await;
    bob.finish().await;
}

#[tokio::test]
async fn a_shutdown_is_a_clean_end_for_the_other_as_well() {
    let (mut alice, mut bob) = ends().await;
    shut_down(&alice.node).await;
    let told = alice.ending().await;
    assert!(matches!(told.reason, Reason::Shutdown), "{told}");
    assert_gone(&bob.ending().await);
    bob.finish().await;
}

#[tokio::test]
async fn a_node_whose_last_handle_is_dropped_leaves_cleanly() {
    let (alice, mut bob) = ends().await;
    drop(alice.events);
    drop(alice.node);
    assert_gone(&bob.ending().await);
    bob.finish().await;
}

#[tokio::test]
async fn two_that_disconnect_at_the_same_time_do_not_wait_for_each_other() {
    let (alice, bob) = ends().await;
    let at_alice = alice.node.disconnect(alice.peer);
    let at_bob = bob.node.disconnect(bob.peer);
    let (at_alice, at_bob) = within(async { tokio::join!(at_alice, at_bob) }).await;
    for disconnect in [at_alice.unwrap(), at_bob.unwrap()] {
        assert!(
            matches!(disconnect.reason, Reason::Disconnected),
            "{disconnect}"
        );
        assert_eq!(disconnect.initiator, Initiator::Local);
    }
    for end in [alice, bob] {
        assert_eq!(end.node.stats().timeouts.drain, 0);
        end.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_that_both_have_much_to_write_when_they_disconnect_do_not_block_each_other() {
    let (alice, to_alice) = start_lines(in_memory()).await;
    let (bob, to_bob) = start_lines(in_memory()).await;
    let (at_alice, at_bob) = duplex(8);
    let (to, from) = (adopt(&alice, at_alice).await, adopt(&bob, at_bob).await);
    for n in 0..500 {
        alice.try_send_to(n.to_string(), to).unwrap();
        bob.try_send_to(n.to_string(), from).unwrap();
    }
    // Neither has read anything yet, and from now on both throw away what they read.
    let both = async { tokio::join!(alice.disconnect(to), bob.disconnect(from)) };
    let (at_alice, at_bob) = within(both).await;
    for disconnect in [at_alice.unwrap(), at_bob.unwrap()] {
        assert_eq!(disconnect.undelivered, 0, "{disconnect}");
    }
    assert_eq!(alice.stats().timeouts.drain + bob.stats().timeouts.drain, 0);
    finish(&alice, to_alice).await;
    finish(&bob, to_bob).await;
}

#[tokio::test]
async fn an_error_at_one_end_is_an_end_at_the_other() {
    let narrow = |_| LinesCodec::new_with_max_length(4);
    let (mut alice, mut bob): (End<String, String>, End<String, String>) =
        pair(lines, narrow).await;
    alice.say("too long").await;
    let disconnect = bob.ending().await;
    assert!(
        matches!(disconnect.reason, Reason::Decode(_)),
        "{disconnect}"
    );
    assert_gone(&alice.ending().await);
    alice.finish().await;
    bob.finish().await;
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_an_end_are_told_the_same() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 4).await;
    node.try_send_to("much".to_owned(), peer).unwrap();
    let waiting = join_all((0..3).map(|_| node.disconnect(peer)));
    let mut waiting = pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none());
    quiet().await;
    // One of them gives up; that changes nothing.
    assert!(node.disconnect(peer).now_or_never().is_none());
    assert_eq!(read_text(&mut remote).await, "much\n");
    drop(remote);
    for disconnect in within(waiting).await {
        let disconnect = disconnect.unwrap();
        assert!(
            matches!(disconnect.reason, Reason::Disconnected),
            "{disconnect}"
        );
    }
    assert!(matches!(
        ending(&mut events, peer).await.reason,
        Reason::Disconnected
    ));
    assert!(within(node.disconnect(peer)).await.is_none());
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_that_is_dropped_still_happens() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 64).await;
    node.try_send_to("queued".to_owned(), peer).unwrap();
    assert!(node.disconnect(peer).now_or_never().is_none());
    assert_eq!(read_text(&mut remote).await, "queued\n");
    drop(remote);
    assert!(matches!(
        ending(&mut events, peer).await.reason,
        Reason::Disconnected
    ));
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_cuts_a_disconnect_short() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = inbound.into_events();
    let (peer, _remote) = join(&node, 4).await;
    node.try_send_to("more than fits".to_owned(), peer).unwrap();
    let mut waiting = pin!(node.disconnect(peer));
    assert!(waiting.as_mut().now_or_never().is_none());
    quiet().await;
    assert!(node.abort(peer));
    let waited = within(waiting).await.unwrap();
    let told = ending(&mut events, peer).await;
    for disconnect in [waited, told] {
        assert!(matches!(disconnect.reason, Reason::Aborted), "{disconnect}");
        assert_eq!(disconnect.initiator, Initiator::Local);
        assert_eq!(disconnect.undelivered, 1);
    }
    assert_eq!(node.stats().timeouts.drain, 0);
    shut_down(&node).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_disconnect_is_thrown_away_and_does_not_stop_the_remote() {
    let (node, mut inbound) = start_lines(in_memory().max_inbound_messages(2)).await;
    let (peer, mut remote) = join(&node, 64).await;
    within(remote.write_all(b"before\n")).await.unwrap();
    quiet().await;
    assert!(node.disconnect(peer).now_or_never().is_none());
    for _ in 0..1_000 {
        within(remote.write_all(b"after\n")).await.unwrap();
    }
    drop(remote);
    let next = within(inbound.next()).await;
    assert_eq!(next, Some(("before".to_owned(), peer)));
    quiet().await;
    assert_eq!(node.stats().disconnected, 1);
    finish(&node, inbound).await;
}
