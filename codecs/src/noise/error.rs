//! What goes wrong in a handshake and in its session: [`NoiseError`].

use std::{error::Error, fmt, io};

use super::PublicKey;
use crate::Recoverable;

/// What is wrong with a handshake of [`Noise`](super::Noise), or with a message of
/// [`NoiseCodec`](super::NoiseCodec).
///
/// Messages of the handshake are counted from 1, those of either side alike. Messages of the session
/// are Noise's own (see [`NoiseCodec`](super::NoiseCodec) for those that are split) and counted from 0
/// in each direction, as their nonces are; `at` is the byte of the session that the frame begins at.
///
/// None is [recoverable](Recoverable): what comes behind can't be decrypted or can't be trusted.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoiseError {
    /// The transport's error.
    Io(io::Error),
    /// The handshake can't be run as it is set up.
    Setup(SetupProblem),

    /// The remote closed instead of sending a message of the handshake. Often that is how it says no.
    Closed {
        /// The message that was awaited.
        message: usize,
    },
    /// The remote closed within a message of the handshake.
    HandshakeTruncated {
        /// The message.
        message: usize,
        /// How many bytes its frame has, the length included; 2 if not even that has come.
        expected: usize,
        /// How many of them came.
        came: usize,
    },
    /// A message of the handshake is too short for what belongs into it, or holds an impossible
    /// key: the remote speaks another pattern, or takes itself for the initiator too, or shows a
    /// static key that no private key belongs to (a point of small order, which anybody can show).
    HandshakeMalformed {
        /// The message.
        message: usize,
        /// Its bytes.
        len: usize,
    },
    /// A message of the handshake doesn't decrypt: the remote uses another static key than the one
    /// that we know, or knows another one of ours; another pre-shared key, another prologue or
    /// another protocol name; or somebody has altered the message.
    HandshakeDecrypt {
        /// The message.
        message: usize,
    },
    /// The remote isn't the one who was expected.
    WrongRemote {
        /// The static key that was expected.
        expected: Box<PublicKey>,
        /// The one that came; `None` where the pattern has none for the remote.
        came: Option<Box<PublicKey>>,
    },

    /// The remote announces a frame that can't hold the tag of a message.
    TooShort {
        /// The length as it was announced.
        len: usize,
        /// The least that it can be.
        least: usize,
        /// Where the frame begins.
        at: u64,
    },
    /// The remote sends a message beyond the cap.
    TooLong {
        /// The message's bytes so far, those of the announced part included.
        len: usize,
        /// The cap in bytes.
        most: usize,
        /// Where the frame begins that is too much.
        at: u64,
    },
    /// A message doesn't decrypt: it was altered, or made up by somebody without the key, such as one who
    /// has replayed the first message of IK; or the two sides don't rekey after the same number of
    /// messages.
    Tampered {
        /// Which message was expected.
        expected: u64,
        /// Where its frame begins.
        at: u64,
    },
    /// A message that came before comes again. (One from before the last rekeying, or more than 64
    /// messages back or so many as come to 512 KiB, is [`Tampered`](Self::Tampered): nobody can tell.)
    Replayed {
        /// Which message was expected.
        expected: u64,
        /// Which one came.
        came: u64,
        /// Where its frame begins.
        at: u64,
    },
    /// A later message comes than the next one: some are missing, or they were put in another order.
    /// (One from behind the next rekeying, or more than 64 messages or 512 KiB ahead, is
    /// [`Tampered`](Self::Tampered).)
    Skipped {
        /// Which message was expected.
        expected: u64,
        /// Which one came.
        came: u64,
        /// Where its frame begins.
        at: u64,
    },
    /// The stream ended inside a frame.
    Truncated {
        /// How many bytes the frame has, the length included; 2 if not even that has come.
        expected: usize,
        /// How many of them came.
        came: usize,
        /// Where the frame begins.
        at: u64,
    },
    /// The stream ended between the parts of a message that was split.
    Unfinished {
        /// How many bytes of the message came.
        came: usize,
        /// Where the next part should have begun.
        at: u64,
    },

    /// A message that is to be sent is beyond the cap.
    UnencodablyLong {
        /// Its bytes.
        len: usize,
        /// The cap.
        most: usize,
    },
    /// A message against the direction of a pattern that has only one (N, K, X).
    OneWay,
    /// All 2⁶⁴ − 1 messages that there can be in this direction have been.
    Exhausted,
}

