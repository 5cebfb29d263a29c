//! What is sent: so many messages of a size, over so many connections.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::Bytes;

/// The sizes that are measured, in bytes.
pub(crate) const SIZES: [usize; 5] = [16, 256, 4 * KIB, 32 * KIB, KIB * KIB];

const KIB: usize = 1024;

/// So many bytes go through in a turn, so that one takes a few tenths of a second …
const BYTES: usize = 512 * KIB * KIB;
/// … and no more messages than that, as small ones cost by their number.
const MESSAGES: usize = 3_000_000;

/// A quick turn is that much shorter.
const QUICK: usize = 4;

/// One case of a flow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    pub(crate) connections: usize,
    /// Of a message, in bytes.
    pub(crate) size: usize,
    /// On each connection.
    pub(crate) messages: usize,
}

impl Flow {
    /// As many messages as make a turn.
    pub(crate) fn new(connections: usize, size: usize, quick: bool) -> Self {
        let part = if quick { QUICK } else { 1 };
        let messages = (BYTES / size).min(MESSAGES) / part / connections;
        Self {
            connections,
            size,
            messages: messages.max(1),
        }
    }

    /// `10x16B`
    pub(crate) fn name(&self) -> String {
        format!("{}x{}", self.connections, size_name(self.size))
    }

    /// On all connections.
    pub(crate) fn total(&self) -> usize {
        self.messages * self.connections
    }

    pub(crate) fn payload(&self) -> Bytes {
        Bytes::from(vec![0x5a; self.size])
    }
}

/// `16B`, `4KiB`, `1MiB`
pub(crate) fn size_name(size: usize) -> String {
    match size {
        size if size % (KIB * KIB) == 0 => format!("{}MiB", size / KIB / KIB),
        size if size % KIB == 0 => format!("{}KiB", size / KIB),
        size => format!("{size}B"),
    }
}

/// What is sent there and back, or along a chain.
pub(crate) static PING: [u8; 16] = [0x5a; 16];

/// What is sent beside it, to keep the receiver busy.
pub(crate) static BULK: [u8; 4 * KIB] = [0xa5; 4 * KIB];

/// A message that says when it was sent, as large as a ping.
pub(crate) fn stamp() -> Bytes {
    let sent = u64::try_from(since_first().as_nanos()).expect("a few minutes");
    let mut message = PING.to_vec();
    message[..8].copy_from_slice(&sent.to_le_bytes());
    message.into()
}

/// How old a stamped message is; `None` if it isn't one.
pub(crate) fn age(message: &[u8]) -> Option<Duration> {
    let sent = message
        .first_chunk()
        .filter(|_| message.len() == PING.len())?;
    Some(since_first() - Duration::from_nanos(u64::from_le_bytes(*sent)))
}

/// How long ago somebody asked for the first time.
fn since_first() -> Duration {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    FIRST.elapsed()
}
