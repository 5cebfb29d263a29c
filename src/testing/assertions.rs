//! Assertions that wait for what they assert, and show what happened when it doesn't come about.

use std::{future::pending, time::Duration};

use futures::future::{FutureExt, select_all};
use tokio::time::{Instant, timeout};

use crate::{node::Node, peer::Side, testing::Network};

mod check;
mod descriptors;
mod leaks;
mod observe;
mod recorded;

pub use check::{Check, Checking, Failed, PATIENCE};
pub use leaks::{Leaks, assert_no_leaks};
pub use observe::{Changes, Observe};
pub use recorded::{Others, Recorded};

/// How soon something is looked at again of which no event tells: a counter, or what is the program's own.
/// The longer it has lasted, the less a moment more matters: a sixteenth of it, so that an hour takes
/// some 250 looks.
fn look_again(waited: Duration) -> Duration {
    const SOONEST: Duration = Duration::from_millis(1);
    (waited / 16).max(SOONEST)
}

/// Waits until a condition holds.
///
/// It is looked at now, whenever something happens to a connection of `nodes` (it is established, it ends,
/// one is refused, a handshake fails). Conditions may also be on what has no events: counters of messages, a
/// value of the program's own. For those it is looked at after a millisecond, and then each time when a
/// sixteenth more has passed than it has waited already. (Under paused time that costs nothing.)
///
/// A failure shows the connections of `nodes` and what happened to them lately. No event is taken out of
/// their streams for that.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::testing::{Network, Topology, eventually, network};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), wattle::testing::NetworkError> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let network: Network<String, String> = network(3, Topology::Line, codec).await?;
/// network.nodes[0].shutdown().await;
/// eventually(&network, || network.nodes[1].peers().len() == 1).await;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn eventually<'a, N, F>(nodes: &'a N, mut condition: F) -> Check<'a, ()>
where
    N: Observe + Sync + ?Sized,
    F: FnMut() -> bool + Send + 'a,
{
    Check::new(move |limit| async move {
        if holds(nodes.changes(), limit, &mut condition).await {
            return Ok(());
        }
        let report = nodes.report();
        Err(Failed::new(format!(
            "the condition did not hold within {limit:?}\n{report}"
        )))
    })
}

/// Whether the condition holds within this time.
async fn holds(
    Changes(journals): Changes,
    limit: Duration,
    condition: &mut (dyn FnMut() -> bool + Send),
) -> bool {
    let started = Instant::now();
    loop {
        // Before looking, so that what happens behind our back wakes us.
        let changes = journals
            .iter()
            .map(|journal| Box::pin(journal.next_change()));
        let change = match journals.is_empty() {
            true => pending().boxed(),
            false => select_all(changes).map(|_| ()).boxed(),
        };
        if condition() {
            return true;
        }
        let waited = started.elapsed();
        let left = limit.saturating_sub(waited);
        if left.is_zero() {
            return false;
        }
        let _changed_or_time_to_look = timeout(left.min(look_again(waited)), change).await;
    }
}

/// Waits until two nodes are connected; what [`assert_connected!`](crate::testing::assert_connected)
/// awaits.
///
/// Connected means: one has a connection to an address that the other listens on, and the other has at
/// least one that was opened to it. (Whose that is, it can't know. The ends of a [`Network`]'s
/// edges are known exactly: [`Network::is_connected`].)
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::testing::{Network, Topology, connected, network};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let network: Network<String, String> = network(3, Topology::Line, codec).await?;
/// connected(&network.nodes[0], &network.nodes[1]).await;
/// let ends = connected(&network.nodes[0], &network.nodes[2]);
/// let failed = ends.within(std::time::Duration::ZERO).checked().await.unwrap_err();
/// assert!(failed.to_string().starts_with("not connected after 0ns"), "{failed}");
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn connected<'a, A, B>(a: &'a Node<A>, b: &'a Node<B>) -> Check<'a, ()>
where
    A: Send + 'static,
    B: Send + 'static,
{
    pair(a, b, true, "not connected")
}

/// Waits until two nodes are not [`connected`]; what
/// [`assert_disconnected!`](crate::testing::assert_disconnected) awaits.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::testing::{Network, Topology, disconnected, network};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let network: Network<String, String> = network(3, Topology::Line, codec).await?;
/// let (one, other) = (&network.nodes[0], &network.nodes[1]);
/// one.abort(network.peer(0, 1).unwrap());
/// disconnected(one, other).within(std::time::Duration::from_secs(60)).await;
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn disconnected<'a, A, B>(a: &'a Node<A>, b: &'a Node<B>) -> Check<'a, ()>
where
    A: Send + 'static,
    B: Send + 'static,
{
    pair(a, b, false, "still connected")
}

