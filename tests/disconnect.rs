//! Every way in which a connection can end, each told from the others.

mod common;

use std::{collections::BTreeSet, error::Error, fmt, io, time::Duration};

use bytes::{Bytes, BytesMut};
use common::{Duplex, Failing, adopt, adopting, ending, finish_events, in_memory, join};
use common::{shut_down, within};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};
use wattle::{
    Builder, Disconnect, Ended, Event, Initiator, Node, Peer, Reason, Timeout, Transport, WhenFull,
    testing::{Recorded, expect_next_event},
};

/// For deadlines with which nothing competes.
const SOON: Duration = Duration::from_millis(20);

/// Frames, except that `bad` and `panic` do that, at either end.
#[derive(Default)]
struct Moody(LengthDelimitedCodec);

#[derive(Debug, PartialEq)]
struct Bad(&'static str);

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a bad {}", self.0)
    }
}

impl Error for Bad {}

fn judge(message: &[u8], what: &'static str) -> Result<(), io::Error> {
    match message {
        b"bad" => Err(io::Error::other(Bad(what))),
        b"panic" => panic!("a panicking {what}"),
        _ => Ok(()),
    }
}

impl Decoder for Moody {
    type Item = BytesMut;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<BytesMut>> {
        let frame = self.0.decode(src)?;
        if let Some(frame) = &frame {
            judge(frame, "decoder")?;
        }
        Ok(frame)
    }
}

impl Encoder<Bytes> for Moody {
    type Error = io::Error;

    fn encode(&mut self, message: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        judge(&message, "encoder")?;
        self.0.encode(message, dst)
    }
}

/// A node with a single peer.
struct Pair<Remote> {
    node: Node<Bytes>,
    events: Recorded<BytesMut>,
    peer: Peer,
    remote: Remote,
}

async fn start<T: Transport>(builder: Builder<T>) -> (Node<Bytes>, Recorded<BytesMut>) {
    let (node, inbound) = builder.start(|_| Moody::default()).await.unwrap();
    (node, Recorded::new(inbound))
}

async fn over_tcp() -> Pair<TcpStream> {
    let (node, mut events) = start(Node::builder().listen("127.0.0.1:0")).await;
    let remote = within(TcpStream::connect(node.local_addr().unwrap()))
        .await
        .unwrap();
    let peer = expect_next_event!(events, Event::Connected(peer) => peer);
    Pair {
        node,
        events,
        peer,
        remote,
    }
}

/// The remote's end takes four bytes, which it doesn't read.
async fn over_memory(options: fn(Builder<Duplex>) -> Builder<Duplex>) -> Pair<DuplexStream> {
    let (node, events) = start(options(in_memory())).await;
    let (peer, remote) = join(&node, 4).await;
    Pair {
        node,
        events,
        peer,
        remote,
    }
}

impl<Remote> Pair<Remote> {
    /// The remote goes away.
    fn leave(self) -> Pair<()> {
        drop(self.remote);
        Pair {
            node: self.node,
            events: self.events,
            peer: self.peer,
            remote: (),
        }
    }

    fn send(&self, message: &'static str) {
        self.node.try_send_to(message.into(), self.peer).unwrap();
    }

    /// How the connection ended, and that it left nothing behind.
    async fn ending(mut self) -> Disconnect {
        let disconnect = ending(&mut self.events, self.peer).await;
        assert!(within(self.node.disconnect(self.peer)).await.is_none());
        assert!(!self.node.abort(self.peer));
        assert_eq!(self.node.find(self.peer.addr()), None);
        drop(self.remote);
        finish_events(&self.node, self.events).await;
        assert_counted(&self.node, &disconnect);
        disconnect
    }
}

/// The counter of this reason says one, and no other says anything.
fn assert_counted(node: &Node<Bytes>, disconnect: &Disconnect) {
    let mut expected = Ended::default();
    match disconnect.reason {
        Reason::EndOfStream => expected.end_of_stream = 1,
        Reason::EndInsideFrame { .. } => expected.end_inside_frame = 1,
        Reason::Reset(_) => expected.reset = 1,
        Reason::Io(_) => expected.io = 1,
        Reason::Decode(_) => expected.decode = 1,
        Reason::Encode(_) => expected.encode = 1,
        Reason::FrameTooLarge { .. } => expected.frame_too_large = 1,
        Reason::QueueFull => expected.queue_full = 1,
        Reason::TimedOut(_) => expected.timed_out = 1,
        Reason::Disconnected => expected.disconnected = 1,
        Reason::Aborted => expected.aborted = 1,
        Reason::Shutdown => expected.shutdown = 1,
        Reason::Panicked(_) => expected.panicked = 1,
        _ => panic!("{disconnect} has no counter"),
    }
    assert_eq!(node.stats().ended, expected);
}

