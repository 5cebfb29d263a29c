//! How a connection ends, and what it leaves undecoded.

use bytes::{Bytes, BytesMut};
use wattle::Events;

use super::*;

/// A tapped node of lines, and what the file says of one connection on which the remote has said this and
/// ended its side.
async fn told_of(said: &[u8], max: usize) -> (Vec<String>, Reason) {
    let (file, capture) = begun();
    let tapped = capture.tap(move |_| LinesCodec::new_with_max_length(max));
    let (node, inbound) = in_memory().start::<_, String>(tapped).await.unwrap();
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 256).await;
    remote.write_all(said).await.unwrap();
    remote.shutdown().await.unwrap();
    let disconnect = ending(&mut events, peer).await;
    finish_events(&node, events).await;
    capture.finish().unwrap();
    (file.story(), disconnect.reason)
}

#[tokio::test]
async fn the_end_of_the_remote_comes_before_what_is_only_decoded_because_of_it() {
    let (story, reason) = told_of(b"pea\npod", 80).await;
    assert_eq!(
        story,
        [
            "open",
            "in 7065610a \"pea\"",
            "end",
            "in 706f64 \"pod\"",
            "close"
        ]
    );
    assert!(matches!(reason, Reason::EndOfStream), "{reason}");
}

#[tokio::test]
async fn bytes_that_are_never_decoded_are_in_the_capture_with_the_error() {
    let (story, reason) = told_of(b"pea\n\xff\xff\nx", 80).await;
    assert_eq!(
        story,
        [
            "open",
            "in 7065610a \"pea\"",
            "error in Unable to decode input as UTF8",
            "in ffff0a78",
            "close"
        ]
    );
    // The reason has the codec's own error in it, as without a tap.
    let Reason::Decode(error) = reason else {
        panic!("{reason}")
    };
    assert!(error.is::<LinesCodecError>());
}

#[tokio::test]
async fn a_connection_that_ends_inside_a_frame_leaves_its_beginning() {
    let (file, capture) = begun();
    let tapped = capture.tap(|_| LengthDelimitedCodec::new());
    let (node, inbound) = in_memory().start::<_, Bytes>(tapped).await.unwrap();
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 256).await;
    remote
        .write_all(b"\0\0\0\x02ok\0\0\0\x05hal")
        .await
        .unwrap();
    drop(remote);
    let disconnect = ending(&mut events, peer).await;
    assert!(
        matches!(
            disconnect.reason,
            Reason::EndInsideFrame { buffered: 7, .. }
        ),
        "{disconnect}"
    );
    finish_events_with_messages(&node, events).await;
    capture.finish().unwrap();
    let story = file.story();
    assert_eq!(story[..3], ["open", "in 000000026f6b b\"ok\"", "end"]);
    assert!(story[3].starts_with("error in "), "{story:?}");
    assert_eq!(story[4..], ["in 0000000568616c", "close"]);
}

async fn finish_events_with_messages(node: &Node<Bytes>, mut events: Events<BytesMut>) {
    shut_down(node).await;
    while within(events.recv()).await.is_some() {}
}
