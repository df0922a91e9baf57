//! Places in words: where a finding is, what a cell goes from and to.

use std::fmt::Write;

use mesh_proto::{Cause, Cell, CellState, Direction, Finding, Plane, TargetKind, To};

use super::plain::{count, plain, some_of};
use super::reason::readable;

/// More names than these in one line help nobody.
const NAMES_SHOWN: usize = 6;
/// Nor more pairs, which are twice as long.
const PAIRS_SHOWN: usize = 3;

/// Where a finding is: `worker-2, pod network, coming in`.
pub(crate) fn place(finding: &Finding) -> String {
    let place = &finding.place;
    let mut parts = Vec::new();
    if !place.nodes.is_empty() {
        let names = some_of(place.nodes.iter().map(|name| plain(name.as_str())), NAMES_SHOWN);
        parts.push(match place.nodes.len() {
            0..=NAMES_SHOWN => names,
            all => format!("{}: {names}", count(all, "node")),
        });
    }
    if !place.pairs.is_empty() {
        let pairs = place
            .pairs
            .iter()
            .map(|(from, to)| format!("{} to {}", plain(from.as_str()), plain(to.as_str())));
        let names = some_of(pairs, PAIRS_SHOWN);
        parts.push(match place.pairs.len() {
            0..=PAIRS_SHOWN => names,
            all => format!("{}: {names}", count(all, "pair")),
        });
    }
    if parts.is_empty() {
        parts.push("the whole cluster".to_owned());
    }
    if let Some(plane) = place.plane {
        parts.push(
            match plane {
                _ if matches!(finding.cause, Cause::LoopbackSource | Cause::LoopbackDown) => "loopback",
                Plane::Pod => "pod network",
                Plane::Host => "node network",
            }
            .to_owned(),
        );
    }
    if let Some(direction) = place.direction {
        parts.push(
            match direction {
                Direction::Ingress => "coming in",
                Direction::Egress => "going out",
                Direction::Both => "both ways",
            }
            .to_owned(),
        );
    }
    match (place.protocol, place.port) {
        (Some(protocol), Some(port)) => parts.push(format!("{} port {}", protocol.meaning(), port.0)),
        (Some(protocol), None) => parts.push(protocol.meaning().to_owned()),
        (None, Some(port)) => parts.push(format!("port {}", port.0)),
        (None, None) => {}
    }
    let addresses = [
        ("service", place.service),
        ("endpoint", place.endpoint),
        ("address", place.address),
    ];
    for (what, address) in addresses {
        parts.extend(address.map(|address| format!("{what} {address}")));
    }
    parts.extend(place.mtu.map(|mtu| format!("up to {mtu} bytes pass")));
    parts.extend(place.loss.map(|loss| format!("{:.0}% lost", loss * 100.0)));
    parts.join(", ")
}

/// Who probed: `worker-1/pod`.
pub(crate) fn source(cell: &Cell) -> String {
    format!("{}/{}", plain(cell.from.node.as_str()), cell.from.plane)
}

/// What was probed: `worker-2/pod 10.244.2.9`, `api 10.96.0.1:443`.
pub(crate) fn target(to: &To) -> String {
    let mut text = match to.kind {
        TargetKind::Pod | TargetKind::Host => match &to.node {
            Some(node) => format!("{}/{}", plain(node.as_str()), to.kind),
            None => to.kind.to_string(),
        },
        _ => {
            let mut text = to.kind.to_string();
            if let Some(policy) = to.policy {
                let _ = write!(text, " ({policy})");
            }
            if let Some(node) = &to.node {
                let _ = write!(text, " of {}", plain(node.as_str()));
            }
            text
        }
    };
    let _ = match (to.address, to.port.0) {
        (Some(address), 0) => write!(text, " {address}"),
        (Some(address), port) => write!(text, " {}", std::net::SocketAddr::new(address, port)),
        (None, 0) => Ok(()),
        (None, port) => write!(text, " port {port}"),
    };
    if to.as_application {
        text += " as an application asks";
    }
    text
}

/// What stood against a cell, in words: the reason, the ICMP error, the local error, and what else is known.
pub(crate) fn why(cell: &Cell) -> String {
    let mut parts = Vec::new();
    parts.extend(cell.reason.as_ref().map(|reason| readable(&reason.to_string())));
    parts.extend(degraded(cell));
    parts.extend(
        cell.icmp
            .map(|icmp| format!("ICMP type {} code {} from {}", icmp.kind, icmp.code, icmp.from)),
    );
    parts.extend(
        cell.local_error
            .as_ref()
            .map(|error| format!("errno {} of {}", error.errno, plain(&error.call))),
    );
    parts.extend(cell.detail.as_deref().map(plain));
    parts.join("; ")
}

/// What is not well of a cell that came through.
fn degraded(cell: &Cell) -> Option<String> {
    if cell.state != CellState::Degraded {
        return None;
    }
    let lost = cell.sent.saturating_sub(cell.received);
    let mut parts = Vec::new();
    if lost > 0 {
        parts.push(format!("{lost} of {} lost", cell.sent));
    }
    if cell.resent > 0 {
        parts.push(format!("{} answered only after a resend", cell.resent));
    }
    if parts.is_empty() {
        parts.push("slow".to_owned());
    }
    Some(parts.join(", "))
}

#[cfg(test)]
mod tests {
    use mesh_proto::Cell;

    use super::{target, why};
    use crate::render::samples;

    fn cell(to: &str, state: &str, more: &serde_json::Value) -> Cell {
        let mut cell = samples::cell(("n1", "pod"), to, "dns_udp", state);
        for (name, value) in more.as_object().into_iter().flatten() {
            cell[name] = value.clone();
        }
        serde_json::from_value(cell).unwrap()
    }

    #[test]
    fn a_target_is_what_where_and_how() {
        let to = |kind: &str| serde_json::json!({"to": {"kind": kind, "address": "10.0.0.1", "port": 53, "as_application": true}});
        assert_eq!(
            target(&cell("dns", "reachable", &to("dns")).to),
            "dns 10.0.0.1:53 as an application asks"
        );
        let cases = [
            ("pod n2", "n2/pod 10.0.0.1"),
            ("node_port n2", "node_port of n2 10.0.0.1"),
            ("api", "api 10.0.0.1"),
        ];
        for (to, words) in cases {
            assert_eq!(target(&cell(to, "reachable", &serde_json::json!({})).to), words);
        }
    }

    #[test]
    fn a_cell_that_is_not_well_is_lossy_or_slow() {
        let cases = [
            (serde_json::json!({"sent": 3, "received": 3}), "slow"),
            (serde_json::json!({"sent": 3, "received": 2}), "1 of 3 lost"),
            (
                serde_json::json!({"sent": 3, "received": 2, "resent": 1}),
                "1 of 3 lost, 1 answered only after a resend",
            ),
            (
                serde_json::json!({"sent": 1, "received": 1, "resent": 1}),
                "1 answered only after a resend",
            ),
        ];
        for (more, words) in cases {
            assert_eq!(why(&cell("dns", "degraded", &more)), words);
        }
        assert_eq!(why(&cell("dns", "failed", &serde_json::json!({}))), "timeout");
    }
}
