//! Faults of what services lead to.

use mesh_proto::Cause;

use super::action::{Action, rules};
use super::exclusion::Claim;
use super::keys::Key;
use super::site::{Site, name};
use super::{FaultKind, Place};
use crate::cidr::IpFamily;
use crate::space::Space;
use crate::topology::{Node, Pod, Role};

const HOW: Key = Key::words("how", &["silent", "refused"], "what becomes of who asks");

pub(super) const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::ApiServerDown,
        meaning: "nothing listens where the API server should, or it does not answer",
        keys: &[HOW],
        needs: &[],
        takes: "iptables",
        claims: &[Claim::AtPlaces("the API server")],
        places: |site| {
            let home = site.topology.nodes.first().map(name);
            vec![Place {
                nodes: home.into_iter().collect(),
                ..Place::default()
            }]
        },
        actions: |site| {
            let port = site.topology.options.api_port;
            let Some(home) = site.topology.nodes.first() else {
                return Vec::new();
            };
            let space = Space::of_node(home);
            if site.word("how") == "refused" {
                return vec![Action::EndServers { space }];
            }
            let rule = format!("-I INPUT -p tcp --dport {port} -j DROP");
            let silence = |view| rules(view, space, "filter", [rule.as_str()]);
            site.views.iter().map(silence).collect()
        },
    },
    FaultKind {
        cause: Cause::DnsEndpointDown,
        meaning: "one DNS server is dead",
        keys: &[
            Key::node("node", "whose DNS pod").home_of(Role::Dns).or_more(),
            HOW,
        ],
        needs: &[],
        takes: "iptables",
        claims: &[Claim::AtNodes("the DNS servers")],
        places: |site| site.at_nodes(None, None),
        actions: |site| {
            let chosen = site.nodes("node");
            let is_chosen = |node: &Node| chosen.iter().any(|one| one.number == node.number);
            let pods = site.topology.pods(Role::Dns);
            pods.filter(|(node, _)| is_chosen(node))
                .flat_map(|(node, pod)| dead(site, node, pod))
                .collect()
        },
    },
    FaultKind {
        cause: Cause::DnsDown,
        meaning: "all DNS servers are dead",
        keys: &[HOW],
        needs: &[],
        takes: "iptables",
        claims: &[Claim::Cluster("the DNS servers", "")],
        places: |_| vec![Place::default()],
        actions: |site| {
            let pods = site.topology.pods(Role::Dns);
            pods.flat_map(|(node, pod)| dead(site, node, pod)).collect()
        },
    },
];

fn dead(site: &Site<'_>, node: &Node, pod: &Pod) -> Vec<Action> {
    let space = Space::of_pod(node, pod);
    if site.word("how") == "refused" {
        return vec![Action::EndServers { space }];
    }
    let silence = site.views.iter().map(|view| {
        let lines: &[&str] = match view.family() {
            IpFamily::V4 => &[":INPUT DROP [0:0]"],
            // A neighbour that does not answer would be unreachable, not silent.
            IpFamily::V6 => &["-A INPUT -p ipv6-icmp -j ACCEPT", ":INPUT DROP [0:0]"],
        };
        rules(view, space, "filter", lines.iter().copied())
    });
    silence.collect()
}
