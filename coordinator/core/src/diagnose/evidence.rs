//! What was seen, in words a tired person understands.

use std::collections::BTreeMap;

use mesh_proto::{IcmpError, Plane, ProbeKind, Reason, TargetKind};

use crate::localise::Model;
use crate::round::{CellIndex, Target};

/// What was seen of a cell: the reason, and the ICMP type and code.
type Sight = (Option<Reason>, Option<(u8, u8)>);

/// Sentences that quote the cells a place explains: how many, what was seen, and an example of each kind of it.
pub(super) fn evidence(model: &Model<'_>, cells: &[CellIndex]) -> Vec<String> {
    const KINDS_SHOWN: usize = 4;
    let all_cells = cells;
    let mut by_sight: BTreeMap<Sight, Vec<CellIndex>> = BTreeMap::new();
    for cell in cells {
        let icmp = icmp(model, *cell).map(|icmp| (icmp.kind, icmp.code));
        by_sight
            .entry((model.judged(*cell).seen(), icmp))
            .or_default()
            .push(*cell);
    }
    let mut sights: Vec<_> = by_sight.into_values().collect();
    // What a kernel or a firewall said of itself tells more than silence, unless hardly any cell heard it.
    let is_said =
        |cells: &[CellIndex]| icmp(model, cells[0]).is_some() && cells.len() * 10 >= all_cells.len();
    sights.sort_by_key(|cells| std::cmp::Reverse((is_said(cells), cells.len())));
    let shown = sights.iter().take(KINDS_SHOWN).map(|cells| {
        let number = cells.len();
        let simplest = cells
            .iter()
            .copied()
            .min_by_key(|cell| simplicity(model, *cell))
            .unwrap_or(cells[0]);
        let sight = sight(model, simplest);
        let all = match number {
            _ if !model.holds_all() => format!("{number} of the {} cells looked at closely", all_cells.len()),
            1 => "1 cell".to_owned(),
            _ => format!("{number} cells"),
        };
        format!("{all}: {sight}; for example {}", example(model, simplest))
    });
    shown.collect()
}

/// The simpler the way the lower: what goes from pod to pod, between nodes, then by services; and what is easily tried again.
fn simplicity(model: &Model<'_>, cell: CellIndex) -> (u8, u8) {
    let way = match (model.target(cell), model.plane_from(cell), model.plane_to(cell)) {
        (Target::Agent(_), Some(Plane::Pod), Some(Plane::Pod)) => 0,
        (Target::Agent(_), Some(Plane::Host), Some(Plane::Host)) => 1,
        (Target::Agent(_) | Target::Loopback, ..) => 2,
        (Target::DnsEndpoint(_), ..) => 3,
        (Target::Api, ..) => 4,
        (
            Target::Dns {
                as_application: false,
            },
            ..,
        ) => 5,
        (Target::NodePort { .. }, ..) => 6,
        (Target::Dns { as_application: true }, ..) => 7,
    };
    let probe = match model.kind(cell) {
        ProbeKind::Icmp => 0,
        ProbeKind::Tcp => 1,
        ProbeKind::Udp | ProbeKind::DnsUdp => 2,
        ProbeKind::DnsTcp | ProbeKind::Tls => 3,
        ProbeKind::PathMtu => 4,
    };
    (way, probe)
}

/// The ICMP error that a cell got.
pub(super) fn icmp(model: &Model<'_>, cell: CellIndex) -> Option<IcmpError> {
    model.failure(cell)?.icmp
}

/// One cell in words: who, whom, how.
pub(super) fn example(model: &Model<'_>, cell: CellIndex) -> String {
    let planned = model.cell(cell);
    let roster = model.matrix.round().roster();
    let from = roster
        .agent(planned.from)
        .map(|agent| agent.key.to_string())
        .unwrap_or_default();
    let to = match planned.target {
        Target::Agent(to) => roster
            .agent(to)
            .map(|agent| agent.key.to_string())
            .unwrap_or_default(),
        Target::Loopback => TargetKind::Loopback.name().to_owned(),
        Target::Api => "the API service".to_owned(),
        Target::Dns {
            as_application: false,
        } => "the DNS service".to_owned(),
        Target::Dns { as_application: true } => "the DNS service by resolv.conf".to_owned(),
        Target::DnsEndpoint(_) => "the DNS endpoint".to_owned(),
        Target::NodePort { node, .. } => format!("the NodePort of {}", roster.node_name(node)),
    };
    let address = planned
        .address
        .map(|address| address.to_string())
        .unwrap_or_default();
    let port = if planned.port.0 == 0 {
        String::new()
    } else {
        format!(" port {}", planned.port)
    };
    let seen = model.observation(cell);
    let tries = seen
        .map(|seen| format!(": {} of {} came back", seen.received, seen.sent))
        .unwrap_or_default();
    format!("{from} to {to} {address}{port} by {}{tries}", planned.kind)
}

fn sight(model: &Model<'_>, cell: CellIndex) -> String {
    let seen = model.observation(cell);
    let failure = model.failure(cell);
    let detail = failure.and_then(|failure| failure.detail.as_deref());
    let local = failure.and_then(|failure| failure.local.as_ref());
    let words = match (model.judged(cell).seen(), icmp(model, cell)) {
        (Some(reason), Some(icmp)) => {
            format!(
                "{} (ICMP {}/{} from {})",
                reason.meaning(),
                icmp.kind,
                icmp.code,
                icmp.from
            )
        }
        (Some(Reason::Timeout), None) if model.kind(cell) == ProbeKind::PathMtu => {
            let mtu = seen.as_ref().and_then(|seen| seen.path_mtu);
            mtu.map_or_else(
                || Reason::Timeout.meaning().to_owned(),
                |mtu| {
                    format!(
                        "packets of {} bytes pass, of {} bytes vanish, and no ICMP error says so",
                        mtu.largest, mtu.tried
                    )
                },
            )
        }
        (Some(reason), None) => reason.meaning().to_owned(),
        (None, _) => seen
            .map(|seen| {
                let lost = seen.sent - seen.received;
                format!(
                    "{lost} of {} lost, {} answered only after a resend",
                    seen.sent, seen.resent
                )
            })
            .unwrap_or_default(),
    };
    match (local, detail) {
        (Some(local), _) => format!("{words}: {} gave errno {}", local.call, local.errno),
        (None, Some(detail)) => format!("{words}: {detail}"),
        (None, None) => words,
    }
}
