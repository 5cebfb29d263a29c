//! Frames that end with a delimiter: [`Delimited`].

mod error;
mod search;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

pub use self::error::DelimitedError;
use self::search::{contains, find};
use crate::position::Position;

/// Frames that end with a delimiter of one or many bytes, or lines.
///
/// ```text
///     +---------------+-----------+      Delimited::new("\r\n", …)    "abc"  →  61 62 63 0d 0a
///     | payload       | delimiter |      Delimited::new("\0", …)      "abc"  →  61 62 63 00
///     +---------------+-----------+      Delimited::lines(…)          "abc"  →  61 62 63 0a
///     |<- at most n ->|
/// ```
///
/// An item is the payload, without the delimiter. It may be empty.
///
/// # Oversized frames
///
/// A payload beyond the cap is an error as soon as it can't be anything else, once for each such
/// frame. What comes of the rest is thrown away as it comes, up to the end of the delimiter, and the
/// codec goes on with the next frame.
///
/// # Errors
///
/// [`DelimitedError`]. That a frame is too long is [recoverable](crate::Recoverable). A payload that
/// contains the delimiter can't be sent: the other side would take it for two frames.
///
/// # Examples
///
/// ```
/// use bytes::{Bytes, BytesMut};
/// use tokio_util::codec::{Decoder, Encoder};
/// use wattle_codecs::Delimited;
///
/// let mut codec = Delimited::lines(4);
/// let mut wire = BytesMut::from("PING\r\nmuch too long\nPONG\nPI");
/// assert_eq!(codec.decode(&mut wire)?.unwrap(), "PING");
/// assert!(codec.decode(&mut wire).is_err());
/// assert_eq!(codec.decode(&mut wire)?.unwrap(), "PONG");
/// assert_eq!(codec.decode(&mut wire)?, None);
///
/// let mut wire = BytesMut::new();
/// codec.encode(Bytes::from("PONG"), &mut wire)?;
/// assert_eq!(wire, "PONG\n");
/// # Ok::<(), wattle_codecs::DelimitedError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Delimited {
    delimiter: Bytes,
    lines: bool,
    most: usize,
    /// No delimiter begins in so many bytes of the buffer: a search goes on behind them.
    searched: usize,
    /// Where the oversized frame began that is being thrown away.
    skipping: Option<u64>,
    position: Position,
}

impl Delimited {
    /// Frames of at most `most` bytes of payload, each with `delimiter` behind it, the last one too.
    ///
    /// # Panics
    ///
    /// If the delimiter is empty.
    pub fn new(delimiter: impl Into<Bytes>, most: usize) -> Self {
        let delimiter = delimiter.into();
        assert!(!delimiter.is_empty(), "a delimiter has at least one byte");
        Self {
            delimiter,
            lines: false,
            most,
            searched: 0,
            skipping: None,
            position: Position::default(),
        }
    }

    /// Lines of at most `most` bytes, not necessarily text.
    ///
    /// A line ends with `\n` or `\r\n`; neither is part of the item, nor counted. Lines are sent with
    /// `\n`, and a line that itself ends with `\r` can't be sent. At the end of the stream, what
    /// stands behind the last `\n` is a line too, as for most tools, unless there is nothing.
    pub fn lines(most: usize) -> Self {
        Self {
            lines: true,
            ..Self::new("\n", most)
        }
    }

    /// The longest that may stand behind a payload.
    fn longest_end(&self) -> &[u8] {
        if self.lines { b"\r\n" } else { &self.delimiter }
    }

    /// The size of a frame without its delimiter, less the `\r` of a line.
    #[inline]
    fn payload_len(&self, frame: &[u8]) -> usize {
        match frame {
            [line @ .., b'\r'] if self.lines => line.len(),
            all => all.len(),
        }
    }

    /// Where a payload ends for the other side, when the delimiter is written behind it: the first one
    /// may be inside, or begin in the payload and end behind it.
    fn first_end(&self, payload: &[u8]) -> usize {
        let delimiter = &self.delimiter[..];
        let across = || {
            let begun = (1..delimiter.len()).rev().find(|&begun| {
                payload.ends_with(&delimiter[..begun]) && delimiter.starts_with(&delimiter[begun..])
            })?;
            Some(payload.len() - begun)
        };
        let end = find(payload, delimiter).or_else(across);
        self.payload_len(&payload[..end.unwrap_or(payload.len())])
    }

    /// What is wrong with a payload that ends elsewhere than at its end.
    #[cold]
    fn would_be_two(&self, payload: &[u8]) -> DelimitedError {
        let position = self.first_end(payload);
        DelimitedError::ContainsDelimiter { position }
    }

