//! The shape of a network: [`Topology`].

use std::collections::HashSet;

mod error;
mod random;

pub use error::TopologyError;

/// Who is connected to whom in a network of `n` nodes, numbered from 0.
///
/// An edge is a pair (dialer, listener). In every shape but [`Custom`](Topology::Custom) the node
/// with the higher number dials the one with the lower, as those who join a network dial those who
/// are there; node 0 only listens.
///
/// | shape | edges | degrees |
/// |---|---|---|
/// | `Line` | n − 1 | 2, and 1 at the ends |
/// | `Ring` | n | 2 |
/// | `Star` | n − 1 | n − 1 in the middle, which is node 0, and 1 around it |
/// | `Mesh` | n (n − 1) / 2 | n − 1 |
/// | `Grid` | 2 · width · height − width − height | 4, less at the rim |
/// | `Tree` | n − 1 | at most arity + 1 |
/// | `Random` | n · degree / 2 | degree |
///
/// # Examples
///
/// ```
/// use wattle::testing::Topology;
///
/// # fn main() -> Result<(), wattle::testing::TopologyError> {
/// assert_eq!(Topology::Line.edges(4)?, [(1, 0), (2, 1), (3, 2)]);
/// assert_eq!(Topology::Star.edges(4)?, [(1, 0), (2, 0), (3, 0)]);
///
/// let odd = Topology::Random { degree: 3, seed: 7 }.edges(5);
/// assert_eq!(odd.unwrap_err().to_string(), "5 nodes can't have 3 edges each: the product is odd");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One behind the other.
    Line,
    /// A line whose ends are connected; of three nodes at least.
    Ring,
    /// All around node 0.
    Star,
    /// Everybody with everybody.
    Mesh,
    /// Rows and columns: node `y * width + x` with its neighbours to the left, to the right, above and
    /// below. There must be exactly `width * height` nodes.
    Grid {
        /// How many nodes are in a row.
        width: usize,
        /// How many rows there are.
        height: usize,
    },
    /// Node 0 is the root, and levels are filled one after the other: the parent of node `i` is
    /// `(i - 1) / arity`.
    Tree {
        /// How many children a node has at most.
        arity: usize,
    },
    /// A connected graph in which every node has exactly `degree` edges, drawn at random. The same
    /// numbers give the same graph, in every run and on every machine. (That all such graphs are
    /// equally probable is not promised.)
    ///
    /// It exists when `degree` is less than the number of nodes, their product is even, and the degree
    /// is large enough to connect them: 2 or more from three nodes on.
    Random {
        /// How many edges each node has.
        degree: usize,
        /// What the graph is drawn from.
        seed: u64,
    },
    /// These edges, (dialer, listener) each. They need not connect everybody.
    Custom(Vec<(usize, usize)>),
}

impl Topology {
    /// The edges between `nodes` nodes, each (dialer, listener): every one once, whichever way round,
    /// and none from a node to itself.
    ///
    /// # Errors
    ///
    /// There is no such graph; the error says why not.
    pub fn edges(&self, nodes: usize) -> Result<Vec<(usize, usize)>, TopologyError> {
        if nodes == 0 {
            return Err(TopologyError::NoNodes);
        }
        match *self {
            Self::Line => Ok(line(nodes).collect()),
            Self::Ring => ring(nodes),
            Self::Star => Ok((1..nodes).map(|leaf| (leaf, 0)).collect()),
            Self::Mesh => Ok(mesh(nodes).collect()),
            Self::Grid { width, height } => grid(nodes, width, height),
            Self::Tree { arity } => tree(nodes, arity),
            Self::Random { degree, seed } => random::regular(nodes, degree, seed),
            Self::Custom(ref edges) => custom(nodes, edges),
        }
    }
}

fn line(nodes: usize) -> impl Iterator<Item = (usize, usize)> {
    (1..nodes).map(|node| (node, node - 1))
}

fn ring(nodes: usize) -> Result<Vec<(usize, usize)>, TopologyError> {
    if nodes < 3 {
        return Err(TopologyError::RingTooSmall { nodes });
    }
    Ok(line(nodes).chain([(nodes - 1, 0)]).collect())
}

fn mesh(nodes: usize) -> impl Iterator<Item = (usize, usize)> {
    (1..nodes).flat_map(|dialer| (0..dialer).map(move |listener| (dialer, listener)))
}

fn grid(nodes: usize, width: usize, height: usize) -> Result<Vec<(usize, usize)>, TopologyError> {
    if width.checked_mul(height) != Some(nodes) {
        return Err(TopologyError::GridDoesNotFit {
            nodes,
            width,
            height,
        });
    }
    let neighbours = |node: usize| {
        let left = (!node.is_multiple_of(width)).then(|| (node, node - 1));
        let above = (node >= width).then(|| (node, node - width));
        left.into_iter().chain(above)
    };
    Ok((0..nodes).flat_map(neighbours).collect())
}

fn tree(nodes: usize, arity: usize) -> Result<Vec<(usize, usize)>, TopologyError> {
    if arity == 0 {
        return Err(TopologyError::NoArity);
    }
    let parent = |node: usize| (node, (node - 1) / arity);
    Ok((1..nodes).map(parent).collect())
}

fn custom(nodes: usize, edges: &[(usize, usize)]) -> Result<Vec<(usize, usize)>, TopologyError> {
    let mut seen = HashSet::new();
    for &edge @ (dialer, listener) in edges {
        if let Some(&node) = [dialer, listener].iter().find(|&&node| node >= nodes) {
            return Err(TopologyError::UnknownNode { edge, node, nodes });
        }
        if dialer == listener {
            return Err(TopologyError::SelfEdge { node: dialer });
        }
        if !seen.insert(undirected(edge)) {
            return Err(TopologyError::DuplicateEdge { edge });
        }
    }
    Ok(edges.to_vec())
}

/// The same for both ways round: the higher number first.
fn undirected((a, b): (usize, usize)) -> (usize, usize) {
    (a.max(b), a.min(b))
}
