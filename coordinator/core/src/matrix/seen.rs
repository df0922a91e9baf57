//! What was seen of the cells, sparsely.
//!
//! A cell that is whole costs two bits: that it was observed, and that nothing else is to be said of it. Of any other one a
//! note says how it fared: its place in the row and the number of its [`Outcome`], four bytes or eight. Notes of a row lie in the order of
//! its cells, so that all of them can be passed in order and one be found by bisection; what comes in is appended, and put in
//! order when the agent comes to its end.
//!
//! Whole is a cell of which everything came back at the first try, as often as it was planned, and not later than anything
//! could be called slow. Where all cells are listed in the report, each is noted, with all that was observed.

use mesh_proto::{Observation, ProbeKind};

use super::bits::Bits;
use super::notes::{Note, Notes};
use super::outcome::{NEVER_SLOW, Outcome, OutcomeId, Outcomes};
use super::quickness::Quickness;
use crate::round::{CellIndex, Planned};

/// What was seen of one row.
#[derive(Debug, Clone, Default)]
struct Row {
    notes: Notes,
    /// So many of them are in order.
    sorted: usize,
    /// How many cells of the row were observed.
    observed: usize,
}

/// All that was seen.
#[derive(Debug)]
pub(crate) struct Seen {
    observed: Bits,
    noted: Bits,
    /// By rank of the source.
    rows: Vec<Row>,
    pub(crate) outcomes: Outcomes,
    pub(crate) quickness: Quickness,
    keeps: Keeps,
    observed_count: usize,
    /// Of how many cells something failed.
    pub(super) failures: usize,
}

/// Which observations are kept as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// All of them.
    All,
    /// So many of those that did not come through, and so many of the rest that is not whole.
    Some { failed: usize, other: usize },
}

impl Keeps {
    /// As many as a report lists.
    pub(crate) fn some(most: usize) -> Self {
        Self::Some {
            failed: most,
            other: most,
        }
    }

    fn takes(&mut self, seen: &Observation) -> bool {
        let left = match self {
            Self::All => return true,
            Self::Some { failed, .. } if seen.received == 0 => failed,
            Self::Some { other, .. } => other,
        };
        let takes = *left > 0;
        *left = left.saturating_sub(1);
        takes
    }
}

impl Seen {
    pub(crate) fn new(cells: usize, rows: usize, keeps: Keeps) -> Self {
        Self {
            observed: Bits::below(cells),
            noted: Bits::below(cells),
            rows: vec![Row::default(); rows],
            outcomes: Outcomes::default(),
            quickness: Quickness::default(),
            keeps,
            observed_count: 0,
            failures: 0,
        }
    }

    pub(crate) fn keep_all(&mut self) {
        self.keeps = Keeps::All;
    }

    /// How many cells were observed.
    pub(crate) fn count(&self) -> usize {
        self.observed_count
    }

    /// How many cells of a row were.
    pub(crate) fn observed_in(&self, rank: usize) -> usize {
        self.rows[rank].observed
    }

    pub(crate) fn is_observed(&self, cell: CellIndex) -> bool {
        self.observed.contains(cell.0)
    }

    /// Takes in what was seen of a cell that was not observed before; `place` is its own in the row `rank`.
    pub(crate) fn take(
        &mut self,
        cell: CellIndex,
        (rank, place): (usize, u32),
        kind: ProbeKind,
        planned: Planned,
        seen: Observation,
    ) {
        self.observed.insert(cell.0);
        self.observed_count += 1;
        self.rows[rank].observed += 1;
        self.failures += usize::from(seen.failure.is_some());
        if let Some(rtt) = seen.rtt {
            self.quickness.add(kind, rtt.p50);
        }
        if self.keeps != Keeps::All && is_whole(kind, planned, &seen) {
            return;
        }
        let keep = self.keeps.takes(&seen);
        let outcome = self.outcomes.intern(kind, seen, keep);
        self.noted.insert(cell.0);
        self.rows[rank].notes.push(Note { place, outcome });
    }

    /// As if a cell had not been observed; whether it was.
    pub(crate) fn forget(&mut self, cell: CellIndex, (rank, place): (usize, u32)) -> bool {
        if !self.observed.remove(cell.0) {
            return false;
        }
        self.observed_count -= 1;
        self.rows[rank].observed -= 1;
        if self.noted.remove(cell.0) {
            let row = &mut self.rows[rank];
            row.sort();
            if let Some(at) = row.notes.find(row.sorted, place) {
                let outcome = self.outcomes.get(row.notes.get(at).outcome);
                self.failures -= usize::from(self.outcomes.failure(outcome).is_some());
                row.notes.remove(at);
                row.sorted -= 1;
            }
        }
        true
    }

    /// Puts the notes of a row in order.
    pub(crate) fn settle(&mut self, rank: usize) {
        let row = &mut self.rows[rank];
        row.sort();
        row.notes.shrink();
    }

    /// Puts all notes in order; those that are cost nothing.
    pub(crate) fn settle_all(&mut self) {
        for rank in 0..self.rows.len() {
            if self.rows[rank].sorted < self.rows[rank].notes.len() {
                self.settle(rank);
            }
        }
    }

    /// The notes of a row, which must be in order.
    pub(crate) fn notes(&self, rank: usize) -> &Notes {
        let row = &self.rows[rank];
        debug_assert_eq!(
            row.sorted,
            row.notes.len(),
            "notes are read once they are in order"
        );
        &row.notes
    }

    /// The notes of a row in any order.
    pub(crate) fn notes_as_they_came(&self, rank: usize) -> &Notes {
        &self.rows[rank].notes
    }

    /// What is noted of a cell.
    pub(crate) fn note(&self, cell: CellIndex, (rank, place): (usize, u32)) -> Option<OutcomeId> {
        if !self.noted.contains(cell.0) {
            return None;
        }
        let row = &self.rows[rank];
        if let Some(at) = row.notes.find(row.sorted, place) {
            return Some(row.notes.get(at).outcome);
        }
        let mut rest = row.notes.after(row.sorted);
        rest.find(|note| note.place == place).map(|note| note.outcome)
    }

    /// So many more requests of a cell arrived.
    pub(crate) fn arrived(&mut self, cell: CellIndex, (rank, place): (usize, u32), requests: u64) {
        if !self.noted.contains(cell.0) {
            return;
        }
        let row = &mut self.rows[rank];
        row.sort();
        if let Some(at) = row.notes.find(row.sorted, place) {
            let outcome = self.outcomes.arrived(row.notes.get(at).outcome, requests);
            row.notes.set(at, outcome);
        }
    }

    pub(crate) fn outcome(&self, id: OutcomeId) -> &Outcome {
        self.outcomes.get(id)
    }
}

impl Row {
    fn sort(&mut self) {
        if self.sorted < self.notes.len() {
            self.notes.sort();
            self.sorted = self.notes.len();
        }
    }
}

/// Whether an observation says no more than that the cell is whole.
fn is_whole(kind: ProbeKind, planned: Planned, seen: &Observation) -> bool {
    let all = match kind {
        // How many sizes it tries is for the search to decide.
        ProbeKind::PathMtu => seen.received > 0,
        _ => seen.received == seen.sent && seen.sent == planned.flows * planned.tries,
    };
    all && seen.resent == 0
        && seen.incomplete_flows.is_empty()
        && seen.rtt.is_none_or(|rtt| rtt.p50 < NEVER_SLOW)
        && seen.failure.is_none()
        && seen.certificate.is_none()
        && seen.untried.is_none()
        && !seen.starved
}

#[cfg(test)]
mod tests;
