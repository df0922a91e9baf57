//! Faults of routes: missing ones, circles, and ways back that differ from the way there.

use mesh_proto::{Cause, Plane};

use super::action::{Action, alone, ip_batch, sysctl, tool};
use super::exclusion::Claim;
use super::keys::Key;
use super::needs::Need;
use super::site::{Site, name};
use super::{FaultKind, Place};
use crate::cidr::IpFamily;
use crate::options::Encapsulation;
use crate::space::Space;
use crate::topology::{Node, Topology};
use crate::wiring::{self, UPLINK};

/// The second device of a node on the node network.
const SECOND_UPLINK: &str = "eth1";

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::PodRoutesMissing,
        meaning: "the node's routes to other nodes' pods are gone",
        keys: &[
            Key::node("node", "whose routes").or_all(),
            Key::node("peer", "whose pods they lead to; all others' if left out")
                .but(&["node"])
                .or_more()
                .optional(),
        ],
        needs: &[Need::Nodes(2)],
        takes: "iproute2",
        claims: &[Claim::Towards("the pod routes")],
        places: |site| site.at_nodes_or_pairs(Some(Plane::Pod), None),
        actions: |site| {
            site.per_pair(|view, node, peer| {
                let routes = wiring::pod_routes(view, node, "del");
                let to_peer = format!("route del {} ", view.pods_of(peer));
                let lines = routes.lines().filter(|line| line.starts_with(&to_peer));
                let batch: Vec<String> = lines.map(str::to_owned).collect();
                vec![ip_batch(Space::of_node(node), &batch)]
            })
        },
    },
    FaultKind {
        cause: Cause::RoutingLoop,
        meaning: "packets to the peer's pods circle between the node and another one, or the gateway",
        keys: &[
            Key::words("how", &["nodes", "gateway"], "whom the node circles them with"),
            Key::node("node", "one end of the circle"),
            Key::node("via", "the other end")
                .but(&["node"])
                .when("how", &["nodes"]),
            Key::node("peer", "whose pods cannot be reached").but(&["node", "via"]),
        ],
        needs: &[Need::Nodes(2), Need::When("how", "nodes", &Need::Nodes(3))],
        takes: "iproute2",
        claims: &[
            Claim::Towards("the pod routes"),
            Claim::Between("the pod routes", ["via", "peer"]),
        ],
        places: |site| {
            if site.word("how") == "gateway" {
                return site.at_pairs(Some(Plane::Pod));
            }
            // Neither of the two is at fault without the other.
            let mut ends = [site.nodes("node"), site.nodes("via")].concat();
            ends.sort_by_key(|node| node.number);
            let pairs = ends.windows(2).map(|pair| (name(pair[0]), name(pair[1])));
            vec![Place {
                pairs: pairs.collect(),
                plane: Some(Plane::Pod),
                ..Place::default()
            }]
        },
        actions: routing_loop,
    },
    FaultKind {
        cause: Cause::ReversePathFilter,
        meaning: "the node drops packets whose way back is by another device (rp_filter is 1)",
        keys: &[
            Key::words(
                "how",
                &["asymmetric", "strict"],
                "the way back to the peer is by a second device, or nothing but the sysctl, which meets pods that talk to the \
                 node by their own address",
            ),
            Key::node("node", "who drops"),
            Key::node("peer", "whose packets")
                .but(&["node"])
                .or_more()
                .when("how", &["asymmetric"]),
        ],
        needs: &[
            Need::Ipv4,
            Need::Nodes(2),
            Need::When("how", "strict", &Need::Overlay),
            Need::When("how", "strict", &Need::NoNatOutgoing),
        ],
        takes: "macvlan in the kernel (CONFIG_MACVLAN)",
        claims: &[Claim::AtNodes("the reverse path filter")],
        places: |site| site.at_nodes(None, None),
        actions: reverse_path_filter,
    },
];

/// The next hop of a route to another node's pods.
fn next_hop(view: &Topology, to: &Node) -> String {
    let device = wiring::overlay_name(view);
    match view.options.encapsulation {
        Encapsulation::Vxlan(_) => format!("via {} dev {device} onlink", to.overlay),
        Encapsulation::Ipip => format!("via {} dev {device} onlink", to.address),
        Encapsulation::None => format!("via {} dev {UPLINK}", to.address),
    }
}

fn routing_loop(site: &Site<'_>) -> Vec<Action> {
    let via: Vec<_> = site.nodes("via").into_iter().map(|node| &node.name).collect();
    let mut actions = Vec::new();
    if site.word("how") == "gateway" {
        // It tells nobody of a better way: it knows none.
        for name in ["all/send_redirects", "fabric/send_redirects"] {
            actions.push(Action::Sysctl {
                space: Space::Fabric,
                name: format!("net/ipv4/conf/{name}"),
                value: "0",
            });
        }
    }
    actions.extend(site.per_pair(
        |view, node, peer| match via.first().and_then(|via| view.node(via)) {
            Some(via) => {
                let route = |from: &Node, to| {
                    let route = format!("route replace {} {}", view.pods_of(peer), next_hop(view, to));
                    tool(Space::of_node(from), "ip", &route)
                };
                vec![route(node, via), route(via, node)]
            }
            None => loop_with_gateway(view, node, peer),
        },
    ));
    actions
}

/// The gateway knows the way to all pods, or its word that a packet's time is over would reach none; only that to the
/// peer's is wrong.
fn loop_with_gateway(view: &Topology, node: &Node, peer: &Node) -> Vec<Action> {
    let forwarding = match view.family() {
        IpFamily::V4 => "net/ipv4/ip_forward",
        IpFamily::V6 => "net/ipv6/conf/all/forwarding",
    };
    let way = |home: &Node| {
        let by = if home.number == peer.number { node } else { home };
        let network = view.pods_of(home);
        let way = format!("route replace {network} via {} dev fabric", by.address);
        tool(Space::Fabric, "ip", &way)
    };
    let (network, gateway) = (view.pods_of(peer), view.gateway());
    let back = format!("route replace {network} via {gateway} dev {UPLINK}");
    let mut actions = vec![Action::Sysctl {
        space: Space::Fabric,
        name: forwarding.to_owned(),
        value: "1",
    }];
    actions.extend(view.nodes.iter().map(way));
    actions.push(tool(Space::of_node(node), "ip", &back));
    actions
}

fn reverse_path_filter(site: &Site<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    for node in site.nodes("node") {
        if site.word("how") == "strict" {
            actions.push(sysctl(node, "net/ipv4/conf/all/rp_filter", "1"));
            continue;
        }
        let device = format!("link add {SECOND_UPLINK} link {UPLINK} type macvlan mode bridge");
        actions.push(tool(Space::of_node(node), "ip", &device));
        // It answers for no address of the other: peers go on sending to that one.
        actions.push(sysctl(
            node,
            &format!("net/ipv4/conf/{SECOND_UPLINK}/arp_ignore"),
            "1",
        ));
        let mut batch = vec![format!("link set {SECOND_UPLINK} up")];
        for peer in site.peers() {
            let (ours, address, mac) = (node.address, peer.address, peer.uplink_mac());
            let to_peer = alone(address);
            batch.push(format!(
                "neighbour add {address} lladdr {mac} dev {SECOND_UPLINK} nud permanent"
            ));
            batch.push(format!("route add {to_peer} dev {SECOND_UPLINK} src {ours}"));
        }
        actions.push(ip_batch(Space::of_node(node), &batch));
        actions.push(sysctl(node, &format!("net/ipv4/conf/{UPLINK}/rp_filter"), "1"));
    }
    actions
}
