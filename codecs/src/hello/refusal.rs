//! Why a remote is refused: [`Refusal`].

use std::fmt;

/// The longest text in bytes: what its length on the wire can say.
const MAX_TEXT: usize = u8::MAX as usize;

/// Why a remote is refused, as it is told to the remote.
///
/// # Examples
///
/// ```
/// use wattle_codecs::hello::Refusal;
///
/// let refusal = Refusal::new(300, "banned until\nFriday");
/// assert_eq!(refusal.to_string(), r#"300, "banned until\nFriday""#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: u16,
    text: String,
}

impl Refusal {
    /// The code of a refusal for want of a common version.
    pub const NO_COMMON_VERSION: u16 = 1;

    /// The code of a refusal for want of required features.
    pub const MISSING_FEATURES: u16 = 2;

    /// The first of the codes whose meaning is the application's.
    pub const APPLICATION: u16 = 256;

    /// A refusal with a code for the remote's program and a text for whoever reads its log.
    ///
    /// Codes below [`APPLICATION`](Self::APPLICATION) are the exchange's own. A text of more than
    /// 255 bytes is cut off, between two characters.
    ///
    /// # Panics
    ///
    /// If the code is 0, which means accepted.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        assert_ne!(code, 0, "a refusal with the code of an acceptance");
        let mut text = text.into();
        let end = (0..=MAX_TEXT.min(text.len()))
            .rev()
            .find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
        Self { code, text }
    }

    /// The code, never 0.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The text as it is: characters of any kind, perhaps from somebody unknown. The refusal's
    /// `Display` has it escaped.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A refusal that came. What isn't UTF-8 is replaced with U+FFFD: a reason that can be read in
    /// part is worth more than the error that it can't be read.
    pub(super) fn came(code: u16, text: &[u8]) -> Self {
        Self::new(code, String::from_utf8_lossy(text))
    }
}

/// The code and the text, in quotes and escaped: `300, "banned"`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {:?}", self.code, self.text)
    }
}