/// Why a handshake can't be run as it is set up.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum SetupProblem {
    /// `snow` doesn't know the protocol name, or the pre-shared key's position in this pattern.
    Unsupported {
        /// The name.
        name: String,
        /// What `snow` says about it.
        source: snow::Error,
    },
    /// The pattern needs a static key of this side: [`Noise::keypair`](super::Noise::keypair).
    NoKeypair,
    /// The pattern needs the remote's static key: [`Noise::remote`](super::Noise::remote).
    NoRemote,
    /// The remote's static key has another size than that of Curve25519.
    RemoteLength(usize),
    /// The pattern needs the pre-shared key of this position: [`Noise::psk`](super::Noise::psk).
    NoPsk(u8),
    /// Rekeying after every zero messages.
    RekeyEveryZero,
    /// A payload doesn't fit into its message of the handshake.
    PayloadTooLong {
        /// The message.
        message: usize,
        /// The payload's bytes.
        len: usize,
    },
    /// There are more payloads than messages of ours in the handshake.
    PayloadLeft {
        /// How many payloads have no message.
        left: usize,
    },
    /// Anything else that `snow` reports, such as a lack of random numbers.
    Snow(snow::Error),
}

impl fmt::Display for NoiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Setup(problem) => write!(f, "Noise can't be set up: {problem}"),
            Self::Closed { message } => write!(
                f,
                "message {message} of the handshake: expected, but the remote closed"
            ),
            Self::HandshakeTruncated {
                message,
                expected,
                came,
            } => write!(
                f,
                "message {message} of the handshake: the stream ended after {came} bytes of {expected}"
            ),
            Self::HandshakeMalformed { message, len } => write!(
                f,
                "message {message} of the handshake: {len} bytes don't hold the keys that belong \
                 into it; the remote may speak another pattern, or be an initiator too"
            ),
            Self::HandshakeDecrypt { message } => write!(
                f,
                "message {message} of the handshake doesn't decrypt: another static key, pre-shared \
                 key, prologue or protocol name than expected, or it was altered"
            ),
            Self::WrongRemote { expected, came } => {
                write!(f, "the remote's static key: expected {expected}, ")?;
                match came {
                    Some(came) => write!(f, "got {came}"),
                    None => f.write_str("but the pattern has none"),
                }
            }
            Self::TooShort { len, least, at } => write!(
                f,
                "frame at byte {at}: length {len}, expected at least the {least} bytes of a tag"
            ),
            Self::TooLong { len, most, at } => write!(
                f,
                "frame at byte {at}: a message of {len} bytes or more, expected at most {most}"
            ),
            Self::Tampered { expected, at } => write!(
                f,
                "frame at byte {at}: message {expected} doesn't decrypt; it was altered, or the \
                 sides don't rekey alike"
            ),
            Self::Replayed { expected, came, at } => write!(
                f,
                "frame at byte {at}: expected message {expected}, got message {came} again"
            ),
            Self::Skipped { expected, came, at } => write!(
                f,
                "frame at byte {at}: expected message {expected}, got message {came} ahead of it"
            ),
            Self::Truncated { expected, came, at } => write!(
                f,
                "frame at byte {at}: the stream ended after {came} bytes of {expected}"
            ),
            Self::Unfinished { came, at } => write!(
                f,
                "byte {at}: the stream ended after {came} bytes of a message of several parts"
            ),
            Self::UnencodablyLong { len, most } => {
                write!(
                    f,
                    "a message of {len} bytes to send, expected at most {most}"
                )
            }
            Self::OneWay => f.write_str("a message against the direction of a one-way pattern"),
            Self::Exhausted => {
                f.write_str("no nonce is left: 2^64 - 1 messages went in this direction")
            }
        }
    }
}

impl fmt::Display for SetupProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { name, source } => write!(f, "{name} isn't supported: {source}"),
            Self::NoKeypair => f.write_str("the pattern needs a static key of this side"),
            Self::NoRemote => f.write_str("the pattern needs the remote's static key beforehand"),
            Self::RemoteLength(len) => {
                write!(f, "the remote's static key has {len} bytes, expected 32")
            }
            Self::NoPsk(position) => {
                write!(
                    f,
                    "the pattern needs a pre-shared key at position {position}"
                )
            }
            Self::RekeyEveryZero => {
                f.write_str("rekeying after every 0 messages, expected 1 or more")
            }
            Self::PayloadTooLong { message, len } => write!(
                f,
                "message {message} of the handshake has no room for a payload of {len} bytes"
            ),
            Self::PayloadLeft { left } => write!(
                f,
                "{left} more payloads than messages of this side in the handshake"
            ),
            Self::Snow(source) => source.fmt(f),
        }
    }
}

impl Error for NoiseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            Self::Setup(problem) => problem.source(),
            _ => None,
        }
    }
}

impl Error for SetupProblem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unsupported { source, .. } => Some(source),
            Self::Snow(source) => source.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for NoiseError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<SetupProblem> for NoiseError {
    fn from(problem: SetupProblem) -> Self {
        Self::Setup(problem)
    }
}

impl Recoverable for NoiseError {
    fn is_recoverable(&self) -> bool {
        false
    }
}
