//! The connection task with scripted I/O, polled by hand: what it does, and who wakes it when.

mod closing;
mod deadlines;
mod frames;
mod idle;
mod reading;
mod script;
mod stopwatch;
mod turns;
mod waking;
mod writing;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{BufMut, BytesMut};
use futures::stream::Stream;
use futures_test::task::{AwokenCount, new_count_waker};
use tokio_util::codec::{Decoder, Encoder, Framed, FramedParts};

use self::script::{Script, Scripted};
use super::Connection;
use crate::{
    Disconnect, Event, Events, Inbound, Initiator, Peer, Reason, Side,
    config::{Bounds, SessionConfig},
    inbound::{Ender, Hub},
    outbound::{Pushed, Queue},
};

/// Lines of text. What is `!` can't be decoded, nor encoded (after some bytes of it were), and a
/// codec that has failed must not be called again.
#[derive(Default)]
struct Text {
    decoder_failed: bool,
    encoder_failed: bool,
}

impl Decoder for Text {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<String>> {
        assert!(!self.decoder_failed, "decoded again after an error");
        let Some(end) = src.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line = src.split_to(end + 1);
        let line = String::from_utf8_lossy(&line[..end]).into_owned();
        self.decoder_failed = line == "!";
        if self.decoder_failed {
            return Err(io::Error::other("can't decode this"));
        }
        Ok(Some(line))
    }
}

impl Encoder<String> for Text {
    type Error = io::Error;

    fn encode(&mut self, line: String, dst: &mut BytesMut) -> io::Result<()> {
        assert!(!self.encoder_failed, "encoded again after an error");
        self.encoder_failed = line == "!";
        if self.encoder_failed {
            dst.put_slice(b"some bytes of it");
            return Err(io::Error::other("can't encode this"));
        }
        dst.reserve(line.len() + 1);
        dst.put_slice(line.as_bytes());
        dst.put_u8(b'\n');
        Ok(())
    }
}

/// Something that is polled by hand, with a waker that counts.
struct Polled<T> {
    inner: T,
    waker: Waker,
    count: AwokenCount,
    seen: usize,
}

impl<T> Polled<T> {
    fn new(inner: T) -> Self {
        let (waker, count) = new_count_waker();
        Self {
            inner,
            waker,
            count,
            seen: 0,
        }
    }

    fn enter<R>(&mut self, poll: impl FnOnce(&mut T, &mut Context<'_>) -> R) -> R {
        self.seen = self.count.get();
        poll(&mut self.inner, &mut Context::from_waker(&self.waker))
    }

    /// How often it was woken since it was last polled.
    fn wakes(&self) -> usize {
        self.count.get() - self.seen
    }

    /// Gives it another waker, as a future has that moves to another task; returns how often the old
    /// one was woken, from now on.
    fn move_to_another_task(&mut self) -> impl Fn() -> usize + use<T> {
        let (waker, count) = new_count_waker();
        let old = std::mem::replace(&mut self.count, count);
        self.waker = waker;
        let seen = old.get();
        move || old.get() - seen
    }
}

/// A connection between a scripted stream and a reader.
struct Fixture<C: Decoder<Item = String> = Text> {
    script: Script,
    queue: Arc<Queue<String>>,
    task: Polled<Connection<Scripted, C, String>>,
    reader: Option<Polled<Events<String>>>,
    hub: Arc<Hub<String>>,
    _ender: Ender<String>,
}

/// Without deadlines, which need a runtime.
fn without_deadlines() -> SessionConfig {
    SessionConfig {
        idle_timeout: None,
        write_timeout: None,
        ..SessionConfig::default()
    }
}

fn at_most(messages: usize) -> Bounds {
    Bounds {
        messages,
        bytes: usize::MAX,
    }
}

impl Fixture {
    fn new() -> Self {
        Self::with(without_deadlines())
    }

