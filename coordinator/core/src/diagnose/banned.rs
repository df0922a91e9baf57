//! Rules of a node's own firewall that stop whatever it and a peer send each other, as a tool that bans addresses writes them.
//! Such a rule shows at several places at once, since it stops what is encapsulated as well.

use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::{Cause, Confidence, Direction, NodeName, Where};

use super::Draft;
use super::evidence::evidence;
use super::kernel::{Way, ban, is_encapsulated, stops_itself};
use super::place::{list, node_name};
use super::scene::{removal, says};
use super::side_effects::may_pass_between;
use crate::NodeIndex;
use crate::localise::{Model, Pick, Place, Symptom};
use crate::netfilter::Stop;
use crate::round::{CellIndex, Target};

/// More pairs than this are no matter of bans.
const MOST_PAIRS: usize = 256;

type Pair = (NodeIndex, NodeIndex);

/// A rule that stops what comes from a peer, or goes to it.
struct Ban<'a> {
    at: NodeIndex,
    peer: NodeIndex,
    way: Way,
    stop: Stop<'a>,
}

impl Ban<'_> {
    fn pair(&self) -> Pair {
        (self.at.min(self.peer), self.at.max(self.peer))
    }

    /// From whom to whom nothing passes.
    fn direction(&self) -> Pair {
        match self.way {
            Way::In => (self.peer, self.at),
            Way::Out => (self.at, self.peer),
        }
    }
}

/// Which fault a pair's bans are: one for each node that refuses, or one where nothing passes either way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Refuses(NodeIndex, Direction),
    CutOff(Pair),
}

/// Takes cells that such rules stop out of their places, and names the rules.
pub(super) fn named(model: &Model<'_>, picks: &mut [Pick]) -> Vec<Draft> {
    let mut by_pair: BTreeMap<Pair, Vec<Ban<'_>>> = BTreeMap::new();
    for ban in bans(model, picks) {
        by_pair.entry(ban.pair()).or_default().push(ban);
    }
    if by_pair.is_empty() {
        return Vec::new();
    }
    let mut taken: BTreeMap<Fault, Vec<CellIndex>> = BTreeMap::new();
    for pick in picks.iter_mut() {
        let of = |cell: &CellIndex| {
            by_pair
                .iter()
                .find(|(pair, bans)| is_stopped(model, *cell, **pair) || is_inside(model, *cell, bans))
                .map(|(_, bans)| fault_of(bans))
        };
        let stopped = pick.explains.iter().filter(|cell| of(cell).is_some()).count();
        let is_all_its = match pick.place {
            Place::Down(_) => false,
            Place::Nowhere => stopped > 0,
            Place::At(_) => stopped > 0 && stopped * 20 >= pick.explains.len() * 19,
        };
        if is_all_its {
            pick.explains.retain(|cell| match of(cell) {
                Some(fault) => {
                    taken.entry(fault).or_default().push(*cell);
                    false
                }
                None => true,
            });
        }
    }
    let all: Vec<&Ban<'_>> = by_pair.values().flatten().collect();
    let drafts = taken.into_iter();
    drafts
        .map(|(fault, cells)| draft(model, &fault, cells, &all))
        .collect()
}

/// The bans between pairs that have cells which do not pass. One that passes what it would stop is none.
fn bans<'a>(model: &Model<'a>, picks: &[Pick]) -> Vec<Ban<'a>> {
    let places = picks
        .iter()
        .filter(|pick| !matches!(pick.place, Place::Down(_)) && pick.symptom != Symptom::Large);
    let cells: BTreeSet<CellIndex> = places.flat_map(|pick| pick.explains.iter().copied()).collect();
    let pairs: Vec<Pair> = model.by_pair(cells).into_keys().collect();
    if pairs.len() > MOST_PAIRS {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (a, b) in pairs {
        for (at, peer) in [(a, b), (b, a)] {
            for way in [Way::In, Way::Out] {
                let Some(stop) = ban(model, at, peer, way) else {
                    continue;
                };
                let ban = Ban { at, peer, way, stop };
                if !is_passed(model, ban.direction()) {
                    found.push(ban);
                }
            }
        }
    }
    found
}

/// Whether something passed from one node's own address to another's.
fn is_passed(model: &Model<'_>, (from, to): Pair) -> bool {
    model.cells().any(|cell| {
        model.nodes(cell) == (Some(from), Some(to))
            && model.host_to_host(cell)
            && model.observed(cell)
            && model.judged(cell).came_through()
    })
}

