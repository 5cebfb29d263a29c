//! Making the connections of a load.

use std::net::SocketAddr;

use futures::stream::{FuturesOrdered, StreamExt};
use tokio::time::timeout;
use tokio_util::codec::Framed;

use super::{
    Watcher,
    error::{FailureKind, Failures},
    plan::Plan,
    timeline::Progress,
};
use crate::{
    dialer,
    error::{ConnectError, HandshakeError},
    peer::{Peer, Side},
    protocol::Protocol,
    transport::Transport,
};

/// As many as a usual backlog holds; a server that accepts in its own time loses none.
const AT_ONCE: usize = 128;

/// What came of dialling.
pub(super) struct Dialled<Io, C> {
    /// In the order of their numbers.
    pub(super) connected: Vec<Framed<Io, C>>,
    pub(super) failures: Failures,
}

/// Makes all connections, with the transports in turn.
pub(super) async fn all<T, P>(
    addr: SocketAddr,
    protocol: &P,
    transports: &[T],
    plan: &Plan,
    watcher: &mut Option<Watcher>,
) -> Dialled<P::Io, P::Codec>
where
    T: Transport,
    P: Protocol<T::Stream>,
{
    let mut dialled = Dialled {
        connected: Vec::new(),
        failures: Failures::default(),
    };
    let mut turns = transports.iter().cycle().take(plan.connections);
    let mut dials = FuturesOrdered::new();
    for transport in turns.by_ref().take(AT_ONCE) {
        dials.push_back(one(addr, protocol, transport, plan));
    }
    while let Some(result) = dials.next().await {
        if let Some(transport) = turns.next() {
            dials.push_back(one(addr, protocol, transport, plan));
        }
        match result {
            Ok(framed) => dialled.connected.push(framed),
            Err(error) => {
                let kind = FailureKind::of_connect(&error);
                dialled.failures.add(kind, error);
            }
        }
        if let Some(watcher) = watcher {
            watcher(&Progress::connecting(plan, dialled.connected.len()));
        }
    }
    dialled
}

async fn one<T, P>(
    addr: SocketAddr,
    protocol: &P,
    transport: &T,
    plan: &Plan,
) -> Result<Framed<P::Io, P::Codec>, ConnectError>
where
    T: Transport,
    P: Protocol<T::Stream>,
{
    let limit = plan.connect_timeout;
    let stream = dialer::dial(addr, limit, transport.connect(addr)).await?;
    let peer = Peer::next(addr, Side::Dialer);
    let source = match timeout(limit, protocol.handshake(stream, peer)).await {
        Ok(Ok(framed)) => return Ok(framed),
        Ok(Err(error)) => HandshakeError::Failed(error.into()),
        Err(_elapsed) => HandshakeError::TimedOut(limit),
    };
    Err(ConnectError::Handshake { peer, source })
}
