//! Why a connection ended: [`Disconnect`].

use std::{
    any::Any,
    error::Error,
    fmt, io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// A boxed error of the user's: what a handshake may return.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// An error that all who wait for an ending can share.
pub type SharedError = Arc<dyn Error + Send + Sync + 'static>;

/// Why a connection ended, who ended it, and what was left unsent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Disconnect {
    /// What happened.
    pub reason: Reason,
    /// Who made it happen.
    pub initiator: Initiator,
    /// How many messages were accepted for this peer and not known to be handed to the operating
    /// system whole. Messages that were handed over may still not have reached the remote program.
    pub undelivered: u64,
    /// Whether the drain timeout cut the closing short: the remote didn't read what was left for it,
    /// or didn't close its side after we had closed ours.
    pub drain_timed_out: bool,
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// This program: `disconnect`, `abort`, `shutdown`, or dropping the last handle.
    Local,
    /// The remote: it closed or reset the connection.
    Remote,
    /// wattle, because of what it met: an error, a timeout, a panic.
    Library,
}

/// What ended a connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reason {
    /// The remote closed its side between two frames.
    EndOfStream,
    /// The remote closed its side in the middle of a frame: the codec refused the end, or it had
    /// consumed bytes since its last message. (So a clean end right behind something that the codec
    /// skipped in silence looks like this; let it yield what it skips as a message.)
    EndInsideFrame {
        /// How many bytes had come since the last message.
        buffered: usize,
        /// What the codec said of them.
        source: SharedError,
    },
    /// The remote reset the connection.
    Reset(Arc<io::Error>),
    /// Any other error of the stream. With [`io::ErrorKind::UnexpectedEof`], it is the remote that ended a
    /// stream which has to say that it ends: TLS without its `close_notify`. With
    /// [`io::ErrorKind::TimedOut`], the remote's host has stopped acknowledging, keepalive probes
    /// included, and the operating system gave up; `HostUnreachable` and `NetworkUnreachable` may
    /// come in its place.
    Io(Arc<io::Error>),
    /// The codec could not decode what came: the codec's own error. What was queued by then is still written,
    /// within the drain timeout. Nothing more is taken: an answer to one of the messages before
    /// it may come too late. To answer whatever came, let the codec make items of its errors.
    Decode(SharedError),
    /// The codec could not encode a message: the codec's own error. What was encoded before it was
    /// still written; the bytes of the failed message were not.
    Encode(SharedError),
    /// A frame was larger than [`Builder::max_frame_bytes`](crate::Builder::max_frame_bytes)
    /// allows, or had come so far without being whole. As with [`Decode`](Reason::Decode), what was
    /// queued by then is still written.
    FrameTooLarge {
        /// How many bytes of the frame had come.
        bytes: usize,
        /// The most that a frame may have.
        max: usize,
    },
    /// The peer's outbound queue was full, and what was fed to it said
    /// [`WhenFull::Disconnect`](crate::WhenFull::Disconnect).
    QueueFull,
    /// A deadline passed. If there was anything left for the remote to take, it is reset: what the
    /// operating system still held for it is thrown away, as it might never take it. (So it is when the drain
    /// timeout cuts a closing short, and with [`QueueFull`](Reason::QueueFull). A stream that the
    /// handshake has wrapped, as TLS does, is closed as any.)
    TimedOut(Timeout),
    /// [`Node::disconnect`](crate::Node::disconnect) was called.
    Disconnected,
    /// [`Node::abort`](crate::Node::abort) was called, or the runtime dropped the connection.
    Aborted,
    /// The node was shut down, or its last handle was dropped.
    Shutdown,
    /// The codec or the stream panicked; the text is the panic's message.
    Panicked(Arc<str>),
}

/// Which deadline of an established connection passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timeout {
    /// Nothing was received for the idle timeout, while we were ready to read.
    Idle,
    /// A frame had begun and was not whole within the frame timeout, while we were ready to read.
    Frame,
    /// Nothing could be written for the write timeout, while there was something to write.
    Write,
}

