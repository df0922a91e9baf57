//! Whether a saved report agrees with itself. The exit code hangs on its `verdict`: one that its own cells contradict was
//! changed by hand or cut, and must not pass.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

use mesh_core::ALL_CELLS_UP_TO_NODES;
use mesh_proto::{Cell, CellFrom, CellState, NodeName, ProbeKind, Report, TargetKind, Verdict};

/// A field that contradicts others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the report contradicts itself: {field}: {why}")]
pub(super) struct Contradiction {
    field: String,
    why: String,
}

impl Contradiction {
    fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            why: why.into(),
        }
    }
}

/// Checks all that follows from the rest.
pub(super) fn check(report: &Report) -> Result<(), Contradiction> {
    check_each(report)?;
    let unlisted = check_coverage(report)?;
    check_verdict(report, unlisted)
}

/// What is wrong by itself, wherever it stands.
fn check_each(report: &Report) -> Result<(), Contradiction> {
    only_once(
        "nodes",
        "node",
        report.nodes.iter().map(|node| node.name.as_str()),
    )?;
    only_once(
        "cells",
        "source, target and probe",
        report.cells.iter().map(|cell| (&cell.from, &cell.to, cell.probe)),
    )?;
    for (number, cell) in report.cells.iter().enumerate() {
        let wrong = |field, why| Err(Contradiction::new(format!("cells[{number}].{field}"), why));
        if cell.received > cell.sent {
            return wrong(
                "received",
                format!("{}, but sent is {}", cell.received, cell.sent),
            );
        }
        if cell.resent > cell.received {
            return wrong(
                "resent",
                format!("{}, but received is {}", cell.resent, cell.received),
            );
        }
    }
    for (number, finding) in report.findings.iter().enumerate() {
        if let Some(loss) = finding.place.loss
            && !(0.0..=1.0).contains(&loss)
        {
            return Err(Contradiction::new(
                format!("findings[{number}].where.loss"),
                format!("{loss} is not between 0 and 1"),
            ));
        }
    }
    Ok(())
}

fn only_once<T: Eq + Hash + Debug>(
    field: &str,
    what: &str,
    items: impl Iterator<Item = T>,
) -> Result<(), Contradiction> {
    let mut seen = HashSet::new();
    for (number, item) in items.enumerate() {
        if !seen.insert(item) {
            return Err(Contradiction::new(
                format!("{field}[{number}]"),
                format!("a second one of the same {what}"),
            ));
        }
    }
    Ok(())
}

/// Counts must be those of the cells. Comes back with how many observed cells are not listed: reachable ones, and what the
/// report says is left out.
fn check_coverage(report: &Report) -> Result<u64, Contradiction> {
    let coverage = &report.coverage;
    let wrong = |field: &str, why: String| Err(Contradiction::new(format!("coverage.{field}"), why));
    let count = |wanted: fn(CellState) -> bool| {
        let cells = report.cells.iter().filter(|cell| wanted(cell.state));
        u64::try_from(cells.count()).unwrap_or(u64::MAX)
    };
    let (cells, observed) = (u64::from(coverage.cells), u64::from(coverage.observed));
    let (unknown, skipped) = (u64::from(coverage.unknown), u64::from(coverage.skipped));
    if cells != observed + unknown {
        return wrong(
            "cells",
            format!("{cells} is not {observed} observed and {unknown} unknown ones"),
        );
    }
    let left_out = &report.left_out;
    let listed = count(|state| state == CellState::Unknown) + u64::from(left_out.unknown);
    if unknown != listed {
        return wrong(
            "unknown",
            format!("{unknown}, but {listed} of the cells are unknown"),
        );
    }
    let listed = count(|state| state == CellState::Skipped) + u64::from(left_out.skipped);
    if skipped != listed {
        return wrong(
            "skipped",
            format!("{skipped}, but {listed} of the cells are skipped"),
        );
    }
    let listed = count(|state| !matches!(state, CellState::Unknown | CellState::Skipped));
    let all = report.nodes.len() <= ALL_CELLS_UP_TO_NODES;
    if observed < listed || (all && observed != listed) {
        return wrong("observed", format!("{observed}, but {listed} cells were"));
    }
    let failed = count(|state| state == CellState::Failed) + u64::from(left_out.failed);
    if u64::from(report.unexplained) > failed {
        return Err(Contradiction::new(
            "unexplained",
            format!("{}, but {failed} of the cells failed", report.unexplained),
        ));
    }
    Ok(observed - listed)
}

