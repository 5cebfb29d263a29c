//! The listening half of the wiring: binds addresses, and takes what comes to them through admission.

use std::{
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::future::FutureExt;
use tokio_util::{codec::Encoder, sync::CancellationToken};
use tracing::{Instrument, debug, trace, warn};

use super::{core::Listening, wiring::Wiring};
use crate::{
    admission::Permit,
    disconnect::{BoxError, contain, panic_message},
    error::{ConnectError, ListenError, Refusal},
    inbound::Event,
    incoming::{Decision, Incoming, Undecided},
    listener::{self, Reception},
    peer::{Peer, Side},
    protocol::Protocol,
    throttle::{Kind, Tell},
    transport::{Acceptor, ByteStream, Transport},
};

/// Shakes hands with all that admission lets in.
pub(super) struct Welcome<W>(pub(super) Arc<W>);

/// Lets the program decide on all that admission lets in.
pub(super) struct Ask<W> {
    wiring: Arc<W>,
    local_addr: SocketAddr,
    undecided: Undecided,
}

impl<W> Ask<W> {
    pub(super) fn new(wiring: Arc<W>, local_addr: SocketAddr, undecided: Undecided) -> Self {
        Self {
            wiring,
            local_addr,
            undecided,
        }
    }
}

impl<T, P, Out> Wiring<T, P, Out>
where
    T: Transport,
    P: Protocol<T::Stream>,
    P::Codec: Encoder<Out, Error: Into<BoxError>>,
    Out: Send + 'static,
{
    pub(super) async fn bind(
        &self,
        addr: SocketAddr,
    ) -> Result<(T::Acceptor, Listening), ListenError> {
        let failed = |source| ListenError::Io { addr, source };
        let bound = self.core.shutdown.unless_begun(self.transport.bind(addr));
        let bound = bound.await.ok_or(ListenError::ShutDown)?;
        let acceptor = bound.map_err(failed)?;
        let listening = Listening {
            addr: acceptor.local_addr().map_err(failed)?,
            stop: self.core.shutdown.child_token(),
            closed: CancellationToken::new(),
        };
        Ok((acceptor, listening))
    }

    /// Accepts at an address, in a task of its own, until it is told to stop.
    pub(super) fn attend(
        self: &Arc<Self>,
        acceptor: T::Acceptor,
        listening: Listening,
        reception: impl Reception<T::Stream> + Send + 'static,
    ) -> Result<(), ListenError> {
        let core = &self.core;
        let _entered = core.shutdown.enter().ok_or(ListenError::ShutDown)?;
        let (wiring, Listening { addr, stop, closed }) = (self.clone(), listening.clone());
        let hold = self.hub.hold();
        // However it ends, and if it never begins, the address is no longer one that is listened on.
        let guards = (stop.clone().drop_guard(), closed.drop_guard());
        let accept = async move {
            let (_hold, _guards) = (hold, guards);
            let accept = listener::accept(acceptor, reception, &wiring.core.throttle);
            let accept = AssertUnwindSafe(stop.run_until_cancelled(accept)).catch_unwind();
            if let Err(payload) = accept.await {
                let panic = panic_message(payload);
                warn!(%addr, ?panic, "accepting connections panicked");
            }
            debug!(%addr, "stopped listening");
        };
        debug!(parent: &core.span, %addr, "listening");
        core.shutdown.spawn(accept.instrument(core.span.clone()));
        let mut listeners = core.listeners.lock();
        // Those that ended by themselves would add up in a program that listens now and then.
        listeners.retain(|listening| !listening.closed.is_cancelled());
        listeners.push(listening);
        Ok(())
    }

    /// Listener → admission; who may not come in is turned away here.
    fn admit<S: ByteStream>(&self, stream: S, addr: SocketAddr) -> Option<(S, Peer, Permit)> {
        match self.core.admission.admit_incoming(addr) {
            Ok(permit) => Some((stream, Peer::next(addr, Side::Listener), permit)),
            Err(refusal) => {
                close(stream);
                self.refused(addr, refusal);
                None
            }
        }
    }

    /// Admission → handshake.
    async fn welcome(self: &Arc<Self>, stream: T::Stream, peer: Peer, permit: Permit) {
        if let Err(ConnectError::Handshake { source, .. }) = self.join(stream, peer, permit).await {
            self.hub.notify(Event::HandshakeFailed(peer, source));
        }
    }

    /// Admission → the program → handshake.
    async fn decided(
        self: &Arc<Self>,
        decision: impl Future<Output = Decision>,
        stream: T::Stream,
        peer: Peer,
        permit: Permit,
    ) {
        let decision = self.core.shutdown.unless_begun(decision).await;
        match decision.unwrap_or(Decision::Refuse) {
            Decision::Accept => self.welcome(stream, peer, permit).await,
            Decision::Refuse => {
                close(stream);
                drop(permit);
                self.refused(peer.addr(), Refusal::Declined);
            }
            Decision::Ignore => {
                close(stream);
                drop(permit);
                self.core.count(|stats| stats.refused.ignored += 1);
            }
        }
    }

    fn refused(&self, addr: SocketAddr, refusal: Refusal) {
        // A filter's panic may say anything.
        let text = refusal.to_string();
        let text = text.escape_debug();
        let span = &self.core.span;
        match self.core.throttle.pass(Kind::from(&refusal)) {
            Some(Tell { suppressed }) => {
                debug!(parent: span, %addr, refusal = %text, suppressed, "refused");
            }
            None => trace!(parent: span, %addr, refusal = %text, "refused"),
        }
        self.core.note(|| format!("refused {addr}: {text}"));
        self.core.count(|stats| stats.add_refusal(&refusal));
        self.hub.notify(Event::Refused(addr, refusal));
    }
}

/// Closes a stream before anyone is told that it is closed. It is the transport's: dropping it may
/// panic, which must not end the listening.
fn close(stream: impl ByteStream) {
    contain(|| drop(stream));
}

impl<T, P, Out> Reception<T::Stream> for Welcome<Wiring<T, P, Out>>
where
    T: Transport,
    P: Protocol<T::Stream>,
    P::Codec: Encoder<Out, Error: Into<BoxError>>,
    Out: Send + 'static,
{
    /// Always: what limits pending connections is admission.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// In a task for each, so that a silent remote holds up nobody else.
    fn accepted(&mut self, stream: T::Stream, addr: SocketAddr) {
        let Self(wiring) = self;
        if let Some((stream, peer, permit)) = wiring.admit(stream, addr) {
            let welcome = {
                let wiring = wiring.clone();
                let hold = wiring.hub.hold();
                async move {
                    let _hold = hold;
                    wiring.welcome(stream, peer, permit).await;
                }
            };
            wiring.core.shutdown.spawn(welcome);
        }
    }
}

impl<T, P, Out> Reception<T::Stream> for Ask<Wiring<T, P, Out>>
where
    T: Transport,
    P: Protocol<T::Stream>,
    P::Codec: Encoder<Out, Error: Into<BoxError>>,
    Out: Send + 'static,
{
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.undecided.poll_reserve(cx)) {
            Ok(()) => Poll::Ready(()),
            // Nobody takes them any more, and who dropped the stream has stopped this task.
            Err(_) => Poll::Pending,
        }
    }

    fn accepted(&mut self, stream: T::Stream, addr: SocketAddr) {
        let Some((stream, peer, permit)) = self.wiring.admit(stream, addr) else {
            return;
        };
        let (incoming, decision) = Incoming::new(peer, self.local_addr);
        let decided = {
            let wiring = self.wiring.clone();
            let hold = wiring.hub.hold();
            async move {
                let _hold = hold;
                wiring.decided(decision, stream, peer, permit).await;
            }
        };
        self.wiring.core.shutdown.spawn(decided);
        // There was room. If nobody is there to take it, it is refused as any that is dropped.
        let _ = self.undecided.send_item(incoming);
    }
}
