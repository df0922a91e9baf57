//! How a cell that is not whole shows it: what kind of fault can look so.

use mesh_proto::{CellState, Observation, ProbeKind, Protocol, Reason};

use crate::judge::Judged;
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

/// The symptom of each cell; `None` for those that are reachable, unknown or skipped.
pub(crate) fn symptoms(matrix: &Matrix, judged: &[Judged]) -> Vec<Option<Symptom>> {
    let cells = matrix
        .round()
        .cells()
        .iter()
        .zip(matrix.observations())
        .zip(judged);
    cells
        .map(|((cell, seen), judged)| symptom(cell.kind, seen.as_ref(), judged))
        .collect()
}

fn symptom(kind: ProbeKind, seen: Option<&Observation>, judged: &Judged) -> Option<Symptom> {
    let seen = seen?;
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
