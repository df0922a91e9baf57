//! One protocol is dropped, the others pass.

use mesh_proto::{Cause, Confidence};

use super::Draft;
use super::evidence::evidence;
use super::place::{in_words, place, where_to_look};
use crate::localise::{Hypothesis, Model, Pick, protocol_of};

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
    let sure = of_protocol >= 2 && pick.spared == 0;
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
