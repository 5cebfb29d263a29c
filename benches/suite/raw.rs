//! `Framed` by hand: what one would write without a library.
//!
//! A task per connection on each side, nothing between a task and its socket. As tokio-util gives it, that is
//! `raw`; with buffers and a boundary of 64 KiB it is `tuned`, the limit of what tokio-util can do.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Barrier,
    task::{JoinHandle, JoinSet},
};
use tokio_util::codec::{Framed, FramedRead, FramedWrite, LengthDelimitedCodec};

use super::{
    flow::{self, Flow},
    spread::{self, End, Receiver, Senders},
    visits::{Heard, Visits},
};

type Reader = FramedRead<TcpStream, LengthDelimitedCodec>;
type Writer = FramedWrite<TcpStream, LengthDelimitedCodec>;

/// How large the buffers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Buffers {
    /// 8 KiB, and whatever the codec reserves.
    AsGiven,
    /// 64 KiB, of what is read and of what is gathered before a write.
    Large,
}

const LARGE: usize = 64 * 1024;

impl Buffers {
    pub(crate) fn reader(self, stream: TcpStream) -> Reader {
        match self {
            Self::AsGiven => FramedRead::new(stream, LengthDelimitedCodec::new()),
            Self::Large => FramedRead::with_capacity(stream, LengthDelimitedCodec::new(), LARGE),
        }
    }

    pub(crate) fn writer(self, stream: TcpStream) -> Writer {
        let mut writer = FramedWrite::new(stream, LengthDelimitedCodec::new());
        if self == Self::Large {
            writer.set_backpressure_boundary(LARGE);
        }
        writer
    }
}

/// Both ends of so many connections.
pub(crate) async fn connections(number: usize) -> Vec<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let mut all = Vec::new();
    for _ in 0..number {
        let ours = TcpStream::connect(addr).await.expect("it listens");
        let (theirs, _) = listener.accept().await.expect("somebody came");
        for stream in [&ours, &theirs] {
            stream.set_nodelay(true).expect("it is open");
        }
        all.push((ours, theirs));
    }
    all
}

/// From one end of each connection to the other; how long it took. Hand-wired, it is the same whether many
/// send to one or one to many.
pub(crate) async fn stream(flow: Flow, buffers: Buffers) -> Duration {
    let start = Arc::new(Barrier::new(flow.connections + 1));
    let (mut senders, mut receivers) = (JoinSet::new(), JoinSet::new());
    for (ours, theirs) in connections(flow.connections).await {
        let (mut writer, start) = (buffers.writer(ours), start.clone());
        senders.spawn(async move {
            let payload = flow.payload();
            start.wait().await;
            for _ in 0..flow.messages {
                writer.feed(payload.clone()).await.expect("feed");
            }
            SinkExt::<Bytes>::flush(&mut writer).await.expect("flush");
            writer
        });
        let mut reader = buffers.reader(theirs);
        receivers.spawn(async move {
            for _ in 0..flow.messages {
                reader.next().await.expect("a message").expect("no error");
            }
        });
    }
    start.wait().await;
    let began = Instant::now();
    receivers.join_all().await;
    began.elapsed()
}

/// The same message to all, from one task that knows all of them.
pub(crate) async fn broadcast(flow: Flow, buffers: Buffers) -> Duration {
    let (mut writers, mut receivers) = (Vec::new(), JoinSet::new());
    for (ours, theirs) in connections(flow.connections).await {
        writers.push(buffers.writer(ours));
        let mut reader = buffers.reader(theirs);
        receivers.spawn(async move {
            for _ in 0..flow.messages {
                reader.next().await.expect("a message").expect("no error");
            }
        });
    }
    let payload = flow.payload();
    let began = Instant::now();
    for _ in 0..flow.messages {
        for writer in &mut writers {
            writer.feed(payload.clone()).await.expect("feed");
        }
    }
    for writer in &mut writers {
        SinkExt::<Bytes>::flush(writer).await.expect("flush");
    }
    receivers.join_all().await;
    began.elapsed()
}

/// How long each of so many messages took to the other end and back; beside a bulk transfer, if told so.
pub(crate) async fn ping(pings: usize, busy: bool) -> Vec<Duration> {
    let mut both = connections(2).await.into_iter();
    let ((ours, theirs), (bulk, sink)) = (both.next().expect("two"), both.next().expect("two"));
    let mut tasks = JoinSet::new();
    tasks.spawn(pass_on(framed(theirs)));
    if busy {
        tasks.spawn(async move {
            let mut reader = Buffers::AsGiven.reader(sink);
            while let Some(Ok(_)) = reader.next().await {}
        });
        tasks.spawn(async move {
            let mut writer = Buffers::AsGiven.writer(bulk);
            while writer.feed(Bytes::from_static(&flow::BULK)).await.is_ok() {}
        });
    }
    let mut ours = framed(ours);
    let mut took = Vec::new();
    for _ in 0..pings {
        let began = Instant::now();
        ours.send(Bytes::from_static(&flow::PING))
            .await
            .expect("open");
        ours.next().await.expect("an answer").expect("no error");
        took.push(began.elapsed());
    }
    took
}

