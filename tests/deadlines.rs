//! When the deadlines of an established connection pass, and when they don't.

mod common;

use std::time::Duration;

use common::within;
use common::{ending, expect_text, finish_events, in_memory, join, quiet, start_lines};
use futures::FutureExt;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};
use wattle::{Disconnect, Events, Initiator, Peer, Reason, Timeout};

const LIMIT: Duration = Duration::from_secs(3);

/// The clock is paused, so that what takes longer than its timer takes no longer than this.
const SLACK: Duration = Duration::from_millis(5);

/// The end of the connection, which has to come this much after `since`.
async fn ending_after(
    events: &mut Events<String>,
    peer: Peer,
    since: Instant,
    limit: Duration,
) -> Disconnect {
    let disconnect = ending(events, peer).await;
    let after = since.elapsed();
    assert!(
        (limit..limit + SLACK).contains(&after),
        "{disconnect} after {after:?}"
    );
    disconnect
}

fn assert_timed_out(disconnect: &Disconnect, timeout: Timeout) {
    assert!(
        matches!(disconnect.reason, Reason::TimedOut(t) if t == timeout),
        "{disconnect}"
    );
    assert_eq!(disconnect.initiator, Initiator::Library);
}

#[tokio::test(start_paused = true)]
async fn a_silent_remote_is_idle_from_its_last_byte_on() {
    let (node, inbound) = start_lines(in_memory().idle_timeout(LIMIT)).await;
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 64).await;
    for _ in 0..10 {
        // A byte of an unfinished message is a sign of life, too; what we send is none.
        sleep(LIMIT - SLACK).await;
        within(remote.write_all(b"x")).await.unwrap();
        node.try_send_to("y".to_owned(), peer).unwrap();
    }
    quiet().await;
    let since = Instant::now() - Duration::from_millis(1);
    let disconnect = ending_after(&mut events, peer, since, LIMIT).await;
    assert_timed_out(&disconnect, Timeout::Idle);
    assert_eq!(node.stats().timeouts.idle, 1);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_we_do_not_read_is_not_the_remotes() {
    let options = in_memory().idle_timeout(LIMIT).max_inbound_messages(1);
    let (node, inbound) = start_lines(options).await;
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 64).await;
    within(remote.write_all(b"one\ntwo\n")).await.unwrap();
    sleep(100 * LIMIT).await;
    assert_eq!(node.peers(), [peer], "its second message waits for us");
    let since = Instant::now();
    let disconnect = ending_after(&mut events, peer, since, LIMIT).await;
    assert_timed_out(&disconnect, Timeout::Idle);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn without_an_idle_timeout_a_remote_may_be_silent_for_ever() {
    let (node, inbound) = start_lines(in_memory()).await;
    let (peer, remote) = join(&node, 64).await;
    sleep(Duration::from_secs(1_000_000)).await;
    assert_eq!(node.peers(), [peer]);
    drop(remote);
    finish_events(&node, inbound.into_events()).await;
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_takes_nothing_is_given_up_at_the_write_timeout() {
    let (node, inbound) = start_lines(in_memory().write_timeout(LIMIT)).await;
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 4).await;
    sleep(100 * LIMIT).await;
    for message in ["fits", "not", "at all"] {
        node.try_send_to(message.to_owned(), peer).unwrap();
    }
    sleep(LIMIT - SLACK).await;
    expect_text(&mut remote, "f").await;
    quiet().await;
    let since = Instant::now() - Duration::from_millis(1);
    let disconnect = ending_after(&mut events, peer, since, LIMIT).await;
    assert_timed_out(&disconnect, Timeout::Write);
    assert_eq!(disconnect.undelivered, 3);
    assert_eq!(
        (node.stats().timeouts.write, node.stats().undelivered),
        (1, 3)
    );
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_reads_slowly_is_not_given_up() {
    let (node, inbound) = start_lines(in_memory().write_timeout(LIMIT)).await;
    let (peer, mut remote) = join(&node, 1).await;
    let slow = "taken one byte at a time";
    node.try_send_to(slow.to_owned(), peer).unwrap();
    for byte in slow.chars() {
        sleep(LIMIT - SLACK).await;
        expect_text(&mut remote, &byte.to_string()).await;
    }
    expect_text(&mut remote, "\n").await;
    drop(remote);
    finish_events(&node, inbound.into_events()).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_write_timeout_a_remote_may_stall_for_ever() {
    let (node, inbound) = start_lines(in_memory().write_timeout(None)).await;
    let (peer, mut remote) = join(&node, 1).await;
    node.try_send_to("patience".to_owned(), peer).unwrap();
    sleep(Duration::from_secs(1_000_000)).await;
    expect_text(&mut remote, "patience\n").await;
    drop(remote);
    finish_events(&node, inbound.into_events()).await;
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_waits_for_the_remote_no_longer_than_the_drain_timeout() {
    for unsent in [0, 3] {
        let (node, inbound) = start_lines(in_memory().drain_timeout(LIMIT)).await;
        let mut events = inbound.into_events();
        // With nothing to write, it is the remote's end that doesn't come.
        let (peer, remote) = join(&node, 4).await;
        for _ in 0..unsent {
            node.try_send_to("unsent".to_owned(), peer).unwrap();
        }
        let since = Instant::now();
        let waited = within(node.disconnect(peer)).await.unwrap();
        assert!(matches!(waited.reason, Reason::Disconnected), "{waited}");
        assert_eq!(
            (waited.initiator, waited.undelivered),
            (Initiator::Local, unsent)
        );
        let told = ending_after(&mut events, peer, since, LIMIT).await;
        assert_eq!(told.undelivered, unsent);
        assert!(waited.drain_timed_out && told.drain_timed_out);
        assert!(told.to_string().contains("not drained in time"), "{told}");
        assert_eq!(node.stats().timeouts.drain, 1);
        drop(remote);
        finish_events(&node, events).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_no_longer_either_and_reports_what_it_lost() {
    let (node, mut inbound) = start_lines(in_memory().drain_timeout(LIMIT)).await;
    let (stalled, stalled_remote) = join(&node, 4).await;
    let (_, gone) = join(&node, 4).await;
    for _ in 0..3 {
        node.try_send_to("unsent".to_owned(), stalled).unwrap();
    }
    drop(gone);
    let since = Instant::now();
    let report = within(node.shutdown()).await;
    assert!((LIMIT..LIMIT + SLACK).contains(&since.elapsed()));
    assert!(!report.is_clean());
    assert_eq!(
        (
            report.connections,
            report.undelivered,
            report.drain_timeouts
        ),
        (2, 3, 1)
    );
    assert_eq!(inbound.recv().now_or_never(), Some(None));
    drop(stalled_remote);
    let again = within(node.shutdown()).await;
    assert_eq!(again, report);
    assert_eq!(node.stats().connections, 0);
}
