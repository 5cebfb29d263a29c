//! Input from sockets that are not ours: Python's `socket` cuts the bytes where it likes, and ends
//! or resets the stream there.

mod common;

use std::{collections::BTreeMap, fmt::Debug, io, process::Stdio};

use bytes::{Bytes, BytesMut};
use tokio::process::Command;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};
use wattle::{Disconnect, Event, Initiator, Node, Peer, Reason};

use common::{tool, within};

/// Arguments: the mode, the port, and the payloads in hex. Where a part of the bytes has to be read
/// before the next is sent, the client waits for the node's answer to it.
const CLIENT: &str = r#"
import socket, struct, sys

mode, port = sys.argv[1], int(sys.argv[2])
payloads = [bytes.fromhex(text) for text in sys.argv[3:]]
frames = [struct.pack(">I", len(payload)) + payload for payload in payloads]
wire = b"".join(frames)

def connect():
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client

def exactly(client, size):
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        assert more, "the node closed the connection"
        data += more
    return data

def answer(client):
    (size,) = struct.unpack(">I", exactly(client, 4))
    return exactly(client, size)

def expect(client, wanted):
    got = answer(client)
    assert got == wanted, (got, wanted)

def trickle():
    with connect() as client:
        for payload, frame in zip(payloads, frames):
            for i in range(len(frame)):
                client.sendall(frame[i : i + 1])
                expect(client, b"part" if i + 1 < len(frame) else b"frame " + payload)

def together():
    with connect() as client:
        client.sendall(wire)
        for payload in payloads:
            expect(client, b"frame " + payload)

def pause():
    for cut in range(1, len(wire)):
        with connect() as client:
            client.sendall(wire[:cut])
            answers = [answer(client)]
            client.sendall(wire[cut:])
            while answers[-1] != b"frame " + payloads[-1]:
                answers.append(answer(client))
            answers = [answer for answer in answers if answer != b"part"]
            assert answers == [b"frame " + payload for payload in payloads], answers

def end():
    for cut in range(len(wire) + 1):
        with connect() as client:
            client.sendall(wire[:cut])
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass

def reset():
    for cut in range(1, len(wire)):
        with connect() as client:
            client.sendall(wire[:cut])
            answer(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

dict(trickle=trickle, together=together, pause=pause, end=end, reset=reset)[mode]()
"#;

/// Two short frames; on the wire they are 7 and 9 bytes.
const TWO: [&[u8]; 2] = [b"one", b"three"];

/// Where on the wire each of the [`TWO`] ends.
const ENDS: [usize; 2] = [7, 16];

/// What the node has read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Read {
    /// Some bytes that don't end a frame.
    Part,
    Frame(Bytes),
}

impl From<BytesMut> for Read {
    fn from(frame: BytesMut) -> Self {
        Self::Frame(frame.freeze())
    }
}

/// A `LengthDelimitedCodec` that also tells of bytes that don't end a frame, so that they can be
/// answered.
#[derive(Default)]
struct Watched {
    frames: LengthDelimitedCodec,
    left: usize,
}

impl Decoder for Watched {
    type Item = Read;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Read>> {
        let grown = src.len() > self.left;
        let frame = self.frames.decode(src)?;
        self.left = src.len();
        Ok(match frame {
            Some(frame) => Some(frame.into()),
            None => grown.then_some(Read::Part),
        })
    }
}

impl Encoder<Bytes> for Watched {
    type Error = io::Error;

    fn encode(&mut self, message: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        self.frames.encode(message, dst)
    }
}

/// A connection from its beginning to its end.
#[derive(Debug)]
struct Life {
    read: Vec<Read>,
    ending: Disconnect,
}

impl Life {
    /// How many bytes were read that did not end a frame, one by one.
    fn parts(&self) -> usize {
        self.read.iter().filter(|read| **read == Read::Part).count()
    }

    fn frames(&self) -> Vec<Bytes> {
        let frame = |read: &Read| match read {
            Read::Frame(frame) => Some(frame.clone()),
            Read::Part => None,
        };
        self.read.iter().filter_map(frame).collect()
    }

    /// Asserts that the frames of [`TWO`] that fit into so many bytes were read.
    fn assert_frames_within(&self, bytes: usize) {
        let whole = ENDS.iter().filter(|end| **end <= bytes).count();
        assert_eq!(self.frames(), TWO[..whole], "{bytes} bytes were sent");
    }
}

