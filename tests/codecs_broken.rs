//! What a remote may do wrong to a codec, deliberately or by dying: the reason tells what the codec said, and
//! the node's other peers go on.

mod common;

use std::{fmt::Debug, net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_util::codec::{Decoder, Encoder};
use wattle::{BoxError, Disconnect, Initiator, Node, Peer, Protocol, Reason};
use wattle_codecs::{
    CheckedError, CodecExt, Crc32, Delimited, Envelope, Enveloped, Fixed, Json, Layout, Length,
    Lz4, Prefixed, PrefixedError,
};

use common::pairs::{End, connected, dial, payloads, serve};
use common::{ending, finish_events, within};

const MOST: usize = 256 * 1024;

fn frames(_: Peer) -> Prefixed {
    Prefixed::new(Length::U32, MOST)
}

async fn stranger(addr: SocketAddr) -> TcpStream {
    within(TcpStream::connect(addr)).await.expect("it listens")
}

/// How a connection ends on which these bytes come, and then the end of the stream.
async fn ending_of<P>(protocol: P, bytes: &[u8]) -> Disconnect
where
    P: Protocol,
    P::Codec: Decoder<Item: Debug> + Encoder<Bytes, Error: Into<BoxError>>,
{
    let (node, mut events, addr) = serve(Node::builder(), protocol).await;
    let mut remote = stranger(addr).await;
    let peer = connected(&mut events).await;
    remote.write_all(bytes).await.unwrap();
    remote.shutdown().await.unwrap();
    let end = ending(&mut events, peer).await;
    finish_events(&node, events).await;
    end
}

#[tokio::test]
async fn an_announcement_beyond_the_cap_is_the_end_at_once_and_others_go_on() {
    let (node, mut events, addr) = serve(Node::builder(), frames).await;
    let mut honest: End<Bytes, Bytes> = dial(frames, addr).await;
    let peer = connected(&mut events).await;

    let mut hostile = stranger(addr).await;
    let enemy = connected(&mut events).await;
    hostile.write_all(&[0xff; 4]).await.unwrap();
    let end = ending(&mut events, enemy).await;
    assert_eq!(end.initiator, Initiator::Library);
    let Reason::Decode(error) = &end.reason else {
        panic!("{end}");
    };
    match error.downcast_ref::<PrefixedError>() {
        Some(PrefixedError::TooLong {
            announced,
            most,
            at,
        }) => assert_eq!((*announced, *most, *at), (0xffff_ffff, MOST, 0)),
        other => panic!("{other:?}"),
    }

    let mut listener = End { node, events, peer };
    let sent = payloads();
    let (forth, back) = tokio::join!(listener.exchange(&sent), honest.exchange(&sent));
    assert!(forth == sent && back == sent, "not what was sent");
    drop(hostile);
    honest.finish().await;
    listener.finish().await;
}

#[tokio::test]
async fn a_huge_frame_that_is_announced_and_never_comes_holds_up_nobody() {
    let (node, mut events, addr) = serve(Node::builder(), frames).await;
    let mut honest: End<Bytes, Bytes> = dial(frames, addr).await;
    let peer = connected(&mut events).await;
    let announced = (MOST as u32).to_be_bytes();
    let mut hostile = Vec::new();
    for _ in 0..10 {
        let mut stream = stranger(addr).await;
        let enemy = connected(&mut events).await;
        stream.write_all(&announced).await.unwrap();
        hostile.push((stream, enemy));
    }

    let mut listener = End { node, events, peer };
    let sent = payloads();
    let (forth, back) = tokio::join!(listener.exchange(&sent), honest.exchange(&sent));
    assert!(forth == sent && back == sent, "not what was sent");
    for (mut stream, enemy) in hostile {
        // Nothing has ended yet.
        stream.write_all(b"peas").await.unwrap();
        drop(stream);
        let end = ending(&mut listener.events, enemy).await;
        assert_eq!(end.initiator, Initiator::Remote);
        let inside = Reason::EndInsideFrame {
            buffered: 8,
            source: Arc::new(PrefixedError::Truncated {
                came: 8,
                least: 4 + MOST,
                at: 0,
            }),
        };
        assert_eq!(end.reason.to_string(), inside.to_string());
    }
    honest.finish().await;
    listener.finish().await;
}

#[tokio::test]
async fn a_frame_cut_off_by_the_end_is_told_with_the_codecs_own_error() {
    let end = ending_of(frames, b"\0\0\0\x03one\0\0\0\x05thr").await;
    assert_eq!(end.initiator, Initiator::Remote);
    let Reason::EndInsideFrame { buffered, source } = &end.reason else {
        panic!("{end}");
    };
    assert_eq!(*buffered, 7);
    let error = source.downcast_ref::<PrefixedError>();
    let truncated = matches!(
        error,
        Some(PrefixedError::Truncated {
            came: 7,
            least: 9,
            at: 7
        })
    );
    assert!(truncated, "{error:?}");
}

/// Asserts that it ended inside a frame, `buffered` bytes into it, and this is what the codec said.
fn assert_inside(end: &Disconnect, buffered: usize, told: &str) {
    let inside = format!(
        "end of stream inside a frame, {buffered} bytes into it: frame at byte {told} (by the remote)"
    );
    assert_eq!(end.to_string(), inside);
}

#[tokio::test]
async fn every_codec_tells_of_an_end_inside_its_frame() {
    let end = ending_of(|_| Prefixed::new(Length::Varint, MOST), b"\x03one\x80").await;
    assert_inside(
        &end,
        1,
        "4: the stream ended after 1 bytes of it, expected at least 2",
    );

    let end = ending_of(|_| Delimited::new("\r\n", MOST), b"one\r\nthree\r").await;
    assert_inside(
        &end,
        6,
        "5: the stream ended after 6 bytes of it, expected a delimiter",
    );

    let end = ending_of(|_| Fixed::new(3), b"onet").await;
    assert_inside(
        &end,
        1,
        "3: the stream ended after 1 bytes of it, expected 3",
    );

    let layout = || Layout::new().magic(b"pea").length(Length::U8).checksum();
    let envelope = move |_| Envelope::<0, Crc32>::new(layout(), MOST).unwrap();
    let codec = move |peer| {
        envelope(peer).map_out(|payload| Enveloped {
            header: [],
            payload,
        })
    };
    let end = ending_of(codec, b"pea\x01\0\0\0").await;
    assert_inside(
        &end,
        7,
        "0: the stream ended after 7 bytes of it, expected at least 8",
    );

    let stack = |peer| frames(peer).checked::<Crc32>().compressed(Lz4, MOST);
    let end = ending_of(stack, b"\0\0\0\x09four").await;
    assert_inside(
        &end,
        8,
        "0: the stream ended after 8 bytes of it, expected at least 13",
    );

    let typed = |_| Json::framed::<u8>(MOST).map_out(|_: Bytes| 7);
    let end = ending_of(typed, b"\0\0\0\x017\0\0\0\x0212").await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    let end = ending_of(typed, b"\0\0\0\x017\0\0\0\x021").await;
    assert_inside(
        &end,
        5,
        "5: the stream ended after 5 bytes of it, expected at least 6",
    );
}

#[tokio::test]
async fn a_last_line_needs_no_end() {
    let end = ending_of(|_| Delimited::lines(MOST), b"one\ntwo").await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
}

#[tokio::test]
async fn damage_on_the_way_is_told_with_the_layers_own_error() {
    let stack = |peer| frames(peer).checked::<Crc32>();
    let mut wire = BytesMut::new();
    let mut codec = Prefixed::new(Length::U32, MOST).checked::<Crc32>();
    codec.encode(Bytes::from("pea"), &mut wire).unwrap();
    let size = wire.len();
    codec.encode(Bytes::from("bean"), &mut wire).unwrap();
    wire[size + 4] ^= 0x20;

    let end = ending_of(stack, &wire).await;
    assert_eq!(end.initiator, Initiator::Library);
    let Reason::Decode(error) = &end.reason else {
        panic!("{end}");
    };
    let error = error.downcast_ref::<CheckedError<PrefixedError>>();
    let mismatch = matches!(error, Some(CheckedError::Mismatch { at: 11, .. }));
    assert!(mismatch, "{error:?}");
}
