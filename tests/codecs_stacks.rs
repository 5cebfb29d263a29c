//! Layers around codecs, in nodes: what they do to what passes, and how a connection ends of what they
//! don't let pass.

mod common;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};
use wattle::{BoxError, Event, Initiator, Node, Peer, Reason};
use wattle_codecs::{
    Capped, CappedError, CodecExt, Crc32, Delimited, Json, Length, Lz4, MapIn, Passed, Postcard,
    Prefixed,
};

use common::pairs::{
    End, SIZES, assert_carries, connected, dial, message, pair, payloads, serve, text,
};
use common::{ending, finish_events, next_event, within};

/// Room for each of the messages, in each of the codecs.
const MOST: usize = 256 * 1024;

/// Two connected nodes that carry payloads.
type Two = (End<Bytes, Bytes>, End<Bytes, Bytes>);

fn frames(_: Peer) -> Prefixed {
    Prefixed::new(Length::U32, MOST)
}

#[tokio::test]
async fn payloads_are_checked_and_compressed() {
    let codec = |peer| frames(peer).checked::<Crc32>().compressed(Lz4, MOST);
    let (mut dialer, mut listener): Two = pair(codec, codec).await;
    let sent = payloads();
    let (forth, back) = tokio::join!(listener.exchange(&sent), dialer.exchange(&sent));
    assert!(forth == sent && back == sent, "not what was sent");
    // The alphabet again and again: it has become small.
    let bytes = dialer.node.stats().bytes_out;
    let plain: usize = sent.iter().map(Bytes::len).sum();
    assert!(bytes * 10 < plain as u64, "{bytes} bytes for {plain}");
    dialer.finish().await;
    listener.finish().await;
}

#[tokio::test]
async fn what_a_layer_finds_bad_ends_the_connection_with_its_error() {
    let codec = |peer| frames(peer).checked::<Crc32>().compressed(Lz4, MOST);
    // They agree on the frames only: the end of the payload is no checksum of the rest.
    let (mut dialer, mut listener): Two = pair(frames, codec).await;
    dialer.say("pea and bean").await;
    let end = listener.ending().await;
    assert!(matches!(end.reason, Reason::Decode(_)), "{end}");
    assert_eq!(end.initiator, Initiator::Library);
    let text = end.to_string();
    let told = "decode error: frame at byte 0: checksum ";
    assert!(text.starts_with(told), "{text}");
    dialer.ending().await;
    dialer.finish().await;
    listener.finish().await;
}

type CappedFrames = MapIn<Capped<LengthDelimitedCodec>, fn(BytesMut) -> Bytes>;

/// A codec that doesn't demand a cap, with one.
fn capped(most: usize) -> impl Fn(Peer) -> CappedFrames + Clone + Send + Sync {
    move |_| {
        LengthDelimitedCodec::new()
            .capped(most)
            .map_in(BytesMut::freeze)
    }
}

#[tokio::test]
async fn a_cap_lets_pass_what_fits() {
    assert_carries(capped(4 + SIZES[3]), &payloads()).await;
}

#[tokio::test]
async fn a_frame_beyond_the_cap_that_comes_is_the_end_of_its_connection() {
    let (mut dialer, mut listener): Two = pair(capped(MOST), capped(8)).await;
    dialer.say("four").await;
    dialer.say("seven77").await;
    let end = listener.ending().await;
    let Reason::Decode(error) = &end.reason else {
        panic!("{end}");
    };
    let error = error.downcast_ref::<CappedError<io::Error>>();
    let too_long = matches!(error, Some(CappedError::TooLong { most: 8, at: 8, .. }));
    assert!(too_long, "{error:?}");
    assert_eq!(end.initiator, Initiator::Library);
    assert_eq!(listener.node.stats().messages_in, 1);
    dialer.ending().await;
    dialer.finish().await;
    listener.finish().await;
}

