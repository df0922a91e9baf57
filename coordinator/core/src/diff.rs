//! Two reports compared: what became better or worse.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::{
    Cell, CellFrom, CellState, Coverage, Finding, NodeName, Plane, PlaneState, ProbeKind, Report, TargetKind,
    Verdict,
};

/// What is different between an earlier report and a later one.
#[derive(Debug, Clone, PartialEq)]
pub struct Diff<'r> {
    /// The answers, before and after.
    pub verdict: (Verdict, Verdict),
    /// How much was looked at, before and after.
    pub coverage: (Coverage, Coverage),
    /// Nodes that only the later report has.
    pub nodes_came: Vec<&'r NodeName>,
    /// Nodes that only the earlier report has.
    pub nodes_went: Vec<&'r NodeName>,
    /// Cells whose state is another; of cells that only one report has, those that are not reachable.
    pub cells: Vec<CellChange<'r>>,
    /// Findings that only the later report has.
    pub findings_new: Vec<&'r Finding>,
    /// Findings that only the earlier report has.
    pub findings_gone: Vec<&'r Finding>,
    /// Findings of the later report that the earlier one has too: the same cause in the same place.
    pub findings_same: Vec<&'r Finding>,
}

/// A cell that is not what it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellChange<'r> {
    /// The cell, from the later report where that lists it.
    pub cell: &'r Cell,
    /// What it was; `None` if it was not planned.
    pub before: Option<CellState>,
    /// What it is; `None` if it is no longer planned.
    pub after: Option<CellState>,
    /// Whether that is for the better.
    pub trend: Trend,
}

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trend {
    /// Nearer to reachable.
    Better,
    /// Farther from reachable.
    Worse,
    /// Neither: what failed cannot be checked any more, or is no longer asked for.
    Different,
}

/// Compares two reports, the earlier one first.
pub fn diff<'r>(before: &'r Report, after: &'r Report) -> Diff<'r> {
    let nodes = |report: &'r Report| -> BTreeSet<&'r NodeName> {
        report.nodes.iter().map(|node| &node.name).collect()
    };
    let (old, new) = (nodes(before), nodes(after));
    let known: Vec<_> = before.findings.iter().map(place).collect();
    let still: Vec<_> = after.findings.iter().map(place).collect();
    let (findings_same, findings_new) = after
        .findings
        .iter()
        .partition(|finding| known.contains(&place(finding)));
    Diff {
        verdict: (before.verdict, after.verdict),
        coverage: (before.coverage, after.coverage),
        nodes_came: new.difference(&old).copied().collect(),
        nodes_went: old.difference(&new).copied().collect(),
        cells: cells(before, after),
        findings_new,
        findings_gone: before
            .findings
            .iter()
            .filter(|finding| !still.contains(&place(finding)))
            .collect(),
        findings_same,
    }
}

impl Diff<'_> {
    /// Whether anything became worse: the verdict, a cell, or a finding that was not there before.
    pub fn is_worse(&self) -> bool {
        let rank = |verdict| match verdict {
            Verdict::Reachable => 0,
            Verdict::Unknown => 1,
            Verdict::Unreachable => 2,
        };
        rank(self.verdict.1) > rank(self.verdict.0)
            || !self.findings_new.is_empty()
            || self.changed(Trend::Worse).next().is_some()
    }

    /// Whether anything became better: the verdict or a cell. (A finding may also be gone since nobody can look any
    /// more.)
    pub fn is_better(&self) -> bool {
        (self.verdict.0 != self.verdict.1 && self.verdict.1 == Verdict::Reachable)
            || self.changed(Trend::Better).next().is_some()
    }

    /// The changes that go one way.
    pub fn changed(&self, trend: Trend) -> impl Iterator<Item = &CellChange<'_>> {
        self.cells.iter().filter(move |change| change.trend == trend)
    }
}

/// What makes two findings the same: cause and place, not what they explain or in which words.
fn place(finding: &Finding) -> impl PartialEq + use<'_> {
    let place = &finding.place;
    (
        finding.cause,
        place.nodes.iter().collect::<BTreeSet<_>>(),
        place.pairs.iter().collect::<BTreeSet<_>>(),
        (place.plane, place.direction, place.protocol, place.port),
        (place.service, place.endpoint),
    )
}

/// What makes two cells the same. Pods get other addresses and agents other ports from run to run, so a target that
/// stands on a node is known by its node.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'r> {
    from: &'r CellFrom,
    kind: TargetKind,
    node: Option<&'r NodeName>,
    address: Option<std::net::IpAddr>,
    port: u16,
    as_application: bool,
    probe: ProbeKind,
}

