//! Every example, run as its header says, does what its header says, and ends.
// `echo` and `chat` are stopped with a signal.
#![cfg(unix)]

use std::{
    net::SocketAddr,
    process::{ExitStatus, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command},
};

mod common;

use common::{path_of_example, skipped, soon, tool};

/// An example that runs; killed when dropped.
struct Example {
    name: &'static str,
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    /// What it printed so far.
    printed: Vec<String>,
}

impl Example {
    fn start(name: &'static str, args: &[&str]) -> Self {
        let mut child = Command::new(path_of_example(name))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} doesn't start: {error}"));
        let stdin = child.stdin.take().expect("its input is piped");
        let stdout = child.stdout.take().expect("its output is piped");
        Self {
            name,
            child,
            stdin,
            stdout: BufReader::new(stdout).lines(),
            printed: Vec::new(),
        }
    }

    /// Its next line; `None` at the end of its output.
    async fn line(&mut self) -> Option<String> {
        let what = format!("a line of {}, behind {:#?}", self.name, self.printed);
        let line = soon(&what, self.stdout.next_line()).await;
        let line = line.expect("its output is text");
        self.printed.extend(line.clone());
        line
    }

    /// Waits for a line of this kind, and tells it.
    async fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        while let Some(line) = self.line().await {
            if wanted(&line) {
                return line;
            }
        }
        panic!("{} ended after {:#?}", self.name, self.printed);
    }

    async fn prints(&mut self, wanted: &str) {
        self.until(|line| line == wanted).await;
    }

    /// Where it listens, which it says first.
    async fn addr(&mut self) -> SocketAddr {
        let line = self.line().await.expect("it prints where it listens");
        let addr = line.strip_prefix("listening on ").map(str::parse);
        match addr {
            Some(Ok(addr)) => addr,
            _ => panic!("{} begins with {line:?}", self.name),
        }
    }

    async fn type_line(&mut self, line: &str) {
        let line = format!("{line}\n");
        soon("typing", self.stdin.write_all(line.as_bytes()))
            .await
            .expect("it reads its input");
    }

    /// What Ctrl-C in a terminal does.
    async fn interrupt(&self) {
        self.signal("-INT").await;
    }

    async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it has not ended").to_string();
        let kill = Command::new("kill").args([signal, &id]).status();
        assert!(soon("kill", kill).await.expect("kill runs").success());
    }

    /// Waits for its end, which must be a success, and tells all that it printed.
    async fn end(mut self) -> Vec<String> {
        while self.line().await.is_some() {}
        let status = soon("the end", self.child.wait()).await;
        let status: ExitStatus = status.expect("it can be waited for");
        assert!(status.success(), "{}: {status}", self.name);
        self.printed
    }
}

async fn run(name: &'static str, args: &[&str]) -> Vec<String> {
    Example::start(name, args).end().await
}

fn assert_has(printed: &[String], wanted: impl Fn(&str) -> bool, what: &str) {
    let found = printed.iter().any(|line| wanted(line));
    assert!(found, "no {what} in {printed:#?}");
}

#[tokio::test]
async fn hello_tells_who_said_what() {
    let printed = run("hello", &[]).await;
    assert_eq!(printed.len(), 1, "{printed:#?}");
    assert!(printed[0].starts_with("Bob: #"), "{printed:#?}");
    assert!(
        printed[0].ends_with(" says \"Hello there!\""),
        "{printed:#?}"
    );
}

#[tokio::test]
async fn telephone_goes_along_the_line_and_back() {
    let short = run("telephone", &["4"]).await;
    assert_eq!(short, ["what came back over 6 hops: Psst! 1 2 3 2 1"]);
    let long = run("telephone", &[]).await;
    let path = "Psst! 1 2 3 4 5 6 7 8 9 8 7 6 5 4 3 2 1";
    assert_eq!(long, [format!("what came back over 18 hops: {path}")]);
}

#[tokio::test]
async fn custom_codec_loses_no_report() {
    let printed = run("custom_codec", &[]).await;
    for station in 1..=3 {
        let note = format!("note: station {station} is up");
        assert_has(&printed, |line| line == note, &note);
    }
    assert_has(&printed, |line| line.contains("°C on average"), "mean");
    assert_eq!(printed.last().unwrap(), "30 readings in all");
}

