//! From places to findings: each place gets the name of its cause, with the evidence, how sure that is, and what to
//! type next. What no signature fits is `unknown`: a wrong culprit is worse than none.

mod asked;
mod banned;
mod cni;
mod differences;
mod direction;
mod down;
mod evidence;
mod filtered;
mod forwarding;
mod icmp_error;
mod kernel;
mod legs;
mod local;
mod loopback;
mod loss;
mod meetings;
mod merge;
mod mtu;
mod neighbours;
mod overlay;
mod overlay_port;
mod place;
mod policy;
mod protocol;
mod resent;
mod reverse_path;
mod routes;
mod scene;
mod servers;
mod services;
mod side_effects;
mod signature;
mod stale_rules;
mod starved;
mod unknown;
mod wire;

use std::collections::BTreeMap;

use mesh_proto::{Cause, CellState, Confidence, Finding, Severity, Where};

use self::scene::Scene;
use self::signature::Signature;
use crate::NodeIndex;
use crate::assemble::Located;
use crate::localise::{Family, Hypothesis, Init, Model, Pick, Place, Rest, Scope, Symptom};
use crate::round::{CellIndex, Target};
use crate::verdict::is_excused;

/// A finding while it is being written.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) cause: Cause,
    pub(crate) place: Where,
    pub(crate) confidence: Confidence,
    pub(crate) summary: String,
    pub(crate) evidence: Vec<String>,
    pub(crate) advice: Vec<String>,
    /// What was considered, and what speaks against it.
    pub(crate) ruled_out: Vec<String>,
    /// A packet or a kernel said so, and not only what was timed.
    pub(crate) shown: bool,
    /// These cells are together only since no place explains them.
    pub(crate) at_no_place: bool,
    pub(crate) explains: Vec<CellIndex>,
}

/// Names the causes of all places.
pub(crate) fn diagnose(model: &Model<'_>, found: &[Pick], rest: &Rest) -> Located {
    let mut picks = found.to_vec();
    let slow = resent::slow_endpoints(model, &mut picks);
    let stale = stale_rules::named(model, &mut picks);
    let banned = banned::named(model, &mut picks);
    let filtered = filtered::named(model, &mut picks);
    let drafts: Vec<Draft> = picks
        .iter()
        .filter(|pick| !pick.explains.is_empty())
        .flat_map(|pick| name(model, pick))
        .chain(slow)
        .chain(stale)
        .chain(banned)
        .chain(filtered)
        .collect();
    let mut drafts = starved::doubt(model, merge::merge(model, drafts));
    // What a place explains outside the model goes to the finding that has its cells.
    let outside = |draft: &Draft| -> (usize, bool) {
        let own = found.iter().zip(&picks).filter(|(pick, left)| {
            // Where other findings took all that it explains, what is outside is theirs.
            let first = left.explains.first().or(pick.explains.first());
            pick.more > 0 && first.is_some_and(|first| draft.explains.contains(first))
        });
        let own = own.map(|(pick, _)| pick);
        own.fold((0, false), |(more, red), pick| {
            (more + pick.more, red || pick.more_is_red)
        })
    };
    drafts.sort_by_cached_key(|draft| std::cmp::Reverse(draft.explains.len() + outside(draft).0));
    let red = |cell: &CellIndex| {
        model.judged(*cell).state == CellState::Failed && !is_excused(model.judge, model.number(*cell))
    };
    let counted = drafts.into_iter().map(|draft| (outside(&draft), draft));
    let findings = counted.map(|((more, more_is_red), draft)| Finding {
        severity: if more_is_red || draft.explains.iter().any(red) {
            Severity::Failure
        } else {
            Severity::Warning
        },
        explains: u32::try_from(draft.explains.len() + more).unwrap_or(u32::MAX),
        cause: draft.cause,
        place: draft.place,
        confidence: draft.confidence,
        summary: draft.summary,
        evidence: draft.evidence,
        advice: draft.advice,
        ruled_out: draft.ruled_out,
    });
    // Whatever no place explains stands under a finding of its own, with the cause `unknown`.
    Located {
        findings: findings.chain(down::scattered(rest)).collect(),
        unexplained: 0,
    }
}

fn name(model: &Model<'_>, pick: &Pick) -> Vec<Draft> {
    let hypothesis = match &pick.place {
        Place::Down(node) => return vec![down::node_down(model, pick, *node)],
        Place::Nowhere => {
            let (mut found, left) = mtu::between_pairs(model, pick);
            let (lossy, left) = loss::flows_between_pairs(model, &left);
            found.extend(lossy);
            if !found.is_empty() {
                found.extend((!left.is_empty()).then(|| down::nowhere(model, &left)));
                return found;
            }
            // A few cells of one service are too little for a place, and enough for a signature.
            let service = of_one_service(model, pick);
            let named = service.map(|place| signature::name(&Scene::new(model, pick, &place), SIGNATURES));
            let named = named.filter(|drafts| {
                drafts
                    .iter()
                    .all(|draft| draft.confidence != Confidence::Possible)
            });
            return named.unwrap_or_else(|| vec![down::nowhere(model, &pick.explains)]);
        }
        Place::At(hypothesis) => hypothesis,
    };
    match pick.symptom {
        Symptom::Large => vec![mtu::mtu(model, pick, hypothesis)],
        // What a kernel says is worth more than shares.
        Symptom::Partial => {
            shown(model, pick, hypothesis).unwrap_or_else(|| vec![loss::loss(model, pick, hypothesis)])
        }
        Symptom::Dead => {
            let drafts = signature::name(&Scene::new(model, pick, hypothesis), SIGNATURES);
            let is_known = drafts.iter().any(|draft| draft.cause != Cause::Unknown);
            if is_known {
                return drafts;
            }
            let further = by_ways(model, pick, hypothesis).or_else(|| carried(model, pick, hypothesis));
            further.unwrap_or(drafts)
        }
    }
}

