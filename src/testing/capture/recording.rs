//! A capture that is read again.

use std::{
    collections::HashMap,
    error::Error,
    fmt, fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;

use super::{Direction, VERSION, document::side_name};
use crate::Side;

/// What a file of a [`Capture`](super::Capture) has in it: connections, and what was said on them.
///
/// # Examples
///
/// ```
/// use wattle::testing::{Recording, capture::Direction};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let capture = r#"{"wattle-capture":1,"began":0}
/// {"us":0,"connection":0,"peer":1,"addr":"127.0.0.1:7","side":"dialer","what":"open"}
/// {"us":1,"connection":0,"what":"frame","dir":"out","bytes":"7065610a","message":"\"pea\""}
/// {"us":2,"connection":0,"what":"frame","dir":"in","bytes":"706f640a","message":"\"pod\""}
/// "#;
/// let recording = Recording::parse(capture.as_bytes())?;
/// let frames = recording.only()?.frames();
/// let heard: Vec<_> = frames.filter(|frame| frame.direction == Direction::In).collect();
/// assert_eq!(heard.len(), 1);
/// assert_eq!(heard[0].message.as_deref(), Some("\"pod\""));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Recording {
    began: Duration,
    connections: Vec<CapturedConnection>,
}

/// A connection in a capture.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CapturedConnection {
    /// Its number in the capture.
    pub number: u64,
    /// The name of the node that was tapped.
    pub node: Option<String>,
    /// The id of the peer.
    pub peer: u64,
    /// The remote address.
    pub addr: SocketAddr,
    /// Who opened it.
    pub side: Side,
    /// What happened on it, in order.
    pub(super) steps: Vec<Step>,
}

/// Bytes in a capture, with the message that they were.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapturedFrame {
    /// The line of the file, from 1.
    pub line: usize,
    /// When it was decoded or encoded, since the capture began.
    pub at: Duration,
    /// Who said it.
    pub direction: Direction,
    /// The bytes.
    pub bytes: Bytes,
    /// What the message's `Debug` had written. Missing for bytes that were no message: what the
    /// handshake had left to be written, and what was never decoded.
    pub message: Option<String>,
}

/// A document about a connection.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) at: Duration,
    pub(super) what: StepKind,
}

#[derive(Debug, Clone)]
pub(super) enum StepKind {
    Open,
    Frame(CapturedFrame),
    /// The codec failed.
    Error,
    /// The remote has ended its side.
    End,
    Close,
}

/// Why a file could not be read as a capture, or what is not in it.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaptureReadError {
    /// The file can't be read.
    Io(io::Error),
    /// The first line isn't the header of a capture: it's another kind of file, or it is empty.
    NotACapture {
        /// What is wrong with the line.
        problem: String,
    },
    /// A format that this version of wattle doesn't know.
    UnknownVersion {
        /// What the header says.
        found: u64,
    },
    /// A line that isn't a document of the format.
    BadLine {
        /// The line of the file, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is cut off in the middle of its last line.
    CutOff {
        /// The line of the file, from 1.
        line: usize,
    },
    /// No such connection.
    NoConnection {
        /// Which connections there are.
        connections: Vec<String>,
    },
    /// More than one.
    ManyConnections {
        /// Which connections there are.
        connections: Vec<String>,
    },
}

