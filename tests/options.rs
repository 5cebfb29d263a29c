//! Options that make no sense are refused by `start`, with the option, the value and the reason;
//! the largest values that make sense work.

mod common;

use std::time::Duration;

use common::{lines, listening, wind_up, within};
use wattle::{Builder, InvalidOption, Node, StartError, transport::Tcp};

/// What `start` says of a builder's options.
async fn refusal(builder: Builder) -> StartError {
    match within(builder.start::<_, String>(lines)).await {
        Ok(_) => panic!("the node was started"),
        Err(error) => error,
    }
}

async fn assert_refused(builder: Builder, name: &str, given: &str, because: &str) {
    let error = refusal(builder).await;
    let StartError::InvalidOption(InvalidOption {
        option,
        value,
        reason,
        ..
    }) = &error
    else {
        panic!("{name}: {error}");
    };
    assert_eq!(*option, name);
    assert_eq!(value, given, "{name}");
    assert!(reason.contains(because), "{name}: {reason}");
    let text = error.to_string();
    for part in [name, given, because] {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

#[tokio::test]
async fn limits_and_queues_of_zero_are_refused() {
    let new = Node::builder;
    for (builder, name) in [
        (new().max_connections(0), "max_connections"),
        (new().max_pending(0), "max_pending"),
        (new().max_inbound_messages(0), "max_inbound_messages"),
        (new().max_inbound_bytes(0), "max_inbound_bytes"),
        (new().max_outbound_messages(0), "max_outbound_messages"),
        (new().max_outbound_bytes(0), "max_outbound_bytes"),
        (new().write_boundary(0), "write_boundary"),
        (new().max_frame_bytes(0), "max_frame_bytes"),
    ] {
        assert_refused(builder, name, "0", "at least 1").await;
    }
}

#[tokio::test]
async fn timeouts_of_zero_are_refused() {
    let (new, zero) = (Node::builder, Duration::ZERO);
    for (builder, name) in [
        (new().connect_timeout(zero), "connect_timeout"),
        (new().handshake_timeout(zero), "handshake_timeout"),
        (new().frame_timeout(zero), "frame_timeout"),
        (new().idle_timeout(zero), "idle_timeout"),
        (new().write_timeout(zero), "write_timeout"),
        (new().drain_timeout(zero), "drain_timeout"),
    ] {
        assert_refused(builder, name, "0ns", "would fail everything").await;
    }
}

#[tokio::test]
async fn more_pending_connections_than_connections_are_refused() {
    let builder = Node::builder().max_connections(10).max_pending(11);
    assert_refused(builder, "max_pending", "11", "max_connections is 10").await;
}

#[tokio::test]
async fn a_write_boundary_that_the_queue_never_reaches_is_refused() {
    let builder = Node::builder()
        .max_outbound_bytes(1000)
        .write_boundary(1001);
    assert_refused(builder, "write_boundary", "1001", "max_outbound_bytes").await;
}

#[tokio::test]
async fn a_least_rate_of_frames_needs_a_frame_timeout_and_some_bytes() {
    let builder = Node::builder().min_frame_rate(1000);
    assert_refused(builder, "min_frame_rate", "1000", "frame_timeout").await;
    let builder = Node::builder().frame_timeout(Duration::from_secs(1));
    assert_refused(
        builder.min_frame_rate(0),
        "min_frame_rate",
        "0",
        "at least 1",
    )
    .await;
}

#[tokio::test]
async fn lowering_one_limit_alone_does_not_contradict_the_defaults() {
    for builder in [
        Node::builder().max_connections(1),
        Node::builder().max_outbound_bytes(1),
    ] {
        let (node, inbound) = listening(builder).await;
        wind_up(node, inbound).await;
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    for nonsense in ["", "localhost", "127.0.0.1:65536", ":::"] {
        let given = format!("{nonsense:?}");
        assert_refused(Node::builder().listen(nonsense), "listen", &given, "").await;
    }
}

#[tokio::test]
async fn options_of_sockets_that_make_no_sense_are_refused() {
    let tcp = |tcp| Node::builder().transport(tcp);
    let builder = tcp(Tcp::new().backlog(0));
    assert_refused(builder, "Tcp::backlog", "0", "no connection would").await;
    for (keepalive, given) in [
        (Duration::ZERO, "0ns"),
        (Duration::from_millis(999), "999ms"),
    ] {
        let builder = tcp(Tcp::new().keepalive(keepalive));
        assert_refused(builder, "Tcp::keepalive", given, "whole seconds").await;
    }
}

#[tokio::test]
async fn the_least_values_work() {
    let tick = Duration::from_nanos(1);
    let builder = Node::builder()
        .max_connections(1)
        .max_pending(1)
        .max_inbound_messages(1)
        .max_inbound_bytes(1)
        .max_outbound_messages(1)
        .max_outbound_bytes(1)
        .max_frame_bytes("three\n".len())
        .write_boundary(1);
    assert_messages_get_through(builder.clone()).await;

    let builder = builder.frame_timeout(tick).min_frame_rate(1);
    let (node, inbound) = listening(builder.idle_timeout(tick).drain_timeout(tick)).await;
    wind_up(node, inbound).await;
}

#[tokio::test]
async fn the_largest_values_work() {
    let builder = Node::builder()
        .max_connections(usize::MAX)
        .max_pending(usize::MAX)
        .max_inbound_messages(usize::MAX)
        .max_inbound_bytes(usize::MAX)
        .max_outbound_messages(usize::MAX)
        .max_outbound_bytes(usize::MAX)
        .write_boundary(usize::MAX)
        .max_frame_bytes(usize::MAX)
        .frame_timeout(Duration::MAX)
        .min_frame_rate(u32::MAX)
        .connect_timeout(Duration::MAX)
        .handshake_timeout(Duration::MAX)
        .idle_timeout(Duration::MAX)
        .write_timeout(Duration::MAX)
        .drain_timeout(Duration::MAX);
    assert_messages_get_through(builder).await;
}

async fn assert_messages_get_through(builder: Builder) {
    let (alice, mut from_bob) = listening(builder.clone()).await;
    let (bob, mut from_alice) = listening(builder).await;
    let to_alice = bob.connect(alice.local_addr().unwrap());
    let to_alice = within(to_alice).await.unwrap();
    for text in ["one", "two", "three"] {
        within(bob.send_to(text.into(), to_alice)).await.unwrap();
        let (heard, peer) = within(from_bob.recv()).await.unwrap();
        assert_eq!(heard, text);
        within(alice.send_to(heard, peer)).await.unwrap();
        assert_eq!(within(from_alice.recv()).await.unwrap().0, text);
    }
    // One after the other, so that the second finds nothing to close but its listener.
    wind_up(bob, from_alice).await;
    wind_up(alice, from_bob).await;
}
