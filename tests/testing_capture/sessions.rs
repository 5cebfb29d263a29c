//! What of a session is in its capture, and that the session doesn't notice.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::io::duplex;
use tokio_util::codec::{Encoder, Framed};
use wattle::{
    BoxError, Event, Protocol, Side,
    testing::{Memory, capture::Direction},
    transport::ByteStream,
};

use super::*;
use crate::{
    capture::hex,
    common::{
        adopt, adopting, next_event,
        pairs::{dial, pair},
        random, seed, start_lines,
    },
};

/// When what the documents tell has happened, in microseconds.
fn times(documents: &[serde_json::Value]) -> Vec<u64> {
    let times = documents[1..].iter().map(|one| one["us"].as_u64().unwrap());
    times.collect()
}

#[tokio::test(start_paused = true)]
async fn each_document_says_what_happened_when_to_whom() {
    let (file, capture) = begun();
    let tapped = capture.named("\"alice\"").tap(lines);
    let (node, mut inbound) = in_memory().start(tapped).await.unwrap();
    let (peer, mut remote) = join(&node, 64).await;

    tokio::time::advance(Duration::from_micros(1500)).await;
    remote.write_all(b"pea\n").await.unwrap();
    assert_eq!(hear(&mut inbound).await, ("pea".to_owned(), peer));
    tokio::time::advance(Duration::from_secs(60)).await;
    node.send_to("a \"pod\"".to_owned(), peer).await.unwrap();
    expect_text(&mut remote, "a \"pod\"\n").await;
    end(&node, inbound, remote).await;
    capture.finish().unwrap();

    let documents = file.documents();
    let header = documents[0].as_object().unwrap();
    assert_eq!(header.len(), 2);
    assert_eq!(header["wattle-capture"], 1);
    assert!(header["began"].as_u64().unwrap() > 1_700_000_000_000_000);
    let identity = |document: &serde_json::Value| {
        assert_eq!(document["node"], "\"alice\"");
        assert_eq!(document["connection"], 0);
        assert_eq!(document["peer"], peer.id());
        assert_eq!(document["addr"], peer.addr().to_string());
        assert_eq!(document["side"], "listener");
    };
    documents[1..].iter().for_each(identity);
    assert_eq!(times(&documents), [0, 1500, 60_001_500, 60_001_500]);
    let pod = format!("out {} \"a \\\"pod\\\"\"", hex("a \"pod\"\n"));
    assert_eq!(file.story(), ["open", "in 7065610a \"pea\"", &pod, "close"]);
}

#[tokio::test(start_paused = true)]
async fn frames_have_their_own_bytes_however_they_are_read() {
    let seed = seed();
    let state = &mut seed.clone();
    let frames: Vec<Vec<u8>> = (0..200)
        .map(|i| vec![i as u8; random(state) as usize % 50])
        .collect();
    let mut wire = BytesMut::new();
    let mut wires = Vec::new();
    for frame in &frames {
        let before = wire.len();
        LengthDelimitedCodec::new()
            .encode(Bytes::from(frame.clone()), &mut wire)
            .unwrap();
        wires.push(wire[before..].to_vec());
    }

    let (file, capture) = begun();
    let tapped = capture.tap(|_| LengthDelimitedCodec::new());
    let (node, mut inbound) = in_memory().start::<_, Bytes>(tapped).await.unwrap();
    let (_, mut remote) = join(&node, 4096).await;
    let write = async {
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(1 + random(state) as usize % 150));
            remote.write_all(now).await.unwrap();
            tokio::task::yield_now().await;
            rest = later;
        }
        remote.shutdown().await.unwrap();
    };
    let read = async {
        for frame in &frames {
            assert_eq!(hear(&mut inbound).await.0, frame);
        }
    };
    tokio::join!(write, read);
    finish(&node, inbound).await;

    assert_eq!(capture.finish().unwrap().frames_in, 200);
    assert_eq!(frames_of(&file), wires);
    assert_eq!(file.story().last().unwrap(), "close");
}

/// Reads a line and writes one, which is left to be flushed, and goes on in lines of capital letters.
struct Hello;

impl<S: ByteStream> Protocol<S> for Hello {
    type Io = S;
    type Codec = LinesCodec;

    async fn handshake(&self, stream: S, _: Peer) -> Result<Framed<S, LinesCodec>, BoxError> {
        let mut framed = Framed::new(stream, LinesCodec::new_with_max_length(80));
        let hello = framed.next().await.ok_or("no hello")??;
        framed.feed(format!("{hello} to you")).await?;
        Ok(framed.map_codec(|_| LinesCodec::new_with_max_length(20)))
    }
}

