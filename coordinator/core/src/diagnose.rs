//! From places to findings: each place gets the name of its cause, with the evidence, how sure that is, and what to
//! type next. What no signature fits is `unknown`: a wrong culprit is worse than none.

mod asked;
mod differences;
mod direction;
mod down;
mod evidence;
mod forwarding;
mod icmp_error;
mod kernel;
mod legs;
mod local;
mod loopback;
mod loss;
mod merge;
mod mtu;
mod neighbours;
mod overlay;
mod overlay_port;
mod place;
mod policy;
mod protocol;
mod reverse_path;
mod routes;
mod scene;
mod servers;
mod services;
mod side_effects;
mod signature;
mod starved;
mod unknown;
mod wire;

use mesh_proto::{Cause, CellState, Confidence, Finding, Severity, Where};

use self::scene::Scene;
use self::signature::Signature;
use crate::assemble::Located;
use crate::localise::{Family, Filter, Hypothesis, Init, Model, Pick, Place, Scope, Symptom};
use crate::round::{CellIndex, Target};
use crate::verdict::excused_icmp;

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
    pub(crate) explains: Vec<CellIndex>,
}

/// Names the causes of all places.
pub(crate) fn diagnose(model: &Model<'_>, picks: &[Pick]) -> Located {
    let drafts: Vec<Draft> = picks.iter().map(|pick| name(model, pick)).collect();
    let mut drafts = starved::doubt(model, merge::merge(model, drafts));
    drafts.sort_by_key(|draft| std::cmp::Reverse(draft.explains.len()));
    let excused = excused_icmp(model.matrix, model.judged);
    let red = |cell: &CellIndex| model.judged(*cell).state == CellState::Failed && !excused.contains(cell);
    let findings = drafts.into_iter().map(|draft| Finding {
        severity: if draft.explains.iter().any(red) {
            Severity::Failure
        } else {
            Severity::Warning
        },
        explains: u32::try_from(draft.explains.len()).unwrap_or(u32::MAX),
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
        findings: findings.collect(),
        unexplained: 0,
    }
}

fn name(model: &Model<'_>, pick: &Pick) -> Draft {
    let hypothesis = match &pick.place {
        Place::Down(node) => return down::node_down(model, pick, *node),
        Place::Nowhere => {
            // A few cells of one service are too little for a place, and enough for a signature.
            let service = of_one_service(model, pick);
            let named = service.map(|place| signature::name(&Scene::new(model, pick, &place), SIGNATURES));
            let named = named.filter(|draft| draft.confidence != Confidence::Possible);
            return named.unwrap_or_else(|| down::nowhere(model, pick));
        }
        Place::At(hypothesis) => hypothesis,
    };
    match pick.symptom {
        Symptom::Large => mtu::mtu(model, pick, hypothesis),
        // What a kernel says is worth more than shares.
        Symptom::Partial => {
            shown(model, pick, hypothesis).unwrap_or_else(|| loss::loss(model, pick, hypothesis))
        }
        Symptom::Dead => signature::name(&Scene::new(model, pick, hypothesis), SIGNATURES),
    }
}

/// The name of a place's cause, where that is certain.
fn shown(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Option<Draft> {
    let draft = signature::name(&Scene::new(model, pick, hypothesis), SIGNATURES);
    (draft.confidence == Confidence::Certain).then_some(draft)
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
        .then_some(Hypothesis {
            scope: Scope::Cluster,
            family: first,
            init: Init::Both,
            filter: Filter::ALL,
        })
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
