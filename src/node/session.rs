//! The life of a session: from its first poll to the moment when everyone knows that it has ended.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio_util::codec::{Decoder, Encoder};
use tracing::{debug, trace};

use super::core::Core;
use crate::{
    admission::Permit,
    connection::Connection,
    disconnect::{BoxError, Disconnect, Initiator, Reason, contain, panic_message, shown},
    inbound::Ender,
    outbound::Queue,
    peer::Side,
    throttle::{Kind, Tell, Throttle},
    transport::ByteStream,
};

/// The task of a connection: contains its panics, and says farewell for it.
///
/// Written by hand rather than as an `async fn`, which would keep the connection's room twice.
pub(super) struct Session<Io, C: Decoder, Out> {
    /// Dropped before the farewell is said, so that the stream is closed by then.
    connection: Option<Connection<Io, C, Out>>,
    farewell: Farewell<C::Item, Out>,
}

/// What goes with a connection, and outlives it by a moment. However its task ends, dropping this
/// tells everyone, in this order: the registry, the counters, the admission (unless messages keep the
/// room), the reader of events, those who wait for the connection.
pub(super) struct Farewell<In, Out> {
    core: Arc<Core<Out>>,
    queue: Arc<Queue<Out>>,
    ender: Option<Ender<In>>,
    permit: Option<Permit>,
    /// How it ended; if nothing says so, it was dropped. Boxed, as every idle connection has room for it.
    ended: Option<Box<Disconnect>>,
}

impl<Io, C: Decoder, Out> Session<Io, C, Out> {
    pub(super) fn new(
        connection: Connection<Io, C, Out>,
        farewell: Farewell<C::Item, Out>,
    ) -> Self {
        Self {
            connection: Some(connection),
            farewell,
        }
    }

    /// The codec is the user's and may panic when it is dropped, too; of two panics the first is the
    /// reason.
    fn end(&mut self, ended: Result<Disconnect, Box<dyn Any + Send>>) {
        let connection = self.connection.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(connection)));
        let disconnect = match ended.and_then(|ended| dropped.map(|()| ended)) {
            Ok(disconnect) => disconnect,
            Err(payload) => Disconnect::library(Reason::Panicked(panic_message(payload))),
        };
        self.farewell.ended = Some(Box::new(disconnect));
    }
}

impl<Io, C, Out> Future for Session<Io, C, Out>
where
    Io: ByteStream,
    C: Decoder + Encoder<Out>,
    <C as Decoder>::Error: Into<BoxError>,
    <C as Encoder<Out>>::Error: Into<BoxError>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(connection) = &mut this.connection {
            let poll = || Pin::new(connection).poll(cx);
            match catch_unwind(AssertUnwindSafe(poll)) {
                Ok(Poll::Pending) => {
                    this.farewell.report_dropped();
                    return Poll::Pending;
                }
                Ok(Poll::Ready(ended)) => this.end(Ok(ended)),
                Err(payload) => this.end(Err(payload)),
            }
        }
        Poll::Ready(())
    }
}

impl<In, Out> Farewell<In, Out> {
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
            permit: Some(permit),
            ended: None,
        }
    }

    /// Whether it came to us, and was not ended by us. Its unread messages keep their room: otherwise
    /// whoever sends, leaves and comes again could fill the memory. Ends and dials of our own are as many as
    /// the program makes, and whoever waits for one may count on its room.
    fn is_a_strangers(&self, disconnect: &Disconnect) -> bool {
        self.queue.peer().side() == Side::Listener && disconnect.initiator != Initiator::Local
    }

    /// Tells of messages that were dropped since the last time, because the queue was full.
    fn report_dropped(&self) {
        let (messages, ender) = match (self.queue.take_dropped(), &self.ender) {
            (messages @ 1.., Some(ender)) => (messages, ender),
            _ => return,
        };
        ender.dropped(messages);
        let line = || match self.core.throttle.pass(Kind::Dropped) {
            Some(Tell { suppressed }) => debug!(messages, suppressed, "queue full, dropped"),
            None => trace!(messages, "queue full, dropped"),
        };
        contain(line);
    }
}

// Nothing in it is pinned.
impl<Io, C: Decoder, Out> Unpin for Session<Io, C, Out> {}

impl<In, Out> Drop for Farewell<In, Out> {
    fn drop(&mut self) {
        let (unsent, undelivered) = self.queue.abandon();
        self.report_dropped();
        let mut disconnect = match self.ended.take() {
            Some(disconnect) => *disconnect,
            None => Disconnect::local(Reason::Aborted),
        };
        disconnect.undelivered = undelivered;
        let peer = self.queue.peer();
        self.core
            .note(|| format!("disconnected {peer:?}: {}", shown(&disconnect)));
        self.core.count(|stats| {
            self.core.registry.remove(self.queue.peer());
            stats.add_traffic(&self.queue.stats());
            stats.add_ending(&disconnect);
        });
        // A subscriber that panics keeps nobody else from being told.
        contain(|| tell(&disconnect, &self.core.throttle));
        // Whoever is told of the end may count on the room that it leaves; a stranger's unread messages
        // keep theirs until they are taken.
        let permit = self
            .permit
            .take()
            .filter(|_| self.is_a_strangers(&disconnect));
        if let Some(ender) = self.ender.take() {
            ender.end(disconnect.clone(), permit);
        }
        self.queue.end(disconnect);
        // Last, because these are the user's: dropping them may panic, which ends nothing else.
        contain(|| drop(unsent));
    }
}

/// What a remote or an error can cause again and again is told once a second and kind; ends that are part
/// of the plan are told each.
fn tell(disconnect: &Disconnect, throttle: &Throttle) {
    let planned = matches!(disconnect.reason, Reason::EndOfStream)
        || disconnect.initiator == Initiator::Local;
    let tell = match planned {
        true => Some(Tell::default()),
        false => throttle.pass(Kind::from(&disconnect.reason)),
    };
    match tell {
        Some(Tell { suppressed }) => {
            debug!(reason = ?shown(disconnect), suppressed, "disconnected")
        }
        None => trace!(reason = ?shown(disconnect), "disconnected"),
    }
}
