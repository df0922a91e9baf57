//! What one report means for a gate: what blocks it, and why.

use mesh_proto::{Cell, CellState, Finding, Node, NodeName, Plane, PlaneState, Report, Severity, Verdict};

use super::{GateConfig, GateScope};
use crate::ExcusedIcmp;
use crate::diff::{Trend, diff};

/// What stands in the gate's way, of one report.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Standing {
    /// Cells that block, the failed ones first.
    pub(super) cells: Vec<Blocking>,
    /// Findings that block.
    pub(super) findings: Vec<Finding>,
    /// Why the report says too little, whatever its cells are.
    pub(super) gaps: Vec<String>,
}

/// A cell that blocks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Blocking {
    /// The cell.
    pub(super) cell: Cell,
    /// It failed, or is to count as failed; else it is unknown.
    pub(super) failed: bool,
}

impl Standing {
    /// What a report means for a gate.
    pub(super) fn of(report: &Report, config: &GateConfig) -> Self {
        let excused = ExcusedIcmp::of(report);
        let weigh = |cell: &Cell| match cell.state {
            CellState::Failed => (config.strict || !excused.contains(cell)).then_some(true),
            CellState::Degraded => config.strict.then_some(true),
            CellState::Unknown => Some(false),
            CellState::Reachable | CellState::Skipped => None,
        };
        let counts = |severity: Severity| config.strict || severity == Severity::Failure;
        let (cells, findings): (Vec<&Cell>, Vec<&Finding>) = match &config.baseline {
            None => (report.cells.iter().collect(), report.findings.iter().collect()),
            Some(before) => {
                let diff = diff(before, report);
                let worse = diff.cells.iter().filter(|change| change.trend == Trend::Worse);
                (worse.map(|change| change.cell).collect(), diff.findings_new)
            }
        };
        let scope = &config.scope;
        let mut cells: Vec<Blocking> = cells
            .into_iter()
            .filter(|cell| concerns(scope, cell))
            .filter_map(|cell| {
                let failed = weigh(cell)?;
                Some(Blocking {
                    cell: cell.clone(),
                    failed,
                })
            })
            .collect();
        cells.sort_by_key(|blocking| !blocking.failed);
        let mut standing = Self {
            findings: Vec::new(),
            gaps: gaps(report, scope),
            cells,
        };
        // A finding explains cells; where none of them blocks, it is about somebody else.
        if standing.cells.iter().any(|blocking| blocking.failed) {
            standing.findings = findings
                .into_iter()
                .filter(|finding| counts(finding.severity) && is_near(scope, finding, &standing.cells))
                .cloned()
                .collect();
        }
        standing
    }

    /// Whether the gate may open.
    pub(super) fn verdict(&self) -> Verdict {
        if self.cells.iter().any(|blocking| blocking.failed) {
            Verdict::Unreachable
        } else if self.cells.is_empty() && self.gaps.is_empty() {
            Verdict::Reachable
        } else {
            Verdict::Unknown
        }
    }

    /// What stands in the way, in a sentence without its full stop.
    pub(super) fn words(&self, scope: &GateScope) -> String {
        let failed = self.cells.iter().filter(|blocking| blocking.failed).count();
        let unknown = self.cells.len() - failed;
        let whose = match scope {
            GateScope::All => String::new(),
            GateScope::Node(name) => format!(" from or to {name}"),
        };
        let cells = |number: usize| if number == 1 { "cell" } else { "cells" };
        if failed > 0 {
            let why = self.findings.first().map_or_else(String::new, |finding| {
                format!(": {}", finding.summary.trim_end_matches('.'))
            });
            return format!("{failed} {}{whose} failed{why}", cells(failed));
        }
        if let Some(gap) = self.gaps.first() {
            return gap.clone();
        }
        let why = self
            .cells
            .first()
            .and_then(|blocking| blocking.cell.reason.as_ref());
        let why = why.map_or_else(String::new, |reason| format!(": {reason}"));
        let verb = if unknown == 1 { "is" } else { "are" };
        format!("{unknown} {}{whose} {verb} unknown{why}", cells(unknown))
    }
}

/// Whether a cell begins or ends at what the gate watches.
fn concerns(scope: &GateScope, cell: &Cell) -> bool {
    match scope {
        GateScope::All => true,
        GateScope::Node(name) => cell.from.node == *name || cell.to.node.as_ref() == Some(name),
    }
}

/// Whether a finding may be why: one at the node, at a pair that it is in, at no node at all, or at the other end of a cell
/// that blocks.
fn is_near(scope: &GateScope, finding: &Finding, blocking: &[Blocking]) -> bool {
    let GateScope::Node(name) = scope else {
        return true;
    };
    let place = &finding.place;
    let at_an_end = |node: &NodeName| {
        node == name
            || blocking
                .iter()
                .any(|Blocking { cell, .. }| cell.from.node == *node || cell.to.node.as_ref() == Some(node))
    };
    (place.nodes.is_empty() && place.pairs.is_empty())
        || place.nodes.iter().any(at_an_end)
        || place.pairs.iter().any(|(from, to)| from == name || to == name)
}

/// What no cell shows: a node that takes no part has none.
fn gaps(report: &Report, scope: &GateScope) -> Vec<String> {
    let mut gaps = Vec::new();
    if report.interrupted {
        gaps.push("the look was interrupted".to_owned());
    }
    match scope {
        GateScope::All if !report.nodes.iter().any(is_probed) => {
            gaps.push("not one agent probed".to_owned());
        }
        GateScope::All => {}
        GateScope::Node(name) => match report.nodes.iter().find(|node| node.name == *name) {
            None => gaps.push(format!("no node {name} takes part")),
            Some(node) if !is_probed(node) => gaps.push(absence(node, name)),
            Some(_) => {}
        },
    }
    gaps
}

fn is_probed(node: &Node) -> bool {
    let probed = |plane: &Plane| {
        node.planes
            .get(*plane)
            .is_some_and(|record| record.state == PlaneState::Probed)
    };
    Plane::ALL.iter().any(probed)
}

fn absence(node: &Node, name: &NodeName) -> String {
    let mut records = Plane::ALL.iter().filter_map(|plane| node.planes.get(*plane));
    let why = records.find_map(|record| record.why.as_deref());
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    format!("no agent of {name} probed{why}")
}