#[tokio::test]
async fn a_frame_beyond_the_cap_that_is_to_be_sent_leaves_no_byte_on_the_wire() {
    let (mut dialer, mut listener): Two = pair(capped(8), capped(MOST)).await;
    dialer.say("four").await;
    dialer.say("seven77").await;
    let end = dialer.ending().await;
    assert!(matches!(end.reason, Reason::Encode(_)), "{end}");
    let told = "encode error: a frame of 11 bytes to send, expected at most 8";
    assert!(end.to_string().starts_with(told), "{end}");
    assert_eq!(end.undelivered, 1);
    assert_eq!(listener.hear().await, "four");
    let end = listener.ending().await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    dialer.finish().await;
    listener.finish().await;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Message {
    Ping(u64),
    Text(String),
}

/// Sends these to a node that echoes them.
async fn speaks<C>(codec: fn(Peer) -> C, addr: SocketAddr, sent: &[Message])
where
    C: Decoder<Item = Message, Error: Into<BoxError>>
        + Encoder<Message, Error: Into<BoxError>>
        + Send
        + 'static,
{
    let mut end = dial(codec, addr).await;
    assert_eq!(end.exchange(sent).await, sent);
    end.finish().await;
}

#[tokio::test]
async fn one_listener_serves_those_who_speak_frames_and_those_who_speak_lines() {
    let either = |_| Postcard::framed::<Message>(MOST).either(Json::lines::<Message>(MOST));
    let (node, mut events, addr) = serve(Node::builder(), either).await;
    let texts = SIZES.iter().enumerate();
    let texts = texts.map(|(i, &size)| Message::Text(text(size, i)));
    let sent: Vec<_> = (0..50).map(Message::Ping).chain(texts).collect();

    let echo = async {
        let mut ended = 0;
        while ended < 2 {
            match next_event(&mut events).await {
                Event::Message(message, peer) => {
                    within(node.send_to(message, peer)).await.unwrap();
                }
                Event::Disconnected(_, end) => {
                    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
                    ended += 1;
                }
                _ => {}
            }
        }
    };
    tokio::join!(
        echo,
        speaks(|_| Postcard::framed::<Message>(MOST), addr, &sent),
        speaks(|_| Json::lines::<Message>(MOST), addr, &sent),
    );
    assert_eq!(node.stats().messages_in, 2 * sent.len() as u64);
    finish_events(&node, events).await;
}

#[tokio::test]
async fn who_speaks_neither_of_two_codecs_is_told_what_both_say() {
    let either = |_| Postcard::framed::<Message>(MOST).either(Json::lines::<Message>(MOST));
    let http = |_| Delimited::new("\r\n", MOST);
    let (mut dialer, mut listener): (End<Bytes, Bytes>, End<Message, Message>) =
        pair(http, either).await;
    dialer.say("GET / HTTP/1.1").await;
    let end = listener.ending().await;
    let text = end.to_string();
    assert!(matches!(end.reason, Reason::Decode(_)), "{end}");
    for told in ["length 1195725856", "expected value at line 1 column 1"] {
        assert!(text.contains(told), "{text}");
    }
    dialer.ending().await;
    dialer.finish().await;
    listener.finish().await;
}

/// What came on a connection, and what went.
type Wires = BTreeMap<Peer, (Vec<u8>, Vec<u8>)>;

#[tokio::test]
async fn a_tap_collects_what_passes_on_each_connection_apart() {
    let wires: Arc<Mutex<Wires>> = Arc::default();
    let log = wires.clone();
    let tapped = move |peer: Peer| {
        let log = log.clone();
        frames(peer).tapped(move |passed| {
            let mut log = log.lock().unwrap();
            let (came, went) = log.entry(peer).or_default();
            match passed {
                Passed::Decoded { wire, .. } => came.extend_from_slice(wire),
                Passed::Encoding { .. } => {}
                Passed::Encoded { wire } => went.extend_from_slice(wire),
                other => panic!("{other:?}"),
            }
        })
    };
    let (node, mut events, addr) = serve(Node::builder(), tapped).await;
    for (name, others) in [("pea", "bean"), ("bean", "pea")] {
        let mut dialer: End<Bytes, Bytes> = dial(frames, addr).await;
        let peer = connected(&mut events).await;
        within(node.send_to(others.into(), peer)).await.unwrap();
        dialer.say(name).await;
        dialer.say("").await;
        assert_eq!(dialer.hear().await, others);
        assert_eq!(message(&mut events, peer).await, name);
        assert_eq!(message(&mut events, peer).await, "");
        dialer.finish().await;
        ending(&mut events, peer).await;

        let wire = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
        let (came, went) = wires.lock().unwrap().remove(&peer).unwrap();
        assert_eq!(came, [wire(name), wire("")].concat());
        assert_eq!(went, wire(others));
    }
    finish_events(&node, events).await;
    assert!(wires.lock().unwrap().is_empty());
}
