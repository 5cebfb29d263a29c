//! A capture has every byte and every message of a session in it, and changes nothing of the session.

mod capture;
mod common;

use std::{fmt, io, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use capture::{TempFile, hex};
use common::{
    adopt, adopting, ending, expect_text, finish, finish_events, in_memory, join, lines,
    network::Network,
    next_event,
    pairs::{dial, pair},
    random, read_text, seed, shut_down, start_lines, within,
};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio_util::codec::{
    Decoder, Encoder, Framed, LengthDelimitedCodec, LinesCodec, LinesCodecError,
};
use wattle::{
    BoxError, Event, Inbound, Node, Peer, Protocol, Reason, Side,
    testing::{Capture, Recording, capture::Direction},
};

/// Shuts a node down whose remote closes when the node has closed.
async fn end_of<Out: Send + 'static>(node: &Node<Out>, mut remote: DuplexStream) {
    let leave = async move { assert_eq!(read_text(&mut remote).await, "") };
    tokio::join!(shut_down(node), leave);
}

/// The same; nothing may be left to be received.
async fn end<Out: Send + 'static, In: fmt::Debug>(
    node: &Node<Out>,
    inbound: Inbound<In>,
    remote: DuplexStream,
) {
    end_of(node, remote).await;
    finish(node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn each_document_says_what_happened_when_to_whom() {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
    let tapped = capture.named("\"alice\"").tap(lines);
    let (node, mut inbound) = in_memory().start(tapped).await.unwrap();
    let (peer, mut remote) = join(&node, 64).await;

    tokio::time::advance(Duration::from_micros(1500)).await;
    remote.write_all(b"pea\n").await.unwrap();
    assert_eq!(
        within(inbound.recv()).await.unwrap(),
        ("pea".to_owned(), peer)
    );
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
    let times: Vec<_> = documents[1..]
        .iter()
        .map(|one| one["us"].as_u64().unwrap())
        .collect();
    assert_eq!(times, [0, 1500, 60_001_500, 60_001_500]);
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

    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
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
            assert_eq!(within(inbound.recv()).await.unwrap().0, frame);
        }
    };
    tokio::join!(write, read);
    finish(&node, inbound).await;

    assert_eq!(capture.finish().unwrap().frames_in, 200);
    let recording = Recording::read(&file).unwrap();
    let captured: Vec<_> = recording
        .only()
        .unwrap()
        .frames()
        .map(|f| f.bytes.to_vec())
        .collect();
    assert_eq!(captured, wires);
    assert_eq!(file.story().last().unwrap(), "close");
}

/// Reads a line and writes one, which is left to be flushed, and goes on in lines of capital letters.
struct Hello;

impl<S: wattle::transport::ByteStream> Protocol<S> for Hello {
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
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
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
        assert_eq!(
            within(inbound.recv()).await.unwrap(),
            (line.to_owned(), peer)
        );
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
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
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

/// A tapped node of lines, and what the file says of one connection on which the remote has said this and
/// ended its side.
async fn told_of(said: &[u8], max: usize) -> (Vec<String>, Reason) {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
    let tapped = capture.tap(move |_| LinesCodec::new_with_max_length(max));
    let (node, inbound) = in_memory().start::<_, String>(tapped).await.unwrap();
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 256).await;
    remote.write_all(said).await.unwrap();
    remote.shutdown().await.unwrap();
    let disconnect = ending(&mut events, peer).await;
    finish_events(&node, events).await;
    capture.finish().unwrap();
    (file.story(), disconnect.reason)
}

#[tokio::test]
async fn the_end_of_the_remote_comes_before_what_is_only_decoded_because_of_it() {
    let (story, reason) = told_of(b"pea\npod", 80).await;
    assert_eq!(
        story,
        [
            "open",
            "in 7065610a \"pea\"",
            "end",
            "in 706f64 \"pod\"",
            "close"
        ]
    );
    assert!(matches!(reason, Reason::EndOfStream), "{reason}");
}

#[tokio::test]
async fn bytes_that_are_never_decoded_are_in_the_capture_with_the_error() {
    let (story, reason) = told_of(b"pea\n\xff\xff\nx", 80).await;
    assert_eq!(
        story,
        [
            "open",
            "in 7065610a \"pea\"",
            "error in Unable to decode input as UTF8",
            "in ffff0a78",
            "close"
        ]
    );
    // The reason has the codec's own error in it, as without a tap.
    let Reason::Decode(error) = reason else {
        panic!("{reason}")
    };
    assert!(error.is::<LinesCodecError>());
}