#[tokio::test]
async fn what_a_handshake_leaves_is_in_the_capture_and_in_the_session() {
    let (file, capture) = begun();
    let (node, mut inbound) = in_memory()
        .start::<_, String>(capture.tap(Hello))
        .await
        .unwrap();
    let (ours, mut remote) = duplex(256);
    remote.write_all(b"hello\nfirst\nsec").await.unwrap();
    let peer = adopt(&node, ours).await;
    expect_text(&mut remote, "hello to you\n").await;
    remote.write_all(b"ond\n").await.unwrap();
    for line in ["first", "second"] {
        assert_eq!(hear(&mut inbound).await, (line.to_owned(), peer));
    }
    end(&node, inbound, remote).await;
    let summary = capture.finish().unwrap();
    assert_eq!((summary.bytes_in, summary.bytes_out), (13, 13));
    let story = file.story();
    let reply = format!("out {}", hex("hello to you\n"));
    let second = format!("in {} \"second\"", hex("second\n"));
    assert_eq!(
        story,
        [
            "open",
            &reply,
            "in 66697273740a \"first\"",
            &second,
            "close"
        ]
    );
}

#[tokio::test]
async fn a_failed_handshake_is_not_in_the_capture() {
    let (file, capture) = begun();
    let (node, inbound) = in_memory()
        .start::<_, String>(capture.tap(Hello))
        .await
        .unwrap();
    let (ours, theirs) = duplex(256);
    drop(theirs);
    let addr = SocketAddr::from(([127, 0, 0, 1], 9));
    within(node.adopt(ours, addr, Side::Dialer))
        .await
        .unwrap_err();
    finish(&node, inbound).await;
    assert_eq!(capture.finish().unwrap().connections, 0);
    assert_eq!(file.documents().len(), 1);
}

#[tokio::test]
async fn several_nodes_share_a_capture() {
    let (file, capture) = begun();
    let (pea, pod) = (
        capture.named("pea").tap(lines),
        capture.named("pod").tap(lines),
    );
    let (mut pea, mut pod) = pair::<_, _, String, String>(pea, pod).await;
    pea.say("to pod").await;
    assert_eq!(pod.hear().await, "to pod");
    pod.say("to pea").await;
    assert_eq!(pea.hear().await, "to pea");
    let (at_pea, at_pod) = (pea.peer, pod.peer);
    pea.finish().await;
    pod.finish().await;
    let summary = capture.finish().unwrap();
    let text = "2 connections, 2 messages (14 bytes) in, 2 messages (14 bytes) out";
    assert_eq!(summary.to_string(), text);

    let recording = Recording::read(&file).unwrap();
    for (name, peer) in [("pea", at_pea), ("pod", at_pod)] {
        let connection = recording.node(name).unwrap();
        assert_eq!(connection.peer, peer.id());
        assert_eq!(recording.peer(peer.id()).unwrap().number, connection.number);
        assert_eq!(
            (connection.addr, connection.side),
            (peer.addr(), peer.side())
        );
        let frames: Vec<_> = connection.frames().map(|frame| frame.direction).collect();
        let first = if name == "pea" {
            Direction::Out
        } else {
            Direction::In
        };
        assert_eq!((frames.len(), frames[0]), (2, first));
    }
    let times = times(&file.documents());
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn a_tap_does_not_change_the_stream_of_the_session() {
    // `adopt` of a DuplexStream as it is, and a dialled one, compile and work with the same protocol.
    let capture = Capture::builder().create().unwrap();
    let tapped = capture.tap(lines);
    let (node, inbound) = adopting::<DuplexStream>()
        .start::<_, String>(tapped.clone())
        .await
        .unwrap();
    let (peer, remote) = join(&node, 64).await;
    let network = Memory::new();
    let builder = Node::builder()
        .transport(network.clone())
        .listen("127.0.0.1:0");
    let (listener, mut heard) = start_lines(builder).await;
    let dialer = Node::builder()
        .transport(network)
        .start(tapped)
        .await
        .unwrap()
        .0;
    let at_dialer = within(dialer.connect(listener.local_addr().unwrap()))
        .await
        .unwrap();
    dialer.send_to("pea".to_owned(), at_dialer).await.unwrap();
    assert_eq!(hear(&mut heard).await.0, "pea");
    assert_eq!(peer.side(), Side::Listener);
    shut_down(&dialer).await;
    finish(&listener, heard).await;
    end(&node, inbound, remote).await;
    assert_eq!(capture.finish().unwrap().connections, 2);
}

#[tokio::test]
async fn connecting_is_told_when_it_is_in_the_capture() {
    let (file, capture) = begun();
    let builder = Node::builder().listen("127.0.0.1:0");
    let (server, inbound) = builder
        .start::<_, String>(capture.tap(lines))
        .await
        .unwrap();
    let mut events = inbound.into_events();
    let client = dial::<_, String>(lines, server.local_addr().unwrap()).await;
    assert!(matches!(next_event(&mut events).await, Event::Connected(_)));
    client.finish().await;
    within(async { while !matches!(events.recv().await, Some(Event::Disconnected(..))) {} }).await;
    // Its last line was written before its end was told.
    capture.finish().unwrap();
    assert_eq!(file.story(), ["open", "end", "close"]);
    finish_events(&server, events).await;
}