async fn end_of_stream() -> Disconnect {
    let mut pair = over_tcp().await;
    within(pair.remote.write_all(b"\0\0\0\x02hi"))
        .await
        .unwrap();
    within(pair.remote.shutdown()).await.unwrap();
    expect_next_event!(pair.events, Event::Message(..));
    pair.ending().await
}

async fn end_inside_frame() -> Disconnect {
    let mut pair = over_tcp().await;
    within(pair.remote.write_all(b"\0\0\0\x05hel"))
        .await
        .unwrap();
    within(pair.remote.shutdown()).await.unwrap();
    pair.ending().await
}

async fn reset() -> Disconnect {
    let pair = over_tcp().await;
    SockRef::from(&pair.remote)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    pair.leave().ending().await
}

async fn reset_inside_frame() -> Disconnect {
    let mut pair = over_tcp().await;
    within(pair.remote.write_all(b"\0\0\0\x02hi\0\0"))
        .await
        .unwrap();
    expect_next_event!(pair.events, Event::Message(..));
    SockRef::from(&pair.remote)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    pair.leave().ending().await
}

async fn failing_with(kind: io::ErrorKind) -> Disconnect {
    let (node, events) = start(adopting::<Failing>()).await;
    let peer = adopt(&node, Failing(kind)).await;
    let pair = Pair {
        node,
        events,
        peer,
        remote: (),
    };
    pair.send("lost");
    let disconnect = pair.ending().await;
    assert_eq!(disconnect.undelivered, 1);
    disconnect
}

async fn broken_pipe() -> Disconnect {
    failing_with(io::ErrorKind::BrokenPipe).await
}

async fn other_error() -> Disconnect {
    failing_with(io::ErrorKind::PermissionDenied).await
}

async fn received(message: &[u8]) -> Disconnect {
    let mut pair = over_tcp().await;
    let frame = [&(message.len() as u32).to_be_bytes(), message].concat();
    within(pair.remote.write_all(&frame)).await.unwrap();
    pair.ending().await
}

async fn decode_error() -> Disconnect {
    received(b"bad").await
}

async fn decoder_panic() -> Disconnect {
    received(b"panic").await
}

/// As `received`; the remote gets what was sent before, and nothing of it.
async fn sent(message: &'static str, expected: &[u8]) -> Disconnect {
    let mut pair = over_tcp().await;
    pair.send("hi");
    pair.send(message);
    let mut came = Vec::new();
    within(pair.remote.read_to_end(&mut came)).await.unwrap();
    assert_eq!(came, expected);
    pair.leave().ending().await
}

async fn encode_error() -> Disconnect {
    sent("bad", b"\0\0\0\x02hi").await
}

async fn encoder_panic() -> Disconnect {
    // The buffer goes with the task that owned it.
    sent("panic", b"").await
}

async fn idle() -> Disconnect {
    let pair = over_memory(|builder| builder.idle_timeout(SOON)).await;
    pair.ending().await
}

async fn slow_drip() -> Disconnect {
    let mut pair = over_memory(|builder| builder.frame_timeout(SOON)).await;
    within(pair.remote.write_all(b"\0")).await.unwrap();
    pair.ending().await
}

async fn frame_too_large() -> Disconnect {
    let mut pair = over_memory(|builder| builder.max_frame_bytes(8)).await;
    within(pair.remote.write_all(b"\0\0\0\x05large"))
        .await
        .unwrap();
    pair.ending().await
}

async fn queue_full() -> Disconnect {
    let full = |builder: Builder<Duplex>| {
        let builder = builder.when_full(WhenFull::Disconnect);
        builder.max_outbound_messages(1)
    };
    let pair = over_memory(full).await;
    while pair.node.try_send_to("fill".into(), pair.peer).is_ok() {}
    pair.ending().await
}

