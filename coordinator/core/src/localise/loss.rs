//! Places that lose a share of what crosses them.
//!
//! They are looked for before anything else, in datagrams between agents: the place whose loss makes what was seen most
//! likely, then the next, until what is left is no more than chance. Once the shares are known it can be told how
//! likely it is that a cell died by chance ([`super::chance`]), and cells that died so are no sign of another fault.

use std::collections::BTreeMap;

use mesh_proto::Protocol;

use super::family::{Family, Init, Scope};
use super::hypothesis::{Hypothesis, candidates};
use super::likelihood::{Bin, Losing, Planned, Tries, best_fit, spares_enough};
use super::model::Model;
use super::symptom::Symptom;
use crate::round::{CellIndex, Target};

/// A place that loses a share of what crosses it.
#[derive(Debug, Clone)]
pub(crate) struct LossSite {
    pub(crate) hypothesis: Hypothesis,
    pub(crate) losing: Losing,
    /// Of round trips, or of flows: 0 to 1.
    pub(crate) share: f64,
    /// How many tries the share was estimated from.
    pub(crate) sample: f64,
    /// Cells that cross it, and whether they must.
    pub(crate) cells: BTreeMap<CellIndex, bool>,
}

/// How much better than chance a place must be: besides the number of places that were looked at, a factor of e^10.
const BAR: f64 = 10.0;
/// For what is lost on top of another loss at the same place: real loss comes in bursts, which look like more of it.
const BAR_ON_TOP: f64 = 25.0;
const MOST_SITES: usize = 8;

/// Finds them, the clearest first.
pub(super) fn sites(model: &Model<'_>) -> Vec<LossSite> {
    let tries = tries(model);
    let lossy: Vec<CellIndex> = tries
        .iter()
        .filter(|(_, tries)| tries.lost > 0)
        .map(|(cell, _)| *cell)
        .collect();
    if lossy.len() < 2 {
        return Vec::new();
    }
    let places: Vec<(Hypothesis, Vec<CellIndex>)> = candidates(model, &lossy, Symptom::Partial)
        .into_iter()
        .filter(can_lose)
        .map(|place| {
            let crossing = model.crossing(place.family, &place.scope, place.init, place.filter);
            let must = crossing
                .into_iter()
                .filter(|(cell, certain)| *certain && tries.contains_key(cell));
            let cells = must.map(|(cell, _)| cell).collect();
            (place, cells)
        })
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a count of places, far below 2^52")]
    let looks = (places.len() as f64).ln();
    let mut sites: Vec<LossSite> = Vec::new();
    // What each cell loses by the places found so far.
    let mut before: BTreeMap<CellIndex, f64> = BTreeMap::new();
    while sites.len() < MOST_SITES {
        let Some(site) = best(model, &places, &tries, &before, looks) else {
            break;
        };
        for cell in site.cells.keys() {
            let share = before.entry(*cell).or_insert(0.0);
            *share = 1.0 - (1.0 - *share) * (1.0 - site.share);
        }
        sites.push(site);
    }
    sites
}

/// What became of datagrams between agents, of cells of which something came back.
fn tries(model: &Model<'_>) -> BTreeMap<CellIndex, Tries> {
    let planned = planned(model);
    let cells = (0..model.judged.len()).map(CellIndex);
    let of_agents =
        cells.filter(|cell| model.observed(*cell) && matches!(model.cell(*cell).target, Target::Agent(_)));
    of_agents
        .filter_map(|cell| {
            let seen = model.matrix.observations()[cell.0].as_ref()?;
            let tries = Tries::of(model.kind(cell), seen, planned[cell.0])?;
            (seen.received > 0).then_some((cell, tries))
        })
        .collect()
}

/// How each cell was to be tried.
pub(super) fn planned(model: &Model<'_>) -> Vec<Planned> {
    let round = model.matrix.round();
    let mut planned = vec![Planned { flows: 1, tries: 1 }; round.cells().len()];
    for (agent, _) in round.roster().indexed() {
        for probe in round.plan_of(agent).into_iter().flat_map(|plan| &plan.probes) {
            if let Some(cell) = round.cell_of(agent, probe.id) {
                planned[cell.0] = Planned {
                    flows: u32::from(probe.flows).max(1),
                    tries: u32::from(probe.tries).max(1),
                };
            }
        }
    }
    planned
}

