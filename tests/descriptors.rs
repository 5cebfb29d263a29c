//! What happens when the host has run out of descriptors.
//!
//! It takes a process of its own, and no other test may be beside the one that starts it: until it runs
//! its own program, a new process has a copy of each socket, and keeps what was closed open.

mod common;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{assert_heard, listening, wind_up, within};
use wattle::Node;

/// A log to count lines in.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn complaints(&self) -> usize {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let complaint = |line: &&str| line.contains("can't accept") && line.contains("open files");
        log.lines().filter(complaint).count()
    }
}

const CHILD: &str = "WATTLE_TEST_FEW_DESCRIPTORS";

/// In a process of its own, which has few descriptors to run out of.
#[cfg(unix)]
#[tokio::test]
async fn without_descriptors_accepting_pauses_complains_now_and_then_and_recovers() {
    let mut child = tokio::process::Command::new("sh");
    child
        .args(["-c", r#"ulimit -n 64 && exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "with_few_descriptors", "--nocapture"])
        .env(CHILD, "1")
        .kill_on_drop(true);
    let output = within(child.output()).await.unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("out of descriptors, and back"), "{stdout}");
}

/// Does nothing unless it is that process.
#[tokio::test]
async fn with_few_descriptors() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let (node, mut inbound) = listening(Node::builder()).await;
    let addr = node.local_addr().unwrap();

    // The kernel completes it; for the node to accept it there is no descriptor left.
    let mut remote = std::net::TcpStream::connect(addr).unwrap();
    let mut hoard = Vec::new();
    let error = loop {
        match remote.try_clone() {
            Ok(descriptor) => hoard.push(descriptor),
            Err(error) => break error,
        }
    };
    assert!(hoard.len() < 64, "{}", hoard.len());

    // Ten seconds, in which nothing but timers can happen.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(10)).await;
    tokio::time::resume();
    let complaints = log.complaints();
    assert!(
        (5..=11).contains(&complaints),
        "{complaints} in 10 s: {error}"
    );
    assert_eq!(node.peers(), []);

    drop(hoard);
    Write::write_all(&mut remote, b"patient\n").unwrap();
    assert_eq!(within(inbound.recv()).await.unwrap().0, "patient");
    let second = assert_heard(addr, &mut inbound).await;
    drop((remote, second));
    assert!(log.complaints() <= complaints + 1);
    wind_up(node, inbound).await;
    println!("out of descriptors, and back");
}
