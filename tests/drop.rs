//! The node owns its tasks, and nothing owns the node: what is no longer held ends by itself, and
//! tasks, sockets, ports and network are gone then.

mod common;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use common::{in_memory, join, listening, quiet, wind_up, within};
use futures::sink::SinkExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    sync::mpsc,
};
use tokio_util::codec::{Decoder, Encoder, LinesCodec, LinesCodecError};
use wattle::{Builder, Inbound, Node, Peer, Transport, testing::Leaks};

/// How many things of a kind there are.
#[derive(Clone, Default)]
struct Census(Arc<AtomicUsize>);

/// One of them.
struct Counted(Census);

impl Census {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn enter(&self) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Text = (String, Counted);

/// Lines that are counted, by a codec that is counted.
struct CountedLines {
    lines: LinesCodec,
    messages: Census,
    _self: Counted,
    _alive: mpsc::Sender<()>,
}

impl Decoder for CountedLines {
    type Item = Text;
    type Error = LinesCodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Text>, LinesCodecError> {
        let line = self.lines.decode(src)?;
        Ok(line.map(|line| (line, self.messages.enter())))
    }
}

impl Encoder<Text> for CountedLines {
    type Error = LinesCodecError;

    fn encode(&mut self, (text, _): Text, dst: &mut BytesMut) -> Result<(), LinesCodecError> {
        self.lines.encode(text, dst)
    }
}

/// What a test sees of a node that it no longer holds.
struct Watch {
    codecs: Census,
    messages: Census,
    /// Ends when the protocol and all its codecs are dropped, and it is the node that owns them.
    gone: mpsc::Receiver<()>,
    payload: Weak<String>,
}

impl Watch {
    /// A node whose every part is watched.
    async fn start<T>(builder: Builder<T>) -> (Node<Text>, Inbound<Text>, Self)
    where
        T: Transport,
    {
        let (alive, gone) = mpsc::channel(1);
        let payload = Arc::new("payload".to_owned());
        let watch = Self {
            codecs: Census::default(),
            messages: Census::default(),
            gone,
            payload: Arc::downgrade(&payload),
        };
        let (codecs, messages) = (watch.codecs.clone(), watch.messages.clone());
        let protocol = move |_: Peer| {
            let _held = &payload;
            CountedLines {
                lines: LinesCodec::new_with_max_length(8192),
                messages: messages.clone(),
                _self: codecs.enter(),
                _alive: alive.clone(),
            }
        };
        let (node, inbound) = within(builder.start(protocol)).await.unwrap();
        (node, inbound, watch)
    }

    fn text(&self, text: &str) -> Text {
        (text.to_owned(), self.messages.enter())
    }

    /// Waits for the end of the node, and finds nothing of it.
    async fn assert_gone(&mut self) {
        assert_eq!(within(self.gone.recv()).await, None);
        assert_eq!(self.codecs.count(), 0, "codecs");
        assert_eq!(self.messages.count(), 0, "messages");
        assert!(self.payload.upgrade().is_none(), "the protocol's payload");
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "tasks");
    }
}

fn listener() -> Builder {
    Node::builder().listen("127.0.0.1:0")
}

#[tokio::test]
async fn dropping_everything_ends_tasks_and_closes_sockets() {
    let leaks = Leaks::watch();
    let nothing_is_left = || leaks.assert_none().within(Duration::ZERO);
    let (node, inbound, mut watch) = Watch::start(listener()).await;
    let addr = node.local_addr().unwrap();
    let mut remotes = Vec::new();
    for _ in 0..5 {
        remotes.push(within(TcpStream::connect(addr)).await.unwrap());
    }
    let dialled = within(TcpStreams::listen()).await;
    remotes.push(dialled.accept(&node).await);
    drop(dialled);
    let mut outbound = node.outbound();
    let sink = node.peer_sink(node.peers()[0]).unwrap();
    within(outbound.flush()).await.unwrap();
    let open = nothing_is_left().checked().await.unwrap_err().to_string();
    assert!(!cfg!(target_os = "linux") || open.contains(" descriptors ("));

    drop((node, inbound, outbound, sink));
    for mut remote in remotes {
        assert_eq!(within(remote.read(&mut [0])).await.unwrap(), 0);
    }
    watch.assert_gone().await;
    nothing_is_left().await;
    std::net::TcpListener::bind(addr).expect("the port is free");
}

