//! The cable is pulled in the middle of a transfer, or changes what it carries.

use std::time::Duration;

use tokio::time::sleep;
use wattle::{Builder, Initiator, Node, Reason, Timeout};

use super::{
    common::soon,
    hosts::{Cut, Hosts},
    transfer::{Transfer, connect, join},
};

/// How many lines make sure that a transfer is under way.
const SOME: u64 = 2000;

/// How long a cut lasts that is to be survived: longer than it takes for everything in the kernel's
/// buffers to come to a stand, shorter than anything gives up.
const SHORT: Duration = Duration::from_millis(700);

async fn the_writer_and_the_reader_time_out(cut: Cut) {
    let Some(hosts) = Hosts::new().await else {
        return;
    };
    let writer = Node::builder().write_timeout(Duration::from_millis(500));
    let reader = Node::builder().idle_timeout(Duration::from_secs(1));
    let (alice, bob) = connect(&hosts, writer, reader).await;
    let (a, b) = (alice.node.clone(), bob.node.clone());
    let mut transfer = Transfer::begin(alice, bob);
    soon("a transfer", transfer.progress(SOME)).await;
    hosts.cut(cut).await;

    let (books, [alices, bobs]) = soon("both ends", transfer.ended(&a)).await;
    assert!(
        matches!(books.alice.reason, Reason::TimedOut(Timeout::Write)),
        "{books:?}"
    );
    assert!(
        matches!(books.bob.reason, Reason::TimedOut(Timeout::Idle)),
        "{books:?}"
    );
    for ending in [&books.alice, &books.bob] {
        assert_eq!(ending.initiator, Initiator::Library);
    }
    assert!(
        books.acknowledged > 0 && books.came < books.accepted,
        "{books:?}"
    );
    assert!(books.alice.undelivered > 0, "{books:?}");
    assert_eq!((a.stats().timeouts.write, b.stats().timeouts.idle), (1, 1));

    // Nothing of it is in the way of the next connection.
    hosts.mend(cut).await;
    let (mut alice, bob) = soon("a connection", join((a, alices), (b, bobs), &hosts)).await;
    bob.say("hello").await;
    assert_eq!(alice.hear().await, "hello");
    alice.finish().await;
    bob.finish().await;
}

#[tokio::test]
async fn a_pulled_cable_is_told_by_the_timeouts() {
    the_writer_and_the_reader_time_out(Cut::AtBob).await;
}

#[tokio::test]
async fn a_cable_pulled_on_the_writers_side_is_told_by_the_timeouts() {
    the_writer_and_the_reader_time_out(Cut::AtAlice).await;
}

#[tokio::test]
async fn a_path_that_swallows_everything_is_told_by_the_timeouts() {
    the_writer_and_the_reader_time_out(Cut::Silently).await;
}

/// Pulls the cable for a moment; all that was sent has to come, once and in order.
async fn a_cut_is_survived(cut: Cut, builder: Builder) {
    let Some(hosts) = Hosts::new().await else {
        return;
    };
    let (alice, bob) = connect(&hosts, builder.clone(), builder).await;
    let (a, b) = (alice.node.clone(), bob.node.clone());
    let mut transfer = Transfer::begin(alice, bob);
    for _ in 0..2 {
        soon("a transfer", transfer.progress(SOME)).await;
        hosts.cut(cut).await;
        sleep(SHORT / 2).await;
        let came = transfer.came();
        sleep(SHORT / 2).await;
        assert_eq!(transfer.came(), came, "the cut should be one");
        assert!(!transfer.has_ended());
        hosts.mend(cut).await;
    }
    soon("the transfer to go on", transfer.progress(SOME)).await;
    complete(transfer, &a, &b).await;
}

/// Waits for the rest of a transfer, and ends it.
async fn complete(mut transfer: Transfer, a: &Node<String>, b: &Node<String>) {
    soon("all lines", transfer.complete()).await;
    let report = soon("a shutdown", a.shutdown()).await;
    assert!(report.is_clean(), "{report}");
    let (books, _) = soon("both ends", transfer.ended(a)).await;
    assert_eq!(books.came, books.accepted);
    assert_eq!(books.alice.undelivered, 0);
    assert!(matches!(books.alice.reason, Reason::Shutdown), "{books:?}");
    assert!(matches!(books.bob.reason, Reason::EndOfStream), "{books:?}");
    let report = soon("a shutdown", b.shutdown()).await;
    assert!(report.is_clean(), "{report}");
}

fn patient() -> Builder {
    let long = Duration::from_secs(20);
    Node::builder().write_timeout(long).idle_timeout(long)
}

#[tokio::test]
async fn what_is_pulled_for_less_than_the_timeouts_goes_on_and_nothing_is_lost() {
    a_cut_is_survived(Cut::AtBob, patient()).await;
}

#[tokio::test]
async fn a_link_of_our_own_that_was_down_goes_on_and_nothing_is_lost() {
    a_cut_is_survived(Cut::AtAlice, patient()).await;
}

#[tokio::test]
async fn a_path_that_swallowed_for_a_while_goes_on_and_nothing_is_lost() {
    a_cut_is_survived(Cut::Silently, patient()).await;
}

#[tokio::test]
async fn without_timeouts_a_pulled_cable_ends_nothing() {
    let builder = Node::builder().write_timeout(None).idle_timeout(None);
    a_cut_is_survived(Cut::AtBob, builder).await;
}

#[tokio::test]
async fn the_mtu_may_change_in_the_middle_of_a_transfer() {
    let Some(hosts) = Hosts::new().await else {
        return;
    };
    let (alice, bob) = connect(&hosts, patient(), patient()).await;
    let (a, b) = (alice.node.clone(), bob.node.clone());
    let mut transfer = Transfer::begin(alice, bob);
    for mtu in [576, 1280, 9000, 1500] {
        soon("a transfer", transfer.progress(SOME)).await;
        for host in [&hosts.alice, &hosts.bob] {
            host.ip(&format!("link set dev eth0 mtu {mtu}")).await;
        }
    }
    soon("the transfer to go on", transfer.progress(SOME)).await;
    complete(transfer, &a, &b).await;
}
