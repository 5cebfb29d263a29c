//! A connection that always has something to do lets others have their turn.

use std::{sync::OnceLock, time::Duration};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::*;
use crate::connection::BYTES_PER_POLL;

const LINE: usize = 4096;

/// One whose remote sends without end, and whose reader has room for all of it.
fn flooded() -> Fixture {
    let fixture = Fixture::with(SessionConfig {
        inbound: at_most(usize::MAX),
        ..without_deadlines()
    });
    fixture.script.flood("x".repeat(LINE - 1) + "\n");
    fixture
}

#[test]
fn a_poll_takes_in_a_bounded_number_of_bytes() {
    let mut fixture = flooded();
    for _ in 0..3 {
        assert!(fixture.poll().is_pending());
        assert_eq!(fixture.task.wakes(), 1, "it goes on");
        let bytes = (fixture.received().len() * LINE) as u64;
        assert!((1..=BYTES_PER_POLL).contains(&bytes), "{bytes} bytes");
    }
}

/// For each line that is encoded another is queued, as by a sender on another core.
#[derive(Default)]
struct Refilling {
    text: Text,
    queue: Arc<OnceLock<Arc<Queue<String>>>>,
}

impl Decoder for Refilling {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<String>> {
        self.text.decode(src)
    }
}

impl Encoder<String> for Refilling {
    type Error = io::Error;

    fn encode(&mut self, line: String, dst: &mut BytesMut) -> io::Result<()> {
        if let Some(queue) = self.queue.get() {
            assert!(matches!(queue.push(line.clone()), Pushed::Queued(_)));
        }
        self.text.encode(line, dst)
    }
}

#[test]
fn a_poll_writes_a_bounded_number_of_bytes() {
    let codec = Refilling::default();
    let refilled = codec.queue.clone();
    let mut fixture = Fixture::speaking(codec, without_deadlines());
    let line = "x".repeat(LINE - 1);
    for _ in 0..BYTES_PER_POLL / LINE as u64 {
        fixture.push(&line);
    }
    assert!(refilled.set(fixture.queue.clone()).is_ok());
    let mut before = 0;
    for _ in 0..3 {
        assert!(fixture.poll().is_pending());
        assert_eq!(fixture.task.wakes(), 1, "it goes on");
        let written = fixture.script.written().len() as u64;
        let bytes = written - before;
        // What is taken from the queue at once is written at once.
        assert!((1..=2 * BYTES_PER_POLL).contains(&bytes), "{bytes} bytes");
        before = written;
    }
}

/// A socket that becomes readable is seen by the runtime when it asks the operating system, which it does
/// seldom while a task makes itself ready again at once.
#[tokio::test]
async fn between_two_polls_the_runtime_sees_what_else_has_come() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let theirs = TcpStream::connect(addr).await.unwrap();
    let (mut ours, _) = listener.accept().await.unwrap();
    assert!(ours.try_read(&mut [0]).is_err(), "nothing is there yet");

    let mut fixture = flooded();
    // What comes is thrown away, so nothing but itself ever stops it.
    fixture.reader = None;
    assert!(fixture.poll().is_pending());
    let reads_per_poll = fixture.script.reads_called();
    let script = fixture.script.clone();
    let busy = tokio::spawn(fixture.task.inner);

    assert_eq!(theirs.try_write(b"x").unwrap(), 1);
    let read = timeout(Duration::from_secs(60), ours.read_u8()).await;
    assert_eq!(read.expect("the connection lets others run").unwrap(), b'x');
    let polls = script.reads_called() / reads_per_poll;
    assert!(polls <= 10, "after {polls} polls of the busy connection");
    busy.abort();
}
