//! What no signature fits: the place all the same, and where to look.

use mesh_proto::{Cause, Confidence, OverlayKind, Reason, Where};

use super::Draft;
use super::asked::Asked;
use super::evidence::evidence;
use super::place::{in_words, where_to_look};
use super::protocol::whereabouts;
use super::scene::Scene;
use super::servers::may_be_its_node;
use super::services::{asked, capital, service_place};
use crate::localise::{Family, Init, Scope};

/// A finding with the cause `unknown`.
pub(super) fn unknown(scene: &Scene<'_>) -> Draft {
    let (place, summary, advice) = match scene.hypothesis.family {
        _ if scene.hypothesis.filter.protocol.is_some() => protocol(scene),
        Family::Wire | Family::Bare => bare(scene),
        Family::Overlay | Family::Routes => carrier(scene),
        Family::Rules
        | Family::DnsAll
        | Family::DnsService
        | Family::DnsEndpoint(_)
        | Family::ApiService
        | Family::NodePort(_)
        | Family::AnyNodePort => service(scene),
        Family::Forward | Family::Local | Family::Loopback | Family::Agent(_) | Family::Between(..) => {
            agent(scene)
        }
    };
    let mut seen = evidence(scene.model, &scene.pick.explains);
    seen.extend(super::differences::differences(scene));
    Draft {
        cause: Cause::Unknown,
        place,
        confidence: Confidence::Possible,
        summary,
        evidence: seen,
        advice,
        ruled_out: Vec::new(),
        shown: false,
        at_no_place: false,
        explains: scene.pick.explains.clone(),
    }
}

fn protocol(scene: &Scene<'_>) -> (Where, String, Vec<String>) {
    let (place, at) = whereabouts(scene);
    let name = place
        .protocol
        .map(mesh_proto::Protocol::meaning)
        .unwrap_or_default();
    let advice = format!(
        "{1}: iptables-save | grep -i -- '-p {0}'; nft list ruleset | grep -n {0}",
        name.to_ascii_lowercase(),
        where_to_look(&place)
    );
    (
        place,
        format!("{name} fails at {at} for some targets, other protocols pass."),
        vec![advice],
    )
}

fn bare(scene: &Scene<'_>) -> (Where, String, Vec<String>) {
    let at = in_words(&scene.place);
    (
        scene.place.clone(),
        format!("Node addresses are unreachable at {at}, while the pod network there works."),
        vec![format!(
            "{}: nft list chain ip filter INPUT; iptables-save | grep -E 'INPUT|OUTPUT'",
            where_to_look(&scene.place)
        )],
    )
}

fn carrier(scene: &Scene<'_>) -> (Where, String, Vec<String>) {
    let at = in_words(&scene.place);
    let overlay = scene.cluster().overlay;
    let carrier = match overlay {
        Some(overlay) if overlay.kind != OverlayKind::None => match overlay.port {
            Some(port) => format!("{} on UDP port {port}", overlay.kind),
            None => overlay.kind.to_string(),
        },
        Some(_) => "routes, without encapsulation".to_owned(),
        None => "overlay or routes".to_owned(),
    };
    let summary = match (scene.place.nodes.as_slice(), scene.place.pairs.as_slice()) {
        ([], []) => format!(
            "Pod packets pass between no two nodes, while the node network is fine: what carries them ({carrier}) fails everywhere."
        ),
        (_, [(from, to)]) => format!(
            "Pod packets do not pass from {from} to {to}, while the node network between them is fine: what carries them ({carrier}) fails there."
        ),
        _ => format!(
            "Pod packets do not pass between {at} and other nodes, while the node network is fine: what carries them ({carrier}) fails there."
        ),
    };
    let advice = format!(
        "{}: {}",
        where_to_look(&scene.place),
        look_at_carrier(overlay.map(|overlay| overlay.kind))
    );
    (scene.place.clone(), summary, vec![advice])
}

/// What shows how pod packets travel, by what carries them.
fn look_at_carrier(kind: Option<OverlayKind>) -> &'static str {
    match kind {
        Some(OverlayKind::None) => "ip route; ip neigh; nft list ruleset; iptables-save",
        Some(OverlayKind::Wireguard) => "wg show; ip route; nft list ruleset; iptables-save",
        Some(OverlayKind::Ipip) => "ip -d tunnel show; ip route; nft list ruleset; iptables-save",
        Some(OverlayKind::Geneve) => "ip -d link show type geneve; ip route; nft list ruleset; iptables-save",
        Some(OverlayKind::Vxlan) => {
            "ip -d link show type vxlan; ip route; bridge fdb show; nft list ruleset; iptables-save"
        }
        None => "ip -d link; ip route; nft list ruleset; iptables-save",
    }
}

