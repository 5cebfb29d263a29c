//! The life of a session: from its first poll to the moment when everyone knows that it has ended.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures::future::FutureExt;
use tokio_util::codec::{Decoder, Encoder};
use tracing::debug;

use super::core::Core;
use crate::{
    admission::Permit,
    connection::{Connection, Ended},
    disconnect::{BoxError, Disconnect, Reason, panic_message},
    inbound::Ender,
    outbound::Queue,
    transport::ByteStream,
};

/// What goes with a connection, and outlives it by a moment. However its task ends, dropping this
/// tells everyone, in this order: the registry, the counters, the admission, the reader of events,
/// those who wait for the connection.
pub(super) struct Session<In, Out> {
    core: Arc<Core<Out>>,
    queue: Arc<Queue<Out>>,
    ender: Option<Ender<In>>,
    ended: Ended,
    permit: Option<Permit>,
}

impl<In, Out> Session<In, Out> {
    pub(super) fn new(
        core: Arc<Core<Out>>,
        queue: Arc<Queue<Out>>,
        ender: Ender<In>,
        permit: Permit,
    ) -> Self {
        Self {
            core,
            queue,
            ender: Some(ender),
            ended: Ended {
                disconnect: Disconnect::local(Reason::Aborted),
                drain_timed_out: false,
            },
            permit: Some(permit),
        }
    }

    /// Runs the connection to its end.
    pub(super) async fn run<Io, C>(mut self, mut connection: Connection<Io, C, Out>)
    where
        Io: ByteStream,
        C: Decoder<Item = In> + Encoder<Out>,
        <C as Decoder>::Error: Into<BoxError>,
        <C as Encoder<Out>>::Error: Into<BoxError>,
    {
        let ended = AssertUnwindSafe(&mut connection).catch_unwind().await;
        // The connection is dropped, and its stream closed, before anybody is told. The codec is the
        // user's and may panic in that, too; of two panics the first is the reason.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(connection)));
        match ended.and_then(|ended| dropped.map(|()| ended)) {
            Ok(ended) => self.ended = ended,
            Err(payload) => {
                let reason = Reason::Panicked(panic_message(&*payload));
                self.ended.disconnect = Disconnect::library(reason);
            }
        }
    }
}

impl<In, Out> Drop for Session<In, Out> {
    fn drop(&mut self) {
        let (unsent, undelivered) = self.queue.abandon();
        let disconnect = &mut self.ended.disconnect;
        disconnect.undelivered = undelivered;
        self.core.count(|stats| {
            self.core.registry.remove(self.queue.peer());
            stats.add_traffic(&self.queue.stats());
            stats.add_ending(disconnect);
            stats.timeouts.drain += u64::from(self.ended.drain_timed_out);
        });
        let reason = disconnect.to_string();
        debug!(?reason, "disconnected");
        // Whoever is told of the end may count on the room that it leaves.
        drop(self.permit.take());
        if let Some(ender) = self.ender.take() {
            ender.end(disconnect.clone());
        }
        self.queue.end(disconnect.clone());
        // Last, because these are the user's, and dropping them could panic.
        drop(unsent);
    }
}