/// Lets the client talk to a node that answers whatever it reads, until it is done and its
/// connections have ended. They come back in the order in which they were made.
async fn talk<C, Item>(
    codec: fn(Peer) -> C,
    mode: &str,
    payloads: &[&[u8]],
    connections: usize,
) -> Vec<Life>
where
    C: Decoder<Item = Item, Error = io::Error> + Encoder<Bytes, Error = io::Error> + Send + 'static,
    Item: Into<Read> + Debug + Send + 'static,
{
    let builder = Node::builder().listen("127.0.0.1:0");
    let (node, inbound) = builder.start(codec).await.expect("wattle starts");
    let mut events = inbound.into_events();
    let mut open = BTreeMap::new();
    let mut ended = BTreeMap::new();
    let serve = async {
        while ended.len() < connections {
            match events.recv().await {
                Some(Event::Connected(peer)) => {
                    open.insert(peer, Vec::new());
                }
                Some(Event::Message(item, peer)) => {
                    let read = item.into();
                    let answer = match &read {
                        Read::Part => Bytes::from_static(b"part"),
                        Read::Frame(frame) => [b"frame ", &frame[..]].concat().into(),
                    };
                    // A client that doesn't wait for the answer may be gone.
                    let _answered_or_gone = node.send_to(answer, peer).await;
                    open.get_mut(&peer).expect("it is connected").push(read);
                }
                Some(Event::Disconnected(peer, ending)) => {
                    let read = open.remove(&peer).expect("it is connected");
                    ended.insert(peer, Life { read, ending });
                }
                other => panic!("unexpected: {other:?}"),
            }
        }
    };
    let port = node.local_addr().expect("it listens").port();
    let client = run_client(mode, port, payloads);
    within(async { tokio::join!(client, serve) }).await;
    assert!(open.is_empty(), "{open:?}");

    let report = within(node.shutdown()).await;
    assert!(report.is_clean() && report.connections == 0, "{report}");
    assert!(within(events.recv()).await.is_none());
    ended.into_values().collect()
}

async fn run_client(mode: &str, port: u16, payloads: &[&[u8]]) {
    let hex = |payload: &&[u8]| payload.iter().map(|byte| format!("{byte:02x}")).collect();
    let output = Command::new("python3")
        .args(["-c", CLIENT, mode, &port.to_string()])
        .args(payloads.iter().map(hex).collect::<Vec<String>>())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("python3 starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the client failed:\n{stderr}");
}

fn is_clean_end(ending: &Disconnect) -> bool {
    matches!(ending.reason, Reason::EndOfStream) && ending.initiator == Initiator::Remote
}

#[tokio::test]
async fn bytes_that_trickle_in_one_at_a_time_make_the_same_frames() {
    if !tool("python3") {
        return;
    }
    let payloads = [&b""[..], b"x", &[b'y'; 300]];
    let lives = talk(|_| Watched::default(), "trickle", &payloads, 1).await;
    assert_eq!(lives[0].frames(), payloads);
    // Every byte but the last of each frame was read alone.
    assert_eq!(lives[0].parts(), 3 + 4 + 303);
    assert!(is_clean_end(&lives[0].ending), "{}", lives[0].ending);
}

#[tokio::test]
async fn ten_frames_in_one_write_are_ten_messages() {
    if !tool("python3") {
        return;
    }
    let payloads: Vec<_> = (0..10).map(|i| vec![i; 10 * usize::from(i)]).collect();
    let payloads: Vec<_> = payloads.iter().map(Vec::as_slice).collect();
    let lives = talk(|_| LengthDelimitedCodec::new(), "together", &payloads, 1).await;
    assert_eq!(lives[0].frames(), payloads);
    assert!(is_clean_end(&lives[0].ending), "{}", lives[0].ending);
}

#[tokio::test]
async fn a_pause_at_any_position_changes_nothing() {
    if !tool("python3") {
        return;
    }
    let cuts = 1..ENDS[1];
    let lives = talk(|_| Watched::default(), "pause", &TWO, cuts.len()).await;
    for (cut, life) in cuts.zip(lives) {
        assert_eq!(life.frames(), TWO, "cut at {cut}");
        // The first part of the wire was read apart from the second.
        assert_eq!(life.parts(), usize::from(cut < ENDS[0]), "cut at {cut}");
        assert!(is_clean_end(&life.ending), "cut at {cut}: {}", life.ending);
    }
}

#[tokio::test]
async fn an_end_of_stream_is_told_from_one_inside_a_frame_at_every_position() {
    if !tool("python3") {
        return;
    }
    let cuts = 0..ENDS[1] + 1;
    let lives = talk(|_| LengthDelimitedCodec::new(), "end", &TWO, cuts.len()).await;
    for (cut, life) in cuts.zip(lives) {
        life.assert_frames_within(cut);
        let ending = &life.ending;
        assert_eq!(ending.initiator, Initiator::Remote, "cut at {cut}");
        if cut == 0 || ENDS.contains(&cut) {
            assert!(is_clean_end(ending), "cut at {cut}: {ending}");
        } else {
            let begun = if cut < ENDS[0] { cut } else { cut - ENDS[0] };
            let inside = match ending.reason {
                Reason::EndInsideFrame { buffered, .. } => buffered == begun,
                _ => false,
            };
            assert!(inside, "cut at {cut}: {ending}");
        }
    }
}

#[tokio::test]
async fn a_reset_is_a_reset_at_every_position() {
    if !tool("python3") {
        return;
    }
    let cuts = 1..ENDS[1];
    let lives = talk(|_| Watched::default(), "reset", &TWO, cuts.len()).await;
    for (cut, life) in cuts.zip(lives) {
        life.assert_frames_within(cut);
        let ending = &life.ending;
        let reset = matches!(ending.reason, Reason::Reset(_));
        assert!(reset, "cut at {cut}: {ending}");
        assert_eq!(ending.initiator, Initiator::Remote, "cut at {cut}");
    }
}