#[tokio::test]
async fn handshake_loses_no_byte_at_the_switch() {
    let printed = run("handshake", &[]).await;
    for wanted in [
        "Dialer: they speak 2, we speak 3",
        "Listener: they speak 3, we speak 2",
        "Dialer: confirmed version 2, 17 bytes of the session go with it",
        "Listener: confirmed version 2, 17 bytes of the session came with it",
        "Listener: first message of the session: b\"sent in advance\"",
    ] {
        assert_has(&printed, |line| line == wanted, wanted);
    }
    let last = printed.last().unwrap();
    assert!(last.ends_with("version 0 is too old"), "{printed:#?}");
}

#[tokio::test]
async fn stress_says_what_became_of_all_that_it_sent() {
    let mut echo = Example::start("echo", &[]);
    let addr = echo.addr().await.to_string();
    let args = [&addr, "--rate", "100", "--duration", "200ms"];
    let printed = run("stress", &args).await;
    let all = |line: &str| line.starts_with("sent 20, received 20 (");
    assert_has(&printed, all, "the number of messages");
    echo.interrupt().await;
    echo.end().await;
}

#[tokio::test]
async fn turmoil_holds_the_network_for_a_minute_and_no_message_is_lost() {
    let printed = run("turmoil", &[]).await;
    let wanted = [
        "message 1 came back, 0 s later",
        "message 2 came back, 60 s later",
        "message 3 came back, 0 s later",
        "disconnected",
    ];
    assert_eq!(printed[..4], wanted, "{printed:#?}");
    assert!(printed[4].ends_with(" s of simulated time"), "{printed:#?}");
}

/// A client as `nc` is one, with a socket and no more.
struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    async fn connect(addr: SocketAddr) -> Self {
        let stream = soon("connecting", TcpStream::connect(addr)).await;
        let reader = BufReader::new(stream.expect("the example listens"));
        Self { reader }
    }

    async fn write(&mut self, text: &str) {
        let written = self.reader.write_all(text.as_bytes());
        soon("writing", written).await.expect("it reads");
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line);
        soon("a line", read).await.expect("it sends lines");
        line
    }

    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        let read = self.reader.read_to_string(&mut rest);
        soon("the end of the stream", read).await.expect("no reset");
        rest
    }
}

/// Checks the last line of `echo`: how many connections there were, and lines and bytes each way.
fn assert_statistics(printed: &[String], [connected, lines, bytes]: [usize; 3]) {
    let last = printed.last().expect("it says something");
    let statistics: serde_json::Value = serde_json::from_str(last).expect("it is JSON");
    for (name, wanted) in [
        ("connected", connected),
        ("disconnected", connected),
        ("messages_in", lines),
        ("messages_out", lines),
        ("bytes_in", bytes),
        ("bytes_out", bytes),
        ("undelivered", 0),
        ("dropped", 0),
    ] {
        assert_eq!(statistics[name], wanted, "{name} in {last}");
    }
}

/// Interrupts `echo`, and checks its last line.
async fn assert_ends(echo: Example, statistics: [usize; 3]) {
    echo.interrupt().await;
    assert_statistics(&echo.end().await, statistics);
}

#[tokio::test]
async fn echo_answers_until_it_is_interrupted() {
    let mut echo = Example::start("echo", &[]);
    let addr = echo.addr().await;
    let mut first = Client::connect(addr).await;
    first.write("one\ntwo\n").await;
    assert_eq!(first.line().await, "one\n");
    assert_eq!(first.line().await, "two\n");
    let mut second = Client::connect(addr).await;
    second.write("three\n").await;
    assert_eq!(second.line().await, "three\n");
    drop(first);

    // The second is still there: it sees a clean end.
    echo.interrupt().await;
    assert_eq!(second.rest().await, "");
    drop(second);
    let printed = echo.end().await;
    assert_statistics(&printed, [2, 3, 14]);
}

#[tokio::test]
async fn echo_listens_where_it_is_told_until_it_is_terminated() {
    let mut echo = Example::start("echo", &["localhost:0"]);
    assert!(echo.addr().await.ip().is_loopback());
    echo.signal("-TERM").await;
    let printed = echo.end().await;
    assert_statistics(&printed, [0, 0, 0]);
}

#[tokio::test]
async fn echo_half_open_answers_a_client_that_has_ended_its_side() {
    let mut echo = Example::start("echo", &["--half-open"]);
    let mut client = Client::connect(echo.addr().await).await;
    client.write("a\nb\n").await;
    let shutdown = client.reader.shutdown();
    soon("shutting", shutdown).await.expect("it is open");
    assert_eq!(client.rest().await, "a\nb\n");
    assert_ends(echo, [1, 2, 4]).await;
}

