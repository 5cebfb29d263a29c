//! Frames that end with a delimiter: [`Delimited`].

use std::{error::Error, fmt, io};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::{Recoverable, position::Position};

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
/// [`DelimitedError`]. That a frame is too long is [recoverable](Recoverable). A payload that
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

    /// Whether a payload ends for the other side where it ends.
    #[inline]
    fn is_whole(&self, payload: &[u8]) -> bool {
        match self.delimiter[..] {
            [byte] => !contains(payload, byte) && self.payload_len(payload) == payload.len(),
            _ => self.first_end(payload) == payload.len(),
        }
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
        if !self.is_whole(&payload) {
            let position = self.first_end(&payload);
            return Err(DelimitedError::ContainsDelimiter { position });
        }
        dst.reserve(len + self.delimiter.len());
        dst.extend_from_slice(&payload);
        match self.delimiter[..] {
            [byte] => dst.put_u8(byte),
            ref more => dst.extend_from_slice(more),
        }
        Ok(())
    }
}

/// Where `needle`, which isn't empty, begins for the first time.
#[inline]
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if let [byte] = *needle {
        return find_byte(haystack, byte);
    }
    find_more(haystack, needle)
}

/// The same for a needle of several bytes.
fn find_more(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find_byte(&haystack[from..], needle[0])?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// So many bytes are looked at word by word, and all behind them in blocks of as many.
const NEAR: usize = 64;

#[inline]
fn find_byte(haystack: &[u8], byte: u8) -> Option<usize> {
    let (near, far) = haystack.split_at(haystack.len().min(NEAR));
    let found = find_near(near, byte);
    if found.is_some() || far.is_empty() {
        return found;
    }
    Some(NEAR + find_far(far, byte)?)
}

/// Eight bytes at a time, the last eight overlapping those before.
#[inline]
fn find_near(near: &[u8], byte: u8) -> Option<usize> {
    let (words, rest) = near.as_chunks();
    for (i, &word) in words.iter().enumerate() {
        if let Some(at) = find_in_word(word, byte) {
            return Some(8 * i + at);
        }
    }
    match near.last_chunk() {
        Some(&last) => find_in_word(last, byte).map(|at| near.len() - 8 + at),
        None => rest.iter().position(|&other| other == byte),
    }
}

/// The bytes that are `byte` become zero, and the lowest zero byte is the lowest one that borrows when 1
/// is taken from each.
#[inline]
fn find_in_word(word: [u8; 8], byte: u8) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let other = u64::from_le_bytes(word) ^ (ONES * u64::from(byte));
    let found = other.wrapping_sub(ONES) & !other & TOPS;
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

#[inline(never)]
fn find_far(far: &[u8], byte: u8) -> Option<usize> {
    let (blocks, rest) = far.as_chunks::<NEAR>();
    let (before, within) = match blocks.iter().position(|block| has(block, byte)) {
        Some(at) => (at, &blocks[at][..]),
        None => (blocks.len(), rest),
    };
    Some(NEAR * before + find_near(within, byte)?)
}

/// The same as `find_byte` for those who don't ask where, which takes less.
#[inline]
fn contains(haystack: &[u8], byte: u8) -> bool {
    let (near, far) = haystack.split_at(haystack.len().min(NEAR));
    let (blocks, rest) = near.as_chunks::<16>();
    let in_rest = match near.last_chunk::<16>() {
        _ if rest.is_empty() => false,
        Some(last) => has(last, byte),
        None => find_near(rest, byte).is_some(),
    };
    in_rest
        || blocks.iter().any(|block| has(block, byte))
        || (!far.is_empty() && find_far(far, byte).is_some())
}

/// A block is looked at as a whole, for which there are vector instructions.
#[inline]
fn has<const N: usize>(block: &[u8; N], byte: u8) -> bool {
    block
        .iter()
        .fold(false, |has, &other| has | (other == byte))
}

/// What is wrong with a frame of [`Delimited`]. `at` is the byte of the stream that the frame begins
/// at, counted from where the codec began to decode.
#[derive(Debug)]
#[non_exhaustive]
pub enum DelimitedError {
    /// The remote sends a frame beyond the cap. The codec finds the next one by itself.
    TooLong {
        /// The cap on the payload in bytes.
        most: usize,
        /// Where the frame begins.
        at: u64,
    },
    /// The stream ended inside a frame.
    Truncated {
        /// How many bytes of the frame came.
        came: u64,
        /// Where the frame begins.
        at: u64,
    },
    /// A payload that is to be sent contains the delimiter, or begins one that ends with the bytes
    /// written behind the payload.
    ContainsDelimiter {
        /// Where in the payload the delimiter begins.
        position: usize,
    },
    /// A payload that is to be sent is beyond the cap.
    UnencodablyLong {
        /// The payload in bytes.
        len: usize,
        /// The most that could be sent.
        most: usize,
    },
    /// The transport's error.
    Io(io::Error),
}

impl fmt::Display for DelimitedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { most, at } => write!(
                f,
                "frame at byte {at}: no delimiter, expected one after at most {most} bytes of payload"
            ),
            Self::Truncated { came, at } => write!(
                f,
                "frame at byte {at}: the stream ended after {came} bytes of it, expected a delimiter"
            ),
            Self::ContainsDelimiter { position } => write!(
                f,
                "a payload to send with the delimiter at its byte {position}, expected none in it"
            ),
            Self::UnencodablyLong { len, most } => write!(
                f,
                "a payload of {len} bytes to send, expected at most {most}"
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for DelimitedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for DelimitedError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The codec throws an oversized frame away up to its end.
impl Recoverable for DelimitedError {
    fn is_recoverable(&self) -> bool {
        matches!(self, Self::TooLong { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::{contains, find_byte};

    #[test]
    fn a_byte_is_found_wherever_it_is_and_the_first_one() {
        for len in 0..200 {
            // Around the one that is looked for, in the value and in the word.
            let mut haystack: Vec<u8> = (0..len).map(|i| [0x0b, 0x09, 0x8a, 0x00][i % 4]).collect();
            assert_eq!(find_byte(&haystack, b'\n'), None);
            assert!(!contains(&haystack, b'\n'), "of {len}");
            for at in (0..len).rev() {
                let other = std::mem::replace(&mut haystack[at], b'\n');
                assert!(contains(&haystack, b'\n'), "{at} of {len}");
                haystack[at] = other;
            }
            for at in (0..len).rev() {
                haystack[at] = b'\n';
                assert_eq!(find_byte(&haystack, b'\n'), Some(at), "of {len}");
            }
        }
    }
}
