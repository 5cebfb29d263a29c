//! Flushes wait for what is written, and not for what is dropped.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use tokio_util::{
    bytes::BytesMut,
    codec::{Decoder, Encoder, LinesCodec, LinesCodecError},
};
use wattle::PeerSink;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_sink_waits_at_a_node_that_drops() {
    let stuck = Stuck::under(WhenFull::DropOldest).await;
    let mut sink = stuck
        .node
        .peer_sink(stuck.peer)
        .unwrap()
        .when_full(WhenFull::Wait);
    feed(&mut sink, numbers(0..ROOM)).await;
    assert!(sink.feed("more".to_owned()).now_or_never().is_none());
    let mut outbound = stuck.node.outbound().when_full(WhenFull::Wait);
    outbound
        .feed(("more".to_owned(), stuck.peer))
        .now_or_never()
        .unwrap()
        .unwrap();
    let flush = tokio::spawn(async move { outbound.flush().await });
    quiet().await;
    assert!(!flush.is_finished());
    assert_eq!(stuck.dropped(), 0);
    stuck.expect_lines_and(numbers(0..ROOM), ["more"]).await;
    within(flush).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_what_was_dropped_and_not_resolve_before_what_was_not() {
    let mut stuck = Stuck::under(WhenFull::DropOldest).await;
    let mut first = stuck.node.peer_sink(stuck.peer).unwrap();
    within(first.feed("dropped".to_owned())).await.unwrap();
    let mut outbound = stuck.node.outbound();
    feed(&mut outbound, stuck.addressed(ROOM)).await;
    stuck.expect_dropped(1).await;
    // Of what stands in front of it, the first message isn't written.
    let mut flush = tokio_test::task::spawn(async move { first.flush().await });
    assert!(flush.poll().is_pending());
    expect_text(&mut stuck.remote, &format!("{FIRST}\n")).await;
    quiet().await;
    quiet().await;
    expect_text(&mut stuck.remote, "0\n1\n2\n3\n").await;
    assert!(flush.is_woken());
    within(flush).await.unwrap();
    within(outbound.flush()).await.unwrap();
    assert_eq!(
        stuck.node.peer_stats(stuck.peer).unwrap().messages_out,
        1 + ROOM
    );
    let Stuck {
        node,
        events,
        remote,
        ..
    } = stuck;
    drop((remote, outbound));
    finish_events(&node, events).await;
}

/// Encodes lines, and feeds more of them while it encodes the first.
struct Feeding {
    lines: LinesCodec,
    more: Arc<Mutex<Option<PeerSink<String>>>>,
}

impl Decoder for Feeding {
    type Item = String;
    type Error = LinesCodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<String>, LinesCodecError> {
        self.lines.decode(src)
    }
}

impl Encoder<String> for Feeding {
    type Error = LinesCodecError;

    fn encode(&mut self, line: String, dst: &mut BytesMut) -> Result<(), LinesCodecError> {
        if let Some(mut more) = self.more.lock().unwrap().take() {
            for n in 0..ROOM + 3 {
                let fed = more.feed(n.to_string()).now_or_never();
                fed.expect("it drops and doesn't wait").unwrap();
            }
        }
        self.lines.encode(line, dst)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_encoded_and_not_written_is_not_flushed_by_what_is_dropped_behind_it() {
    let more = Arc::new(Mutex::new(None));
    let codec = {
        let more = more.clone();
        move |_| Feeding {
            lines: LinesCodec::new(),
            more: more.clone(),
        }
    };
    let builder = room_for(ROOM as usize).when_full(WhenFull::DropOldest);
    let (node, inbound) = within(builder.start(codec)).await.unwrap();
    let (peer, mut remote) = join(&node, 1).await;
    let mut sink = node.peer_sink(peer).unwrap();
    *more.lock().unwrap() = Some(sink.clone());
    within(sink.feed("first".to_owned())).await.unwrap();
    quiet().await;
    assert_eq!(node.peer_stats(peer).unwrap().dropped, 3);
    assert!(sink.flush().now_or_never().is_none());
    expect_text(&mut remote, "first\n3\n4\n5\n6\n").await;
    within(sink.flush()).await.unwrap();
    drop((remote, sink));
    finish_events(&node, inbound.into_events()).await;
}