#[tokio::test]
async fn a_connection_that_ends_inside_a_frame_leaves_its_beginning() {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
    let tapped = capture.tap(|_| LengthDelimitedCodec::new());
    let (node, inbound) = in_memory().start::<_, Bytes>(tapped).await.unwrap();
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 256).await;
    remote
        .write_all(b"\0\0\0\x02ok\0\0\0\x05hal")
        .await
        .unwrap();
    drop(remote);
    let disconnect = ending(&mut events, peer).await;
    assert!(
        matches!(
            disconnect.reason,
            Reason::EndInsideFrame { buffered: 7, .. }
        ),
        "{disconnect}"
    );
    finish_events_with_messages(&node, events).await;
    capture.finish().unwrap();
    let story = file.story();
    assert_eq!(story[..3], ["open", "in 000000026f6b b\"ok\"", "end"]);
    assert!(story[3].starts_with("error in "), "{story:?}");
    assert_eq!(story[4..], ["in 0000000568616c", "close"]);
}

async fn finish_events_with_messages(node: &Node<Bytes>, mut events: wattle::Events<BytesMut>) {
    shut_down(node).await;
    while within(events.recv()).await.is_some() {}
}

/// Lines that it doesn't like, it doesn't encode.
struct Picky;

impl Decoder for Picky {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, _: &mut BytesMut) -> io::Result<Option<String>> {
        Ok(None)
    }
}

impl Encoder<&'static str> for Picky {
    type Error = io::Error;

    fn encode(&mut self, line: &'static str, buffer: &mut BytesMut) -> io::Result<()> {
        buffer.extend_from_slice(line.as_bytes());
        match line {
            "bad" => Err(io::Error::other("a bad line")),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_message_that_is_not_encoded_has_no_bytes() {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
    let (node, inbound) = in_memory().start(capture.tap(|_| Picky)).await.unwrap();
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 256).await;
    for line in ["good", "bad"] {
        node.send_to(line, peer).await.unwrap();
    }
    let read = async {
        assert_eq!(read_text(&mut remote).await, "good");
        remote.shutdown().await.unwrap();
    };
    let (disconnect, ()) = tokio::join!(ending(&mut events, peer), read);
    assert!(
        matches!(disconnect.reason, Reason::Encode(_)),
        "{disconnect}"
    );
    finish_events(&node, events).await;
    capture.finish().unwrap();
    let story = file.story();
    assert_eq!(
        story[..3],
        ["open", "out 676f6f64 \"good\"", "error out a bad line"]
    );
}

/// A message that nobody can look at.
struct Shy(String);

impl fmt::Debug for Shy {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("don't look at {}", self.0)
    }
}

struct ShyLines(LinesCodec);

impl Decoder for ShyLines {
    type Item = Shy;
    type Error = LinesCodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Shy>, LinesCodecError> {
        Ok(self.0.decode(buffer)?.map(Shy))
    }
}

impl Encoder<Shy> for ShyLines {
    type Error = LinesCodecError;

    fn encode(&mut self, message: Shy, buffer: &mut BytesMut) -> Result<(), LinesCodecError> {
        self.0.encode(message.0, buffer)
    }
}

#[tokio::test]
async fn a_message_whose_debug_panics_is_delivered_all_the_same() {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
    let tapped = capture.tap(|_| ShyLines(LinesCodec::new_with_max_length(80)));
    let (node, mut inbound) = in_memory().start(tapped).await.unwrap();
    let (peer, mut remote) = join(&node, 256).await;
    remote.write_all(b"pea\n").await.unwrap();
    assert_eq!(within(inbound.recv()).await.unwrap().0.0, "pea");
    node.send_to(Shy("pod".to_owned()), peer).await.unwrap();
    expect_text(&mut remote, "pod\n").await;
    end_of(&node, remote).await;
    capture.finish().unwrap();
    let story = file.story();
    assert_eq!(
        story[1],
        "in 7065610a a message that panics when it is asked what it is"
    );
    assert_eq!(
        story[2],
        "out 706f640a a message that panics when it is asked what it is"
    );
}

/// Puts what it unpacks where the packed bytes were: a count and a letter become so many letters.
struct InPlace(LinesCodec);

impl Decoder for InPlace {
    type Item = String;
    type Error = LinesCodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<String>, LinesCodecError> {
        if buffer.first().is_some_and(u8::is_ascii_digit) && buffer.len() >= 3 {
            let packed = buffer.split_to(2);
            let count = usize::from(packed[0] - b'0');
            let rest = buffer.split();
            buffer.extend(std::iter::repeat_n(packed[1], count));
            buffer.unsplit(rest);
        }
        self.0.decode(buffer)
    }
}

