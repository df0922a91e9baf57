//! Cells that are ill, to tell a fault, which stays where it is, from noise, which is elsewhere each time.

use std::collections::BTreeSet;

use mesh_proto::{
    Cause, Cell, CellFrom, CellState, Finding, NodeName, PlaneState, ProbeKind, Report, To, Where,
};

use super::place;
use crate::pulse::Depth;

/// Some cells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ill(BTreeSet<(CellFrom, To, ProbeKind)>);

impl Ill {
    /// Those of a look that say something: a quick one has so little patience that a machine without CPU time looks like a
    /// dead network.
    pub(super) fn of(report: &Report, depth: Depth) -> Self {
        let starved = if depth == Depth::Light {
            starved(report)
        } else {
            BTreeSet::new()
        };
        let is_trusted = |cell: &&Cell| {
            !starved.contains(&cell.from.node)
                && !cell.to.node.as_ref().is_some_and(|node| starved.contains(node))
        };
        let is_ill = |cell: &&Cell| match cell.state {
            CellState::Failed => true,
            CellState::Degraded => depth == Depth::Full,
            CellState::Reachable | CellState::Unknown | CellState::Skipped => false,
        };
        let ill = report.cells.iter().filter(is_ill).filter(is_trusted);
        Self(
            ill.map(|cell| (cell.from.clone(), cell.to.clone(), cell.probe))
                .collect(),
        )
    }

    /// Those that begin or end at a place; all, where it is the whole cluster.
    pub(super) fn at(&self, of: &Where) -> Self {
        let ends = place::ends(of);
        let at = |(from, to, _): &&(CellFrom, To, ProbeKind)| {
            ends.is_empty()
                || ends.contains(&from.node)
                || to.node.as_ref().is_some_and(|node| ends.contains(node))
        };
        Self(self.0.iter().filter(at).cloned().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether half of them, or more, are among others as well: of so few that it may be chance, all.
    pub(super) fn is_mostly_in(&self, other: &Self) -> bool {
        const FEW: usize = 4;
        let (all, both) = (self.0.len(), self.0.intersection(&other.0).count());
        all > 0 && both >= if all <= FEW { all } else { (all / 2).max(FEW) }
    }
}

/// Whether a finding is no more than that something is not whole, somewhere.
pub(super) fn is_weak(finding: &Finding) -> bool {
    let place = &finding.place;
    let nowhere = place.nodes.is_empty()
        && place.pairs.is_empty()
        && place.service.is_none()
        && place.endpoint.is_none();
    finding.cause == Cause::Unknown && nowhere
}

/// Nodes of which an agent says that it did not get the CPU time that it needed.
fn starved(report: &Report) -> BTreeSet<NodeName> {
    let is_starved = |node: &&mesh_proto::Node| {
        let records = [&node.planes.pod, &node.planes.host];
        records
            .into_iter()
            .flatten()
            .any(|record| record.state == PlaneState::Probed && record.starved.is_some())
    };
    report
        .nodes
        .iter()
        .filter(is_starved)
        .map(|node| node.name.clone())
        .collect()
}
