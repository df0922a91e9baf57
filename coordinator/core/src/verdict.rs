//! The verdict: three values, and unknown is never a pass.

use mesh_proto::{CellState, ProbeKind, Verdict};

use crate::judge::{Judge, Tally};
use crate::round::{CellIndex, Target};

/// The verdict over judged cells. `strict` counts degraded cells, and ICMP that fails where TCP and UDP pass, as failed.
pub(crate) fn verdict(judge: &Judge<'_>, tally: &Tally, strict: bool) -> Verdict {
    let red = if strict {
        tally.failed + tally.degraded > 0
    } else {
        tally.failed > 0 && has_red(judge)
    };
    if red {
        Verdict::Unreachable
    } else if tally.unknown > 0 {
        Verdict::Unknown
    } else {
        Verdict::Reachable
    }
}

fn has_red(judge: &Judge<'_>) -> bool {
    judge.any_noted(|noted| noted.judged.state == CellState::Failed && !is_excused(judge, noted.cell))
}

/// Whether a failed cell is one of ICMP between ends whose TCP and UDP pass: many networks filter ICMP on purpose, and nothing
/// that runs on them misses it.
pub(crate) fn is_excused(judge: &Judge<'_>, cell: CellIndex) -> bool {
    let (_, target, kind) = judge.matrix.round().layout().what(cell);
    // The same ends by TCP and by UDP come next.
    kind == ProbeKind::Icmp
        && matches!(target, Target::Agent(_) | Target::Loopback)
        && [cell.0 + 1, cell.0 + 2]
            .iter()
            .all(|cell| judge.of(CellIndex(*cell)).came_through())
}

#[cfg(test)]
mod tests;
