//! Scripted peers play against nodes, against each other, and against a program.

mod common;

use std::{
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use common::{network::Network, next_event, path_of_example, start_lines, within};
use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex, join, sink},
    net::TcpListener,
    task::JoinHandle,
    time::Instant,
};
use tokio_util::codec::{Decoder, Encoder, Framed, LengthDelimitedCodec, LinesCodec};
use wattle::{
    BoxError, Event, Node, Peer, Protocol, Reason, Side, Timeout, Transport,
    testing::{
        Closed, Script,
        script::{Failure, Happening, Instead, Player, Transcript},
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn lines(_: Peer) -> LinesCodec {
    LinesCodec::new_with_max_length(8192)
}

/// A script that isn't played over its transport.
fn script() -> Script<LinesCodec> {
    Script::new(lines)
}

fn localhost() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Two ends of a stream with a player on one.
fn on_stage(capacity: usize) -> (Player<LinesCodec>, DuplexStream) {
    let (ours, theirs) = duplex(capacity);
    (Player::on(ours, LinesCodec::new()), theirs)
}

/// A node in memory that sends every line back.
async fn echo<T: Transport>(transport: T) -> (Node<String>, SocketAddr, JoinHandle<()>) {
    let builder = Node::builder()
        .transport(transport)
        .allow_half_open(true)
        .listen(localhost());
    let (node, inbound) = builder.start(lines).await.expect("it starts");
    let addr = node.local_addr().expect("it listens");
    let outbound = node.outbound();
    let echo = tokio::spawn(async move {
        let _shut_down = inbound.map(Ok).forward(outbound).await;
    });
    (node, addr, echo)
}

/// The example, as a program that a test knows nothing of but its address.
struct Program(Child, SocketAddr);

impl Program {
    fn echo(options: &[&str]) -> Self {
        let mut command = Command::new(path_of_example("echo"));
        let command = command.args(options).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stdout = child.stdout.take().expect("it is piped");
        let mut first = String::new();
        let read = BufReader::new(stdout).read_line(&mut first);
        read.expect("it has a first line");
        let addr = first.trim_end().strip_prefix("listening on ");
        let addr = addr.expect("it listens").parse().expect("an address");
        Self(child, addr)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// Against a program.

#[tokio::test]
async fn a_program_is_tested_from_outside() {
    let program = Program::echo(&["--half-open", "--frame-timeout", "100ms"]);
    let client = script()
        .send("hello")
        .expect("hello")
        .send_bytes("in two ")
        .send_bytes("pieces\n")
        .expect("in two pieces")
        .send("and the last")
        .half_close()
        .expect("and the last");
    let played = client.dial(program.1).play().await.unwrap();
    let received: Vec<_> = played.received().collect();
    assert_eq!(
        received,
        ["\"hello\"", "\"in two pieces\"", "\"and the last\""]
    );

    let slow = script()
        .trickle(&b"a line that is too slow\n"[..], 1, SECOND / 20)
        .expect_closed(Closed::Either);
    slow.dial(program.1).play().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn many_come_at_once_from_distinct_addresses() {
    use std::{collections::HashSet, net::IpAddr};

    const MANY: usize = 300;
    // More than one address could open.
    let builder = Node::builder().listen(localhost()).max_per_ip(1);
    let (node, inbound) = builder.start(lines).await.unwrap();
    let (told, mut from) = tokio::sync::mpsc::unbounded_channel();
    let outbound = node.outbound();
    let echo = inbound.map(move |(line, peer)| {
        told.send(peer.addr().ip()).unwrap();
        Ok((line, peer))
    });
    let echo = tokio::spawn(echo.forward(outbound));

    let client = script().send("hi").expect("hi");
    let client = client.dial(node.local_addr().unwrap());
    let played = client.play_times(MANY).await;
    let played: Result<Vec<_>, _> = played.into_iter().collect();
    assert_eq!(played.unwrap().len(), MANY);

    node.shutdown().await;
    within(echo).await.unwrap().unwrap();
    let mut addresses = HashSet::<IpAddr>::new();
    while let Some(ip) = from.recv().await {
        addresses.insert(ip);
    }
    assert_eq!(addresses.len(), MANY);
    assert!(addresses.contains(&IpAddr::from([127, 0, 1, 1])));
    assert!(addresses.contains(&IpAddr::from([127, 0, 2, 44])));
}

#[tokio::test]
async fn a_reset_is_told_from_an_orderly_end_over_tcp() {
    let mut rude = script()
        .expect("go")
        .reset()
        .listen(localhost())
        .await
        .unwrap();
    let addr = rude.local_addr();
    let rude = tokio::spawn(async move { rude.play().await });
    let client = script().send("go").expect_closed(Closed::Reset);
    client.dial(addr).play().await.unwrap();
    rude.await.unwrap().unwrap();

    let mut polite = script().expect("go").listen(localhost()).await.unwrap();
    let addr = polite.local_addr();
    let polite = tokio::spawn(async move { polite.play().await });
    let client = script().send("go").expect_closed(Closed::Orderly);
    client.dial(addr).play().await.unwrap();
    polite.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_node_sees_the_reset_of_a_script() {
    let (node, inbound): (Node<String>, _) = Node::builder()
        .listen(localhost())
        .start(lines)
        .await
        .unwrap();
    let mut events = inbound.into_events();
    let rude = script().send("hello").reset();
    let rude = rude.dial(node.local_addr().unwrap());
    rude.play().await.unwrap();
    loop {
        if let Event::Disconnected(_, why) = next_event(&mut events).await {
            assert!(matches!(why.reason, Reason::Reset(_)), "{why:?}");
            break;
        }
    }
}

#[tokio::test]
async fn a_write_that_meets_the_expected_closing_is_no_failure() {
    // It closes without having read all, so that the writing fails somewhere.
    let listener = TcpListener::bind(localhost()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let other = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
    });
    let flood = script()
        .send_bytes(vec![b'x'; 64 << 20])
        .send("not needed any more")
        .expect_closed(Closed::Either);
    flood.dial(addr).play().await.unwrap();
    other.await.unwrap();
}

// Against nodes in memory.

#[tokio::test(start_paused = true)]
async fn a_client_plays_against_a_node_in_memory() {
    let network = Network::default();
    let (node, addr, echo) = echo(network.clone()).await;
    let client = Script::over(network, lines)
        .send("one")
        .send("two".to_owned())
        .expect("one")
        .expect_matching("what rhymes with shoe", |line| line.ends_with("wo"))
        .expect_silence(60 * SECOND)
        .half_close()
        .expect_silence(60 * SECOND);
    let begun = Instant::now();
    let played = client.dial(addr).play().await.unwrap();
    assert!(begun.elapsed() >= 120 * SECOND);
    assert_eq!(played.received().count(), 2);
    assert!(played.rest().is_empty());

    // It is a value: played again, by several at once.
    let dialing = client.dial(addr);
    let again = (0..20).map(|_| dialing.play());
    for played in futures::future::join_all(again).await {
        played.unwrap();
    }
    node.shutdown().await;
    echo.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_isnt_there_is_dialled_by_a_node() {
    let network = Network::default();
    let server = Script::over(network.clone(), lines)
        .expect("HELLO")
        .stall(30 * SECOND)
        .send("WELCOME")
        .expect_closed(Closed::Orderly);
    let mut server = server.listen(localhost()).await.unwrap();
    let addr = server.local_addr();
    let server = tokio::spawn(async move { server.play().await });

    let builder = Node::builder().transport(network);
    let (node, mut inbound) = builder.start(lines).await.unwrap();
    let peer = node.connect(addr).await.unwrap();
    node.send_to("HELLO", peer).await.unwrap();
    assert_eq!(inbound.recv().await, Some(("WELCOME".to_owned(), peer)));
    node.disconnect(peer).await;
    let played = server.await.unwrap().unwrap();
    let stalled = |entry: &&wattle::testing::script::Entry| matches!(entry.happening, Happening::Stalled(duration) if duration == 30 * SECOND);
    assert_eq!(played.entries().iter().filter(stalled).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_peer_reads_nothing() {
    let (mut player, mut other) = on_stage(4);
    let stalled = script().stall(10 * SECOND).expect("12345678");
    let begun = Instant::now();
    let write = async {
        other.write_all(b"12345678\n").await.unwrap();
        begun.elapsed()
    };
    let (played, took) = tokio::join!(player.play(&stalled), write);
    played.unwrap();
    assert_eq!(took, 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn several_clients_of_a_script_that_listens_are_served_at_once() {
    let network = Network::default();
    let server = Script::over(network.clone(), lines)
        .expect("HELLO")
        .stall(5 * SECOND)
        .send("WELCOME");
    let mut server = server.listen(localhost()).await.unwrap();
    let client = Script::over(network, lines)
        .send("HELLO")
        .expect("WELCOME")
        .expect_closed(Closed::Orderly);
    let client = client.dial(server.local_addr());
    let begun = Instant::now();
    let clients = futures::future::join_all((0..10).map(|_| client.play()));
    let (served, clients) = tokio::join!(server.play_times(10), clients);
    assert_eq!(begun.elapsed(), 5 * SECOND);
    assert_eq!(served.len(), 10);
    for played in served.into_iter().chain(clients) {
        played.unwrap();
    }
    assert!(server.play_times(0).await.is_empty());
}

// Beside the script.

#[tokio::test(start_paused = true)]
async fn pings_are_answered_beside_the_script() {
    let network = Network::default();
    let builder = Node::builder()
        .transport(network.clone())
        .idle_timeout(3 * SECOND)
        .listen(localhost());
    let (node, inbound) = builder.start(lines).await.unwrap();
    let mut events = inbound.into_events();
    let pong = |line: &String| line.strip_prefix("ping ").map(|n| format!("pong {n}"));
    let answering = Script::over(network, lines)
        .auto_reply(pong)
        .ignore(|line| line.starts_with('#'))
        .expect_silence(10 * SECOND)
        .expect("quit")
        .send("bye");
    let answering = answering.dial(node.local_addr().unwrap());
    let play = tokio::spawn(async move { answering.play().await });

    let Event::Connected(peer) = next_event(&mut events).await else {
        panic!("nobody connected");
    };
    for n in 0..10 {
        tokio::time::sleep(SECOND).await;
        node.send_to(format!("ping {n}"), peer).await.unwrap();
        node.send_to(format!("# {n}"), peer).await.unwrap();
        let Event::Message(pong, _) = next_event(&mut events).await else {
            panic!("no pong {n}");
        };
        assert_eq!(pong, format!("pong {n}"));
    }
    node.send_to("quit".to_owned(), peer).await.unwrap();
    let Event::Message(bye, _) = next_event(&mut events).await else {
        panic!("no bye");
    };
    assert_eq!(bye, "bye");
    let played = play.await.unwrap().unwrap();
    assert_eq!(played.received().count(), 21);
    // The steps have only what they took and did.
    let of_steps: Vec<_> = played.entries().iter().filter_map(|e| e.step).collect();
    assert_eq!(of_steps, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_pings_are_not_answered_hangs_up() {
    let network = Network::default();
    let builder = Node::builder()
        .transport(network.clone())
        .idle_timeout(3 * SECOND)
        .listen(localhost());
    let (node, inbound): (Node<String>, _) = builder.start(lines).await.unwrap();
    let silent = Script::over(network, lines).expect_closed(Closed::Orderly);
    silent
        .dial(node.local_addr().unwrap())
        .play()
        .await
        .unwrap();
    let mut events = inbound.into_events();
    while let Some(event) = events.recv().await {
        if let Event::Disconnected(_, why) = event {
            assert!(
                matches!(why.reason, Reason::TimedOut(Timeout::Idle)),
                "{why:?}"
            );
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_that_has_an_answer_gives_it_and_counts_are_possible() {
    let (mut player, other) = on_stage(64);
    let answered = Arc::new(AtomicU64::new(0));
    let count = answered.clone();
    let answering = script()
        .auto_reply(|line| (line == "a").then_some("first"))
        .auto_reply(move |line| {
            (line.len() == 1).then(|| count.fetch_add(1, Ordering::Relaxed).to_string())
        })
        .expect("end");
    let mut other = Player::on(other, LinesCodec::new());
    let asking = script()
        .send("a")
        .expect("first")
        .send("b")
        .expect("0")
        .send("c")
        .expect("1")
        .send("end");
    let (answering, asking) = tokio::join!(player.play(&answering), other.play(&asking));
    answering.unwrap();
    asking.unwrap();
    assert_eq!(answered.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_silence_doesnt_cut_a_reply_in_half() {
    let (mut player, mut other) = on_stage(4);
    let answering = script()
        .auto_reply(|line| (line == "?").then_some("0123456789"))
        .expect_silence(SECOND)
        .send("end");
    let asking = async {
        other.write_all(b"?\n").await.unwrap();
        tokio::time::sleep(5 * SECOND).await;
        let mut answers = vec![0; 15];
        other.read_exact(&mut answers).await.unwrap();
        assert_eq!(answers, b"0123456789\nend\n");
    };
    let (played, ()) = tokio::join!(player.play(&answering), asking);
    played.unwrap();
}

/// Reads as an endless row of empty lines, and never has its reader wait.
struct Endless;

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buf.put_slice(b"\n\n");
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn one_that_never_stops_asking_doesnt_keep_a_step_from_its_deadline() {
    let mut player = Player::on(join(Endless, sink()), LinesCodec::new());
    let ignoring = script().ignore(String::is_empty).within(SECOND / 50);
    let failure = player.play(&ignoring.expect("end")).await.unwrap_err();
    assert!(matches!(failure.instead, Instead::Nothing { .. }));
    let silence = script()
        .ignore(String::is_empty)
        .expect_silence(SECOND / 50);
    player.play(&silence).await.unwrap();
}

// Bytes.

#[tokio::test(start_paused = true)]
async fn nothing_that_came_is_lost_between_steps_and_behind_the_last() {
    let (mut player, mut other) = on_stage(64);
    other.write_all(b"one\ntwo\nthree\nfo").await.unwrap();
    player.play(&script().expect("one")).await.unwrap();
    player
        .play(&script().send("x").expect("two"))
        .await
        .unwrap();
    other.write_all(b"ur\nfi").await.unwrap();
    assert_eq!(player.finish().await.rest(), &b"three\nfour\nfi"[..]);
}

#[tokio::test(start_paused = true)]
async fn one_goes_on_by_hand_with_all_that_came() {
    let (mut player, mut other) = on_stage(64);
    other.write_all(b"one\ntwo\nthr").await.unwrap();
    player.play(&script().expect("one")).await.unwrap();
    let mut by_hand = player.into_framed();
    assert_eq!(within(by_hand.next()).await.unwrap().unwrap(), "two");
    other.write_all(b"ee\n").await.unwrap();
    assert_eq!(within(by_hand.next()).await.unwrap().unwrap(), "three");
    by_hand.send("four").await.unwrap();
    let mut four = [0; 5];
    other.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"four\n");
}

#[tokio::test(start_paused = true)]
async fn bytes_and_messages_go_out_in_the_order_of_the_steps() {
    let (mut player, mut other) = on_stage(3);
    let sending = script()
        .send_bytes("a")
        .send("b")
        .trickle("cde", 2, SECOND)
        .send("f")
        .send_bytes(Bytes::from_static(b"g"))
        .half_close();
    let mut all = String::new();
    let (played, read) = tokio::join!(player.play(&sending), other.read_to_string(&mut all));
    played.unwrap();
    read.unwrap();
    assert_eq!(all, "ab\ncdef\ng");
}

#[tokio::test(start_paused = true)]
async fn a_trickle_comes_in_pieces_with_pauses_between_them() {
    let (mut player, mut other) = on_stage(64);
    let begun = Instant::now();
    let reading = async {
        let mut pieces = Vec::new();
        loop {
            let mut piece = [0; 64];
            match other.read(&mut piece).await.unwrap() {
                0 => return pieces,
                n => pieces.push((begun.elapsed(), piece[..n].to_vec())),
            }
        }
    };
    let trickling = script().trickle("hello", 2, 2 * SECOND).half_close();
    let (played, pieces) = tokio::join!(player.play(&trickling), reading);
    played.unwrap();
    let expected = [(0, "he"), (2, "ll"), (4, "o")];
    let expected = expected.map(|(at, piece)| (at * SECOND, piece.as_bytes().to_vec()));
    assert_eq!(pieces, expected);
}

#[tokio::test(start_paused = true)]
async fn one_that_writes_before_it_reads_doesnt_hang_a_script_that_does_too() {
    let (mut player, other) = on_stage(16);
    let mut other = Player::on(other, LinesCodec::new());
    let long = "x".repeat(1000);
    let both = script().send(long.clone()).expect(long.clone());
    let both = both.send(long.clone()).expect(long);
    let (one, another) = tokio::join!(player.play(&both), other.play(&both));
    one.unwrap();
    another.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_read_ahead_has_the_time_at_which_it_came() {
    let (mut player, mut other) = on_stage(64);
    let slow = script().trickle("abc\n", 1, SECOND).expect("early");
    let early = async {
        tokio::time::sleep(SECOND + SECOND / 2).await;
        other.write_all(b"early\n").await.unwrap();
    };
    let (played, ()) = tokio::join!(player.play(&slow), early);
    played.unwrap();
    let text = player.finish().await.to_string();
    let expected = [
        "  0.000000s  step 1   → (bytes)  1 byte: \"a\"",
        "  1.000000s  step 1   → (bytes)  1 byte: \"b\"",
        "  1.500000s  step 2   ← \"early\"  6 bytes: \"early\\n\"",
        "  2.000000s  step 1   → (bytes)  1 byte: \"c\"",
        "  3.000000s  step 1   → (bytes)  1 byte: \"\\n\"",
    ];
    assert_eq!(text, expected.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn the_last_message_may_come_with_the_end_of_the_stream() {
    let (mut player, mut other) = on_stage(64);
    other.write_all(b"one\ntwo").await.unwrap();
    drop(other);
    let reading = script().expect("one").expect("two");
    let reading = reading.expect_closed(Closed::Orderly);
    let again = script().expect_closed(Closed::Either);
    player.play(&reading).await.unwrap();
    player.play(&again).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_transcript_has_the_bytes_of_each_message() {
    let (ours, theirs) = duplex(5);
    let mut player = Player::on(ours, LengthDelimitedCodec::new());
    let mut other = Player::on(theirs, LengthDelimitedCodec::new());
    let frames = |_: Peer| LengthDelimitedCodec::new();
    let sending = Script::new(frames)
        .send(Bytes::from_static(b"abc"))
        .send(Bytes::from_static(b"defgh"));
    let receiving = Script::new(frames)
        .expect(Bytes::from_static(b"abc"))
        .expect(Bytes::from_static(b"defgh"));
    let (sent, received) = tokio::join!(player.play(&sending), other.play(&receiving));
    sent.unwrap();
    received.unwrap();
    let expected = [&b"\0\0\0\x03abc"[..], b"\0\0\0\x05defgh"];
    assert_eq!(bytes_of(&player.finish().await), expected);
    assert_eq!(bytes_of(&other.finish().await), expected);
}

fn bytes_of(transcript: &Transcript) -> Vec<Bytes> {
    let bytes = |entry: &wattle::testing::script::Entry| match &entry.happening {
        Happening::Sent { bytes, .. } | Happening::Received { bytes, .. } => Some(bytes.clone()),
        _ => None,
    };
    transcript.entries().iter().filter_map(bytes).collect()
}

// Handshakes.

/// Each side says who it is in a line; frames follow.
struct Greeting(&'static str);

impl<S: wattle::transport::ByteStream> Protocol<S> for Greeting {
    type Io = S;
    type Codec = LengthDelimitedCodec;

    async fn handshake(
        &self,
        stream: S,
        _: Peer,
    ) -> Result<Framed<S, LengthDelimitedCodec>, BoxError> {
        let mut framed = Framed::new(stream, LinesCodec::new_with_max_length(16));
        framed.send(self.0).await?;
        let theirs = framed.next().await.ok_or("it left without a greeting")??;
        if theirs != "hello" {
            return Err(format!("expected hello, got {theirs:?}").into());
        }
        Ok(framed.map_codec(|_| LengthDelimitedCodec::new()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_comes_before_the_first_step_and_loses_nothing() {
    let network = Network::default();
    let server = Script::over(network.clone(), Greeting("hello"));
    let server = server.send(Bytes::from_static(b"right behind it"));
    let mut server = server.listen(localhost()).await.unwrap();
    let client = Script::over(network.clone(), Greeting("hello"));
    let client = client
        .expect(&b"right behind it"[..])
        .expect_closed(Closed::Orderly);
    let client = client.dial(server.local_addr());
    let (served, played) = tokio::join!(server.play(), client.play());
    served.unwrap();
    played.unwrap();

    let stranger = Script::over(network, Greeting("what?"));
    let stranger = stranger.dial(server.local_addr());
    let (served, _) = tokio::join!(server.play(), stranger.play());
    let failure = served.unwrap_err();
    let expected = format!(
        "expected somebody to connect to {}, but the handshake failed: \
         expected hello, got \"what?\"",
        server.local_addr()
    );
    assert_eq!(failure.to_string(), expected);
}

/// Says hello, and leaves it to the session to write it out.
struct Unflushed;

impl<S: wattle::transport::ByteStream> Protocol<S> for Unflushed {
    type Io = S;
    type Codec = LinesCodec;

    async fn handshake(&self, stream: S, _: Peer) -> Result<Framed<S, LinesCodec>, BoxError> {
        let mut framed = Framed::new(stream, LinesCodec::new_with_max_length(16));
        framed.feed("hello").await?;
        Ok(framed)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_handshake_leaves_to_be_written_comes_before_the_first_step() {
    let network = Network::default();
    let server = Script::over(network.clone(), Unflushed).send("and more");
    let mut server = server.listen(localhost()).await.unwrap();
    let client = Script::over(network, lines)
        .expect("hello")
        .expect("and more");
    let client = client.dial(server.local_addr());
    let (served, played) = tokio::join!(server.play(), client.play());
    served.unwrap();
    played.unwrap();
}

// A protocol of one's own.

/// Like Redis: a request in a line; a reply with its kind in front.
#[derive(Debug, Clone, PartialEq)]
enum Reply {
    Simple(String),
    Error(String),
    Nil,
}

struct MiniRedis(LinesCodec);

impl Decoder for MiniRedis {
    type Item = Vec<String>;
    type Error = BoxError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Vec<String>>, BoxError> {
        let line = self.0.decode(bytes)?;
        Ok(line.map(|line| line.split(' ').map(str::to_owned).collect()))
    }
}

impl Encoder<Reply> for MiniRedis {
    type Error = BoxError;

    fn encode(&mut self, reply: Reply, bytes: &mut BytesMut) -> Result<(), BoxError> {
        let line = match reply {
            Reply::Simple(text) => format!("+{text}"),
            Reply::Error(text) => format!("-ERR {text}"),
            Reply::Nil => "$-1".to_owned(),
        };
        Ok(self.0.encode(line, bytes)?)
    }
}

#[tokio::test(start_paused = true)]
async fn a_fake_redis_takes_ten_lines() {
    let network = Network::default();
    let redis = Script::over(network.clone(), |_| MiniRedis(LinesCodec::new()))
        .auto_reply(|words| (words[0] == "PING").then(|| Reply::Simple("PONG".into())))
        .expect(["SET", "name", "wattle"])
        .send(Reply::Simple("OK".into()))
        .expect(["GET", "nothing"])
        .send(Reply::Nil)
        .expect_matching("a command that it doesn't know", |words| words.len() == 1)
        .send(Reply::Error("unknown command".into()));
    let mut redis = redis.listen(localhost()).await.unwrap();
    let addr = redis.local_addr();
    let redis = tokio::spawn(async move { redis.play().await });

    let builder = Node::builder().transport(network);
    let (client, mut inbound) = builder.start(lines).await.unwrap();
    let peer = client.connect(addr).await.unwrap();
    for (request, reply) in [
        ("PING", "+PONG"),
        ("SET name wattle", "+OK"),
        ("PING", "+PONG"),
        ("GET nothing", "$-1"),
        ("FLY", "-ERR unknown command"),
    ] {
        client.send_to(request.to_owned(), peer).await.unwrap();
        assert_eq!(inbound.recv().await, Some((reply.to_owned(), peer)));
    }
    redis.await.unwrap().unwrap();
}

// The value.

#[test]
fn a_script_shows_its_steps() {
    let shown = script()
        .send("a")
        .send_bytes("bc")
        .trickle("d", 1, SECOND)
        .stall(SECOND)
        .expect("e")
        .expect_matching("a vowel", |line| line == "i")
        .expect_silence(2 * SECOND)
        .half_close()
        .expect_closed(Closed::Either)
        .reset();
    let expected = "Script [to send \"a\", to send 2 bytes, to send 1 byte, 1 byte every 1s, \
                    to stall for 1s, \"e\", a vowel, silence for 2s, to end our side, \
                    the end of the stream or a reset, to reset the connection]";
    assert_eq!(format!("{shown:?}"), expected);
}

#[test]
#[should_panic = "pieces of 0 bytes would never be all"]
fn pieces_of_no_bytes_are_refused_when_the_script_is_written() {
    let _ = script().trickle("a", 0, SECOND);
}

#[test]
fn everything_of_it_can_be_sent_to_other_threads() {
    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    let script = script();
    send(&script);
    sync(&script);
    let dialing = script.dial(localhost());
    send(&dialing);
    sync(&dialing);
    send(&dialing.play());
    send(&dialing.play_times(1));
    send(&dialing.connect());
    send(&async {
        let mut listening = script.listen(localhost()).await.unwrap();
        let _ = listening.play_times(2).await;
        let mut player = listening.accept().await.unwrap();
        let _ = player.play(&script).await;
        player.finish().await
    });
    fn error<E: std::error::Error + Send + Sync + 'static>() {}
    error::<Failure>();
}

#[tokio::test(start_paused = true)]
async fn a_player_goes_on_between_two_things_that_a_test_does() {
    let (node, inbound) = common::in_memory().start(lines).await.unwrap();
    let (ours, theirs) = duplex(64);
    let adopted = node.adopt(ours, localhost(), Side::Listener).await;
    let peer = adopted.unwrap();
    let mut player = Player::on(theirs, LinesCodec::new());
    player.play(&script().expect_silence(SECOND)).await.unwrap();
    node.send_to("now", peer).await.unwrap();
    player.play(&script().expect("now")).await.unwrap();
    let closed = script().expect_closed(Closed::Orderly).half_close();
    let (_, played) = tokio::join!(node.disconnect(peer), player.play(&closed));
    played.unwrap();
    drop(inbound);
}

/// Over a network in memory a reset is one as over TCP.
#[tokio::test(start_paused = true)]
async fn a_script_resets_over_memory_too() {
    let memory = wattle::testing::Memory::with_seed(1);
    let builder = Node::builder().transport(memory.clone());
    let (node, inbound) = start_lines(builder.listen("127.0.0.1:0")).await;
    let script = Script::over(memory, lines).send("begun").reset();
    let addr = node.local_addr().unwrap();
    within(script.dial(addr).play()).await.unwrap();
    let mut events = inbound.into_events();
    loop {
        if let Event::Disconnected(_, end) = next_event(&mut events).await {
            break assert!(matches!(end.reason, Reason::Reset(_)), "{end}");
        }
    }
}
