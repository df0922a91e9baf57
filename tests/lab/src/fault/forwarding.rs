//! Faults of what a node forwards.

use mesh_proto::{Cause, Plane};

use super::FaultKind;
use super::action::{Action, BackEnd, nft, rules_by, sysctl};
use super::exclusion::Claim;
use super::keys::Key;
use super::site::Site;
use crate::cidr::IpFamily;
use crate::space::Space;
use crate::topology::{Node, Topology};

const BACK_ENDS: Key = Key::words(
    "backend",
    &["own", "nft", "legacy"],
    "by which iptables: that of the lab's own rules, or this one",
);

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::ForwardRejected,
        meaning: "the node's firewall rejects forwarded packets",
        keys: &[
            Key::node("node", "whose firewall").or_more(),
            Key::words(
                "how",
                &["iptables", "nftables"],
                "a REJECT at the end of FORWARD, or a table as firewalld writes it",
            ),
            Key::words("code", &["13", "10", "9", "0", "1", "3"], "of ICMP type 3"),
            BACK_ENDS.when("how", &["iptables"]),
        ],
        needs: &[],
        takes: "iptables or nftables with reject (CONFIG_IP_NF_TARGET_REJECT, CONFIG_NFT_REJECT)",
        claims: &[Claim::AtNodes("the forwarding")],
        places: |site| site.at_nodes(Some(Plane::Pod), None),
        actions: |site| match site.word("how") {
            "nftables" => {
                let firewalld = |node: &Node| as_firewalld(node, site.number, site.word("code"));
                site.nodes("node").into_iter().map(firewalld).collect()
            }
            _ => site.per_node(|view, node| {
                let rule = format!("-A FORWARD -j {}", reject_with(view, site.word("code")));
                let (space, back_end) = (Space::of_node(node), back_end(site));
                vec![rules_by(back_end, view, space, "filter", [rule.as_str()])]
            }),
        },
    },
    FaultKind {
        cause: Cause::ForwardDropped,
        meaning: "the node's firewall drops forwarded packets",
        keys: &[
            Key::node("node", "whose firewall").or_more(),
            Key::words(
                "how",
                &["policy", "rule", "nftables"],
                "the policy of FORWARD, a DROP at its end, or a table of nftables with policy drop",
            ),
            BACK_ENDS.when("how", &["policy", "rule"]),
        ],
        needs: &[],
        takes: "iptables or nftables",
        claims: &[Claim::AtNodes("the forwarding")],
        places: |site| site.at_nodes(Some(Plane::Pod), None),
        actions: |site| match site.word("how") {
            "nftables" => {
                let chain = "type filter hook forward priority filter; policy drop;\n\
                             ct state established,related accept";
                let table = table(site.number, chain);
                let write = |node: &Node| nft(Space::of_node(node), table.clone());
                site.nodes("node").into_iter().map(write).collect()
            }
            how => site.per_node(|view, node| {
                let line = if how == "rule" {
                    "-A FORWARD -j DROP"
                } else {
                    ":FORWARD DROP [0:0]"
                };
                let (space, back_end) = (Space::of_node(node), back_end(site));
                vec![rules_by(back_end, view, space, "filter", [line])]
            }),
        },
    },
    FaultKind {
        cause: Cause::IpForwardOff,
        meaning: "the node's kernel does not forward (net.ipv4.ip_forward, of IPv6 net.ipv6.conf.all.forwarding)",
        keys: &[Key::node("node", "whose kernel").or_more()],
        needs: &[],
        takes: "a /proc/sys that can be written",
        claims: &[Claim::AtNodes("the forwarding")],
        places: |site| site.at_nodes(Some(Plane::Pod), None),
        actions: |site| {
            site.per_node(|view, node| {
                let name = match view.family() {
                    IpFamily::V4 => "net/ipv4/ip_forward",
                    IpFamily::V6 => "net/ipv6/conf/all/forwarding",
                };
                vec![sysctl(node, name, "0")]
            })
        },
    },
];

fn back_end(site: &Site<'_>) -> BackEnd {
    match site.word("backend") {
        "nft" => BackEnd::Nft,
        "legacy" => BackEnd::Legacy,
        _ => BackEnd::of(site.topology),
    }
}

/// The target of a rule that rejects with this code of ICMP type 3, or the code of ICMPv6 type 1 that is nearest to it.
pub(super) fn reject_with(view: &Topology, code: &str) -> String {
    let with = match (view.family(), code) {
        (IpFamily::V4, "0") => "icmp-net-unreachable",
        (IpFamily::V4, "1") => "icmp-host-unreachable",
        (IpFamily::V4, "3") => "icmp-port-unreachable",
        (IpFamily::V4, "9") => "icmp-net-prohibited",
        (IpFamily::V4, "10") => "icmp-host-prohibited",
        (IpFamily::V4, _) => "icmp-admin-prohibited",
        (IpFamily::V6, "0") => "icmp6-no-route",
        (IpFamily::V6, "1") => "icmp6-addr-unreachable",
        (IpFamily::V6, "3") => "icmp6-port-unreachable",
        (IpFamily::V6, _) => "icmp6-adm-prohibited",
    };
    format!("REJECT --reject-with {with}")
}

/// After iptables, and after what has been translated: what comes from outside to a NodePort passes.
fn as_firewalld(node: &Node, number: usize, code: &str) -> Action {
    let (v4, v6) = match code {
        "0" => ("net-unreachable", "no-route"),
        "1" => ("host-unreachable", "addr-unreachable"),
        "3" => ("port-unreachable", "port-unreachable"),
        "9" => ("net-prohibited", "admin-prohibited"),
        "10" => ("host-prohibited", "admin-prohibited"),
        _ => ("admin-prohibited", "admin-prohibited"),
    };
    let chain = format!(
        "type filter hook forward priority filter + 10; policy accept;\n\
         ct state established,related accept\n\
         ct status dnat accept\n\
         iifname \"lo\" accept\n\
         meta nfproto ipv4 reject with icmp type {v4}\n\
         meta nfproto ipv6 reject with icmpv6 type {v6}"
    );
    nft(Space::of_node(node), table(number, &chain))
}

fn table(number: usize, chain: &str) -> String {
    format!("table inet firewall-{number} {{\nchain filter_FORWARD {{\n{chain}\n}}\n}}\n")
}
