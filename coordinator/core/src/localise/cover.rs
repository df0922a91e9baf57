//! The greedy set cover over admissible places.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::{NodeName, ProbeKind};

use super::cell_set::CellSet;
use super::census::Census;
use super::choice::{Choice, choice};
use super::family::{Family, Filter, Init, Scope};
use super::hypothesis::{Admitted, Hypothesis, Suggested, admit};
use super::kin::came_back;
use super::model::Model;
use super::stand_out::Totals;
use super::symptom::Symptom;
use crate::mixing::QuickMap;
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
    /// How many cells it explains besides, outside the model, and whether one of them makes a verdict red.
    pub(crate) more: usize,
    pub(crate) more_is_red: bool,
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
    let mut open = CellSet::new(&model.ill);
    let mut picks = Vec::new();
    let mut claimed = Claimed::new();
    for name in down {
        picks.extend(pick_down(model, name, &mut open, &mut claimed));
    }
    for symptom in [Symptom::Dead, Symptom::Large] {
        cover_symptom(model, symptom, &mut open, &mut claimed, &mut picks);
    }
    picks.extend(pick_sites(model, &mut open));
    cover_symptom(model, Symptom::Partial, &mut open, &mut claimed, &mut picks);
    for pick in &mut picks {
        let left = pick.perhaps.iter().copied().filter(|cell| open.remove(*cell));
        pick.explains.extend(left);
    }
    if !open.is_empty() {
        let symptom = if open.iter().any(|cell| model.symptom(cell) == Some(Symptom::Dead)) {
            Symptom::Dead
        } else {
            Symptom::Partial
        };
        let explains: Vec<CellIndex> = open.iter().collect();
        picks.push(Pick::of(Place::Nowhere, symptom, explains));
    }
    picks
}

/// Everything that must or may cross a node that is down, but for what was answered. What only a choice of endpoints led
/// there it explains if nothing else does.
fn pick_down(model: &Model<'_>, name: &NodeName, open: &mut CellSet, claimed: &mut Claimed) -> Option<Pick> {
    let node = model.layout.node(name)?;
    let places = Hypothesis::of_dead_node(node);
    let is_hit = |cell: &CellIndex| {
        let crosses = places.iter().any(|place| model.crosses(*cell, place).is_some());
        (crosses || stands_on(model, *cell, name)) && !came_back(model, *cell)
    };
    let hit: Vec<CellIndex> = open.iter().filter(is_hit).collect();
    let is_chosen = |cell: &CellIndex| {
        model.symptom(*cell) == Some(Symptom::Dead) && choice(model, *cell, &places[0]).is_some()
    };
    let (perhaps, explains): (Vec<CellIndex>, Vec<CellIndex>) = hit.into_iter().partition(is_chosen);
    for cell in &explains {
        open.remove(*cell);
    }
    claim(model, claimed, &perhaps, &places[0]);
    let pick = Pick::of(Place::Down(node), Symptom::Dead, explains);
    (!pick.explains.is_empty()).then_some(Pick { perhaps, ..pick })
}

/// Cells that a place chosen before explains if nothing else does. Where that place is in the way of some endpoints, which.
type Claimed = BTreeMap<CellIndex, Option<Choice>>;

fn claim(model: &Model<'_>, claimed: &mut Claimed, cells: &[CellIndex], place: &Hypothesis) {
    for cell in cells {
        let so_far = claimed.entry(*cell).or_insert(None);
        *so_far = match (*so_far, choice(model, *cell, place)) {
            (Some(a), Some(b)) => Some(a.or(b)),
            (a, b) => a.or(b),
        };
    }
}