pub(crate) fn framed(stream: TcpStream) -> Framed<TcpStream, LengthDelimitedCodec> {
    Framed::new(stream, LengthDelimitedCodec::new())
}

/// Sends back what comes.
pub(crate) async fn pass_on(mut framed: Framed<TcpStream, LengthDelimitedCodec>) {
    while let Some(Ok(message)) = framed.next().await {
        if framed.send(message.freeze()).await.is_err() {
            break;
        }
    }
}

/// How long each of so many messages took along so many hops.
pub(crate) async fn chain(hops: usize, passes: usize) -> Vec<Duration> {
    let (mut readers, mut writers) = (Vec::new(), Vec::new());
    for (ours, theirs) in connections(hops).await {
        writers.push(Buffers::AsGiven.writer(ours));
        readers.push(Buffers::AsGiven.reader(theirs));
    }
    let (mut first, mut last) = (writers.remove(0), readers.pop().expect("some hops"));
    let mut tasks = JoinSet::new();
    for (mut reader, mut writer) in readers.into_iter().zip(writers) {
        tasks.spawn(async move {
            while let Some(Ok(message)) = reader.next().await {
                writer.send(message.freeze()).await.expect("open");
            }
        });
    }
    let mut took = Vec::new();
    for _ in 0..passes {
        let began = Instant::now();
        first
            .send(Bytes::from_static(&flow::PING))
            .await
            .expect("open");
        last.next().await.expect("it comes").expect("no error");
        took.push(began.elapsed());
    }
    took
}

/// Who receives stamped messages: where, and how old they were.
pub(crate) async fn ages() -> (SocketAddr, JoinHandle<Vec<Duration>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let receiving = tokio::spawn(async move {
        let mut receiving = JoinSet::new();
        let mut ages = Vec::new();
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    receiving.spawn(ages_of(Buffers::AsGiven.reader(stream)));
                }
                Some(of_one) = receiving.join_next() => {
                    ages.extend(of_one.expect("no panic"));
                    if receiving.is_empty() {
                        break ages;
                    }
                }
            }
        }
    });
    (addr, receiving)
}

async fn ages_of(mut reader: Reader) -> Vec<Duration> {
    let mut ages = Vec::new();
    while let Some(Ok(message)) = reader.next().await {
        ages.extend(flow::age(&message));
    }
    ages
}

/// Receives so many messages over so many connections.
pub(crate) async fn receive(connections: usize, messages: usize) -> Receiver {
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let receiving = tokio::spawn(async move {
        let mut receiving = JoinSet::new();
        for _ in 0..connections {
            let (stream, _) = listener.accept().await.expect("somebody comes");
            let mut reader = Buffers::AsGiven.reader(stream);
            receiving.spawn(async move {
                for _ in 0..messages / connections {
                    reader.next().await.expect("a message").expect("no error");
                }
                reader
            });
        }
        let readers = receiving.join_all().await;
        End::new(async move { drop(readers) })
    });
    (([127, 0, 0, 1], port).into(), receiving)
}

/// Sends so many messages, a part of them to each of these addresses.
pub(crate) async fn send(addrs: Vec<SocketAddr>, messages: usize) -> Senders {
    let mut senders = Senders::new(addrs.len(), async {});
    for addr in &addrs {
        let stream = TcpStream::connect(addr).await.expect("it listens");
        stream.set_nodelay(true).expect("it is open");
        let writer = Buffers::AsGiven.writer(stream);
        senders.add(spread::send(writer, messages / addrs.len()));
    }
    senders
}

/// Clients that connect, say one thing, and leave when it was heard.
pub(crate) async fn visit(visits: Visits) -> Duration {
    let heard = Heard::of(visits.clients);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let mut server = JoinSet::new();
    server.spawn(hear(listener, heard.clone()));
    let clients = (0..visits.clients).map(|client| {
        let heard = heard.clone();
        async move {
            for _ in 0..visits.each {
                let stream = TcpStream::connect(addr).await.expect("it listens");
                stream.set_nodelay(true).expect("it is open");
                let mut writer = Buffers::AsGiven.writer(stream);
                writer.send(Heard::message(client)).await.expect("open");
                heard.has(client).await;
            }
        }
    });
    Visits::time(clients).await.0
}

async fn hear(listener: TcpListener, heard: Heard) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("it is open");
        let heard = heard.clone();
        let mut reader = Buffers::AsGiven.reader(stream);
        tokio::spawn(async move {
            while let Some(Ok(message)) = reader.next().await {
                heard.note(&message);
            }
        });
    }
}
