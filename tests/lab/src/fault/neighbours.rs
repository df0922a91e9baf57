//! Faults of the neighbour tables on the node network, and of addresses that two have.

use mesh_proto::{Cause, Plane};

use super::action::{alone, ip_batch, tool};
use super::exclusion::Claim;
use super::fabric;
use super::keys::Key;
use super::needs::Need;
use super::site::Site;
use super::{Action, FaultKind};
use crate::cidr::IpFamily;
use crate::options::PodNetwork;
use crate::space::Space;
use crate::topology::{Node, Role, Topology};
use crate::wiring::{self, UPLINK};

/// A locally administered address (IEEE 802) that no device has.
pub(super) const NOBODYS_MAC: &str = "02:00:00:00:de:ad";

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::NeighbourStale,
        meaning: "the node's ARP or NDP entry for the peer has a wrong MAC address",
        keys: &[
            Key::node("node", "whose entry is wrong").or_more(),
            Key::node("peer", "whom the entry is for")
                .but(&["node"])
                .or_more(),
        ],
        needs: &[Need::Nodes(2)],
        takes: "iproute2",
        claims: &[Claim::Towards("the neighbour entry")],
        places: |site| site.at_pairs(None),
        actions: |site| {
            site.per_pair(|_, node, peer| {
                let entry = format!(
                    "neighbour replace {} lladdr {NOBODYS_MAC} dev {UPLINK} nud permanent",
                    peer.address
                );
                vec![tool(Space::of_node(node), "ip", &entry)]
            })
        },
    },
    FaultKind {
        cause: Cause::DuplicateAddress,
        meaning: "another machine, or another pod, has the node's or its pod's address, and peers reach that one",
        keys: &[
            Key::words(
                "plane",
                &["host", "pod"],
                "a strange machine on the node network has the node's address, or the peer's pod that of the node's",
            ),
            Key::node("node", "whose address it is"),
            Key::node("peer", "who reaches the wrong one")
                .but(&["node"])
                .or_all(),
        ],
        needs: &[Need::Nodes(2)],
        takes: "nftables with tables of the bridge family (CONFIG_NF_TABLES_BRIDGE)",
        claims: &[Claim::Part("the address", "plane")],
        places: |site| {
            let plane = (site.word("plane") == "pod").then_some(Plane::Pod);
            // It is the node's address that two have, however many peers were taken in so far.
            site.at_nodes(plane, None)
        },
        actions: |site| match site.word("plane") {
            "pod" => site.per_pair(second_pod),
            _ => second_machine(site),
        },
    },
];

/// The agent's pod on the peer has the address of that on the node too, and the peer sends there what is for it.
fn second_pod(view: &Topology, node: &Node, peer: &Node) -> Vec<Action> {
    let agents = |node: &Node| node.pods.iter().find(|pod| pod.role == Role::Agent).cloned();
    let (Some(ours), Some(theirs)) = (agents(node), agents(peer)) else {
        return Vec::new();
    };
    let address = alone(ours.address);
    let at_once = match view.family() {
        IpFamily::V4 => "",
        IpFamily::V6 => " nodad",
    };
    let device = match view.options.pod_network {
        PodNetwork::Routed => wiring::pod_device_name(&theirs),
        PodNetwork::Bridge => wiring::BRIDGE.to_owned(),
    };
    vec![
        tool(
            Space::of_pod(peer, &theirs),
            "ip",
            &format!("address add {address} dev {UPLINK}{at_once}"),
        ),
        tool(
            Space::of_node(peer),
            "ip",
            &format!("route replace {address} dev {device}"),
        ),
    ]
}

/// A machine beside the nodes answers for the node's address. Who reaches which one is a race in a true network; here the
/// peers have the wrong one in their tables, and neither of the two talks them out of it.
fn second_machine(site: &Site<'_>) -> Vec<Action> {
    let (device, port) = (
        format!("rogue{}", site.number),
        format!("rogueport{}", site.number),
    );
    let mac = format!("02:6d:0d:00:00:{:02x}", site.number % 256);
    let mtu = site.topology.options.mtu;
    let mut batch = vec![
        format!("link add {device} mtu {mtu} address {mac} type veth peer name {port} mtu {mtu}"),
        format!("link set {port} master fabric up"),
        format!("link set {device} up"),
    ];
    let ports = fabric::ports(&site.peers());
    let mut rules = vec![
        format!("iifname {port} oifname != {ports} drop"),
        format!("oifname {port} iifname != {ports} drop"),
    ];
    for view in &site.views {
        for node in site.nodes("node").iter().filter_map(|node| view.node(&node.name)) {
            let (address, ours) = (node.address, node.fabric_port());
            let (at_once, solicits) = match view.family() {
                IpFamily::V4 => ("", format!("arp saddr ip {address}")),
                IpFamily::V6 => (
                    " nodad",
                    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }".to_owned(),
                ),
            };
            batch.push(format!("address add {} dev {device}{at_once}", alone(address)));
            rules.push(format!("iifname {ours} oifname {ports} {solicits} drop"));
        }
    }
    let mut actions = vec![ip_batch(Space::Fabric, &batch)];
    // The gateway's own device must not answer for the address, and takes packets of nodes that come by the other.
    for (name, value) in [
        ("all/rp_filter".to_owned(), "0"),
        (format!("{device}/rp_filter"), "0"),
        ("fabric/arp_ignore".to_owned(), "1"),
    ] {
        actions.push(Action::Sysctl {
            space: Space::Fabric,
            name: format!("net/ipv4/conf/{name}"),
            value,
        });
    }
    actions.extend(fabric::table(site, &rules));
    let peers = site.peers();
    actions.extend(site.per_node(|view, node| {
        let peers = peers.iter().filter_map(|peer| view.node(&peer.name));
        let entries = peers.flat_map(|peer| {
            let entry = |address, mac: &str, state| {
                format!("neighbour replace {address} lladdr {mac} dev {UPLINK} nud {state}")
            };
            [
                tool(
                    Space::of_node(peer),
                    "ip",
                    &entry(node.address, &mac, "reachable"),
                ),
                tool(
                    Space::of_node(node),
                    "ip",
                    &entry(peer.address, &peer.uplink_mac(), "permanent"),
                ),
            ]
        });
        entries.collect()
    }));
    actions
}
