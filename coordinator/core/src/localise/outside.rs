//! Cells outside the sketch: which of the places that were found in it explains each. They are counted, not listed.
//!
//! A node that no place names is like every other such node, so that it is decided once for all cells that ask the same between
//! such nodes, or between one of them and a node that is named.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::{AgentIndex, CellState, ProbeKind};

use super::cover::{Pick, Place};
use super::crossing::{crosses, passes};
use super::family::Scope;
use super::hypothesis::Hypothesis;
use super::model::Model;
use super::survey::SYMPTOMS;
use super::symptom::{Symptom, of_outcome};
use crate::NodeIndex;
use crate::judge::Noted;
use crate::mixing::QuickMap;
use crate::round::{KINDS, Layout, Target};
use crate::verdict::is_excused;

/// What no place explains outside the sketch.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// How many cells failed.
    pub(crate) failed: usize,
    /// How many came through, if badly.
    pub(crate) degraded: usize,
    /// By node: how many dead cells it is an end of.
    dead_at: BTreeMap<NodeIndex, usize>,
}

impl Rest {
    /// Nodes that are worth a look, since much is dead there that nothing explains.
    pub(super) fn missed(&self) -> Vec<NodeIndex> {
        const MUCH: usize = 4;
        const MOST: usize = 24;
        let mut missed: Vec<(usize, NodeIndex)> = self
            .dead_at
            .iter()
            .filter(|(_, dead)| **dead >= MUCH)
            .map(|(node, dead)| (*dead, *node))
            .collect();
        missed.sort_by_key(|(dead, node)| (std::cmp::Reverse(*dead), *node));
        missed.into_iter().take(MOST).map(|(_, node)| node).collect()
    }
}

/// How cells are alike: the nodes that are named at their ends, what is asked, and how it shows.
type Alike = (u16, u16, u8, u64, Symptom);

/// Counts with each place what it explains outside the sketch.
pub(super) fn count(model: &Model<'_>, picks: &mut [Pick]) -> Rest {
    let whole = model.matrix.round().layout();
    let mut named = vec![0_u16; whole.nodes()];
    for (number, node) in (1..).zip(named_by(picks, whole)) {
        named[node.0] = number;
    }
    let mut owners: QuickMap<Alike, Option<usize>> = QuickMap::default();
    let mut between = Between::new(named.iter().copied().max().unwrap_or(0));
    let mut rest = Rest::default();
    let mut more = vec![(0_usize, false); picks.len()];
    model.judge.each_noted(|noted| {
        let outcome = model.matrix.seen().outcome(noted.outcome);
        let Some(symptom) = of_outcome(outcome, noted.judged) else {
            return;
        };
        let (target, kind) = whole.asked(rank(whole, noted.from), noted.place);
        if model.layout.holds(noted.from, target)
            || symptom == Symptom::Partial && model.judge.loses_by_itself(noted.from, target, outcome)
        {
            return;
        }
        let mut look_up = || {
            let alike = alike(whole, &named, noted, target, kind, symptom);
            let owner = || owner(model, picks, noted.from, target, kind, symptom);
            *owners.entry(alike).or_insert_with(owner)
        };
        let owner = match between.of(whole, &named, noted, target, symptom) {
            Some(Owner::Is(known)) => *known,
            Some(unknown) => {
                let found = look_up();
                *unknown = Owner::Is(found);
                found
            }
            None => look_up(),
        };
        let is_failed = noted.judged.state == CellState::Failed;
        if let Some(pick) = owner {
            more[pick].0 += 1;
            more[pick].1 |= is_failed && !more[pick].1 && !is_excused(model.judge, noted.cell);
            return;
        }
        rest.failed += usize::from(is_failed);
        rest.degraded += usize::from(!is_failed);
        if symptom != Symptom::Partial
            && let (Some(from), Some(to)) = whole.ends(noted.from, target)
        {
            *rest.dead_at.entry(from).or_default() += 1;
            *rest.dead_at.entry(to).or_default() += 1;
        }
    });
    for (pick, (more, red)) in picks.iter_mut().zip(more) {
        (pick.more, pick.more_is_red) = (more, red);
    }
    rest
}

/// Owners of cells between agents on two nodes, by all that makes these alike: most of what is ill, and no hash is needed for it.
struct Between {
    /// So many nodes are named; the rest counts as one.
    names: usize,
    owners: Vec<Owner>,
}

/// The pick that explains a cell.
#[derive(Debug, Clone, Copy)]
enum Owner {
    NotLookedUp,
    /// `None` where no pick does.
    Is(Option<usize>),
}

impl Between {
    /// Where more nodes are named, there is no room to have them side by side.
    const MOST: u16 = 63;

    fn new(names: u16) -> Self {
        let names = if names > Self::MOST {
            0
        } else {
            1 + usize::from(names)
        };
        Self {
            names,
            owners: vec![Owner::NotLookedUp; names * names * 4 * KINDS.len() * SYMPTOMS],
        }
    }

