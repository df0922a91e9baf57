//! Cells to an agent that is not there. They are unknown unless they are reachable, or nothing of that node answers
//! anybody on any plane: then they failed, and the node is down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mesh_proto::{AgentIndex, CellReason, NodeName, Observation, Plane, Reason};

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
        let has_left = ends
            .chain(matrix.round().nodes_behind(&cell.target))
            .any(|node| matrix.has_left(node));
        if has_left && judged[number].seen().is_some() {
            judged[number] = Judged::unknown(format!("nobody stands there to answer: {LEFT}"));
        }
        if let Some(missing) = missing_backend(matrix, cell, &down)
            && judged[number].seen().is_some()
            && !judged[number].came_through()
        {
            judged[number] = Judged::unknown(format!(
                "an agent that the service sends to is not there to answer: {}",
                why_absent(matrix, missing)
            ));
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

/// An agent behind a NodePort that does not take part: the service sends to it all the same, and it answers nobody. One on a
/// node that is down is that node's matter.
fn missing_backend(matrix: &Matrix, cell: &PlannedCell, down: &BTreeSet<NodeName>) -> Option<AgentIndex> {
    let Target::NodePort { service, .. } = cell.target else {
        return None;
    };
    let roster = matrix.round().roster();
    let mut backends = roster.cluster.node_ports.get(service)?.backends.iter();
    backends.find_map(|backend| {
        let (index, agent) = roster.find(&backend.node, Plane::Pod)?;
        let is_missing = agent.address == Some(backend.address) && !matrix.stands(index);
        (is_missing && !down.contains(&backend.node)).then_some(index)
    })
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
    use mesh_proto::{AgentIndex, CellState, Failure, Observation, Plane, Reason};

    use super::super::judge;
    use crate::matrix::Matrix;
    use crate::round::Target;
    use crate::world::{Fate, World};
    use crate::{PlanOptions, Round};

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

    /// NodePorts that agents stand behind, and that do not answer.
    fn dead_services() -> Matrix {
        let mut roster = World::healthy(3).roster();
        for service in &mut roster.cluster.node_ports {
            for backend in &mut service.backends {
                let agent = roster
                    .agents
                    .iter()
                    .find(|agent| agent.key.plane == Plane::Pod && agent.key.node == backend.node);
                backend.address = agent.and_then(|agent| agent.address).unwrap();
            }
        }
        let mut matrix = Matrix::new(Round::plan(roster, &PlanOptions::default()));
        let agents = (0..).map(AgentIndex).take(matrix.round().roster().agents.len());
        for agent in agents {
            for probe in matrix.round().plan_of(agent).unwrap().probes.clone() {
                let cell = matrix.round().cell_of(agent, probe.id).unwrap();
                let dead = matches!(matrix.round().cells()[cell.0].target, Target::NodePort { .. });
                let seen = Observation {
                    sent: 12,
                    received: if dead { 0 } else { 12 },
                    failure: dead.then(|| Failure::new(Reason::Timeout)),
                    ..Observation::new(probe.id)
                };
                matrix.take(agent, seen).unwrap();
            }
        }
        matrix
    }

    #[test]
    fn a_service_that_sends_to_an_agent_that_takes_no_part_is_not_known() {
        let states = |matrix: &Matrix| {
            let judged = judge(matrix);
            let cells = matrix.round().cells().iter().zip(&judged);
            let of_services = cells.filter(|(cell, _)| matches!(cell.target, Target::NodePort { .. }));
            of_services.map(|(_, judged)| judged.state).collect::<Vec<_>>()
        };
        let mut matrix = dead_services();
        assert!(states(&matrix).contains(&CellState::Failed));
        let node = matrix.round().roster().cluster.node_ports[0].backends[0]
            .node
            .clone();
        let (behind, _) = matrix.round().roster().find(&node, Plane::Pod).unwrap();
        matrix.lost(behind, "gone".to_owned());
        let states = states(&matrix);
        assert!(
            states.contains(&CellState::Unknown) && !states.contains(&CellState::Failed),
            "{states:?}"
        );
    }
}
