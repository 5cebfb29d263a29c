//! A graph that can't be: [`TopologyError`].

use std::{error::Error, fmt};

/// There is no graph of this shape with so many nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopologyError {
    /// A network of no nodes.
    NoNodes,
    /// A ring of one or two nodes would connect a node to itself, or two of them twice.
    RingTooSmall {
        /// How many nodes there are.
        nodes: usize,
    },
    /// A grid has `width * height` nodes, no more and no less.
    GridDoesNotFit {
        /// How many nodes there are.
        nodes: usize,
        /// How many nodes were to be in a row.
        width: usize,
        /// How many rows there were to be.
        height: usize,
    },
    /// A tree in which nobody has children.
    NoArity,
    /// More edges at each node than there are others.
    DegreeTooHigh {
        /// How many nodes there are.
        nodes: usize,
        /// How many edges each was to have.
        degree: usize,
    },
    /// Every edge has two ends, so that the sum of all degrees is even.
    DegreeSumOdd {
        /// How many nodes there are.
        nodes: usize,
        /// How many edges each was to have.
        degree: usize,
    },
    /// So few edges at each node can't connect them all.
    DegreeTooLow {
        /// How many nodes there are.
        nodes: usize,
        /// How many edges each was to have.
        degree: usize,
    },
    /// An edge to a node that isn't there.
    UnknownNode {
        /// The edge: (dialer, listener).
        edge: (usize, usize),
        /// Which of the two isn't there.
        node: usize,
        /// How many nodes there are.
        nodes: usize,
    },
    /// An edge from a node to itself.
    SelfEdge {
        /// The node.
        node: usize,
    },
    /// Two nodes are connected twice, whichever way round.
    DuplicateEdge {
        /// The second edge between them: (dialer, listener).
        edge: (usize, usize),
    },
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoNodes => f.write_str("a network has at least one node, not 0"),
            Self::RingTooSmall { nodes } => {
                write!(f, "a ring has at least 3 nodes, not {nodes}")
            }
            Self::GridDoesNotFit {
                nodes,
                width,
                height,
            } => write!(
                f,
                "a grid of {width} × {height} doesn't have {nodes} nodes, but {}",
                width as u128 * height as u128
            ),
            Self::NoArity => {
                f.write_str("a tree of arity 0 has no edges: the arity must be at least 1")
            }
            Self::DegreeTooHigh { nodes, degree } => write!(
                f,
                "{nodes} nodes can't have {degree} edges each: there are only {} others",
                nodes - 1
            ),
            Self::DegreeSumOdd { nodes, degree } => write!(
                f,
                "{nodes} nodes can't have {degree} edges each: the product is odd"
            ),
            Self::DegreeTooLow { nodes, degree } => write!(
                f,
                "{nodes} nodes with {degree} edges each can't be connected: the degree must be at least {}",
                nodes.min(3) - 1
            ),
            Self::UnknownNode {
                edge: (dialer, listener),
                node,
                nodes,
            } => write!(
                f,
                "edge ({dialer}, {listener}): there is no node {node}, the last of {nodes} is {}",
                nodes - 1
            ),
            Self::SelfEdge { node } => write!(f, "edge ({node}, {node}): from a node to itself"),
            Self::DuplicateEdge {
                edge: (dialer, listener),
            } => write!(
                f,
                "edge ({dialer}, {listener}): these two are connected already"
            ),
        }
    }
}

impl Error for TopologyError {}
