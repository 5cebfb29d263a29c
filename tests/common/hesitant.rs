//! Streams and a network in memory whose every operation waits before it happens, so that every await
//! is a place where its future can be dropped.

use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    task::{JoinHandle, yield_now},
};
use wattle::{
    testing::{Memory, MemoryAcceptor},
    transport::{Acceptor, ByteStream, Transport},
};

use super::random;

/// How long operations wait, and in which order those that wait are woken: one after the other, with
/// time for what that sets off. Steady, each operation waits once, and the first to wait is the first
/// to go on; else it's as a seed has it.
#[derive(Clone)]
pub(crate) struct Rhythm(Arc<Shared>);

struct Shared {
    seed: Option<u64>,
    state: Mutex<State>,
    held: Notify,
}

struct State {
    random: Option<u64>,
    waiting: Vec<Waker>,
    streams: usize,
}

impl Rhythm {
    /// A rhythm, and the task that keeps it.
    pub(crate) fn start(seed: Option<u64>) -> (Self, JoinHandle<()>) {
        let state = State {
            random: seed,
            waiting: Vec::new(),
            streams: 0,
        };
        let rhythm = Self(Arc::new(Shared {
            seed,
            state: Mutex::new(state),
            held: Notify::new(),
        }));
        let conductor = tokio::spawn(rhythm.clone().conduct());
        (rhythm, conductor)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    async fn conduct(self) {
        loop {
            let next = self.state().next();
            match next {
                Some(waker) => {
                    waker.wake();
                    yield_now().await;
                }
                None => self.0.held.notified().await,
            }
        }
    }

    /// A stream that keeps the rhythm.
    pub(crate) fn stream(&self, inner: impl ByteStream) -> Hesitant {
        self.state().streams += 1;
        Hesitant {
            inner: Box::new(inner),
            rhythm: self.clone(),
            read: Hesitation::default(),
            write: Hesitation::default(),
            dirty: false,
        }
    }

    /// How many of its streams there are.
    pub(crate) fn streams(&self) -> usize {
        self.state().streams
    }

    async fn wait(&self) {
        let mut hesitation = Hesitation::default();
        poll_fn(|cx| hesitation.poll(self, cx)).await;
    }
}

impl State {
    fn below(&mut self, bound: usize) -> Option<usize> {
        let random = random(self.random.as_mut()?);
        Some(random as usize % bound)
    }

    fn next(&mut self) -> Option<Waker> {
        if self.waiting.is_empty() {
            return None;
        }
        let index = self.below(self.waiting.len()).unwrap_or(0);
        Some(self.waiting.remove(index))
    }
}

impl fmt::Debug for Rhythm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.seed {
            Some(seed) => write!(f, "in the rhythm of {seed:#x}"),
            None => f.write_str("in a steady rhythm"),
        }
    }
}

/// How often an operation waits before it happens; then it does not again until it has happened.
#[derive(Default)]
struct Hesitation(Option<usize>);

impl Hesitation {
    fn then<T>(
        &mut self,
        rhythm: &Rhythm,
        cx: &mut Context<'_>,
        operation: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        ready!(self.poll(rhythm, cx));
        let done = operation(cx);
        if done.is_ready() {
            self.0 = None;
        }
        done
    }

    fn poll(&mut self, rhythm: &Rhythm, cx: &Context<'_>) -> Poll<()> {
        let mut state = rhythm.state();
        let left = match self.0 {
            Some(left) => left,
            None => state.below(3).unwrap_or(1),
        };
        self.0 = Some(left.saturating_sub(1));
        if left == 0 {
            return Poll::Ready(());
        }
        state.waiting.push(cx.waker().clone());
        drop(state);
        rhythm.0.held.notify_one();
        Poll::Pending
    }
}

/// A stream whose every operation waits before it happens.
pub(crate) struct Hesitant {
    inner: Box<dyn ByteStream>,
    rhythm: Rhythm,
    read: Hesitation,
    write: Hesitation,
    /// Whether there is something to flush. Else it doesn't wait, because who closes flushes first,
    /// each time.
    dirty: bool,
}

impl AsyncRead for Hesitant {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let inner = Pin::new(&mut this.inner);
        let read = |cx: &mut Context<'_>| inner.poll_read(cx, buf);
        this.read.then(&this.rhythm, cx, read)
    }
}

impl AsyncWrite for Hesitant {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.dirty = true;
        let inner = Pin::new(&mut this.inner);
        let write = |cx: &mut Context<'_>| inner.poll_write(cx, buf);
        this.write.then(&this.rhythm, cx, write)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let inner = Pin::new(&mut this.inner);
        if !this.dirty {
            return inner.poll_flush(cx);
        }
        let flush = |cx: &mut Context<'_>| inner.poll_flush(cx);
        let flushed = this.write.then(&this.rhythm, cx, flush);
        this.dirty = flushed.is_pending();
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let inner = Pin::new(&mut this.inner);
        let shut = |cx: &mut Context<'_>| inner.poll_shutdown(cx);
        this.write.then(&this.rhythm, cx, shut)
    }
}

impl Drop for Hesitant {
    fn drop(&mut self) {
        self.rhythm.state().streams -= 1;
    }
}

/// A network whose every operation waits before it happens.
#[derive(Clone)]
pub(crate) struct HesitantNetwork {
    network: Memory,
    rhythm: Rhythm,
}

impl HesitantNetwork {
    pub(crate) fn new(rhythm: Rhythm) -> Self {
        let network = Memory::with_seed(rhythm.0.seed.unwrap_or(0));
        Self { network, rhythm }
    }

    /// Whether somebody listens there.
    pub(crate) async fn is_open(&self, addr: SocketAddr) -> bool {
        self.network.connect(addr).await.is_ok()
    }
}

impl Transport for HesitantNetwork {
    type Stream = Hesitant;
    type Acceptor = HesitantAcceptor;

    async fn bind(&self, addr: SocketAddr) -> io::Result<HesitantAcceptor> {
        self.rhythm.wait().await;
        yield_now().await;
        let inner = self.network.bind(addr).await?;
        self.rhythm.wait().await;
        Ok(HesitantAcceptor {
            inner,
            rhythm: self.rhythm.clone(),
            accept: Hesitation::default(),
        })
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<Hesitant> {
        self.rhythm.wait().await;
        let stream = self.network.connect(addr).await?;
        let stream = self.rhythm.stream(stream);
        self.rhythm.wait().await;
        Ok(stream)
    }
}

pub(crate) struct HesitantAcceptor {
    inner: MemoryAcceptor,
    rhythm: Rhythm,
    accept: Hesitation,
}

impl Acceptor for HesitantAcceptor {
    type Stream = Hesitant;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Hesitant, SocketAddr)>> {
        let inner = &mut self.inner;
        let accept = |cx: &mut Context<'_>| inner.poll_accept(cx);
        let accepted = self.accept.then(&self.rhythm, cx, accept);
        accepted.map_ok(|(stream, addr)| (self.rhythm.stream(stream), addr))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}
