//! The same traffic over any number of connections, in bursts, as many peers have it that say a little each.

use std::{
    future::{Future, pending},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;
use futures::{Sink, SinkExt};
use tokio::{
    sync::Barrier,
    task::{JoinHandle, JoinSet, yield_now},
};

/// Bytes of a message.
pub(crate) const SIZE: usize = 256;

/// Messages that are sent at once; then it is somebody else's turn.
pub(crate) const BURST: usize = 20;

/// What is left to do when the figures are taken: connections are closed, nodes shut down.
pub(crate) struct End(Pin<Box<dyn Future<Output = ()> + Send>>);

impl End {
    pub(crate) fn new(end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(end))
    }

    pub(crate) async fn come(self) {
        self.0.await;
    }
}

/// Where it is received; and when all has been, the end.
pub(crate) type Receiver = (SocketAddr, JoinHandle<End>);

/// Those that are connected, and send when they are told to: connecting isn't measured.
pub(crate) struct Senders {
    tasks: JoinSet<()>,
    start: Arc<Barrier>,
    end: End,
}

impl Senders {
    /// So many, and what is to be done behind them.
    pub(crate) fn new(number: usize, end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            tasks: JoinSet::new(),
            start: Arc::new(Barrier::new(number + 1)),
            end: End::new(end),
        }
    }

    pub(crate) fn add<R>(&mut self, send: impl Future<Output = R> + Send + 'static) {
        let start = self.start.clone();
        self.tasks.spawn(async move {
            start.wait().await;
            send.await;
        });
    }

    pub(crate) async fn start(&self) {
        self.start.wait().await;
    }

    /// Whoever still waits for room waits no longer.
    pub(crate) async fn end(mut self) {
        self.tasks.shutdown().await;
        self.end.come().await;
    }
}

/// Sends so many messages in bursts, each of which is flushed. If it can't, the receiver will miss them.
pub(crate) async fn send<S>(mut sink: S, messages: usize) -> Result<(), S::Error>
where
    S: Sink<Bytes> + Unpin,
{
    let payload = Bytes::from_static(&[0x5a; SIZE]);
    for _ in 0..messages / BURST {
        for _ in 0..BURST {
            sink.feed(payload.clone()).await?;
        }
        sink.flush().await?;
        yield_now().await;
    }
    // Nothing is closed before all has arrived everywhere.
    pending().await
}

/// So many names of this host: some libraries connect to an address only once.
pub(crate) fn addresses(number: usize, port: u16) -> Vec<SocketAddr> {
    let first = Ipv4Addr::LOCALHOST.to_bits();
    let addr = |n| (Ipv4Addr::from_bits(first + n), port).into();
    (0..number as u32).map(addr).collect()
}
