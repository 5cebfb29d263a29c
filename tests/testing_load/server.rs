//! Servers in memory for a load: whoever dials gets one of his own.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use futures::{SinkExt, StreamExt};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::codec::{Decoder, Encoder, Framed, LinesCodec, LinesCodecError};
use wattle::{Transport, transport::AdoptOnly};

/// Bytes that are under way on a connection, each way.
const PIPE: usize = 4096;

type Service = Arc<dyn Fn(usize, DuplexStream) -> Serving + Send + Sync>;
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A transport whose every stream leads to a server in a task of its own; the server is given the number of
/// its connection.
#[derive(Clone)]
pub(crate) struct Served {
    service: Service,
    dialled: Arc<AtomicUsize>,
}

impl Served {
    pub(crate) fn by<F>(service: impl Fn(usize, DuplexStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            service: Arc::new(move |number, stream| Box::pin(service(number, stream))),
            dialled: Arc::default(),
        }
    }

    /// The same with lines at the server's end.
    pub(crate) fn by_lines<F>(service: impl Fn(usize, Lines) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::by(move |number, stream| service(number, lines(stream)))
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

impl Transport for Served {
    type Stream = DuplexStream;
    type Acceptor = AdoptOnly<DuplexStream>;

    async fn bind(&self, _: SocketAddr) -> io::Result<Self::Acceptor> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, _: SocketAddr) -> io::Result<DuplexStream> {
        let (ours, theirs) = duplex(PIPE);
        let number = self.dialled.fetch_add(1, Ordering::Relaxed);
        tokio::spawn((self.service)(number, theirs));
        Ok(ours)
    }
}

pub(crate) type Lines = Framed<DuplexStream, LinesCodec>;

pub(crate) fn lines(stream: DuplexStream) -> Lines {
    Framed::new(stream, LinesCodec::new())
}

/// Sends each line back, a given time after it came; several may be under way.
pub(crate) fn echo_after(time: Duration) -> Served {
    Served::by_lines(move |_, lines| async move {
        let (mut sink, mut stream) = lines.split();
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let answer = async move {
            while let Some((line, when)) = receiver.recv().await {
                sleep_until(when).await;
                let line: String = line;
                if sink.send(line).await.is_err() {
                    break;
                }
            }
        };
        let ask = async move {
            while let Some(Ok(line)) = stream.next().await {
                if sender.send((line, Instant::now() + time)).is_err() {
                    break;
                }
            }
        };
        tokio::join!(answer, ask);
    })
}

/// Sends each line back at once, but none within a stretch of time.
pub(crate) fn echo_but_for(from: Instant, until: Instant) -> Served {
    Served::by_lines(move |_, mut lines| async move {
        while let Some(Ok(line)) = lines.next().await {
            if (from..until).contains(&Instant::now()) {
                sleep_until(until).await;
            }
            if lines.send(line).await.is_err() {
                break;
            }
        }
    })
}

/// Reads everything, and never says anything.
pub(crate) fn silent() -> Served {
    Served::by_lines(|_, mut lines| async move { while let Some(Ok(_)) = lines.next().await {} })
}

/// A codec of lines that encodes none that is longer.
pub(crate) struct ShortLines {
    lines: LinesCodec,
    longest: usize,
}

impl ShortLines {
    pub(crate) fn up_to(longest: usize) -> Self {
        Self {
            lines: LinesCodec::new(),
            longest,
        }
    }
}

impl Decoder for ShortLines {
    type Item = String;
    type Error = LinesCodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<String>, LinesCodecError> {
        self.lines.decode(buffer)
    }
}

impl Encoder<String> for ShortLines {
    type Error = LinesCodecError;

    fn encode(&mut self, line: String, buffer: &mut BytesMut) -> Result<(), LinesCodecError> {
        if line.len() > self.longest {
            return Err(LinesCodecError::MaxLineLengthExceeded);
        }
        self.lines.encode(line, buffer)
    }
}

/// Answers a few lines, and then does this with the connection.
pub(crate) fn answers<F, G>(count: usize, then: F) -> Served
where
    F: Fn(DuplexStream) -> G + Clone + Send + Sync + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    Served::by_lines(move |_, mut lines| {
        let then = then.clone();
        async move {
            for _ in 0..count {
                let Some(Ok(line)) = lines.next().await else {
                    return;
                };
                lines.send(line).await.unwrap();
            }
            let Some(Ok(_)) = lines.next().await else {
                return;
            };
            then(lines.into_inner()).await;
        }
    })
}
