//! What joins the parts of a node: dialled and accepted streams become sessions here.

use std::{
    any::{Any, type_name},
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::Arc,
};

use futures::future::{BoxFuture, FutureExt};
use tokio_util::codec::{Decoder, Encoder, Framed};
use tracing::{Instrument, Span, debug, debug_span, trace};

use super::{
    core::{Core, Wires},
    reception::{Ask, Welcome},
    session::{Farewell, Session},
};
use crate::{
    admission::Permit,
    connection::Connection,
    dialer,
    disconnect::{BoxError, contain, panic_message, shown},
    error::{ConnectError, HandshakeError, ListenError},
    inbound::{Event, Hub},
    incoming::{self, Incomings},
    outbound::Queue,
    peer::{Peer, Side},
    protocol::Protocol,
    throttle::{Kind, Tell},
    transport::Transport,
};

/// A node's parts together. Its tasks share it; no handle is in it, so none keeps it alive.
pub(crate) struct Wiring<T, P: Protocol<T::Stream>, Out>
where
    T: Transport,
{
    pub(super) core: Arc<Core<Out>>,
    pub(super) hub: Arc<Hub<Item<T, P>>>,
    pub(super) transport: T,
    protocol: P,
}

type Item<T, P> = <<P as Protocol<<T as Transport>::Stream>>::Codec as Decoder>::Item;

type Agreed<T, P> = Framed<
    <P as Protocol<<T as Transport>::Stream>>::Io,
    <P as Protocol<<T as Transport>::Stream>>::Codec,
>;

impl<T, P, Out> Wiring<T, P, Out>
where
    T: Transport,
    P: Protocol<T::Stream>,
    P::Codec: Encoder<Out, Error: Into<BoxError>>,
    Out: Send + 'static,
{
    pub(crate) fn new(core: Core<Out>, transport: T, protocol: P) -> Self {
        Self {
            core: Arc::new(core),
            hub: Hub::new(),
            transport,
            protocol,
        }
    }

    pub(crate) fn hub(&self) -> Arc<Hub<Item<T, P>>> {
        self.hub.clone()
    }

    fn span(&self, peer: Peer) -> Span {
        debug_span!(
            parent: &self.core.span,
            "connection",
            peer = %peer.addr(),
            id = peer.id(),
        )
    }

    /// Handshake → session.
    pub(super) async fn join(
        self: &Arc<Self>,
        stream: T::Stream,
        peer: Peer,
        permit: Permit,
    ) -> Result<Peer, ConnectError> {
        let span = self.span(peer);
        match self.handshake(stream, peer).instrument(span.clone()).await {
            Ok(framed) => self.establish(framed, peer, permit, span),
            Err(source) => {
                self.tell_of_failed_handshake(&source, peer.side(), &span);
                self.core
                    .note(|| format!("handshake with {peer:?}: {}", shown(&source)));
                self.core.count(|stats| stats.add_failed_handshake(&source));
                Err(ConnectError::Handshake { peer, source })
            }
        }
    }

    fn tell_of_failed_handshake(&self, error: &HandshakeError, side: Side, span: &Span) {
        match self.core.throttle.pass(Kind::HandshakeFailed(side)) {
            Some(Tell { suppressed }) => {
                debug!(parent: span, error = ?shown(error), suppressed, "handshake failed");
            }
            None => trace!(parent: span, error = ?shown(error), "handshake failed"),
        }
    }

    async fn handshake(
        &self,
        stream: T::Stream,
        peer: Peer,
    ) -> Result<Agreed<T, P>, HandshakeError> {
        let limit = self.core.config.handshake_timeout;
        let handshake = async { self.protocol.handshake(stream, peer).await };
        let mut handshake = Box::pin(AssertUnwindSafe(handshake).catch_unwind());
        let ended = tokio::time::timeout(limit, handshake.as_mut());
        let ended = self.core.shutdown.unless_begun(ended).await;
        // One that was timed out holds what is the user's, which may panic when it is dropped.
        contain(|| drop(handshake));
        match ended {
            Some(Ok(Ok(Ok(framed)))) => Ok(framed),
            Some(Ok(Ok(Err(error)))) => Err(HandshakeError::Failed(error.into())),
            Some(Ok(Err(payload))) => Err(HandshakeError::Panicked(panic_message(payload))),
            Some(Err(_elapsed)) => Err(HandshakeError::TimedOut(limit)),
            None => Err(HandshakeError::ShutDown),
        }
    }

    /// Makes a connection of what the handshake left, and gives it a task.
    fn establish(
        self: &Arc<Self>,
        framed: Agreed<T, P>,
        peer: Peer,
        mut permit: Permit,
        span: Span,
    ) -> Result<Peer, ConnectError> {
        let _entered = self.core.shutdown.enter().ok_or(ConnectError::ShutDown)?;
        let config = self.core.config.session;
        let (producer, ender) = self
            .hub
            .open(peer, config.inbound, self.core.budget.clone())
            .ok_or(ConnectError::ShutDown)?;
        let queue = Arc::new(Queue::new(
            peer,
            config.outbound,
            self.core.outbound.clone(),
        ));
        if !self.core.registry.insert(queue.clone()) {
            return Err(ConnectError::ShutDown);
        }
        permit.establish();
        self.core.note(|| format!("connected {peer:?}"));
        self.core.count(|stats| stats.connected += 1);
        debug!(parent: &span, side = ?peer.side(), "connected");
        producer.announce();
        let farewell = Farewell::new(self.core.clone(), queue.clone(), ender, permit);
        let connection = Connection::new(framed, producer, queue, config);
        let session = Session::new(connection, farewell);
        self.core.shutdown.spawn(session.instrument(span));
        Ok(peer)
    }

    async fn dial(self: Arc<Self>, addr: SocketAddr) -> Result<Peer, ConnectError> {
        let core = &self.core;
        if core.shutdown.has_begun() {
            return Err(ConnectError::ShutDown);
        }
        if dialer::is_self(addr, &core.listening()) {
            return Err(ConnectError::SelfConnect(addr));
        }
        let allow = core.config.allow_duplicates;
        let _dialing = if allow {
            None
        } else {
            Some(core.registry.dial(addr)?)
        };
        let permit = core.admission.admit_own().map_err(ConnectError::Limit)?;
        let stream = core.dial(addr, self.transport.connect(addr)).await?;
        self.join(stream, Peer::next(addr, Side::Dialer), permit)
            .await
    }
}

