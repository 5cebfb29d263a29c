//! A replay says what was recorded, and tells exactly what comes otherwise.

mod capture;
mod common;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use capture::{TempFile, hex};
use common::{
    adopt, finish, in_memory, join, lines,
    pairs::{dial, text},
    shut_down, within,
};
use futures::future::join as both;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpListener,
    time::Instant,
};
use tokio_util::codec::LengthDelimitedCodec;
use wattle::{
    Node, Peer,
    testing::{
        Capture, Recording, Replay,
        capture::{CaptureReadError, Direction, Pace, Part, ReplayError, ReplayReport},
    },
};

/// A recording of one connection: what happened at which millisecond.
fn recording(steps: &[(u64, &str, &str)]) -> Recording {
    let mut text = "{\"wattle-capture\":1,\"began\":1000000}\n".to_owned();
    let mut add = |ms: u64, mut document: serde_json::Value| {
        document["us"] = (1000 * ms).into();
        document["connection"] = 0.into();
        text += &format!("{document}\n");
    };
    let opened = json!({ "what": "open", "peer": 7, "addr": "127.0.0.1:4000", "side": "dialer" });
    add(0, opened);
    for (ms, what, said) in steps {
        add(
            *ms,
            match *what {
                "in" | "out" => json!({
                    "what": "frame", "dir": what, "bytes": hex(said), "message": format!("{said:?}")
                }),
                "error" => json!({ "what": "error", "dir": "in", "error": said }),
                other => json!({ "what": other }),
            },
        );
    }
    Recording::parse(text.as_bytes()).unwrap()
}

fn replay(part: Part, steps: &[(u64, &str, &str)]) -> Replay {
    Replay::of(recording(steps).only().unwrap(), part)
}

/// Plays it against somebody in memory.
async fn play<F: Future>(
    replay: &Replay,
    live: impl FnOnce(DuplexStream) -> F,
) -> Result<ReplayReport, ReplayError> {
    let (ours, theirs) = duplex(64);
    both(replay.over(ours), live(theirs)).await.0
}

/// Without a watchdog, which would bark while a replay waits for its time.
async fn hear(stream: &mut DuplexStream, expected: &str) {
    let mut text = vec![0; expected.len()];
    stream.read_exact(&mut text).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&text), expected);
}

