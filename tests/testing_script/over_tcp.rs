//! Over TCP: against a program, nodes and plain sockets.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use tokio::net::TcpListener;

use super::*;
use crate::common::path_of_example;

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
    let (rude, polite) = (script().expect("go").reset(), script().expect("go"));
    for (server, ends) in [(rude, Closed::Reset), (polite, Closed::Orderly)] {
        let (addr, served) = serve(server).await;
        let client = script().send("go").expect_closed(ends);
        let played = client.dial(addr).play().await;
        played.unwrap_or_else(|failure| panic!("{ends:?}: {failure}"));
        served.await.unwrap().unwrap();
    }
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
    let why = first_end(&mut events).await;
    assert!(matches!(why.reason, Reason::Reset(_)), "{why:?}");
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
