//! When the file is written, and what becomes of it when it can't be.

use super::*;

#[tokio::test]
async fn what_happens_after_the_capture_is_finished_is_not_recorded() {
    let (file, capture) = begun();
    let (node, mut inbound) = in_memory()
        .start::<_, String>(capture.tap(lines))
        .await
        .unwrap();
    let (_, mut remote) = join(&node, 64).await;
    capture.finish().unwrap();
    remote.write_all(b"pea\n").await.unwrap();
    assert_eq!(hear(&mut inbound).await.0, "pea");
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
        assert_eq!(hear(&mut inbound).await.0, long);
    }
    end(&node, inbound, remote).await;
    for _ in 0..2 {
        assert_eq!(
            capture.finish().unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }
}
