//! The laws' names: [`Law`].

use std::fmt;

/// One of the laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Law {
    /// What was encoded decodes to itself, and nothing is left over.
    RoundTrip,
    /// However the bytes are split into reads, they decode to the same.
    EverySplit,
    /// Many frames in one read decode to the same items, one after another, without another read.
    ManyInOneRead,
    /// The encoder appends, and never touches what is in its buffer already.
    EncoderAppends,
    /// An encode that fails leaves its buffer as it was, and the encoder able to go on.
    FailedEncode,
    /// The cap holds in both directions.
    Cap,
    /// Memory is made for the bytes that have come, not for those that were announced.
    Reserve,
    /// A stream that ends inside a frame is an error, one that ends between two isn't.
    End,
    /// Garbage and damaged frames never make the decoder panic or go on for ever, and decode to the
    /// same, however they are split.
    Garbage,
    /// A frame is decoded without taking a byte of the next.
    NoOverRead,
    /// The decoder's state survives `Ok(None)`: calls without new bytes, and another buffer with the same
    /// content, change nothing.
    StateSurvives,
    /// A fresh decoder finds nothing in an empty buffer, and fresh codecs don't know of each other.
    Fresh,
}

impl Law {
    /// All of them, in the order in which [`check`](crate::laws::check) goes through them.
    pub const ALL: [Self; 12] = [
        Self::RoundTrip,
        Self::EverySplit,
        Self::ManyInOneRead,
        Self::EncoderAppends,
        Self::FailedEncode,
        Self::Cap,
        Self::Reserve,
        Self::End,
        Self::Garbage,
        Self::NoOverRead,
        Self::StateSurvives,
        Self::Fresh,
    ];
}

/// The law as a sentence.
impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RoundTrip => "what was encoded decodes to itself, and nothing is left over",
            Self::EverySplit => "every split of the bytes decodes to the same",
            Self::ManyInOneRead => "many frames in one read decode one after another",
            Self::EncoderAppends => "the encoder appends and touches nothing that is there",
            Self::FailedEncode => "a failed encode leaves buffer and encoder as they were",
            Self::Cap => "the cap holds in both directions",
            Self::Reserve => "memory is made for what has come, not for what was announced",
            Self::End => "a truncated end is an error, and a clean end isn't",
            Self::Garbage => "garbage neither panics nor loops, and decodes the same when split",
            Self::NoOverRead => "a frame is decoded without a byte of the next",
            Self::StateSurvives => "the decoder's state survives Ok(None)",
            Self::Fresh => "a fresh codec begins from nothing",
        })
    }
}
