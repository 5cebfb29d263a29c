//! What a node tells `tracing`: a span per node and per connection, the life of connections at
//! `debug`, their batches at `trace`, and nothing that a remote could forge a log with.

mod common;
#[path = "tracing/escaping.rs"]
mod escaping;
#[path = "tracing/throttled.rs"]
mod throttled;
#[path = "tracing/told.rs"]
mod told;

use common::{
    adopt, ending, expect_text, in_memory, join, next_event, shut_down, start_lines, wind_up,
    within,
};
use tokio::io::{AsyncWriteExt, duplex};
use told::{Told, life_of, log, named, open_spans, span_of, told_by};
use tracing::Level;
use wattle::{Event, Node, Transport, testing::Memory};

#[tokio::test(start_paused = true)]
async fn a_node_has_a_span_and_each_connection_one_inside_it_as_long_as_they_live() {
    let (node, inbound) = start_lines(named("spans", in_memory())).await;
    assert_eq!(open_spans("spans"), 1);
    let (first, remote) = join(&node, 64).await;
    let (second, other) = join(&node, 64).await;
    assert_eq!(open_spans("spans"), 3);

    let mut events = inbound.into_events();
    drop(remote);
    ending(&mut events, first).await;
    assert_eq!(open_spans("spans"), 2);
    drop(other);
    ending(&mut events, second).await;
    shut_down(&node).await;
    assert_eq!(open_spans("spans"), 1);

    let end = r#"disconnected reason="end of stream (by the remote)""#;
    let (first, second) = (span_of(first), span_of(second));
    let expected = [
        format!("{first}: connected side=Listener"),
        format!("{second}: connected side=Listener"),
        format!("{first}: {end}"),
        format!("{second}: {end}"),
        "shutting down".to_owned(),
    ];
    assert_eq!(life_of("spans"), expected);
    drop((node, events));
    assert_eq!(open_spans("spans"), 0);
}

#[tokio::test(start_paused = true)]
async fn nodes_without_a_name_are_numbered() {
    drop(log());
    let network = Memory::new();
    let mut names = Vec::new();
    for _ in 0..2 {
        let builder = Node::builder().transport(network.clone());
        let (node, inbound) = start_lines(builder).await;
        // Somewhere that only this node listens: the network's ports are counted.
        let addr = node.listen("127.0.0.1:0").await.unwrap();
        let listening = format!("listening addr={addr}");
        let numbered = |told: &&Told| told.node.parse::<u64>().is_ok();
        let told = log()
            .told
            .iter()
            .filter(numbered)
            .rfind(|told| told.to_string() == listening)
            .cloned();
        names.push(told.expect("a numbered node that listens").node);
        wind_up(node, inbound).await;
    }
    assert_ne!(names[0], names[1]);
}

#[tokio::test(start_paused = true)]
async fn at_debug_the_life_of_a_listener_and_its_connections_can_be_followed() {
    let network = Memory::new();
    let builder = named("life", Node::builder().transport(network.clone()));
    let (node, inbound) = start_lines(builder.max_connections(1)).await;
    let addr = node.listen("127.0.0.1:0").await.unwrap();
    let mut events = inbound.into_events();

    let remote = within(network.connect(addr)).await.unwrap();
    let Event::Connected(peer) = next_event(&mut events).await else {
        panic!("the first comes in");
    };
    let _second = within(network.connect(addr)).await.unwrap();
    let Event::Refused(refused, refusal) = next_event(&mut events).await else {
        panic!("the second is refused");
    };
    drop(remote);
    ending(&mut events, peer).await;
    assert!(within(node.stop_listening()).await);
    shut_down(&node).await;

    let span = span_of(peer);
    let expected = [
        format!("listening addr={addr}"),
        format!("{span}: connected side=Listener"),
        format!("refused addr={refused} refusal={refusal}"),
        format!(r#"{span}: disconnected reason="end of stream (by the remote)""#),
        format!("stopped listening addr={addr}"),
        "shutting down".to_owned(),
    ];
    assert_eq!(life_of("life"), expected);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_is_told_with_its_reason() {
    let (node, inbound) = start_lines(named("reasons", in_memory())).await;
    let mut events = inbound.into_events();
    let mut expected = Vec::new();
    for ending_by in ["disconnect", "abort", "bytes that are no text", "shutdown"] {
        let (peer, mut remote) = join(&node, 64).await;
        match ending_by {
            "disconnect" => {
                let (_, end) = tokio::join!(remote.shutdown(), within(node.disconnect(peer)));
                end.expect("it was connected");
            }
            "abort" => assert!(node.abort(peer)),
            "shutdown" => {
                drop(remote.shutdown().await);
                expected.push("shutting down".to_owned());
                shut_down(&node).await;
            }
            _ => remote.write_all(b"\xff\n").await.unwrap(),
        }
        let end = ending(&mut events, peer).await.to_string();
        let at = expected.len() - usize::from(ending_by == "shutdown");
        expected.insert(at, format!("{}: connected side=Listener", span_of(peer)));
        expected.push(format!("{}: disconnected reason={end:?}", span_of(peer)));
    }
    assert_eq!(life_of("reasons"), expected);
}

#[tokio::test(start_paused = true)]
async fn batches_are_told_at_trace_and_messages_nowhere() {
    const MESSAGES: usize = 1000;
    let (node, mut inbound) = start_lines(named("batches", in_memory())).await;
    let (ours, mut remote) = duplex(1 << 16);
    let lines = "line\n".repeat(MESSAGES);
    remote.write_all(lines.as_bytes()).await.unwrap();
    let peer = adopt(&node, ours).await;
    for _ in 0..MESSAGES {
        within(inbound.recv()).await.unwrap();
    }
    for _ in 0..MESSAGES {
        node.try_send_to("line".to_owned(), peer).unwrap();
    }
    expect_text(&mut remote, &lines).await;

    let trace = |message: &str| {
        let mut told = told_by("batches", |level| level == Level::TRACE);
        told.retain(|told| told.fields.0["message"] == message);
        assert!(told.iter().all(|told| told.within == [span_of(peer)]));
        let sum = |name| {
            told.iter()
                .map(|told| told.fields.number(name))
                .sum::<usize>()
        };
        (told.len(), sum("messages"), sum("bytes"))
    };
    for direction in ["batch in", "batch out"] {
        let (batches, messages, bytes) = trace(direction);
        assert_eq!((messages, bytes), (MESSAGES, lines.len()), "{direction}");
        assert!(
            (1..=MESSAGES / 100).contains(&batches),
            "{direction}: {batches} batches"
        );
    }

    // One at a time there is a batch for each, and still nothing more at `debug`.
    for _ in 0..10 {
        remote.write_all(b"line\n").await.unwrap();
        let (line, peer) = within(inbound.recv()).await.unwrap();
        within(node.send_to(line, peer)).await.unwrap();
        expect_text(&mut remote, "line\n").await;
    }
    assert_eq!(trace("batch out").1, MESSAGES + 10);
    drop(remote);
    let mut events = inbound.into_events();
    ending(&mut events, peer).await;
    shut_down(&node).await;
    let life = life_of("batches");
    assert_eq!(
        life.len(),
        3,
        "connected, disconnected, shutting down: {life:#?}"
    );
}