impl<T, P, Out> Wires<Out> for Wiring<T, P, Out>
where
    T: Transport,
    P: Protocol<T::Stream>,
    P::Codec: Encoder<Out, Error: Into<BoxError>>,
    Out: Send + 'static,
{
    fn core(&self) -> &Core<Out> {
        &self.core
    }

    fn listen(
        self: Arc<Self>,
        addr: SocketAddr,
    ) -> BoxFuture<'static, Result<SocketAddr, ListenError>> {
        Box::pin(async move {
            let (acceptor, listening) = self.bind(addr).await?;
            let addr = listening.addr;
            let reception = Welcome(self.clone());
            self.attend(acceptor, listening, reception)?;
            Ok(addr)
        })
    }

    fn listen_incoming(
        self: Arc<Self>,
        addr: SocketAddr,
    ) -> BoxFuture<'static, Result<Incomings, ListenError>> {
        Box::pin(async move {
            let (acceptor, listening) = self.bind(addr).await?;
            let (queue, incomings) = incoming::queue(listening.addr, listening.stop.clone());
            let reception = Ask::new(self.clone(), listening.addr, queue);
            self.attend(acceptor, listening, reception)?;
            Ok(incomings)
        })
    }

    fn connect(
        self: Arc<Self>,
        addr: SocketAddr,
    ) -> BoxFuture<'static, Result<Peer, ConnectError>> {
        Box::pin(self.dial(addr))
    }

    fn adopt<'a>(
        self: Arc<Self>,
        stream: &'a mut (dyn Any + Send),
        name: &'static str,
        addr: SocketAddr,
        side: Side,
    ) -> BoxFuture<'a, Result<Peer, ConnectError>> {
        Box::pin(async move {
            if self.core.shutdown.has_begun() {
                return Err(ConnectError::ShutDown);
            }
            let Some(stream) = stream.downcast_mut::<Option<T::Stream>>() else {
                return Err(ConnectError::WrongStream {
                    expected: type_name::<T::Stream>(),
                    got: name,
                });
            };
            let permit = self
                .core
                .admission
                .admit_own()
                .map_err(ConnectError::Limit)?;
            match stream.take() {
                Some(stream) => self.join(stream, Peer::next(addr, side), permit).await,
                None => Err(ConnectError::ShutDown),
            }
        })
    }

    fn undelivered(&self, peer: Peer, messages: u64) {
        let span = &self.core.span;
        match self.core.throttle.pass(Kind::Undelivered) {
            Some(Tell { suppressed }) => {
                debug!(parent: span, %peer, messages, suppressed, "undelivered");
            }
            None => trace!(parent: span, %peer, messages, "undelivered"),
        }
        self.core.count(|stats| stats.undelivered += messages);
        self.hub.notify(Event::Undelivered(peer, messages));
    }

    fn begin_shutdown(&self) {
        self.core.begin_shutdown();
        self.hub.stop_accepting();
    }
}
