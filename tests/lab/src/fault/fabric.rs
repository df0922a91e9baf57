//! Faults of the network between the nodes: what its switch passes on.

use mesh_proto::{Cause, Direction, Plane};

use super::action::{Action, nft, rules, tool};
use super::exclusion::Claim;
use super::keys::Key;
use super::needs::Need;
use super::site::{Site, name};
use super::{FaultKind, Place};
use crate::cidr::IpFamily;
use crate::options::PodNetwork;
use crate::space::Space;
use crate::topology::{Node, Topology};
use crate::wiring::{self, UPLINK};

/// What all of these take.
pub(super) const BRIDGE_TABLES: &str = "nftables with tables of the bridge family (CONFIG_NF_TABLES_BRIDGE)";

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::NodePartitioned,
        meaning: "the fabric passes nothing between the nodes and all others, or between them and the peers",
        keys: &[
            Key::node("node", "the nodes that are cut off together").or_more(),
            Key::node("peer", "from whom; from all others if left out")
                .but(&["node"])
                .or_more()
                .optional(),
            Key::words(
                "how",
                &["drop", "ip"],
                "all packets are dropped, or those of IP, and ARP and NDP pass",
            ),
        ],
        needs: &[Need::Nodes(2)],
        takes: BRIDGE_TABLES,
        claims: &[
            Claim::Towards("the link"),
            Claim::Towards("the packets lost"),
            Claim::Towards("the packet size"),
            Claim::Towards("the neighbour entry"),
        ],
        places: |site| {
            if site.has("peer") {
                return site.at_pairs(None);
            }
            // Of two parts the smaller one is cut off from the other.
            let (some, others) = (site.nodes("node"), site.others("node"));
            let smaller = if others.is_empty() || some.len() <= others.len() {
                some
            } else {
                others
            };
            vec![Place {
                nodes: smaller.into_iter().map(name).collect(),
                ..Place::default()
            }]
        },
        actions: |site| {
            let what = if site.word("how") == "ip" {
                "meta protocol { ip, ip6 } "
            } else {
                ""
            };
            // Packets between nodes that are cut off together pass.
            let ways = between(&site.nodes("node"), &site.peers());
            let rules: Vec<String> = ways.iter().map(|way| format!("{way} {what}drop")).collect();
            match site.word("how") {
                "ip" => table_but_neighbours(site, rules),
                _ => table(site, &rules),
            }
        },
    },
    FaultKind {
        cause: Cause::UnderlayDropsPods,
        meaning: "the fabric drops packets with pod addresses",
        keys: &[Key::node("node", "to and from whom").or_all()],
        needs: &[Need::NoOverlay, Need::Nodes(2)],
        takes: BRIDGE_TABLES,
        claims: &[Claim::AtNodes("the packets with pod addresses")],
        places: |site| {
            let plane = (!site.is_all("node")).then_some(Plane::Pod);
            site.at_nodes(plane, None)
        },
        actions: |site| {
            let mut lines = Vec::new();
            for way in ways(site) {
                for view in &site.views {
                    let (family, pods) = (ip(view), view.networks().pods);
                    lines.push(format!("{way} {family} saddr {pods} drop"));
                    lines.push(format!("{way} {family} daddr {pods} drop"));
                }
            }
            table(site, &lines)
        },
    },
    FaultKind {
        cause: Cause::MtuBlackhole,
        meaning: "larger packets vanish on the way, and nobody is told",
        keys: &[
            Key::words(
                "how",
                &["path", "icmp-filtered"],
                "the fabric loses them, or the node's pods have the MTU of the node, and the node's firewall drops the word \
                 that they should send less",
            ),
            Key::node("node", "to and from whom").or_more(),
            Key::node("peer", "only between it and these")
                .but(&["node"])
                .or_more()
                .optional()
                .when("how", &["path"]),
            Key::size("the largest IP packet that passes").when("how", &["path"]),
            Key::words("direction", &["both", "ingress", "egress"], "which way").when("how", &["path"]),
        ],
        needs: &[Need::Nodes(2), Need::When("how", "icmp-filtered", &Need::Overlay)],
        takes: BRIDGE_TABLES,
        claims: &[Claim::Towards("the packet size")],
        places: |site| match site.word("how") {
            "path" => site.at_nodes_or_pairs(None, site.direction()),
            _ => site.at_nodes(Some(Plane::Pod), Some(Direction::Egress)),
        },
        actions: |site| {
            if site.word("how") == "icmp-filtered" {
                return site.per_node(too_large_pods);
            }
            let size = site.number_of("size").unwrap_or(u32::MAX);
            let rules = ways(site).into_iter().flat_map(|way| {
                // The length of IPv6 is without its header (RFC 8200 section 3).
                [
                    format!("{way} ip length > {size} drop"),
                    format!("{way} ip6 length > {} drop", size.saturating_sub(40)),
                ]
            });
            table(site, &rules.collect::<Vec<_>>())
        },
    },
];

