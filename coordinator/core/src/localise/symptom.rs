//! How a cell that is not whole shows it: what kind of fault can look so.

use mesh_proto::{CellState, ProbeKind, Protocol, Reason};

use crate::judge::{Judge, Judged};
use crate::matrix::Outcome;
use crate::round::CellIndex;

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

/// The symptom of a cell of the round; `None` for those that are reachable, unknown or skipped, and for those that lose a
/// share at an agent that was starved.
pub(super) fn symptom(judge: &Judge<'_>, cell: CellIndex, judged: Judged) -> Option<Symptom> {
    let outcome = judge.matrix.outcome(cell)?;
    let symptom = of_outcome(outcome, judged)?;
    // It was chance, or a part of the service is dead.
    if symptom == Symptom::Dead
        && judge
            .matrix
            .asked_again(cell)
            .is_some_and(|seen| seen.received > 0)
    {
        return Some(Symptom::Partial);
    }
    let by_itself = || {
        let (from, target, _) = judge.matrix.round().layout().what(cell);
        judge.loses_by_itself(from, target, outcome)
    };
    (symptom != Symptom::Partial || !by_itself()).then_some(symptom)
}

/// The symptom of a cell that fared so and was judged so, whoever was starved.
pub(super) fn of_outcome(seen: &Outcome, judged: Judged) -> Option<Symptom> {
    match judged.state {
        CellState::Reachable | CellState::Unknown | CellState::Skipped => None,
        CellState::Failed if seen.kind == ProbeKind::PathMtu && seen.path_mtu.is_some() => {
            Some(Symptom::Large)
        }
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
