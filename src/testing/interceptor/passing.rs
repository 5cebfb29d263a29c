//! One direction of a link: what is decoded there is judged, and encoded here.

use std::{any::Any, panic::AssertUnwindSafe};

use futures::{
    future::FutureExt,
    sink::{Sink, SinkExt},
    stream::{Stream, StreamExt},
};

use super::{Passage, Shared, Verdict};
use crate::{BoxError, Reason, disconnect::panic_message};

/// Why a link is cut.
pub(super) enum Ending {
    /// It was decided.
    Cut,
    /// A codec or a stream failed, or the user's code panicked.
    Failed(Passage, BoxError),
}

/// One direction.
struct Lane<'a, In, Out, S> {
    shared: &'a Shared<In, Out>,
    sink: &'a mut S,
    passage: Passage,
    /// What goes behind the next that is delivered, in this order.
    behind: Vec<Out>,
}

/// Passes on what comes until the sender ends its side, which is passed on, too.
pub(super) async fn pass<In, Out, R, S, D>(
    shared: &Shared<In, Out>,
    first: Passage,
    stream: &mut R,
    sink: &mut S,
) -> Result<(), Ending>
where
    R: Stream<Item = Result<In, D>> + Unpin,
    D: Into<BoxError>,
    S: Sink<Out, Error: Into<BoxError>> + Unpin,
{
    let mut lane = Lane {
        shared,
        sink,
        passage: first,
        behind: Vec::new(),
    };
    // What a panic leaves half done is its own link's, which is cut.
    let run = AssertUnwindSafe(lane.run(stream)).catch_unwind().await;
    run.unwrap_or_else(|payload| Err(lane.failed(panicked(payload))))
}

/// In the words of a node that is told of one.
pub(super) fn panicked(payload: Box<dyn Any + Send>) -> BoxError {
    Reason::Panicked(panic_message(payload)).to_string().into()
}

/// The next message, with an error that can be kept.
async fn next<In, D: Into<BoxError>>(
    stream: &mut (impl Stream<Item = Result<In, D>> + Unpin),
) -> Option<Result<In, BoxError>> {
    let message = stream.next().await?;
    Some(message.map_err(Into::into))
}

impl<In, Out, S> Lane<'_, In, Out, S>
where
    S: Sink<Out, Error: Into<BoxError>> + Unpin,
{
    async fn run<R, D>(&mut self, stream: &mut R) -> Result<(), Ending>
    where
        R: Stream<Item = Result<In, D>> + Unpin,
        D: Into<BoxError>,
    {
        while let Some(message) = next(stream).await {
            let message = message.map_err(|error| self.failed(error))?;
            self.judge(message).await?;
            self.passage.number += 1;
        }
        self.deliver(None).await?;
        let closed = self.sink.close().await;
        closed.map_err(|error| self.failed(error.into()))
    }

    async fn judge(&mut self, message: In) -> Result<(), Ending> {
        // Not under the lock: it is the user's.
        let judge = self.shared.judge().clone();
        match judge(self.passage, message) {
            Verdict::Deliver(message) => self.deliver([message]).await,
            Verdict::DeliverAll(messages) => self.deliver(messages).await,
            Verdict::Drop => Ok(()),
            Verdict::Delay(message, time) => {
                tokio::time::sleep(time).await;
                self.deliver([message]).await
            }
            Verdict::Reorder(message) => {
                self.behind.push(message);
                Ok(())
            }
            Verdict::CutBefore => Err(Ending::Cut),
            Verdict::CutAfter(message) => {
                self.deliver([message]).await?;
                Err(Ending::Cut)
            }
        }
    }

    /// Writes these, and what waits to go behind them.
    async fn deliver(&mut self, messages: impl IntoIterator<Item = Out>) -> Result<(), Ending> {
        let behind = std::mem::take(&mut self.behind);
        for message in messages.into_iter().chain(behind) {
            let fed = self.sink.feed(message).await;
            fed.map_err(|error| self.failed(error.into()))?;
        }
        let flushed = self.sink.flush().await;
        flushed.map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, error: BoxError) -> Ending {
        Ending::Failed(self.passage, error)
    }
}
