//! Sets of nodes that nothing connects to the rest.

use std::collections::{BTreeSet, HashMap};

use super::model::Model;
use crate::NodeIndex;
use crate::round::KINDS;

/// Those of two nodes and more, on each side: what is left of the network when dead pairs of nodes are taken out of it.
pub(super) fn cut_off_groups(model: &Model<'_>) -> Vec<Vec<NodeIndex>> {
    let layout = &model.layout;
    let nodes = layout.nodes();
    // Between nodes: how many cells did not come through, and of how many nothing is known.
    let mut dead: HashMap<(usize, usize), usize> = HashMap::new();
    let mut unknown = vec![0; nodes];
    let mut has_dead = vec![false; nodes];
    // Pairs of nodes between which something was seen not to come through.
    let mut seen_dead: BTreeSet<(usize, usize)> = BTreeSet::new();
    for cell in model.ill.iter().chain(&model.unknown) {
        let (Some(NodeIndex(from)), Some(NodeIndex(to))) = model.nodes(*cell) else {
            continue;
        };
        if from == to || model.judged(*cell).came_through() && model.observed(*cell) {
            continue;
        }
        *dead.entry((from.min(to), from.max(to))).or_default() += 1;
        (has_dead[from], has_dead[to]) = (true, true);
        if model.observed(*cell) {
            seen_dead.insert((from.min(to), from.max(to)));
        } else {
            unknown[from] += 1;
            unknown[to] += 1;
        }
    }
    let standing = |node: usize| layout.agents_at(NodeIndex(node)).len();
    let all: usize = (0..nodes).map(standing).sum();
    let planned = |node: usize| 2 * KINDS.len() * standing(node) * (all - standing(node));
    let here = layout.here().iter().map(|node| node.0);
    let mut left: Vec<usize> = here.filter(|node| planned(*node) > unknown[*node]).collect();
    let weight = |nodes: &[usize]| -> f64 { nodes.iter().map(|node| model.weight(NodeIndex(*node))).sum() };
    let watched = weight(&left);
    let is_dead = |a: usize, b: usize| {
        let cells = 2 * KINDS.len() * standing(a) * standing(b);
        has_dead[a] && dead.get(&(a.min(b), a.max(b))).is_some_and(|dead| *dead >= cells)
    };
    let mut groups = Vec::new();
    while let Some(first) = left.pop() {
        let (mut group, mut next) = (vec![first], 0);
        while next < group.len() {
            let node = group[next];
            let (stay, join) = left.into_iter().partition(|other| is_dead(node, *other));
            left = stay;
            let join: Vec<usize> = join;
            group.extend(join);
            next += 1;
        }
        // Nodes that are no peers say nothing of each other: what looks cut off was perhaps not looked at.
        let is_seen = model.matrix.round().rotation().is_none() || {
            let leaves = |(a, b): &&(usize, usize)| group.contains(a) != group.contains(b);
            seen_dead.iter().filter(leaves).count() > group.len()
        };
        if group.len() >= 2 && is_seen && weight(&group) * 2.0 <= watched {
            group.sort_unstable();
            groups.push(group.into_iter().map(NodeIndex).collect());
        }
    }
    groups
}
