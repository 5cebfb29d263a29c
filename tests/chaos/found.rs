//! What chaos has found, each as a test of its own.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    runtime::Builder,
};
use tokio_util::codec::{Decoder, Encoder, LinesCodec};
use wattle::{Event, Node, Reason};

use crate::{
    alone,
    codec::ON_PURPOSE,
    common::{in_memory, join, next_event, within},
};

fn by_itself(test: impl Future<Output = ()>) {
    alone(Builder::new_current_thread(), |runtime| {
        runtime.block_on(test)
    });
}

/// A reset is told once, to whoever asks first. When that is a write, because we don't read at the
/// moment, reading finds the end of the stream afterwards.
#[test]
fn a_reset_that_a_write_meets_first_is_no_end_of_the_stream() {
    by_itself(reset_that_a_write_meets());
}

async fn reset_that_a_write_meets() {
    let remote = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let codec = |_| LinesCodec::new_with_max_length(64);
    let started = Node::builder().max_inbound_messages(1).start(codec).await;
    let (node, inbound) = started.unwrap();
    let addr = remote.local_addr().unwrap();
    let (peer, accepted) =
        within(async { tokio::join!(node.connect(addr), remote.accept()) }).await;
    let (peer, (mut stream, _)) = (peer.unwrap(), accepted.unwrap());

    // One is decoded, and as nobody takes it, nothing more is read.
    within(stream.write_all(b"one\ntwo\n")).await.unwrap();
    within(async {
        while node.stats().messages_in == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
    node.try_send_to("into the reset", peer).unwrap();
    // The write has failed when nothing more is taken.
    within(async {
        while node.try_send_to("too late", peer).is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let mut events = inbound.into_events();
    loop {
        match next_event(&mut events).await {
            Event::Disconnected(_, why) => {
                assert!(matches!(why.reason, Reason::Reset(_)), "{why}");
                break;
            }
            Event::Connected(_) | Event::Message(..) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

/// Bytes as messages; the third panics.
struct ThirdPanics(u8);

impl Decoder for ThirdPanics {
    type Item = u8;
    type Error = std::io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> std::io::Result<Option<u8>> {
        if src.is_empty() {
            return Ok(None);
        }
        self.0 += 1;
        assert!(self.0 < 3, "{ON_PURPOSE} the third");
        Ok(Some(src.get_u8()))
    }
}

impl Encoder<u8> for ThirdPanics {
    type Error = std::io::Error;

    fn encode(&mut self, _: u8, _: &mut BytesMut) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_was_decoded_before_a_panic_is_yielded_and_counted() {
    by_itself(decoded_before_a_panic());
}

async fn decoded_before_a_panic() {
    let started = in_memory().start(|_| ThirdPanics(0)).await;
    let (node, mut inbound): (Node<u8>, _) = started.unwrap();
    let (_, mut remote) = join(&node, 64).await;
    within(remote.write_all(b"abc")).await.unwrap();
    let (first, second) = (within(inbound.recv()).await, within(inbound.recv()).await);
    assert_eq!(first.map(|(byte, _)| byte), Some(b'a'));
    assert_eq!(second.map(|(byte, _)| byte), Some(b'b'));
    within(node.shutdown()).await;
    assert_eq!(node.stats().messages_in, 2);
}

/// The stream doesn't end when no connection is left: those that are undecided, or shake hands, at that
/// moment have still to be told of.
#[test]
fn what_a_shutdown_refuses_is_told_before_the_stream_ends() {
    by_itself(refused_by_the_shutdown());
}

async fn refused_by_the_shutdown() {
    let codec = |_| LinesCodec::new_with_max_length(64);
    let started = Node::builder().start(codec).await;
    let (node, inbound): (Node<String>, _) = started.unwrap();
    let mut incomings = node.listen_incoming("127.0.0.1:0").await.unwrap();
    let _remote = within(TcpStream::connect(incomings.local_addr())).await;
    let _undecided = within(incomings.recv()).await;
    let mut events = inbound.into_events();
    let refusals = async {
        let mut refusals = 0;
        while let Some(event) = within(events.recv()).await {
            refusals += u64::from(matches!(event, Event::Refused(..)));
        }
        refusals
    };
    let (refusals, _) = tokio::join!(refusals, within(node.shutdown()));
    assert_eq!(refusals, 1);
    assert_eq!(node.stats().refused.declined, refusals);
}