#[track_caller]
fn pair<'a, A, B>(a: &'a Node<A>, b: &'a Node<B>, wanted: bool, otherwise: &'a str) -> Check<'a, ()>
where
    A: Send + 'static,
    B: Send + 'static,
{
    Check::new(move |limit| async move {
        let nodes = (a, b);
        let mut condition = || (has_dialled(a, b) || has_dialled(b, a)) == wanted;
        match holds(nodes.changes(), limit, &mut condition).await {
            true => Ok(()),
            false => Err(Failed::new(format!(
                "{otherwise} after {limit:?}\n{}",
                nodes.report()
            ))),
        }
    })
}

fn has_dialled<A: Send + 'static, B: Send + 'static>(from: &Node<A>, to: &Node<B>) -> bool {
    let mut addrs = to.local_addrs().into_iter();
    let knows = addrs.any(|addr| from.find(addr).is_some());
    knows && to.peers().iter().any(|peer| peer.side() == Side::Listener)
}

impl<In: Sync + Send, Out: Send + 'static> Network<In, Out> {
    /// Waits until both ends of the edge between two nodes have their connection; what
    /// [`assert_connected!`](crate::testing::assert_connected) awaits.
    #[track_caller]
    pub fn connected(&self, a: usize, b: usize) -> Check<'_, ()> {
        Check::new(move |limit| async move {
            let mut condition = || self.is_connected(a, b);
            let changes = (&self.nodes[a], &self.nodes[b]).changes();
            match holds(changes, limit, &mut condition).await {
                true => Ok(()),
                false => Err(Failed::new(format!(
                    "node {a} and node {b} not connected after {limit:?}\n{}",
                    (&self.nodes[a], &self.nodes[b]).report()
                ))),
            }
        })
    }

    /// Waits until all edges have their connections; what
    /// [`assert_connected!`](crate::testing::assert_connected) awaits.
    #[track_caller]
    pub fn whole(&self) -> Check<'_, ()> {
        Check::new(move |limit| async move {
            if holds(self.changes(), limit, &mut || self.is_whole()).await {
                return Ok(());
            }
            let edges = self.edges().iter();
            let lost: Vec<_> = edges.filter(|(a, b)| !self.is_connected(*a, *b)).collect();
            let report = self.report();
            Err(Failed::new(format!(
                "not connected after {limit:?}: {lost:?}\n{report}"
            )))
        })
    }
}

/// Asserts that two nodes, two nodes of a network, or all nodes of a network that have an edge between them
/// are connected; waits for it, for [`PATIENCE`](crate::testing::PATIENCE) at most.
///
/// `assert_connected!(a, b)` is `connected(&a, &b).await`; `assert_connected!(network, 0, 1)` is
/// `network.connected(0, 1).await`; `assert_connected!(network)` is `network.whole().await`.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::testing::{Network, Topology, assert_connected, network};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let network: Network<String, String> = network(3, Topology::Line, codec).await?;
/// assert_connected!(network);
/// assert_connected!(network, 1, 2);
/// assert_connected!(network.nodes[0], network.nodes[1]);
/// # Ok(())
/// # }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __assert_connected {
    ($network:expr $(,)?) => {
        $network.whole().await
    };
    ($a:expr, $b:expr $(,)?) => {
        $crate::testing::connected(&$a, &$b).await
    };
    ($network:expr, $a:expr, $b:expr $(,)?) => {
        $network.connected($a, $b).await
    };
}

/// Asserts that two nodes are not connected; waits for it, for
/// [`PATIENCE`](crate::testing::PATIENCE) at most: `disconnected(&a, &b).await`.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::testing::{Network, Topology, assert_disconnected, network};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let network: Network<String, String> = network(3, Topology::Line, codec).await?;
/// network.nodes[0].shutdown().await;
/// assert_disconnected!(network.nodes[0], network.nodes[1]);
/// # Ok(())
/// # }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __assert_disconnected {
    ($a:expr, $b:expr $(,)?) => {
        $crate::testing::disconnected(&$a, &$b).await
    };
}
