//! Cells that ask the same of the same target from the same plane, each from its own node.
//!
//! A cell that may cross a place, or may not, is evidence for the place only if it fares as the place would have it: ill
//! where its kin that may cross it are ill too, and its kin that cannot are whole. Else something else is to blame, if
//! anything is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mesh_proto::{Plane, Port, ProbeKind, Reason};

use super::family::Family;
use super::model::Model;
use super::symptom::Symptom;
use crate::round::{CellIndex, Target};

/// How many of some cells are whole, and how many are ill.
#[derive(Debug, Clone, Copy, Default)]
struct Fares {
    whole: usize,
    ill: usize,
}

/// What is asked, and from which plane: once from each node.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    kind: ProbeKind,
    address: Option<IpAddr>,
    port: Port,
    as_application: bool,
    from: Option<Plane>,
}

/// Who asks the same: a number for each cell, and how the kin fares.
#[derive(Debug, Default)]
pub(super) struct Kin {
    of_cell: Vec<usize>,
    all: Vec<Fares>,
}

impl Kin {
    pub(super) fn new(model: &Model<'_>) -> Self {
        let mut numbers: BTreeMap<Question, usize> = BTreeMap::new();
        let mut kin = Self::default();
        for cell in (0..model.judged.len()).map(CellIndex) {
            let planned = model.cell(cell);
            let question = Question {
                kind: planned.kind,
                address: planned.address,
                port: planned.port,
                as_application: matches!(planned.target, Target::Dns { as_application: true }),
                from: model.plane_from(cell),
            };
            let next = numbers.len();
            let number = *numbers.entry(question).or_insert(next);
            kin.of_cell.push(number);
            if number == kin.all.len() {
                kin.all.push(Fares::default());
            }
            kin.all[number].count(model, cell);
        }
        kin
    }

    /// Of the ill cells that a place may hit, those that are no evidence for it.
    pub(super) fn doubtful(
        &self,
        model: &Model<'_>,
        family: Family,
        crossing: &BTreeMap<CellIndex, bool>,
        may_hit: &[CellIndex],
    ) -> BTreeSet<CellIndex> {
        let mut inside: BTreeMap<usize, Fares> = may_hit
            .iter()
            .map(|cell| (self.of_cell[cell.0], Fares::default()))
            .collect();
        for cell in crossing.keys() {
            if let Some(fares) = inside.get_mut(&self.of_cell[cell.0]) {
                fares.count(model, *cell);
            }
        }
        let is_doubtful = |cell: &CellIndex| {
            let number = self.of_cell[cell.0];
            let (all, inside) = (self.all[number], inside[&number]);
            let outside = Fares {
                whole: all.whole.saturating_sub(inside.whole),
                ill: all.ill.saturating_sub(inside.ill),
            };
            let spared = inside.whole >= 2 && inside.whole >= 2 * inside.ill;
            let ill_anyway = outside.ill >= 2 && outside.ill >= 2 * outside.whole;
            spared || ill_anyway || (is_way(family) && came_back(model, *cell))
        };
        // A share of loss says little of one cell.
        let is_dead = |cell: &CellIndex| model.symptom(*cell) == Some(Symptom::Dead);
        may_hit
            .iter()
            .copied()
            .filter(|cell| is_dead(cell) && is_doubtful(cell))
            .collect()
    }
}

impl Fares {
    fn count(&mut self, model: &Model<'_>, cell: CellIndex) {
        if model.symptom(cell).is_some() {
            self.ill += 1;
        } else if model.observed(cell) {
            self.whole += 1;
        }
    }
}

/// What carries packets, rather than what answers.
fn is_way(family: Family) -> bool {
    matches!(
        family,
        Family::Wire | Family::Bare | Family::Overlay | Family::Routes | Family::Forward
    )
}

/// A bare reset comes from the far end: the way there and back is open.
fn came_back(model: &Model<'_>, cell: CellIndex) -> bool {
    let failure = model.matrix.observations()[cell.0]
        .as_ref()
        .and_then(|seen| seen.failure.as_ref());
    failure.is_some_and(|failure| {
        matches!(failure.reason, Reason::Refused | Reason::Reset) && failure.icmp.is_none()
    })
}