/// Whether what is stopped between two nodes may be what ails a cell.
fn is_stopped(model: &Model<'_>, cell: CellIndex, (a, b): Pair) -> bool {
    match model.nodes(cell) {
        (Some(from), Some(to)) => {
            (from.min(to), from.max(to)) == (a, b)
                && (is_encapsulated(model, a) || !model.is_between_pods(cell))
        }
        _ => !matches!(model.target(cell), Target::Loopback) && may_pass_between(model, cell, a, b),
    }
}

/// Whether a cell has to do with a node that drops even what it sends to itself.
fn is_inside(model: &Model<'_>, cell: CellIndex, bans: &[Ban<'_>]) -> bool {
    let touches = |at: NodeIndex| {
        let parts = model.parts_of(cell);
        parts.iter().any(|(part, _)| part.from == at || part.to == at)
    };
    bans.iter()
        .any(|ban| ban.way == Way::In && touches(ban.at) && stops_itself(model, ban.at, &ban.stop))
}

fn fault_of(bans: &[Ban<'_>]) -> Fault {
    // A pair has a ban, or it would not be here.
    let first = &bans[0];
    if bans.iter().any(|ban| ban.direction() != first.direction()) {
        return Fault::CutOff(first.pair());
    }
    let direction = match first.way {
        Way::In => Direction::Ingress,
        Way::Out => Direction::Egress,
    };
    Fault::Refuses(first.at, direction)
}

fn draft(model: &Model<'_>, fault: &Fault, cells: Vec<CellIndex>, all: &[&Ban<'_>]) -> Draft {
    let is_of = |ban: &&&Ban<'_>| match fault {
        Fault::Refuses(at, direction) => {
            let way = if *direction == Direction::Ingress {
                Way::In
            } else {
                Way::Out
            };
            (ban.at, ban.way) == (*at, way)
        }
        Fault::CutOff(pair) => ban.pair() == *pair,
    };
    let bans: Vec<&&Ban<'_>> = all.iter().filter(is_of).collect();
    let mut peers: Vec<NodeName> = bans.iter().map(|ban| node_name(model, ban.peer)).collect();
    peers.sort();
    peers.dedup();
    let peers = list(&peers);
    let overlay = if bans.iter().any(|ban| is_encapsulated(model, ban.at)) {
        ", what the overlay carries included"
    } else {
        ""
    };
    let rejects = bans.iter().any(|ban| ban.stop.rejects());
    let does = if rejects { "rejects" } else { "drops" };
    let (cause, place, summary) = match fault {
        Fault::Refuses(at, direction) => {
            let at = node_name(model, *at);
            let (cause, summary) = match direction {
                Direction::Egress => (
                    Cause::LocalEgressBlocked,
                    format!(
                        "The kernel of {at} refuses to send to {peers}: its own firewall {does} whatever goes there."
                    ),
                ),
                _ => (
                    Cause::OneWayLoss,
                    format!("The firewall of {at} {does} whatever comes from {peers}{overlay}."),
                ),
            };
            let place = Where {
                nodes: vec![at],
                direction: Some(*direction),
                loss: (cause == Cause::OneWayLoss).then_some(1.0),
                ..Where::default()
            };
            (cause, place, summary)
        }
        Fault::CutOff((a, b)) => {
            let (a, b) = (node_name(model, *a), node_name(model, *b));
            let done = if rejects { "rejected" } else { "dropped" };
            let summary = format!(
                "{a} and {b} are cut off from each other: by rules of their own what goes either way is {done}."
            );
            let place = Where {
                pairs: vec![(a, b)],
                ..Where::default()
            };
            (Cause::NodePartitioned, place, summary)
        }
    };
    let mut words: Vec<String> = bans.iter().map(|ban| says(model, ban.at, &ban.stop)).collect();
    words.dedup();
    // The last of a chain first: what is deleted changes the numbers of those behind it.
    let mut from_last = bans.clone();
    from_last.sort_by_key(|ban| (ban.at, std::cmp::Reverse(ban.stop.rule.map(|(place, _)| place))));
    let mut advice: Vec<String> = from_last
        .iter()
        .filter_map(|ban| removal(model, ban.at, &ban.stop))
        .collect();
    advice.dedup();
    advice.push("Who wrote it may write it again: look at what bans addresses there (fail2ban, crowdsec, a configuration of nftables, firewalld or ufw).".to_owned());
    words.extend(evidence(model, &cells));
    Draft {
        cause,
        place,
        confidence: Confidence::Certain,
        summary,
        evidence: words,
        advice,
        ruled_out: Vec::new(),
        shown: true,
        at_no_place: false,
        explains: cells,
    }
}

#[cfg(test)]
#[path = "banned_tests.rs"]
mod tests;
