//! Wireshark's `tshark` reads what a capture writes, and finds nothing wrong with it.

mod capture;
mod common;

use std::{path::Path, process::Command};

use bytes::Bytes;
use capture::{TempFile, hex};
use common::{
    adopting, join, lines,
    pairs::{End, dial, pair, text},
    tool, within,
};
use tokio::io::{AsyncWriteExt, BufStream, DuplexStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec, LinesCodec};
use wattle::{
    BoxError, Node, Peer, Protocol, Side,
    testing::{Capture, Memory, MemoryStream},
};

/// What tshark prints of these fields, a packet a line, separated by `|`; only of packets that the
/// filter lets through.
fn tshark(file: &TempFile, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(AsRef::<Path>::as_ref(file));
    // Checksums are usually left to the network card, and so not verified.
    command.args([
        "-n",
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
    ]);
    command.args(["-Y", filter, "-T", "fields", "-E", "separator=|"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// No packet that Wireshark would mark.
fn assert_flawless(file: &TempFile) {
    let bad = "tcp.analysis.flags or tcp.checksum.status == \"Bad\" or ip.checksum.status == \"Bad\" \
               or _ws.malformed or _ws.expert.severity >= 0x600000 \
               or _ws.expert.message contains \"MSS\"";
    let marked = tshark(
        file,
        bad,
        &["frame.number", "tcp.flags.str", "_ws.expert.message"],
    );
    assert_eq!(marked, [""; 0]);
    let unchecked = tshark(
        file,
        "not tcp.checksum.status == \"Good\"",
        &["frame.number"],
    );
    assert_eq!(unchecked, [""; 0]);
}

async fn finish<Out: Clone + Send + 'static, In: std::fmt::Debug>(
    capture: Capture,
    dialer: End<Out, In>,
    mut listener: End<Out, In>,
) {
    dialer.finish().await;
    listener.ending().await;
    listener.finish().await;
    capture.finish().unwrap();
}

#[tokio::test]
async fn tshark_sees_the_conversation_with_its_payloads_and_messages() {
    if !tool("tshark") {
        return;
    }
    let file = TempFile::new("pcapng");
    let capture = Capture::builder().pcapng(&file).create().unwrap();
    let tapped = capture.named("server").tap(lines);
    let (mut client, mut server) = pair::<_, _, String, String>(lines, tapped).await;
    client.say("pea").await;
    assert_eq!(server.hear().await, "pea");
    server.say("a \"pod\"").await;
    assert_eq!(client.hear().await, "a \"pod\"");
    let (at_server, at_client) = (server.peer.addr(), client.peer.addr());
    finish(capture, client, server).await;

    let (there, back) = (at_server.port(), at_client.port());
    let fields = [
        "tcp.srcport",
        "tcp.dstport",
        "tcp.flags.str",
        "tcp.payload",
        "frame.comment",
    ];
    let expected = [
        format!("{there}|{back}|··········S·||"),
        format!("{back}|{there}|·······A··S·||"),
        format!("{there}|{back}|·······A····||"),
        format!("{there}|{back}|·······AP···|7065610a|\"pea\""),
        format!(
            "{back}|{there}|·······AP···|{}|\"a \\\"pod\\\"\"",
            hex("a \"pod\"\n")
        ),
        format!("{there}|{back}|·······A···F||"),
        format!("{back}|{there}|·······A····||"),
        format!("{back}|{there}|·······A···F||"),
        format!("{there}|{back}|·······A····||"),
    ];
    assert_eq!(tshark(&file, "tcp", &fields), expected);
    let whose = tshark(
        &file,
        "tcp.stream == 0 and tcp.payload",
        &["ip.src", "frame.interface_name"],
    );
    assert_eq!(whose, ["127.0.0.1|server"; 2]);
    assert_flawless(&file);
}

#[tokio::test]
async fn the_times_are_those_of_the_wall_clock() {
    if !tool("tshark") {
        return;
    }
    let (packets, documents) = (TempFile::new("pcapng"), TempFile::new("jsonl"));
    let capture = Capture::builder()
        .pcapng(&packets)
        .json(&documents)
        .create()
        .unwrap();
    let (mut client, mut server) = pair::<_, _, String, String>(capture.tap(lines), lines).await;
    client.say("pea").await;
    assert_eq!(server.hear().await, "pea");
    server.say("pod").await;
    assert_eq!(client.hear().await, "pod");
    finish(capture, client, server).await;

    let documents = documents.documents();
    let began = documents[0]["began"].as_u64().unwrap();
    let framed = documents
        .iter()
        .filter(|document| document["what"] == "frame");
    let expected: Vec<_> = framed
        .map(|one| began + one["us"].as_u64().unwrap())
        .collect();
    let times = tshark(&packets, "tcp.payload", &["frame.time_epoch"]);
    assert_eq!(times.len(), expected.len());
    for (time, expected) in times.iter().zip(expected) {
        // Seconds and nine digits, or a date and time with as many, as newer ones print it.
        let (_, fraction) = time.split_once('.').unwrap();
        let micros: u64 = fraction[..6].parse().unwrap();
        assert!(
            micros.abs_diff(expected % 1_000_000) <= 1,
            "{time} instead of {expected}"
        );
        if let Ok(seconds) = time.split_once('.').unwrap().0.parse::<u64>() {
            assert!(
                seconds.abs_diff(expected / 1_000_000) <= 1,
                "{time} instead of {expected}"
            );
        }
    }
}

#[tokio::test]
async fn large_frames_are_cut_into_segments_that_follow_each_other() {
    if !tool("tshark") {
        return;
    }
    let file = TempFile::new("pcapng");
    let capture = Capture::builder().pcapng(&file).create().unwrap();
    let length = |_| LengthDelimitedCodec::new();
    let (mut client, mut server) = pair::<_, _, Bytes, Bytes>(capture.tap(length), length).await;
    let large = Bytes::from(text(200_000, 1));
    client.say(large.clone()).await;
    assert_eq!(server.hear().await, large);
    server.say(large.clone()).await;
    assert_eq!(client.hear().await, large);
    finish(capture, client, server).await;

    let prefix = hex(200_000u32.to_be_bytes());
    let all = tshark(&file, "tcp.payload", &["tcp.payload"]);
    assert_eq!(all.len(), 14);
    let whole = format!("{prefix}{}", hex(&large));
    assert!(all[..7].concat() == whole && all[7..].concat() == whole);
    assert_flawless(&file);
}

#[tokio::test]
async fn a_connection_between_two_nodes_of_a_capture_is_seen_once() {
    if !tool("tshark") {
        return;
    }
    let file = TempFile::new("pcapng");
    let capture = Capture::builder().pcapng(&file).create().unwrap();
    let (pea, pod) = (
        capture.named("pea").tap(lines),
        capture.named("pod").tap(lines),
    );
    let (client, mut server) = pair::<_, _, String, String>(pea, pod).await;
    for line in ["one", "two"] {
        client.say(line).await;
        assert_eq!(server.hear().await, line);
    }
    finish(capture, client, server).await;
    let payloads = tshark(&file, "tcp.payload", &["tcp.stream", "tcp.payload"]);
    assert_eq!(payloads, ["0|6f6e650a", "0|74776f0a"]);
    assert_flawless(&file);
}

#[tokio::test]
async fn several_connections_are_several_streams_and_so_is_ipv6() {
    if !tool("tshark") {
        return;
    }
    let file = TempFile::new("pcapng");
    let capture = Capture::builder().pcapng(&file).create().unwrap();
    let builder = Node::builder().listen("[::1]:0");
    let Ok((server, mut heard)) = builder.start::<_, String>(capture.tap(lines)).await else {
        return common::skipped("no IPv6 on this host");
    };
    for line in ["one", "two"] {
        let client = dial::<_, String>(lines, server.local_addr().unwrap()).await;
        client.say(line).await;
        assert_eq!(within(heard.recv()).await.unwrap().0, line);
        client.finish().await;
    }
    common::shut_down(&server).await;
    capture.finish().unwrap();
    let payloads = tshark(
        &file,
        "tcp.payload",
        &["tcp.stream", "ipv6.dst", "tcp.payload"],
    );
    assert_eq!(payloads, ["0|::1|6f6e650a", "1|::1|74776f0a"]);
    assert_flawless(&file);
}

#[tokio::test]
async fn a_stream_without_an_address_gets_one_that_nobody_has() {
    if !tool("tshark") {
        return;
    }
    let file = TempFile::new("pcapng");
    let capture = Capture::builder().pcapng(&file).create().unwrap();
    let (one, mut heard) = adopting::<DuplexStream>()
        .start::<_, String>(capture.named("one").tap(lines))
        .await
        .unwrap();
    let mut remotes = Vec::new();
    for _ in 0..2 {
        let (peer, mut remote) = join(&one, 64).await;
        assert_eq!(peer.side(), Side::Listener);
        // No newline: it becomes a line at the end, which on a wire comes behind it.
        remote.write_all(b"pea").await.unwrap();
        remote.shutdown().await.unwrap();
        assert_eq!(within(heard.recv()).await.unwrap().0, "pea");
        remotes.push(remote);
    }
    drop(remotes);
    common::finish(&one, heard).await;
    capture.finish().unwrap();
    let payloads = tshark(
        &file,
        "tcp.payload",
        &["tcp.stream", "ip.dst", "tcp.dstport", "tcp.payload"],
    );
    assert_eq!(
        payloads,
        ["0|192.0.2.1|49152|706561", "1|192.0.2.1|49153|706561"]
    );
    assert_flawless(&file);
}

/// Lines on a stream that the handshake puts into another, as that of TLS does.
#[derive(Clone)]
struct Wrapped;

impl Protocol<MemoryStream> for Wrapped {
    type Io = BufStream<MemoryStream>;
    type Codec = LinesCodec;

    async fn handshake(
        &self,
        stream: MemoryStream,
        peer: Peer,
    ) -> Result<Framed<BufStream<MemoryStream>, LinesCodec>, BoxError> {
        Ok(Framed::new(BufStream::new(stream), lines(peer)))
    }
}

#[tokio::test]
async fn both_ends_of_a_connection_in_memory_have_their_own_addresses() {
    let file = TempFile::new("pcapng");
    let capture = Capture::builder().pcapng(&file).create().unwrap();
    let memory = Memory::new();
    let builder = |host| Node::builder().transport(memory.at([10, 0, 0, host]));
    let listening = builder(2).listen("10.0.0.2:7");
    let started = listening.start::<_, String>(capture.named("pod").tap(Wrapped));
    let (pod, mut heard) = within(started).await.unwrap();
    let (pea, _inbound) = within(builder(1).start(capture.named("pea").tap(Wrapped)))
        .await
        .unwrap();
    let peer = within(pea.connect("10.0.0.2:7")).await.unwrap();
    within(pea.send_to("hi".to_owned(), peer)).await.unwrap();
    assert_eq!(within(heard.recv()).await.unwrap().0, "hi");
    common::shut_down(&pea).await;
    common::shut_down(&pod).await;
    capture.finish().unwrap();

    // Source and destination, as they are in the header of IPv4.
    let bytes = std::fs::read(AsRef::<Path>::as_ref(&file)).unwrap();
    let has = |part: &[u8]| bytes.windows(part.len()).any(|bytes| bytes == part);
    assert!(has(&[10, 0, 0, 1, 10, 0, 0, 2]) && has(&[10, 0, 0, 2, 10, 0, 0, 1]));
    assert!(!has(&[192, 0, 2, 1]), "an address is made up");
    if tool("tshark") {
        // Which nobody could tell of two ends that don't know each other's address.
        let payloads = tshark(&file, "tcp.payload", &["tcp.stream", "tcp.payload"]);
        assert_eq!(payloads, ["0|68690a"]);
        assert_flawless(&file);
    }
}
