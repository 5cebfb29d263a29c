//! The bound of a peer's queue in bytes, for messages that tell their size and for those that don't.

mod common;

use std::{io, iter::repeat};

use common::{expect_text, finish, in_memory, join, start_lines, within};
use tokio::io::AsyncReadExt;
use tokio_util::{
    bytes::{BufMut, BytesMut},
    codec::{Decoder, Encoder},
};

#[tokio::test(start_paused = true)]
async fn a_queue_takes_no_more_bytes_than_its_bound() {
    let bounded = in_memory().max_outbound_bytes(10_000);
    let (node, inbound) = start_lines(bounded).await;
    let (peer, mut remote) = join(&node, 1_500).await;
    // It is full with the message that reaches the bound, whatever the sizes are.
    let sizes = [1, 2_000, 2_999, 5_000].into_iter().chain(repeat(1));
    let fits = |size| node.try_send_to("x".repeat(size), peer).is_ok();
    assert_eq!(sizes.take_while(|size| fits(*size)).count(), 4);
    let mut reading = vec![0; 10_000 + 4];
    within(remote.read_exact(&mut reading)).await.unwrap();
    // One that is larger than the bound goes alone.
    let large = "x".repeat(20_000);
    node.try_send_to(large.clone(), peer).unwrap();
    assert!(node.try_send_to("x".to_owned(), peer).is_err());
    expect_text(&mut remote, &(large + "\n")).await;
    drop(remote);
    finish(&node, inbound).await;
}

/// A message of which nobody knows how large it is before it is encoded.
#[derive(Debug)]
struct Large;

struct LargeCodec;

impl Decoder for LargeCodec {
    type Item = ();
    type Error = io::Error;

    fn decode(&mut self, _src: &mut BytesMut) -> io::Result<Option<()>> {
        Ok(None)
    }
}

impl Encoder<Large> for LargeCodec {
    type Error = io::Error;

    fn encode(&mut self, _message: Large, dst: &mut BytesMut) -> io::Result<()> {
        dst.put_bytes(0, 1_000);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_takes_few_messages_before_it_knows_how_large_they_are() {
    let bounded = in_memory().max_outbound_bytes(5_000);
    let (node, inbound) = within(bounded.start(|_| LargeCodec)).await.unwrap();
    let (peer, mut remote) = join(&node, 1 << 20).await;
    let fill = || {
        (0..1_000)
            .take_while(|_| node.try_send_to(Large, peer).is_ok())
            .count()
    };
    assert_eq!(fill(), 16);
    within(remote.read_exact(&mut [0; 16_000])).await.unwrap();
    assert_eq!(fill(), 5);
    within(remote.read_exact(&mut [0; 5_000])).await.unwrap();
    drop(remote);
    finish(&node, inbound).await;
}
