//! How many cells became what, and a way past all that are not plainly whole.

use mesh_proto::{AgentIndex, CellState, Coverage};

use super::{Judge, Judged};
use crate::Round;
use crate::matrix::{Note, OutcomeId};
use crate::round::{CellIndex, Target};

/// How many cells became what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) failed: usize,
    pub(crate) degraded: usize,
    pub(crate) unknown: usize,
    pub(crate) skipped: usize,
    pub(crate) reachable: usize,
}

/// A cell that was observed and is not plainly whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted {
    pub(crate) cell: CellIndex,
    pub(crate) from: AgentIndex,
    /// Its place in the row.
    pub(crate) place: usize,
    pub(crate) outcome: OutcomeId,
    pub(crate) judged: Judged,
}

impl Judge<'_> {
    /// Calls for each cell that was observed and is noted, in order.
    pub(crate) fn each_noted(&self, mut call: impl FnMut(Noted)) {
        self.any_noted(|noted| {
            call(noted);
            false
        });
    }

    /// Whether there is such a cell among those that were observed and are noted.
    pub(crate) fn any_noted(&self, mut is: impl FnMut(Noted) -> bool) -> bool {
        let layout = self.matrix.round().layout();
        let seen = self.matrix.seen();
        for (from, source) in layout.sources() {
            for Note { place, outcome } in seen.notes(source.rank).iter() {
                let place = place as usize;
                let judged = self.of_note(from, source.rank, place, outcome);
                let noted = Noted {
                    cell: CellIndex(source.row.start + place),
                    from,
                    place,
                    outcome,
                    judged,
                };
                if is(noted) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether all that an agent's row could have was tried and observed, but for what is silent by design.
    pub(crate) fn is_row_full(&self, agent: AgentIndex) -> bool {
        let round = self.matrix.round();
        let Some(source) = round.layout().source(agent) else {
            return true;
        };
        let tried = round.tried_by(agent);
        tried + round.skipped_by(agent) == round.in_turn_of(agent)
            && self.matrix.seen().observed_in(source.rank) == tried
    }

    fn of_note(&self, from: AgentIndex, rank: usize, place: usize, outcome: OutcomeId) -> Judged {
        let (plain, slow) = self.alone[outcome.0 as usize];
        if self.is_all_plain && !slow {
            return plain;
        }
        let target: Target = self.matrix.round().layout().asked(rank, place).0;
        if !slow && self.is_plain(from, target) {
            plain
        } else {
            self.of_outcome(from, target, outcome)
        }
    }

    /// Counts all cells.
    pub(crate) fn tally(&self) -> Tally {
        let round = self.matrix.round();
        let layout = round.layout();
        let [mut failed, mut degraded, mut unknown] = [0; 3];
        let mut count = |state, times| match state {
            CellState::Failed => failed += times,
            CellState::Degraded => degraded += times,
            CellState::Unknown => unknown += times,
            CellState::Reachable | CellState::Skipped => {}
        };
        if self.is_all_plain && self.alone.iter().all(|(_, slow)| !slow) {
            // How often each outcome was seen says it all.
            let mut times = vec![0_usize; self.alone.len()];
            for rank in 0..layout.taking_part() {
                for note in self.matrix.seen().notes(rank).iter() {
                    times[note.outcome.0 as usize] += 1;
                }
            }
            for ((judged, _), times) in self.alone.iter().zip(times) {
                count(judged.state, times);
            }
        } else {
            self.each_noted(|noted| count(noted.judged.state, 1));
        }
        let count = |of: fn(&Round, AgentIndex) -> usize| -> usize {
            layout.sources().map(|(agent, _)| of(round, agent)).sum()
        };
        let skipped = count(Round::skipped_by);
        let known = self.matrix.seen().count() - unknown;
        Tally {
            failed,
            degraded,
            unknown: count(Round::in_turn_of) - skipped - known,
            skipped,
            reachable: known - failed - degraded,
        }
    }
}

impl Tally {
    /// As the report has it.
    pub(crate) fn coverage(&self) -> Coverage {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let observed = self.reachable + self.degraded + self.failed;
        Coverage {
            cells: count(observed + self.unknown),
            observed: count(observed),
            unknown: count(self.unknown),
            skipped: count(self.skipped),
            rotation: None,
        }
    }
}
