//! Rules that lead to endpoints which are gone, where what else is at fault hides what they do: kernels tell of them all the same.

use mesh_proto::{Cause, Confidence};

use super::Draft;
use super::scene::Scene;
use super::services::endpoint_stale;
use super::side_effects::translates_at;
use super::signature::{self, Signature};
use crate::NodeIndex;
use crate::localise::{Family, Hypothesis, Model, Pick, Place, Scope};
use crate::round::{CellIndex, Target};

const STALE: &[&[Signature]] = &[&[Signature::new(Cause::EndpointStale, endpoint_stale)]];

/// Takes cells that ask such services out of places that are none of a service, and names them: all at once where all nodes
/// have such rules, else those of each node.
pub(super) fn named(model: &Model<'_>, picks: &mut [Pick]) -> Vec<Draft> {
    let node_ports = model.matrix.round().roster().cluster.node_ports.len();
    let families = [Family::ApiService, Family::DnsService]
        .into_iter()
        .chain((0..node_ports).map(Family::NodePort));
    let mut drafts = Vec::new();
    for family in families {
        let cells = hidden(model, picks, family);
        let mut by_node: Vec<(NodeIndex, Vec<CellIndex>)> = Vec::new();
        for cell in &cells {
            let Some(node) = translates_at(model, *cell) else {
                continue;
            };
            match by_node.iter_mut().find(|(of, _)| *of == node) {
                Some((_, cells)) => cells.push(*cell),
                None => by_node.push((node, vec![*cell])),
            }
        }
        if let Some(draft) = stale(model, picks, (family, Scope::Cluster), cells) {
            drafts.push(draft);
            continue;
        }
        for (node, cells) in by_node {
            drafts.extend(stale(model, picks, (family, Scope::Node(node)), cells));
        }
    }
    drafts
}

/// Ill cells that ask the service and stand under something else than a service.
fn hidden(model: &Model<'_>, picks: &[Pick], family: Family) -> Vec<CellIndex> {
    let is_of_service = |pick: &&Pick| match &pick.place {
        Place::At(hypothesis) => matches!(
            hypothesis.family,
            Family::ApiService
                | Family::DnsService
                | Family::DnsAll
                | Family::DnsEndpoint(_)
                | Family::NodePort(_)
                | Family::AnyNodePort
                | Family::Rules
        ),
        Place::Down(_) | Place::Nowhere => false,
    };
    let asks = |cell: &CellIndex| {
        family
            == match model.target(*cell) {
                Target::Api => Family::ApiService,
                Target::Dns { .. } => Family::DnsService,
                Target::NodePort { service, .. } => Family::NodePort(service),
                Target::Agent(_) | Target::Loopback | Target::DnsEndpoint(_) => return false,
            }
    };
    let others = picks.iter().filter(|pick| !is_of_service(pick));
    others
        .flat_map(|pick| pick.explains.iter().copied().filter(asks))
        .collect()
}

/// A finding of these cells, if rules of all the nodes that translate them lead astray; they are taken out of their places then.
fn stale(
    model: &Model<'_>,
    picks: &mut [Pick],
    (family, scope): (Family, Scope),
    cells: Vec<CellIndex>,
) -> Option<Draft> {
    let hypothesis = Hypothesis::whole(scope, family);
    let mut pick = picks.first().filter(|_| !cells.is_empty())?.clone();
    (pick.place, pick.covers) = (Place::At(hypothesis.clone()), cells.clone());
    pick.explains = cells;
    let named = signature::name(&Scene::new(model, &pick, &hypothesis), STALE)
        .into_iter()
        .next()?;
    if named.cause != Cause::EndpointStale || named.confidence != Confidence::Certain {
        return None;
    }
    for other in picks {
        other.explains.retain(|cell| !named.explains.contains(cell));
    }
    Some(named)
}

#[cfg(test)]
#[path = "stale_rules_tests.rs"]
mod tests;
