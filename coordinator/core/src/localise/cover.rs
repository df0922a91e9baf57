//! The greedy set cover over admissible places.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::NodeName;

use super::family::{Family, Filter, Init, Scope};
use super::hypothesis::{Admitted, Hypothesis, admit, candidates};
use super::loss::LossSite;
use super::model::Model;
use super::symptom::Symptom;
use crate::round::CellIndex;

/// A place that was chosen, with the cells that it is the first to explain.
#[derive(Debug, Clone)]
pub(crate) struct Pick {
    pub(crate) place: Place,
    pub(crate) symptom: Symptom,
    pub(crate) explains: Vec<CellIndex>,
    /// All cells that it explains, other places before it too.
    pub(crate) covers: Vec<CellIndex>,
    /// Ill cells that it explains if nothing else does.
    perhaps: Vec<CellIndex>,
    /// Healthy cells that the place may hit: weak evidence against it.
    pub(crate) spared: usize,
}

/// What was chosen.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A node that answers nobody, nor its link.
    Down(crate::NodeIndex),
    /// A place of the model.
    At(Hypothesis),
    /// Nothing explains these cells.
    Nowhere,
}

/// Chooses places until every ill cell is explained, nodes that are down first.
pub(crate) fn cover(model: &Model<'_>, down: &BTreeSet<NodeName>) -> Vec<Pick> {
    let mut open: BTreeSet<CellIndex> = (0..model.symptoms.len())
        .map(CellIndex)
        .filter(|cell| model.symptom(*cell).is_some())
        .collect();
    let mut picks = Vec::new();
    for name in down {
        picks.extend(pick_down(model, name, &mut open));
    }
    for symptom in [Symptom::Dead, Symptom::Large] {
        cover_symptom(model, symptom, &mut open, &mut picks);
    }
    for site in &model.sites {
        picks.extend(pick_site(model, site, &mut open));
    }
    cover_symptom(model, Symptom::Partial, &mut open, &mut picks);
    for pick in &mut picks {
        let left = pick.perhaps.iter().copied().filter(|cell| open.remove(cell));
        pick.explains.extend(left);
    }
    if !open.is_empty() {
        let symptom = if open
            .iter()
            .any(|cell| model.symptom(*cell) == Some(Symptom::Dead))
        {
            Symptom::Dead
        } else {
            Symptom::Partial
        };
        let explains: Vec<CellIndex> = std::mem::take(&mut open).into_iter().collect();
        picks.push(Pick::of(Place::Nowhere, symptom, explains));
    }
    picks
}

/// Everything that must or may cross a node that is down.
fn pick_down(model: &Model<'_>, name: &NodeName, open: &mut BTreeSet<CellIndex>) -> Option<Pick> {
    let node = model.matrix.round().roster().node_index(name)?;
    let scope = Scope::Node(node);
    let families = [Family::Wire, Family::Forward, Family::Local, Family::AnyNodePort];
    let crossing = families
        .into_iter()
        .flat_map(|family| model.crossing(family, &scope, Init::Both, Filter::ALL));
    let mut explains: BTreeSet<CellIndex> = crossing.map(|(cell, _)| cell).collect();
    explains.extend(open.iter().copied().filter(|cell| stands_on(model, *cell, name)));
    let explains: Vec<CellIndex> = explains.into_iter().filter(|cell| open.remove(cell)).collect();
    (!explains.is_empty()).then(|| Pick::of(Place::Down(node), Symptom::Dead, explains))
}

/// Everything that crosses a place which loses a share, and may be ill by that.
fn pick_site(model: &Model<'_>, site: &LossSite, open: &mut BTreeSet<CellIndex>) -> Option<Pick> {
    let by_loss =
        |cell: &CellIndex| model.symptom(*cell) == Some(Symptom::Partial) || model.may_be_chance(*cell);
    let crossing = site.cells.keys().copied();
    let explains: Vec<CellIndex> = crossing
        .filter(|cell| open.contains(cell) && by_loss(cell))
        .collect();
    for cell in &explains {
        open.remove(cell);
    }
    let place = Place::At(site.hypothesis.clone());
    (!explains.is_empty()).then(|| Pick::of(place, Symptom::Partial, explains))
}

impl Pick {
    fn of(place: Place, symptom: Symptom, explains: Vec<CellIndex>) -> Self {
        Self {
            place,
            symptom,
            covers: explains.clone(),
            explains,
            perhaps: Vec::new(),
            spared: 0,
        }
    }
}

