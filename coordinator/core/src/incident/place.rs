//! Places of findings compared, and whether anybody can look at them.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::{CellState, Finding, NodeName, Report, Where};

/// How much two findings look like one fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    /// They have nothing in common.
    None,
    /// They share a node, or are both of the whole cluster.
    Near,
    /// The same place under another cause's name.
    SamePlace,
    /// The same cause at the same place.
    Same,
}

pub(super) fn likeness(one: &Finding, other: &Finding) -> Likeness {
    let (a, b) = (&one.place, &other.place);
    let same_place = ends(a) == ends(b) && a.service == b.service && a.endpoint == b.endpoint;
    let same_sort =
        a.plane == b.plane && a.direction == b.direction && a.protocol == b.protocol && a.port == b.port;
    if same_place && same_sort && one.cause == other.cause {
        return Likeness::Same;
    }
    if same_place && (one.cause == other.cause || same_sort) {
        return Likeness::SamePlace;
    }
    let (of_one, of_other) = (ends(a), ends(b));
    let near = if of_one.is_empty() || of_other.is_empty() {
        of_one.is_empty() && of_other.is_empty()
    } else {
        !of_one.is_disjoint(&of_other)
    };
    if near { Likeness::Near } else { Likeness::None }
}

/// Every node that a place names.
pub(super) fn ends(place: &Where) -> BTreeSet<&NodeName> {
    let pairs = place.pairs.iter().flat_map(|(from, to)| [from, to]);
    place.nodes.iter().chain(pairs).collect()
}

/// Whether all that a place blames is excused: each of its nodes, and an end of each of its pairs.
pub(super) fn is_excused(place: &Where, excused: &BTreeMap<NodeName, String>) -> bool {
    let has = |node: &NodeName| excused.contains_key(node);
    (!place.nodes.is_empty() || !place.pairs.is_empty())
        && place.nodes.iter().all(has)
        && place.pairs.iter().all(|(from, to)| has(from) || has(to))
}

/// Whether the place was at nodes of which one is not there any more.
pub(super) fn has_left(place: &Where, report: &Report) -> bool {
    let there: BTreeSet<&NodeName> = report.nodes.iter().map(|node| &node.name).collect();
    let gone = |node: &NodeName| !there.contains(node);
    (!place.nodes.is_empty() && place.nodes.iter().all(gone))
        || (!place.pairs.is_empty() && place.pairs.iter().all(|(from, to)| gone(from) || gone(to)))
}

/// Whether a look that does not see a fault there says anything: not where cells at it are `blind`.
pub(super) fn is_in_sight(place: &Where, report: &Report, blind: CellState) -> bool {
    let ends = ends(place);
    let at = |node: &NodeName| ends.contains(node);
    !report.cells.iter().any(|cell| {
        cell.state == blind
            && (ends.is_empty() || at(&cell.from.node) || cell.to.node.as_ref().is_some_and(at))
    })
}
