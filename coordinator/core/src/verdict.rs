//! The verdict: three values, and unknown is never a pass.

use std::collections::HashSet;

use mesh_proto::{CellState, ProbeKind, Verdict};

use crate::judge::Judged;
use crate::matrix::{Matrix, judged_cells};
use crate::round::{CellIndex, Target};

/// The verdict over judged cells. `strict` counts degraded cells, and ICMP that fails where TCP and UDP pass, as failed.
pub(crate) fn verdict(matrix: &Matrix, judged: &[Judged], strict: bool) -> Verdict {
    let excused = excused_icmp(matrix, judged);
    let red = judged_cells(matrix, judged).any(|(number, _, judged)| match judged.state {
        CellState::Failed => strict || !excused.contains(&number),
        CellState::Degraded => strict,
        CellState::Reachable | CellState::Unknown | CellState::Skipped => false,
    });
    if red {
        Verdict::Unreachable
    } else if judged.iter().any(|judged| judged.state == CellState::Unknown) {
        Verdict::Unknown
    } else {
        Verdict::Reachable
    }
}

/// Failed ICMP cells between ends whose TCP and UDP pass: many networks filter ICMP on purpose, and nothing that runs
/// on them misses it.
pub(crate) fn excused_icmp(matrix: &Matrix, judged: &[Judged]) -> HashSet<CellIndex> {
    let key = |cell: &crate::round::PlannedCell| match cell.target {
        Target::Agent(to) => Some((cell.from, Some(to))),
        Target::Loopback => Some((cell.from, None)),
        _ => None,
    };
    let mut tcp = HashSet::new();
    let mut udp = HashSet::new();
    for (_, cell, judged) in judged_cells(matrix, judged) {
        match (cell.kind, key(cell)) {
            (ProbeKind::Tcp, Some(ends)) if judged.came_through() => _ = tcp.insert(ends),
            (ProbeKind::Udp, Some(ends)) if judged.came_through() => _ = udp.insert(ends),
            _ => {}
        }
    }
    let failed = judged_cells(matrix, judged).filter(|(_, cell, judged)| {
        cell.kind == ProbeKind::Icmp
            && judged.state == CellState::Failed
            && key(cell).is_some_and(|ends| tcp.contains(&ends) && udp.contains(&ends))
    });
    failed.map(|(number, ..)| number).collect()
}

#[cfg(test)]
mod tests;
