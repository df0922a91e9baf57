//! One protocol is dropped, the others pass.

use std::collections::BTreeSet;

use mesh_proto::{Cause, Confidence, Where};

use super::Draft;
use super::evidence::evidence;
use super::place::{in_words, place, where_to_look};
use crate::localise::{Family, Filter, Hypothesis, Model, Pick, Scope, protocol_of};
use crate::round::CellIndex;

/// A place that spares the other protocols.
pub(super) fn protocol(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Draft {
    let mut place = place(model, hypothesis);
    let at = match asked(model, hypothesis, &mut place) {
        Some(whom) => whom,
        None => in_words(&place),
    };
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

/// The endpoint or service that does not answer the protocol, where the place is one: the way there is not at fault.
fn asked(model: &Model<'_>, hypothesis: &Hypothesis, place: &mut Where) -> Option<String> {
    let cluster = &model.matrix.round().roster().cluster;
    match hypothesis.family {
        Family::DnsEndpoint(number) => {
            let endpoint = cluster.dns.as_ref()?.endpoints.get(number)?;
            place.endpoint = Some(endpoint.address);
            if hypothesis.scope == Scope::Cluster {
                place.nodes = vec![endpoint.node.clone()];
            }
            Some(format!(
                "the DNS endpoint {} on {}",
                endpoint.address, endpoint.node
            ))
        }
        Family::DnsService | Family::DnsAll => {
            place.service = cluster.dns.as_ref().map(|dns| dns.address);
            Some(format!("DNS, asked at {}", in_words(place)))
        }
        Family::ApiService => {
            place.service = cluster.api.as_ref().map(|api| api.address);
            Some(format!("the API service, asked at {}", in_words(place)))
        }
        Family::NodePort(number) => {
            place.port = cluster.node_ports.get(number).map(|offer| offer.port);
            let port = place.port.map_or(String::new(), |port| format!(" {port}"));
            Some(format!("NodePort{port}, asked at {}", in_words(place)))
        }
        _ => None,
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
