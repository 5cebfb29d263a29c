//! Connections that the program decides on: [`Incomings`] and [`Incoming`].
//!
//! ```text
//! listener ─► admission ─┬─► task with stream and permit ── accept ─► handshake
//!                        │             ▲                 ├─ refuse, drop ─► Event::Refused
//!                        │             │ the decision    └─ ignore
//!                        └─► queue ─► Incoming
//! ```
//!
//! The stream and its permit stay with the node, in the task that will shake hands; an [`Incoming`]
//! is the right to tell that task what to do. So whatever the program does with it, a shutdown closes
//! the stream, and nothing of the node is kept.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::stream::{FusedStream, Stream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard, PollSender};

use crate::peer::Peer;

/// How many undecided connections wait to be taken: enough that a program that is busy for a moment
/// doesn't hold up the listener, few enough that most of those that it can't keep up with wait in the
/// kernel's backlog, where they cost nothing.
const UNDECIDED: usize = 16;

/// The connections that come to one address, for the program to decide on each:
/// `Stream<Item = `[`Incoming`]`>`; from [`Node::listen_incoming`](crate::Node::listen_incoming).
///
/// Those that are banned, filtered or beyond a limit don't come up here: they have been refused.
/// Each that does counts as pending until it is decided, in the limits of pending connections. Of those
/// that aren't taken 16 wait here, and the others in the kernel's backlog.
///
/// Dropping it stops the listening at that address, and refuses those that wait. It ends when the node
/// stops listening or is shut down. It doesn't keep the node alive.
///
/// # Examples
///
/// ```no_run
/// # async fn example(node: wattle::Node<String>) -> Result<(), Box<dyn std::error::Error>> {
/// let mut incomings = node.listen_incoming("0.0.0.0:7000").await?;
/// while let Some(incoming) = incomings.recv().await {
///     if node.peers().len() < 100 {
///         incoming.accept();
///     } else {
///         incoming.ignore();
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it stops the listening"]
pub struct Incomings {
    queue: mpsc::Receiver<Incoming>,
    local_addr: SocketAddr,
    terminated: bool,
    _stop: DropGuard,
}

/// A connection that came, of which no byte was read: accept it, refuse it or ignore it. When it is
/// dropped, it is refused.
///
/// The node closes it by itself when it is shut down, and counts it as refused; what is decided then
/// has no effect.
#[must_use = "dropping it refuses the connection"]
pub struct Incoming {
    peer: Peer,
    local_addr: SocketAddr,
    decision: oneshot::Sender<Decision>,
}

/// What becomes of an [`Incoming`]; one that is dropped tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Accept,
    Refuse,
    Ignore,
}

/// Where the listener puts those to be decided.
pub(crate) type Undecided = PollSender<Incoming>;

/// The two ends of a queue of undecided connections. `stop` is cancelled with the stream.
pub(crate) fn queue(local_addr: SocketAddr, stop: CancellationToken) -> (Undecided, Incomings) {
    let (sender, queue) = mpsc::channel(UNDECIDED);
    let incomings = Incomings {
        queue,
        local_addr,
        terminated: false,
        _stop: stop.drop_guard(),
    };
    (PollSender::new(sender), incomings)
}

impl Incoming {
    pub(crate) fn new(
        peer: Peer,
        local_addr: SocketAddr,
    ) -> (Self, impl Future<Output = Decision> + Send) {
        let (decision, decided) = oneshot::channel();
        let incoming = Self {
            peer,
            local_addr,
            decision,
        };
        (incoming, async {
            decided.await.unwrap_or(Decision::Refuse)
        })
    }

    /// Where it comes from.
    pub fn remote_addr(&self) -> SocketAddr {
        self.peer.addr()
    }

    /// The address that was listened on: that of [`Incomings::local_addr`].
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Lets it in: the node shakes hands with it, in a task of its own. Tells who it will be in the
    /// event that says how that went: [`Connected`](crate::Event::Connected) or
    /// [`HandshakeFailed`](crate::Event::HandshakeFailed).
    pub fn accept(self) -> Peer {
        let peer = self.peer;
        self.decide(Decision::Accept);
        peer
    }

    /// Closes it. It is counted in [`Refused::declined`](crate::Refused::declined) and reported as
    /// [`Event::Refused`](crate::Event::Refused), as with any that is refused.
    pub fn refuse(self) {
        self.decide(Decision::Refuse);
    }

    /// Closes it without a word: no event and no log line, only
    /// [`Refused::ignored`](crate::Refused::ignored) counts it.
    pub fn ignore(self) {
        self.decide(Decision::Ignore);
    }

    fn decide(self, decision: Decision) {
        // Nobody waits for it when the node is shut down, and then the stream is closed.
        let _ = self.decision.send(decision);
    }

    /// Whether the node has closed it.
    fn is_over(&self) -> bool {
        self.decision.is_closed()
    }
}

impl Incomings {
    /// The address that is listened on, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The next connection, or `None` when the node doesn't listen there any more: `next` for those
    /// who don't import `StreamExt`.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped has taken nothing.
    pub async fn recv(&mut self) -> Option<Incoming> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        if self.terminated {
            return Poll::Ready(None);
        }
        loop {
            match ready!(self.queue.poll_recv(cx)) {
                Some(incoming) if incoming.is_over() => {}
                Some(incoming) => return Poll::Ready(Some(incoming)),
                None => {
                    self.terminated = true;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Stream for Incomings {
    type Item = Incoming;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.get_mut().poll_recv(cx)
    }
}

impl FusedStream for Incomings {
    fn is_terminated(&self) -> bool {
        self.terminated
    }
}

impl fmt::Debug for Incomings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incomings")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("remote_addr", &self.remote_addr())
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}