fn agent(scene: &Scene<'_>) -> (Where, String, Vec<String>) {
    let at = in_words(&scene.place);
    let what = match scene.hypothesis.family {
        Family::Forward => format!(
            "{at} does not forward for its pods: they reach nothing off the node, and nothing reaches them."
        ),
        Family::Local => format!("Between {at} and its own pods nothing passes."),
        Family::Loopback => format!("Loopback does not work on {at}."),
        Family::Agent(plane) => match scene.hypothesis.init {
            Init::Both => format!("Nothing passes to or from the {plane} network of {at}."),
            Init::In => format!("Nothing that is opened from elsewhere reaches the {plane} network of {at}."),
            Init::Out => format!("The {plane} network of {at} reaches nothing."),
        },
        Family::Between(from, to) => {
            format!("From the {from} network to the {to} network nothing passes: {at}.")
        }
        _ => format!("Nothing passes at {at}."),
    };
    // Whichever way packets go, it is the node that keeps pods from forwarding.
    let direction = scene
        .place
        .direction
        .filter(|_| scene.hypothesis.family != Family::Forward);
    let what = if scene.seen(Reason::LocalError) > 0 {
        format!("{what} The source's own kernel refuses to send.")
    } else {
        what
    };
    (
        Where {
            direction,
            ..scene.place.clone()
        },
        what,
        vec![format!(
            "{}: ip -br addr; ip route; ip rule; sysctl net.ipv4.ip_forward; nft list ruleset; iptables-save",
            where_to_look(&scene.place)
        )],
    )
}

fn dns_endpoint(scene: &Scene<'_>, place: Where, endpoint: &crate::Backend) -> (Where, String, Vec<String>) {
    let (address, node) = (endpoint.address, &endpoint.node);
    let place = Where {
        endpoint: Some(address),
        ..place
    };
    if may_be_its_node(scene, endpoint).is_none() {
        let at = in_words(&place);
        return (
            place,
            format!("The DNS endpoint {address} on {node} is not reachable from {at}."),
            Asked::Dns.advice(scene.cluster()),
        );
    }
    (
        Where {
            nodes: vec![node.clone()],
            pairs: Vec::new(),
            ..place
        },
        format!(
            "The DNS endpoint {address} on {node} does not answer, and no agent on {node} is heard either: it may be all of {node}."
        ),
        vec![format!(
            "On {node}: iptables -nvL INPUT; nft list ruleset; systemctl status kubelet containerd"
        )],
    )
}

fn service(scene: &Scene<'_>) -> (Where, String, Vec<String>) {
    let at = in_words(&scene.place);
    let from = scene
        .hypothesis
        .filter
        .from
        .map(|plane| format!(" from the {plane} network"))
        .unwrap_or_default();
    let place = match asked(scene) {
        Some(asked) => service_place(scene, asked),
        None => Where {
            direction: None,
            ..scene.place.clone()
        },
    };
    let what = asked(scene).map_or_else(String::new, |asked| capital(&asked.words(scene.cluster())));
    match scene.hypothesis.family {
        Family::Rules => (
            place,
            format!("No service is reachable from {at}{from}, while the addresses behind them are."),
            vec!["On the node: iptables-save | grep -c KUBE-SVC; nft list table ip kube-proxy; ipvsadm -Ln; kubectl -n kube-system get pods -o wide -l k8s-app=kube-proxy".to_owned()],
        ),
        Family::DnsEndpoint(number) => {
            let dns = scene.cluster().dns.as_ref();
            match dns.and_then(|dns| dns.endpoints.get(number)) {
                Some(endpoint) => dns_endpoint(scene, place, endpoint),
                None => (place, format!("A DNS endpoint is not reachable from {at}."), Asked::Dns.advice(scene.cluster())),
            }
        }
        Family::DnsAll | Family::DnsService => (place, format!("{what} does not answer: {at}."), Asked::Dns.advice(scene.cluster())),
        Family::ApiService => (place, format!("{what} does not answer: {at}."), Asked::Api.advice(scene.cluster())),
        _ => {
            let summary = match scene.hypothesis.scope {
                Scope::OwnNode => format!("{what} is unreachable{from} on the client's own node, and works on other nodes."),
                Scope::OtherNodes => format!("{what} is unreachable{from} on other nodes, and works on the client's own node."),
                Scope::Cluster => format!("{what} is unreachable{from} on every node."),
                _ => format!("{what} is unreachable{from} at {at}."),
            };
            (place, summary, asked(scene).unwrap_or(Asked::NodePorts).advice(scene.cluster()))
        }
    }
}
