//! The cap on frames, their timeout and their least rate, with codecs that have none of it.

mod common;

use std::{io, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use common::{Duplex, soon, within};
use common::{ending, expect_text, finish_events, in_memory, join, next_event, quiet};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    time::{Instant, sleep},
};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec, LinesCodec};
use wattle::{Builder, Disconnect, Event, Events, Initiator, Node, Peer, Reason, Timeout};

const LIMIT: Duration = Duration::from_secs(3);
const MOMENT: Duration = Duration::from_millis(1);

/// Lines of any length.
fn endless(_: Peer) -> LinesCodec {
    LinesCodec::new()
}

/// A node that speaks lines of any length.
async fn start(options: Builder<Duplex>) -> (Node<String>, Events<String>) {
    let (node, inbound) = within(options.start(endless)).await.expect("a node");
    (node, inbound.into_events())
}

/// The text of the next event, which has to be a message.
async fn next_message<In>(events: &mut Events<In>) -> In {
    loop {
        match next_event(events).await {
            Event::Message(message, _) => return message,
            Event::Connected(_) => {}
            _ => panic!("not a message"),
        }
    }
}

async fn send(remote: &mut DuplexStream, bytes: impl AsRef<[u8]>) {
    soon("the bytes are taken", remote.write_all(bytes.as_ref()))
        .await
        .expect("it is open");
}

#[track_caller]
fn assert_too_large(disconnect: &Disconnect, most: usize) {
    let Reason::FrameTooLarge { bytes, max } = disconnect.reason else {
        panic!("{disconnect}");
    };
    assert_eq!(max, most);
    assert!(bytes > most, "{disconnect}");
    assert_eq!(disconnect.initiator, Initiator::Library);
    let text = format!("frame too large: {bytes} bytes of it, {most} allowed (by the library)");
    assert_eq!(disconnect.to_string(), text);
}

#[track_caller]
fn assert_timed_out(disconnect: &Disconnect, timeout: Timeout) {
    let reason = &disconnect.reason;
    assert!(
        matches!(reason, Reason::TimedOut(passed) if *passed == timeout),
        "{disconnect}"
    );
    assert_eq!(disconnect.initiator, Initiator::Library);
}

