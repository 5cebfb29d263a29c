//! One bound for the bytes in all queues of a node, shared fairly.

mod common;

use common::{
    Duplex, expect_text, finish, finish_events, in_memory, join, next_event, quiet, start_lines,
    within,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use wattle::{Builder, Event, Inbound, Node, Peer};

const BUDGET: usize = 64 * 1024;

/// A line of 1 KiB with its end, as it counts in an inbound queue; in an outbound one it is a byte less.
fn line() -> String {
    "x".repeat(1023)
}

async fn node(builder: Builder<Duplex>) -> (Node<String>, Inbound<String>) {
    start_lines(builder.memory_budget(BUDGET).write_boundary(1)).await
}

/// A peer that reads nothing, and how many lines its queue took.
async fn hog(node: &Node<String>) -> (Peer, DuplexStream, usize) {
    let (peer, remote) = join(node, 512).await;
    let mut lines = 0;
    // Once more after the task has taken what it could: it still holds that.
    for _ in 0..2 {
        while node.try_send_to(line(), peer).is_ok() {
            lines += 1;
        }
        quiet().await;
    }
    (peer, remote, lines)
}

#[tokio::test(start_paused = true)]
async fn a_single_hog_gets_half_and_leaves_room_for_others() {
    let (node, inbound) = node(in_memory()).await;
    let (first, mut first_remote, lines) = hog(&node).await;
    assert!((31..=35).contains(&lines), "{lines}");
    // The next gets half of what is left, and so on: there is always some.
    let (_, mut second_remote, second) = hog(&node).await;
    assert!((14..=19).contains(&second), "{second}");
    let (_, mut third_remote, third) = hog(&node).await;
    assert!((6..=11).contains(&third), "{third}");

    // What is written is given back.
    for (remote, lines) in [(&mut first_remote, lines), (&mut third_remote, third)] {
        within(remote.read_exact(&mut vec![0; lines * 1024]))
            .await
            .unwrap();
    }
    quiet().await;
    let mut again = 0;
    while node.try_send_to(line(), first).is_ok() {
        again += 1;
    }
    assert!((20..=26).contains(&again), "{again}");
    within(first_remote.read_exact(&mut vec![0; again * 1024]))
        .await
        .unwrap();
    within(second_remote.read_exact(&mut vec![0; second * 1024]))
        .await
        .unwrap();
    drop((first_remote, second_remote, third_remote));
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_waits_for_the_budget_goes_on_when_its_own_queue_is_written() {
    let (node, inbound) = node(in_memory()).await;
    let (peer, mut remote, lines) = hog(&node).await;
    let mut send = tokio_test::task::spawn(node.send_to("last".to_owned(), peer));
    assert!(send.poll().is_pending());
    within(remote.read_exact(&mut vec![0; lines * 1024]))
        .await
        .unwrap();
    quiet().await;
    assert!(send.is_woken());
    within(send).await.unwrap();
    expect_text(&mut remote, "last\n").await;
    drop(remote);
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_queue_takes_a_message_when_the_budget_is_used_up() {
    let (node, inbound) = node(in_memory()).await;
    let mut hogs = Vec::new();
    for _ in 0..50 {
        let (_, remote, lines) = hog(&node).await;
        // One is being written, and one in the queue.
        assert!(lines >= 2);
        hogs.push((remote, lines));
    }
    let (peer, mut remote) = join(&node, 64).await;
    for n in 0..100 {
        within(node.send_to(n.to_string(), peer)).await.unwrap();
        expect_text(&mut remote, &format!("{n}\n")).await;
    }
    for (remote, lines) in &mut hogs {
        within(remote.read_exact(&mut vec![0; *lines * 1024]))
            .await
            .unwrap();
    }
    drop((hogs, remote));
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_given_back() {
    let (node, inbound) = node(in_memory()).await;
    let mut remotes = Vec::new();
    for _ in 0..10 {
        let (_, mut remote, lines) = hog(&node).await;
        assert!((31..=35).contains(&lines), "{lines}");
        let mut all = vec![0; lines * 1024];
        within(remote.read_exact(&mut all)).await.unwrap();
        quiet().await;
        remotes.push(remote);
    }
    drop(remotes);
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_connection_held_is_given_back_when_it_ends_whoever_keeps_its_sink() {
    let (node, inbound) = node(in_memory()).await;
    let mut events = inbound.into_events();
    let mut sinks = Vec::new();
    for _ in 0..10 {
        let (peer, remote, lines) = hog(&node).await;
        assert!((31..=35).contains(&lines), "{lines}");
        sinks.push(node.peer_sink(peer));
        assert!(node.abort(peer));
        while !matches!(next_event(&mut events).await, Event::Disconnected(..)) {}
        drop(remote);
    }
    drop(sinks);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn inbound_queues_share_the_same_budget() {
    let builder = in_memory()
        .max_inbound_messages(1_000)
        .max_inbound_bytes(BUDGET);
    let (node, mut inbound) = node(builder).await;
    let (flooding, mut flood) = join(&node, 1024).await;
    let (quiet_peer, mut quiet_one) = join(&node, 1024).await;
    let text = (line() + "\n").repeat(200);
    let flood = tokio::spawn(async move {
        flood.write_all(text.as_bytes()).await.unwrap();
        flood
    });
    quiet().await;
    let taken = node.peer_stats(flooding).unwrap().messages_in;
    assert!((31..=36).contains(&taken), "{taken}");
    quiet_one
        .write_all((line() + "\n").repeat(2).as_bytes())
        .await
        .unwrap();
    quiet().await;
    assert_eq!(node.peer_stats(quiet_peer).unwrap().messages_in, 2);
    // The outbound queues get less meanwhile.
    let (_, mut remote, lines) = hog(&node).await;
    assert!((11..=18).contains(&lines), "{lines}");

    let mut counts = [0, 0];
    for _ in 0..202 {
        let (_, peer) = within(inbound.recv()).await.unwrap();
        counts[usize::from(peer == quiet_peer)] += 1;
    }
    assert_eq!(counts, [200, 2]);
    let (_, mut second_remote, second) = hog(&node).await;
    assert!((23..=27).contains(&second), "{second}");
    within(remote.read_exact(&mut vec![0; lines * 1024]))
        .await
        .unwrap();
    let mut all = vec![0; second * 1024];
    within(second_remote.read_exact(&mut all)).await.unwrap();
    drop((
        within(flood).await.unwrap(),
        quiet_one,
        remote,
        second_remote,
    ));
    finish(&node, inbound).await;
}