impl Recording {
    /// Reads a file that a [`Capture`](super::Capture) has written. Blocks the thread.
    ///
    /// # Errors
    ///
    /// The file can't be read, isn't a capture, or not a whole one.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, CaptureReadError> {
        Self::parse(BufReader::new(fs::File::open(path)?))
    }

    /// The same from anything that has lines.
    ///
    /// # Errors
    ///
    /// It can't be read, isn't a capture, or not a whole one.
    pub fn parse(mut input: impl BufRead) -> Result<Self, CaptureReadError> {
        let mut text = Vec::new();
        input.read_until(b'\n', &mut text)?;
        let began = parse_header(&text)?;
        let mut reading = Reading::default();
        for line in 2.. {
            text.clear();
            if input.read_until(b'\n', &mut text)? == 0 {
                break;
            }
            if text.pop_if(|last| *last == b'\n').is_none() {
                return Err(CaptureReadError::CutOff { line });
            }
            let taken = reading.take(line, &text);
            taken.map_err(|problem| CaptureReadError::BadLine { line, problem })?;
        }
        Ok(Self {
            began,
            connections: reading.connections,
        })
    }

    /// When the capture began by the wall clock, since the Unix epoch.
    pub fn began(&self) -> Duration {
        self.began
    }

    /// All connections, in the order of their opening.
    pub fn connections(&self) -> &[CapturedConnection] {
        &self.connections
    }

    /// The only connection.
    ///
    /// # Errors
    ///
    /// There is none, or more than one.
    pub fn only(&self) -> Result<&CapturedConnection, CaptureReadError> {
        self.only_of(|_| true)
    }

    /// The connection with the peer of this [id](crate::Peer::id).
    ///
    /// # Errors
    ///
    /// There is none, or more than one: two processes wrote into the file.
    pub fn peer(&self, id: u64) -> Result<&CapturedConnection, CaptureReadError> {
        self.only_of(|connection| connection.peer == id)
    }

    /// The only connection of the node with this [name](super::Capture::named).
    ///
    /// # Errors
    ///
    /// There is none, or more than one.
    pub fn node(&self, name: &str) -> Result<&CapturedConnection, CaptureReadError> {
        self.only_of(|connection| connection.node.as_deref() == Some(name))
    }

    fn only_of(
        &self,
        wanted: impl Fn(&CapturedConnection) -> bool,
    ) -> Result<&CapturedConnection, CaptureReadError> {
        let mut found = self.connections.iter().filter(|one| wanted(one));
        let listed = |connections: &mut dyn Iterator<Item = &CapturedConnection>| {
            connections.map(ToString::to_string).collect()
        };
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(CaptureReadError::NoConnection {
                connections: listed(&mut self.connections.iter()),
            }),
            (Some(first), Some(second)) => Err(CaptureReadError::ManyConnections {
                connections: listed(&mut [first, second].into_iter().chain(found)),
            }),
        }
    }
}

impl CapturedConnection {
    /// What was said on it, both ways, in the order in which the node decoded and encoded it.
    pub fn frames(&self) -> impl Iterator<Item = &CapturedFrame> {
        self.steps.iter().filter_map(|step| match &step.what {
            StepKind::Frame(frame) => Some(frame),
            _ => None,
        })
    }
}

/// `#PEER ADDRESS`, and the node's name if it has one.
impl fmt::Display for CapturedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.peer, self.addr)?;
        match &self.node {
            Some(node) => write!(f, " of {node}"),
            None => Ok(()),
        }
    }
}

fn parse_header(text: &[u8]) -> Result<Duration, CaptureReadError> {
    let not_a_capture = |problem: String| CaptureReadError::NotACapture { problem };
    if text.is_empty() {
        return Err(not_a_capture("the file is empty".to_owned()));
    }
    let header: Value = serde_json::from_slice(text).map_err(|e| not_a_capture(e.to_string()))?;
    let version = number(&header, "wattle-capture").map_err(not_a_capture)?;
    if version != VERSION {
        return Err(CaptureReadError::UnknownVersion { found: version });
    }
    let began = number(&header, "began").map_err(not_a_capture)?;
    Ok(Duration::from_micros(began))
}

/// The connections as far as they have been read.
#[derive(Default)]
struct Reading {
    connections: Vec<CapturedConnection>,
    /// By their numbers, those in the list.
    places: HashMap<u64, usize>,
}

