//! Endpoints of which every query must be sent again: no chance makes that, and no share of loss.

use mesh_proto::{Cause, CellState, Confidence, ProbeKind, Protocol, Where};

use super::Draft;
use super::evidence::evidence;
use super::loss::ADVICE_SLOW;
use crate::NodeIndex;
use crate::localise::{Model, Pick, Place, Scope, Symptom, protocol_of};
use crate::round::{CellIndex, Target};

/// Fewer cells than these are no rule.
const LEAST: usize = 3;

/// Takes the cells of such endpoints out of places that are wider or none, where two slow endpoints hide each other, and names
/// them.
pub(super) fn slow_endpoints(model: &Model<'_>, picks: &mut [Pick]) -> Vec<Draft> {
    let endpoints = model.matrix.round().roster().cluster.dns.iter();
    let mut drafts = Vec::new();
    for (number, endpoint) in endpoints.flat_map(|dns| dns.endpoints.iter().enumerate()) {
        let Some(home) = model.matrix.round().roster().node_index(&endpoint.node) else {
            continue;
        };
        let slow: Vec<CellIndex> = [ProbeKind::DnsUdp, ProbeKind::DnsTcp]
            .into_iter()
            .flat_map(|kind| always_resent(model, number, home, kind))
            .collect();
        let mut taken = Vec::new();
        for pick in picks.iter_mut().filter(|pick| !is_at(pick, home)) {
            let (theirs, left) = pick.explains.iter().partition(|cell| slow.contains(cell));
            pick.explains = left;
            taken.extend::<Vec<CellIndex>>(theirs);
        }
        if taken.is_empty() {
            continue;
        }
        let mut protocols: Vec<Protocol> = taken.iter().map(|cell| protocol_of(model.kind(*cell))).collect();
        protocols.dedup();
        drafts.push(Draft {
            cause: Cause::Slow,
            place: Where {
                nodes: vec![endpoint.node.clone()],
                endpoint: Some(endpoint.address),
                protocol: protocols.first().copied().filter(|_| protocols.len() == 1),
                ..Where::default()
            },
            confidence: Confidence::Likely,
            summary: format!(
                "The DNS endpoint {} on {} answers nobody before the query was sent again.",
                endpoint.address, endpoint.node
            ),
            evidence: evidence(model, &taken),
            advice: vec![ADVICE_SLOW.to_owned()],
            ruled_out: Vec::new(),
            shown: false,
            at_no_place: false,
            explains: taken,
        });
    }
    drafts
}

/// Whether a pick speaks of this node already, or of cells that are not merely late.
fn is_at(pick: &Pick, node: NodeIndex) -> bool {
    match &pick.place {
        Place::Nowhere => false,
        Place::Down(_) => true,
        Place::At(hypothesis) => pick.symptom != Symptom::Partial || hypothesis.scope == Scope::Node(node),
    }
}

/// Cells that ask the endpoint from other nodes, where nearly each of them was answered to the second query only.
fn always_resent(model: &Model<'_>, number: usize, home: NodeIndex, kind: ProbeKind) -> Vec<CellIndex> {
    let cells = model.cells().filter(|cell| {
        model.target(*cell) == Target::DnsEndpoint(number)
            && model.kind(*cell) == kind
            && model.observed(*cell)
            && model.nodes(*cell).0 != Some(home)
    });
    let all: Vec<CellIndex> = cells.collect();
    let is_resent = |cell: &CellIndex| {
        let seen = model.observation(*cell);
        model.judged(*cell).state == CellState::Degraded
            && seen.is_some_and(|seen| seen.resent > 0 && seen.resent >= seen.received)
    };
    let resent: Vec<CellIndex> = all.iter().copied().filter(is_resent).collect();
    if resent.len() >= LEAST && resent.len() * 10 >= all.len() * 9 {
        resent
    } else {
        Vec::new()
    }
}

#[cfg(test)]
#[path = "resent_tests.rs"]
mod tests;
