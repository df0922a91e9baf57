//! Which nodes the localiser looks at: all of a small cluster; of a large one those that stand out, those that serve, and enough
//! of the rest to see how the rest fares.
//!
//! What is found in this sketch is true of the whole, since nodes that are left out fare like those of the rest that are
//! in it. Its size does not grow with the cluster, and so neither does the cost of everything after the survey.

use std::collections::BTreeSet;

use super::survey::Survey;
use crate::judge::Judge;
use crate::round::Layout;
use crate::{NodeIndex, Rotation};

/// Clusters of so many nodes and less are looked at as a whole.
const WHOLE: usize = 64;
/// Of the nodes that fare like most so many are looked at.
const USUAL: usize = 18;
/// Nodes that are down, that stand out, and that an agent is missing or starved on: at most so many of each.
const DOWN: usize = 48;
const STANDING_OUT: usize = 56;
const ODD: usize = 12;
/// Nodes that serve: what more of them stand behind is not chosen often.
const SERVING: usize = 16;
/// Where each node has few peers: of how many of these nodes the neighbours are looked at, and how many of them before and behind it.
/// Nodes that do not probe each other say nothing of each other.
const WITH_NEIGHBOURS: usize = 24;
const NEIGHBOURS: usize = 6;
/// Pairs between which something is dead, and those between which more is lost than elsewhere.
const DEAD_PAIRS: usize = 12;
const LOSSY_PAIRS: usize = 8;

/// The nodes to look at.
#[derive(Debug)]
pub(super) struct Sketch {
    pub(super) nodes: BTreeSet<NodeIndex>,
    /// Those of them that fare like most: each stands for many.
    pub(super) usual: BTreeSet<NodeIndex>,
}

impl Sketch {
    /// Chooses them; `besides` are nodes that must be among them.
    pub(super) fn new(judge: &Judge<'_>, survey: &Survey, besides: &BTreeSet<NodeIndex>) -> Self {
        let layout = judge.matrix.round().layout();
        let mut nodes = besides.clone();
        nodes.extend(
            judge
                .down()
                .iter()
                .filter_map(|name| layout.node(name))
                .take(DOWN),
        );
        let backends = layout
            .backends
            .iter()
            .flat_map(|(nodes, _)| nodes.iter().take(SERVING / 4));
        let dns = layout.dns.iter().flatten().take(SERVING / 4);
        nodes.extend(
            layout
                .api
                .iter()
                .take(SERVING / 4)
                .chain(dns)
                .chain(backends)
                .take(SERVING),
        );
        let standing_out = survey.stand_out();
        let lossy: BTreeSet<NodeIndex> = standing_out
            .iter()
            .filter(|(.., is_loss)| *is_loss)
            .map(|(node, ..)| *node)
            .collect();
        nodes.extend(standing_out.iter().map(|(node, ..)| *node).take(STANDING_OUT));
        let dead: BTreeSet<_> = survey
            .dead_pairs
            .iter()
            .map(|(a, b)| (a.min(b), a.max(b)))
            .collect();
        nodes.extend(dead.iter().take(DEAD_PAIRS).flat_map(|(a, b)| [**a, **b]));
        let lost = survey.lossy_pairs(|node| !lossy.contains(&node));
        nodes.extend(lost.iter().take(LOSSY_PAIRS).flat_map(|(a, b)| [*a, *b]));
        let odd = layout.sources().filter(|(agent, _)| judge.is_odd(*agent));
        nodes.extend(odd.map(|(_, source)| source.node).take(2 * ODD));
        let usual = match judge.matrix.round().rotation() {
            None => strewn(layout, &nodes),
            Some(rotation) => {
                let chosen: Vec<NodeIndex> = nodes.iter().copied().take(WITH_NEIGHBOURS).collect();
                let neighbours = chosen
                    .into_iter()
                    .flat_map(|node| rotation.around(node, NEIGHBOURS));
                nodes.extend(neighbours);
                stretch(rotation, &nodes)
            }
        };
        nodes.extend(&usual);
        Self { nodes, usual }
    }

    /// Whether a round is looked at as a whole.
    pub(super) fn is_needless(layout: &Layout) -> bool {
        layout.here().len() <= WHOLE
    }
}

/// Usual nodes from everywhere in the list: those of one kind often lie together.
fn strewn(layout: &Layout, besides: &BTreeSet<NodeIndex>) -> BTreeSet<NodeIndex> {
    let here = layout.here().iter().copied();
    let rest: Vec<NodeIndex> = here.filter(|node| !besides.contains(node)).collect();
    let step = (rest.len() / USUAL).max(1);
    rest.into_iter().step_by(step).take(USUAL).collect()
}

/// Usual nodes that probe each other: neighbours in the ring, with those that stand out passed over.
fn stretch(rotation: &Rotation, besides: &BTreeSet<NodeIndex>) -> BTreeSet<NodeIndex> {
    let ring = rotation.ring().iter().copied();
    ring.filter(|node| !besides.contains(node)).take(USUAL).collect()
}

#[cfg(test)]
#[path = "sketch_tests.rs"]
mod tests;
