//! Small packets pass, large ones vanish.

use mesh_proto::{Cause, Confidence};

use super::Draft;
use super::evidence::evidence;
use super::place::{in_words, place};
use crate::localise::{Hypothesis, Model, Pick};
use crate::round::CellIndex;

/// A path-MTU black hole.
pub(super) fn mtu(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Draft {
    let mut place = place(model, hypothesis);
    let found = |cell: &CellIndex| {
        model.matrix.observations()[cell.0]
            .as_ref()
            .and_then(|seen| seen.path_mtu)
    };
    // On the wire itself the whole packet is seen; inside an overlay its header takes a part of it.
    let bare: Vec<CellIndex> = pick
        .explains
        .iter()
        .copied()
        .filter(|cell| model.host_to_host(*cell))
        .collect();
    let vantage = if bare.is_empty() { &pick.explains } else { &bare };
    place.mtu = vantage.iter().filter_map(found).map(|mtu| mtu.largest).min();
    let tried = vantage.iter().filter_map(found).map(|mtu| mtu.tried).max();
    let at = in_words(&place);
    let sizes = match (place.mtu, tried) {
        (Some(mtu), Some(tried)) => {
            format!("packets up to {mtu} bytes pass, larger ones (the device takes {tried}) vanish")
        }
        _ => "small packets pass, large ones vanish".to_owned(),
    };
    let wanted = place.mtu.map_or_else(|| "SIZE".to_owned(), |mtu| mtu.to_string());
    Draft {
        cause: Cause::MtuBlackhole,
        confidence: if place.mtu.is_some() {
            Confidence::Certain
        } else {
            Confidence::Possible
        },
        summary: format!("An MTU black hole at {at}: {sizes}, and nothing tells the sender."),
        evidence: evidence(model, &pick.explains),
        advice: vec![
            format!(
                "Give the devices an MTU of at most {wanted} (a VXLAN device 50 less), or let the path carry what they send."
            ),
            "Let ICMP type 3 code 4 (IPv6: type 2) pass, so that senders learn of it.".to_owned(),
        ],
        place,
        explains: pick.explains.clone(),
    }
}
