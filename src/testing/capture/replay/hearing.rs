//! The way in of a play: what comes is compared with what was recorded.

use std::io;

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::watch,
};

use super::{Mismatch, ReplayError, plan::Plan};

/// How much is read at a time.
const BLOCK: usize = 16 * 1024;

/// How far it has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    pub(super) bytes: u64,
    /// How many frames have come whole.
    pub(super) frame: usize,
    /// How many bytes of the next one have come.
    pub(super) of_frame: usize,
    pub(super) ended: bool,
}

pub(super) struct Hearing<'a> {
    plan: &'a Plan,
    heard: Heard,
    told: &'a watch::Sender<Heard>,
}

impl<'a> Hearing<'a> {
    pub(super) fn new(plan: &'a Plan, told: &'a watch::Sender<Heard>) -> Self {
        let mut hearing = Self {
            plan,
            heard: Heard::default(),
            told,
        };
        hearing.skip_empty();
        hearing
    }

    /// Hears until the peer ends its side.
    pub(super) async fn hear(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), ReplayError> {
        let mut block = vec![0; BLOCK];
        while !self.heard.ended {
            match reader.read(&mut block).await {
                Ok(0) => self.end()?,
                Ok(length) => self.compare(&block[..length])?,
                // A peer that ends without having read everything resets.
                Err(error) if self.all_came() && is_reset(&error) => self.end()?,
                Err(error) => return Err(error.into()),
            }
            self.told.send_replace(self.heard.clone());
        }
        Ok(())
    }

    fn all_came(&self) -> bool {
        self.heard.frame == self.plan.hears.len()
    }

    fn end(&mut self) -> Result<(), ReplayError> {
        if let Some(missing) = self.plan.hears.get(self.heard.frame) {
            return Err(ReplayError::Ended {
                number: self.heard.frame,
                came: self.heard.of_frame,
                missing: Box::new(missing.clone()),
            });
        }
        self.heard.ended = true;
        Ok(())
    }

    fn compare(&mut self, mut came: &[u8]) -> Result<(), ReplayError> {
        while !came.is_empty() {
            let Some(frame) = self.plan.hears.get(self.heard.frame) else {
                let came = Bytes::copy_from_slice(came);
                return Err(ReplayError::TooMuch { came });
            };
            let (known, rest) = frame.bytes.split_at(self.heard.of_frame);
            let differs = rest.iter().zip(came).position(|(a, b)| a != b);
            if let Some(at) = differs {
                return Err(ReplayError::Mismatch(Box::new(Mismatch {
                    number: self.heard.frame,
                    offset: known.len() + at,
                    came: [known, came].concat().into(),
                    expected: frame.clone(),
                })));
            }
            let same = rest.len().min(came.len());
            came = &came[same..];
            self.heard.bytes += same as u64;
            self.heard.of_frame += same;
            self.skip_empty();
        }
        Ok(())
    }

    /// Goes on to the next frame that isn't whole. One that has no bytes always is.
    fn skip_empty(&mut self) {
        while let Some(frame) = self.plan.hears.get(self.heard.frame)
            && frame.bytes.len() == self.heard.of_frame
        {
            self.heard.frame += 1;
            self.heard.of_frame = 0;
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionReset | ConnectionAborted | BrokenPipe
    )
}
