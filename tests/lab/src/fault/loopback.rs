//! Faults of the loopback interface.

use mesh_proto::{Cause, Plane};

use super::FaultKind;
use super::action::{rules, tool};
use super::exclusion::Claim;
use super::keys::Key;
use super::needs::Need;
use crate::cidr::IpFamily;
use crate::space::Space;
use crate::topology::Role;

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::LoopbackDown,
        meaning: "lo is down, or has no address",
        keys: &[
            Key::node("node", "where").or_more(),
            Key::words("plane", &["host", "pod"], "in the node, or in its pod"),
            Key::words("how", &["down", "address"], "what is missing"),
        ],
        needs: &[],
        takes: "iproute2",
        claims: &[Claim::Part("the loopback interface", "plane")],
        places: |site| {
            let plane = match site.word("plane") {
                "pod" => Plane::Pod,
                _ => Plane::Host,
            };
            site.at_nodes(Some(plane), None)
        },
        actions: |site| {
            site.per_node(|view, node| {
                let space = match site.word("plane") {
                    "pod" => Space::Pod(node.number, Role::Agent),
                    _ => Space::of_node(node),
                };
                let command = match (site.word("how"), view.family()) {
                    ("address", IpFamily::V4) => "address del 127.0.0.1/8 dev lo",
                    ("address", IpFamily::V6) => "address del ::1/128 dev lo",
                    _ => "link set lo down",
                };
                vec![tool(space, "ip", command)]
            })
        },
    },
    FaultKind {
        cause: Cause::LoopbackSource,
        meaning: "what the node sends to 127.0.0.1 has another source, and KUBE-FIREWALL drops it",
        keys: &[
            Key::node("node", "where").or_more(),
            Key::words(
                "how",
                &["route", "snat"],
                "a route to 127.0.0.1 says which source, or masquerading has no device (-o)",
            ),
        ],
        needs: &[Need::Ipv4],
        takes: "iptables with conntrack (CONFIG_NETFILTER_XT_MATCH_CONNTRACK)",
        claims: &[Claim::Part("the loopback interface", "plane")],
        places: |site| site.at_nodes(Some(Plane::Host), None),
        actions: |site| {
            site.per_node(|view, node| {
                if view.family() == IpFamily::V6 {
                    return Vec::new();
                }
                let space = Space::of_node(node);
                // As kubelet writes it; a lab whose services need no iptables has none yet.
                let firewall = [
                    ":KUBE-FIREWALL - [0:0]",
                    "-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment \"block incoming localnet \
                     connections\" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
                    "-I INPUT -j KUBE-FIREWALL",
                    "-I OUTPUT -j KUBE-FIREWALL",
                ];
                let change = if site.word("how") == "snat" {
                    rules(view, space, "nat", ["-A POSTROUTING -j MASQUERADE"])
                } else {
                    let source = node.address;
                    let route =
                        format!("route replace local 127.0.0.1 dev lo table local scope host src {source}");
                    tool(space, "ip", &route)
                };
                vec![rules(view, space, "filter", firewall), change]
            })
        },
    },
];
