//! An edge: two nodes, and a connection that both know.
//!
//! A listener is not told who dials it, so that its end of a connection is known by being new there. That
//! is unmistakable as long as one at a time connects to a listener: whoever calls this sees to it.

use std::{pin::pin, time::Duration};

use futures::future::select;
use tokio::time::timeout;

use super::NetworkError;
use crate::{
    node::Node,
    peer::{Peer, Side},
    testing::assertions::Observe,
};

/// A node and its number.
pub(super) type Numbered<'a, Out> = (usize, &'a Node<Out>);

/// What both ends call their connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) dialer: Peer,
    pub(super) listener: Peer,
}

/// Connects, and resolves when both ends know the connection.
pub(super) async fn join<Out: Send + 'static>(
    (dialer, from): Numbered<'_, Out>,
    (listener, to): Numbered<'_, Out>,
    patience: Duration,
) -> Result<Ends, NetworkError> {
    let addr = to.local_addr();
    let addr = addr.ok_or(NetworkError::NotListening { node: listener })?;
    let newest = newest_incoming(to).map_or(0, |peer| peer.id());
    let ours = from.connect(addr).await;
    let ours = ours.map_err(|source| NetworkError::Connect {
        dialer,
        listener,
        source,
    })?;
    let arrival = timeout(patience, arrival(from, ours, to, newest)).await;
    let report = || [from.report(), to.report()].join("\n");
    match arrival {
        Ok(Some(theirs)) => Ok(Ends {
            dialer: ours,
            listener: theirs,
        }),
        Ok(None) => Err(NetworkError::Lost {
            dialer,
            listener,
            report: report(),
        }),
        Err(_elapsed) => Err(NetworkError::TimedOut {
            first: dialer,
            second: listener,
            after: patience,
            report: report(),
        }),
    }
}

/// Waits for the listener's end of a connection that the dialer has; `None` if the dialer loses it.
async fn arrival<Out: Send + 'static>(
    from: &Node<Out>,
    ours: Peer,
    to: &Node<Out>,
    newest: u64,
) -> Option<Peer> {
    loop {
        // Before looking, so that what happens behind our back wakes us.
        let lost = pin!(from.journal().next_change());
        let arrived = pin!(to.journal().next_change());
        let last = newest_incoming(to);
        if let Some(theirs) = last.filter(|peer| peer.id() > newest) {
            return Some(theirs);
        }
        from.peer_stats(ours)?;
        select(lost, arrived).await;
    }
}

/// The last connection that others have opened.
fn newest_incoming<Out: Send + 'static>(node: &Node<Out>) -> Option<Peer> {
    let incoming = |peer: &Peer| peer.side() == Side::Listener;
    node.peers().into_iter().filter(incoming).max()
}

/// Waits until a node has lost a peer.
pub(super) async fn departure<Out: Send + 'static>(node: &Node<Out>, peer: Peer) {
    loop {
        let change = node.journal().next_change();
        if node.peer_stats(peer).is_none() {
            return;
        }
        change.await;
    }
}
