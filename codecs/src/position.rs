//! Where in the stream a decoder stands, so that an error can say at which byte.

/// Bytes of the stream that a decoder has consumed, from where it began to decode.
#[derive(Debug, Clone, Default)]
pub(crate) struct Position(u64);

impl Position {
    pub(crate) fn get(&self) -> u64 {
        self.0
    }

    pub(crate) fn advance(&mut self, bytes: usize) {
        self.0 += bytes as u64;
    }
}
