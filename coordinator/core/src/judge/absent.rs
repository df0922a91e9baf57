//! Cells to an agent that is not there. They are unknown unless they are reachable, or nothing of that node answers
//! anybody on any plane: then they failed, and the node is down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mesh_proto::{AgentIndex, CellReason, NodeName, Observation, Reason};

use super::Judged;
use crate::Presence;
use crate::matrix::{LEFT, Matrix, judged_cells};
use crate::round::{PlannedCell, Target};

/// Applies the rule to all cells whose target agent is absent.
pub(super) fn settle(matrix: &Matrix, judged: &mut [Judged]) {
    let down = nodes_down(matrix, judged);
    for (number, cell) in matrix.round().cells().iter().enumerate() {
        let from = matrix
            .round()
            .roster()
            .agent(cell.from)
            .map(|agent| &agent.key.node);
        let ends = [from, node_of_target(matrix, cell)].into_iter().flatten();
        let has_left = ends.chain(behind(matrix, cell)).any(|node| matrix.has_left(node));
        if has_left && judged[number].seen().is_some() {
            judged[number] = Judged::unknown(format!("nobody stands there to answer: {LEFT}"));
        }
        let Target::Agent(to) = cell.target else { continue };
        let Some(agent) = matrix.round().roster().agent(to) else {
            continue;
        };
        if matrix.stands(to) || judged[number].came_through() || down.contains(&agent.key.node) {
            continue;
        }
        if judged[number].seen().is_some() {
            judged[number] = Judged::unknown(format!(
                "nobody stands there to answer: {}",
                why_absent(matrix, to)
            ));
        }
    }
}

/// Nodes of which no agent's link answers, and of which nothing answered anybody who tried.
pub(crate) fn nodes_down(matrix: &Matrix, judged: &[Judged]) -> BTreeSet<NodeName> {
    let roster = matrix.round().roster();
    let mut answers: BTreeMap<&NodeName, Option<bool>> = BTreeMap::new();
    for (index, agent) in roster.indexed() {
        let entry = answers.entry(&agent.key.node).or_insert(None);
        let is_excused =
            matches!(agent.presence, Presence::Skipped { .. }) || matrix.has_left(&agent.key.node);
        if matrix.stands(index) || is_excused {
            *entry = Some(true);
        }
    }
    for (number, cell, judged) in judged_cells(matrix, judged) {
        let Some(node) = node_of_target(matrix, cell) else {
            continue;
        };
        let Some(seen) = matrix.observations()[number.0]
            .as_ref()
            .filter(|seen| seen.sent > 0)
        else {
            continue;
        };
        let Some(entry) = answers.get_mut(node) else {
            continue;
        };
        let heard = judged.came_through() || spoke(matrix, node, cell, seen);
        *entry = Some(entry.unwrap_or(false) || heard);
    }
    answers
        .into_iter()
        .filter(|(_, heard)| *heard == Some(false))
        .map(|(node, _)| node.clone())
        .collect()
}

/// Why an agent is not there, in words.
pub(crate) fn why_absent(matrix: &Matrix, agent: AgentIndex) -> String {
    if let Some(lost) = matrix.agent(agent).and_then(|record| record.lost.clone()) {
        return lost;
    }
    match matrix.round().roster().agent(agent).map(|agent| &agent.presence) {
        Some(Presence::Absent { why } | Presence::Skipped { why }) => why.clone(),
        Some(Presence::Present(_)) | None => "no agent".to_owned(),
    }
}

fn node_of_target<'a>(matrix: &'a Matrix, cell: &'a PlannedCell) -> Option<&'a NodeName> {
    let roster = matrix.round().roster();
    match &cell.target {
        Target::Agent(index) => roster.agent(*index).map(|agent| &agent.key.node),
        Target::NodePort { node, .. } => Some(node),
        Target::DnsEndpoint(number) => roster
            .cluster
            .dns
            .as_ref()?
            .endpoints
            .get(*number)
            .map(|e| &e.node),
        Target::Loopback | Target::Api | Target::Dns { .. } => None,
    }
}

/// The nodes that a service's endpoints stand on.
fn behind<'a>(matrix: &'a Matrix, cell: &PlannedCell) -> Vec<&'a NodeName> {
    let roster = matrix.round().roster();
    let cluster = &roster.cluster;
    match &cell.target {
        Target::Dns { .. } => {
            let endpoints = cluster.dns.iter().flat_map(|dns| &dns.endpoints);
            endpoints.map(|endpoint| &endpoint.node).collect()
        }
        Target::Api => {
            let endpoints = cluster.api.iter().flat_map(|api| &api.endpoints);
            endpoints
                .filter_map(|endpoint| roster.node_of_host_address(endpoint.ip()))
                .collect()
        }
        Target::NodePort { service, .. } => {
            let backends = cluster
                .node_ports
                .get(*service)
                .into_iter()
                .flat_map(|service| &service.backends);
            backends.map(|backend| &backend.node).collect()
        }
        _ => Vec::new(),
    }
}

/// A failed probe can have been answered all the same: refused, reset, or by an ICMP error that the node itself sent.
fn spoke(matrix: &Matrix, node: &NodeName, cell: &PlannedCell, seen: &Observation) -> bool {
    let Some(failure) = &seen.failure else {
        return false;
    };
    match failure.icmp {
        Some(icmp) => Some(icmp.from) == cell.address || has_address(matrix, node, icmp.from),
        None => matches!(
            CellReason::Seen(failure.reason),
            CellReason::Seen(
                Reason::Refused
                    | Reason::Reset
                    | Reason::WrongResponder
                    | Reason::DnsError
                    | Reason::DataStalled
            )
        ),
    }
}

fn has_address(matrix: &Matrix, node: &NodeName, address: IpAddr) -> bool {
    let agents = &matrix.round().roster().agents;
    agents
        .iter()
        .any(|agent| agent.key.node == *node && agent.address == Some(address))
}

#[cfg(test)]
mod tests {
    use mesh_proto::CellState;

    use super::super::judge;
    use crate::world::{Fate, World};

    #[test]
    fn a_node_that_left_meanwhile_is_not_known_and_has_not_failed() {
        let world = World::with(3, |trip| {
            if trip.touches(2) {
                Fate::TimesOut
            } else {
                Fate::Passes
            }
        });
        let failed =
            |judged: &[super::Judged]| judged.iter().filter(|of| of.state == CellState::Failed).count();
        let mut matrix = world.matrix();
        assert!(failed(&judge(&matrix)) > 0);
        matrix.left(world.names[2].parse().unwrap());
        assert_eq!(failed(&judge(&matrix)), 0, "its DNS endpoint left with it");
    }
}
