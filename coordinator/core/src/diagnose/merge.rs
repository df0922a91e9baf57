//! One fault is one finding: what several places of the model say of the same node becomes one.

use mesh_proto::{Cause, Where};

use super::{Draft, side_effects};
use crate::localise::Model;

/// Joins drafts that speak of one fault. The first, which explains most, keeps its words.
pub(super) fn merge(model: &Model<'_>, drafts: Vec<Draft>) -> Vec<Draft> {
    let mut merged: Vec<Draft> = Vec::new();
    for draft in drafts {
        match merged.iter_mut().find(|earlier| one_fault(earlier, &draft)) {
            Some(earlier) => join(earlier, draft),
            None => merged.push(draft),
        }
    }
    side_effects::absorb(model, &merged)
}

fn one_fault(a: &Draft, b: &Draft) -> bool {
    if a.cause != b.cause {
        return false;
    }
    let same_nodes = a.place.nodes == b.place.nodes && !a.place.nodes.is_empty();
    match a.cause {
        // A filter in INPUT and in FORWARD of one node is one filter.
        Cause::ProtocolFiltered => same_nodes && a.place.protocol == b.place.protocol,
        Cause::Unknown => {
            same_nodes && a.place.protocol == b.place.protocol && a.place.service == b.place.service
                || only_pairs(&a.place) && only_pairs(&b.place) && a.place.protocol == b.place.protocol
        }
        Cause::MtuBlackhole | Cause::RandomLoss | Cause::FlowLoss | Cause::Slow => same_nodes,
        _ => false,
    }
}

fn only_pairs(place: &Where) -> bool {
    place.nodes.is_empty() && !place.pairs.is_empty()
}

fn join(into: &mut Draft, other: Draft) {
    if into.place.plane != other.place.plane {
        into.place.plane = None;
    }
    if into.place.direction != other.place.direction {
        into.place.direction = None;
    }
    for pair in other.place.pairs {
        if !into.place.pairs.contains(&pair) {
            into.place.pairs.push(pair);
        }
    }
    into.evidence.extend(other.evidence);
    into.explains.extend(other.explains);
}