/// Everything that crosses places which lose a share, and may be ill by that: each cell goes to the one that it must cross
/// and that loses most.
fn pick_sites(model: &Model<'_>, open: &mut CellSet) -> Vec<Pick> {
    let by_loss =
        |cell: &CellIndex| model.symptom(*cell) == Some(Symptom::Partial) || model.may_be_chance(*cell);
    let mut owner: BTreeMap<CellIndex, (bool, f64, usize)> = BTreeMap::new();
    for (number, site) in model.sites.iter().enumerate() {
        for (cell, certain) in site
            .cells
            .iter()
            .filter(|(cell, _)| open.contains(**cell) && by_loss(cell))
        {
            let of_site = (*certain, site.share, number);
            let best = owner.entry(*cell).or_insert(of_site);
            if (of_site.0, of_site.1) > (best.0, best.1) {
                *best = of_site;
            }
        }
    }
    let mut explains: Vec<Vec<CellIndex>> = vec![Vec::new(); model.sites.len()];
    let wholly: Vec<CellIndex> = owner
        .keys()
        .copied()
        .filter(|cell| model.symptom(*cell) != Some(Symptom::Partial))
        .collect();
    // Each of them may be chance; all of them together are not, if they are many more than chance makes.
    let expected = model.expected_by_chance();
    let too_many = wholly.len() as f64 > 3.0 * expected + 4.0;
    for (cell, (_, _, number)) in owner {
        if too_many && model.symptom(cell) != Some(Symptom::Partial) {
            continue;
        }
        open.remove(cell);
        explains[number].push(cell);
    }
    let picks = model
        .sites
        .iter()
        .zip(explains)
        .filter(|(_, explains)| !explains.is_empty());
    picks
        .map(|(site, explains)| Pick::of(Place::At(site.hypothesis.clone()), Symptom::Partial, explains))
        .collect()
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
            more: 0,
            more_is_red: false,
        }
    }
}

fn stands_on(model: &Model<'_>, cell: CellIndex, name: &NodeName) -> bool {
    match model.target(cell) {
        crate::Target::DnsEndpoint(number) => {
            let dns = model.matrix.round().roster().cluster.dns.as_ref();
            dns.and_then(|dns| dns.endpoints.get(number))
                .is_some_and(|endpoint| endpoint.node == *name)
        }
        _ => false,
    }
}

/// How large the places are that were looked at so far. Smaller ones are only when nothing larger explains more than they
/// can: most dead cells lie at a node, or everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LookedAt {
    Wide,
    Nodes,
    Pairs,
}

/// The places that are still to be chosen from, for one symptom.
struct Greedy<'m, 'a> {
    model: &'m Model<'a>,
    symptom: Symptom,
    census: Option<Census<'m, 'a>>,
    /// How many places there are, about.
    looks: usize,
    admitted: Vec<Admitted>,
    looked_at: LookedAt,
    /// To hit these perhaps too is no better.
    claimed: &'m mut Claimed,
    totals: Totals,
}

fn cover_symptom(
    model: &Model<'_>,
    symptom: Symptom,
    open: &mut CellSet,
    claimed: &mut Claimed,
    picks: &mut Vec<Pick>,
) {
    let mut greedy = Greedy {
        model,
        symptom,
        census: None,
        looks: 0,
        admitted: Vec::new(),
        looked_at: LookedAt::Wide,
        claimed,
        totals: Totals::default(),
    };
    let ill = greedy.ill(open);
    if ill.is_empty() {
        return;
    }
    if symptom == Symptom::Partial {
        greedy.totals = Totals::of(model);
    } else {
        greedy.census = Some(Census::new(model, symptom));
    }
    let suggested = Suggested::by(model, &ill, symptom);
    greedy.looks = scaled(suggested.looks(), model.scale());
    greedy.admit_all(&suggested.wide(model, |place| greedy.passes(place)));
    while let Some(chosen) = greedy.choose(open) {
        for cell in &chosen.explains {
            open.remove(*cell);
        }
        picks.push(greedy.pick(chosen));
    }
}

impl Greedy<'_, '_> {
    /// Open cells that places are to be found for.
    fn ill(&self, open: &CellSet) -> Vec<CellIndex> {
        // Whether datagrams between agents are lost beyond chance, and where, was asked before (`loss`).
        let is_asked_elsewhere = |cell: CellIndex| {
            self.symptom == Symptom::Partial && is_datagram_between_agents(self.model, cell)
        };
        let ill = open.iter();
        ill.filter(|cell| self.model.symptom(*cell) == Some(self.symptom) && !is_asked_elsewhere(*cell))
            .collect()
    }

