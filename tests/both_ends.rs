//! What both ends of a connection, and all who wait for its end, say of one ending.

mod common;

use std::pin::pin;

use common::{adopt, ending, finish, finish_events, in_memory, join, next_event, quiet, read_text};
use common::{shut_down, start_lines, within};
use futures::{FutureExt, StreamExt, future::join_all};
use tokio::io::{AsyncWriteExt, duplex};
use wattle::{Disconnect, Event, Events, Initiator, Node, Peer, Reason};

/// Two connected nodes.
struct Ends {
    alice: Node<String>,
    bob: Node<String>,
    to_alice: Events<String>,
    to_bob: Events<String>,
    /// Whom Alice dialled.
    to: Peer,
    /// Whom Bob accepted.
    from: Peer,
}

async fn ends() -> Ends {
    let (bob, inbound) = start_lines(Node::builder().listen("127.0.0.1:0")).await;
    let mut to_bob = inbound.into_events();
    let (alice, inbound) = start_lines(Node::builder()).await;
    let to = within(alice.connect(bob.local_addr().unwrap()))
        .await
        .unwrap();
    let Event::Connected(from) = next_event(&mut to_bob).await else {
        panic!("the first event should be `Connected`");
    };
    let to_alice = inbound.into_events();
    Ends {
        alice,
        bob,
        to_alice,
        to_bob,
        to,
        from,
    }
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
    let Ends {
        alice,
        bob,
        mut to_alice,
        mut to_bob,
        to,
        from,
    } = ends().await;
    for n in 0..1_000 {
        alice.try_send_to(n.to_string(), to).unwrap();
    }
    let disconnect = within(alice.disconnect(to)).await.unwrap();
    assert!(
        matches!(disconnect.reason, Reason::Disconnected),
        "{disconnect}"
    );
    assert_eq!(disconnect.initiator, Initiator::Local);
    assert_eq!(disconnect.undelivered, 0);
    for n in 0..1_000 {
        let event = next_event(&mut to_bob).await;
        assert!(
            matches!(&event, Event::Message(m, _) if *m == n.to_string()),
            "{event:?}"
        );
    }
    assert_gone(&ending(&mut to_bob, from).await);
    assert!(matches!(
        ending(&mut to_alice, to).await.reason,
        Reason::Disconnected
    ));
    finish_events(&alice, to_alice).await;
    finish_events(&bob, to_bob).await;
}

#[tokio::test]
async fn an_abort_is_a_clean_end_for_the_other_as_well() {
    let Ends {
        alice,
        bob,
        mut to_alice,
        mut to_bob,
        to,
        from,
    } = ends().await;
    assert!(alice.abort(to));
    assert!(matches!(
        ending(&mut to_alice, to).await.reason,
        Reason::Aborted
    ));
    assert_gone(&ending(&mut to_bob, from).await);
    finish_events(&alice, to_alice).await;
    finish_events(&bob, to_bob).await;
}

#[tokio::test]
async fn a_shutdown_is_a_clean_end_for_the_other_as_well() {
    let Ends {
        alice,
        bob,
        mut to_alice,
        mut to_bob,
        to,
        from,
    } = ends().await;
    shut_down(&alice).await;
    let disconnect = ending(&mut to_alice, to).await;
    assert!(
        matches!(disconnect.reason, Reason::Shutdown),
        "{disconnect}"
    );
    assert_gone(&ending(&mut to_bob, from).await);
    finish_events(&bob, to_bob).await;
}

#[tokio::test]
async fn a_node_whose_last_handle_is_dropped_leaves_cleanly() {
    let Ends {
        alice,
        bob,
        to_alice,
        mut to_bob,
        from,
        ..
    } = ends().await;
    drop(to_alice);
    drop(alice);
    assert_gone(&ending(&mut to_bob, from).await);
    finish_events(&bob, to_bob).await;
}

#[tokio::test]
async fn two_that_disconnect_at_the_same_time_do_not_wait_for_each_other() {
    let Ends {
        alice,
        bob,
        to_alice,
        to_bob,
        to,
        from,
    } = ends().await;
    let (at_alice, at_bob) =
        within(async { tokio::join!(alice.disconnect(to), bob.disconnect(from)) }).await;
    for disconnect in [at_alice.unwrap(), at_bob.unwrap()] {
        assert!(
            matches!(disconnect.reason, Reason::Disconnected),
            "{disconnect}"
        );
        assert_eq!(disconnect.initiator, Initiator::Local);
    }
    assert_eq!(alice.stats().timeouts.drain + bob.stats().timeouts.drain, 0);
    finish_events(&alice, to_alice).await;
    finish_events(&bob, to_bob).await;
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
    let narrow = tokio_util::codec::LinesCodec::new_with_max_length(4);
    let start = Node::builder().listen("127.0.0.1:0");
    let start = start.start(move |_| narrow.clone());
    let (bob, inbound): (Node<String>, _) = start.await.unwrap();
    let mut to_bob = inbound.into_events();
    let (alice, inbound) = start_lines(Node::builder()).await;
    let mut to_alice = inbound.into_events();
    let to = within(alice.connect(bob.local_addr().unwrap()))
        .await
        .unwrap();
    within(alice.send_to("too long".to_owned(), to))
        .await
        .unwrap();
    let disconnect = loop {
        if let Event::Disconnected(_, disconnect) = next_event(&mut to_bob).await {
            break disconnect;
        }
    };
    assert!(
        matches!(disconnect.reason, Reason::Decode(_)),
        "{disconnect}"
    );
    assert_gone(&ending(&mut to_alice, to).await);
    finish_events(&alice, to_alice).await;
    finish_events(&bob, to_bob).await;
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
