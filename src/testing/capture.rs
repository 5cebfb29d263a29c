//! Captures: every frame and message of a node in a file, [for reading](Capture), for
//! [Wireshark](CaptureBuilder::pcapng), and for [playing it again](Replay).

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

mod document;
mod packets;
mod pcapng;
mod recording;
mod replay;
mod tap;

use document::{Source, What};
use pcapng::Pcapng;
pub use recording::{CaptureReadError, CapturedConnection, CapturedFrame, Recording};
pub use replay::{Mismatch, Pace, Part, Replay, ReplayError, ReplayReport};
pub use tap::{TapCodec, Tapped};

/// The version of the format that is written, and the only one that is read.
const VERSION: u64 = 1;

/// How much of a file is held back until it is written: a system call for some hundred short messages.
const BUFFER: usize = 64 * 1024;

/// Which way bytes go, seen from the node that was tapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The remote says it.
    In,
    /// The node says it.
    Out,
}

/// A capture: what nodes hear and say, frame by frame with the decoded messages, in a file.
///
/// [`tap`](Self::tap) is put around the protocol of a node. Clones write to the same files, so one capture can
/// have many nodes in it; give each a [name](Self::named).
///
/// What is recorded is what passes the codec: an inbound frame when it's decoded, an outbound one when
/// it's encoded, which is before it is written. A handshake isn't recorded; the session's codec, its stream, and
/// how the connection ends are what they are without a tap. What a remote says after the node has closed the connection
/// is thrown away unseen, here, too.
///
/// # Cost
///
/// It is made for tests. Each message is formatted with its `Debug`, and its bytes are copied and written as
/// hexadecimal; for a moment it takes some five times the memory of the message. The files are written by the task of the
/// connection, 64 KiB at a time, which blocks its thread for as long as the disk takes, and all
/// nodes of a capture take turns.
///
/// An error of a file never hurts a connection: the capture is given up, and [`finish`](Self::finish) tells.
/// When the last clone and the last connection are gone, what is left is written, but nobody hears of an error.
///
/// # The format
///
/// UTF-8 text, one JSON document per line. The first line is the header:
///
/// ```json
/// {"wattle-capture":1,"began":1763878000123456}
/// ```
///
/// `wattle-capture` is the version of the format, `began` when the capture began, in microseconds since
/// the Unix epoch. Every other line is about one connection, and says of which, so that each can be read
/// alone:
///
/// ```json
/// {"us":1204,"node":"alice","connection":0,"peer":7,"addr":"127.0.0.1:4000","side":"dialer","what":"frame","dir":"in","bytes":"7065610a","message":"\"pea\""}
/// ```
///
/// | field | |
/// |---|---|
/// | `us` | microseconds since the capture began; never less than in the line before |
/// | `node` | the [name](Capture::named) of the node; missing if it has none |
/// | `connection` | the number of the connection in this capture, from 0, in the order of their opening |
/// | `peer`, `addr` | the [id](crate::Peer::id) of the peer and its remote address |
/// | `side` | `dialer` if the node dialled, `listener` if the remote did |
/// | `what` | what happened, see below |
/// | `dir` | `in` for what the remote said, `out` for what the node said |
/// | `bytes` | in hexadecimal, lower case |
/// | `message` | the message as its `Debug` writes it |
/// | `error` | what the codec's error says |
///
/// | `what` | | with |
/// |---|---|---|
/// | `open` | the handshake is over; the first line of a connection | |
/// | `frame` | a message, and exactly the bytes that the codec consumed for it or made of it | `dir`, `bytes`, `message` |
/// | `bytes` | bytes that belong to no message: `out` those that the handshake had left to be written, `in` those that had come since the last message when the connection ended | `dir`, `bytes` |
/// | `error` | the codec failed; what it failed on comes as `bytes` in the end, or was not sent | `dir`, `error` |
/// | `end` | the remote has ended its side. A codec may find messages in what was left then, which come after this line | |
/// | `close` | the node's end of the connection is gone; the last line of a connection | |
///
/// A reader should ignore fields that it doesn't know. Version 1 will never say anything else in these.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Node, testing::{Capture, Recording}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("wattle-doc-capture-{}.jsonl", std::process::id()));
/// let capture = Capture::create(&path)?;
/// let lines = || LinesCodec::new_with_max_length(80);
/// let tapped = capture.named("server").tap(move |_| lines());
/// let (server, mut heard) = Node::builder().listen("127.0.0.1:0").start::<_, String>(tapped).await?;
///
/// let (client, _) = Node::builder().start(move |_| lines()).await?;
/// let peer = client.connect(server.local_addr().unwrap()).await?;
/// client.send_to("pea".to_owned(), peer).await?;
/// assert_eq!(heard.recv().await.unwrap().0, "pea");
/// server.shutdown().await;
/// assert_eq!(capture.finish()?.frames_in, 1);
///
/// let recording = Recording::read(&path)?;
/// assert_eq!(&recording.only()?.frames().next().unwrap().bytes[..], b"pea\n");
/// # std::fs::remove_file(&path)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Capture {
    shared: Arc<Shared>,
    node: Option<Arc<str>>,
}

