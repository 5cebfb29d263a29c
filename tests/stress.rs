//! The example `stress` against our own `echo`, a node, and a Redis.
#![cfg(unix)]

use std::{env, fs, net::TcpListener, path::PathBuf, process::Output, process::Stdio};

use futures::StreamExt;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use tokio_util::codec::LengthDelimitedCodec;
use wattle::Node;

mod common;

use common::{path_of_example, soon, tool};

/// A directory of its own; removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = env::temp_dir().join(format!("wattle-stress-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory for temporary files");
        Self(dir)
    }

    fn path(&self, file: &str) -> String {
        self.0
            .join(file)
            .to_str()
            .expect("a path in UTF-8")
            .to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts a program that says when it is ready; it is killed when dropped.
async fn start(mut command: Command, ready: impl Fn(&str) -> bool) -> (Child, String) {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    loop {
        let line = soon("that it is ready", lines.next_line()).await;
        let line = line.expect("text").expect("it ended too early");
        if ready(&line) {
            // Whoever writes on must have somebody who reads.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, line);
        }
    }
}

async fn start_echo() -> (Child, String) {
    let echo = Command::new(path_of_example("echo"));
    let (echo, line) = start(echo, |line| line.starts_with("listening on ")).await;
    (echo, line["listening on ".len()..].to_owned())
}

async fn stress(args: &[&str]) -> Output {
    let mut stress = Command::new(path_of_example("stress"));
    let output = stress.args(args).kill_on_drop(true).output();
    soon("the end of the stress", output)
        .await
        .expect("it runs")
}

/// Runs it with these options, which must go well, and tells its numbers and its page.
async fn report(name: &str, args: &[&str]) -> (Value, String) {
    let scratch = Scratch::new(name);
    let (json, html) = (scratch.path("out.json"), scratch.path("out.html"));
    let args = [args, &["--json", &json, "--report", &html]].concat();
    let output = stress(&args).await;
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).expect("text");
    assert!(table.contains("p99.9"), "{table}");
    let json = fs::read_to_string(json).expect("the numbers are written");
    let html = fs::read_to_string(html).expect("the page is written");
    (serde_json::from_str(&json).expect("it is JSON"), html)
}

#[track_caller]
fn assert_clean(json: &Value) {
    for nothing in ["lost", "unsent", "failed", "unmatched"] {
        assert_eq!(json[nothing], 0, "{nothing} in {json:#}");
    }
    assert_eq!(json["sent"], json["received"]);
    assert_eq!(json["latency"]["count"], json["received"]);
}

#[tokio::test]
async fn an_open_loop_on_echo_sends_what_it_was_told_to() {
    let (_echo, addr) = start_echo().await;
    let args = [
        &addr,
        "--connections",
        "20",
        "--rate",
        "1000",
        "--duration",
        "500ms",
    ];
    let (json, _) = report("open", &args).await;
    assert_clean(&json);
    assert_eq!(json["sent"], 500);
    assert_eq!(json["connected"], 20);
    // 64 bytes and the end of the line.
    assert_eq!(
        [&json["bytes_sent"], &json["bytes_received"]],
        [32_500, 32_500]
    );
}

#[tokio::test]
async fn a_closed_loop_on_echo_gets_an_answer_to_each() {
    let (_echo, addr) = start_echo().await;
    let args = [
        &addr,
        "--in-flight",
        "8",
        "--connections",
        "2",
        "--duration",
        "300ms",
        "--warm-up",
        "100ms",
        "--size",
        "10",
    ];
    let (json, _) = report("closed", &args).await;
    assert_clean(&json);
    assert_eq!(json["mode"]["in_flight"], 8);
    assert!(json["received"].as_u64() > Some(0));
}

