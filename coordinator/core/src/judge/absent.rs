//! Cells to an agent that is not there. They are unknown unless they are reachable, or nothing of that node answers
//! anybody on any plane: then they failed, and the node is down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mesh_proto::{AgentIndex, NodeName, Plane, ProbeKind, Reason};

use super::{Doubt, Judge, Judged};
use crate::matrix::{Matrix, OutcomeId};
use crate::round::{CellIndex, Target};
use crate::{NodeIndex, Presence};

/// Applies the rule to a cell that was observed.
pub(super) fn settled(
    judge: &Judge<'_>,
    from: AgentIndex,
    target: Target,
    kind: ProbeKind,
    judged: Judged,
) -> Judged {
    if judged.seen().is_none() {
        return judged;
    }
    let matrix = judge.matrix;
    if matrix.has_any_left() {
        let roster = matrix.round().roster();
        let from = roster.agent(from).map(|agent| &agent.key.node);
        let to = node_of_target(matrix, target).map(|node| roster.node_name(node));
        let behind = matrix.round().nodes_behind(&target);
        if [from, to]
            .into_iter()
            .flatten()
            .chain(behind)
            .any(|node| matrix.has_left(node))
        {
            return Judged::unknown(Doubt::Left);
        }
    }
    match target {
        Target::NodePort { service, node } => {
            match (judge.missing_behind[service], late_rules(judge, service, node)) {
                (Some(agent), _) => Judged::unknown(Doubt::Behind(agent)),
                (None, Some(agent)) => Judged::unknown(Doubt::LateRules(agent)),
                (None, None) => judged,
            }
        }
        // A kernel answers echo requests without any agent, and it does answer others.
        Target::Agent(to) if kind == ProbeKind::Icmp && judge.pinged[to.0 as usize] => judged,
        Target::Agent(to) if judge.missing[to.0 as usize] => Judged::unknown(Doubt::NobodyThere(to)),
        _ => judged,
    }
}

/// An agent of a node that took none of the run's pods: it may not have heard of the run's services either, nor anything else
/// from the API server since. `None` where the service was there before, or the node has an agent.
pub(super) fn late_rules(judge: &Judge<'_>, service: usize, node: NodeIndex) -> Option<AgentIndex> {
    let round = judge.matrix.round();
    let offer = round.roster().cluster.node_ports.get(service)?;
    let agents = round.layout().agents_at(node);
    let is_missing = |agent: &AgentIndex| judge.missing[agent.0 as usize];
    agents
        .first()
        .copied()
        .filter(|_| offer.fresh && agents.iter().all(is_missing))
}

/// An agent behind a NodePort that does not take part: the service sends to it all the same, and it answers nobody. One on a
/// node that is down is that node's matter.
pub(super) fn missing_backend(judge: &Judge<'_>, service: usize) -> Option<AgentIndex> {
    let roster = judge.matrix.round().roster();
    let mut backends = roster.cluster.node_ports.get(service)?.backends.iter();
    backends.find_map(|backend| {
        let (index, agent) = roster.find(&backend.node, Plane::Pod)?;
        let is_missing = agent.address == Some(backend.address) && judge.missing[index.0 as usize];
        is_missing.then_some(index)
    })
}

/// Whether an agent that is missing stands at its node's own address, and that answers echo requests of another node.
pub(super) fn is_pinged(judge: &Judge<'_>, agent: AgentIndex) -> bool {
    let matrix = judge.matrix;
    let layout = matrix.round().layout();
    let Some(to) = layout.source(agent).filter(|source| source.plane == Plane::Host) else {
        return false;
    };
    let others = layout.sources().filter(|(_, source)| source.node != to.node);
    let mut cells = others
        .flat_map(|(from, _)| layout.between(from, agent))
        .map(CellIndex);
    cells.any(|cell| {
        let (from, target, kind) = layout.what(cell);
        let fared = || match matrix.seen().note(cell, matrix.place(cell)) {
            None => true,
            Some(id) => {
                let outcome = matrix.seen().outcome(id);
                outcome.sent > 0 && judge.before_absence(from, target, outcome).came_through()
            }
        };
        kind == ProbeKind::Icmp && matrix.seen().is_observed(cell) && fared()
    })
}