async fn stalled() -> Disconnect {
    let pair = over_memory(|builder| builder.write_timeout(SOON)).await;
    pair.send("more than four bytes");
    pair.ending().await
}

async fn disconnected() -> Disconnect {
    let pair = over_tcp().await;
    let Pair {
        node,
        mut events,
        peer,
        remote,
    } = pair;
    drop(remote);
    let waited = within(node.disconnect(peer)).await.unwrap();
    let told = ending(&mut events, peer).await;
    assert_eq!(format!("{waited:?}"), format!("{told:?}"));
    finish_events(&node, events).await;
    assert_counted(&node, &told);
    waited
}

async fn aborted() -> Disconnect {
    let pair = over_tcp().await;
    assert!(pair.node.abort(pair.peer));
    pair.ending().await
}

async fn shutdown() -> Disconnect {
    let Pair {
        node,
        mut events,
        peer,
        remote,
    } = over_tcp().await;
    drop(remote);
    shut_down(&node).await;
    let told = ending(&mut events, peer).await;
    assert_counted(&node, &told);
    told
}

macro_rules! matrix {
    ($($name:ident: $reason:pat, $initiator:ident, $text:literal;)*) => {
        mod each_reason {
            use super::*;

            $(#[tokio::test]
            async fn $name() {
                let disconnect = super::$name().await;
                assert!(matches!(disconnect.reason, $reason), "{disconnect:?}");
                assert_eq!(disconnect.initiator, Initiator::$initiator);
                let text = disconnect.to_string();
                assert!(text.contains($text), "{text}");
            })*
        }

        #[tokio::test]
        async fn no_two_reasons_read_the_same() {
            let mut texts = BTreeSet::new();
            let mut reasons = 0;
            $(
                let disconnect = $name().await;
                texts.insert(disconnect.reason.to_string());
                reasons += 1;
            )*
            assert_eq!(texts.len(), reasons, "{texts:#?}");
        }
    };
}

matrix! {
    end_of_stream: Reason::EndOfStream, Remote, "end of stream";
    end_inside_frame: Reason::EndInsideFrame { buffered: 7, .. }, Remote, "inside a frame";
    reset: Reason::Reset(_), Remote, "reset";
    broken_pipe: Reason::Reset(_), Remote, "reset";
    other_error: Reason::Io(_), Library, "I/O error";
    decode_error: Reason::Decode(_), Library, "decode error: a bad decoder";
    encode_error: Reason::Encode(_), Library, "encode error: a bad encoder";
    decoder_panic: Reason::Panicked(_), Library, "a panicking decoder";
    encoder_panic: Reason::Panicked(_), Library, "a panicking encoder";
    idle: Reason::TimedOut(Timeout::Idle), Library, "idle timeout";
    stalled: Reason::TimedOut(Timeout::Write), Library, "write timeout";
    slow_drip: Reason::TimedOut(Timeout::Frame), Library, "frame timeout";
    frame_too_large: Reason::FrameTooLarge { bytes: 9, max: 8 }, Library, "frame too large: 9 bytes";
    queue_full: Reason::QueueFull, Library, "queue was full";
    disconnected: Reason::Disconnected, Local, "disconnected";
    aborted: Reason::Aborted, Local, "aborted";
    shutdown: Reason::Shutdown, Local, "shut down";
}

#[tokio::test]
async fn a_reset_is_a_reset_inside_a_frame_too() {
    let disconnect = reset_inside_frame().await;
    assert!(
        matches!(disconnect.reason, Reason::Reset(_)),
        "{disconnect}"
    );
    assert_eq!(disconnect.initiator, Initiator::Remote);
}

#[tokio::test]
async fn the_error_behind_a_reason_is_its_source() {
    for (disconnect, what) in [
        (decode_error().await, "decoder"),
        (encode_error().await, "encoder"),
    ] {
        let source = disconnect
            .source()
            .unwrap()
            .downcast_ref::<io::Error>()
            .unwrap();
        let inner = source.get_ref().unwrap().downcast_ref::<Bad>();
        assert_eq!(inner, Some(&Bad(what)));
    }
    let source = reset().await;
    let source = source
        .source()
        .unwrap()
        .downcast_ref::<io::Error>()
        .unwrap();
    assert_eq!(source.kind(), io::ErrorKind::ConnectionReset);
    assert!(idle().await.source().is_none());
}