#[tokio::test]
async fn messages_are_told_apart_by_their_size_or_by_a_length_before_them() {
    let (_echo, addr) = start_echo().await;
    let args = [
        &addr,
        "--codec",
        "bytes",
        "--message",
        "two\nlines\n",
        "--rate",
        "100",
        "--duration",
        "200ms",
    ];
    let (json, _) = report("bytes", &args).await;
    assert_clean(&json);
    assert_eq!([&json["sent"], &json["bytes_received"]], [20, 200]);

    let node = Node::builder().listen("127.0.0.1:0");
    let (node, inbound) = node
        .start(|_| LengthDelimitedCodec::new())
        .await
        .expect("a node");
    let addr = node.local_addr().expect("it listens").to_string();
    let answers = inbound.map(|(message, peer)| Ok((message.freeze(), peer)));
    tokio::spawn(answers.forward(node.outbound()));
    let args = [
        &addr,
        "--codec",
        "length",
        "--size",
        "100",
        "--rate",
        "100",
        "--duration",
        "200ms",
    ];
    let (json, _) = report("length", &args).await;
    assert_clean(&json);
    assert_eq!([&json["sent"], &json["bytes_received"]], [20, 2080]);
}

#[tokio::test]
async fn the_page_has_its_charts_and_needs_nothing_else() {
    let (_echo, addr) = start_echo().await;
    let args = [
        &addr,
        "--message",
        "<b> & \"c\"",
        "--rate",
        "500",
        "--duration",
        "500ms",
    ];
    let (json, html) = report("page", &args).await;
    assert_clean(&json);
    assert_eq!(html.matches("<svg").count(), 3);
    assert_eq!(html.matches("class=\"line").count(), 2 + 4 + 2);
    for outside in ["<script", "http://", "https://", "url(", "@import", "<b>"] {
        assert!(!html.contains(outside), "{outside} in\n{html}");
    }
    assert!(html.contains("prefers-color-scheme: dark"));
    assert!(html.contains("&lt;b&gt; &amp; \\&quot;c\\&quot;"));
    assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
}

#[tokio::test]
async fn a_redis_answers_each_ping() {
    if !tool("redis-server") {
        return;
    }
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        free.local_addr().expect("it is bound").port().to_string()
    };
    let scratch = Scratch::new("redis");
    let mut redis = Command::new("redis-server");
    redis.args([
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        &scratch.path(""),
    ]);
    let ready = |line: &str| line.contains("Ready to accept connections");
    let (_redis, _) = start(redis, ready).await;
    let addr = format!("127.0.0.1:{port}");
    let load = [
        "--message",
        "PING",
        "--connections",
        "10",
        "--duration",
        "500ms",
    ];
    let open = [&[addr.as_str(), "--rate", "1000"], &load[..]].concat();
    let (json, _) = report("ping", &open).await;
    assert_clean(&json);
    assert_eq!(json["received"], 500);
    // "PING\n" and "+PONG\r\n".
    assert_eq!([&json["bytes_sent"], &json["bytes_received"]], [2500, 3500]);

    let closed = [&[addr.as_str(), "--in-flight", "16"], &load[..]].concat();
    let (json, _) = report("pipelined", &closed).await;
    assert_clean(&json);
    assert!(json["received"].as_u64() > Some(160));
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_a_line() {
    let nobody = {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        free.local_addr().expect("it is bound").to_string()
    };
    let (_echo, echo) = start_echo().await;
    for (args, wanted) in [
        (vec![&*nobody], "1 × refused"),
        (vec!["nowhere"], "can't resolve \"nowhere\""),
        (vec![&*echo, "--rate", "0"], "option `rate` can't be 0.0"),
        (
            vec![&*echo, "--rate", "5", "--in-flight", "5"],
            "cannot be used with",
        ),
        (
            vec![&*echo, "--message", "a\nb"],
            "a line can't have a line's end in it",
        ),
        (
            vec![&*echo, "--codec", "bytes", "--size", "0"],
            "an answer of no bytes is no answer",
        ),
        (
            vec![
                &*echo,
                "--duration",
                "10ms",
                "--report",
                "/nowhere/out.html",
            ],
            "can't write /nowhere/out.html",
        ),
    ] {
        let output = stress(&args).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{args:?}");
        assert!(
            said.contains(wanted),
            "no {wanted:?} for {args:?} in {said}"
        );
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn too_few_descriptors_are_said_and_not_raised() {
    let command = "ulimit -n 100; exec \"$0\" 127.0.0.1:1 --connections 1000";
    let stress = path_of_example("stress");
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", command]).arg(stress).output();
    let output = soon("the refusal", shell).await.expect("sh runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let wanted = "1000 connections need 1016 file descriptors, and this process may have 100";
    assert!(said.contains(wanted), "{said}");
    assert!(!output.status.success());
}