/// Where nothing at a node explains what it has, its ways to others, one by one: faults of several others can leave it nobody to
/// talk to. `None` where no kernel and no packet tells of such a fault.
fn by_ways(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Option<Vec<Draft>> {
    let Scope::Node(node) = hypothesis.scope else {
        return None;
    };
    let mut ways: BTreeMap<NodeIndex, Vec<CellIndex>> = BTreeMap::new();
    let mut left = Vec::new();
    for cell in &pick.explains {
        match model.nodes(*cell) {
            (Some(from), Some(to)) if from != to => {
                let other = if from == node { to } else { from };
                ways.entry(other).or_default().push(*cell);
            }
            _ => left.push(*cell),
        }
    }
    let mut drafts = Vec::new();
    for (other, cells) in ways {
        let way = Hypothesis {
            scope: Scope::Pair(node.min(other), node.max(other)),
            init: Init::Both,
            ..hypothesis.clone()
        };
        let mut of_way = pick.clone();
        of_way.explains = cells;
        drafts.extend(signature::name(&Scene::new(model, &of_way, &way), SIGNATURES));
    }
    drafts.iter().any(|draft| draft.shown).then(|| {
        drafts.extend((!left.is_empty()).then(|| down::nowhere(model, &left)));
        drafts
    })
}

/// Where a node seems to forward nothing and nothing there explains it, what carries its pods' packets: of the cells that would
/// tell the two apart some may be unknown. Only what a kernel or a packet tells counts.
fn carried(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Option<Vec<Draft>> {
    if hypothesis.family != Family::Forward {
        return None;
    }
    let overlay = Hypothesis {
        family: Family::Overlay,
        ..hypothesis.clone()
    };
    let drafts = signature::name(&Scene::new(model, pick, &overlay), SIGNATURES);
    drafts.iter().all(|draft| draft.shown).then_some(drafts)
}

/// The name of a place's cause, where that is certain.
fn shown(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Option<Vec<Draft>> {
    let drafts = signature::name(&Scene::new(model, pick, hypothesis), SIGNATURES);
    let is_certain = |draft: &Draft| draft.confidence == Confidence::Certain;
    drafts.iter().all(is_certain).then_some(drafts)
}

/// The service that all these cells ask, as a place.
fn of_one_service(model: &Model<'_>, pick: &Pick) -> Option<Hypothesis> {
    let family = |cell: &CellIndex| match model.cell(*cell).target {
        Target::Api => Some(Family::ApiService),
        Target::Dns { .. } => Some(Family::DnsService),
        Target::NodePort { .. } => Some(Family::AnyNodePort),
        Target::Agent(_) | Target::Loopback | Target::DnsEndpoint(_) => None,
    };
    let mut families = pick.explains.iter().map(family);
    let first = families.next()??;
    families
        .all(|family| family == Some(first))
        .then_some(Hypothesis::whole(Scope::Cluster, first))
}

/// What can be the matter where nothing comes through, by families. Of equally strong cases the earlier is named, so what is
/// more special stands first.
const SIGNATURES: &[&[Signature]] = &[
    &[
        Signature::new(Cause::ConntrackFull, local::conntrack_full),
        Signature::new(Cause::LocalEgressBlocked, local::local_egress),
        Signature::new(Cause::DuplicateAddress, neighbours::duplicate_address),
        Signature::new(Cause::NeighbourStale, neighbours::neighbour_stale),
        Signature::new(Cause::OneWayLoss, wire::one_way),
        Signature::new(Cause::NodePartitioned, wire::partitioned),
        Signature::new(Cause::ProtocolFiltered, protocol::protocol_filtered),
    ],
    &[
        Signature::new(Cause::RoutingLoop, routes::routing_loop),
        Signature::new(Cause::IptablesSplit, policy::iptables_split),
        Signature::new(Cause::IpForwardOff, forwarding::ip_forward_off),
        Signature::new(Cause::PolicyBlocked, policy::policy_blocked),
        Signature::new(Cause::ForwardRejected, forwarding::forward_rejected),
        Signature::new(Cause::ForwardDropped, forwarding::forward_dropped),
        Signature::new(Cause::PodRoutesMissing, routes::pod_routes_missing),
        Signature::new(Cause::ReversePathFilter, reverse_path::reverse_path_filter),
    ],
    &[
        Signature::new(Cause::OverlayDeviceDown, overlay::device_down),
        Signature::new(Cause::OverlayPortMismatch, overlay::port_mismatch),
        Signature::new(Cause::OverlayPeerStale, overlay::peer_stale),
        Signature::new(Cause::OverlayPortBlocked, overlay_port::port_blocked),
        Signature::new(Cause::UnderlayDropsPods, routes::underlay_drops_pods),
    ],
    &[
        Signature::new(Cause::LoopbackDown, loopback::loopback_down),
        Signature::new(Cause::LoopbackSource, loopback::loopback_source),
    ],
    &[
        Signature::new(Cause::KubeProxyMissing, services::kube_proxy_missing),
        Signature::new(Cause::PolicyNodePort, policy::policy_node_port),
        Signature::new(Cause::MasqueradeMissing, services::masquerade_missing),
        Signature::new(Cause::EndpointStale, services::endpoint_stale),
        Signature::new(Cause::ServiceNoEndpoints, services::no_endpoints),
        Signature::new(Cause::ApiServerDown, servers::api_server_down),
        Signature::new(Cause::DnsEndpointDown, servers::dns_endpoint_down),
        Signature::new(Cause::DnsDown, servers::dns_down),
    ],
];

#[cfg(test)]
mod tests;
