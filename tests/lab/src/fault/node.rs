//! Faults of a whole node.

use mesh_proto::Cause;

use super::action::{nft, tool};
use super::exclusion::Claim;
use super::keys::Key;
use super::{Action, FaultKind};
use crate::cidr::IpFamily;
use crate::space::Space;
use crate::topology::{Node, Role, Topology};
use crate::wiring::{self, UPLINK};

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::NodeDown,
        meaning: "the node's link is down and its agents are killed",
        keys: &[
            Key::node("node", "the node that is down").or_more(),
            Key::words(
                "how",
                &["cut", "agents-and-link"],
                "the port of the switch is down, or the node's own device",
            ),
        ],
        needs: &[],
        takes: "iproute2",
        claims: &[Claim::AtNodes("the power")],
        places: |site| site.at_nodes(None, None),
        actions: |site| {
            let mut actions = Vec::new();
            for node in site.nodes("node") {
                actions.push(match site.word("how") {
                    "agents-and-link" => tool(Space::of_node(node), "ip", &format!("link set {UPLINK} down")),
                    _ => tool(
                        Space::Fabric,
                        "ip",
                        &format!("link set {} down", node.fabric_port()),
                    ),
                });
                actions.push(Action::KillAgents { node: node.number });
            }
            actions
        },
    },
    FaultKind {
        cause: Cause::ConntrackFull,
        meaning: "the node's connection table has no entry left: old entries are put in until the kernel takes no more",
        keys: &[Key::node("node", "the node whose table is full").or_more()],
        needs: &[],
        takes: "a kernel with CONFIG_NF_CT_NETLINK, and a table small enough to be filled",
        claims: &[Claim::AtNodes("the connection table")],
        places: |site| site.at_nodes(None, None),
        actions: |site| {
            let fill = |node: &Node| Action::FillConnections {
                space: Space::of_node(node),
            };
            site.nodes("node").into_iter().map(fill).collect()
        },
    },
    FaultKind {
        cause: Cause::Slow,
        meaning: "the node loses the first SYN, or the first DNS query, of each flow that comes to it from others; the second \
                  passes",
        keys: &[
            Key::words("protocol", &["any", "tcp", "dns"], "whose flows"),
            Key::node("node", "the node; to one without a DNS pod no queries come")
                .home_if(Role::Dns, "protocol", "dns")
                .or_more(),
        ],
        needs: &[],
        takes: "nftables with dynamic sets and connection tracking (CONFIG_NF_TABLES, CONFIG_NFT_CT)",
        claims: &[Claim::Part("the first packets", "protocol")],
        places: |site| site.at_nodes(None, None),
        actions: |site| {
            // What is not resent by whom it is lost to would be lost, not slow: no datagrams but queries.
            let passes = match site.word("protocol") {
                "tcp" => "meta l4proto != tcp accept",
                "dns" => "udp dport != 53 accept\nmeta l4proto != udp accept",
                _ => "udp dport != 53 accept\nmeta l4proto != { tcp, udp } accept",
            };
            site.per_node(|view, node| vec![first_is_lost(view, node, site.number, passes)])
        },
    },
];

/// Before addresses are translated and after connections are known: only what nobody has answered yet is new.
fn first_is_lost(view: &Topology, node: &Node, number: usize, passes: &str) -> Action {
    let (family, address) = match view.family() {
        IpFamily::V4 => ("ip", "ipv4_addr"),
        IpFamily::V6 => ("ip6", "ipv6_addr"),
    };
    let overlay = wiring::overlay_name(view);
    let flow = format!("{family} saddr . {family} daddr . meta l4proto . th sport . th dport");
    let chain = format!(
        "type filter hook prerouting priority mangle;\n\
         iifname != {{ \"{UPLINK}\", \"{overlay}\" }} accept\n\
         {passes}\n\
         ct state != new accept\n\
         {flow} @seen accept\n\
         add @seen {{ {flow} }} drop"
    );
    let set = format!(
        "type {address} . {address} . inet_proto . inet_service . inet_service;\n\
         flags dynamic,timeout; timeout 10m; size 65535;"
    );
    nft(
        Space::of_node(node),
        format!(
            "table {family} fault-{number} {{\nset seen {{\n{set}\n}}\nchain prerouting {{\n{chain}\n}}\n}}\n"
        ),
    )
}
