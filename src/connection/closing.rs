//! Closing is a small machine of its own:
//!
//! ```text
//!          all is written       our side is shut      the remote's side ended
//!  Drain ────────────────► Shut ────────────────► Linger ────────────────► ended
//!    └──────── write error, or the drain timeout at any stage ──────────────►┘
//! ```
//!
//! What comes in meanwhile is read and thrown away: two nodes that close at the same time must not
//! wait for each other, a remote that writes all it has before it reads must get to reading, and a
//! socket that is closed with unread bytes makes the operating system reset the connection, which can
//! destroy what the remote hasn't read yet. A remote that sent what can't be decoded isn't lingered for:
//! it would decide how long it stays.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::sink::Sink;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::codec::{Decoder, Encoder};

use super::{Connection, Reading, Step};
use crate::{disconnect::Disconnect, transport::ByteStream};

/// What is thrown away at once.
const SCRATCH: usize = 4 * 1024;

/// How many reads in a row before others get their turn.
const READS_PER_TURN: usize = 16;

#[derive(Debug)]
pub(super) struct Closing {
    pub(super) disconnect: Disconnect,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Drain,
    Shut,
    Linger,
}

impl Closing {
    pub(super) fn new(disconnect: Disconnect) -> Self {
        Self {
            disconnect,
            stage: Stage::Drain,
        }
    }
}

impl<Io, C, Out> Connection<Io, C, Out>
where
    Io: ByteStream,
    C: Decoder + Encoder<Out>,
    <C as Decoder>::Error: Into<crate::BoxError>,
    <C as Encoder<Out>>::Error: Into<crate::BoxError>,
{
    /// One step of closing.
    pub(super) fn close(&mut self, cx: &mut Context<'_>, stage: &mut Closing) -> Step {
        let discarded = self.discard(cx);
        let written = match stage.stage {
            Stage::Drain => match self.pump_write(cx) {
                Step::Wait if !self.write_stalled => {
                    stage.stage = Stage::Shut;
                    Step::Again
                }
                // The stream takes no more.
                Step::End(_) => Step::End(stage.disconnect.clone()),
                // An encoder failed; what it had encoded before is still to be flushed.
                Step::Close(_) => Step::Again,
                step => step,
            },
            Stage::Shut => match Pin::new(&mut self.framed).poll_close(cx) {
                Poll::Ready(Ok(())) => {
                    stage.stage = Stage::Linger;
                    Step::Again
                }
                Poll::Ready(Err(_)) => Step::End(stage.disconnect.clone()),
                Poll::Pending => Step::Wait,
            },
            Stage::Linger => match self.reading {
                Reading::Open => Step::Wait,
                Reading::Failed | Reading::Ended => Step::End(stage.disconnect.clone()),
            },
        };
        match (written, discarded) {
            (Step::Wait, Step::Again) => Step::Again,
            (written, _) => written,
        }
    }

    /// Reads and throws away until nothing is there or the remote's side has ended.
    fn discard(&mut self, cx: &mut Context<'_>) -> Step {
        let mut scratch = [0; SCRATCH];
        for _ in 0..READS_PER_TURN {
            if let Reading::Ended = self.reading {
                return Step::Wait;
            }
            let mut scratch = ReadBuf::new(&mut scratch);
            match Pin::new(self.framed.get_mut()).poll_read(cx, &mut scratch) {
                Poll::Ready(Ok(())) if !scratch.filled().is_empty() => {}
                Poll::Ready(_) => {
                    self.reading = Reading::Ended;
                    return Step::Again;
                }
                Poll::Pending => return Step::Wait,
            }
        }
        Step::Again
    }
}