impl Disconnect {
    pub(crate) fn new(reason: Reason, initiator: Initiator) -> Self {
        Self {
            reason,
            initiator,
            undelivered: 0,
            drain_timed_out: false,
        }
    }

    pub(crate) fn local(reason: Reason) -> Self {
        Self::new(reason, Initiator::Local)
    }

    pub(crate) fn remote(reason: Reason) -> Self {
        Self::new(reason, Initiator::Remote)
    }

    pub(crate) fn library(reason: Reason) -> Self {
        Self::new(reason, Initiator::Library)
    }

    /// Whether the stream was reset while the remote's side was open: after its end, a write fails with
    /// a broken pipe instead.
    pub(crate) fn was_reset(&self) -> bool {
        use io::ErrorKind::ConnectionReset;
        matches!(&self.reason, Reason::Reset(error) if error.kind() == ConnectionReset)
    }

    /// Whether the remote was given up: it didn't do its part in time.
    pub(crate) fn gives_up(&self) -> bool {
        self.drain_timed_out || matches!(self.reason, Reason::TimedOut(_) | Reason::QueueFull)
    }

    /// Whether the stream ended.
    pub(crate) fn is_end(&self) -> bool {
        matches!(
            self.reason,
            Reason::EndOfStream | Reason::EndInsideFrame { .. }
        )
    }

    /// The ending that an error of the stream means.
    pub(crate) fn from_io(error: Arc<io::Error>) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            ConnectionReset | ConnectionAborted | BrokenPipe => Self::remote(Reason::Reset(error)),
            UnexpectedEof => Self::remote(Reason::Io(error)),
            _ => Self::library(Reason::Io(error)),
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.initiator)?;
        if self.drain_timed_out {
            f.write_str(", not drained in time")?;
        }
        match self.undelivered {
            0 => Ok(()),
            n => write!(f, ", {n} messages undelivered"),
        }
    }
}

impl Error for Disconnect {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Reason::EndInsideFrame { source, .. }
            | Reason::Decode(source)
            | Reason::Encode(source) => Some(source.as_ref()),
            Reason::Reset(source) | Reason::Io(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}

impl fmt::Display for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "by us",
            Self::Remote => "by the remote",
            Self::Library => "by the library",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOfStream => f.write_str("end of stream"),
            Self::EndInsideFrame { buffered, source } => {
                write!(
                    f,
                    "end of stream inside a frame, {buffered} bytes into it: {source}"
                )
            }
            Self::Reset(error) => write!(f, "connection reset: {error}"),
            Self::Io(error) => write!(f, "I/O error: {error}"),
            Self::Decode(error) => write!(f, "decode error: {error}"),
            Self::Encode(error) => write!(f, "encode error: {error}"),
            Self::FrameTooLarge { bytes, max } => {
                write!(f, "frame too large: {bytes} bytes of it, {max} allowed")
            }
            Self::QueueFull => f.write_str("its outbound queue was full"),
            Self::TimedOut(timeout) => write!(f, "{timeout}"),
            Self::Disconnected => f.write_str("disconnected"),
            Self::Aborted => f.write_str("aborted"),
            Self::Shutdown => f.write_str("node shut down"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle timeout",
            Self::Frame => "frame timeout",
            Self::Write => "write timeout",
        })
    }
}

/// The text of a panic's payload, which is the user's and may panic when it is dropped.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> Arc<str> {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a payload that is no text").into();
    contain(|| drop(payload));
    text
}

/// What an error says of itself. It may be the user's, and panic instead.
pub(crate) fn shown(error: &impl fmt::Display) -> String {
    let mut text = "an error that panics when it is asked what it is".to_owned();
    contain(|| text = error.to_string());
    text
}

/// Runs what is the user's where a panic of it must not keep others from what is theirs.
pub(crate) fn contain(run: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
        // Dropping it might panic again, and so on.
        mem::forget(payload);
    }
}