/// Loss hits round trips, whoever begins them.
fn can_lose(place: &Hypothesis) -> bool {
    let family = matches!(
        place.family,
        Family::Wire
            | Family::Bare
            | Family::Overlay
            | Family::Forward
            | Family::Local
            | Family::Agent(_)
            | Family::Between(..)
    );
    family
        && place.init == Init::Both
        && place.filter.from.is_none()
        && matches!(place.filter.protocol, None | Some(Protocol::Icmp | Protocol::Udp))
        && matches!(place.scope, Scope::Pair(..) | Scope::Node(_) | Scope::Cluster)
}

fn best(
    model: &Model<'_>,
    places: &[(Hypothesis, Vec<CellIndex>)],
    tries: &BTreeMap<CellIndex, Tries>,
    before: &BTreeMap<CellIndex, f64>,
    looks: f64,
) -> Option<LossSite> {
    /// So close that the smaller place is as good.
    const NEAR: f64 = 1.0;
    let fits: Vec<_> = places
        .iter()
        .map(|(place, cells)| (place, cells, fit(cells, tries, before)))
        .filter(|(_, cells, (gain, ..))| {
            let on_top = cells.iter().any(|cell| before.contains_key(cell));
            *gain > looks + if on_top { BAR_ON_TOP } else { BAR }
        })
        .collect();
    let highest = fits.iter().map(|(.., (gain, ..))| *gain).fold(0.0, f64::max);
    let near = fits
        .into_iter()
        .filter(|(.., (gain, ..))| *gain + NEAR >= highest);
    let (place, cells, (_, losing, share)) = near.min_by(|(a, ..), (b, ..)| smaller(a, b))?;
    let sample: u32 = cells
        .iter()
        .filter_map(|cell| tries.get(cell))
        .map(|tries| match losing {
            Losing::Packets => tries.sent,
            Losing::Flows => tries.flows,
        })
        .sum();
    Some(LossSite {
        cells: model.crossing(place.family, &place.scope, place.init, place.filter),
        hypothesis: place.clone(),
        losing,
        share,
        sample: sample.into(),
    })
}

const NO_FIT: (f64, Losing, f64) = (f64::NEG_INFINITY, Losing::Packets, 0.0);

/// How well loss at a place explains its cells; one cell alone is no place.
fn fit(
    cells: &[CellIndex],
    tries: &BTreeMap<CellIndex, Tries>,
    before: &BTreeMap<CellIndex, f64>,
) -> (f64, Losing, f64) {
    let mut bins: BTreeMap<(Tries, u64), u32> = BTreeMap::new();
    for cell in cells {
        let share: f64 = before.get(cell).copied().unwrap_or(0.0);
        *bins.entry((tries[cell], share.to_bits())).or_insert(0) += 1;
    }
    let lossy: u32 = bins
        .iter()
        .filter(|((tries, _), _)| tries.lost > 0)
        .map(|(_, count)| count)
        .sum();
    if lossy < 2 {
        return NO_FIT;
    }
    let bins: Vec<Bin> = bins
        .into_iter()
        .map(|((tries, before), count)| Bin {
            tries,
            before: f64::from_bits(before),
            count,
        })
        .collect();
    let (gain, losing, share) = best_fit(&bins);
    if spares_enough(&bins, losing, share) {
        (gain, losing, share)
    } else {
        NO_FIT
    }
}

/// Orders places that explain the same.
fn smaller(a: &Hypothesis, b: &Hypothesis) -> std::cmp::Ordering {
    let key = |place: &Hypothesis| (place.scope.size(), place.family, place.filter);
    key(a).cmp(&key(b)).then_with(|| a.scope.cmp(&b.scope))
}

#[cfg(test)]
mod tests;
