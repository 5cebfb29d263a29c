//! What keeps an exchange of hellos from an agreement: [`HelloError`].

use std::{error::Error, fmt, io, ops::RangeInclusive};

use bytes::Bytes;

use super::Refusal;

/// What keeps an exchange of hellos from an agreement.
///
/// `at` is the byte of the remote's stream, counted from its beginning.
#[derive(Debug)]
#[non_exhaustive]
pub enum HelloError {
    /// The remote speaks another protocol.
    Magic {
        /// The magic.
        expected: Bytes,
        /// What came in its place; at least up to the first wrong byte.
        came: Bytes,
        /// The first wrong byte.
        at: u64,
    },
    /// The remote's hello announces a length that no hello has.
    Length {
        /// The length as it was announced.
        announced: u16,
        /// The least that it can be.
        least: usize,
        /// The most that it can be.
        most: usize,
        /// Where the length stands.
        at: u64,
    },
    /// The remote's oldest version is above its newest.
    Versions {
        /// The oldest version.
        oldest: u32,
        /// The newest version.
        newest: u32,
        /// Where the oldest version stands.
        at: u64,
    },
    /// The remote announces an identity beyond the cap, or beyond the end of its hello.
    IdentityTooLong {
        /// The length as it was announced.
        announced: u16,
        /// The most that it could be in this hello.
        most: usize,
        /// Where the length stands.
        at: u64,
    },
    /// The stream ended before the remote had said all.
    Ended {
        /// What it ended in, or in front of.
        inside: Part,
        /// How many bytes of that came.
        came: usize,
        /// Where that begins.
        at: u64,
    },
    /// There is no version that both speak.
    NoCommonVersion {
        /// The versions that this node speaks.
        ours: RangeInclusive<u32>,
        /// The versions that the remote speaks.
        theirs: RangeInclusive<u32>,
    },
    /// The remote lacks features that this node requires.
    MissingFeatures {
        /// The features that this node requires.
        required: u64,
        /// The features that the remote has.
        theirs: u64,
    },
    /// The caller's check refused the remote.
    Declined {
        /// What the remote was told.
        refusal: Refusal,
    },
    /// The remote refused this node.
    Refused {
        /// What the remote says why.
        refusal: Refusal,
    },
    /// The transport's error.
    Io(io::Error),
}

/// What each side sends in an exchange of hellos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What it is.
    Hello,
    /// Whether it goes on.
    Verdict,
}

impl HelloError {
    /// What to tell the remote, if it is this side that refuses.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::NoCommonVersion { ours, .. } => Some(Refusal::new(
                Refusal::NO_COMMON_VERSION,
                format!(
                    "no common version: expected {} to {}",
                    ours.start(),
                    ours.end()
                ),
            )),
            Self::MissingFeatures { required, .. } => Some(Refusal::new(
                Refusal::MISSING_FEATURES,
                format!("missing features: expected {required:#x}"),
            )),
            Self::Declined { refusal } => Some(refusal.clone()),
            _ => None,
        }
    }
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { expected, came, at } => write!(
                f,
                "another protocol: expected \"{}\", came \"{}\", wrong from byte {at}",
                expected.escape_ascii(),
                came.escape_ascii()
            ),
            Self::Length {
                announced,
                least,
                most,
                at,
            } => write!(
                f,
                "hello with length {announced} at byte {at}, expected {least} to {most}"
            ),
            Self::Versions { oldest, newest, at } => write!(
                f,
                "hello with versions {oldest} to {newest} at byte {at}, expected the oldest first"
            ),
            Self::IdentityTooLong {
                announced,
                most,
                at,
            } => write!(
                f,
                "hello with an identity of {announced} bytes at byte {at}, expected at most {most}"
            ),
            Self::Ended { inside, came, at } => write!(
                f,
                "{inside} at byte {at}: the stream ended after {came} bytes of it"
            ),
            Self::NoCommonVersion { ours, theirs } => write!(
                f,
                "no common version: we speak {} to {}, the remote speaks {} to {}",
                ours.start(),
                ours.end(),
                theirs.start(),
                theirs.end()
            ),
            Self::MissingFeatures { required, theirs } => write!(
                f,
                "the remote lacks the features {:#x}: we require {required:#x}, it has {theirs:#x}",
                required & !theirs
            ),
            Self::Declined { refusal } => write!(f, "we refused the remote: {refusal}"),
            Self::Refused { refusal } => write!(f, "the remote refused us: {refusal}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello => "hello",
            Self::Verdict => "verdict",
        })
    }
}

impl Error for HelloError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for HelloError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
