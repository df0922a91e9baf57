//! From what was observed to what it means for each cell, by the contract's rules.

mod absent;
pub(crate) use self::absent::{nodes_down, why_absent};
mod starved;
pub(crate) use self::starved::{loses_by_itself, starved};

use mesh_proto::{CellReason, CellState, Observation, ProbeKind, Reason};

use crate::matrix::Matrix;
use crate::round::{Effort, PlannedCell};

/// What became of a cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judged {
    /// Its state.
    pub state: CellState,
    /// What was seen, or why it is not known, in words.
    pub reason: Option<CellReason>,
}

impl Judged {
    pub(crate) fn unknown(why: impl Into<String>) -> Self {
        Self {
            state: CellState::Unknown,
            reason: Some(CellReason::Words(why.into())),
        }
    }

    fn failed(reason: Reason) -> Self {
        Self {
            state: CellState::Failed,
            reason: Some(CellReason::Seen(reason)),
        }
    }

    fn plain(state: CellState) -> Self {
        Self { state, reason: None }
    }

    /// What was seen, of a failed cell.
    pub(crate) fn seen(&self) -> Option<Reason> {
        match self.reason {
            Some(CellReason::Seen(reason)) => Some(reason),
            Some(CellReason::Words(_)) | None => None,
        }
    }

    pub(crate) fn came_through(&self) -> bool {
        matches!(self.state, CellState::Reachable | CellState::Degraded)
    }
}

/// Judges every cell of a matrix.
pub(crate) fn judge(matrix: &Matrix) -> Vec<Judged> {
    let cells = matrix.round().cells().iter().zip(matrix.observations());
    let mut judged: Vec<Judged> = cells
        .map(|(cell, seen)| judge_alone(matrix, cell, seen.as_ref()))
        .collect();
    starved::discount(matrix, &mut judged);
    slow_among_peers(matrix, &mut judged);
    absent::settle(matrix, &mut judged);
    judged
}

/// One cell by its own observation.
fn judge_alone(matrix: &Matrix, cell: &PlannedCell, seen: Option<&Observation>) -> Judged {
    match &cell.effort {
        Effort::Skipped(why) => {
            return Judged {
                state: CellState::Skipped,
                reason: Some(CellReason::Words(why.clone())),
            };
        }
        Effort::Impossible(why) => return Judged::unknown(why),
        Effort::Tried => {}
    }
    let Some(seen) = seen else {
        let lost = matrix.agent(cell.from).and_then(|record| record.lost.as_deref());
        return Judged::unknown(lost.unwrap_or("the agent did not report it"));
    };
    if let Some(why) = &seen.untried {
        return Judged::unknown(why);
    }
    if seen.sent == 0 {
        return Judged::unknown("the agent sent nothing");
    }
    judge_tries(cell.kind, seen)
}

/// The contract: failed is nothing came through, or more than half was lost, or a flow that was tried three times and
/// more never came through.
fn judge_tries(kind: ProbeKind, seen: &Observation) -> Judged {
    let reason = seen
        .failure
        .as_ref()
        .map_or(Reason::Timeout, |failure| failure.reason);
    if kind == ProbeKind::PathMtu {
        return match &seen.failure {
            Some(_) => Judged::failed(reason),
            None if seen.received == 0 => Judged::failed(reason),
            None => Judged::plain(CellState::Reachable),
        };
    }
    let lost = seen.sent.saturating_sub(seen.received);
    let dead_flow = seen
        .incomplete_flows
        .iter()
        .any(|flow| flow.sent >= 3 && flow.received == 0);
    if seen.received == 0 || lost > seen.received || dead_flow {
        Judged::failed(reason)
    } else if lost > 0 || seen.resent > 0 {
        Judged::plain(CellState::Degraded)
    } else {
        Judged::plain(CellState::Reachable)
    }
}

/// Far slower than its peers: so far that no jitter of a busy machine explains it. One slow answer is no median, and an agent
/// that woke up late itself measures its own machine.
fn slow_among_peers(matrix: &Matrix, judged: &mut [Judged]) {
    const TIMES_THE_MEDIAN: u32 = 20;
    const AT_LEAST_US: u32 = 500_000;
    const LEAST_ANSWERS: u32 = 3;
    let counts = |number: usize| {
        let from = matrix.round().cells()[number].from;
        let awake = matrix
            .agent(from)
            .is_none_or(|record| record.starvation.late_wakeups == 0);
        awake
            && matrix.observations()[number]
                .as_ref()
                .is_some_and(|seen| seen.received >= LEAST_ANSWERS)
    };
    for kind in ProbeKind::ALL {
        let of_kind = |number: &usize| matrix.round().cells()[*number].kind == *kind;
        let medians: Vec<(usize, u32)> = (0..judged.len())
            .filter(of_kind)
            .filter_map(|number| Some((number, matrix.observations()[number].as_ref()?.rtt?.p50.0)))
            .collect();
        let mut sorted: Vec<u32> = medians.iter().map(|(_, p50)| *p50).collect();
        sorted.sort_unstable();
        let Some(median) = sorted.get(sorted.len() / 2) else {
            continue;
        };
        let limit = median.saturating_mul(TIMES_THE_MEDIAN).max(AT_LEAST_US);
        for (number, p50) in medians {
            if p50 > limit && judged[number].state == CellState::Reachable && counts(number) {
                judged[number].state = CellState::Degraded;
            }
        }
    }
}

#[cfg(test)]
mod tests;