#[tokio::test]
async fn a_line_without_end_is_cut_off_and_the_others_are_served() {
    const MAX: usize = 4096;
    let options = Node::builder().max_frame_bytes(MAX).listen("127.0.0.1:0");
    let started = within(options.start::<_, String>(endless)).await;
    let (node, inbound) = started.expect("a node");
    let mut events = inbound.into_events();
    let addr = node.local_addr().expect("it listens");
    let mut hostile = within(TcpStream::connect(addr)).await.unwrap();
    let Event::Connected(endless) = next_event(&mut events).await else {
        panic!("nobody has connected");
    };
    let mut decent = within(TcpStream::connect(addr)).await.unwrap();
    let flood = tokio::spawn(async move {
        let line = [b'x'; 1024];
        while hostile.write_all(&line).await.is_ok() {}
    });
    within(decent.write_all(b"one\ntwo\nthree\n"))
        .await
        .unwrap();
    let (mut heard, mut cut_off) = (0, false);
    while heard < 3 || !cut_off {
        match next_event(&mut events).await {
            Event::Message(_, peer) if peer != endless => heard += 1,
            Event::Connected(_) => {}
            Event::Disconnected(peer, why) if peer == endless => {
                assert_too_large(&why, MAX);
                cut_off = true;
            }
            other => panic!("{other:?}"),
        }
    }
    soon("the remote notices", flood).await.unwrap();
    drop(decent);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn the_usual_cap_is_sixteen_mebibytes() {
    const USUAL: usize = 16 << 20;
    for (cap, expected) in [(None, None), (Some(USUAL), Some(USUAL))] {
        let options = match cap {
            // It is the default.
            Some(_) => in_memory(),
            None => in_memory().max_frame_bytes(None),
        };
        let (node, mut events) = start(options).await;
        let (peer, mut remote) = join(&node, 1 << 20).await;
        // With the end of the line it is as large as allowed.
        send(&mut remote, vec![b'x'; USUAL - 1]).await;
        send(&mut remote, "\n").await;
        assert_eq!(next_message(&mut events).await.len(), USUAL - 1);
        let larger = tokio::spawn(async move {
            // Fails when the connection ends before it is written.
            let _ = remote.write_all(&vec![b'x'; USUAL]).await;
            let _ = remote.write_all(b"\n").await;
            remote
        });
        match expected {
            Some(max) => assert_too_large(&ending(&mut events, peer).await, max),
            None => assert_eq!(next_message(&mut events).await.len(), USUAL),
        }
        drop(soon("it is written", larger).await.unwrap());
        finish_events(&node, events).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_a_codec_with_a_higher_limit_is_refused_before_all_of_it_came() {
    const MAX: usize = 64 * 1024;
    let options = in_memory().max_frame_bytes(MAX);
    let started = within(options.start::<_, Bytes>(|_| LengthDelimitedCodec::new())).await;
    let (node, inbound) = started.expect("a node");
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 16 * 1024).await;
    // Its length is part of a frame.
    send(&mut remote, (MAX as u32 - 4).to_be_bytes()).await;
    send(&mut remote, vec![0; MAX - 4]).await;
    assert_eq!(next_message(&mut events).await.len(), MAX - 4);

    send(&mut remote, (4 * MAX as u32).to_be_bytes()).await;
    let rest = tokio::spawn(async move {
        let refused = remote.write_all(&vec![0; 4 * MAX]).await;
        (remote, refused)
    });
    assert_too_large(&ending(&mut events, peer).await, MAX);
    let (remote, refused) = soon("the remote is told", rest).await.unwrap();
    refused.expect_err("all of it was taken");
    drop(remote);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_codec_refuses_by_itself_is_its_own_error() {
    let options = in_memory().max_frame_bytes(4096);
    let codec = |_| LinesCodec::new_with_max_length(100);
    let started = within(options.start::<_, String>(codec)).await;
    let (node, inbound) = started.expect("a node");
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 8192).await;
    send(&mut remote, vec![b'x'; 200]).await;
    let ended = ending(&mut events, peer).await;
    assert!(matches!(ended.reason, Reason::Decode(_)), "{ended}");
    drop(remote);
    finish_events(&node, events).await;
}

/// A byte that is consumed at once and says how many follow; a frame without any is skipped.
#[derive(Default)]
struct Terse {
    length: Option<usize>,
}

impl Decoder for Terse {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Bytes>> {
        while self.length.is_none() && src.has_remaining() {
            self.length = Some(src.get_u8().into()).filter(|&length| length > 0);
        }
        let Some(length) = self.length.filter(|&length| src.len() >= length) else {
            return Ok(None);
        };
        self.length = None;
        Ok(Some(src.split_to(length).freeze()))
    }
}

impl Encoder<Bytes> for Terse {
    type Error = io::Error;

    fn encode(&mut self, message: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        dst.extend_from_slice(&[message.len() as u8]);
        dst.extend_from_slice(&message);
        Ok(())
    }
}

async fn start_terse(options: Builder<Duplex>) -> (Node<Bytes>, Events<Bytes>) {
    let (node, inbound) = within(options.start(|_| Terse::default()))
        .await
        .expect("a node");
    (node, inbound.into_events())
}

#[tokio::test(start_paused = true)]
async fn what_a_codec_consumes_in_silence_counts_however_it_comes() {
    for pace in [Some(Duration::ZERO), Some(MOMENT), None] {
        let (node, mut events) = start_terse(in_memory().max_frame_bytes(8)).await;
        let (peer, mut remote) = join(&node, 64).await;
        // Five that are skipped, a header and two bytes; then one more of each kind.
        let bytes = b"\0\0\0\0\0\x02ab\0\0\0\0\0\x03cde";
        for chunk in bytes.chunks(if pace.is_some() { 1 } else { bytes.len() }) {
            if remote.write_all(chunk).await.is_err() {
                break;
            }
            sleep(pace.unwrap_or_default()).await;
        }
        assert_eq!(next_message(&mut events).await, "ab");
        assert_too_large(&ending(&mut events, peer).await, 8);
        drop(remote);
        finish_events(&node, events).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_but_what_a_codec_skips_runs_into_cap_and_timeout() {
    let (node, mut events) = start_terse(in_memory().max_frame_bytes(8)).await;
    let (peer, mut remote) = join(&node, 64).await;
    send(&mut remote, [0; 9]).await;
    assert_too_large(&ending(&mut events, peer).await, 8);
    drop(remote);
    finish_events(&node, events).await;

    let (node, mut events) = start_terse(in_memory().frame_timeout(LIMIT)).await;
    let (peer, mut remote) = join(&node, 64).await;
    let since = Instant::now();
    let drip = tokio::spawn(async move {
        while remote.write_all(&[0]).await.is_ok() {
            sleep(LIMIT / 10).await;
        }
    });
    assert_timed_out(&ending(&mut events, peer).await, Timeout::Frame);
    assert!((LIMIT..LIMIT + LIMIT / 10).contains(&since.elapsed()));
    soon("the remote is told", drip).await.unwrap();
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_queued_reach_a_remote_whose_frame_is_too_large() {
    let (node, mut events) = start(in_memory().max_frame_bytes(16)).await;
    let (peer, mut remote) = join(&node, 4).await;
    send(&mut remote, "hi\n").await;
    assert_eq!(next_message(&mut events).await, "hi");
    node.try_send_to("a long answer".to_owned(), peer).unwrap();
    send(&mut remote, "a line that is far too long").await;
    expect_text(&mut remote, "a long answer\n").await;
    assert_eq!(within(remote.read(&mut [0; 8])).await.unwrap(), 0);
    let ended = ending(&mut events, peer).await;
    assert_too_large(&ended, 16);
    assert_eq!(ended.undelivered, 0);
    drop(remote);
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_drip_runs_into_the_frame_timeout_although_it_is_never_idle() {
    let options = in_memory().frame_timeout(LIMIT).idle_timeout(LIMIT / 2);
    let (node, mut events) = start(options).await;
    let (dripping, mut drip) = join(&node, 64).await;
    let (decent, mut remote) = join(&node, 64).await;
    let since = Instant::now();
    let drip = tokio::spawn(async move {
        while drip.write_all(b"x").await.is_ok() {
            sleep(LIMIT / 10).await;
        }
    });
    let talk = tokio::spawn(async move {
        for _ in 0..100 {
            remote.write_all(b"whole\n").await.unwrap();
            sleep(LIMIT / 10).await;
        }
        remote
    });
    let ended = ending(&mut events, dripping).await;
    assert!((LIMIT..LIMIT + 5 * MOMENT).contains(&since.elapsed()));
    assert_timed_out(&ended, Timeout::Frame);
    assert_eq!(ended.to_string(), "frame timeout (by the library)");
    assert_eq!(node.peers(), [decent]);
    let timeouts = node.stats().timeouts;
    assert_eq!((timeouts.frame, timeouts.idle), (1, 0));
    soon("the remote is told", drip).await.unwrap();

    // The others go on, and time out for reasons of their own.
    assert_timed_out(&ending(&mut events, decent).await, Timeout::Idle);
    assert_eq!(node.stats().messages_in, 100);
    drop(within(talk).await.unwrap());
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_at_the_least_rate_takes_its_time() {
    for (rate, passes) in [(Some(1000), true), (None, false)] {
        let options = in_memory().frame_timeout(LIMIT).min_frame_rate(rate);
        let (node, mut events) = start(options).await;
        let (peer, mut remote) = join(&node, 64).await;
        let since = Instant::now();
        let slow = tokio::spawn(async move {
            for _ in 0..80 {
                remote.write_all(&[b'x'; 100]).await?;
                sleep(Duration::from_millis(100)).await;
            }
            remote.write_all(b"\n").await?;
            io::Result::Ok(remote)
        });
        if passes {
            assert_eq!(next_message(&mut events).await.len(), 8000);
            assert!(since.elapsed() >= Duration::from_secs(8));
        } else {
            assert_timed_out(&ending(&mut events, peer).await, Timeout::Frame);
            assert!(since.elapsed() < LIMIT + 5 * MOMENT);
        }
        let remote = soon("it is sent", slow).await.unwrap();
        assert_eq!(remote.is_ok(), passes);
        drop(remote);
        finish_events(&node, events).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_has_its_whole_time_when_we_read_again() {
    let options = in_memory().frame_timeout(LIMIT).max_inbound_messages(1);
    let (node, mut events) = start(options).await;
    let (peer, mut remote) = join(&node, 64).await;
    send(&mut remote, "one\ntwo\nbeg").await;
    for expected in ["one", "two"] {
        sleep(100 * LIMIT).await;
        assert_eq!(node.peers(), [peer], "it waits for us");
        assert_eq!(next_message(&mut events).await, expected);
    }
    sleep(LIMIT - MOMENT).await;
    send(&mut remote, "un\nbeg").await;
    assert_eq!(next_message(&mut events).await, "begun");
    quiet().await;
    let since = Instant::now() - MOMENT;
    assert_timed_out(&ending(&mut events, peer).await, Timeout::Frame);
    assert!((LIMIT..LIMIT + 5 * MOMENT).contains(&since.elapsed()));
    drop(remote);
    finish_events(&node, events).await;
}