    fn with(config: SessionConfig) -> Self {
        Self::speaking(Text::default(), config)
    }
}

impl<C> Fixture<C>
where
    C: Decoder<Item = String, Error = io::Error> + Encoder<String, Error = io::Error>,
{
    fn speaking(codec: C, config: SessionConfig) -> Self {
        Self::left_with(b"", codec, config)
    }

    /// One whose handshake has left these bytes.
    fn left_with(left: &[u8], codec: C, config: SessionConfig) -> Self {
        Self::among(Hub::new(), left, codec, config)
    }

    /// One of several of a node.
    fn among(hub: Arc<Hub<String>>, left: &[u8], codec: C, config: SessionConfig) -> Self {
        let script = Script::default();
        let peer = Peer::next(([127, 0, 0, 1], 1).into(), Side::Listener);
        let (producer, ender) = hub
            .open(peer, config.inbound, None)
            .expect("it is accepting");
        let queue = Arc::new(Queue::new(peer, config.outbound, Arc::default()));
        let mut parts = FramedParts::new::<String>(script.stream(), codec);
        parts.read_buf.extend_from_slice(left);
        let framed = Framed::from_parts(parts);
        let connection = Connection::new(framed, producer, queue.clone(), config);
        let reader = Inbound::new(hub.clone(), Arc::new(())).into_events();
        Self {
            hub,
            script,
            queue,
            task: Polled::new(connection),
            reader: Some(Polled::new(reader)),
            _ender: ender,
        }
    }

    /// Polls the connection once.
    fn poll(&mut self) -> Poll<Disconnect> {
        self.task
            .enter(|connection, cx| Pin::new(connection).poll(cx))
    }

    /// Polls the connection until it waits for somebody else, which it must within some polls.
    fn settle(&mut self) -> Poll<Disconnect> {
        for _ in 0..100 {
            let polled = self.poll();
            if polled.is_ready() || self.task.wakes() == 0 {
                return polled;
            }
        }
        panic!("the connection goes on and on");
    }

    /// The same for a connection that must not end.
    fn settle_pending(&mut self) {
        if let Poll::Ready(ended) = self.settle() {
            panic!("ended: {}", ended);
        }
    }

    /// The same for one that must.
    fn settle_ended(&mut self) -> Disconnect {
        match self.settle() {
            Poll::Ready(ended) => ended,
            Poll::Pending => panic!("the connection waits"),
        }
    }

    fn push(&self, message: &str) {
        let pushed = self.queue.push(message.to_owned());
        assert!(matches!(pushed, Pushed::Queued(_)), "{message} isn't taken");
    }

    fn next_event(&mut self) -> Poll<Option<Event<String>>> {
        let reader = self.reader.as_mut().expect("the reader is there");
        reader.enter(|events, cx| Pin::new(events).poll_next(cx))
    }

    /// The messages that the reader finds, until it finds no more.
    fn received(&mut self) -> Vec<String> {
        let mut messages = Vec::new();
        while let Poll::Ready(Some(event)) = self.next_event() {
            match event {
                Event::Message(message, _) => messages.push(message),
                other => panic!("{other:?} between messages"),
            }
        }
        messages
    }

    fn reader_wakes(&self) -> usize {
        self.reader.as_ref().map_or(0, Polled::wakes)
    }
}

/// Whether a connection ended for this reason, and by whom.
macro_rules! assert_ended {
    ($ended:expr, $reason:pat, $initiator:ident) => {{
        let disconnect = $ended;
        assert!(matches!(disconnect.reason, $reason), "{disconnect}");
        assert_eq!(disconnect.initiator, Initiator::$initiator, "{disconnect}");
    }};
}
use assert_ended;

/// `n` numbered lines, and what they are decoded to.
fn lines(n: usize) -> (String, Vec<String>) {
    let lines: Vec<_> = (0..n).map(|i| i.to_string()).collect();
    (
        lines.iter().map(|line| format!("{line}\n")).collect(),
        lines,
    )
}