/// Nodes of which no agent's link answers, and of which nothing answered anybody who tried.
pub(super) fn nodes_down(judge: &Judge<'_>) -> BTreeSet<NodeName> {
    let matrix = judge.matrix;
    let roster = matrix.round().roster();
    let mut answers: BTreeMap<&NodeName, bool> = BTreeMap::new();
    for (index, agent) in roster.indexed() {
        let is_excused =
            matches!(agent.presence, Presence::Skipped { .. }) || matrix.has_left(&agent.key.node);
        *answers.entry(&agent.key.node).or_default() |= matrix.stands(index) || is_excused;
    }
    let silent = answers.into_iter().filter(|(_, answers)| !answers);
    silent
        .filter(|(name, _)| {
            let node = matrix.round().layout().node(name);
            node.is_some_and(|node| is_silent(judge, node))
        })
        .map(|(name, _)| name.clone())
        .collect()
}

/// Whether somebody tried to reach a node, and nothing of it answered.
fn is_silent(judge: &Judge<'_>, node: NodeIndex) -> bool {
    let matrix = judge.matrix;
    let mut tried = false;
    for cell in towards(matrix, node) {
        let (from, target, _) = matrix.round().layout().what(cell);
        if !matrix.seen().is_observed(cell) {
            continue;
        }
        let Some(id) = matrix.seen().note(cell, matrix.place(cell)) else {
            return false;
        };
        let outcome = matrix.seen().outcome(id);
        if outcome.sent == 0 {
            continue;
        }
        tried = true;
        let judged = judge.before_absence(from, target, outcome);
        if judged.came_through() || spoke(matrix, node, cell, id) {
            return false;
        }
    }
    tried
}

/// The cells to what stands on a node.
fn towards(matrix: &Matrix, node: NodeIndex) -> impl Iterator<Item = CellIndex> {
    let layout = matrix.round().layout();
    layout.sources().flat_map(move |(from, source)| {
        let agents = layout
            .agents_at(node)
            .iter()
            .flat_map(move |to| layout.between(from, *to));
        let services = layout.services(source).start..layout.all_node_ports(source).start;
        let endpoints = services.filter(move |cell| {
            let (_, target, _) = layout.what(CellIndex(*cell));
            matches!(target, Target::DnsEndpoint(_)) && node_of_target(matrix, target) == Some(node)
        });
        let node_ports =
            (0..layout.node_ports.len()).filter_map(move |rank| layout.node_port(source, rank, node));
        agents.chain(endpoints).map(CellIndex).chain(node_ports)
    })
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

fn node_of_target(matrix: &Matrix, target: Target) -> Option<NodeIndex> {
    let layout = matrix.round().layout();
    match target {
        Target::Agent(index) => layout.source(index).map(|source| source.node),
        Target::NodePort { node, .. } => Some(node),
        Target::DnsEndpoint(number) => layout.dns.get(number).copied().flatten(),
        Target::Loopback | Target::Api | Target::Dns { .. } => None,
    }
}

/// A failed probe can have been answered all the same: refused, reset, or by an ICMP error that the node itself sent.
fn spoke(matrix: &Matrix, node: NodeIndex, cell: CellIndex, outcome: OutcomeId) -> bool {
    let seen = matrix.seen();
    let Some(failure) = seen.outcomes.failure(seen.outcome(outcome)) else {
        return false;
    };
    match failure.icmp {
        Some(icmp) => {
            Some(icmp.from) == matrix.round().cell(cell).address || has_address(matrix, node, icmp.from)
        }
        None => matches!(
            failure.reason,
            Reason::Refused | Reason::Reset | Reason::WrongResponder | Reason::DnsError | Reason::DataStalled
        ),
    }
}

fn has_address(matrix: &Matrix, node: NodeIndex, address: IpAddr) -> bool {
    let roster = matrix.round().roster();
    let mut agents = matrix.round().layout().agents_at(node).iter();
    agents.any(|agent| {
        roster
            .agent(*agent)
            .is_some_and(|agent| agent.address == Some(address))
    })
}

#[cfg(test)]
mod tests;
