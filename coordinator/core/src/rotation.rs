//! Who probes whom where not everybody can probe everybody: each node a fixed number of others, and as many probe it.
//!
//! The nodes stand in a ring. A look has two sorts of pairs: from each node to the next few in the ring, always the same, so that a node that fails
//! is seen by several in every look and neighbours form groups that can be compared; and to those a rotating distance further on, so that
//! all pairs have their turn. Each node has as many ahead of it as behind, whatever its place: all probe, and are probed by, as many.
//!
//! In the ring zones are interleaved: each node stands at its share of the way through its zone, and so any stretch of the ring has nodes of
//! all zones in proportion to their sizes. Whom a node probes lies inside its zone and across, as far as zones are large enough
//! for a stretch to meet them. Within a zone nodes stand in the order of a hash of their names: those that came together, one rack, one
//! group, are strewn.
//!
//! A node that comes or goes moves the ends of stretches by a few places, and its zone's nodes by less than one of their distances; all else
//! stays. The rotation goes on from the distance that it had come to, which a change of a few nodes does not alter.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use mesh_proto::NodeName;

use crate::{NodeIndex, RosterNode};

/// How many others each node is to probe, and how far the rotation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peers {
    /// Other nodes that each node probes, and that probe it.
    pub count: usize,
    /// How far the rotation has come: what [`Rotation::next`] said of the look before; 0 at first.
    pub turn: usize,
}

/// Who probes whom in one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The nodes in the order of the ring.
    ring: Vec<NodeIndex>,
    /// By node: its place in the ring.
    places: Vec<usize>,
    /// So many next ones are probed in each look.
    fixed: usize,
    /// So many are probed in turn.
    rotating: usize,
    /// Where they begin, counted from the least of the rotating distances.
    begin: usize,
}

impl Rotation {
    /// The rotation among these nodes; `None` where all others are peers.
    pub fn new(nodes: &[RosterNode], peers: Peers) -> Option<Self> {
        let others = nodes.len().checked_sub(1)?;
        let count = peers.count.max(1);
        if count >= others {
            return None;
        }
        let ring = ring(nodes);
        let mut places = vec![0; nodes.len()];
        for (place, node) in ring.iter().enumerate() {
            places[node.0] = place;
        }
        let fixed = count / 2;
        let (rotating, in_turn) = (count - fixed, others - fixed);
        Some(Self {
            ring,
            places,
            fixed,
            rotating,
            begin: peers.turn % in_turn,
        })
    }

    /// Whether one node probes another in this look.
    pub fn has(&self, from: NodeIndex, to: NodeIndex) -> bool {
        let nodes = self.ring.len();
        let ahead = (self.places[to.0] + nodes - self.places[from.0]) % nodes;
        match ahead.checked_sub(self.fixed + 1) {
            None => ahead > 0,
            Some(distance) => {
                let in_turn = self.in_turn();
                (distance + in_turn - self.begin) % in_turn < self.rotating
            }
        }
    }

    /// Whom a node probes.
    pub fn peers_of(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        let (place, in_turn) = (self.places[node.0], self.in_turn());
        let in_turns = (0..self.rotating).map(move |step| self.fixed + 1 + (self.begin + step) % in_turn);
        let distances = (1..=self.fixed).chain(in_turns);
        distances.map(move |distance| self.ring[(place + distance) % self.ring.len()])
    }

    /// A node and those of its lasting peers that stand nearest, up to `reach` before and behind it.
    pub(crate) fn around(&self, node: NodeIndex, reach: usize) -> impl Iterator<Item = NodeIndex> {
        let (place, nodes) = (self.places[node.0], self.ring.len());
        let reach = reach.min(self.fixed);
        let stretch = (2 * reach + 1).min(nodes);
        (0..stretch).map(move |step| self.ring[(place + nodes - reach + step) % nodes])
    }

    /// All nodes, in the order of the ring.
    pub(crate) fn ring(&self) -> &[NodeIndex] {
        &self.ring
    }

    /// How many others each node probes in a look, and how many probe it.
    pub fn count(&self) -> usize {
        self.fixed + self.rotating
    }

    /// How many others there are.
    pub fn others(&self) -> usize {
        self.ring.len() - 1
    }

    /// After so many looks that follow each other all pairs had their turn.
    pub fn looks(&self) -> usize {
        self.in_turn().div_ceil(self.rotating)
    }

    /// Where the look after this one goes on.
    pub fn next(&self) -> usize {
        (self.begin + self.rotating) % self.in_turn()
    }

    /// How many distances take turns.
    fn in_turn(&self) -> usize {
        self.others() - self.fixed
    }
}

/// The nodes, zones interleaved.
fn ring(nodes: &[RosterNode]) -> Vec<NodeIndex> {
    let mut zones: BTreeMap<Option<&str>, Vec<NodeIndex>> = BTreeMap::new();
    for (number, node) in nodes.iter().enumerate() {
        zones
            .entry(node.zone.as_deref())
            .or_default()
            .push(NodeIndex(number));
    }
    let mut placed = Vec::with_capacity(nodes.len());
    for zone in zones.values_mut() {
        let name = |node: &NodeIndex| &nodes[node.0].name;
        zone.sort_by(|a, b| (hash(name(a)), name(a)).cmp(&(hash(name(b)), name(b))));
        let size = zone.len() as u64;
        placed.extend(
            (0..)
                .zip(zone.iter())
                .map(|(rank, node)| (Share::new(rank, size), *node)),
        );
    }
    // The sort is stable: where shares are equal, zones follow each other by name.
    placed.sort_by(|a, b| a.0.cmp(b.0));
    placed.into_iter().map(|(_, node)| node).collect()
}

/// How much of its zone lies before the middle of a node.
#[derive(Debug, Clone, Copy)]
struct Share {
    twice_before: u64,
    size: u64,
}

impl Share {
    fn new(rank: u64, size: u64) -> Self {
        Self {
            twice_before: 2 * rank + 1,
            size,
        }
    }

    fn cmp(self, other: Self) -> Ordering {
        (self.twice_before * other.size).cmp(&(other.twice_before * self.size))
    }
}

/// FNV-1a (Fowler, Noll, Vo), which is the same everywhere and always, with a last stir: names differ in their last letters.
fn hash(name: &NodeName) -> u64 {
    let fnv = name
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    (fnv ^ fnv >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod report_tests;
#[cfg(test)]
mod tests;
