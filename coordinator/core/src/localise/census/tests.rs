use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::Census;
use crate::judge::Judge;
use crate::localise::hypothesis::{Hypothesis, Suggested, must_show, says_nothing};
use crate::localise::model::Model;
use crate::localise::symptom::Symptom;
use crate::round::CellIndex;
use crate::world::{Fate, World};

/// The cells that cross a place, by a look at each of them.
fn one_by_one(model: &Model<'_>, place: &Hypothesis) -> BTreeMap<CellIndex, bool> {
    model
        .cells()
        .filter_map(|cell| Some((cell, model.crosses(cell, place)?)))
        .collect()
}

/// Whether a known cell that must cross a place contradicts it, by a look at each.
fn is_contradicted(model: &Model<'_>, place: &Hypothesis, symptom: Symptom) -> bool {
    one_by_one(model, place).into_iter().any(|(cell, certain)| {
        let planes = (model.plane_from(cell).unwrap(), model.plane_to(cell));
        let ill = model.symptom(cell);
        certain
            && must_show(model.kind(cell), planes, place.family, symptom)
            && model.observed(cell)
            && ill != Some(symptom)
            && !says_nothing(ill, symptom)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_counted_is_what_a_look_at_each_cell_finds(
        size in 2_usize..6,
        node in 0_usize..7,
        other in 0_usize..7,
        kind in 0_usize..4,
        gone in prop::option::of(0_usize..7),
        backend in 0_usize..7,
    ) {
        let (node, other) = (node % size, other % size);
        let mut world = World::with(size, move |trip| {
            let pair = trip.touches(node) && trip.touches(other) && trip.crosses();
            match kind {
                0 if trip.touches(node) && trip.crosses() => Fate::TimesOut,
                1 if trip.overlaid() && trip.touches(node) => Fate::TimesOut,
                2 if trip.touches(node) && trip.crosses() => Fate::Shrinks(1_300),
                3 if pair => Fate::TimesOut,
                _ => Fate::Passes,
            }
        });
        world.absent = gone.map(|gone| gone % size).into_iter().collect();
        world.backends = vec![backend % size, node];
        let mut matrix = world.matrix();
        matrix.settle();
        let judge = Judge::new(&matrix);
        let model = Model::new(&judge, matrix.round().layout().clone(), BTreeSet::new());
        for symptom in [Symptom::Dead, Symptom::Large] {
            let census = Census::new(&model, symptom);
            let suggested = Suggested::by(&model, &model.ill, symptom);
            let mut wide = suggested.wide(&model, |_| true);
            wide.extend(suggested.nodes(|_| true));
            for place in wide.iter().chain(&suggested.pairs(|_| true)) {
                let crossing = model.crossing(place);
                prop_assert_eq!(&crossing, &one_by_one(&model, place), "{:?}", place);
                if !matches!(place.scope, crate::localise::Scope::Group(_)) {
                    let contradicted = is_contradicted(&model, place, symptom);
                    prop_assert_eq!(census.contradicts(place), contradicted, "{:?}", place);
                }
            }
        }
    }
}
