//! One protocol is dropped, the others pass.

use std::collections::BTreeSet;

use mesh_proto::{Cause, Confidence};

use super::Draft;
use super::evidence::evidence;
use super::place::{in_words, place, where_to_look};
use crate::localise::{Filter, Hypothesis, Model, Pick, protocol_of};
use crate::round::CellIndex;

/// A place that spares the other protocols.
pub(super) fn protocol(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Draft {
    let place = place(model, hypothesis);
    let at = in_words(&place);
    let whereabouts = where_to_look(&place);
    let name = hypothesis
        .filter
        .protocol
        .map(mesh_proto::Protocol::meaning)
        .unwrap_or_default();
    // A port that one service lacks is no filtered protocol: more than one cell, and none of that protocol well there.
    let of_protocol = pick
        .explains
        .iter()
        .filter(|cell| Some(protocol_of(model.kind(**cell))) == hypothesis.filter.protocol)
        .count();
    let sure = of_protocol >= 2 && pick.spared == 0 && others_pass(model, pick, hypothesis);
    Draft {
        cause: if sure {
            Cause::ProtocolFiltered
        } else {
            Cause::Unknown
        },
        place,
        confidence: if sure {
            Confidence::Likely
        } else {
            Confidence::Possible
        },
        summary: if sure {
            format!("{name} is dropped at {at}, other protocols pass.")
        } else {
            format!("{name} fails at {at} for some targets, other protocols pass.")
        },
        evidence: evidence(model, &pick.explains),
        advice: vec![format!(
            "{1}: iptables-save | grep -i -- '-p {0}'; nft list ruleset | grep -n {0}",
            name.to_ascii_lowercase(),
            whereabouts
        )],
        explains: pick.explains.clone(),
    }
}

/// Whether most of what crosses the place by other protocols comes through; else it is no filter.
fn others_pass(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> bool {
    let explained: BTreeSet<CellIndex> = pick.explains.iter().copied().collect();
    let crossing = model.crossing(
        hypothesis.family,
        &hypothesis.scope,
        hypothesis.init,
        Filter {
            protocol: None,
            ..hypothesis.filter
        },
    );
    let others = crossing
        .into_iter()
        .filter(|(cell, certain)| *certain && model.observed(*cell) && !explained.contains(cell))
        .map(|(cell, _)| cell)
        .filter(|cell| Some(protocol_of(model.kind(*cell))) != hypothesis.filter.protocol);
    let (passing, failing): (Vec<_>, Vec<_>) = others.partition(|cell| model.judged(*cell).came_through());
    passing.len() >= failing.len().max(1)
}
