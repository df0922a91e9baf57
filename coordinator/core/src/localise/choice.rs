//! A service sends each flow to one of its endpoints. A place that only some of the endpoints stand behind takes all flows
//! of a cell by chance alone, and how likely that is can be told.

use super::family::{Family, Scope};
use super::hypothesis::Hypothesis;
use super::model::Model;
use super::path::may_serve;
use crate::NodeIndex;
use crate::round::{CellIndex, Target};

/// Of the endpoints that a service may choose for a cell, those that places are in the way of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    hit: u64,
    all: u32,
    flows: u32,
}

impl Choice {
    /// Both places' together.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            hit: self.hit | other.hit,
            ..self
        }
    }

    /// The logarithm of the chance that all flows of the cell went to those.
    pub(super) fn ln_chance(self) -> f64 {
        let share = f64::from(self.hit.count_ones()) / f64::from(self.all);
        share.ln() * f64::from(self.flows)
    }
}

/// The endpoints behind a place, where others have a way that does not cross it; `None` where the cell crosses the place
/// whichever endpoint it gets, or has no choice.
pub(super) fn choice(model: &Model<'_>, cell: CellIndex, place: &Hypothesis) -> Option<Choice> {
    let roster = model.matrix.round().roster();
    let cluster = &roster.cluster;
    let (source, _) = model.nodes(cell);
    let (entry, endpoints): (Option<NodeIndex>, Vec<Option<NodeIndex>>) = match model.target(cell) {
        Target::NodePort { service, node } => {
            let offer = cluster.node_ports.get(service)?;
            let on = Some(node);
            let local = offer.policy == mesh_proto::TrafficPolicy::Local;
            let backends = offer
                .backends
                .iter()
                .map(|backend| model.layout.node(&backend.node));
            let may = |backend: &Option<NodeIndex>| {
                let (Some(from), Some(backend)) = (source, *backend) else {
                    return !local;
                };
                may_serve(local, from, node, backend)
            };
            (on, backends.filter(may).collect())
        }
        Target::Dns { .. } => {
            let endpoints = cluster.dns.as_ref()?.endpoints.iter();
            (
                source,
                endpoints
                    .map(|endpoint| model.layout.node(&endpoint.node))
                    .collect(),
            )
        }
        Target::Api => {
            let endpoints = cluster.api.as_ref()?.endpoints.iter();
            let node = |address| model.layout.node(roster.node_of_host_address(address)?);
            (source, endpoints.map(|endpoint| node(endpoint.ip())).collect())
        }
        _ => return None,
    };
    if is_on_the_way(&place.scope, source, entry) && !matches!(place.family, Family::DnsEndpoint(_)) {
        return None;
    }
    let is_hit = |number: usize, endpoint: Option<NodeIndex>| match place.family {
        Family::DnsEndpoint(dead) => dead == number,
        _ => endpoint.is_some_and(|endpoint| is_behind(&place.scope, source, entry, endpoint)),
    };
    let numbered = endpoints.iter().copied().enumerate().take(u64::BITS as usize);
    let hit = numbered
        .filter(|(number, endpoint)| is_hit(*number, *endpoint))
        .fold(0, |hit, (number, _)| hit | 1 << number);
    let choice = Choice {
        hit,
        all: u32::try_from(endpoints.len()).ok()?,
        flows: model.flows(cell) + again(model, cell),
    };
    (hit != 0 && hit.count_ones() < choice.all).then_some(choice)
}

/// Flows on which the second look asked the same again.
fn again(model: &Model<'_>, cell: CellIndex) -> u32 {
    let seen = model.matrix.asked_again(model.number(cell));
    seen.map_or(0, |seen| {
        u32::try_from(seen.incomplete_flows.len()).unwrap_or(u32::MAX)
    })
}

/// Whether every flow passes there before an endpoint is chosen.
fn is_on_the_way(scope: &Scope, source: Option<NodeIndex>, entry: Option<NodeIndex>) -> bool {
    let (Some(source), Some(entry)) = (source, entry) else {
        return true;
    };
    match scope {
        Scope::Node(node) => *node == source || *node == entry,
        Scope::Pair(a, b) => (*a, *b) == (source.min(entry), source.max(entry)) && source != entry,
        Scope::Group(nodes) => nodes.contains(&source) != nodes.contains(&entry),
        Scope::OwnNode | Scope::OtherNodes | Scope::Cluster => true,
    }
}

/// Whether what goes to an endpoint passes there.
fn is_behind(
    scope: &Scope,
    source: Option<NodeIndex>,
    entry: Option<NodeIndex>,
    endpoint: NodeIndex,
) -> bool {
    match scope {
        Scope::Node(node) => *node == endpoint,
        Scope::Pair(a, b) => [source, entry]
            .into_iter()
            .flatten()
            .any(|from| (*a, *b) == (from.min(endpoint), from.max(endpoint)) && from != endpoint),
        Scope::Group(nodes) => entry.is_some_and(|from| nodes.contains(&from) != nodes.contains(&endpoint)),
        Scope::OwnNode | Scope::OtherNodes | Scope::Cluster => true,
    }
}
