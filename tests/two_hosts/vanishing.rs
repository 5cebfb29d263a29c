//! The other host vanishes: while a connection to it is being closed, and while nobody looks.

use std::{io::ErrorKind, pin::pin, time::Duration};

use futures::FutureExt;
use tokio::time::{Instant, timeout};
use wattle::{Builder, Disconnect, Initiator, Node, Reason, transport::Tcp};

use super::{
    common::soon,
    hosts::{Cut, Host, Hosts, allowed},
    transfer::{LineEnd, connect},
};

const DRAIN: Duration = Duration::from_millis(500);

/// Who waits for room as long as this, waits for a remote that doesn't read.
const STALLED: Duration = Duration::from_millis(500);

const ARP_AGAIN: &str = "ipv4/neigh/eth0/retrans_time_ms";

fn builder() -> Builder {
    Node::builder().drain_timeout(DRAIN)
}

/// Queues messages until neither the queue nor the buffers of both kernels take more, as Bob's
/// program doesn't read. Tells how many.
async fn stuff(alice: &LineEnd) -> u64 {
    let mut accepted = 0;
    loop {
        let send = alice.node.send_to("x".repeat(8000), alice.peer);
        match timeout(STALLED, send).await {
            Ok(sent) => sent.expect("it is connected"),
            Err(_elapsed) => return accepted,
        }
        accepted += 1;
    }
}

/// Bob's host is gone without a word.
async fn vanish(hosts: Hosts, bob: LineEnd) -> Host {
    hosts.cut(Cut::AtBob).await;
    drop(bob);
    hosts.alice
}

fn assert_disconnected(why: &Disconnect) {
    assert!(matches!(why.reason, Reason::Disconnected), "{why}");
    assert_eq!(why.initiator, Initiator::Local);
}

#[tokio::test]
async fn a_host_that_vanishes_during_a_disconnect_is_told_by_the_drain_timeout() {
    let Some(hosts) = Hosts::new().await else {
        return;
    };
    let (mut alice, bob) = connect(&hosts, builder(), builder()).await;
    let accepted = stuff(&alice).await;
    let node = alice.node.clone();
    let begin = Instant::now();
    let mut closing = pin!(node.disconnect(alice.peer));
    assert!(closing.as_mut().now_or_never().is_none());
    let _host = vanish(hosts, bob).await;

    let why = soon("the drain timeout", closing).await;
    assert!(begin.elapsed() >= DRAIN);
    let why = why.expect("it was connected");
    assert_disconnected(&why);
    assert!(why.drain_timed_out && why.undelivered > 0, "{why}");
    assert_eq!(node.stats().messages_out + why.undelivered, accepted);
    assert_eq!(node.stats().timeouts.drain, 1);
    let told = alice.ending().await;
    assert_eq!(told.undelivered, why.undelivered);
    alice.finish().await;
}

#[tokio::test]
async fn a_host_that_vanishes_during_a_shutdown_is_in_the_report() {
    let Some(hosts) = Hosts::new().await else {
        return;
    };
    let (mut alice, bob) = connect(&hosts, builder(), builder()).await;
    let accepted = stuff(&alice).await;
    let node = alice.node.clone();
    let begin = Instant::now();
    let mut closing = pin!(node.shutdown());
    assert!(closing.as_mut().now_or_never().is_none());
    let _host = vanish(hosts, bob).await;

    let report = soon("the drain timeout", closing).await;
    assert!(begin.elapsed() >= DRAIN);
    assert!(!report.is_clean());
    assert_eq!((report.connections, report.drain_timeouts), (1, 1));
    assert!(report.undelivered > 0, "{report}");
    assert_eq!(node.stats().messages_out + report.undelivered, accepted);
    let why = alice.ending().await;
    assert!(matches!(why.reason, Reason::Shutdown), "{why}");
    assert!(why.drain_timed_out && why.undelivered == report.undelivered);
    assert!(soon("the end", alice.events.recv()).await.is_none());
}

/// Handed to the operating system is not delivered; that the remote is silent is told all the same.
#[tokio::test]
async fn a_host_that_had_vanished_before_is_told_even_if_everything_was_written() {
    let Some(hosts) = Hosts::new().await else {
        return;
    };
    let (mut alice, bob) = connect(&hosts, builder(), builder()).await;
    let _host = vanish(hosts, bob).await;
    alice.say("to nobody").await;
    let disconnecting = alice.node.disconnect(alice.peer);
    let why = soon("the drain timeout", disconnecting).await;
    let why = why.expect("it was connected");
    assert_disconnected(&why);
    assert!(why.drain_timed_out && why.undelivered == 0, "{why}");
    assert_eq!(alice.node.stats().messages_out, 1);
    alice.ending().await;
    alice.finish().await;
}

/// The kernel gave up: no deadline of ours, and nothing that the remote has done.
fn assert_given_up(why: &Disconnect, kinds: &[ErrorKind]) {
    let Reason::Io(error) = &why.reason else {
        panic!("expected an I/O error, got {why}");
    };
    assert!(kinds.contains(&error.kind()), "{why}");
    assert_eq!(why.initiator, Initiator::Library);
}

#[tokio::test]
async fn keepalive_notices_a_host_that_vanished_while_nobody_said_anything() {
    let Some(hosts) = Hosts::new().await else {
        return;
    };
    for parameter in ["ipv4/tcp_keepalive_intvl", "ipv4/tcp_keepalive_probes"] {
        if allowed(hosts.alice.set(parameter, 1).await).is_none() {
            return;
        }
    }
    let attentive = builder().transport(Tcp::new().keepalive(Duration::from_secs(1)));
    let (mut alice, bob) = connect(&hosts, attentive, builder()).await;
    hosts.cut(Cut::Silently).await;
    assert_given_up(&alice.ending().await, &[ErrorKind::TimedOut]);
    alice.finish().await;
    drop(bob);
}

#[tokio::test]
async fn what_the_kernel_gives_up_to_send_again_is_in_the_reason() {
    let Some(hosts) = Hosts::new().await else {
        return;
    };
    // Instead of 15 times, which takes a quarter of an hour.
    if allowed(hosts.alice.set("ipv4/tcp_retries2", 2).await).is_none() {
        return;
    }
    let timed_out = &[ErrorKind::TimedOut][..];
    // Which of the two it is depends on whether the kernel has found out about the address by then.
    let either = &[ErrorKind::TimedOut, ErrorKind::HostUnreachable];
    for (cut, kinds) in [
        (Cut::Silently, timed_out),
        (Cut::Unreachable, timed_out),
        (Cut::AtBob, either),
    ] {
        let (mut alice, bob) = connect(&hosts, builder(), builder()).await;
        // Who has Bob's address is asked again after this many milliseconds, and in vain. Not before: on a
        // busy machine an answer may take longer than the three times that it is asked.
        hosts.alice.set(ARP_AGAIN, 100).await.expect("as above");
        hosts.cut(cut).await;
        alice.say("to nobody").await;
        assert_given_up(&alice.ending().await, kinds);
        hosts.mend(cut).await;
        alice.finish().await;
        drop(bob);
    }
}
