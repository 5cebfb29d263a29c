//! Faults by message: a proxy that knows the codec.

use std::{
    any::Any,
    fmt, io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    future::{poll_fn, try_join},
    stream::{SplitSink, SplitStream, StreamExt},
};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::codec::{Decoder, Encoder, Framed};

use crate::{
    BoxError, Side, Transport,
    disconnect::shown,
    testing::MemoryStream,
    transport::{self, Acceptor, ByteStream, Tcp},
};

mod passing;
mod verdict;

use passing::{Ending, panicked, pass};
pub use verdict::{Passage, Verdict};

/// Where a proxy on loopback listens: at any free port.
const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A listener that fails, for want of descriptors, say, does so at once and again.
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// What is asked about each message.
type Judge<In, Out> = Arc<dyn Fn(Passage, In) -> Verdict<Out> + Send + Sync>;

/// A proxy that stands between two nodes, decodes what they say, and does to each message what a
/// closure decides: deliver, drop, delay, repeat, reorder or replace it, or cut the connection.
///
/// One end dials the interceptor's [address](Interceptor::addr) instead of the other's; for each such
/// connection the interceptor opens one of its own. The end of a side is passed on behind the last
/// message, and the other direction stays open. What a codec can't decode or encode cuts its link and is
/// one of the [`failures`](Interceptor::failures), and so does a panic of the closure or the codec, such as
/// of an assertion in it.
///
/// Dropping it cuts all links.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Node, testing::{Interceptor, Verdict}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lines = || LinesCodec::new_with_max_length(80);
/// let listening = Node::builder().listen("127.0.0.1:0");
/// let (server, mut heard) = listening.start::<_, String>(move |_| lines()).await?;
/// let interceptor = Interceptor::start(server.local_addr().unwrap(), lines, |_, line: String| match &*line {
///     "secret" => Verdict::Drop,
///     _ => Verdict::Deliver(line.to_uppercase()),
/// }).await?;
///
/// let (client, _) = Node::builder().start(move |_| lines()).await?;
/// let peer = client.connect(interceptor.addr()).await?;
/// for line in ["pea", "secret", "oat"] {
///     client.send_to(line.to_owned(), peer).await?;
/// }
/// assert_eq!(heard.recv().await.unwrap().0, "PEA");
/// assert_eq!(heard.recv().await.unwrap().0, "OAT");
/// # Ok(())
/// # }
/// ```
pub struct Interceptor<In, Out> {
    addr: SocketAddr,
    shared: Arc<Shared<In, Out>>,
    accepting: JoinHandle<()>,
}

/// What the links and their handle have in common.
struct Shared<In, Out> {
    judge: Mutex<Judge<In, Out>>,
    failures: Mutex<Vec<InterceptFailure>>,
}

/// A link that was cut because a message could not be passed on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InterceptFailure {
    /// Which link, and whose message; its number is how many of them came before.
    pub passage: Passage,
    /// What the codec, the stream or the dialling says, or the message of a panic.
    pub error: Arc<str>,
}