    fn passes(&self, place: &Hypothesis) -> bool {
        self.census
            .as_ref()
            .is_none_or(|census| !census.contradicts(place))
    }

    fn admit_all(&mut self, places: &BTreeSet<Hypothesis>) {
        let (model, symptom) = (self.model, self.symptom);
        let admitted = places.iter().filter_map(|place| admit(model, place, symptom));
        self.admitted.extend(admitted);
    }

    /// The best place for what is open.
    fn choose(&mut self, open: &CellSet) -> Option<Admitted> {
        loop {
            self.drop_useless(open);
            let gains: Vec<usize> = self.admitted.iter().map(|place| self.gain(place, open)).collect();
            let most = gains.iter().copied().max().unwrap_or(0);
            if self.looked_at != LookedAt::Pairs && self.most_of_smaller(open) * 20 >= most * 19 {
                self.look_at_smaller(open);
                continue;
            }
            // A few cells that may cross a place are no reason to prefer it: of places that explain nearly as much, the
            // one that must hit more of it.
            let near = (0..gains.len()).filter(|place| gains[*place] > 0 && gains[*place] * 20 >= most * 19);
            let keyed = near.map(|place| (Self::key(&self.admitted[place], gains[place], open), place));
            let (_, best) = keyed.min_by(|(a, at_a), (b, at_b)| {
                let scope = |at: usize| &self.admitted[at].hypothesis.scope;
                a.cmp(b).then_with(|| scope(*at_a).cmp(scope(*at_b)))
            })?;
            return Some(self.admitted.swap_remove(best));
        }
    }

    fn look_at_smaller(&mut self, open: &CellSet) {
        let suggested = Suggested::by(self.model, &self.ill(open), self.symptom);
        let places;
        (self.looked_at, places) = match self.looked_at {
            LookedAt::Wide => (LookedAt::Nodes, suggested.nodes(|place| self.passes(place))),
            LookedAt::Nodes | LookedAt::Pairs => {
                (LookedAt::Pairs, suggested.pairs(|place| self.passes(place)))
            }
        };
        self.admit_all(&places);
    }

    /// Cells with this symptom only: a place is not chosen for what it may explain besides.
    fn gain(&self, place: &Admitted, open: &CellSet) -> usize {
        let counts =
            |cell: &&CellIndex| self.model.symptom(**cell) == Some(self.symptom) && open.contains(**cell);
        place.explains.iter().filter(counts).count()
    }

    fn drop_useless(&mut self, open: &CellSet) {
        let mut admitted = std::mem::take(&mut self.admitted);
        admitted.retain_mut(|place| {
            let (left, taken): (Vec<_>, Vec<_>) =
                place.explains.iter().partition(|cell| open.contains(**cell));
            place.taken.extend(taken);
            place.explains = left;
            let adds = |cell: &CellIndex| place.is_sure_of(*cell) || !self.claimed.contains_key(cell);
            place.explains.iter().any(adds) && !self.is_chance(place, open)
        });
        self.admitted = admitted;
    }