/// Which files a [`Capture`] writes.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use wattle::testing::Capture;
///
/// # let name = std::env::temp_dir().join(format!("wattle-doc-files-{}", std::process::id()));
/// # let (json, pcapng) = (name.with_extension("jsonl"), name.with_extension("pcapng"));
/// let capture = Capture::builder().json(&json).pcapng(&pcapng).create()?;
/// println!("{}", capture.finish()?);
/// # std::fs::remove_file(json).and(std::fs::remove_file(pcapng))
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is captured before `create`"]
pub struct CaptureBuilder {
    json: Option<PathBuf>,
    pcapng: Option<PathBuf>,
}

/// What a capture has in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaptureSummary {
    /// Connections that were opened.
    pub connections: u64,
    /// Messages that were decoded.
    pub frames_in: u64,
    /// Messages that were encoded.
    pub frames_out: u64,
    /// Bytes of all that came, also of what was never decoded.
    pub bytes_in: u64,
    /// Bytes of all that was encoded, and of what handshakes had left to be written.
    pub bytes_out: u64,
}

/// What all clones and taps have in common.
struct Shared {
    began: Instant,
    connections: AtomicU64,
    files: Mutex<Files>,
}

struct Files {
    /// When the capture began by the wall clock, since the Unix epoch.
    began: Duration,
    json: Option<BufWriter<File>>,
    pcapng: Option<Pcapng<BufWriter<File>>>,
    /// Nothing is written after an error: what came next would stand behind half a line.
    failed: Option<Arc<io::Error>>,
    summary: CaptureSummary,
}

