//! What a remote can cause is told once per second and kind, with how many more there were.

use std::time::Duration;

use futures::SinkExt;
use tokio::{
    io::AsyncWriteExt,
    time::{advance, sleep},
};
use tracing::Level;
use wattle::{Event, HandshakeError, IpNet, Node, Transport, WhenFull, testing::Memory};

use crate::{
    common::{Silent, ending, in_memory, join, next_event, quiet, shut_down, start_lines, within},
    told::{life_of, named, told_by},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_flood_that_is_refused_is_a_line_per_second_and_kind() {
    const FLOOD: usize = 1000;
    let network = Memory::new();
    let builder = named("flood", Node::builder().transport(network.clone()));
    let everyone: IpNet = "0.0.0.0/0".parse().unwrap();
    let builder = builder.ban(everyone, None).filter(|_| panic!("\n\x1b[2J"));
    let (node, inbound) = start_lines(builder).await;
    let addr = node.listen("127.0.0.1:0").await.unwrap();
    let mut events = inbound.into_events();
    let mut flood = async || {
        for _ in 0..FLOOD {
            drop(within(network.connect(addr)).await.unwrap());
            let event = next_event(&mut events).await;
            assert!(matches!(event, Event::Refused(..)), "{event:?}");
        }
    };
    flood().await;
    advance(SECOND).await;
    flood().await;
    // Another kind has a line of its own.
    assert!(node.admission().unban(everyone));
    flood().await;
    shut_down(&node).await;

    let life = life_of("flood");
    let refused: Vec<_> = life
        .iter()
        .filter(|line| line.starts_with("refused"))
        .map(|line| line.split_once("refusal=").unwrap().1)
        .collect();
    let suppressed = format!("the address is banned suppressed={}", FLOOD - 1);
    let panicked = r"the filter panicked: \n\u{1b}[2J";
    assert_eq!(refused, ["the address is banned", &suppressed, panicked]);
    let all = told_by("flood", |level| level == Level::TRACE);
    let left_out = all
        .iter()
        .filter(|told| told.to_string().starts_with("refused"));
    assert_eq!(left_out.count(), 3 * (FLOOD - 1));
    drop(events);
}

#[tokio::test(start_paused = true)]
async fn handshakes_that_fail_are_a_line_per_second_for_each_side() {
    let network = Memory::new();
    let builder = named("handshakes", Node::builder().transport(network.clone()));
    let builder = builder.handshake_timeout(SECOND);
    let started = builder.start::<_, String>(Silent).await;
    let (node, inbound) = started.unwrap();
    let addr = node.listen("127.0.0.1:0").await.unwrap();
    let mut events = inbound.into_events();
    for _ in 0..2 {
        let mut remotes = Vec::new();
        for _ in 0..10 {
            let mut remote = within(network.connect(addr)).await.unwrap();
            remote.write_all(b"ignored").await.unwrap();
            remotes.push(remote);
        }
        for _ in 0..10 {
            match next_event(&mut events).await {
                Event::HandshakeFailed(_, HandshakeError::TimedOut(SECOND)) => {}
                other => panic!("{other:?}"),
            }
        }
        sleep(SECOND).await;
    }
    quiet().await;
    shut_down(&node).await;
    let failed: Vec<_> = life_of("handshakes")
        .iter()
        .filter_map(|line| Some(line.split_once("handshake failed ")?.1.to_owned()))
        .collect();
    let error = r#"error="not finished within 1s""#;
    assert_eq!(failed, [error.to_owned(), format!("{error} suppressed=9")]);
}

#[tokio::test(start_paused = true)]
async fn those_that_are_ignored_are_not_told_at_all() {
    let network = Memory::new();
    let builder = named("ignored", Node::builder().transport(network.clone()));
    let (node, _inbound) = start_lines(builder).await;
    let mut incomings = node.listen_incoming("127.0.0.1:0").await.unwrap();
    let addr = incomings.local_addr();
    for _ in 0..3 {
        drop(within(network.connect(addr)).await.unwrap());
        within(incomings.recv()).await.unwrap().ignore();
    }
    shut_down(&node).await;
    let expected = [
        format!("listening addr={addr}"),
        format!("stopped listening addr={addr}"),
        "shutting down".to_owned(),
    ];
    let told: Vec<_> = told_by("ignored", |_| true)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(told, expected);
}

/// What is told of the endings of this node's connections at `debug`.
fn ends_of(node: &'static str) -> Vec<String> {
    let ends = life_of(node).into_iter();
    ends.filter_map(|line| Some(line.split_once(": disconnected reason=")?.1.to_owned()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn connections_that_end_with_an_error_are_a_line_per_second_and_kind() {
    let builder = named("errors", in_memory().max_frame_bytes(64));
    let (node, inbound) = start_lines(builder).await;
    let mut events = inbound.into_events();
    for _ in 0..2 {
        for _ in 0..10 {
            for bad in [&b"\xff\n"[..], &[b'x'; 65]] {
                let (peer, mut remote) = join(&node, 128).await;
                remote.write_all(bad).await.unwrap();
                drop(remote);
                ending(&mut events, peer).await;
            }
        }
        sleep(SECOND).await;
    }
    shut_down(&node).await;
    let (decode, large) = (
        r#""decode error: Unable to decode input as UTF8 (by the library)""#,
        r#""frame too large: 65 bytes of it, 64 allowed (by the library)""#,
    );
    let again = |line| format!("{line} suppressed=9");
    let expected = [
        decode.to_owned(),
        large.to_owned(),
        again(decode),
        again(large),
    ];
    assert_eq!(ends_of("errors"), expected);
    let all = told_by("errors", |_| true);
    let all = all.iter().map(ToString::to_string);
    assert_eq!(all.filter(|line| line.contains("disconnected")).count(), 40);
}

#[tokio::test(start_paused = true)]
async fn ends_that_somebody_wanted_are_told_each() {
    let (node, inbound) = start_lines(named("wanted", in_memory())).await;
    let mut events = inbound.into_events();
    for n in 0..9 {
        let (peer, remote) = join(&node, 128).await;
        match n % 3 {
            0 => assert!(node.abort(peer)),
            1 => drop(remote),
            _ => {
                let disconnect = tokio::spawn({
                    let node = node.clone();
                    async move { node.disconnect(peer).await }
                });
                drop(remote);
                within(disconnect).await.unwrap();
            }
        }
        ending(&mut events, peer).await;
    }
    shut_down(&node).await;
    assert_eq!(ends_of("wanted").len(), 9);
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_lost_are_a_line_per_second_and_kind() {
    let full = in_memory()
        .max_outbound_messages(1)
        .when_full(WhenFull::DropNewest);
    let (node, inbound) = start_lines(named("lost", full)).await;
    let (peer, remote) = join(&node, 1).await;
    for _ in 0..3 {
        for _ in 0..10 {
            node.try_send_to("dropped but for a few".to_owned(), peer)
                .unwrap();
        }
        quiet().await;
    }
    drop(remote);
    let mut events = inbound.into_events();
    ending(&mut events, peer).await;
    let mut outbound = node.outbound();
    for _ in 0..10 {
        within(outbound.feed(("undelivered".to_owned(), peer)))
            .await
            .unwrap();
    }
    drop(outbound);
    within(node.shutdown()).await;
    let life = life_of("lost");
    let lost: Vec<_> = life
        .iter()
        .filter(|line| line.contains("messages="))
        .collect();
    let expected = [
        format!(
            "connection{{id={} peer={}}}: queue full, dropped messages=9",
            peer.id(),
            peer.addr()
        ),
        format!("undelivered messages=1 peer={peer}"),
    ];
    assert_eq!(lost, expected.iter().collect::<Vec<_>>());
}
