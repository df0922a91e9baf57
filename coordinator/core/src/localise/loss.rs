//! Places that lose a share of what crosses them.
//!
//! They are looked for before anything else, in datagrams between agents: the place whose loss makes what was seen most
//! likely, then the next, until what is left is no more than chance. Once the shares are known it can be told how
//! likely it is that a cell died by chance ([`super::chance`]), and cells that died so are no sign of another fault.

use std::collections::BTreeMap;

use mesh_proto::ProbeKind;

use super::family::{Family, Filter, Init, Scope};
use super::hypothesis::Hypothesis;
use super::likelihood::{Bin, Losing, Shares, Tries, best_fit, spares_enough};
use super::model::Model;
use super::symptom::protocol_of;
use crate::mixing::QuickMap;
use crate::round::CellIndex;

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
    let lossy: Vec<(CellIndex, Tries)> = model
        .ill
        .iter()
        .filter_map(|cell| Some((*cell, model.tries(*cell)?)))
        .filter(|(_, tries)| tries.lost > 0)
        .collect();
    let mut sites: Vec<LossSite> = Vec::new();
    let mut looks = 0.0;
    while lossy.len() >= 2 && sites.len() < MOST_SITES {
        let before = before(model, &sites, None);
        let places = bounds(model, &lossy, &before);
        if sites.is_empty() {
            looks = (places.len() as f64 * model.scale()).ln();
        }
        let Some(site) = best(model, places, &before, looks) else {
            break;
        };
        sites.push(site);
        refit(model, &mut sites, looks);
    }
    sites
}

/// What became of datagrams between agents, of a cell of which something came back; `number` is the cell's own in the round.
pub(super) fn tries(model: &Model<'_>, cell: CellIndex, number: CellIndex) -> Option<Tries> {
    let kind = model.kind(cell);
    if !matches!(kind, ProbeKind::Icmp | ProbeKind::Udp)
        || model.plane_to(cell).is_none()
        || !model.observed(cell)
    {
        return None;
    }
    let planned = model.planned(cell);
    match model.matrix.outcome(number) {
        Some(seen) if seen.received == 0 => None,
        Some(seen) => Tries::of(seen, planned),
        None => Tries::whole_of(kind, planned),
    }
}

/// What each cell loses by these sites, but for one of them; empty where there are none.
fn before(model: &Model<'_>, sites: &[LossSite], but: Option<usize>) -> Vec<Shares> {
    let mut before = Vec::new();
    let others = sites
        .iter()
        .enumerate()
        .filter(|(number, _)| Some(*number) != but);
    for (_, site) in others {
        before.resize(model.cells().count(), Shares::default());
        for cell in site.cells.keys() {
            before[cell.0] = before[cell.0].and(site.losing, site.share);
        }
    }
    before
}

/// A site that was found first took on itself what others lose; each one is estimated anew beside the others, and goes if
/// they leave nothing to it.
fn refit(model: &Model<'_>, sites: &mut Vec<LossSite>, looks: f64) {
    const ROUNDS: usize = 2;
    for _ in 0..if sites.len() > 1 { ROUNDS } else { 0 } {
        let mut number = 0;
        while number < sites.len() {
            let before = before(model, sites, Some(number));
            let (gain, losing, share) = best_fit(&bins(model, &sites[number].hypothesis, &before));
            if gain > looks + BAR {
                (sites[number].losing, sites[number].share) = (losing, share);
                number += 1;
            } else {
                sites.remove(number);
            }
        }
    }
}

/// Places that lossy cells cross, with how much better than chance each could be at the most: as if each of its lossy cells
/// could choose the share that suits it best, and none were whole. One cell alone is no place.
fn bounds(model: &Model<'_>, lossy: &[(CellIndex, Tries)], before: &[Shares]) -> Vec<(Hypothesis, f64)> {
    let mut best_of: QuickMap<(Tries, u64, u64), f64> = QuickMap::default();
    let mut places: QuickMap<Hypothesis, (f64, u32)> = QuickMap::default();
    let mut of_cell = Vec::new();
    for (cell, tries) in lossy {
        let shares = before.get(cell.0).copied().unwrap_or_default();
        let key = (*tries, shares.packets.to_bits(), shares.flows.to_bits());
        let most = *best_of.entry(key).or_insert_with(|| {
            let alone = Bin {
                tries: *tries,
                before: shares,
                count: 1,
            };
            best_fit(&[alone]).0.max(0.0)
        });
        of_cell.clear();
        let protocol = protocol_of(model.kind(*cell));
        for (part, _) in model
            .parts_of(*cell)
            .into_iter()
            .filter(|(part, certain)| *certain && can_lose(part.family))
        {
            let mut scopes = vec![Scope::Cluster, Scope::Node(part.from)];
            if part.from != part.to {
                scopes.push(Scope::Node(part.to));
                scopes.push(Scope::Pair(part.from.min(part.to), part.from.max(part.to)));
            }
            for (scope, protocol) in scopes
                .into_iter()
                .flat_map(|scope| [(scope.clone(), None), (scope, Some(protocol))])
            {
                let place = Hypothesis {
                    scope,
                    family: part.family,
                    // Loss hits round trips, whoever begins them.
                    init: Init::Both,
                    filter: Filter { protocol, from: None },
                };
                if !of_cell.contains(&place) {
                    of_cell.push(place);
                }
            }
        }
        for place in of_cell.drain(..) {
            let (bound, count) = places.entry(place).or_insert((0.0, 0));
            (*bound, *count) = (*bound + most, *count + 1);
        }
    }
    let several = places.into_iter().filter(|(_, (_, count))| *count >= 2);
    several.map(|(place, (bound, _))| (place, bound)).collect()
}

