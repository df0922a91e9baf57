//! How a cell that is not whole shows it: what kind of fault can look so.

use mesh_proto::{CellState, Observation, ProbeKind, Protocol, Reason};

use crate::judge::{Judged, loses_by_itself};
use crate::matrix::Matrix;

/// How a cell is ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Symptom {
    /// Nothing came through.
    Dead,
    /// Small packets came through, large ones did not.
    Large,
    /// Some came through, some did not, or only after a resend, or late.
    Partial,
}

/// The symptom of each cell; `None` for those that are reachable, unknown or skipped, and for those that lose a share
/// at an agent that was starved.
pub(crate) fn symptoms(matrix: &Matrix, judged: &[Judged]) -> Vec<Option<Symptom>> {
    let cells = matrix
        .round()
        .cells()
        .iter()
        .zip(matrix.observations())
        .zip(judged);
    cells
        .map(|((cell, seen), judged)| {
            let seen = seen.as_ref()?;
            let symptom = symptom(cell.kind, seen, judged)?;
            let by_itself = symptom == Symptom::Partial && loses_by_itself(matrix, cell, seen);
            (!by_itself).then_some(symptom)
        })
        .collect()
}

fn symptom(kind: ProbeKind, seen: &Observation, judged: &Judged) -> Option<Symptom> {
    match judged.state {
        CellState::Reachable | CellState::Unknown | CellState::Skipped => None,
        CellState::Failed if kind == ProbeKind::PathMtu && seen.path_mtu.is_some() => Some(Symptom::Large),
        CellState::Failed if judged.seen() == Some(Reason::DataStalled) && seen.received == 0 => {
            Some(Symptom::Large)
        }
        CellState::Failed if seen.received == 0 => Some(Symptom::Dead),
        CellState::Degraded | CellState::Failed => Some(Symptom::Partial),
    }
}

/// The protocol that carries a kind of probe.
pub(crate) fn protocol_of(kind: ProbeKind) -> Protocol {
    match kind {
        ProbeKind::Icmp => Protocol::Icmp,
        ProbeKind::Tcp | ProbeKind::Tls | ProbeKind::DnsTcp => Protocol::Tcp,
        ProbeKind::Udp | ProbeKind::DnsUdp | ProbeKind::PathMtu => Protocol::Udp,
    }
}