impl Encoder<String> for InPlace {
    type Error = LinesCodecError;

    fn encode(&mut self, message: String, buffer: &mut BytesMut) -> Result<(), LinesCodecError> {
        self.0.encode(message, buffer)
    }
}

#[tokio::test(start_paused = true)]
async fn no_byte_is_lost_or_doubled_by_a_codec_that_unpacks_in_place() {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
    let tapped = capture.tap(|_| InPlace(LinesCodec::new_with_max_length(80)));
    let (node, mut inbound) = in_memory().start::<_, String>(tapped).await.unwrap();
    let (_, mut remote) = join(&node, 256).await;
    for part in ["9a", "\n3", "b", "\nccc", "c\n"] {
        remote.write_all(part.as_bytes()).await.unwrap();
        common::quiet().await;
    }
    for line in ["aaaaaaaaa", "bbb", "cccc"] {
        assert_eq!(within(inbound.recv()).await.unwrap().0, line);
    }
    end(&node, inbound, remote).await;
    capture.finish().unwrap();
    let recording = Recording::read(&file).unwrap();
    let bytes: Vec<_> = recording
        .only()
        .unwrap()
        .frames()
        .map(|f| f.bytes.to_vec())
        .collect();
    assert_eq!(bytes.concat(), b"9a\n3b\ncccc\n");
}

#[tokio::test]
async fn several_nodes_share_a_capture() {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
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
    let times: Vec<_> = file.documents()[1..]
        .iter()
        .map(|one| one["us"].as_u64())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn what_happens_after_the_capture_is_finished_is_not_recorded() {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
    let (node, mut inbound) = in_memory()
        .start::<_, String>(capture.tap(lines))
        .await
        .unwrap();
    let (_, mut remote) = join(&node, 64).await;
    capture.finish().unwrap();
    remote.write_all(b"pea\n").await.unwrap();
    assert_eq!(within(inbound.recv()).await.unwrap().0, "pea");
    end(&node, inbound, remote).await;
    assert_eq!(file.story(), ["open"]);
}

#[tokio::test]
async fn what_is_held_back_is_written_when_everybody_has_gone() {
    let file = TempFile::new("jsonl");
    let tapped = Capture::create(&file).unwrap().tap(lines);
    let (node, inbound) = in_memory().start::<_, String>(tapped).await.unwrap();
    let (_, remote) = join(&node, 64).await;
    end(&node, inbound, remote).await;
    drop(node);
    within(async {
        while file.documents().len() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(file.story(), ["open", "close"]);
}

#[test]
fn a_file_that_cannot_be_created_is_an_error() {
    let dir = env!("CARGO_TARGET_TMPDIR");
    Capture::create(dir).unwrap_err();
    Capture::builder().pcapng(dir).create().unwrap_err();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_hurts_no_connection_and_is_told_in_the_end() {
    // The header is written at once.
    let error = Capture::create("/dev/full").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    Capture::builder().pcapng("/dev/full").create().unwrap_err();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_breaks_later_hurts_no_connection_and_is_told_in_the_end() {
    use std::process::{Command, Stdio};
    if !common::tool("head") {
        return;
    }
    // Somebody who reads the header and goes away: a pipe that breaks.
    let mut head = Command::new("head")
        .args(["-n", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pipe = head.stdin.take().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&pipe));
    let capture = Capture::create(path).unwrap();
    drop(pipe);
    head.wait().unwrap();

    let (node, mut inbound) = in_memory().start(capture.tap(lines)).await.unwrap();
    let (peer, mut remote) = join(&node, 64 * 1024).await;
    // More than is held back.
    for _ in 0..3 {
        let long = "pea".repeat(2000);
        node.send_to(long.clone(), peer).await.unwrap();
        expect_text(&mut remote, &format!("{long}\n")).await;
        remote
            .write_all(format!("{long}\n").as_bytes())
            .await
            .unwrap();
        assert_eq!(within(inbound.recv()).await.unwrap().0, long);
    }
    end(&node, inbound, remote).await;
    for _ in 0..2 {
        assert_eq!(
            capture.finish().unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }
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
    let network = Network::default();
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
    assert_eq!(within(heard.recv()).await.unwrap().0, "pea");
    assert_eq!(peer.side(), Side::Listener);
    shut_down(&dialer).await;
    finish(&listener, heard).await;
    end(&node, inbound, remote).await;
    assert_eq!(capture.finish().unwrap().connections, 2);
}

#[tokio::test]
async fn connecting_is_told_when_it_is_in_the_capture() {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
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
