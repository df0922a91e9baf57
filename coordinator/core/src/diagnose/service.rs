//! Services: kube-proxy's rules, the API, DNS, NodePorts.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mesh_proto::{Cause, Confidence, NodeName, Reason, TargetKind, Where};

use super::Draft;
use super::evidence::{evidence, icmp};
use super::place::{in_words, place};
use crate::localise::{Family, Hypothesis, Model, Pick, Scope};
use crate::round::{CellIndex, Target};

/// Names faults of services; `None` if the place is none.
pub(super) fn service(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Option<Draft> {
    let mut draft = Draft {
        cause: Cause::Unknown,
        place: place(model, hypothesis),
        confidence: Confidence::Possible,
        summary: String::new(),
        evidence: evidence(model, &pick.explains),
        advice: Vec::new(),
        explains: pick.explains.clone(),
    };
    // A service is not of a plane; only that it fails from one plane alone is worth saying.
    draft.place.direction = None;
    match hypothesis.family {
        Family::Rules => rules(model, pick, hypothesis, &mut draft),
        Family::DnsEndpoint(number) => dns_endpoint(model, number, hypothesis, &mut draft),
        Family::DnsAll | Family::DnsService => dns(model, pick, hypothesis, &mut draft),
        Family::ApiService => api(model, pick, hypothesis, &mut draft),
        Family::NodePort(number) => node_port(model, pick, Some(number), hypothesis, &mut draft),
        Family::AnyNodePort => node_port(model, pick, None, hypothesis, &mut draft),
        _ => return None,
    }
    // What all nodes see is at none of them, also where there is one only.
    let of_service = matches!(draft.cause, Cause::ServiceNoEndpoints | Cause::DnsDown);
    if of_service && has_one_node(model) && !matches!(hypothesis.family, Family::DnsEndpoint(_)) {
        draft.place.nodes.clear();
    }
    Some(draft)
}

fn rules(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis, draft: &mut Draft) {
    let at = in_words(&draft.place);
    let one_node = matches!(hypothesis.scope, Scope::Node(_)) && hypothesis.filter.from.is_none();
    // Of some services another fault may be the reason as well.
    let beyond_doubt = services_of(model, &pick.explains).len() >= 2
        || pick.covers.iter().any(|cell| {
            matches!(model.cell(*cell).target, Target::NodePort { .. })
                && model.judged(*cell).seen() == Some(Reason::Refused)
        });
    draft.summary = format!("No service is reachable from {at}, while the addresses behind them are.");
    if one_node && services_of(model, &pick.covers).len() >= 2 {
        draft.cause = Cause::KubeProxyMissing;
        draft.confidence = if beyond_doubt {
            Confidence::Likely
        } else {
            Confidence::Possible
        };
        draft.summary =
            format!("{at} has no service rules: kube-proxy does not run there, or its rules were flushed.");
    }
    draft.advice = vec![
        "kubectl -n kube-system get pods -o wide -l k8s-app=kube-proxy".to_owned(),
        "On the node: iptables-save | grep -c KUBE-SVC; nft list table ip kube-proxy; ipvsadm -Ln; then restart kube-proxy there.".to_owned(),
    ];
}

/// The kinds of services that these cells ask.
fn services_of(model: &Model<'_>, cells: &[CellIndex]) -> BTreeSet<TargetKind> {
    let kinds = cells.iter().filter_map(|cell| match model.cell(*cell).target {
        Target::Api => Some(TargetKind::Api),
        Target::Dns { .. } => Some(TargetKind::Dns),
        Target::NodePort { .. } => Some(TargetKind::NodePort),
        _ => None,
    });
    kinds.collect()
}

fn dns_endpoint(model: &Model<'_>, number: usize, hypothesis: &Hypothesis, draft: &mut Draft) {
    let dns = model.matrix.round().roster().cluster.dns.as_ref();
    let Some(endpoint) = dns.and_then(|dns| dns.endpoints.get(number)) else {
        return;
    };
    if !is_everywhere(model, hypothesis) {
        let at = in_words(&draft.place);
        draft.place.endpoint = Some(endpoint.address);
        draft.summary = format!(
            "The DNS endpoint {} is not reachable from {at}.",
            endpoint.address
        );
        draft.advice = advice_dns();
        return;
    }
    let only_one = dns.is_some_and(|dns| dns.endpoints.len() == 1);
    draft.cause = if only_one {
        Cause::DnsDown
    } else {
        Cause::DnsEndpointDown
    };
    draft.confidence = Confidence::Certain;
    draft.place = Where {
        nodes: vec![endpoint.node.clone()],
        endpoint: Some(endpoint.address),
        service: dns.map(|dns| dns.address),
        ..Where::default()
    };
    draft.summary = if only_one {
        format!(
            "DNS is down: its only endpoint {} on {} answers nobody.",
            endpoint.address, endpoint.node
        )
    } else {
        format!(
            "The DNS endpoint {} on {} answers nobody; others do, so a share of the queries fails.",
            endpoint.address, endpoint.node
        )
    };
    draft.advice = advice_dns();
}

fn dns(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis, draft: &mut Draft) {
    let address = model
        .matrix
        .round()
        .roster()
        .cluster
        .dns
        .as_ref()
        .map(|dns| dns.address);
    service_place(draft, address, hypothesis);
    let at = in_words(&draft.place);
    draft.advice = advice_dns();
    draft.summary = format!("The DNS service does not answer: {at}.");
    if !is_everywhere(model, hypothesis) || hypothesis.filter.from.is_some() {
        return;
    }
    if hypothesis.family == Family::DnsAll {
        draft.cause = Cause::DnsDown;
        // From elsewhere it may look otherwise, where there is an elsewhere.
        draft.confidence = if has_one_node(model) {
            Confidence::Likely
        } else {
            Confidence::Certain
        };
        draft.summary = "DNS is down: neither the service nor any endpoint answers anybody.".into();
    } else if refused_with_icmp(model, pick) {
        draft.cause = Cause::ServiceNoEndpoints;
        draft.confidence = Confidence::Likely;
        draft.summary = "The DNS service has no ready endpoint: every node refuses on its behalf.".into();
    }
}

fn api(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis, draft: &mut Draft) {
    let api = model.matrix.round().roster().cluster.api.as_ref();
    service_place(draft, api.map(|api| api.address), hypothesis);
    draft.place.port = api.map(|api| api.port);
    let at = in_words(&draft.place);
    draft.summary = format!("The API service does not answer: {at}.");
    draft.advice = vec![
        "kubectl get endpointslices -n default kubernetes; curl -k https://ENDPOINT/livez".to_owned(),
        "On the control plane: crictl ps -a | grep kube-apiserver; journalctl -u kubelet".to_owned(),
    ];
    if !is_everywhere(model, hypothesis) || hypothesis.filter.from.is_some() {
        return;
    }
    if refused_with_icmp(model, pick) {
        draft.cause = Cause::ServiceNoEndpoints;
        draft.confidence = Confidence::Likely;
        draft.summary = "The API service has no ready endpoint: every node refuses on its behalf.".into();
    } else if all_refused(model, pick) {
        draft.cause = Cause::ApiServerDown;
        draft.confidence = Confidence::Likely;
        draft.summary =
            "The API server refuses connections: its endpoint answers with a reset, to everybody.".into();
        draft.place.nodes = api_nodes(model);
    }
}

fn node_port(
    model: &Model<'_>,
    pick: &Pick,
    number: Option<usize>,
    hypothesis: &Hypothesis,
    draft: &mut Draft,
) {
    let services = &model.matrix.round().roster().cluster.node_ports;
    let offer = number.and_then(|number| services.get(number));
    draft.place.port = offer.map(|offer| offer.port);
    draft.place.protocol = offer.map(|offer| offer.protocol).or(draft.place.protocol);
    let what = offer.map_or_else(
        || "NodePorts".to_owned(),
        |offer| format!("NodePort {}/{}", offer.port, offer.protocol),
    );
    let from = hypothesis
        .filter
        .from
        .map(|plane| format!(" from the {plane} network"))
        .unwrap_or_default();
    draft.summary = match hypothesis.scope {
        Scope::OwnNode => {
            format!("{what} is unreachable{from} on the client's own node, and works on other nodes.")
        }
        Scope::OtherNodes => {
            format!("{what} is unreachable{from} on other nodes, and works on the client's own node.")
        }
        Scope::Cluster => format!("{what} is unreachable{from} on every node."),
        _ => format!("{what} is unreachable{from} at {}.", in_words(&draft.place)),
    };
    draft.advice = vec![
        "kubectl get service,endpointslices -A -o wide | grep PORT".to_owned(),
        "On the node: iptables-save -t nat | grep PORT; nft list table ip kube-proxy; and try the backend's own address.".to_owned(),
    ];
    if is_everywhere(model, hypothesis) && hypothesis.filter.from.is_none() && refused_with_icmp(model, pick)
    {
        draft.cause = Cause::ServiceNoEndpoints;
        draft.confidence = Confidence::Likely;
        draft.summary = format!("{what} has no ready endpoint: every node refuses on its behalf.");
    }
}

/// The nodes that the API's endpoints stand on, as far as they are known.
fn api_nodes(model: &Model<'_>) -> Vec<NodeName> {
    let roster = model.matrix.round().roster();
    let endpoints = roster.cluster.api.iter().flat_map(|api| &api.endpoints);
    let mut nodes: Vec<NodeName> = endpoints
        .filter_map(|endpoint| roster.node_of_host_address(endpoint.ip()).cloned())
        .collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// Whether all nodes that there are see it; in a cluster of one node that is the node.
fn is_everywhere(model: &Model<'_>, hypothesis: &Hypothesis) -> bool {
    hypothesis.scope == Scope::Cluster || has_one_node(model)
}

fn has_one_node(model: &Model<'_>) -> bool {
    model.matrix.round().roster().nodes.len() == 1
}

fn service_place(draft: &mut Draft, address: Option<IpAddr>, hypothesis: &Hypothesis) {
    draft.place.service = address;
    if hypothesis.filter.from.is_none() {
        draft.place.plane = None;
    }
}

/// kube-proxy rejects for a service without endpoints: ICMP port unreachable, by the client's own node. Such errors are
/// rate-limited, so some cells may have seen none; but none may have seen anything else.
fn refused_with_icmp(model: &Model<'_>, pick: &Pick) -> bool {
    let rejected = |cell: &CellIndex| {
        model.judged(*cell).seen() == Some(Reason::Refused) && icmp(model, *cell).is_some()
    };
    let silent = |cell: &CellIndex| model.judged(*cell).seen() == Some(Reason::Timeout);
    let asked = pick.explains.iter().filter(|cell| !by_resolver(model, **cell));
    let (rejections, others): (Vec<_>, Vec<_>) = asked.partition(|cell| rejected(cell));
    rejections.len() >= others.len().max(1) && others.into_iter().all(silent)
}

/// Asked by a resolver library, which keeps to itself how its name servers failed.
fn by_resolver(model: &Model<'_>, cell: CellIndex) -> bool {
    matches!(model.cell(cell).target, Target::Dns { as_application: true })
}

/// Resets from the endpoint. Who is silent instead may be kept from it by another fault, so long as most are not.
fn all_refused(model: &Model<'_>, pick: &Pick) -> bool {
    let is_reset = |cell: &&CellIndex| {
        model.judged(**cell).seen() == Some(Reason::Refused) && icmp(model, **cell).is_none()
    };
    let (resets, others): (Vec<_>, Vec<_>) = pick.explains.iter().partition(is_reset);
    // A node that does not forward gives its pods no neighbour either.
    let silent = |cell: &CellIndex| {
        matches!(
            model.judged(*cell).seen(),
            Some(Reason::Timeout | Reason::HostUnreachable)
        )
    };
    resets.len() > others.len() && others.into_iter().all(silent)
}

fn advice_dns() -> Vec<String> {
    vec![
        "kubectl -n kube-system get pods -o wide -l k8s-app=kube-dns; kubectl -n kube-system logs -l k8s-app=kube-dns".to_owned(),
        "kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns".to_owned(),
    ]
}
