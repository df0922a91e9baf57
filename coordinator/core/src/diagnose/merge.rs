//! One fault is one finding: what several places of the model say of the same node becomes one.

use mesh_proto::{Cause, NodeName, Where};

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
    side_effects::absorb(model, merged)
}

fn one_fault(a: &Draft, b: &Draft) -> bool {
    if a.cause != b.cause {
        return false;
    }
    let same_nodes = a.place.nodes == b.place.nodes && !a.place.nodes.is_empty();
    match a.cause {
        // A filter in INPUT and in FORWARD of one node is one filter.
        // And what it keeps from services may show as ways that all end there.
        Cause::ProtocolFiltered => {
            a.place.protocol == b.place.protocol && (same_nodes || all_end_at(&b.place, &a.place))
        }
        Cause::Unknown => {
            a.place.protocol == b.place.protocol
                && (same_nodes && a.place.service == b.place.service || meet_at_one_node(&a.place, &b.place))
        }
        // A policy that stands at several nodes may show at some of them by one service alone.
        Cause::PolicyNodePort if a.place.plane == b.place.plane && near(&a.place, &b.place) => {
            let is_in = |some: &Where, all: &Where| some.nodes.iter().all(|node| all.nodes.contains(node));
            !a.place.nodes.is_empty()
                && !b.place.nodes.is_empty()
                && (is_in(&a.place, &b.place) || is_in(&b.place, &a.place))
                || a.place.nodes == b.place.nodes
        }
        Cause::EndpointStale
        | Cause::ServiceNoEndpoints
        | Cause::MasqueradeMissing
        | Cause::PolicyNodePort => {
            a.place.nodes == b.place.nodes && a.place.service == b.place.service && near(&a.place, &b.place)
        }
        Cause::DnsEndpointDown | Cause::DnsDown | Cause::ApiServerDown => {
            a.place.endpoint == b.place.endpoint
        }
        // What lacks the way to one node's pods lacks it for one reason.
        Cause::PodRoutesMissing if only_pairs(&a.place) && only_pairs(&b.place) => {
            let ends =
                |place: &Where| -> Vec<NodeName> { place.pairs.iter().map(|(_, to)| to.clone()).collect() };
            let (theirs, from) = (ends(&b.place), |place: &Where| place.pairs[0].0.clone());
            ends(&a.place).iter().any(|to| theirs.contains(to)) || from(&a.place) == from(&b.place)
        }
        Cause::OneWayLoss | Cause::NodePartitioned | Cause::NodeDown => false,
        Cause::OverlayPeerStale | Cause::NeighbourStale | Cause::RoutingLoop => {
            same_nodes || same_pairs(&a.place, &b.place)
        }
        _ if same_nodes => true,
        // What every node has is one fault, whichever cells show it.
        _ => everywhere(&a.place) && everywhere(&b.place),
    }
}

/// The same pairs, in whichever order.
fn same_pairs(a: &Where, b: &Where) -> bool {
    let is_in = |pair: &(NodeName, NodeName), of: &Where| {
        of.pairs.contains(pair) || of.pairs.contains(&(pair.1.clone(), pair.0.clone()))
    };
    !a.pairs.is_empty()
        && a.pairs.iter().all(|pair| is_in(pair, b))
        && b.pairs.iter().all(|pair| is_in(pair, a))
}

fn everywhere(place: &Where) -> bool {
    place.nodes.is_empty() && place.pairs.is_empty()
}

/// Ports of one service for TCP and UDP, or ports next to each other of no service that has a name here.
fn near(a: &Where, b: &Where) -> bool {
    a.endpoint == b.endpoint || a.port == b.port
}

/// Whether a place is pairs that all end at the only node of another.
fn all_end_at(pairs: &Where, of: &Where) -> bool {
    let [node] = of.nodes.as_slice() else { return false };
    only_pairs(pairs) && pairs.pairs.iter().all(|(from, to)| from == node || to == node)
}

/// Whether one node is an end of all pairs of both places. What is between others is another fault until it is known.
fn meet_at_one_node(a: &Where, b: &Where) -> bool {
    if !only_pairs(a) || !only_pairs(b) {
        return false;
    }
    let (one, other) = &a.pairs[0];
    [one, other].into_iter().any(|node| {
        let is_end = |(from, to): &(NodeName, NodeName)| from == node || to == node;
        a.pairs.iter().chain(&b.pairs).all(is_end)
    })
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
    if into.place.protocol != other.place.protocol {
        into.place.protocol = None;
    }
    if into.place.port != other.place.port {
        into.place.port = None;
    }
    for node in other.place.nodes {
        if !into.place.nodes.is_empty() && !into.place.nodes.contains(&node) {
            into.place.nodes.push(node);
        }
    }
    // Pairs of a node that is named already say no more.
    let pairs = if into.place.nodes.is_empty() {
        other.place.pairs
    } else {
        Vec::new()
    };
    for pair in pairs {
        if !into.place.pairs.contains(&pair) {
            into.place.pairs.push(pair);
        }
    }
    for line in other.evidence {
        if !into.evidence.contains(&line) {
            into.evidence.push(line);
        }
    }
    into.explains.extend(other.explains);
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
