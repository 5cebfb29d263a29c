//! Streams in memory wake whoever has to look again, nobody else, and under no lock.

use std::{
    io::ErrorKind,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, split},
    time::advance,
};
use tokio_test::{assert_pending, assert_ready, task};
use wattle::{
    Transport,
    testing::{Conditions, Link, Memory, MemoryStream},
};

mod common;

use common::within;

const HOSTS: [[u8; 4]; 2] = [[10, 0, 0, 1], [10, 0, 0, 2]];
const LATENCY: Duration = Duration::from_secs(1);

/// A connection of one host to another that holds four bytes in each direction, and their link.
async fn join() -> (MemoryStream, MemoryStream, Link) {
    let most = usize::MAX - 1;
    let memory = Memory::new().capacity(4).segment(most..=most);
    let (here, there) = (memory.at(HOSTS[0]), memory.at(HOSTS[1]));
    let addr = "10.0.0.2:7".parse().unwrap();
    let mut acceptor = within(there.bind(addr)).await.unwrap();
    let dialled = within(here.connect(addr)).await.unwrap();
    let (accepted, _) = within(acceptor.accept()).await.unwrap();
    (dialled, accepted, memory.link(HOSTS[0], HOSTS[1]))
}

/// Conditions under which everything takes a second.
fn slow() -> Conditions {
    Conditions::new().latency(LATENCY)
}

#[tokio::test(start_paused = true)]
async fn a_write_that_finds_the_other_end_gone_does_not_wake_itself() {
    let (mut one, other, link) = join().await;
    link.forth().set(slow());
    let mut writing = task::spawn(async move { one.write_all(b"12345").await });
    assert_pending!(writing.poll());
    drop(other);
    assert!(writing.is_woken());
    assert_pending!(writing.poll());
    assert!(!writing.is_woken());
    advance(LATENCY).await;
    assert!(writing.is_woken());
    // The end that came before the reset is the last that is heard of it.
    let error = assert_ready!(writing.poll()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(!writing.is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_read_that_finds_the_other_end_gone_does_not_wake_itself() {
    let (mut one, other, link) = join().await;
    link.forth().set(slow());
    link.back().set(slow().latency(3 * LATENCY));
    within(one.write_all(b"1234")).await.unwrap();
    let mut reading = task::spawn(async move { one.read_u8().await });
    assert_pending!(reading.poll());
    drop(other);
    assert_pending!(reading.poll());
    advance(LATENCY).await;
    assert!(!reading.is_woken(), "neither the end nor a reset is there");
    assert_pending!(reading.poll());
    assert!(!reading.is_woken());
    // Of what arrived after one, behind which the end would have come earlier.
    advance(3 * LATENCY).await;
    assert!(reading.is_woken());
    let error = assert_ready!(reading.poll()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_finds_the_other_end_gone_wakes_the_reader_beside_it() {
    let (one, mut other, link) = join().await;
    let (mut read, mut write) = split(one);
    link.back().set(slow());
    let mut reading = task::spawn(async move { read.read_u8().await });
    assert_pending!(reading.poll());
    within(other.shutdown()).await.unwrap();
    assert!(reading.is_woken());
    assert_pending!(reading.poll());
    drop(other);
    assert!(!reading.is_woken(), "the end is on its way as it was");
    within(write.write_all(b"x")).await.unwrap();
    // The reset is on its way instead of the end.
    let mut writing = task::spawn(async move { write.write_all(b"y").await });
    let _ = writing.poll();
    assert!(reading.is_woken());
    assert_pending!(reading.poll());
    advance(LATENCY).await;
    let error = assert_ready!(reading.poll()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_woken_when_the_other_end_closes_and_when_its_link_is_cut() {
    for cut in [false, true] {
        let (mut one, mut other, link) = join().await;
        let mut writing = task::spawn(async move { one.write_all(b"12345").await });
        assert_pending!(writing.poll());
        match cut {
            false => drop(other),
            true => {
                link.back().set(Conditions::new().reset_after(3));
                assert!(writing.is_woken(), "the conditions are others");
                assert_pending!(writing.poll());
                within(other.write_all(b"123")).await.unwrap();
            }
        }
        assert!(writing.is_woken(), "cut: {cut}");
        let error = assert_ready!(writing.poll()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

/// A waker that owns something whose end asks the network for something.
struct Owner {
    link: Link,
    asked: Arc<AtomicUsize>,
}

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Owner {
    fn drop(&mut self) {
        let (link, (done, asked)) = (self.link.clone(), mpsc::channel());
        // In a thread of its own, so that a lock which is held here fails the test and doesn't hang it.
        thread::spawn(move || {
            link.resume();
            let _ = done.send(());
        });
        if asked.recv_timeout(Duration::from_secs(10)).is_ok() {
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_is_replaced_is_dropped_under_no_lock() {
    let (mut one, other, link) = join().await;
    within(one.write_all(b"1234")).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let owner = || {
        let (link, asked) = (link.clone(), asked.clone());
        Waker::from(Arc::new(Owner { link, asked }))
    };
    fn poll(stream: &mut MemoryStream, waker: &Waker) -> [bool; 2] {
        let (mut cx, mut buf) = (Context::from_waker(waker), [0; 1]);
        let read = Pin::new(&mut *stream).poll_read(&mut cx, &mut ReadBuf::new(&mut buf));
        let written = Pin::new(stream).poll_write(&mut cx, b"5");
        [read.is_pending(), written.is_pending()]
    }
    assert_eq!(poll(&mut one, &owner()), [true; 2]);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let (last, mut buf) = (owner(), [0; 1]);
    let mut cx = Context::from_waker(&last);
    let read = Pin::new(&mut one).poll_read(&mut cx, &mut ReadBuf::new(&mut buf));
    assert!(read.is_pending());
    assert_eq!(asked.load(Ordering::Relaxed), 0, "the write has it still");
    let written = Pin::new(&mut one).poll_write(&mut cx, b"5");
    assert!(matches!(written, Poll::Pending));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(poll(&mut one, &owner()), [true; 2]);
    assert_eq!(poll(&mut one, &last), [true; 2]);
    drop(last);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    drop((one, other));
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}