    /// Whether what the place explains that nothing chosen before does may be no more than chance.
    fn is_chance(&self, place: &Admitted, open: &CellSet) -> bool {
        if self.symptom == Symptom::Partial {
            return !self.totals.let_stand_out(self.model, place, open, self.looks);
        }
        let by_choice = |cell: &CellIndex| {
            let choice = self.claimed.get(cell).copied().flatten();
            choice.map_or(f64::NEG_INFINITY, Choice::ln_chance)
        };
        let ill = |cell: &&CellIndex| self.model.symptom(**cell) == Some(self.symptom);
        // What it explains is open.
        let all: Vec<CellIndex> = place.explains.iter().filter(ill).copied().collect();
        let mut counted: Vec<CellIndex> = all
            .iter()
            .copied()
            .filter(|cell| place.is_sure_of(*cell))
            .collect();
        if counted.is_empty() {
            counted = all;
        }
        let chance: f64 = counted
            .iter()
            .map(|cell| self.model.ln_chance_of(*cell).max(by_choice(cell)))
            .sum();
        // Loss takes any cell: where many are tried, some die.
        let by_loss = counted
            .iter()
            .any(|cell| self.model.ln_chance_of(*cell) > by_choice(cell));
        let tried = if by_loss {
            self.model.matrix.round().all_tried()
        } else {
            0
        };
        chance > beyond_chance(self.looks + tried)
    }

    /// How many open cells lie at a node or between two, or may, at the most: what the places can explain that are next.
    fn most_of_smaller(&self, open: &CellSet) -> usize {
        let mut counts: QuickMap<(usize, usize), usize> = QuickMap::default();
        let (mut of_cell, mut parts) = (Vec::new(), Vec::new());
        let of_symptom = |cell: &CellIndex| self.model.symptom(*cell) == Some(self.symptom);
        for cell in open.iter().filter(of_symptom) {
            of_cell.clear();
            self.model.find_parts(cell, &mut parts);
            for (part, _) in &parts {
                let (a, b) = (part.from.0.min(part.to.0), part.from.0.max(part.to.0));
                let places = match self.looked_at {
                    LookedAt::Wide => [(a, a), (b, b)],
                    LookedAt::Nodes | LookedAt::Pairs => [(a, b), (a, b)],
                };
                for place in places {
                    if !of_cell.contains(&place) {
                        of_cell.push(place);
                    }
                }
            }
            for place in &of_cell {
                *counts.entry(*place).or_default() += 1;
            }
        }
        counts.into_values().max().unwrap_or(0)
    }

    /// Orders places that explain the same: the one that must hit more of what is open, then the one that must hit more of
    /// all, then the one that explains more, then the smaller one, then the order of families. Less is better.
    fn key(place: &Admitted, gain: usize, open: &CellSet) -> Key {
        let Hypothesis {
            scope,
            family,
            init,
            filter,
        } = &place.hypothesis;
        let must_open = place.must.iter().filter(|cell| open.contains(**cell)).count();
        // A wide place of which others explain nearly all is no better for it.
        let is_own = must_open * 4 >= place.certain || matches!(scope, Scope::Node(_) | Scope::Pair(..));
        (
            Reverse(must_open),
            Reverse(if is_own { place.certain } else { 0 }),
            Reverse(gain),
            scope.size(),
            *family,
            *init,
            *filter,
        )
    }

    fn pick(&mut self, chosen: Admitted) -> Pick {
        claim(self.model, self.claimed, &chosen.perhaps, &chosen.hypothesis);
        let mut covers = chosen.must;
        covers.extend(chosen.explains.iter().chain(&chosen.taken));
        covers.sort_unstable();
        covers.dedup();
        Pick {
            covers,
            perhaps: chosen.perhaps,
            spared: chosen.spared,
            ..Pick::of(Place::At(chosen.hypothesis), self.symptom, chosen.explains)
        }
    }
}

type Key = (
    Reverse<usize>,
    Reverse<usize>,
    Reverse<usize>,
    u8,
    Family,
    Init,
    Filter,
);

fn is_datagram_between_agents(model: &Model<'_>, cell: CellIndex) -> bool {
    matches!(model.kind(cell), ProbeKind::Icmp | ProbeKind::Udp)
        && matches!(model.target(cell), crate::Target::Agent(_))
}

fn scaled(count: usize, scale: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count times a number that is no less than one"
    )]
    let scaled = (count as f64 * scale) as usize;
    scaled
}

/// The logarithm below which a chance is not believed, where so many things are looked at.
fn beyond_chance(looks: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of cells, far below 2^52")]
    let looks = looks.max(1) as f64;
    (0.001 / looks).ln()
}