async fn say(stream: &mut DuplexStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

const CALL: [(u64, &str, &str); 4] = [
    (10, "out", "pea\n"),
    (2000, "in", "pod\n"),
    (3000, "out", "oat\n"),
    (90_000, "in", "ear\n"),
];

#[tokio::test(start_paused = true)]
async fn each_frame_is_said_when_all_before_it_has_come() {
    let replay = replay(Part::Node, &CALL);
    let began = Instant::now();
    let report = play(&replay, |mut live| async move {
        hear(&mut live, "pea\n").await;
        let early = tokio::time::timeout(Duration::from_secs(5), live.read_u8()).await;
        early.unwrap_err();
        say(&mut live, "po").await;
        let early = tokio::time::timeout(Duration::from_secs(5), live.read_u8()).await;
        early.unwrap_err();
        say(&mut live, "d\n").await;
        hear(&mut live, "oat\n").await;
        say(&mut live, "ear\n").await;
        live
    });
    let report = report.await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    let text = "said 2 frames (8 bytes), heard 2 frames (8 bytes) as recorded, in 10s";
    assert_eq!(report.to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn in_real_time_no_frame_is_said_before_its_time() {
    let replay = replay(Part::Remote, &CALL).pace(Pace::Recorded);
    let began = Instant::now();
    let report = play(&replay, |mut live| async move {
        say(&mut live, "pea\n").await;
        hear(&mut live, "pod\n").await;
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        say(&mut live, "oat\n").await;
        hear(&mut live, "ear\n").await;
        assert_eq!(began.elapsed(), Duration::from_secs(90));
        live
    });
    assert_eq!(report.await.unwrap().frames_said, 2);
}

#[tokio::test(start_paused = true)]
async fn in_real_time_an_answer_that_took_long_may_take_long_again() {
    let live = |mut live: DuplexStream| async move {
        hear(&mut live, "pea\n").await;
        say(&mut live, "pod\n").await;
        hear(&mut live, "oat\n").await;
        tokio::time::sleep(Duration::from_secs(95)).await;
        say(&mut live, "ear\n").await;
        live
    };
    let replay = replay(Part::Node, &CALL);
    play(&replay.clone().pace(Pace::Recorded), live)
        .await
        .unwrap();
    let error = play(&replay, |mut live| async move {
        hear(&mut live, "pea\n").await;
        say(&mut live, "pod\n").await;
        hear(&mut live, "oat\n").await;
        live.read_u8().await.unwrap_err();
    });
    assert_eq!(
        error.await.unwrap_err().to_string(),
        "nothing came for 10s; missing is frame 1 (line 6 of the capture) \"ear\\n\" (65 61 72 0a); \
         the message was \"ear\\n\""
    );
}

#[tokio::test(start_paused = true)]
async fn another_answer_fails_and_shows_both() {
    let replay = replay(Part::Node, &CALL);
    let played = play(&replay, |mut live| async move {
        hear(&mut live, "pea\n").await;
        say(&mut live, "pod\n").await;
        hear(&mut live, "oat\n").await;
        say(&mut live, "east\n").await;
        live
    });
    let error = played.await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "frame 1 (line 6 of the capture) differs at byte 2: expected \"ear\\n\" (65 61 72 0a), \
         got \"east\\n\" (65 61 73 74 0a); the message was \"ear\\n\""
    );
    let ReplayError::Mismatch(mismatch) = error else {
        panic!("{error}")
    };
    assert_eq!((mismatch.number, mismatch.offset), (1, 2));
    assert_eq!(mismatch.expected.direction, Direction::In);
    assert_eq!(mismatch.came, "east\n");
}

#[tokio::test(start_paused = true)]
async fn a_long_mismatch_is_shown_in_part() {
    let recorded = text(1000, 0);
    let replay = replay(Part::Node, &[(0, "in", &recorded)]);
    let played = play(&replay, |mut live| async move {
        // Only one byte is another.
        let mut said = text(1000, 0).into_bytes();
        said[500] = b'!';
        let _ = live.write_all(&said).await;
        live
    });
    let error = played.await.unwrap_err().to_string();
    let start = "frame 0 (line 3 of the capture) differs at byte 500: expected …\"";
    assert!(error.starts_with(start), "{error}");
    assert!(error.contains("…\"") && error.len() < 1000, "{error}");
    assert!(error.ends_with('…'), "{error}");
}

#[tokio::test(start_paused = true)]
async fn more_than_was_recorded_fails() {
    let replay = replay(Part::Node, &CALL[..2]);
    let played = play(&replay, |mut live| async move {
        hear(&mut live, "pea\n").await;
        say(&mut live, "pod\nand more").await;
        live
    });
    let error = played.await.unwrap_err();
    let text = "nothing more was recorded, got \"and more\" (61 6e 64 20 6d 6f 72 65)";
    assert_eq!(error.to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_early_fails() {
    let replay = replay(Part::Node, &CALL);
    let played = play(&replay, |mut live| async move {
        hear(&mut live, "pea\n").await;
        say(&mut live, "po").await;
    });
    assert_eq!(
        played.await.unwrap_err().to_string(),
        "the peer ended its side; missing is frame 0 (line 4 of the capture) from byte 2 on \
         \"pod\\n\" (70 6f 64 0a); the message was \"pod\\n\""
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_fails() {
    let long = text(1000, 0);
    let replay = replay(Part::Node, &[(0, "out", &long)]).patience(Duration::from_secs(3));
    let (ours, _theirs) = duplex(64);
    let began = Instant::now();
    let error = replay.over(ours).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the peer took nothing of what was said for 3s"
    );
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_recorded_has_to_come() {
    let steps = [(0, "out", "pea\n"), (1, "end", ""), (2, "close", "")];
    let replay = replay(Part::Node, &steps);
    let leaves = |mut live: DuplexStream| async move {
        hear(&mut live, "pea\n").await;
        live.shutdown().await.unwrap();
        assert_eq!(live.read(&mut [0]).await.unwrap(), 0);
    };
    play(&replay, leaves).await.unwrap();
    let stays = |mut live: DuplexStream| async move {
        hear(&mut live, "pea\n").await;
        assert_eq!(live.read(&mut [0]).await.unwrap(), 0);
    };
    let error = play(&replay, stays).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "nothing came for 10s; missing is the end of the peer's side"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_decoded_after_the_end_is_said_before_it() {
    let steps = [
        (0, "end", ""),
        (0, "in", "pea"),
        (0, "out", "pod\n"),
        (1, "close", ""),
    ];
    let replay = replay(Part::Remote, &steps);
    let (node, mut inbound) = in_memory()
        .allow_half_open(true)
        .start(lines)
        .await
        .unwrap();
    let (ours, theirs) = duplex(64);
    let peer = adopt(&node, theirs).await;
    let answer = async {
        assert_eq!(inbound.recv().await.unwrap(), ("pea".to_owned(), peer));
        node.send_to("pod".to_owned(), peer).await.unwrap();
        node.disconnect(peer).await;
    };
    let (played, ()) = tokio::join!(replay.over(ours), answer);
    played.unwrap();
    finish(&node, inbound).await;
}

#[tokio::test]
async fn nobody_to_play_with_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let error = replay(Part::Node, &CALL).dial(addr).await.unwrap_err();
    assert!(
        matches!(error, ReplayError::Connect { addr: at, .. } if at == addr),
        "{error}"
    );
}

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
    let (mut said, mut heard) = (vec![0; wire.len()], 0);
    let talk = async {
        for frame in &frames {
            node.send_to(frame.clone(), peer).await.unwrap();
        }
    };
    let take = async {
        while heard < frames.len() {
            assert_eq!(inbound.recv().await.unwrap().0, frames[heard]);
            heard += 1;
        }
    };
    let (_, sent, read, ()) = within(async {
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
        let talk = async {
            for frame in &frames {
                node.send_to(frame.clone(), peer).await.unwrap();
            }
        };
        let take = async {
            for frame in &frames {
                assert_eq!(inbound.recv().await.unwrap().0, frame);
            }
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

fn parse(text: &str) -> CaptureReadError {
    match Recording::parse(text.as_bytes()) {
        Ok(recording) => panic!("{recording:?}"),
        Err(error) => error,
    }
}

#[test]
fn what_is_not_a_capture_is_told() {
    use CaptureReadError::{NotACapture, UnknownVersion};
    let missing = Recording::read("/there/is/no/such/file").unwrap_err();
    assert!(matches!(missing, CaptureReadError::Io(_)), "{missing}");
    for text in [
        "",
        "\n",
        "hello\n",
        "{}\n",
        "[1]\n",
        "{\"wattle-capture\":1}\n",
        "{\"wattle-cap",
    ] {
        let error = parse(text);
        assert!(matches!(error, NotACapture { .. }), "{text:?}: {error}");
    }
    assert_eq!(
        parse("").to_string(),
        "not a capture of wattle: the file is empty"
    );
    let error = parse("{\"wattle-capture\":2,\"began\":0}\n");
    assert!(matches!(error, UnknownVersion { found: 2 }), "{error}");
    assert_eq!(error.to_string(), "a capture of version 2, expected 1");
}

#[test]
fn a_bad_line_is_told_with_its_number() {
    let header = "{\"wattle-capture\":1,\"began\":0}\n";
    let open = "{\"us\":0,\"connection\":0,\"peer\":1,\"addr\":\"[::1]:7\",\"side\":\"dialer\",\"what\":\"open\"}\n";
    for (line, problem) in [
        (
            "{\"us\":0,\"connection\":0,\"what\":\"fr",
            "line 3 is cut off in the middle",
        ),
        (
            "{\"us\":0\n",
            "line 3: EOF while parsing an object at line 1 column 7",
        ),
        (
            "{\"us\":0,\"what\":\"close\"}\n",
            "line 3: there is no number `connection`",
        ),
        (
            "{\"connection\":0,\"what\":\"close\"}\n",
            "line 3: there is no number `us`",
        ),
        (
            "{\"us\":0,\"connection\":1,\"what\":\"close\"}\n",
            "line 3: connection 1 has not been opened",
        ),
        (open, "line 3: connection 0 is open already"),
        (
            "{\"us\":0,\"connection\":0,\"what\":\"sing\"}\n",
            "line 3: `what` is \"sing\", which this version has not",
        ),
        (
            "{\"us\":0,\"connection\":0,\"what\":\"bytes\",\"dir\":\"up\",\"bytes\":\"\"}\n",
            "line 3: `dir` is \"up\", which is none",
        ),
        (
            "{\"us\":0,\"connection\":0,\"what\":\"bytes\",\"dir\":\"in\",\"bytes\":\"abc\"}\n",
            "line 3: `bytes` is not hexadecimal",
        ),
        (
            "{\"us\":0,\"connection\":0,\"what\":\"bytes\",\"dir\":\"in\",\"bytes\":\"zz\"}\n",
            "line 3: `bytes` is not hexadecimal",
        ),
    ] {
        assert_eq!(parse(&format!("{header}{open}{line}")).to_string(), problem);
    }
    // Unknown fields are left to later versions.
    let more = "{\"us\":5,\"connection\":0,\"what\":\"close\",\"mood\":\"good\"}\n";
    Recording::parse(format!("{header}{open}{more}").as_bytes()).unwrap();
}

#[test]
fn a_connection_is_picked_by_its_peer_or_is_the_only_one() {
    let header = "{\"wattle-capture\":1,\"began\":0}\n";
    let open = |connection: u64, peer: u64| {
        let addr = format!("127.0.0.1:{peer}");
        let document = json!({
            "us": 0, "connection": connection, "peer": peer, "addr": addr, "side": "listener",
            "what": "open", "node": "pea"
        });
        format!("{document}\n")
    };
    let none = Recording::parse(header.as_bytes()).unwrap();
    assert_eq!(
        none.only().unwrap_err().to_string(),
        "no connection in the capture"
    );
    let two = Recording::parse(format!("{header}{}{}", open(0, 3), open(1, 4)).as_bytes()).unwrap();
    assert_eq!(two.peer(4).unwrap().number, 1);
    assert_eq!(
        two.peer(5).unwrap_err().to_string(),
        "no such connection, only #3 127.0.0.1:3 of pea, #4 127.0.0.1:4 of pea"
    );
    assert_eq!(
        two.only().unwrap_err().to_string(),
        "one connection expected, got #3 127.0.0.1:3 of pea, #4 127.0.0.1:4 of pea"
    );
}
