//! What happened on a connection: [`Transcript`].

use std::{fmt, net::SocketAddr, time::Duration};

use bytes::Bytes;

use super::{
    dump::{Count, Dump},
    failure::Ending,
};

/// How much of the bytes of a message is kept. Together with the limit on its text it is what an entry
/// costs; there are as many as the script has steps and the other side can make it answer or pass over
/// within their deadlines.
const KEPT: usize = 1024;

/// What was sent and received on a connection, and when.
///
/// Its `Display` text has a line for each entry, as in a [`Failure`](super::Failure).
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    entries: Vec<Entry>,
    rest: Bytes,
}

/// One thing that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// When, since the play began. Of what was received, when its last byte was read.
    pub at: Duration,
    /// The number of the step that did it or that took the message, counted from 1 in each script;
    /// `None` for what happened beside the steps.
    pub step: Option<usize>,
    /// What it is.
    pub happening: Happening,
}

/// What can happen on a connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Happening {
    /// The script dialled this address.
    Dialled(SocketAddr),
    /// This address dialled the script.
    Accepted(SocketAddr),
    /// Something was sent.
    Sent {
        /// The `Debug` text of the message, shortened; `None` of bytes that went past the codec.
        message: Option<String>,
        /// The first 1,024 bytes.
        bytes: Bytes,
        /// How many bytes there were.
        len: usize,
    },
    /// A message came.
    Received {
        /// Its `Debug` text, shortened.
        message: String,
        /// The first 1,024 bytes.
        bytes: Bytes,
        /// How many bytes there were.
        len: usize,
    },
    /// The script ended its side.
    HalfClosed,
    /// The script reset the connection.
    Reset,
    /// The script stopped reading and writing for so long.
    Stalled(Duration),
    /// The other side was silent for so long, as expected.
    Silent(Duration),
    /// The other side ended the connection.
    Closed(Ending),
}

impl Transcript {
    /// What happened, in the order of time.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What came, as bytes, and was taken by no step. At the end of a play that includes what the
    /// operating system had by then.
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// The messages that came, as `Debug` text, those beside the script included.
    pub fn received(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.happening {
                Happening::Received { message, .. } => Some(message.as_str()),
                _ => None,
            })
    }

    pub(super) fn add(&mut self, at: Duration, step: Option<usize>, happening: Happening) {
        // What was read ahead is decoded later than what was sent meanwhile.
        let place = self.entries.partition_point(|entry| entry.at <= at);
        let entry = Entry {
            at,
            step,
            happening,
        };
        self.entries.insert(place, entry);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.rest.is_empty()
    }

    pub(super) fn set_rest(&mut self, rest: Bytes) {
        self.rest = rest;
    }
}

impl Happening {
    pub(super) fn sent(message: Option<String>, bytes: &[u8]) -> Self {
        Self::Sent {
            message,
            bytes: kept(bytes),
            len: bytes.len(),
        }
    }

    pub(super) fn received(message: String, bytes: &[u8]) -> Self {
        Self::Received {
            message,
            bytes: kept(bytes),
            len: bytes.len(),
        }
    }
}

fn kept(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes.get(..KEPT).unwrap_or(bytes))
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line_break = "";
        for entry in &self.entries {
            write!(f, "{line_break}{entry}")?;
            line_break = "\n";
        }
        if !self.rest.is_empty() {
            let (count, dump) = (Count(self.rest.len()), Dump(&self.rest));
            write!(f, "{line_break}{:13}unread   {count}: {dump}", "")?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.6}s  ", self.at.as_secs_f64())?;
        match self.step {
            Some(step) => write!(f, "{:<9}", format!("step {step}"))?,
            None => write!(f, "{:9}", "")?,
        }
        self.happening.fmt(f)
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dialled(addr) => write!(f, "dialled {addr}"),
            Self::Accepted(addr) => write!(f, "accepted {addr}"),
            Self::Sent {
                message,
                bytes,
                len,
            } => {
                let message = message.as_deref().unwrap_or("(bytes)");
                write!(f, "→ {message}  {}: {}", Count(*len), Dump(bytes))
            }
            Self::Received {
                message,
                bytes,
                len,
            } => write!(f, "← {message}  {}: {}", Count(*len), Dump(bytes)),
            Self::HalfClosed => f.write_str("→ the end of our side"),
            Self::Reset => f.write_str("→ a reset"),
            Self::Stalled(duration) => write!(f, "stalled for {duration:?}"),
            Self::Silent(duration) => write!(f, "silence for {duration:?}"),
            Self::Closed(ending) => write!(f, "← {ending}"),
        }
    }
}