fn stands_on(model: &Model<'_>, cell: CellIndex, name: &NodeName) -> bool {
    match &model.cell(cell).target {
        crate::Target::DnsEndpoint(number) => {
            let dns = model.matrix.round().roster().cluster.dns.as_ref();
            dns.and_then(|dns| dns.endpoints.get(*number))
                .is_some_and(|endpoint| endpoint.node == *name)
        }
        _ => false,
    }
}

fn cover_symptom(model: &Model<'_>, symptom: Symptom, open: &mut BTreeSet<CellIndex>, picks: &mut Vec<Pick>) {
    let ill: Vec<CellIndex> = open
        .iter()
        .copied()
        .filter(|cell| model.symptom(*cell) == Some(symptom))
        .collect();
    let places = candidates(model, &ill, symptom);
    // Which cells are ill decides which places are looked at, so each cell is a chance to be misled as well.
    let beyond_chance = beyond_chance(places.len() + model.judged.len());
    let mut admitted: Vec<Admitted> = places
        .into_iter()
        .filter_map(|place| admit(model, &place, symptom))
        .collect();
    // What the place explains that nothing chosen before does may be no more than what chance does to lossy paths.
    let is_chance = |place: &Admitted, open: &BTreeSet<CellIndex>| {
        let ill = |cell: &&CellIndex| open.contains(cell) && model.symptom(**cell) == Some(symptom);
        let must: Vec<CellIndex> = place.must.iter().filter(ill).copied().collect();
        let all = place.explains.iter().filter(ill).copied();
        let chance = if must.is_empty() {
            model.ln_chance(all)
        } else {
            model.ln_chance(must)
        };
        symptom != Symptom::Partial && chance > beyond_chance
    };
    // Cells that a place chosen before explains if nothing else does: to hit them perhaps too is no better.
    let mut claimed: BTreeSet<CellIndex> = BTreeSet::new();
    loop {
        // The gain counts only cells with this symptom: a place is not chosen for what it may explain besides.
        let gain = |place: &Admitted| {
            place
                .explains
                .iter()
                .filter(|c| open.contains(c) && model.symptom(**c) == Some(symptom))
                .count()
        };
        let mut gains: BTreeMap<usize, usize> = BTreeMap::new();
        admitted.retain_mut(|place| {
            let (left, taken): (Vec<_>, Vec<_>) = place.explains.iter().partition(|cell| open.contains(cell));
            place.taken.extend(taken);
            place.explains = left;
            let adds = |cell: &CellIndex| place.must.contains(cell) || !claimed.contains(cell);
            place.explains.iter().any(adds) && !is_chance(place, open)
        });
        for (number, place) in admitted.iter().enumerate() {
            gains.insert(number, gain(place));
        }
        let most = gains.values().copied().max().unwrap_or(0);
        // A few cells that may cross a place are no reason to prefer it: of places that explain nearly as much, the one
        // that must hit more of it.
        let near = (0..admitted.len()).filter(|place| gains[place] * 20 >= most * 19);
        let best = near.min_by(|a, b| {
            let of = |place: usize| (&admitted[place], gains[&place]);
            better(of(*a), of(*b), open)
        });
        let Some(best) = best.filter(|best| gains[best] > 0) else {
            return;
        };
        let chosen = admitted.swap_remove(best);
        for cell in &chosen.explains {
            open.remove(cell);
        }
        claimed.extend(&chosen.perhaps);
        let mut covers = chosen.must;
        covers.extend(chosen.explains.iter().chain(&chosen.taken));
        picks.push(Pick {
            covers: covers.into_iter().collect(),
            perhaps: chosen.perhaps,
            spared: chosen.spared,
            ..Pick::of(Place::At(chosen.hypothesis), symptom, chosen.explains)
        });
    }
}

/// The logarithm below which a chance is not believed, where so many things are looked at.
fn beyond_chance(looks: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of cells, far below 2^52")]
    let looks = looks.max(1) as f64;
    (0.001 / looks).ln()
}

/// Orders places that explain the same: the one that must hit more of what is open, then the one that must hit more of
/// all, then the one that explains more, then the smaller one, then the order of families. `Less` is better.
fn better(a: (&Admitted, usize), b: (&Admitted, usize), open: &BTreeSet<CellIndex>) -> std::cmp::Ordering {
    let key = |(place, gain): (&Admitted, usize)| {
        let Hypothesis {
            scope,
            family,
            init,
            filter,
        } = &place.hypothesis;
        (
            std::cmp::Reverse(place.must.iter().filter(|cell| open.contains(cell)).count()),
            std::cmp::Reverse(place.certain),
            std::cmp::Reverse(gain),
            scope.size(),
            *family,
            *init,
            *filter,
        )
    };
    key(a)
        .cmp(&key(b))
        .then_with(|| a.0.hypothesis.scope.cmp(&b.0.hypothesis.scope))
}