impl Reading {
    /// Takes a line in, or says what is wrong with it.
    fn take(&mut self, line: usize, text: &[u8]) -> Result<(), String> {
        let document: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let connection = number(&document, "connection")?;
        let what = parse_what(line, &document)?;
        if let StepKind::Open = what {
            let place = self.connections.len();
            if self.places.insert(connection, place).is_some() {
                return Err(format!("connection {connection} is open already"));
            }
            let opened = parse_connection(connection, &document)?;
            self.connections.push(opened);
        }
        let Some(&place) = self.places.get(&connection) else {
            return Err(format!("connection {connection} has not been opened"));
        };
        let at = Duration::from_micros(number(&document, "us")?);
        self.connections[place].steps.push(Step { at, what });
        Ok(())
    }
}

fn parse_connection(connection: u64, document: &Value) -> Result<CapturedConnection, String> {
    let addr = text(document, "addr")?;
    let side = text(document, "side")?;
    let sides = [Side::Dialer, Side::Listener];
    let known = sides.into_iter().find(|known| side_name(*known) == side);
    Ok(CapturedConnection {
        number: connection,
        node: document["node"].as_str().map(str::to_owned),
        peer: number(document, "peer")?,
        addr: addr
            .parse()
            .map_err(|_| format!("`addr` is {addr:?}, which is no address"))?,
        side: known.ok_or_else(|| format!("`side` is {side:?}, which is none"))?,
        steps: Vec::new(),
    })
}

fn parse_what(line: usize, document: &Value) -> Result<StepKind, String> {
    Ok(match text(document, "what")? {
        "open" => StepKind::Open,
        "frame" => {
            let message = text(document, "message")?.to_owned();
            StepKind::Frame(parse_frame(line, document, Some(message))?)
        }
        "bytes" => StepKind::Frame(parse_frame(line, document, None)?),
        "error" => StepKind::Error,
        "end" => StepKind::End,
        "close" => StepKind::Close,
        other => return Err(format!("`what` is {other:?}, which this version has not")),
    })
}

fn parse_frame(
    line: usize,
    document: &Value,
    message: Option<String>,
) -> Result<CapturedFrame, String> {
    let dir = text(document, "dir")?;
    let directions = [Direction::In, Direction::Out];
    let known = directions.into_iter().find(|known| known.name() == dir);
    let bytes = parse_hex(text(document, "bytes")?);
    Ok(CapturedFrame {
        line,
        at: Duration::from_micros(number(document, "us")?),
        direction: known.ok_or_else(|| format!("`dir` is {dir:?}, which is none"))?,
        bytes: bytes.ok_or("`bytes` is not hexadecimal")?,
        message,
    })
}

fn number(document: &Value, name: &str) -> Result<u64, String> {
    let number = document[name].as_u64();
    number.ok_or_else(|| format!("there is no number `{name}`"))
}

fn text<'a>(document: &'a Value, name: &str) -> Result<&'a str, String> {
    let text = document[name].as_str();
    text.ok_or_else(|| format!("there is no text `{name}`"))
}

fn parse_hex(text: &str) -> Option<Bytes> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

impl fmt::Display for CaptureReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the capture can't be read: {error}"),
            Self::NotACapture { problem } => write!(f, "not a capture of wattle: {problem}"),
            Self::UnknownVersion { found } => {
                write!(f, "a capture of version {found}, expected {VERSION}")
            }
            Self::BadLine { line, problem } => write!(f, "line {line}: {problem}"),
            Self::CutOff { line } => write!(f, "line {line} is cut off in the middle"),
            Self::NoConnection { connections } if connections.is_empty() => {
                f.write_str("no connection in the capture")
            }
            Self::NoConnection { connections } => {
                write!(f, "no such connection, only {}", connections.join(", "))
            }
            Self::ManyConnections { connections } => {
                write!(f, "one connection expected, got {}", connections.join(", "))
            }
        }
    }
}

impl Error for CaptureReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for CaptureReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
