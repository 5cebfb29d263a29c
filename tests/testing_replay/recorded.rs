//! What nodes said to each other, recorded and replayed.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::LengthDelimitedCodec;
use wattle::{Inbound, Node, Peer, testing::Capture};

use super::*;
use crate::{
    capture::TempFile,
    common::{
        join,
        pairs::{dial, text},
        shut_down, within,
    },
};

/// A node that answers each line with what this makes of it.
async fn answering(
    capture: Option<&Capture>,
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (Node<String>, SocketAddr) {
    let builder = Node::builder().listen("127.0.0.1:0");
    let started = match capture {
        Some(capture) => builder.start(capture.named("server").tap(lines)).await,
        None => builder.start(lines).await,
    };
    let (node, mut inbound) = started.unwrap();
    let answerer = node.clone();
    tokio::spawn(async move {
        while let Some((line, peer)) = inbound.recv().await {
            let line: String = line;
            let _ = answerer.send_to(answer(&line), peer).await;
        }
    });
    let addr = node.local_addr().unwrap();
    (node, addr)
}

/// What a client and a server say to each other, recorded at both.
async fn record() -> Recording {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
    let (server, addr) = answering(Some(&capture), str::to_uppercase).await;
    let tapped = capture.named("client").tap(lines);
    let mut client = dial::<_, String>(tapped, addr).await;
    for line in ["pea", "", "pod"] {
        client.say(line).await;
        assert_eq!(client.hear().await, line.to_uppercase());
    }
    client.finish().await;
    while !server.peers().is_empty() {
        tokio::task::yield_now().await;
    }
    shut_down(&server).await;
    capture.finish().unwrap();
    Recording::read(&file).unwrap()
}

#[tokio::test]
async fn a_server_that_answers_the_same_passes_and_another_does_not() {
    let recording = within(record()).await;
    let as_client = Replay::of(recording.node("client").unwrap(), Part::Node);
    let as_remote = Replay::of(recording.node("server").unwrap(), Part::Remote);
    let (same, addr) = answering(None, str::to_uppercase).await;
    for replay in [&as_client, &as_remote] {
        for pace in [Pace::Fast, Pace::Recorded] {
            let report = within(replay.clone().pace(pace).dial(addr)).await.unwrap();
            assert_eq!((report.frames_said, report.frames_heard), (3, 3));
            assert_eq!((report.bytes_said, report.bytes_heard), (9, 9));
        }
    }
    same.shutdown().await;

    let (other, addr) = answering(None, |line| line.replace('d', "t").to_uppercase()).await;
    for replay in [&as_client, &as_remote] {
        let error = within(replay.dial(addr)).await.unwrap_err().to_string();
        let place = error.find("differs").unwrap();
        assert!(error.starts_with("frame 2 (line "), "{error}");
        assert_eq!(
            error[place..],
            *"differs at byte 2: expected \"POD\\n\" (50 4f 44 0a), got \"POT\\n\" (50 4f 54 0a); \
              the message was \"POD\""
        );
    }
    other.shutdown().await;
}

async fn send_all(node: &Node<Bytes>, peer: Peer, frames: &[Bytes]) {
    for frame in frames {
        node.send_to(frame.clone(), peer).await.unwrap();
    }
}

async fn receive_all(inbound: &mut Inbound<BytesMut>, frames: &[Bytes]) {
    for (n, frame) in frames.iter().enumerate() {
        let (received, _) = inbound.recv().await.unwrap();
        assert!(received == frame, "frame {n}");
    }
}

#[tokio::test]
async fn large_frames_both_ways_at_once_do_not_block_each_other() {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
    let length = |_: Peer| LengthDelimitedCodec::new();
    let frames: Vec<_> = (0..8).map(|i| Bytes::from(text(100_000, i))).collect();
    let (node, mut inbound) = in_memory().start(capture.tap(length)).await.unwrap();
    let (peer, remote) = join(&node, 1024).await;
    let (mut reader, mut writer) = tokio::io::split(remote);
    let mut wire = Vec::new();
    for frame in &frames {
        wire.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        wire.extend_from_slice(frame);
    }
    // All is sent before anything is answered, so that in the capture much comes at once.
    let mut said = vec![0; wire.len()];
    let talk = send_all(&node, peer, &frames);
    let take = receive_all(&mut inbound, &frames);
    let ((), sent, read, ()) = within(async {
        tokio::join!(
            talk,
            writer.write_all(&wire),
            reader.read_exact(&mut said),
            take
        )
    })
    .await;
    sent.unwrap();
    read.unwrap();
    assert!(said == wire);
    drop((reader, writer));
    shut_down(&node).await;
    capture.finish().unwrap();

    let recording = Recording::read(&file).unwrap();
    for part in [Part::Node, Part::Remote] {
        let replay = Replay::of(recording.only().unwrap(), part);
        let (ours, theirs) = duplex(1024);
        let (node, mut inbound) = in_memory().start(length).await.unwrap();
        let peer = adopt(&node, theirs).await;
        let talk = send_all(&node, peer, &frames);
        let take = async {
            receive_all(&mut inbound, &frames).await;
            if part == Part::Node {
                node.disconnect(peer).await;
            }
        };
        let (played, ..) = within(async { tokio::join!(replay.over(ours), talk, take) }).await;
        let report = played.unwrap();
        assert_eq!((report.frames_said, report.frames_heard), (8, 8));
        shut_down(&node).await;
    }
}