/// Somebody to dial who has no node.
struct TcpStreams(tokio::net::TcpListener);

impl TcpStreams {
    async fn listen() -> Self {
        Self(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    async fn accept(&self, node: &Node<Text>) -> TcpStream {
        within(node.connect(self.0.local_addr().unwrap()))
            .await
            .unwrap();
        within(self.0.accept()).await.unwrap().0
    }
}

#[tokio::test]
async fn each_kind_of_handle_alone_keeps_the_node() {
    let (node, inbound, mut watch) = Watch::start(listener()).await;
    let addr = node.local_addr().unwrap();
    let others = TcpStreams::listen().await;
    let mut remote = others.accept(&node).await;
    let peer = node.peers()[0];
    let mut outbound = node.outbound();
    let mut sink = node.peer_sink(peer).unwrap();
    drop((node, inbound));

    within(outbound.send((watch.text("by outbound"), peer)))
        .await
        .unwrap();
    drop(outbound);
    within(sink.send(watch.text("by sink"))).await.unwrap();
    let mut heard = [0; 20];
    within(remote.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"by outbound\nby sink\n");
    within(TcpStream::connect(addr))
        .await
        .expect("it still listens");

    drop(sink);
    assert_eq!(within(remote.read(&mut [0])).await.unwrap(), 0);
    drop(remote);
    watch.assert_gone().await;
    std::net::TcpListener::bind(addr).expect("the port is free");
}

#[tokio::test]
async fn with_only_inbound_left_it_is_a_read_only_node() {
    let (node, mut inbound, mut watch) = Watch::start(listener()).await;
    let addr = node.local_addr().unwrap();
    drop(node);
    let mut remotes = Vec::new();
    for name in ["first", "second"] {
        let mut remote = within(TcpStream::connect(addr)).await.unwrap();
        let line = format!("{name}\n");
        within(remote.write_all(line.as_bytes())).await.unwrap();
        let ((text, _counted), _) = within(inbound.recv()).await.unwrap();
        assert_eq!(text, name);
        remotes.push(remote);
    }
    drop(inbound.into_events());
    for mut remote in remotes {
        assert_eq!(within(remote.read(&mut [0])).await.unwrap(), 0);
    }
    watch.assert_gone().await;
    std::net::TcpListener::bind(addr).expect("the port is free");
}

#[tokio::test]
async fn with_inbound_dropped_it_is_a_write_only_node() {
    const MANY: usize = 3000;
    let builder = listener().max_inbound_messages(10).max_inbound_bytes(1000);
    let (node, inbound, mut watch) = Watch::start(builder).await;
    drop(inbound);
    let (bob, to_bob) = listening(Node::builder()).await;
    let mut to_bob = to_bob;
    let node_at_bob = within(bob.connect(node.local_addr().unwrap()))
        .await
        .unwrap();

    // It reads and discards: much more than its queues hold goes in.
    let mut sink = bob.peer_sink(node_at_bob).unwrap();
    for _ in 0..MANY {
        within(sink.feed("x".repeat(1000))).await.unwrap();
    }
    within(sink.flush()).await.unwrap();
    drop(sink);
    let peer = node.peers()[0];
    within(node.send_to(watch.text("well?"), peer))
        .await
        .unwrap();
    assert_eq!(within(to_bob.recv()).await.unwrap().0, "well?");

    // And it notices the end of a connection.
    within(bob.disconnect(node_at_bob)).await.unwrap();
    assert_eq!(node.peers(), []);
    assert_eq!(node.stats().messages_in, MANY as u64);
    wind_up(bob, to_bob).await;
    drop(node);
    watch.assert_gone().await;
}

#[tokio::test]
async fn a_reader_that_is_dropped_lets_those_go_on_who_waited_for_it() {
    const MANY: usize = 1000;
    let builder = listener().max_inbound_messages(1).max_inbound_bytes(1);
    let (node, inbound, mut watch) = Watch::start(builder).await;
    let (bob, to_bob) = listening(Node::builder()).await;
    let peer = within(bob.connect(node.local_addr().unwrap()))
        .await
        .unwrap();
    let mut sink = bob.peer_sink(peer).unwrap();
    for _ in 0..MANY {
        within(sink.feed("x".repeat(10))).await.unwrap();
    }
    within(sink.flush()).await.unwrap();
    assert!(node.stats().messages_in < MANY as u64, "the queue is full");

    drop((inbound, sink));
    let end = within(bob.disconnect(peer)).await.unwrap();
    assert_eq!(end.undelivered, 0);
    assert_eq!(node.stats().messages_in, MANY as u64);
    wind_up(bob, to_bob).await;
    assert!(within(node.shutdown()).await.is_clean());
    drop(node);
    watch.assert_gone().await;
}

#[tokio::test(start_paused = true)]
async fn messages_are_dropped_wherever_they_are() {
    let builder = in_memory();
    let builder = builder
        .max_outbound_messages(4)
        .drain_timeout(Duration::from_secs(3));
    let (node, mut inbound, mut watch) = Watch::start(builder).await;
    let (peer, mut remote) = join(&node, 64).await;

    // In the reader's batch, and in the inbox behind it.
    within(remote.write_all(b"one\ntwo\n")).await.unwrap();
    drop(within(inbound.recv()).await.unwrap());
    within(remote.write_all(b"three\nfour\n")).await.unwrap();
    quiet().await;
    assert_eq!(watch.messages.count(), 3);

    // In the write buffer, the task's batch, the queue, a sink, and a future that waits.
    let mut outbound = node.outbound();
    for _ in 0..20 {
        let _full = node.try_send_to(watch.text(&"x".repeat(100)), peer);
        tokio::task::yield_now().await;
    }
    within(outbound.feed((watch.text("stuck"), peer)))
        .await
        .unwrap();
    let mut waiting = Box::pin(node.send_to(watch.text("waiting"), peer));
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("there is room"),
        () = std::future::ready(()) => {}
    }
    assert!(
        watch.messages.count() >= 3 + 4 + 2,
        "{}",
        watch.messages.count()
    );
    drop(waiting);
    drop((node, inbound, outbound));
    // The remote doesn't read, so this takes until the drain timeout.
    watch.assert_gone().await;
    drop(remote);
}

#[tokio::test]
async fn a_node_that_never_started_leaves_nothing() {
    let (first, inbound, mut watch) = Watch::start(listener()).await;
    let taken = first.local_addr().unwrap();
    let (alive, mut gone) = mpsc::channel::<()>(1);
    let protocol = move |_: Peer| {
        let _held = &alive;
        LinesCodec::new_with_max_length(1)
    };
    let builder = listener().listen(taken);
    assert!(within(builder.start::<_, String>(protocol)).await.is_err());
    assert_eq!(within(gone.recv()).await, None);
    drop((first, inbound));
    watch.assert_gone().await;
}

#[test]
fn a_runtime_that_ends_first_takes_the_node_with_it() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let first = runtime();
    let (node, inbound, mut watch) = first.block_on(async {
        let (node, inbound, watch) = Watch::start(listener()).await;
        let streams = TcpStreams::listen().await;
        let remote = streams.accept(&node).await;
        assert_eq!(node.peers().len(), 1);
        drop(remote);
        (node, inbound, watch)
    });
    drop(first);
    assert_eq!(node.peers(), [], "its tasks are gone");
    runtime().block_on(async {
        let report = within(node.shutdown()).await;
        assert_eq!(report.drain_timeouts, 0);
        drop((node, inbound));
        watch.assert_gone().await;
    });
}

#[test]
fn a_runtime_that_ends_before_its_listener_ran_leaves_nothing_to_wait_for() {
    let current_thread = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let (node, inbound) = current_thread().block_on(async {
        let builder = Node::builder().listen("127.0.0.1:0");
        builder.start::<_, String>(common::lines).await.unwrap()
    });
    assert_eq!(node.local_addr(), None);
    current_thread().block_on(async {
        assert!(!within(node.stop_listening()).await);
        within(node.shutdown()).await;
    });
    drop(inbound);
}
