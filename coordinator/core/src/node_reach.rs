//! What may be said of each node as a whole: reachable, not reachable by its own fault, or not known. A node is not held
//! responsible for what an open incident blames on somebody else.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::{Cause, CellState, NodeName, PlaneState, Report, Severity};

use crate::incident::{Incident, Incidents};

/// What is said of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeReach {
    /// All that has to do with it, and is not somebody else's fault, is reachable both ways.
    Reachable,
    /// An open incident that a whole look named is at this node.
    Unreachable {
        /// Of the incident.
        cause: Cause,
        /// Its summary.
        words: String,
    },
    /// Neither can be said, and why.
    Unknown(String),
}

/// Of each node of a report that probes or should; of one that takes no part nothing is said.
pub fn node_reach(
    report: &Report,
    incidents: &Incidents,
    excused: &BTreeMap<NodeName, String>,
) -> BTreeMap<NodeName, NodeReach> {
    let open: Vec<&Incident> = incidents
        .open()
        .filter(|open| open.finding.severity == Severity::Failure)
        .collect();
    let blamed: BTreeSet<&NodeName> = open.iter().flat_map(|open| &open.finding.place.nodes).collect();
    let pairs = open.iter().flat_map(|open| &open.finding.place.pairs);
    let in_pairs: BTreeSet<&NodeName> = pairs.flat_map(|(from, to)| [from, to]).collect();
    let is_wide = open
        .iter()
        .any(|open| open.finding.place.nodes.is_empty() && open.finding.place.pairs.is_empty());
    let unexplained = unexplained(
        report,
        |node| blamed.contains(node) || excused.contains_key(node),
        is_wide,
    );

    let of_node = |node: &mesh_proto::Node| {
        let name = &node.name;
        let records: Vec<_> = [&node.planes.pod, &node.planes.host]
            .into_iter()
            .flatten()
            .collect();
        if records.iter().all(|record| record.state == PlaneState::Skipped) {
            return None;
        }
        let at_it = open
            .iter()
            .find(|open| open.is_known && open.finding.place.nodes.contains(name));
        let absent = || records.iter().find(|record| record.state == PlaneState::Absent);
        let reach = if let Some(open) = at_it {
            NodeReach::Unreachable {
                cause: open.finding.cause,
                words: open.finding.summary.clone(),
            }
        } else if let Some(why) = excused.get(name) {
            NodeReach::Unknown(why.clone())
        } else if blamed.contains(name) {
            NodeReach::Unknown("an incident is open there that no whole look has named yet".to_owned())
        } else if in_pairs.contains(name) {
            NodeReach::Unknown("an incident is open between it and other nodes".to_owned())
        } else if let Some(record) = absent() {
            let why = record.why.clone().unwrap_or_default();
            NodeReach::Unknown(format!("no agent probes there: {why}"))
        } else if let Some(count) = unexplained.get(name) {
            NodeReach::Unknown(format!(
                "{count} cells are not reachable, and no open incident says why"
            ))
        } else {
            NodeReach::Reachable
        };
        Some((name.clone(), reach))
    };
    report.nodes.iter().filter_map(of_node).collect()
}

/// Cells of each node that are failed or unknown, and neither at somebody else who is blamed or excused, nor, where the whole
/// cluster is at fault, beyond the nodes.
fn unexplained(
    report: &Report,
    is_elsewhere: impl Fn(&NodeName) -> bool,
    is_wide: bool,
) -> BTreeMap<&NodeName, usize> {
    let mut counts = BTreeMap::new();
    let ill = |state| matches!(state, CellState::Failed | CellState::Unknown);
    for cell in report.cells.iter().filter(|cell| ill(cell.state)) {
        let (from, to) = (&cell.from.node, cell.to.node.as_ref());
        let explains_from = to.map_or(is_wide, &is_elsewhere);
        if !explains_from && !is_elsewhere(from) {
            *counts.entry(from).or_default() += 1;
        }
        if let Some(to) = to.filter(|to| *to != from && !is_elsewhere(from) && !is_elsewhere(to)) {
            *counts.entry(to).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests;
