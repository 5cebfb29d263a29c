//! The bound of a queue in bytes, with sizes that the program tells.

mod common;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use common::{Duplex, finish, finish_events, in_memory, join, next_event, quiet, within};
use futures::SinkExt;
use tokio::io::AsyncReadExt;
use tokio_util::{
    bytes::{BufMut, BytesMut},
    codec::{Decoder, Encoder},
};
use wattle::{Builder, Event, Inbound, Node, NotSent, Weigher, WhenFull};

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

async fn start<W: Weigher<Sized>>(builder: Builder<Duplex, W>) -> (Node<Sized>, Inbound<()>) {
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

#[tokio::test(start_paused = true)]
async fn a_weigher_that_panics_at_the_oldest_message_costs_its_sender_nothing() {
    // What is called in a sink of 13 for the second time panics.
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let weigher = move |message: &Sized| {
        let unlucky =
            message.0 == 13 && calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0;
        assert!(!unlucky, "unlucky");
        message.0
    };
    let builder = in_memory()
        .when_full(WhenFull::DropOldest)
        .max_outbound_messages(1)
        .write_boundary(1);
    let (node, inbound) = start(builder.weigher(weigher)).await;
    let (peer, mut remote) = join(&node, 1).await;
    within(node.send_to(Sized(20), peer)).await.unwrap();
    quiet().await;
    let mut sink = node.peer_sink(peer).unwrap();
    within(sink.feed(Sized(13))).await.unwrap();
    within(node.send_to(Sized(7), peer)).await.unwrap();
    assert_eq!(node.stats().dropped, 1);
    within(remote.read_exact(&mut [0; 27])).await.unwrap();
    within(sink.flush()).await.unwrap();
    let mut events = inbound.into_events();
    let told = async {
        loop {
            if let Event::Dropped(who, messages) = next_event(&mut events).await {
                break (who, messages);
            }
        }
    };
    assert_eq!(told.await, (peer, 1));
    drop((remote, sink));
    finish_events(&node, events).await;
}