impl<In, Out> Interceptor<In, Out>
where
    In: Send + 'static,
    Out: Send + 'static,
{
    /// Stands before a TCP address, at a free port of the loopback address. `codec` makes a codec for
    /// each end of a link, `judge` decides about every message.
    ///
    /// # Errors
    ///
    /// There is no port to listen on.
    pub async fn start<C>(
        target: SocketAddr,
        codec: impl Fn() -> C + Send + Sync + 'static,
        judge: impl Fn(Passage, In) -> Verdict<Out> + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        C: Decoder<Item = In, Error: Into<BoxError>>
            + Encoder<Out, Error: Into<BoxError>>
            + Send
            + 'static,
    {
        Self::start_over(Tcp::new(), LOOPBACK.into(), target, codec, judge).await
    }

    /// The same over any transport: it listens at `addr`, and dials `target`.
    ///
    /// # Errors
    ///
    /// The transport can't listen there.
    pub async fn start_over<T, C>(
        transport: T,
        addr: SocketAddr,
        target: SocketAddr,
        codec: impl Fn() -> C + Send + Sync + 'static,
        judge: impl Fn(Passage, In) -> Verdict<Out> + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        T: Transport,
        C: Decoder<Item = In, Error: Into<BoxError>>
            + Encoder<Out, Error: Into<BoxError>>
            + Send
            + 'static,
    {
        let acceptor = transport.bind(addr).await?;
        let addr = acceptor.local_addr()?;
        let shared = Arc::new(Shared {
            judge: Mutex::new(Arc::new(judge)),
            failures: Mutex::default(),
        });
        let door = Door {
            transport: Arc::new(transport),
            target,
            codec: Arc::new(codec),
            shared: shared.clone(),
        };
        let accepting = tokio::spawn(door.accept(acceptor));
        Ok(Self {
            addr,
            shared,
            accepting,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Another closure decides from now on, also on the links that there are.
    pub fn set_judge(&self, judge: impl Fn(Passage, In) -> Verdict<Out> + Send + Sync + 'static) {
        let judge: Judge<In, Out> = Arc::new(judge);
        let replaced = std::mem::replace(&mut *self.shared.judge(), judge);
        drop(replaced);
    }

    /// The links that were cut because a message could not be passed on, so far.
    pub fn failures(&self) -> Vec<InterceptFailure> {
        self.shared.failures().clone()
    }
}

impl<In, Out> Shared<In, Out> {
    fn judge(&self) -> MutexGuard<'_, Judge<In, Out>> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, Vec<InterceptFailure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, passage: Passage, error: &impl fmt::Display) {
        let error = shown(error).into();
        self.failures().push(InterceptFailure { passage, error });
    }
}

/// What makes links of those who dial in.
struct Door<T, F, In, Out> {
    transport: Arc<T>,
    target: SocketAddr,
    codec: Arc<F>,
    shared: Arc<Shared<In, Out>>,
}

impl<T, F, C, In, Out> Door<T, F, In, Out>
where
    T: Transport,
    F: Fn() -> C + Send + Sync + 'static,
    C: Decoder<Item = In, Error: Into<BoxError>>
        + Encoder<Out, Error: Into<BoxError>>
        + Send
        + 'static,
    In: Send + 'static,
    Out: Send + 'static,
{
    /// Accepts until it is aborted; the links end with it.
    async fn accept(self, mut acceptor: T::Acceptor) {
        let (mut links, mut number) = (JoinSet::new(), 0);
        loop {
            match poll_fn(|cx| acceptor.poll_accept(cx)).await {
                Ok((stream, _)) => {
                    links.spawn(self.link(number, stream));
                    number += 1;
                }
                Err(_) => tokio::time::sleep(AFTER_ERROR).await,
            }
            while links.try_join_next().is_some() {}
        }
    }

    /// A link, until both directions have ended or one is cut.
    fn link(
        &self,
        number: u64,
        near: T::Stream,
    ) -> impl Future<Output = ()> + Send + use<T, F, C, In, Out> {
        let (transport, target) = (self.transport.clone(), self.target);
        let (codec, shared) = (self.codec.clone(), self.shared.clone());
        async move {
            let first = |from| Passage {
                link: number,
                from,
                number: 0,
            };
            let far = match transport.connect(target).await {
                Ok(far) => far,
                Err(error) => return shared.record(first(Side::Listener), &error),
            };
            let codecs = catch_unwind(AssertUnwindSafe(|| (codec(), codec())));
            let (near_codec, far_codec) = match codecs {
                Ok(codecs) => codecs,
                Err(payload) => return shared.record(first(Side::Dialer), &panicked(payload)),
            };
            let (near, far) = (Framed::new(near, near_codec), Framed::new(far, far_codec));
            let ((mut to_near, mut from_near), (mut to_far, mut from_far)) =
                (near.split(), far.split());
            let there = pass(&shared, first(Side::Dialer), &mut from_near, &mut to_far);
            let back = pass(&shared, first(Side::Listener), &mut from_far, &mut to_near);
            if let Err(ending) = try_join(there, back).await {
                if let Ending::Failed(passage, error) = ending {
                    shared.record(passage, &error);
                }
                cut(from_near, to_near);
                cut(from_far, to_far);
            }
        }
    }
}

/// Resets a stream, if it is of a kind that can be; others are dropped. What was delivered has been, over
/// `Memory` too.
fn cut<S: ByteStream, C: Encoder<Out>, Out>(
    stream: SplitStream<Framed<S, C>>,
    sink: SplitSink<Framed<S, C>, Out>,
) {
    if let Ok(mut framed) = stream.reunite(sink) {
        let stream = framed.get_mut();
        match (stream as &mut dyn Any).downcast_mut::<MemoryStream>() {
            Some(stream) => stream.break_off_on_drop(),
            None => _ = transport::reset_on_drop(stream),
        }
    }
}

impl<In, Out> Drop for Interceptor<In, Out> {
    fn drop(&mut self) {
        // It owns the links.
        self.accepting.abort();
    }
}

impl<In, Out> fmt::Debug for Interceptor<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interceptor")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}