    /// Where the first delimiter of the buffer begins. What was searched isn't searched again.
    #[inline]
    fn search(&mut self, src: &[u8]) -> Option<usize> {
        let from = self.searched.min(src.len());
        if let Some(found) = find(&src[from..], &self.delimiter) {
            self.searched = 0;
            return Some(from + found);
        }
        self.searched = (src.len() + 1).saturating_sub(self.delimiter.len());
        None
    }

    /// Whether a frame without a delimiter until now may yet turn out to be within the cap: all of it
    /// is, or what is beyond is the beginning of a delimiter.
    fn may_fit(&self, src: &[u8]) -> bool {
        let end = self.longest_end();
        let begun = (src.len() + 1).saturating_sub(end.len());
        src.len() <= self.most || (begun..=self.most).any(|at| end.starts_with(&src[at..]))
    }

    fn consume(&mut self, src: &mut BytesMut, len: usize) {
        src.advance(len);
        self.position.advance(len);
        self.searched = self.searched.saturating_sub(len);
    }

    /// Throws away what has come of an oversized frame, except for what may be the beginning of the
    /// delimiter. Whether that was all of the frame.
    #[cold]
    fn skip(&mut self, src: &mut BytesMut) -> bool {
        let (end, found) = match self.search(src) {
            Some(at) => (at + self.delimiter.len(), true),
            None => (self.searched, false),
        };
        self.consume(src, end);
        found
    }

    /// Begins to throw an oversized frame away. Only what shows that it is too long is consumed with the
    /// error, however much has come: where the error stands doesn't depend on how the stream was split.
    #[cold]
    fn refuse(&mut self, src: &mut BytesMut) -> DelimitedError {
        let at = self.position.get();
        let shown = (self.most + 1..src.len()).find(|&len| !self.may_fit(&src[..len]));
        // The last bytes may begin the delimiter.
        let kept = self.delimiter.len() - 1;
        self.consume(src, shown.unwrap_or(src.len()).saturating_sub(kept));
        self.searched = 0;
        self.skipping = Some(at);
        DelimitedError::TooLong {
            most: self.most,
            at,
        }
    }

    /// The frame that ends where the delimiter begins.
    #[inline]
    fn frame(&mut self, src: &mut BytesMut, end: usize) -> Result<Bytes, DelimitedError> {
        let payload = self.payload_len(&src[..end]);
        if payload > self.most {
            return Err(self.refuse(src));
        }
        let mut frame = src.split_to(end + self.delimiter.len());
        frame.truncate(payload);
        self.position.advance(end + self.delimiter.len());
        Ok(frame.freeze())
    }
}

impl Decoder for Delimited {
    type Item = Bytes;
    type Error = DelimitedError;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, DelimitedError> {
        if self.skipping.is_some() {
            if !self.skip(src) {
                return Ok(None);
            }
            self.skipping = None;
        }
        if let Some(end) = self.search(src) {
            return self.frame(src, end).map(Some);
        }
        if self.may_fit(src) {
            return Ok(None);
        }
        Err(self.refuse(src))
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, DelimitedError> {
        if let Some(frame) = self.decode(src)? {
            return Ok(Some(frame));
        }
        let begun = self.skipping.unwrap_or(self.position.get());
        let came = self.position.get() - begun + src.len() as u64;
        if came == 0 || (self.lines && self.skipping.is_some()) {
            return Ok(None);
        }
        if !self.lines {
            return Err(DelimitedError::Truncated { came, at: begun });
        }
        self.searched = 0;
        self.position.advance(src.len());
        let mut line = src.split().freeze();
        line.truncate(self.payload_len(&line));
        Ok(Some(line))
    }
}

impl Encoder<Bytes> for Delimited {
    type Error = DelimitedError;

    #[inline]
    fn encode(&mut self, payload: Bytes, dst: &mut BytesMut) -> Result<(), DelimitedError> {
        let len = payload.len();
        if len > self.most {
            return Err(DelimitedError::UnencodablyLong {
                len,
                most: self.most,
            });
        }
        let payload = &payload[..];
        if let [byte] = self.delimiter[..] {
            if contains(payload, byte) || (self.lines && payload.ends_with(b"\r")) {
                return Err(self.would_be_two(payload));
            }
            dst.reserve(len + 1);
            dst.extend_from_slice(payload);
            dst.put_u8(byte);
            return Ok(());
        }
        if self.first_end(payload) != len {
            return Err(self.would_be_two(payload));
        }
        dst.reserve(len + self.delimiter.len());
        dst.extend_from_slice(payload);
        dst.extend_from_slice(&self.delimiter);
        Ok(())
    }
}
