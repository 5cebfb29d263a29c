//! Static keys: [`Keypair`], [`PublicKey`].

use std::{
    fmt::{self, Write},
    str::FromStr,
};

use snow::{
    params::DHChoice,
    resolvers::{CryptoResolver, DefaultResolver},
    types::Dh,
};

use super::{NoiseError, SetupProblem};

/// The size of a key of Curve25519, private or public, in bytes.
pub(super) const KEY: usize = 32;

/// A static key of Curve25519: what a node is known by.
///
/// `Debug` prints the public half alone.
#[derive(Clone)]
pub struct Keypair {
    private: [u8; KEY],
    public: PublicKey,
}

impl Keypair {
    /// A new one, from the operating system's random numbers.
    ///
    /// # Errors
    ///
    /// Where there are none to be had.
    pub fn generate() -> Result<Self, NoiseError> {
        let mut random = DefaultResolver.resolve_rng().ok_or_else(unsupported)?;
        let mut private = [0; KEY];
        random
            .try_fill_bytes(&mut private)
            .map_err(SetupProblem::Snow)?;
        Self::from_private(private)
    }

    /// The one with this private key, as [`private`](Self::private) has given it to be kept.
    ///
    /// # Errors
    ///
    /// Where `snow` was built without Curve25519.
    pub fn from_private(private: [u8; KEY]) -> Result<Self, NoiseError> {
        let mut dh = curve25519()?;
        dh.set(&private);
        let public = PublicKey::new(dh.pubkey()).ok_or_else(unsupported)?;
        Ok(Self { private, public })
    }

    /// The half that others may know.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The half that nobody else may know, to be kept for the next time.
    pub fn private(&self) -> &[u8; KEY] {
        &self.private
    }
}

fn curve25519() -> Result<Box<dyn Dh>, NoiseError> {
    DefaultResolver
        .resolve_dh(&DHChoice::Curve25519)
        .ok_or_else(unsupported)
}

fn unsupported() -> NoiseError {
    NoiseError::Setup(SetupProblem::Snow(snow::Error::Init(
        snow::error::InitStage::GetDhImpl,
    )))
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keypair")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// The most bytes of a public key that a `snow` with all its features knows: P-256, uncompressed.
const MOST_KEY: usize = 65;

/// A static key's public half: 32 bytes on Curve25519.
///
/// It is written and parsed as hexadecimal digits.
///
/// # Examples
///
/// ```
/// use wattle_codecs::noise::PublicKey;
///
/// let key = PublicKey::from([0xab; 32]);
/// let text = key.to_string();
/// assert!(text.starts_with("abab") && text.len() == 64);
/// assert_eq!(text.parse(), Ok(key));
/// assert!("abab".parse::<PublicKey>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    /// Zeroes behind the key's own bytes, so that what is derived is right.
    bytes: [u8; MOST_KEY],
    len: usize,
}

impl PublicKey {
    /// `None` if it is longer than any key may be.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; MOST_KEY];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self {
            bytes,
            len: key.len(),
        })
    }

    /// Whether it is one of those few on Curve25519 with which every private key comes to the same
    /// secret, all zeroes ([RFC 7748], section 6.1). Nobody holds a private key to such a one: anybody
    /// can show it.
    ///
    /// [RFC 7748]: https://www.rfc-editor.org/rfc/rfc7748
    pub(super) fn is_nobodys(&self) -> bool {
        let mut secret = [0; KEY];
        self.len == KEY
            && curve25519().is_ok_and(|mut dh| {
                dh.set(&[1; KEY]);
                dh.dh(self.as_bytes(), &mut secret).is_err() || secret == [0; KEY]
            })
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsRef<[u8]> for PublicKey {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<[u8; KEY]> for PublicKey {
    fn from(key: [u8; KEY]) -> Self {
        let mut bytes = [0; MOST_KEY];
        bytes[..KEY].copy_from_slice(&key);
        Self { bytes, len: KEY }
    }
}

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY {
            return Err(ParseKeyError::Length(digits.len()));
        }
        let mut key = [0; KEY];
        for (i, byte) in key.iter_mut().enumerate() {
            *byte = digit(digits, 2 * i)? << 4 | digit(digits, 2 * i + 1)?;
        }
        Ok(key.into())
    }
}

fn digit(digits: &[u8], at: usize) -> Result<u8, ParseKeyError> {
    char::from(digits[at])
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(ParseKeyError::Digit { at })
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        fmt::Display::fmt(self, f)?;
        f.write_char(')')
    }
}

/// A text that isn't a [`PublicKey`] on Curve25519.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseKeyError {
    /// It has another number of bytes than 64.
    Length(usize),
    /// It has something else than a hexadecimal digit.
    Digit {
        /// At this byte, counted from 0.
        at: usize,
    },
}

impl fmt::Display for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(
                f,
                "a key of {} hexadecimal digits expected, {len} bytes came",
                2 * KEY
            ),
            Self::Digit { at } => write!(f, "no hexadecimal digit at byte {at} of the key"),
        }
    }
}

impl std::error::Error for ParseKeyError {}
