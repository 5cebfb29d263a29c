//! Messages and bytes as short text.

use std::fmt::{self, Debug, Write};

/// The most of a message's `Debug` text, in characters.
const TEXT: usize = 240;

/// The most bytes that are shown where they are text.
const CHARS: usize = 64;

/// The most bytes that are shown in hexadecimal: with the characters beside them, a line's worth.
const HEX: usize = 24;

/// The `Debug` text of a message, as long as one would read.
pub(super) fn text(message: &impl Debug) -> String {
    let mut text = format!("{message:?}");
    if let Some((end, _)) = text.char_indices().nth(TEXT) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// How many bytes, in words.
pub(super) struct Count(pub(super) usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 byte"),
            n => write!(f, "{n} bytes"),
        }
    }
}

/// The first of some bytes: as text where they are, else as numbers with the text beside them.
pub(super) struct Dump<'a>(pub(super) &'a [u8]);

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.iter().copied().all(is_text) {
            let shown = self.0.get(..CHARS).unwrap_or(self.0);
            write!(f, "\"{}\"", shown.escape_ascii())?;
            return more(f, shown, self.0);
        }
        let shown = self.0.get(..HEX).unwrap_or(self.0);
        for byte in shown {
            write!(f, "{byte:02x} ")?;
        }
        f.write_char('|')?;
        for &byte in shown {
            let graphic = byte.is_ascii_graphic() || byte == b' ';
            f.write_char(if graphic { byte.into() } else { '.' })?;
        }
        f.write_char('|')?;
        more(f, shown, self.0)
    }
}

fn is_text(byte: u8) -> bool {
    byte.is_ascii_graphic() || b" \r\n\t".contains(&byte)
}

fn more(f: &mut fmt::Formatter<'_>, shown: &[u8], all: &[u8]) -> fmt::Result {
    if shown.len() < all.len() {
        f.write_char('…')?;
    }
    Ok(())
}
