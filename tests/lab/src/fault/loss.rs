//! Faults that lose some packets and not others.

use mesh_proto::{Cause, Direction};

use super::FaultKind;
use super::Place;
use super::action::{Action, rules};
use super::exclusion::Claim;
use super::fabric::{between, ip, table, table_but_neighbours, ways};
use super::keys::Key;
use super::needs::Need;
use super::site::{Site, name};
use crate::cidr::IpFamily;
use crate::space::Space;
use crate::topology::Node;

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::OneWayLoss,
        meaning: "packets from one node to another are lost, and none the other way",
        keys: &[
            Key::node("from", "whose packets").or_more().or_first(),
            Key::node("to", "on their way to whom").but(&["from"]).or_more(),
            Key::words(
                "how",
                &["fabric", "ban"],
                "the fabric loses them, or a rule in INPUT of those whom they are sent to stops all that comes from there",
            ),
            Key::percent("share", None, "how many are lost; all of them if left out")
                .when("how", &["fabric"]),
            Key::words("action", &["drop", "reject"], "what the rule does").when("how", &["ban"]),
        ],
        needs: &[Need::Nodes(2)],
        takes: "nftables with tables of the bridge family (CONFIG_NF_TABLES_BRIDGE), and for how=ban iptables",
        claims: &[Claim::Between("the packets lost", ["from", "to"])],
        places: one_way,
        actions: |site| {
            if site.word("how") == "ban" {
                return bans(site);
            }
            let [to, _] = between(&site.nodes("to"), &site.nodes("from"));
            table_but_neighbours(site, [format!("{to} {}", lost(site.number_of("share")))])
        },
    },
    FaultKind {
        cause: Cause::RandomLoss,
        meaning: "the fabric loses a share of all packets to and from the node, or between it and the peer",
        keys: &[
            Key::node("node", "whose packets").or_more(),
            Key::node("peer", "only between it and these")
                .but(&["node"])
                .or_more()
                .optional(),
            Key::percent("share", Some(20), "how many are lost"),
        ],
        needs: &[Need::Nodes(2)],
        takes: "nftables with tables of the bridge family and numgen (CONFIG_NF_TABLES_BRIDGE, CONFIG_NFT_NUMGEN)",
        claims: &[Claim::Towards("the packets lost")],
        places: |site| site.at_nodes_or_pairs(None, None),
        actions: |site| {
            let lost = lost(site.number_of("share"));
            let rules: Vec<String> = ways(site).iter().map(|way| format!("{way} {lost}")).collect();
            table(site, &rules)
        },
    },
    FaultKind {
        cause: Cause::FlowLoss,
        meaning: "the fabric loses a share of all flows to the node, always the same ones: a bad path among several",
        keys: &[
            Key::node("node", "whose flows").or_more(),
            Key::node("peer", "only between it and these")
                .but(&["node"])
                .or_more()
                .optional(),
            Key::percent("share", Some(25), "how many flows"),
            Key::words(
                "protocol",
                &["any", "tcp", "udp"],
                "flows of which; an overlay's are of UDP",
            ),
            Key::words("direction", &["ingress", "egress", "both"], "which way"),
        ],
        needs: &[Need::Nodes(2)],
        takes: "nftables with tables of the bridge family and jhash (CONFIG_NF_TABLES_BRIDGE, CONFIG_NFT_HASH)",
        claims: &[Claim::Towards("the flows lost")],
        places: |site| site.at_nodes_or_pairs(None, None),
        actions: |site| {
            let share = site.number_of("share").unwrap_or_default();
            let protocols = match site.word("protocol") {
                "any" => "tcp, udp",
                one => one,
            };
            let mut rules = Vec::new();
            for way in ways(site) {
                for view in &site.views {
                    let ip = ip(view);
                    let flow = format!("{ip} saddr . {ip} daddr . th sport . th dport");
                    // The seed is fixed, or the kernel would draw one.
                    let hash = format!(
                        "jhash {flow} mod 100 seed {:#x} < {share}",
                        0x6d65_7368 + site.number
                    );
                    rules.push(format!(
                        "{way} meta protocol {ip} meta l4proto {{ {protocols} }} {hash} drop"
                    ));
                }
            }
            table(site, &rules)
        },
    },
];

fn lost(share: Option<u32>) -> String {
    match share {
        None | Some(100) => "drop".to_owned(),
        Some(share) => format!("numgen random mod 100 < {share} drop"),
    }
}

/// Rules against each of those whose packets are lost, before all others. Without NDP nobody would find the node at all.
fn bans(site: &Site<'_>) -> Vec<Action> {
    let target = match site.word("action") {
        "reject" => "REJECT",
        _ => "DROP",
    };
    let mut actions = Vec::new();
    for to in site.nodes("to") {
        for view in &site.views {
            let peers = site
                .nodes("from")
                .into_iter()
                .filter_map(|from| view.node(&from.name));
            let bans = peers.map(|from| format!("-I INPUT -s {} -j {target}", from.address));
            let neighbours: &[&str] = match view.family() {
                IpFamily::V4 => &[],
                IpFamily::V6 => &["neighbour-solicitation", "neighbour-advertisement"],
            };
            let neighbours = neighbours
                .iter()
                .map(|kind| format!("-I INPUT -p ipv6-icmp --icmpv6-type {kind} -j ACCEPT"));
            let lines: Vec<String> = bans.chain(neighbours).collect();
            let lines = lines.iter().map(String::as_str);
            actions.push(rules(view, Space::of_node(to), "filter", lines));
        }
    }
    actions
}

/// A rule stands where it is written. From one node to all others it is that node's, and so is from all others to one.
fn one_way(site: &Site<'_>) -> Vec<Place> {
    let (from, to) = (site.nodes("from"), site.nodes("to"));
    if site.word("how") == "ban" {
        let at = |node: &&Node| Place {
            nodes: vec![name(node)],
            direction: Some(Direction::Ingress),
            ..Place::default()
        };
        return to.iter().map(at).collect();
    }
    let all = site.topology.nodes.len();
    let (node, direction) = match (from.as_slice(), to.as_slice()) {
        ([one], to) if to.len() > 1 && to.len() + 1 == all => (*one, Direction::Egress),
        (from, [one]) if from.len() > 1 && from.len() + 1 == all => (*one, Direction::Ingress),
        (from, to) => {
            let of = |from| to.iter().map(move |to| (name(from), name(to)));
            let place = |pair| Place {
                pairs: vec![pair],
                ..Place::default()
            };
            return from.iter().flat_map(|from| of(from)).map(place).collect();
        }
    };
    vec![Place {
        nodes: vec![name(node)],
        direction: Some(direction),
        ..Place::default()
    }]
}