/// The verdict follows from the cells by the contract's rule. Where reachable cells are not listed, it cannot always be
/// told whether an ICMP cell counts: then either is believed.
fn check_verdict(report: &Report, unlisted: u64) -> Result<(), Contradiction> {
    let neighbours = Neighbours::of(report);
    let mut may_be_red = false;
    for (number, cell) in report.cells.iter().enumerate() {
        let red = match cell.state {
            CellState::Failed if report.strict => Some(true),
            CellState::Failed => neighbours.counts(cell, unlisted > 0),
            CellState::Degraded => Some(report.strict),
            CellState::Reachable | CellState::Unknown | CellState::Skipped => Some(false),
        };
        if red == Some(true) && report.verdict != Verdict::Unreachable {
            let why = format!("{}, but cells[{number}] is {}", report.verdict, cell.state);
            return Err(Contradiction::new("verdict", why));
        }
        may_be_red |= red != Some(false);
    }
    // What is not listed may be red, and must be where all of it counts.
    let left_out = &report.left_out;
    let surely_red = report.strict && left_out.failed + left_out.degraded > 0;
    if surely_red && report.verdict != Verdict::Unreachable {
        let why = format!("{}, but cells that failed are left out", report.verdict);
        return Err(Contradiction::new("verdict", why));
    }
    may_be_red |= surely_red || left_out.failed > 0;
    let expected = if report.coverage.unknown > 0 {
        Verdict::Unknown
    } else {
        Verdict::Reachable
    };
    let fits = match report.verdict {
        Verdict::Unreachable => may_be_red,
        // That nothing surely counts as failed is known by now.
        found => found == expected,
    };
    if fits {
        return Ok(());
    }
    Err(Contradiction::new(
        "verdict",
        format!("{}, but by the cells it is {expected}", report.verdict),
    ))
}

/// Between which ends TCP and UDP pass: an ICMP cell that fails there does not count.
struct Neighbours<'a> {
    passed: HashSet<Ends<'a>>,
    not_passed: HashSet<Ends<'a>>,
}

type Ends<'a> = (&'a CellFrom, TargetKind, Option<&'a NodeName>, ProbeKind);

impl<'a> Neighbours<'a> {
    fn of(report: &'a Report) -> Self {
        let came_through = |cell: &&Cell| matches!(cell.state, CellState::Reachable | CellState::Degraded);
        let (passed, not_passed): (Vec<&Cell>, Vec<&Cell>) = report.cells.iter().partition(came_through);
        let ends = |cells: Vec<&'a Cell>| cells.into_iter().map(|cell| ends(cell, cell.probe)).collect();
        Self {
            passed: ends(passed),
            not_passed: ends(not_passed),
        }
    }

    /// Whether a failed cell makes the verdict red; `None` where that hangs on cells that are not listed.
    fn counts(&self, cell: &Cell, some_are_unlisted: bool) -> Option<bool> {
        let excusable = matches!(
            cell.to.kind,
            TargetKind::Pod | TargetKind::Host | TargetKind::Loopback
        );
        if cell.probe != ProbeKind::Icmp || !excusable {
            return Some(true);
        }
        let others = [ProbeKind::Tcp, ProbeKind::Udp].map(|probe| ends(cell, probe));
        if others.iter().all(|ends| self.passed.contains(ends)) {
            Some(false)
        } else if !some_are_unlisted || others.iter().any(|ends| self.not_passed.contains(ends)) {
            Some(true)
        } else {
            None
        }
    }
}

fn ends(cell: &Cell, probe: ProbeKind) -> Ends<'_> {
    (&cell.from, cell.to.kind, cell.to.node.as_ref(), probe)
}

#[cfg(test)]
#[path = "consistent_tests.rs"]
mod tests;
