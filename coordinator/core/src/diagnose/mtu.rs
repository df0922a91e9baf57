//! Small packets pass, large ones vanish.

use std::collections::BTreeSet;

use mesh_proto::{Cause, Confidence, ProbeKind};

use super::Draft;
use super::evidence::evidence;
use super::place::{in_words, place};
use crate::NodeIndex;
use crate::localise::{Family, Hypothesis, Model, Pick, Scope, Symptom};
use crate::round::CellIndex;

/// A path-MTU black hole.
pub(super) fn mtu(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Draft {
    let mut place = place(model, hypothesis);
    let found = |cell: &CellIndex| model.observation(*cell).and_then(|seen| seen.path_mtu);
    // On the wire itself the whole packet is seen; inside an overlay its header takes a part of it.
    let bare: Vec<CellIndex> = pick
        .explains
        .iter()
        .copied()
        .filter(|cell| model.host_to_host(*cell))
        .collect();
    let sizes_of = |cells: &[CellIndex]| -> Vec<u32> {
        let found = cells.iter().filter_map(found);
        found.map(|mtu| mtu.largest).collect()
    };
    let agreed_at = |cells: &[CellIndex]| agreed(&sizes_of(cells));
    let (vantage, mtu) = match agreed_at(&bare) {
        Some(mtu) => (&bare, Some(mtu)),
        None => (&pick.explains, agreed_at(&pick.explains)),
    };
    // One probe alone may have lost a packet; streams that stall beside it have lost none of the small ones.
    let stalled = pick
        .explains
        .iter()
        .any(|cell| model.kind(*cell) == ProbeKind::Tcp);
    let only = match sizes_of(&pick.explains).as_slice() {
        [only] if stalled => Some(*only),
        _ => None,
    };
    place.mtu = mtu.or(only);
    let tried = vantage.iter().filter_map(found).map(|mtu| mtu.tried).max();
    let at = in_words(&place);
    let sizes = match (place.mtu, tried) {
        (Some(mtu), Some(tried)) => {
            format!("packets up to {mtu} bytes pass, larger ones (the device takes {tried}) vanish")
        }
        _ => "small packets pass, large ones vanish".to_owned(),
    };
    let wanted = place.mtu.map_or_else(|| "SIZE".to_owned(), |mtu| mtu.to_string());
    // A black hole has one size. Where probes do not agree on it, large packets were lost for another reason.
    let (cause, confidence, summary) = if place.mtu.is_some() {
        (
            Cause::MtuBlackhole,
            if mtu.is_some() && is_bounded(model, pick, hypothesis) {
                Confidence::Certain
            } else {
                Confidence::Likely
            },
            format!("An MTU black hole at {at}: {sizes}, and nothing tells the sender."),
        )
    } else {
        (
            Cause::Unknown,
            Confidence::Possible,
            format!("Large packets are lost at {at}, but no two probes agree on the size that passes."),
        )
    };
    Draft {
        cause,
        confidence,
        summary,
        evidence: evidence(model, &pick.explains),
        advice: vec![
            format!(
                "Give the devices an MTU of at most {wanted} (a VXLAN device 50 less, over IPv6 70 less), or let the path carry what they send."
            ),
            "Let ICMP type 3 code 4 (IPv6: type 2) pass, so that senders learn of it.".to_owned(),
        ],
        place,
        ruled_out: Vec::new(),
        shown: false,
        at_no_place: false,
        explains: pick.explains.clone(),
    }
}

/// Black holes between two nodes that one probe alone can see, where all else of the pair is dead: so long as streams between
/// the two stall as well. And the cells that are left.
pub(super) fn between_pairs(model: &Model<'_>, pick: &Pick) -> (Vec<Draft>, Vec<CellIndex>) {
    let large = pick.explains.iter().copied();
    let large = large.filter(|cell| model.symptom(*cell) == Some(Symptom::Large));
    let mut left = pick.explains.clone();
    let mut drafts = Vec::new();
    for ((a, b), cells) in model.by_pair(large) {
        let count = |kind| cells.iter().filter(|cell| model.kind(**cell) == kind).count();
        if count(ProbeKind::PathMtu) == 0 || count(ProbeKind::Tcp) == 0 {
            continue;
        }
        let hypothesis = Hypothesis::whole(Scope::Pair(a, b), Family::Wire);
        left.retain(|cell| !cells.contains(cell));
        let mut of_pair = pick.clone();
        of_pair.explains = cells;
        let draft = mtu(model, &of_pair, &hypothesis);
        let confidence = match draft.confidence {
            Confidence::Certain => Confidence::Likely,
            other => other,
        };
        drafts.push(Draft { confidence, ..draft });
    }
    (drafts, left)
}

/// Whether large packets are known to pass beside the place, so that it is no larger; and whether it is seen from more than one
/// side, so that it is no smaller. Where other faults keep the cells around it dead, neither can be told.
fn is_bounded(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> bool {
    let nodes = model.matrix.round().roster().nodes.len();
    if nodes < 3 {
        return true;
    }
    let passes = |is_near: &dyn Fn(NodeIndex, NodeIndex) -> bool| {
        model.cells().any(|cell| {
            let (Some(from), Some(to)) = model.nodes(cell) else {
                return false;
            };
            from != to
                && model.kind(cell) == ProbeKind::PathMtu
                && model.observed(cell)
                && model.symptom(cell).is_none()
                && is_near(from, to)
        })
    };
    match &hypothesis.scope {
        Scope::Pair(a, b) => [(*a, *b), (*b, *a)].into_iter().all(|(end, other)| {
            passes(&|from, to| (from == end || to == end) && from != other && to != other)
        }),
        Scope::Node(node) => {
            let ends = pick.explains.iter().map(|cell| model.nodes(*cell));
            let peers: BTreeSet<NodeIndex> = ends
                .filter_map(|(from, to)| if from? == *node { to } else { from })
                .filter(|peer| peer != node)
                .collect();
            peers.len() != 1 && passes(&|from, to| from != *node && to != *node)
        }
        Scope::Group(_) | Scope::OwnNode | Scope::OtherNodes | Scope::Cluster => true,
    }
}

/// The smallest size that two probes and a quarter of them found.
fn agreed(sizes: &[u32]) -> Option<u32> {
    let found_by = |size: u32| sizes.iter().filter(|other| **other == size).count();
    let agreed = sizes
        .iter()
        .copied()
        .filter(|size| found_by(*size) >= 2 && found_by(*size) * 4 >= sizes.len());
    agreed.min()
}

#[cfg(test)]
#[path = "mtu_tests.rs"]
mod tests;