impl<'r> Key<'r> {
    fn of(cell: &'r Cell) -> Self {
        let by_node = match cell.to.kind {
            TargetKind::Pod | TargetKind::Host | TargetKind::Loopback => cell.to.node.is_some(),
            _ => false,
        };
        let address = match cell.to.kind {
            TargetKind::NodePort | TargetKind::Api | TargetKind::Dns => None,
            _ if by_node => None,
            _ => cell.to.address,
        };
        Self {
            from: &cell.from,
            kind: cell.to.kind,
            node: cell.to.node.as_ref(),
            address,
            port: if by_node { 0 } else { cell.to.port.0 },
            as_application: cell.to.as_application,
            probe: cell.probe,
        }
    }
}

/// The cells of a report, and whether one that is not listed was reachable.
struct Listed<'r> {
    cells: BTreeMap<Key<'r>, &'r Cell>,
    /// The report lists only what is not reachable.
    is_short: bool,
    /// Not all of that either: there was too much of it.
    leaves_out: bool,
    agents: BTreeSet<(&'r NodeName, Plane)>,
}

impl<'r> Listed<'r> {
    fn of(report: &'r Report) -> Self {
        let planned = u64::from(report.coverage.cells) + u64::from(report.coverage.skipped);
        let agents = report.nodes.iter().flat_map(|node| {
            let planes = Plane::ALL.iter().copied().filter(|plane| {
                node.planes
                    .get(*plane)
                    .is_some_and(|record| record.state != PlaneState::Skipped)
            });
            planes.map(|plane| (&node.name, plane))
        });
        Self {
            cells: report.cells.iter().map(|cell| (Key::of(cell), cell)).collect(),
            is_short: (report.cells.len() as u64) < planned,
            leaves_out: !report.left_out.is_none(),
            agents: agents.collect(),
        }
    }

    fn state(&self, key: &Key<'_>) -> Option<CellState> {
        match self.cells.get(key) {
            Some(cell) => Some(cell.state),
            None if self.is_short && self.has_ends(key) => Some(CellState::Reachable),
            None => None,
        }
    }

    /// Whether the report tells what became of a cell.
    fn tells(&self, key: &Key<'_>) -> bool {
        !self.leaves_out || self.cells.contains_key(key) || !self.has_ends(key)
    }

    fn has_ends(&self, key: &Key<'_>) -> bool {
        let has = |node, plane| self.agents.contains(&(node, plane));
        has(&key.from.node, key.from.plane)
            && match (key.kind, key.node) {
                (TargetKind::Pod, Some(node)) => has(node, Plane::Pod),
                (TargetKind::Host, Some(node)) => has(node, Plane::Host),
                _ => true,
            }
    }
}

fn cells<'r>(before: &'r Report, after: &'r Report) -> Vec<CellChange<'r>> {
    let (before, after) = (Listed::of(before), Listed::of(after));
    let keys: BTreeSet<&Key<'r>> = before.cells.keys().chain(after.cells.keys()).collect();
    let told = keys
        .into_iter()
        .filter(|key| before.tells(key) && after.tells(key));
    let changes = told.filter_map(|key| {
        let cell = after.cells.get(key).or_else(|| before.cells.get(key))?;
        let (before, after) = (before.state(key), after.state(key));
        Some(CellChange {
            cell,
            before,
            after,
            trend: trend(before, after)?,
        })
    });
    changes.collect()
}

/// Which way a change goes; `None` if nothing changed that matters.
fn trend(before: Option<CellState>, after: Option<CellState>) -> Option<Trend> {
    use CellState::{Degraded, Failed, Reachable, Skipped, Unknown};
    let good = |state| matches!(state, None | Some(Reachable | Skipped));
    match (before, after) {
        (before, after) if before == after => None,
        // It came or went and nobody missed anything.
        (None, after) if good(after) => None,
        (before, None) if good(before) => None,
        (before, Some(Degraded | Unknown | Failed)) if good(before) => Some(Trend::Worse),
        (Some(Degraded | Unknown | Failed), Some(Reachable)) | (Some(Failed | Unknown), Some(Degraded)) => {
            Some(Trend::Better)
        }
        (Some(Degraded), Some(Unknown | Failed)) | (Some(Unknown), Some(Failed)) => Some(Trend::Worse),
        // What failed may still fail where nobody can look any more.
        _ => Some(Trend::Different),
    }
}

#[cfg(test)]
mod tests;