impl Capture {
    /// A capture into a new file of JSON documents; one that is there is overwritten.
    ///
    /// # Errors
    ///
    /// The file can't be created, or its header can't be written.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::builder().json(path).create()
    }

    /// A capture into files of one's choice.
    pub fn builder() -> CaptureBuilder {
        CaptureBuilder::default()
    }

    /// The same capture, for a node of this name.
    pub fn named(&self, node: impl Into<Arc<str>>) -> Self {
        Self {
            shared: self.shared.clone(),
            node: Some(node.into()),
        }
    }

    /// A protocol that does what this one does, and records its sessions.
    pub fn tap<P>(&self, protocol: P) -> Tapped<P> {
        Tapped::new(self.clone(), protocol)
    }

    /// Writes what is held back, and ends the capture: what happens later isn't recorded. A connection that is still
    /// open has no `close` in the file. Shut the nodes down before to have everything.
    ///
    /// # Errors
    ///
    /// The first error of any of the files, also when asked again. What had been written by then is in the files.
    pub fn finish(&self) -> io::Result<CaptureSummary> {
        let mut files = self.shared.files();
        let flushed = files.flush();
        files.note(flushed);
        let (json, pcapng) = (files.json.take(), files.pcapng.take());
        let (failed, summary) = (files.failed.clone(), files.summary);
        drop(files);
        drop((json, pcapng));
        match failed {
            Some(error) => Err(io::Error::new(error.kind(), error)),
            None => Ok(summary),
        }
    }

    fn next_connection(&self) -> u64 {
        self.shared.connections.fetch_add(1, Ordering::Relaxed)
    }

    fn record(&self, source: &Source, what: &What<'_>) {
        // As large as the message, so not under the lock.
        let document = source.document(what);
        let mut files = self.shared.files();
        // Under the lock, so that time never goes back in the file.
        let at = self.shared.began.elapsed();
        files.summary.count(what);
        let written = files.write(source, at, what, &document);
        files.note(written);
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl CaptureBuilder {
    /// Writes JSON documents, to be read by programs and by [`Recording`].
    pub fn json(mut self, path: impl AsRef<Path>) -> Self {
        self.json = Some(path.as_ref().to_owned());
        self
    }

    /// Writes packets in the format pcapng, to be opened with Wireshark: TCP over IP whose payload is the bytes that
    /// the codec consumes and makes, a frame with its message as the comment of its first packet, and an
    /// interface per node. The headers are made up, with the addresses of the connection as far as they
    /// are known: the node's own address is one from the ranges for documentation (192.0.2.0/24,
    /// 2001:db8::/32) if the stream that the handshake gets is neither a [`TcpStream`](tokio::net::TcpStream)
    /// nor a [`MemoryStream`](crate::testing::MemoryStream). (What the handshake makes of it, such as a
    /// stream of TLS, doesn't matter.)
    ///
    /// A connection between two nodes of the capture is there once, as on a wire: as the end saw it that opened first.
    pub fn pcapng(mut self, path: impl AsRef<Path>) -> Self {
        self.pcapng = Some(path.as_ref().to_owned());
        self
    }

    /// Creates the files and begins the capture; files that are there are overwritten.
    ///
    /// # Errors
    ///
    /// A file can't be created, or its header can't be written.
    pub fn create(self) -> io::Result<Capture> {
        let began = SystemTime::now().duration_since(UNIX_EPOCH);
        let began = began.unwrap_or_default();
        let json = self.json.map(|path| {
            let mut file = create(&path)?;
            file.write_all(document::header(began).as_bytes())?;
            file.flush().map(|()| file)
        });
        let pcapng = self.pcapng.map(|path| {
            let mut pcapng = Pcapng::new(create(&path)?)?;
            pcapng.flush().map(|()| pcapng)
        });
        let files = Files {
            began,
            json: json.transpose()?,
            pcapng: pcapng.transpose()?,
            failed: None,
            summary: CaptureSummary::default(),
        };
        let shared = Arc::new(Shared {
            began: Instant::now(),
            connections: AtomicU64::new(0),
            files: Mutex::new(files),
        });
        Ok(Capture { shared, node: None })
    }
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    Ok(BufWriter::with_capacity(BUFFER, File::create(path)?))
}

impl Shared {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn write(
        &mut self,
        source: &Source,
        at: Duration,
        what: &What<'_>,
        document: &str,
    ) -> io::Result<()> {
        if self.failed.is_some() {
            return Ok(());
        }
        if let Some(json) = &mut self.json {
            writeln!(json, "{{\"us\":{}{document}}}", at.as_micros())?;
        }
        if let Some(pcapng) = &mut self.pcapng {
            pcapng.write(source, self.began + at, what)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.failed.is_some() {
            return Ok(());
        }
        if let Some(json) = &mut self.json {
            json.flush()?;
        }
        match &mut self.pcapng {
            Some(pcapng) => pcapng.flush(),
            None => Ok(()),
        }
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.failed.get_or_insert_with(|| Arc::new(error));
        }
    }
}

impl CaptureSummary {
    fn count(&mut self, what: &What<'_>) {
        if let What::Open { .. } = what {
            self.connections += 1;
        }
        let (frames, bytes) = match what.direction() {
            Some(Direction::In) => (&mut self.frames_in, &mut self.bytes_in),
            Some(Direction::Out) => (&mut self.frames_out, &mut self.bytes_out),
            None => return,
        };
        if let What::Frame { .. } = what {
            *frames += 1;
        }
        *bytes += what.bytes().len() as u64;
    }
}

impl fmt::Display for CaptureSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections, {} messages ({} bytes) in, {} messages ({} bytes) out",
            self.connections, self.frames_in, self.bytes_in, self.frames_out, self.bytes_out
        )
    }
}
