//! Lost ICMP that does not count: it does not between ends whose TCP and UDP pass, since many networks filter it on
//! purpose.

use std::collections::HashSet;
use std::net::IpAddr;

use mesh_proto::{Cell, CellFrom, CellState, NodeName, ProbeKind, Report, TargetKind};

/// What tells whether a failed ICMP cell of a report counts.
#[derive(Debug)]
pub struct ExcusedIcmp<'r> {
    passed: HashSet<Ends<'r>>,
    troubled: HashSet<Ends<'r>>,
    /// What is not listed came through.
    sparse: bool,
}

/// The ends of a cell, whatever the port, and how it was tried.
type Ends<'r> = (
    &'r CellFrom,
    TargetKind,
    Option<&'r NodeName>,
    Option<IpAddr>,
    ProbeKind,
);

fn ends(cell: &Cell, probe: ProbeKind) -> Ends<'_> {
    (
        &cell.from,
        cell.to.kind,
        cell.to.node.as_ref(),
        cell.to.address,
        probe,
    )
}

impl<'r> ExcusedIcmp<'r> {
    /// Of a report, whether it lists all cells or only some.
    pub fn of(report: &'r Report) -> Self {
        let came = |cell: &Cell| matches!(cell.state, CellState::Reachable | CellState::Degraded);
        let (mut passed, mut troubled) = (HashSet::new(), HashSet::new());
        for cell in &report.cells {
            let set = if came(cell) { &mut passed } else { &mut troubled };
            set.insert(ends(cell, cell.probe));
        }
        let planned = report.coverage.cells as usize + report.coverage.skipped as usize;
        Self {
            passed,
            troubled,
            sparse: report.cells.len() < planned,
        }
    }

    /// Whether a cell is such: it does not count.
    pub fn contains(&self, cell: &Cell) -> bool {
        let passes = |kind| {
            let ends = ends(cell, kind);
            self.passed.contains(&ends) || (self.sparse && !self.troubled.contains(&ends))
        };
        cell.probe == ProbeKind::Icmp && passes(ProbeKind::Tcp) && passes(ProbeKind::Udp)
    }
}
