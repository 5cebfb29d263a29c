//! JSON lines from programs that aren't ours: Python's `json` and `socket`, and `nc`. Messages come several in
//! a segment and in pieces, and broken ones are answered or are the end.

mod common;

use std::{net::SocketAddr, process::Stdio};

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio_util::codec::{Decoder, Encoder};
use wattle::{BoxError, Disconnect, Event, Initiator, Node, Peer, Reason};
use wattle_codecs::{
    CodecExt, Delimited, DelimitedError, Format, Json, Serde, SerdeError, Tolerant,
};

use common::pairs::serve;
use common::{finish_events, next_event, skipped, soon, tool};

/// The longest line in bytes.
const MOST: usize = 4096;

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Request {
    Add { terms: Vec<i64> },
    Reverse(Text),
}

#[derive(Debug, Deserialize)]
struct Text {
    text: String,
    times: Option<usize>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Sum(i64),
    Text(String),
    Error(String),
}

type Lines = Serde<Delimited, Json, Request, Reply>;
type LinesError = SerdeError<DelimitedError, <Json as Format>::Error>;

fn lines(_: Peer) -> Lines {
    Json::lines::<Request>(MOST).sending::<Reply>()
}

/// Two bad lines in a row are tolerated.
fn tolerant(peer: Peer) -> Tolerant<Lines> {
    lines(peer).tolerant(2)
}

fn answer(request: Request) -> Reply {
    match request {
        Request::Add { terms } => Reply::Sum(terms.iter().sum()),
        Request::Reverse(Text { text, times }) => {
            let reversed: String = text.chars().rev().collect();
            Reply::Text(reversed.repeat(times.unwrap_or(1)))
        }
    }
}

/// The same for what may be none.
fn answer_tolerantly(request: Result<Request, LinesError>) -> Reply {
    match request {
        Ok(request) => answer(request),
        Err(error) => Reply::Error(error.to_string()),
    }
}

/// A node that answers each request of its one client, until that has ended its side.
async fn talk<C>(
    codec: fn(Peer) -> C,
    answer: fn(C::Item) -> Reply,
    client: impl AsyncFnOnce(SocketAddr),
) -> Disconnect
where
    C: Decoder<Item: std::fmt::Debug + Send, Error: Into<BoxError>>
        + Encoder<Reply, Error: Into<BoxError>>
        + Send
        + 'static,
{
    let options = Node::builder().allow_half_open(true);
    let (node, mut events, addr) = serve(options, codec).await;
    let answering = async {
        loop {
            match next_event(&mut events).await {
                Event::Connected(_) => {}
                Event::Message(request, peer) => {
                    node.send_to(answer(request), peer).await.unwrap();
                }
                Event::ReadClosed(peer) => {
                    // What is queued goes out first, and then the connection ends for the client too.
                    let node = node.clone();
                    tokio::spawn(async move { node.disconnect(peer).await });
                }
                Event::Disconnected(_, end) => return end,
                other => panic!("{other:?}"),
            }
        }
    };
    let (end, ()) = tokio::join!(answering, client(addr));
    finish_events(&node, events).await;
    end
}

/// Its first argument is what to do, its second the port.
const CLIENT: &str = r#"
import json, socket, sys

def line(value, **options):
    return (json.dumps(value, **options) + "\n").encode()

def reverse(text):
    return {"do": "reverse", "text": text}

client = socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=20)
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
replies = client.makefile("rb")

def expect(wanted):
    got = json.loads(replies.readline())
    assert got == wanted, (got, wanted)

def expect_error(*parts):
    got = json.loads(replies.readline())
    assert list(got) == ["error"] and all(part in got["error"] for part in parts), got

def expect_end():
    rest = replies.read()
    assert rest == b"", rest

def end():
    client.shutdown(socket.SHUT_WR)
    expect_end()

def together():
    requests = [{"do": "add", "terms": [n, 1]} for n in range(100)]
    client.sendall(b"".join(map(line, requests)))
    for n in range(100):
        expect({"sum": n + 1})
    end()

def pieces():
    # Who answers the first has read what came behind it: from then on, the second is in two reads.
    first, second = line(reverse("ab")), line(reverse("Käse \U0001f9c0"), ensure_ascii=False)
    for cut in range(1, len(second)):
        client.sendall(first + second[:cut])
        expect({"text": "ba"})
        client.sendall(second[cut:])
        expect({"text": "\U0001f9c0 esäK"})
    end()

def written_otherwise():
    client.sendall(line(reverse("Käse \U0001f9c0")))
    expect({"text": "\U0001f9c0 esäK"})
    client.sendall(line(reverse("two\nlines")))
    expect({"text": "senil\nowt"})
    client.sendall(b'  { "text" : "ab","unknown":[{}], "do":\t"reverse" ,"times":2} \r\n')
    expect({"text": "baba"})
    # As long as a line may be, with its two quotes and the name.
    long = "x" * (4096 - len(line(reverse(""))) + 1)
    client.sendall(line(reverse(long)))
    expect({"text": long})
    # The last one needs no end.
    client.sendall(line({"do": "add", "terms": [-1]})[:-1])
    client.shutdown(socket.SHUT_WR)
    expect({"sum": -1})
    expect_end()

