//! A difference for programs, schema `mesh.diff/v1`.

use mesh_core::{CellChange, Diff, Trend};
use mesh_proto::{CellFrom, CellReason, CellState, Coverage, Finding, NodeName, ProbeKind, To, Verdict};
use serde::Serialize;

/// The difference between two reports.
#[derive(Debug, Serialize)]
pub(super) struct DiffRecord<'r> {
    schema: &'static str,
    /// Something became worse: the exit code is 1.
    worse: bool,
    verdict: BeforeAfter<Verdict>,
    coverage: BeforeAfter<Coverage>,
    nodes: NodesRecord<'r>,
    findings: FindingsRecord<'r>,
    cells: CellsRecord<'r>,
}

#[derive(Debug, Serialize)]
struct BeforeAfter<T> {
    before: T,
    after: T,
}

#[derive(Debug, Serialize)]
struct NodesRecord<'r> {
    came: &'r [&'r NodeName],
    went: &'r [&'r NodeName],
}

#[derive(Debug, Serialize)]
struct FindingsRecord<'r> {
    new: &'r [&'r Finding],
    gone: &'r [&'r Finding],
    same: &'r [&'r Finding],
}

#[derive(Debug, Serialize)]
struct CellsRecord<'r> {
    worse: Vec<CellRecord<'r>>,
    better: Vec<CellRecord<'r>>,
    different: Vec<CellRecord<'r>>,
}

#[derive(Debug, Serialize)]
struct CellRecord<'r> {
    from: &'r CellFrom,
    to: &'r To,
    probe: ProbeKind,
    /// Left out where the cell was not planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<CellState>,
    /// Left out where the cell is no longer planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<CellState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'r CellReason>,
}

impl<'r> DiffRecord<'r> {
    pub(super) fn of(diff: &'r Diff<'r>) -> Self {
        let cells = |trend| diff.changed(trend).map(CellRecord::of).collect();
        Self {
            schema: "mesh.diff/v1",
            worse: diff.is_worse(),
            verdict: BeforeAfter {
                before: diff.verdict.0,
                after: diff.verdict.1,
            },
            coverage: BeforeAfter {
                before: diff.coverage.0,
                after: diff.coverage.1,
            },
            nodes: NodesRecord {
                came: &diff.nodes_came,
                went: &diff.nodes_went,
            },
            findings: FindingsRecord {
                new: &diff.findings_new,
                gone: &diff.findings_gone,
                same: &diff.findings_same,
            },
            cells: CellsRecord {
                worse: cells(Trend::Worse),
                better: cells(Trend::Better),
                different: cells(Trend::Different),
            },
        }
    }
}

impl<'r> CellRecord<'r> {
    fn of(change: &'r CellChange<'r>) -> Self {
        Self {
            from: &change.cell.from,
            to: &change.cell.to,
            probe: change.cell.probe,
            before: change.before,
            after: change.after,
            // A cell that is gone stands here as it was; its reason is of then.
            reason: change
                .cell
                .reason
                .as_ref()
                .filter(|_| change.after == Some(change.cell.state)),
        }
    }
}
