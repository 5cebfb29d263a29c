//! What happens on a connection, as JSON.

use std::{fmt::Write, net::SocketAddr, sync::Arc, time::Duration};

use super::{Direction, VERSION};
use crate::{Peer, Side};

/// Whose it is: a connection, and the node that has it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) connection: u64,
    pub(super) node: Option<Arc<str>>,
    pub(super) peer: Peer,
    /// The node's own address, where the stream tells it.
    pub(super) local: Option<SocketAddr>,
    /// What is the same in each of its documents.
    identity: String,
}

/// What happens.
#[derive(Debug)]
pub(super) enum What<'a> {
    Open,
    Frame {
        direction: Direction,
        bytes: &'a [u8],
        message: &'a str,
    },
    Bytes {
        direction: Direction,
        bytes: &'a [u8],
    },
    Error {
        direction: Direction,
        error: &'a str,
    },
    /// With what had come by then and wasn't decoded.
    End {
        undecoded: &'a [u8],
    },
    Close,
}

/// The first line of a file.
pub(super) fn header(began: Duration) -> String {
    let began = began.as_micros();
    format!("{{\"wattle-capture\":{VERSION},\"began\":{began}}}\n")
}

impl Direction {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

pub(super) fn side_name(side: Side) -> &'static str {
    match side {
        Side::Dialer => "dialer",
        Side::Listener => "listener",
    }
}

impl Source {
    pub(super) fn new(
        connection: u64,
        node: Option<Arc<str>>,
        peer: Peer,
        local: Option<SocketAddr>,
    ) -> Self {
        let mut identity = String::new();
        if let Some(node) = &node {
            put_text(&mut identity, "node", node);
        }
        put(&mut identity, "connection", connection);
        put(&mut identity, "peer", peer.id());
        put_text(&mut identity, "addr", &peer.addr().to_string());
        put_text(&mut identity, "side", side_name(peer.side()));
        Self {
            connection,
            node,
            peer,
            local,
            identity,
        }
    }

    /// The fields of a document, each with the comma before it; the time is put before them.
    pub(super) fn document(&self, what: &What<'_>) -> String {
        let mut document = self.identity.clone();
        put_text(&mut document, "what", what.name());
        if let Some(direction) = what.direction() {
            put_text(&mut document, "dir", direction.name());
        }
        match what {
            What::Open | What::End { .. } | What::Close => {}
            What::Frame { bytes, message, .. } => {
                put_bytes(&mut document, bytes);
                put_text(&mut document, "message", message);
            }
            What::Bytes { bytes, .. } => put_bytes(&mut document, bytes),
            What::Error { error, .. } => put_text(&mut document, "error", error),
        }
        document
    }
}

impl<'a> What<'a> {
    fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Frame { .. } => "frame",
            Self::Bytes { .. } => "bytes",
            Self::Error { .. } => "error",
            Self::End { .. } => "end",
            Self::Close => "close",
        }
    }

    pub(super) fn direction(&self) -> Option<Direction> {
        match self {
            Self::Frame { direction, .. }
            | Self::Bytes { direction, .. }
            | Self::Error { direction, .. } => Some(*direction),
            Self::Open | Self::End { .. } | Self::Close => None,
        }
    }

    /// The bytes that are told of here and nowhere else.
    pub(super) fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Frame { bytes, .. } | Self::Bytes { bytes, .. } => bytes,
            _ => &[],
        }
    }
}

fn put(document: &mut String, name: &str, number: u64) {
    // Writing to a string doesn't fail.
    let _ = write!(document, ",\"{name}\":{number}");
}

fn put_text(document: &mut String, name: &str, text: &str) {
    let text = serde_json::Value::from(text);
    let _ = write!(document, ",\"{name}\":{text}");
}

fn put_bytes(document: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    document.reserve(2 * bytes.len());
    document.push_str(",\"bytes\":\"");
    for byte in bytes {
        document.push(char::from(DIGITS[usize::from(byte >> 4)]));
        document.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    document.push('"');
}