/// A table of the fabric with these rules.
pub(super) fn table(site: &Site<'_>, rules: &[String]) -> Vec<Action> {
    let (number, rules) = (site.number, rules.join("\n"));
    let chain = format!("chain forward {{\ntype filter hook forward priority 0;\n{rules}\n}}");
    vec![nft(
        Space::Fabric,
        format!("table bridge fault-{number} {{\n{chain}\n}}\n"),
    )]
}

/// The same, but ARP and NDP pass: a link without them is dead both ways.
pub(super) fn table_but_neighbours(site: &Site<'_>, rules: impl IntoIterator<Item = String>) -> Vec<Action> {
    let pass = [
        "ether type arp accept".to_owned(),
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept".to_owned(),
    ];
    let all: Vec<String> = pass.into_iter().chain(rules).collect();
    table(site, &all)
}

/// What nftables calls a family.
pub(super) fn ip(view: &Topology) -> &'static str {
    match view.family() {
        IpFamily::V4 => "ip",
        IpFamily::V6 => "ip6",
    }
}

/// A set of the fabric's ports.
pub(super) fn ports(nodes: &[&Node]) -> String {
    let ports: Vec<String> = nodes.iter().map(|node| node.fabric_port()).collect();
    format!("{{ {} }}", ports.join(", "))
}

/// What matches packets to the nodes, and from them, in the directions of the key `direction`; where peers are named, only
/// from those and to those.
pub(super) fn ways(site: &Site<'_>) -> Vec<String> {
    let ours = site.nodes("node");
    let [to, from] = if site.has("peer") {
        between(&ours, &site.peers())
    } else {
        let ours = ports(&ours);
        [format!("oifname {ours}"), format!("iifname {ours}")]
    };
    match site.direction() {
        Some(Direction::Ingress) => vec![to],
        Some(Direction::Egress) => vec![from],
        _ => vec![to, from],
    }
}

/// What matches packets to some nodes from others, and from them to those.
pub(super) fn between(ours: &[&Node], theirs: &[&Node]) -> [String; 2] {
    let (ours, theirs) = (ports(ours), ports(theirs));
    [
        format!("oifname {ours} iifname {theirs}"),
        format!("iifname {ours} oifname {theirs}"),
    ]
}

/// Pods that send as much as the node's network takes, on a node that does not say that its overlay takes less.
fn too_large_pods(view: &Topology, node: &Node) -> Vec<Action> {
    let (space, mtu) = (Space::of_node(node), view.options.mtu);
    let mut actions = Vec::new();
    if view.options.pod_network == PodNetwork::Bridge {
        actions.push(tool(
            space,
            "ip",
            &format!("link set {} mtu {mtu}", wiring::BRIDGE),
        ));
    }
    for pod in &node.pods {
        let device = wiring::pod_device_name(pod);
        actions.push(tool(space, "ip", &format!("link set {device} mtu {mtu}")));
        actions.push(tool(
            Space::of_pod(node, pod),
            "ip",
            &format!("link set {UPLINK} mtu {mtu}"),
        ));
    }
    let rule = match view.family() {
        IpFamily::V4 => "-I OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP",
        IpFamily::V6 => "-I OUTPUT -p ipv6-icmp --icmpv6-type packet-too-big -j DROP",
    };
    actions.push(rules(view, space, "filter", [rule]));
    actions
}
