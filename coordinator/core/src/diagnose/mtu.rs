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
    let sizes_of = |cells: &[CellIndex]| -> Vec<u32> {
        let found = cells.iter().filter_map(found);
        found.map(|mtu| mtu.largest).collect()
    };
    let agreed_at = |cells: &[CellIndex]| agreed(&sizes_of(cells));
    let (vantage, mtu) = match agreed_at(&bare) {
        Some(mtu) => (&bare, Some(mtu)),
        None => (&pick.explains, agreed_at(&pick.explains)),
    };
    place.mtu = mtu;
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
            Confidence::Certain,
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
        explains: pick.explains.clone(),
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
