//! Faults of network policies, in the shape that policy engines write them: a chain for each pod, which ends in a drop.

mod engines;

use mesh_proto::{Cause, Plane};

use self::engines::{Chain, Way, Workload, calico, calico_nft, kube_router};
use super::FaultKind;
use super::action::{Action, alone, nft, protocol, rules};
use super::exclusion::Claim;
use super::keys::Key;
use super::site::Site;
use crate::space::Space;
use crate::topology::{Node, Role, Topology};
use crate::wiring;

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::PolicyNodePort,
        meaning: "an egress policy of the node's pod lets it reach NodePorts of other nodes only, or of its own only",
        keys: &[
            Key::words(
                "how",
                &["ipblock", "podselector"],
                "it allows the node network, or the pods behind the NodePort; and besides what has nothing to do with them",
            ),
            Key::node("node", "whose pod").or_all(),
        ],
        needs: &[],
        takes: "iptables with conntrack (CONFIG_NETFILTER_XT_MATCH_CONNTRACK)",
        claims: &[Claim::AtNodes("the policy of the pod")],
        places: |site| site.at_nodes(Some(Plane::Pod), None),
        actions: |site| {
            site.per_node(|view, node| {
                let allowed = allowed(site, view);
                let chain = Chain {
                    allowed: &allowed,
                    denied: "",
                };
                pods_of(view, node)
                    .map(|pod| rules_of(view, node, &calico(&pod, &[(Way::From, chain)])))
                    .collect()
            })
        },
    },
    FaultKind {
        cause: Cause::PolicyBlocked,
        meaning: "a network policy drops what comes to the node's pod, or what it sends",
        keys: &[
            Key::node("node", "whose pod").or_more_or_all(),
            Key::words(
                "direction",
                &["ingress", "egress", "both"],
                "as seen from the pod",
            ),
            Key::words(
                "engine",
                &["calico", "kube-router", "nftables"],
                "whose rules: the second rejects, the others drop",
            ),
            Key::words("protocol", &["any", "tcp", "udp", "icmp"], "what is dropped"),
        ],
        needs: &[],
        takes: "iptables with conntrack (CONFIG_NETFILTER_XT_MATCH_CONNTRACK), or nftables",
        claims: &[Claim::AtNodes("the policy of the pod")],
        places: |site| site.at_nodes(Some(Plane::Pod), site.direction()),
        actions: |site| site.per_node(|view, node| blocked(site, view, node)),
    },
];

/// What policies of clusters allow besides: names, the API, and here what agents ask each other. Only the NodePort's
/// backend is left to the policy in question.
fn allowed(site: &Site<'_>, view: &Topology) -> Vec<String> {
    let mut allowed = match site.word("how") {
        "podselector" => view
            .pods(Role::Backend)
            .map(|(_, pod)| format!("-d {}", alone(pod.address)))
            .collect(),
        _ => vec![format!("-d {}", view.networks().nodes)],
    };
    let (responder, api) = (view.options.responder_port, view.api_endpoint());
    for protocol in ["udp", "tcp"] {
        allowed.push(format!("-p {protocol} --dport 53"));
        allowed.push(format!("-p {protocol} --dport {responder}"));
    }
    allowed.push(format!("-d {} -p tcp --dport {}", alone(api.ip()), api.port()));
    allowed.push(format!("-p {}", protocol(view, "icmp")));
    allowed
}

fn blocked(site: &Site<'_>, view: &Topology, node: &Node) -> Vec<Action> {
    let ways: &[Way] = match site.word("direction") {
        "egress" => &[Way::From],
        "both" => &[Way::From, Way::To],
        _ => &[Way::To],
    };
    let denied = match site.word("protocol") {
        "any" => String::new(),
        name => format!("-p {} ", protocol(view, name)),
    };
    let chain = Chain {
        allowed: &[],
        denied: &denied,
    };
    let chains: Vec<(Way, Chain<'_>)> = ways.iter().map(|way| (*way, chain)).collect();
    let write = |pod: Workload| match site.word("engine") {
        "kube-router" => rules_of(view, node, &kube_router(&pod, node, &chains)),
        "nftables" => nft(
            Space::of_node(node),
            calico_nft(&pod, ways, site.word("protocol")),
        ),
        _ => rules_of(view, node, &calico(&pod, &chains)),
    };
    pods_of(view, node).map(write).collect()
}

fn rules_of(view: &Topology, node: &Node, lines: &[String]) -> Action {
    let lines = lines.iter().map(String::as_str);
    rules(view, Space::of_node(node), "filter", lines)
}

fn pods_of<'a>(view: &'a Topology, node: &'a Node) -> impl Iterator<Item = Workload> + 'a {
    let agents = node.pods.iter().filter(|pod| pod.role == Role::Agent);
    agents.map(|pod| Workload {
        device: wiring::pod_device_name(pod),
        address: pod.address,
        pod_network: view.options.pod_network,
        family: view.family(),
    })
}
