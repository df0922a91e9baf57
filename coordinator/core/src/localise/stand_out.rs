//! Whether cells that lose a share are so many more at a place than anywhere else that it is no chance.

use mesh_proto::CellState;

use super::cell_set::CellSet;
use super::hypothesis::Admitted;
use super::model::Model;
use super::symptom::{Symptom, protocol_of};
use crate::round::{CellIndex, KINDS};

/// How many cells are known, by protocol: each shows loss in its own way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals([f64; 3]);

impl Totals {
    pub(super) fn of(model: &Model<'_>) -> Self {
        let mut totals = Self::default();
        for (_, source) in model.layout.sources() {
            let services = model.layout.services(source);
            // All agents are asked alike.
            let agents = (services.start - source.row.start) / KINDS.len();
            for cell in source.row.clone().take(KINDS.len()) {
                totals.0[protocol_of(model.kind(CellIndex(cell))) as usize] += count(agents);
            }
            for cell in services.map(CellIndex) {
                let is_planned = model.judged(cell).state != CellState::Skipped;
                totals.0[protocol_of(model.kind(cell)) as usize] += if is_planned { 1.0 } else { 0.0 };
            }
        }
        for cell in &model.unknown {
            totals.0[protocol_of(model.kind(*cell)) as usize] -= 1.0;
        }
        totals
    }

    /// By a likelihood ratio, for so many places that are looked at.
    pub(super) fn let_stand_out(
        &self,
        model: &Model<'_>,
        place: &Admitted,
        open: &CellSet,
        looks: usize,
    ) -> bool {
        const BAR: f64 = 7.0;
        let is_ill = |cell: CellIndex| model.symptom(cell) == Some(Symptom::Partial) && open.contains(cell);
        let (mut inside, mut ill) = ([(0.0, 0.0); 3], [0.0; 3]);
        model.each_crossing(&place.hypothesis, |cell, _| {
            if model.observed(cell) {
                let (ill, all) = &mut inside[protocol_of(model.kind(cell)) as usize];
                *all += 1.0;
                *ill += if is_ill(cell) { 1.0 } else { 0.0 };
            }
        });
        for cell in open.iter().filter(|cell| is_ill(*cell)) {
            ill[protocol_of(model.kind(cell)) as usize] += 1.0;
        }
        let gain: f64 = (0..3)
            .map(|protocol| {
                let (some, all) = inside[protocol];
                let elsewhere = (ill[protocol] - some + 0.5) / (self.0[protocol] - all + 1.0);
                divergence(some, all, elsewhere)
            })
            .sum();
        gain > BAR + count(looks.max(1)).ln()
    }
}

/// The logarithm of how much likelier so many of all are at their own share than at another, where that is smaller.
fn divergence(some: f64, all: f64, other: f64) -> f64 {
    let share = some / f64::max(all, 1.0);
    if share <= other {
        return 0.0;
    }
    let rest = if some < all {
        (all - some) * ((1.0 - share) / (1.0 - other)).ln()
    } else {
        0.0
    };
    some * (share / other).ln() + rest
}

fn count(number: usize) -> f64 {
    number as f64
}
