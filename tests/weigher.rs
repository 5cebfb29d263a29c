//! The bound of a queue in bytes, with sizes that the program tells.

mod common;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use common::{Memory, finish, in_memory, join, quiet, within};
use tokio::io::AsyncReadExt;
use tokio_util::{
    bytes::{BufMut, BytesMut},
    codec::{Decoder, Encoder},
};
use wattle::{Builder, Inbound, Node, NotSent, Weigher};

/// A message of so many bytes, which doesn't show.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sized(usize);

#[derive(Debug)]
struct Zeros;

impl Decoder for Zeros {
    type Item = ();
    type Error = io::Error;

    fn decode(&mut self, _src: &mut BytesMut) -> io::Result<Option<()>> {
        Ok(None)
    }
}

impl Encoder<Sized> for Zeros {
    type Error = io::Error;

    fn encode(&mut self, message: Sized, dst: &mut BytesMut) -> io::Result<()> {
        dst.put_bytes(0, message.0);
        Ok(())
    }
}

async fn start<W: Weigher<Sized>>(builder: Builder<Memory, W>) -> (Node<Sized>, Inbound<()>) {
    within(builder.start(|_| Zeros)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_queue_takes_as_many_bytes_as_the_weigher_says() {
    let builder = in_memory().max_outbound_bytes(10_000);
    let (node, inbound) = start(builder.weigher(|message: &Sized| message.0)).await;
    let (peer, mut remote) = join(&node, 1).await;
    let sizes = [1, 2_000, 2_999, 5_000, 1];
    let fits = |size: &usize| node.try_send_to(Sized(*size), peer).is_ok();
    assert_eq!(sizes.iter().take_while(|size| fits(size)).count(), 4);
    within(remote.read_exact(&mut [0; 10_000])).await.unwrap();
    quiet().await;
    // Each queue is as exact, whatever was sent before.
    assert!(fits(&20_000));
    assert!(!fits(&1));
    within(remote.read_exact(&mut vec![0; 20_000]))
        .await
        .unwrap();
    drop(remote);
    finish(&node, inbound).await;
}

/// Knows the size of large messages only.
struct LargeOnly;

impl Weigher<Sized> for LargeOnly {
    fn weigh(&self, message: &Sized) -> Option<usize> {
        (message.0 > 1_000).then_some(message.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_weigher_may_not_know() {
    let (node, inbound) = start(in_memory().max_outbound_bytes(16_000).weigher(LargeOnly)).await;
    let (peer, mut remote) = join(&node, 1).await;
    // Those of unknown size are taken for a sixteenth of the bound at first.
    let sizes = [8_000, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    let fits = |size: &usize| node.try_send_to(Sized(*size), peer).is_ok();
    assert_eq!(sizes.iter().take_while(|size| fits(size)).count(), 9);
    within(remote.read_exact(&mut [0; 8_008])).await.unwrap();
    drop(remote);
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn a_lie_is_believed_and_the_bound_in_messages_holds() {
    let builder = in_memory().max_outbound_messages(50).memory_budget(1_000);
    let (node, inbound) = start(builder.clone().weigher(|_: &Sized| 0)).await;
    let (peer, mut remote) = join(&node, 1).await;
    let count = (0..100)
        .take_while(|_| node.try_send_to(Sized(9), peer).is_ok())
        .count();
    assert_eq!(count, 50);
    within(remote.read_exact(&mut [0; 450])).await.unwrap();
    drop(remote);
    finish(&node, inbound).await;

    let (node, inbound) = start(builder.weigher(|_: &Sized| usize::MAX)).await;
    let (peer, mut remote) = join(&node, 1).await;
    for _ in 0..5 {
        node.try_send_to(Sized(9), peer).unwrap();
        let error = node.try_send_to(Sized(1), peer).unwrap_err();
        assert_eq!((error.reason, error.message), (NotSent::Full, Sized(1)));
        within(remote.read_exact(&mut [0; 9])).await.unwrap();
        quiet().await;
    }
    drop(remote);
    finish(&node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_weigher_is_the_callers_and_nobody_elses() {
    let weigher = |message: &Sized| match message.0 {
        13 => panic!("unlucky"),
        size => size,
    };
    let (node, inbound) = start(in_memory().weigher(weigher)).await;
    let (peer, mut remote) = join(&node, 64).await;
    let (_, mut other) = join(&node, 64).await;
    let panics = |action: &dyn Fn()| catch_unwind(AssertUnwindSafe(action)).is_err();
    assert!(panics(&|| assert!(
        node.try_send_to(Sized(13), peer).is_err()
    )));
    assert!(panics(&|| drop(node.broadcast(Sized(13)))));
    assert_eq!(node.broadcast(Sized(7)).queued, 2);
    for remote in [&mut remote, &mut other] {
        within(remote.read_exact(&mut [0; 7])).await.unwrap();
    }
    assert_eq!(node.stats().undelivered, 0);
    drop((remote, other));
    finish(&node, inbound).await;
}
