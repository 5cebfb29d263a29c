//! Connections that don't last: clients that come, say one thing and go, and remotes that stay until one leaves.

use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::StreamExt;
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::{JoinSet, spawn},
};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use super::flow;

/// One case of coming and going.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visits {
    /// At once.
    pub(crate) clients: usize,
    /// One after the other.
    pub(crate) each: usize,
}

impl Visits {
    pub(crate) fn total(&self) -> usize {
        self.clients * self.each
    }

    /// Lets all clients begin, and says how long it took until the last was done.
    pub(crate) async fn time<C>(clients: impl IntoIterator<Item = C>) -> (Duration, Vec<C::Output>)
    where
        C: Future<Output: Send + 'static> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        for client in clients {
            tasks.spawn(client);
        }
        let done = tasks.join_all().await;
        (began.elapsed(), done)
    }
}

/// Whom the program at the server's side has heard: each message says whose it is, and that one is told.
#[derive(Clone)]
pub(crate) struct Heard(Arc<[Notify]>);

impl Heard {
    pub(crate) fn of(clients: usize) -> Self {
        Self((0..clients).map(|_| Notify::new()).collect())
    }

    /// What a client says, as large as a ping.
    pub(crate) fn message(client: usize) -> Bytes {
        let mut message = flow::PING;
        message[0] = u8::try_from(client).expect("few clients");
        Bytes::copy_from_slice(&message)
    }

    pub(crate) fn note(&self, message: &[u8]) {
        self.0[usize::from(message[0])].notify_one();
    }

    /// Until the client's message is there.
    pub(crate) async fn has(&self, client: usize) {
        self.0[client].notified().await;
    }
}

/// Hand-wired remotes, each at an address of its own, who close when their other end does.
pub(crate) struct Remotes {
    pub(crate) addrs: Vec<SocketAddr>,
    /// A permit for each connection whose end was seen.
    ends: Arc<Semaphore>,
    _listening: JoinSet<()>,
}

/// When a node is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// When it says so.
    Told,
    /// When its remotes have seen it as well.
    Seen,
}

impl Remotes {
    pub(crate) async fn new(number: usize) -> Self {
        let (mut addrs, mut listening) = (Vec::new(), JoinSet::new());
        let ends = Arc::new(Semaphore::new(0));
        for _ in 0..number {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            addrs.push(listener.local_addr().expect("it is bound"));
            listening.spawn(stay(listener, ends.clone()));
        }
        Self {
            addrs,
            ends,
            _listening: listening,
        }
    }

    /// How long it takes until a node with a connection to each of them is gone. The next one begins when
    /// this one has left, whatever is measured.
    pub(crate) async fn time(&self, shutdown: impl Future, gone: Gone) -> Duration {
        let began = Instant::now();
        shutdown.await;
        let told = began.elapsed();
        let all = u32::try_from(self.addrs.len()).expect("few remotes");
        self.ends.acquire_many(all).await.expect("open").forget();
        match gone {
            Gone::Told => told,
            Gone::Seen => began.elapsed(),
        }
    }
}

async fn stay(listener: TcpListener, ends: Arc<Semaphore>) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut reader = FramedRead::new(stream, LengthDelimitedCodec::new());
        let ends = ends.clone();
        spawn(async move {
            while let Some(Ok(_)) = reader.next().await {}
            ends.add_permits(1);
        });
    }
}