def broken():
    client.sendall(b'{"do":"add"}\n{"do":"add","terms":[1,2]}\n')
    expect_error("frame at byte 0: in its message of 12 bytes: ", "missing field `terms`")
    expect({"sum": 3})
    client.sendall(b"\n" + b"x" * 5000 + b"\n" + line(reverse("ab")))
    expect_error("frame at byte 40", "EOF while parsing a value at line 1 column 0")
    expect_error("frame at byte 41", "at most 4096")
    expect({"text": "ba"})
    client.sendall(b'{"do":"add","terms":[1]} []\n\xff\n')
    expect_error("trailing characters at line 1 column 26")
    expect_error("expected value at line 1 column 1")
    # The third in a row is the end.
    client.sendall(b'{"do":"subtract"}\n')
    expect_end()

def fatal():
    client.sendall(line(reverse("ab")))
    expect({"text": "ba"})
    client.sendall(b'{"do":"add","terms":[1,}\n')
    expect_end()

globals()[sys.argv[1]]()
"#;

async fn python(mode: &str, addr: SocketAddr) {
    let client = Command::new("python3")
        .args(["-c", CLIENT, mode, &addr.port().to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = soon("the client's end", client).await.expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the client failed:\n{stderr}");
}

/// The client ended first, and all that it was sent went out.
fn assert_answered(end: &Disconnect) {
    assert!(matches!(end.reason, Reason::Disconnected), "{end}");
    assert_eq!(end.undelivered, 0, "{end}");
}

#[tokio::test]
async fn a_hundred_requests_in_one_write_are_answered_in_order() {
    if !tool("python3") {
        return;
    }
    let end = talk(lines, answer, async |addr| python("together", addr).await).await;
    assert_answered(&end);
}

#[tokio::test]
async fn a_request_in_two_segments_is_one_wherever_it_is_cut() {
    if !tool("python3") {
        return;
    }
    let end = talk(lines, answer, async |addr| python("pieces", addr).await).await;
    assert_answered(&end);
}

#[tokio::test]
async fn a_request_is_the_same_however_its_json_is_written() {
    if !tool("python3") {
        return;
    }
    let client = async |addr| python("written_otherwise", addr).await;
    assert_answered(&talk(lines, answer, client).await);
}

#[tokio::test]
async fn a_tolerant_node_answers_a_broken_request_until_there_are_too_many_in_a_row() {
    if !tool("python3") {
        return;
    }
    let client = async |addr| python("broken", addr).await;
    let end = talk(tolerant, answer_tolerantly, client).await;
    assert!(matches!(end.reason, Reason::Decode(_)), "{end}");
    let text = end.to_string();
    for told in [
        "3 bad frames in a row, expected at most 2; the last one: frame at byte ",
        "unknown variant `subtract`, expected `add` or `reverse`",
    ] {
        assert!(text.contains(told), "{text}");
    }
}

#[tokio::test]
async fn a_broken_request_ends_the_connection_with_what_serde_json_says() {
    if !tool("python3") {
        return;
    }
    let client = async |addr| python("fatal", addr).await;
    let end = talk(lines, answer, client).await;
    assert_eq!(end.initiator, Initiator::Library);
    let Reason::Decode(error) = &end.reason else {
        panic!("{end}");
    };
    match error.downcast_ref::<LinesError>() {
        Some(SerdeError::Parse { source, len, at }) => {
            assert_eq!((source.line(), source.column()), (1, 24));
            assert_eq!((*len, *at), (24, 32));
        }
        other => panic!("{other:?}"),
    }
    let told = "decode error: frame at byte 32: in its message of 24 bytes: \
                expected value at line 1 column 24 (by the library)";
    assert_eq!(end.to_string(), told);
}

#[tokio::test]
async fn nc_is_answered() {
    if !tool("nc") {
        return;
    }
    let help = Command::new("nc").arg("-h").output().await;
    let help = help.expect("nc runs");
    if !String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).contains("-N") {
        return skipped("this nc has no -N");
    }
    let client = async |addr: SocketAddr| {
        let requests = r#"{"do":"add","terms":[20,22]}\n{"do":"reverse","text":"pea"}\n{}\n"#;
        let nc = format!("printf '{requests}' | nc -N {} {}", addr.ip(), addr.port());
        let nc = Command::new("sh")
            .args(["-c", &nc])
            .kill_on_drop(true)
            .output();
        let output = soon("nc", nc).await.expect("sh runs");
        assert!(output.status.success(), "{output:?}");
        let told = "{\"sum\":42}\n{\"text\":\"aep\"}\n{\"error\":\"frame at byte 59: in its message \
                    of 2 bytes: missing field `do` at line 1 column 2\"}\n";
        assert_eq!(String::from_utf8_lossy(&output.stdout), told);
    };
    assert_answered(&talk(tolerant, answer_tolerantly, client).await);
}
