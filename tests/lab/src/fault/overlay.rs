//! Faults of the overlay.

use mesh_proto::{Cause, Plane, Port};

use super::action::{Action, ip_batch, rules, tool};
use super::exclusion::Claim;
use super::forwarding::reject_with;
use super::keys::Key;
use super::needs::Need;
use super::neighbours::NOBODYS_MAC;
use super::{FaultKind, services};
use crate::options::Encapsulation;
use crate::space::Space;
use crate::wiring;

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::OverlayPortBlocked,
        meaning: "the node's firewall blocks the overlay's UDP port, or its IP protocol",
        keys: &[
            Key::node("node", "whose firewall").or_more(),
            Key::words("direction", &["ingress", "egress", "both"], "which way"),
            Key::words("action", &["drop", "reject"], "what it does"),
            Key::words("code", &["10", "13", "9", "3"], "of ICMP type 3").when("action", &["reject"]),
        ],
        needs: &[Need::Overlay, Need::Nodes(2)],
        takes: "iptables with REJECT",
        claims: &[Claim::Part("the overlay's port", "direction")],
        places: |site| site.at_nodes(Some(Plane::Pod), site.direction()),
        actions: |site| {
            let chains: &[&str] = match site.word("direction") {
                "egress" => &["OUTPUT"],
                "both" => &["INPUT", "OUTPUT"],
                _ => &["INPUT"],
            };
            site.per_node(|view, node| {
                let what = match view.options.encapsulation {
                    Encapsulation::Vxlan(port) => format!("-p udp --dport {port}"),
                    // The protocol number of IP in IP (RFC 2003).
                    Encapsulation::Ipip | Encapsulation::None => "-p 4".to_owned(),
                };
                let target = match site.word("action") {
                    "reject" => reject_with(view, site.word("code")),
                    _ => "DROP".to_owned(),
                };
                let lines: Vec<String> = chains
                    .iter()
                    .map(|chain| format!("-I {chain} {what} -j {target}"))
                    .collect();
                let lines = lines.iter().map(String::as_str);
                vec![rules(view, Space::of_node(node), "filter", lines)]
            })
        },
    },
    FaultKind {
        cause: Cause::OverlayPortMismatch,
        meaning: "the node's overlay uses another UDP port",
        keys: &[
            Key::node("node", "whose overlay"),
            Key::free_port("the port that it uses instead"),
        ],
        needs: &[Need::Vxlan, Need::Nodes(2)],
        takes: "VXLAN in the kernel (CONFIG_VXLAN)",
        claims: &[
            Claim::AtNodes("the overlay device"),
            Claim::AtNodes("the pod routes"),
        ],
        places: |site| site.at_nodes(Some(Plane::Pod), None),
        actions: |site| {
            let port = site.number_of("port").and_then(|port| port.try_into().ok());
            let port = Port(port.unwrap_or_default());
            site.per_node(|view, node| {
                let space = Space::of_node(node);
                let batch = [
                    format!("link del {}", wiring::overlay_name(view)),
                    wiring::overlay_device(view, node, port),
                    wiring::pod_routes(view, node, "add"),
                ];
                let entries = Action::Run {
                    space,
                    program: "bridge",
                    arguments: vec!["-batch".to_owned(), "-".to_owned()],
                    input: wiring::overlay_entries(view, node),
                };
                vec![ip_batch(space, &batch), entries]
            })
        },
    },
    FaultKind {
        cause: Cause::OverlayDeviceDown,
        meaning: "the node's overlay device is down or missing, and the routes through it with it",
        keys: &[
            Key::node("node", "whose device").or_more(),
            Key::words("how", &["down", "deleted"], "what it is"),
        ],
        needs: &[Need::Overlay, Need::Nodes(2)],
        takes: "iproute2",
        claims: &[
            Claim::AtNodes("the overlay device"),
            Claim::AtNodes("the pod routes"),
        ],
        places: |site| site.at_nodes(Some(Plane::Pod), None),
        actions: |site| {
            site.per_node(|view, node| {
                let name = wiring::overlay_name(view);
                let command = match site.word("how") {
                    "deleted" => format!("link del {name}"),
                    _ => format!("link set {name} down"),
                };
                vec![tool(Space::of_node(node), "ip", &command)]
            })
        },
    },
    FaultKind {
        cause: Cause::OverlayPeerStale,
        meaning: "the node's overlay sends what is for the peer to nobody",
        keys: &[
            Key::node("node", "whose entry is wrong").or_more(),
            Key::node("peer", "whom the entry is for")
                .but(&["node"])
                .or_more(),
            Key::words(
                "how",
                &["fdb", "neighbour"],
                "the FDB leads to an address that no node has, or the neighbour entry to a MAC address that none has",
            ),
        ],
        needs: &[Need::Vxlan, Need::Nodes(2)],
        takes: "iproute2",
        claims: &[Claim::Towards("the overlay device")],
        places: |site| site.at_pairs(Some(Plane::Pod)),
        actions: |site| {
            site.per_pair(|view, node, peer| {
                let (device, space) = (wiring::overlay_name(view), Space::of_node(node));
                let step = if site.word("how") == "neighbour" {
                    let via = peer.overlay;
                    let entry =
                        format!("neighbour replace {via} lladdr {NOBODYS_MAC} dev {device} nud permanent");
                    tool(space, "ip", &entry)
                } else {
                    let (mac, nobody) = (peer.overlay_mac(), services::no_node(view));
                    let entry = format!("fdb replace {mac} dev {device} dst {nobody}");
                    tool(space, "bridge", &entry)
                };
                vec![step]
            })
        },
    },
];
