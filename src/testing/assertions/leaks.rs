//! What is left over: [`Leaks`].

use std::{
    fmt::{self, Write},
    sync::{Arc, Weak},
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use super::{
    Check, Failed,
    descriptors::{Descriptor, Poller},
    look_again,
};
use crate::node::{Journal, Node};

/// What was there before a test, to be compared with what is there behind it.
///
/// It sees what belongs to the runtime that it is made in, so that tests beside it make no difference:
///
/// - tasks that have not ended (what `spawn_blocking` runs is not among them);
/// - on Linux, descriptors of sockets and pipes that the runtime waits for; elsewhere they are not looked
///   at;
/// - of the nodes that it [follows](Leaks::follow), connections, and whether their memory was given
///   back.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::testing::{Leaks, Network, Topology, network};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), wattle::testing::NetworkError> {
/// let mut leaks = Leaks::watch();
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let network: Network<String, String> = network(3, Topology::Line, codec).await?;
/// leaks.follow(&network.nodes);
/// drop(network);
/// leaks.assert_none().await;
/// # Ok(())
/// # }
/// ```
pub struct Leaks {
    runtime: Handle,
    tasks: usize,
    poller: Option<Poller>,
    descriptors: Option<Vec<Descriptor>>,
    nodes: Vec<Followed>,
}

/// A node that is to be gone in the end, with its memory.
struct Followed {
    name: String,
    journal: Weak<Journal>,
}

impl Leaks {
    /// Remembers what is there now, in this runtime.
    ///
    /// # Panics
    ///
    /// If it is called outside a runtime, or in one whose I/O isn't enabled.
    #[must_use = "it is compared with what is there later"]
    pub fn watch() -> Self {
        let runtime = Handle::current();
        let poller = Poller::of_this_runtime();
        Self {
            tasks: runtime.metrics().num_alive_tasks(),
            descriptors: poller.as_ref().and_then(Poller::descriptors),
            runtime,
            poller,
            nodes: Vec::new(),
        }
    }

    /// Asserts about these nodes, too, that nothing is left of them: neither a handle nor a stream nor a
    /// task, so that their memory is free.
    pub fn follow<'a, Out: Send + 'static>(
        &mut self,
        nodes: impl IntoIterator<Item = &'a Node<Out>>,
    ) {
        self.nodes.extend(nodes.into_iter().map(|node| Followed {
            name: node.name().unwrap_or("a node without a name").to_owned(),
            journal: Arc::downgrade(node.journal()),
        }));
    }

    /// Waits until there is no more than there was, and nothing of the nodes that are followed. A failure
    /// says what is left.
    #[track_caller]
    pub fn assert_none(&self) -> Check<'_, ()> {
        Check::new(move |limit| async move {
            let started = Instant::now();
            while let Some(found) = self.found() {
                let waited = started.elapsed();
                let left = limit.saturating_sub(waited);
                if left.is_zero() {
                    let text = format!("left over after {limit:?}:{found}");
                    return Err(Failed::new(text));
                }
                // A task and a descriptor give no sign when they are gone.
                sleep(left.min(look_again(waited))).await;
            }
            Ok(())
        })
    }

    /// What is left, in words.
    fn found(&self) -> Option<String> {
        let mut found = String::new();
        let now = self.runtime.metrics().num_alive_tasks();
        if now > self.tasks {
            let more = now - self.tasks;
            let _ = write!(found, "\n    {more} tasks ({now}, {} before)", self.tasks);
        }
        for node in &self.nodes {
            if let Some(journal) = node.journal.upgrade() {
                node.describe(&journal, &mut found);
            }
        }
        self.find_descriptors(&mut found);
        (!found.is_empty()).then_some(found)
    }

    fn find_descriptors(&self, found: &mut String) {
        let now = self.poller.as_ref().and_then(Poller::descriptors);
        let (Some(before), Some(now)) = (&self.descriptors, now) else {
            return;
        };
        if now.len() <= before.len() {
            return;
        }
        let _ = write!(
            found,
            "\n    {} descriptors ({}, {} before), of these:",
            now.len() - before.len(),
            now.len(),
            before.len()
        );
        for descriptor in now.iter().filter(|one| !before.contains(one)) {
            let _ = write!(found, "\n        {descriptor}");
        }
    }
}

impl Followed {
    fn describe(&self, journal: &Journal, found: &mut String) {
        let _ = write!(
            found,
            "\n    {}: not dropped; it has seen lately:",
            self.name
        );
        for entry in journal.entries() {
            let _ = write!(found, "\n        {entry}");
        }
    }
}

/// Runs a future, and asserts then that it has left no tasks and no descriptors behind; see [`Leaks`].
///
/// # Examples
///
/// ```
/// # #[tokio::main]
/// # async fn main() {
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Node, testing::assert_no_leaks};
///
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// assert_no_leaks(async {
///     let (node, _inbound) = Node::builder().listen("127.0.0.1:0").start(codec).await.unwrap();
///     node.broadcast("nobody hears this".to_owned());
/// })
/// .await;
/// # }
/// ```
#[track_caller]
pub fn assert_no_leaks<'a, F>(test: F) -> Check<'a, F::Output>
where
    F: Future<Output: Send> + Send + 'a,
{
    Check::new(move |limit| async move {
        let leaks = Leaks::watch();
        let output = test.await;
        leaks.assert_none().within(limit).checked().await?;
        Ok(output)
    })
}

impl fmt::Debug for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaks")
            .field("tasks", &self.tasks)
            .field("descriptors", &self.descriptors)
            .field("nodes", &self.nodes.len())
            .finish()
    }
}