#[tokio::test]
async fn echo_half_open_answers_more_than_a_queue_holds() {
    let mut echo = Example::start("echo", &["--half-open"]);
    let addr = echo.addr().await;
    let stream = soon("connecting", TcpStream::connect(addr)).await;
    let (mut reader, mut writer) = stream.expect("the example listens").into_split();
    let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let sent = lines.clone();
    let writing = tokio::spawn(async move {
        writer.write_all(sent.as_bytes()).await?;
        writer.shutdown().await
    });
    let mut back = String::new();
    let read = reader.read_to_string(&mut back);
    soon("all lines and the end", read).await.expect("no reset");
    writing.await.expect("no panic").expect("it reads");
    assert!(back == lines, "{} of {} bytes", back.len(), lines.len());
    assert_ends(echo, [1, 20_000, lines.len()]).await;
}

#[tokio::test]
async fn echo_half_open_answers_nc() {
    if !tool("nc") {
        return;
    }
    let help = Command::new("nc").arg("-h").output().await;
    let help = help.expect("nc runs");
    if !String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).contains("-N") {
        return skipped("this nc has no -N");
    }

    let mut echo = Example::start("echo", &["--half-open"]);
    let addr = echo.addr().await;
    let command = format!("printf 'a\\nb\\n' | nc -N {} {}", addr.ip(), addr.port());
    let nc = Command::new("sh")
        .args(["-c", &command])
        .kill_on_drop(true)
        .output();
    let output = soon(&command, nc).await.expect("sh runs");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\nb\n");
    assert_ends(echo, [1, 2, 4]).await;
}

/// How often somebody saw a line.
fn count(printed: &[String], line: &str) -> usize {
    printed.iter().filter(|seen| *seen == line).count()
}

/// Alice, Bob and Carol know each other, so what one says reaches another on two ways; a client
/// without an example's wits hangs on Alice.
#[tokio::test]
async fn chat_shows_everyone_everything_once() {
    let mut alice = Example::start("chat", &["--name", "alice"]);
    let alice_addr = alice.addr().await;
    let at_alice = alice_addr.to_string();
    let mut bob = Example::start("chat", &["--name", "bob", &at_alice]);
    let at_bob = bob.addr().await.to_string();
    let mut carol = Example::start("chat", &["--name", "carol", &at_alice, &at_bob]);
    carol.addr().await;
    let mut client = Client::connect(alice_addr).await;
    for (one, joins) in [(&mut alice, 3), (&mut bob, 2), (&mut carol, 2)] {
        for _ in 0..joins {
            one.until(|line| line.ends_with(" joined")).await;
        }
    }

    alice.type_line("hello from Alice").await;
    for one in [&mut bob, &mut carol] {
        one.prints("alice: hello from Alice").await;
    }
    carol.type_line("hello from Carol").await;
    for one in [&mut alice, &mut bob] {
        one.prints("carol: hello from Carol").await;
    }
    client.write("hello from afar\n").await;
    let name = client.reader.get_ref().local_addr().expect("it is open");
    let from_afar = format!("{name}: hello from afar");
    for one in [&mut alice, &mut bob, &mut carol] {
        one.prints(&from_afar).await;
    }
    for said in ["alice: hello from Alice", "carol: hello from Carol"] {
        let line = client.line().await;
        assert_eq!(
            line.split_once("] ").map(|(_, said)| said.trim_end()),
            Some(said)
        );
    }

    // Whoever sees another leave has seen all that came from there before, on every way.
    carol.interrupt().await;
    let carol = carol.end().await;
    for one in [&mut alice, &mut bob] {
        one.until(|line| line.contains(" left: ")).await;
    }
    alice.interrupt().await;
    assert_eq!(client.rest().await, "");
    drop(client);
    let alice = alice.end().await;
    let left = format!("* {at_alice} left: end of stream (by the remote)");
    bob.prints(&left).await;
    bob.interrupt().await;
    let bob = bob.end().await;

    let everyone = [("alice", alice), ("bob", bob), ("carol", carol)];
    for (name, printed) in &everyone {
        for said in ["alice: hello from Alice", "carol: hello from Carol"] {
            let times = usize::from(!said.starts_with(name));
            assert_eq!(count(printed, said), times, "{name} saw {printed:#?}");
        }
        assert_eq!(count(printed, &from_afar), 1, "{name} saw {printed:#?}");
    }
}
