//! Streams in memory: what they carry, and how they end.

use std::{
    future::poll_fn,
    io::{self, ErrorKind, IoSlice},
    mem,
    net::SocketAddr,
};

use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::yield_now,
};
use tokio_test::{assert_pending, assert_ready, task};
use wattle::{
    Transport,
    testing::{Memory, MemoryAcceptor, MemoryStream},
};

mod common;

use common::{random, seed, within};

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

async fn listen(memory: &Memory) -> (MemoryAcceptor, SocketAddr) {
    let acceptor = within(memory.bind(addr("0.0.0.0:0"))).await.unwrap();
    let addr = wattle::transport::Acceptor::local_addr(&acceptor).unwrap();
    (acceptor, addr)
}

/// A connection: the end that has dialled, and the other.
async fn join(memory: &Memory) -> (MemoryStream, MemoryStream) {
    let (mut acceptor, addr) = listen(memory).await;
    let dialled = within(memory.connect(addr)).await.unwrap();
    let (accepted, from) = within(acceptor.accept()).await.unwrap();
    assert_eq!(from, dialled.local_addr().unwrap());
    (dialled, accepted)
}

/// One whose pieces are as large as they can be.
fn whole(capacity: usize) -> Memory {
    Memory::new().capacity(capacity).segment(1..=usize::MAX - 1)
}

/// One that takes and gives all that it can.
fn exact(capacity: usize) -> Memory {
    let most = usize::MAX - 1;
    Memory::new().capacity(capacity).segment(most..=most)
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.expect_err("it should fail").kind()
}