fn can_lose(family: Family) -> bool {
    matches!(
        family,
        Family::Wire
            | Family::Bare
            | Family::Overlay
            | Family::Forward
            | Family::Local
            | Family::Agent(_)
            | Family::Between(..)
    )
}

fn best(
    model: &Model<'_>,
    mut places: Vec<(Hypothesis, f64)>,
    before: &[Shares],
    looks: f64,
) -> Option<LossSite> {
    /// So close that the smaller place is as good.
    const NEAR: f64 = 1.0;
    places.sort_by(|(a, bound_a), (b, bound_b)| bound_b.total_cmp(bound_a).then_with(|| a.cmp(b)));
    let mut fits: Vec<(Hypothesis, Fit)> = Vec::new();
    let mut highest = looks + BAR;
    for (place, bound) in places {
        if bound + NEAR < highest {
            break;
        }
        let fit = fit(model, &place, before);
        if fit.gain > looks + if fit.on_top { BAR_ON_TOP } else { BAR } {
            highest = highest.max(fit.gain);
            fits.push((place, fit));
        }
    }
    let near = fits.into_iter().filter(|(_, fit)| fit.gain + NEAR >= highest);
    let (place, fit) = near.min_by(|(a, _), (b, _)| smaller(a, b))?;
    Some(LossSite {
        cells: model.crossing(&place),
        hypothesis: place,
        losing: fit.losing,
        share: fit.share,
        sample: fit.sample.into(),
    })
}

/// How well loss at a place explains its cells.
#[derive(Debug, Clone, Copy)]
struct Fit {
    gain: f64,
    losing: Losing,
    share: f64,
    sample: u32,
    /// Some of its cells lose by another place as well.
    on_top: bool,
}

fn fit(model: &Model<'_>, place: &Hypothesis, before: &[Shares]) -> Fit {
    let bins = bins(model, place, before);
    let (gain, losing, share) = best_fit(&bins);
    let sample = |bin: &Bin| {
        bin.count
            * match losing {
                Losing::Packets => bin.tries.sent,
                Losing::Flows => bin.tries.flows,
            }
    };
    Fit {
        gain: if spares_enough(&bins, losing, share) && !spares_a_peer(model, place, before, (losing, share))
        {
            gain
        } else {
            f64::NEG_INFINITY
        },
        losing,
        share,
        sample: bins.iter().map(sample).sum(),
        on_top: bins.iter().any(|bin| bin.before != Shares::default()),
    }
}

/// Whether a node that is said to lose loses nothing at all between it and one of the others, where that would be a wonder:
/// then it is some pairs that lose, and not the node.
fn spares_a_peer(model: &Model<'_>, place: &Hypothesis, before: &[Shares], loss: (Losing, f64)) -> bool {
    /// As rare as one in three millions.
    const WONDER: f64 = -15.0;
    let Scope::Node(node) = place.scope else {
        return false;
    };
    let mut others = model.nodes_here().iter().copied().filter(|other| *other != node);
    others.any(|other| {
        let pair = Hypothesis {
            scope: Scope::Pair(node.min(other), node.max(other)),
            ..place.clone()
        };
        let bins = bins(model, &pair, before);
        let is_whole = |bin: &Bin| bin.tries.lost == 0;
        let chance = |bin: &Bin| f64::from(bin.count) * bin.tries.whole(bin.before.and(loss.0, loss.1)).ln();
        bins.iter().all(is_whole) && bins.iter().map(chance).sum::<f64>() < WONDER
    })
}

/// Datagrams between agents that must cross a place; those that fared alike are counted together.
fn bins(model: &Model<'_>, place: &Hypothesis, before: &[Shares]) -> Vec<Bin> {
    let mut counts: QuickMap<(Tries, u64, u64), u32> = QuickMap::default();
    model.each_between_agents(place, |cell| {
        if let Some(tries) = model.tries(cell) {
            let shares = before.get(cell.0).copied().unwrap_or_default();
            let key = (tries, shares.packets.to_bits(), shares.flows.to_bits());
            *counts.entry(key).or_insert(0) += 1;
        }
    });
    // In one order, so that sums come out the same.
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable();
    let bins = counts.into_iter().map(|((tries, packets, flows), count)| Bin {
        tries,
        before: Shares {
            packets: f64::from_bits(packets),
            flows: f64::from_bits(flows),
        },
        count,
    });
    bins.collect()
}

/// Orders places that explain the same.
fn smaller(a: &Hypothesis, b: &Hypothesis) -> std::cmp::Ordering {
    let key = |place: &Hypothesis| (place.scope.size(), place.family, place.filter);
    key(a).cmp(&key(b)).then_with(|| a.scope.cmp(&b.scope))
}

#[cfg(test)]
mod tests;