    /// Where the owner of cells like this one is kept.
    fn of(
        &mut self,
        whole: &Layout,
        named: &[u16],
        noted: Noted,
        target: Target,
        symptom: Symptom,
    ) -> Option<&mut Owner> {
        let Target::Agent(to) = target else { return None };
        let (from, to) = (whole.source(noted.from)?, whole.source(to)?);
        if self.names == 0 || from.node == to.node {
            return None;
        }
        let name = |node: NodeIndex| usize::from(named[node.0]);
        let nodes = name(from.node) * self.names + name(to.node);
        let planes = 2 * from.plane as usize + to.plane as usize;
        let how = (noted.place % KINDS.len()) * SYMPTOMS + symptom as usize;
        self.owners
            .get_mut((nodes * 4 + planes) * KINDS.len() * SYMPTOMS + how)
    }
}

fn rank(layout: &Layout, from: AgentIndex) -> usize {
    layout.source(from).map_or(0, |source| source.rank)
}

/// Nodes that differ from others for the places: those that they are at, and those that serve.
fn named_by(picks: &[Pick], layout: &Layout) -> BTreeSet<NodeIndex> {
    let mut named = BTreeSet::new();
    for pick in picks {
        match &pick.place {
            Place::Down(node) => _ = named.insert(*node),
            Place::At(place) => match &place.scope {
                Scope::Node(node) => _ = named.insert(*node),
                Scope::Pair(a, b) => named.extend([*a, *b]),
                Scope::Group(nodes) => named.extend(nodes),
                Scope::OwnNode | Scope::OtherNodes | Scope::Cluster => {}
            },
            Place::Nowhere => {}
        }
    }
    // Where every node serves, none of them differs by that.
    let serving: BTreeSet<NodeIndex> = layout
        .api
        .iter()
        .chain(layout.dns.iter().flatten())
        .chain(layout.backends.iter().flat_map(|(nodes, _)| nodes))
        .copied()
        .collect();
    if serving.len() * 4 <= layout.nodes() {
        named.extend(serving);
    }
    named
}

fn alike(
    whole: &Layout,
    named: &[u16],
    noted: Noted,
    target: Target,
    kind: ProbeKind,
    symptom: Symptom,
) -> Alike {
    let Some(source) = whole.source(noted.from) else {
        return (0, 0, 0, 0, symptom);
    };
    let (from, from_plane) = (source.node, source.plane as u8);
    let (to, what) = match target {
        Target::Agent(to) => match whole.source(to) {
            Some(there) => (Some(there.node), 1 + there.plane as u64),
            None => (None, 0),
        },
        Target::NodePort { service, node } => (Some(node), 3 + service as u64),
        // What is asked by all alike has one place in all rows.
        _ => (None, 1 << 32 | (noted.place - whole.to_agents()) as u64),
    };
    let own = u8::from(to == Some(from));
    let to = to.map_or(0, |node| named[node.0]);
    (
        named[from.0],
        to,
        2 * from_plane + own,
        what << 4 | kind as u64,
        symptom,
    )
}

/// The place that explains a cell, as the cover would choose it.
fn owner(
    model: &Model<'_>,
    picks: &[Pick],
    from: AgentIndex,
    target: Target,
    kind: ProbeKind,
    symptom: Symptom,
) -> Option<usize> {
    let layout = model.matrix.round().layout();
    let source = layout.source(from)?;
    let crosses = |place: &Hypothesis| {
        passes(kind, source.plane, place.filter)
            .then(|| crosses(layout, from, target, place))
            .flatten()
    };
    // What must cross a place, then what may; places that show the same before others.
    let mut best: Option<((u8, bool, f64), usize)> = None;
    for (number, pick) in picks.iter().enumerate() {
        let (fits, certain, share) = match &pick.place {
            Place::Down(node) => {
                let places = Hypothesis::of_dead_node(*node);
                match places.iter().filter_map(crosses).max() {
                    Some(certain) => (3, certain, 0.0),
                    None => continue,
                }
            }
            Place::At(place) => {
                let Some(certain) = crosses(place) else { continue };
                let share = model.site(place).map_or(0.0, |site| site.share);
                match (symptom, pick.symptom) {
                    (symptom, of_pick) if symptom == of_pick => (2, certain, share),
                    // Chance takes whole cells where a share is lost, and a dead place loses a share of what services send.
                    (_, Symptom::Partial) => (1, certain, share),
                    (Symptom::Partial, Symptom::Dead) if !certain => (1, certain, share),
                    _ => continue,
                }
            }
            Place::Nowhere => (0, false, 0.0),
        };
        let key = (fits, certain, share);
        if best.is_none_or(|(known, _)| key > known) {
            best = Some((key, number));
        }
    }
    best.map(|(_, number)| number)
}
