//! Connected regular graphs at random.
//!
//! ```text
//! a regular graph (neighbours on a circle) ─► edges swap ends at random ─► parts are joined
//! ```
//!
//! 1. Each step leaves every node as many edges as before, and no two nodes twice connected.
//! 2. The last leaves one connected part, whatever the random numbers were, so there is no trying again.

use std::collections::HashSet;

use fastrand::Rng;

use super::{TopologyError, undirected};

/// How often each edge swaps an end, on average; a few times is enough to forget the circle.
const SWAPS_PER_EDGE: usize = 10;

type Edge = (usize, usize);

pub(super) fn regular(nodes: usize, degree: usize, seed: u64) -> Result<Vec<Edge>, TopologyError> {
    check(nodes, degree)?;
    let mut graph = Graph::of(circle(nodes, degree));
    graph.shuffle(&mut Rng::with_seed(seed));
    graph.join_parts(nodes);
    graph.edges.sort_unstable();
    Ok(graph.edges)
}

fn check(nodes: usize, degree: usize) -> Result<(), TopologyError> {
    if degree >= nodes {
        return Err(TopologyError::DegreeTooHigh { nodes, degree });
    }
    if nodes % 2 == 1 && degree % 2 == 1 {
        return Err(TopologyError::DegreeSumOdd { nodes, degree });
    }
    // One node needs no edge, two need one, and with one edge each, three would not be connected.
    if degree < nodes.min(3) - 1 {
        return Err(TopologyError::DegreeTooLow { nodes, degree });
    }
    Ok(())
}

/// Everybody with the nearest `degree / 2` on either side, and with who is opposite if that is odd.
fn circle(nodes: usize, degree: usize) -> Vec<Edge> {
    let beside = (1..=degree / 2).flat_map(|distance| (0..nodes).map(move |node| (node, distance)));
    let opposite = (0..nodes / 2 * (degree % 2)).map(|node| (node, nodes / 2));
    let edges = beside.chain(opposite);
    edges
        .map(|(node, distance)| undirected((node, (node + distance) % nodes)))
        .collect()
}

struct Graph {
    edges: Vec<Edge>,
    /// The same, to look one up.
    known: HashSet<Edge>,
}

impl Graph {
    fn of(edges: Vec<Edge>) -> Self {
        let known = edges.iter().copied().collect();
        Self { edges, known }
    }

    fn shuffle(&mut self, rng: &mut Rng) {
        let count = self.edges.len();
        for _ in 0..count * SWAPS_PER_EDGE {
            let (i, j) = (rng.usize(..count), rng.usize(..count));
            self.swap(i, j, rng.bool());
        }
    }

    /// Makes (a, c) and (b, d) of (a, b) and (c, d), or of (a, b) and (d, c), unless that would connect
    /// somebody to themselves, or two twice.
    fn swap(&mut self, i: usize, j: usize, turned: bool) {
        let ((a, b), (mut c, mut d)) = (self.edges[i], self.edges[j]);
        if turned {
            (c, d) = (d, c);
        }
        let (first, second) = (undirected((a, c)), undirected((b, d)));
        let taken = self.known.contains(&first) || self.known.contains(&second);
        if a == c || b == d || first == second || taken {
            return;
        }
        for (place, edge) in [(i, first), (j, second)] {
            self.known.remove(&self.edges[place]);
            self.edges[place] = edge;
        }
        self.known.extend([first, second]);
    }

    /// Connects the parts into which the graph has fallen. From two edges per node on, each part has an
    /// edge that closes a circle, and stays whole without it. When such an edge of one part swaps ends
    /// with any edge of another, whatever remains of the other hangs on the first.
    fn join_parts(&mut self, nodes: usize) {
        while let Some((closing, other)) = self.two_parts(nodes) {
            self.swap(closing, other, false);
        }
    }

    /// An edge that closes a circle and an edge of another part, if there is another.
    fn two_parts(&self, nodes: usize) -> Option<(usize, usize)> {
        let mut parts = Parts::new(nodes);
        let mut closing = None;
        for (place, &(a, b)) in self.edges.iter().enumerate() {
            if !parts.join(a, b) {
                closing = Some(place);
            }
        }
        let closing = closing?;
        let part = parts.find(self.edges[closing].0);
        let mut edges = self.edges.iter();
        let other = edges.position(|&(a, _)| parts.find(a) != part)?;
        Some((closing, other))
    }
}

/// Which nodes hang together (a forest in which each tree is a part).
struct Parts(Vec<usize>);

impl Parts {
    fn new(nodes: usize) -> Self {
        Self((0..nodes).collect())
    }

    fn find(&mut self, mut node: usize) -> usize {
        while self.0[node] != node {
            self.0[node] = self.0[self.0[node]];
            node = self.0[node];
        }
        node
    }

    /// Joins the parts of two nodes; `false` if they are one already.
    fn join(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a] = b;
        a != b
    }
}