#[tokio::test(start_paused = true)]
async fn what_is_written_at_one_end_is_read_at_the_other() {
    let (mut one, mut other) = join(&Memory::new()).await;
    for text in ["hello", "there"] {
        for _ in 0..2 {
            within(one.write_all(text.as_bytes())).await.unwrap();
            let mut read = [0; 5];
            within(other.read_exact(&mut read)).await.unwrap();
            assert_eq!(read, text.as_bytes());
            mem::swap(&mut one, &mut other);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_megabyte_arrives_whole_through_any_pipe_in_both_directions() {
    let mut state = seed();
    let bytes: Vec<u8> = (0..1 << 20).map(|_| random(&mut state) as u8).collect();
    for (capacity, largest) in [
        (1, 1),
        (7, 3),
        (1024, 4096),
        (1 << 16, 1460),
        (1 << 22, 1 << 22),
    ] {
        let memory = Memory::with_seed(random(&mut state));
        let memory = memory.capacity(capacity).segment(1..=largest);
        let (one, other) = join(&memory).await;
        let len = if capacity < 8 { 5000 } else { bytes.len() };
        let transfer = async |stream: MemoryStream| {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let mut read = Vec::new();
            let write = async {
                writer.write_all(&bytes[..len]).await?;
                writer.shutdown().await
            };
            let (read_in, written) = tokio::join!(reader.read_to_end(&mut read), write);
            written.unwrap();
            read_in.unwrap();
            assert!(read == bytes[..len], "capacity {capacity}");
        };
        within(async { tokio::join!(transfer(one), transfer(other)) }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_takes_no_more_than_the_pipe_holds_and_a_read_makes_room() {
    let (mut one, mut other) = join(&exact(10)).await;
    assert_eq!(within(one.write(b"0123456")).await.unwrap(), 7);
    assert_eq!(within(one.write(b"789abc")).await.unwrap(), 3);
    let mut write = task::spawn(one.write(b"xyz"));
    assert_pending!(write.poll());

    let mut two = [0; 2];
    within(other.read_exact(&mut two)).await.unwrap();
    assert!(write.is_woken());
    assert_eq!(assert_ready!(write.poll()).unwrap(), 2);
    drop(write);
    drop(one);
    let mut rest = String::new();
    within(other.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "23456789xy");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_is_woken_by_what_comes_and_by_nothing_else() {
    let memory = Memory::new();
    let (mut one, mut other) = join(&memory).await;
    let (mut others, _theirs) = join(&memory).await;
    let mut buf = [0; 8];
    let mut read = task::spawn(other.read(&mut buf));
    assert_pending!(read.poll());
    within(others.write_all(b"for others")).await.unwrap();
    assert!(!read.is_woken());
    within(one.write_u8(7)).await.unwrap();
    assert!(read.is_woken());
    assert_eq!(assert_ready!(read.poll()).unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_wakes_a_reader_and_a_reset_wakes_both_directions() {
    let (mut one, mut other) = join(&Memory::new()).await;
    let mut buf = [0; 8];
    let mut read = task::spawn(other.read(&mut buf));
    assert_pending!(read.poll());
    within(one.shutdown()).await.unwrap();
    assert!(read.is_woken());
    assert_eq!(assert_ready!(read.poll()).unwrap(), 0);

    let (one, other) = join(&exact(4)).await;
    let (mut reader, mut writer) = tokio::io::split(other);
    within(writer.write_all(b"full")).await.unwrap();
    let (mut read, mut write) = (
        task::spawn(async { reader.read(&mut [0; 8]).await }),
        task::spawn(async { writer.write(b"more").await }),
    );
    assert_pending!(read.poll());
    assert_pending!(write.poll());
    one.reset();
    assert!(read.is_woken() && write.is_woken());
    // Whoever looks first is told.
    assert_eq!(
        kind(assert_ready!(write.poll())),
        ErrorKind::ConnectionReset
    );
    assert_eq!(assert_ready!(read.poll()).unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn reads_and_writes_are_of_all_sizes_up_to_the_largest_segment() {
    let (mut one, mut other) = join(&Memory::new().segment(1..=9)).await;
    let (mut written, mut read) = ([false; 10], [false; 10]);
    let mut buf = [0; 64];
    for _ in 0..500 {
        written[within(one.write(&[1; 64])).await.unwrap()] = true;
        read[within(other.read(&mut buf)).await.unwrap()] = true;
    }
    for sizes in [written, read] {
        assert!(
            !sizes[0] && sizes[1..].iter().all(|&seen| seen),
            "{sizes:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn several_slices_are_written_at_once() {
    let (mut one, mut other) = join(&exact(8)).await;
    assert!(one.is_write_vectored());
    let slices = ["ab", "", "cde", "fghijk"].map(|text| IoSlice::new(text.as_bytes()));
    let written = poll_fn(|cx| std::pin::Pin::new(&mut one).poll_write_vectored(cx, &slices));
    assert_eq!(within(written).await.unwrap(), 8);
    drop(one);
    let mut text = String::new();
    within(other.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "abcdefgh");
}

#[tokio::test(start_paused = true)]
async fn one_direction_ends_and_the_other_goes_on() {
    let (mut one, mut other) = join(&whole(64)).await;
    within(one.write_all(b"the last")).await.unwrap();
    within(one.shutdown()).await.unwrap();
    within(one.shutdown()).await.expect("it may be ended twice");
    assert_eq!(kind(within(one.write(b"x")).await), ErrorKind::BrokenPipe);

    let mut text = String::new();
    within(other.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "the last");
    within(other.write_all(b"an answer")).await.unwrap();
    drop(other);
    text.clear();
    within(one.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "an answer");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_of_what_was_written_before_an_orderly_end() {
    let (mut one, mut other) = join(&Memory::new()).await;
    within(one.write_all(&[7; 5000])).await.unwrap();
    drop(one);
    let mut read = Vec::new();
    within(other.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read, [7; 5000]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_takes_what_was_not_read_and_is_told_once() {
    let (mut one, mut other) = join(&Memory::new()).await;
    within(one.write_all(b"lost")).await.unwrap();
    one.reset();
    let mut buf = [0; 8];
    assert_eq!(
        kind(within(other.read(&mut buf)).await),
        ErrorKind::ConnectionReset
    );
    assert_eq!(within(other.read(&mut buf)).await.unwrap(), 0);
    assert_eq!(kind(within(other.write(b"x")).await), ErrorKind::BrokenPipe);

    let (one, mut other) = join(&Memory::new()).await;
    one.reset();
    assert_eq!(
        kind(within(other.write(b"x")).await),
        ErrorKind::ConnectionReset
    );
    assert_eq!(kind(within(other.write(b"x")).await), ErrorKind::BrokenPipe);
    assert_eq!(within(other.read(&mut buf)).await.unwrap(), 0);
    within(other.shutdown()).await.expect("as with TCP");
}

#[tokio::test(start_paused = true)]
async fn to_drop_a_stream_with_something_unread_in_it_resets_the_other_end() {
    let (mut one, mut other) = join(&Memory::new()).await;
    within(one.write_all(b"never read")).await.unwrap();
    within(other.write_all(b"lost with it")).await.unwrap();
    drop(other);
    let mut buf = [0; 16];
    assert_eq!(
        kind(within(one.read(&mut buf)).await),
        ErrorKind::ConnectionReset
    );
}

#[tokio::test(start_paused = true)]
async fn who_writes_to_one_that_is_gone_is_reset() {
    let (one, mut other) = join(&Memory::new()).await;
    drop(one);
    // As with TCP, the first is taken, and answered.
    assert_eq!(within(other.write(b"x")).await.unwrap(), 1);
    assert_eq!(kind(within(other.write(b"x")).await), ErrorKind::BrokenPipe);
    let mut buf = [0; 8];
    assert_eq!(within(other.read(&mut buf)).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_waits_for_one_who_goes_away_is_woken_and_reset() {
    let (one, mut other) = join(&exact(4)).await;
    within(other.write_all(b"full")).await.unwrap();
    let mut write = task::spawn(other.write(b"more"));
    assert_pending!(write.poll());
    drop(one);
    assert!(write.is_woken());
    assert_eq!(
        kind(assert_ready!(write.poll())),
        ErrorKind::ConnectionReset
    );
}

#[tokio::test(start_paused = true)]
async fn an_empty_write_and_an_empty_read_do_nothing() {
    let (mut one, mut other) = join(&Memory::new()).await;
    assert_eq!(within(one.write(b"")).await.unwrap(), 0);
    assert_eq!(within(other.read(&mut [])).await.unwrap(), 0);
    within(one.write_u8(1)).await.unwrap();
    assert_eq!(within(other.read_u8()).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_who_always_finds_something_to_do_lets_others_have_their_turn() {
    let (mut one, mut other) = join(&whole(1 << 16)).await;
    let busy = tokio::spawn(async move {
        let mut buf = [0; 64];
        loop {
            one.write_all(&[1; 64]).await.unwrap();
            other.read_exact(&mut buf).await.unwrap();
        }
    });
    yield_now().await;
    busy.abort();
    assert!(busy.await.unwrap_err().is_cancelled());
}
