//! Faults of a node's own firewall and routing rules that concern what it sends and takes in.

use mesh_proto::{Cause, Plane};

use super::FaultKind;
use super::action::{Action, protocol, rules, tool};
use super::exclusion::Claim;
use super::fabric;
use super::forwarding::reject_with;
use super::keys::Key;
use super::site::Site;
use crate::cidr::IpFamily;
use crate::options::Encapsulation;
use crate::space::Space;
use crate::topology::{Node, Topology};

/// A table of routes that only what the node itself sends is looked up in.
const OWN_ROUTES: u32 = 7_000;

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::LocalEgressBlocked,
        meaning: "the node refuses to send what is not for itself: its own packets, and those of the overlay",
        keys: &[
            Key::words(
                "how",
                &["drop", "reject", "route"],
                "a rule in OUTPUT, or a route that leads nowhere",
            ),
            Key::words("type", &["blackhole", "prohibit", "unreachable"], "of the route")
                .when("how", &["route"]),
            Key::node("node", "who refuses").or_more(),
            Key::node("peer", "only what is for these nodes")
                .but(&["node"])
                .or_more()
                .optional(),
        ],
        needs: &[],
        takes: "iptables, or policy routing (CONFIG_IP_MULTIPLE_TABLES)",
        claims: &[Claim::Towards("the node's own sending")],
        // One node refuses, whomever it refuses to send to: there stands the rule, and there it is mended.
        places: |site| site.at_nodes(None, None),
        actions: |site| {
            let mut actions = Vec::new();
            if site.word("how") == "route" {
                // Once, however many peers there are.
                actions.extend(site.per_node(|view, node| vec![own_routes(view, node)]));
            }
            actions.extend(if site.has("peer") {
                site.per_pair(|view, node, peer| refuse(site, view, node, Some(peer)))
            } else {
                site.per_node(|view, node| refuse(site, view, node, None))
            });
            actions
        },
    },
    FaultKind {
        cause: Cause::ProtocolFiltered,
        meaning: "one protocol is dropped, the others pass",
        keys: &[
            Key::node("node", "where").or_more(),
            Key::words("protocol", &["udp", "tcp", "icmp"], "which"),
            Key::words(
                "where",
                &["both", "input", "forward", "fabric"],
                "in the node's INPUT and FORWARD, in one of them, or at its port of the fabric",
            ),
            Key::words("action", &["drop", "reject"], "what becomes of it")
                .when("where", &["both", "input", "forward"]),
        ],
        needs: &[],
        takes: "iptables, and for where=fabric nftables with tables of the bridge family (CONFIG_NF_TABLES_BRIDGE)",
        claims: &[Claim::Part("the filter of protocols", "protocol")],
        places: |site| {
            let plane = match site.word("where") {
                "input" => Some(Plane::Host),
                "forward" => Some(Plane::Pod),
                _ => None,
            };
            site.at_nodes(plane, None)
        },
        actions: |site| match site.word("where") {
            "fabric" => filtered_on_the_way(site),
            _ => site.per_node(|view, node| filtered_at(site, view, node)),
        },
    },
];

/// What the node itself sends is looked up in a table of its own: what it forwards came in by another device than lo (Linux
/// `net/ipv4/fib_rules.c`).
fn own_routes(view: &Topology, node: &Node) -> Action {
    let rule = format!("rule add pref {OWN_ROUTES} iif lo lookup {OWN_ROUTES}");
    ip(view, node, &rule)
}

fn ip(view: &Topology, node: &Node, arguments: &str) -> Action {
    let family = match view.family() {
        IpFamily::V4 => "-4",
        IpFamily::V6 => "-6",
    };
    tool(Space::of_node(node), "ip", &format!("{family} {arguments}"))
}

fn refuse(site: &Site<'_>, view: &Topology, node: &Node, peer: Option<&Node>) -> Vec<Action> {
    let space = Space::of_node(node);
    if site.word("how") == "route" {
        let kind = site.word("type");
        let to = peer.map_or_else(|| "default".to_owned(), |peer| peer.address.to_string());
        return vec![ip(
            view,
            node,
            &format!("route replace {kind} {to} table {OWN_ROUTES}"),
        )];
    }
    let to = peer.map_or_else(
        || "! -o lo -m addrtype ! --dst-type LOCAL".to_owned(),
        |peer| format!("-d {}", peer.address),
    );
    let target = match site.word("how") {
        "reject" => reject_with(view, "13"),
        _ => "DROP".to_owned(),
    };
    let refused = format!("-A OUTPUT {to} -j {target}");
    // Without NDP its pods could not even send to it.
    let neighbours: &[&str] = match view.family() {
        IpFamily::V4 => &[],
        IpFamily::V6 => &[
            "-A OUTPUT -p ipv6-icmp --icmpv6-type neighbour-solicitation -j ACCEPT",
            "-A OUTPUT -p ipv6-icmp --icmpv6-type neighbour-advertisement -j ACCEPT",
        ],
    };
    let lines = neighbours.iter().copied().chain([refused.as_str()]);
    vec![rules(view, space, "filter", lines)]
}

fn filtered_at(site: &Site<'_>, view: &Topology, node: &Node) -> Vec<Action> {
    let name = protocol(view, site.word("protocol"));
    // The overlay is UDP too, but what is filtered here is the protocol inside. And without NDP there is no IPv6 at all.
    let only: &[String] = &match (name, view.options.encapsulation) {
        ("udp", Encapsulation::Vxlan(port)) => vec![format!("! --dport {port}")],
        ("ipv6-icmp", _) => vec![
            "--icmpv6-type echo-request".to_owned(),
            "--icmpv6-type echo-reply".to_owned(),
        ],
        _ => vec![String::new()],
    };
    let target = match site.word("action") {
        "reject" => reject_with(view, "13"),
        _ => "DROP".to_owned(),
    };
    let chains: &[&str] = match site.word("where") {
        "input" => &["INPUT ! -i lo"],
        "forward" => &["FORWARD"],
        _ => &["INPUT ! -i lo", "FORWARD"],
    };
    let mut lines = Vec::new();
    for chain in chains {
        for only in only {
            lines.push(format!("-I {chain} -p {name} {only} -j {target}"));
        }
    }
    let lines = lines.iter().map(String::as_str);
    vec![rules(view, Space::of_node(node), "filter", lines)]
}

fn filtered_on_the_way(site: &Site<'_>) -> Vec<Action> {
    let mut lines = Vec::new();
    for way in fabric::ways(site) {
        for view in &site.views {
            let ip = fabric::ip(view);
            let what = match (site.word("protocol"), view.options.encapsulation) {
                ("udp", Encapsulation::Vxlan(port)) => format!("meta l4proto udp udp dport != {port}"),
                ("icmp", _) if view.family() == IpFamily::V6 => "meta l4proto ipv6-icmp".to_owned(),
                (name, _) => format!("meta l4proto {name}"),
            };
            lines.push(format!("{way} meta protocol {ip} {what} drop"));
        }
    }
    fabric::table_but_neighbours(site, lines)
}
