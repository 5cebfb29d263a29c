//! What assertions look at: [`Observe`].

use std::{fmt::Write, sync::Arc};

use crate::{
    node::{Journal, Node},
    testing::Network,
};

/// Whose connections an assertion watches, and whose last events it shows when it fails: a [`Node`], a
/// [`Network`], or several of them in a tuple, a slice or a `Vec`.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Node, testing::Observe};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let builder = Node::builder().name("lonely").listen("127.0.0.1:0");
/// let (node, _inbound) = builder.start::<_, String>(codec).await?;
/// assert!(node.report().starts_with("lonely: 0 connections, listening on 127.0.0.1:"));
/// # Ok(())
/// # }
/// ```
pub trait Observe {
    /// What wakes up when something happens.
    #[doc(hidden)]
    fn changes(&self) -> Changes;

    /// In words: who is connected to whom, and what happened lately.
    fn report(&self) -> String;
}

/// Wakes up when something happens to a connection of one of some nodes.
#[doc(hidden)]
#[derive(Debug)]
pub struct Changes(pub(super) Vec<Arc<Journal>>);

impl<Out: Send + 'static> Observe for Node<Out> {
    fn changes(&self) -> Changes {
        Changes(vec![self.journal().clone()])
    }

    fn report(&self) -> String {
        let peers = self.peers();
        let name = self.name().unwrap_or("a node without a name");
        let mut text = format!("{name}: {} connections", peers.len());
        for addr in self.local_addrs() {
            let _ = write!(text, ", listening on {addr}");
        }
        let entries = self.journal().entries();
        if entries.is_empty() {
            text.push_str("\n    nothing has happened to it");
        }
        for entry in entries {
            let _ = write!(text, "\n    {entry}");
        }
        text
    }
}

/// More than a failure of a large network can show to any use.
const NODES_SHOWN: usize = 8;

impl<Out: Send + 'static> Observe for [Node<Out>] {
    fn changes(&self) -> Changes {
        Changes(self.iter().map(|node| node.journal().clone()).collect())
    }

    fn report(&self) -> String {
        let mut reports: Vec<_> = self.iter().take(NODES_SHOWN).map(Node::report).collect();
        if let more @ 1.. = self.len().saturating_sub(NODES_SHOWN) {
            reports.push(format!("and {more} nodes more"));
        }
        reports.join("\n")
    }
}

impl<Out: Send + 'static> Observe for Vec<Node<Out>> {
    fn changes(&self) -> Changes {
        self.as_slice().changes()
    }

    fn report(&self) -> String {
        self.as_slice().report()
    }
}

impl<In, Out: Send + 'static> Observe for Network<In, Out> {
    fn changes(&self) -> Changes {
        self.nodes.changes()
    }

    /// Nodes that lack a connection come first: they are why one looks.
    fn report(&self) -> String {
        let lacks = |node: usize| self.neighbours(node).any(|n| !self.is_connected(node, n));
        let (lacking, whole): (Vec<_>, Vec<_>) = (0..self.nodes.len()).partition(|n| lacks(*n));
        let ordered: Vec<_> = lacking
            .into_iter()
            .chain(whole)
            .map(|node| self.nodes[node].clone())
            .collect();
        ordered.report()
    }
}

impl<A: Observe + ?Sized> Observe for &A {
    fn changes(&self) -> Changes {
        (**self).changes()
    }

    fn report(&self) -> String {
        (**self).report()
    }
}

impl<A: Observe, B: Observe> Observe for (A, B) {
    fn changes(&self) -> Changes {
        let (mut changes, Changes(others)) = (self.0.changes(), self.1.changes());
        changes.0.extend(others);
        changes
    }

    fn report(&self) -> String {
        [self.0.report(), self.1.report()].join("\n")
    }
}
