//! What keeps a node from handing packets on to and from its pods: its kernel, its firewall, its routes, and the network
//! that should carry them.

use std::collections::BTreeSet;

use mesh_proto::{Plane, Protocol, Reason, Where};

use super::kernel::{Way, forward_stop, forwards, route_to, rules_are_known};
use super::overlay::against_if;
use super::place::{in_words, node_name, where_to_look};
use super::policy::{is_of_policy, is_of_stale_backend};
use super::scene::{Scene, passed_on};
use super::signature::{Case, Opinion, Proof};
use crate::NodeIndex;
use crate::localise::{Family, Scope};
use crate::netfilter::Stop;
use crate::round::CellIndex;

/// Whether packets to or from pods are lost here, so that forwarding may be the reason.
pub(super) fn is_of_pods(scene: &Scene<'_>) -> bool {
    matches!(
        scene.hypothesis.family,
        Family::Forward
            | Family::Overlay
            | Family::Routes
            | Family::Local
            | Family::Agent(Plane::Pod)
            | Family::Between(Plane::Pod, _)
            | Family::Between(_, Plane::Pod)
    )
}

/// `ip-forward-off`: the kernel does not forward.
pub(super) fn ip_forward_off(scene: &Scene<'_>) -> Opinion {
    if !is_of_pods(scene) || scene.hypothesis.filter.protocol.is_some() {
        return Opinion::Elsewhere;
    }
    let mut off = Vec::new();
    let mut evidence = Vec::new();
    let mut known = false;
    for node in scene.suspects() {
        let name = node_name(scene.model, node);
        let towards = scene
            .address(node, Plane::Pod)
            .or(scene.address(node, Plane::Host));
        let (Some(facts), Some(towards)) = (scene.host(node), towards) else {
            continue;
        };
        match forwards(facts, towards) {
            Some(false) => {
                let sysctl = if towards.is_ipv4() {
                    "net.ipv4.ip_forward"
                } else {
                    "net.ipv6.conf.all.forwarding"
                };
                evidence.push(format!("The kernel of {name} says {sysctl} = 0."));
                off.push((node, sysctl));
            }
            Some(true) => known = true,
            None => {}
        }
    }
    let nodes: Vec<NodeIndex> = off.iter().map(|(node, _)| *node).collect();
    let Some((_, sysctl)) = off.first().filter(|_| scene.covers(&nodes)) else {
        return against_if(known, "forwarding is on".to_owned());
    };
    let place = scene.narrowed(&nodes);
    Case {
        proof: Proof::Shown,
        summary: format!(
            "{} does not forward: its pods reach nothing off the node, and nothing reaches them.",
            in_words(&place)
        ),
        evidence,
        advice: vec![
            format!("{}: sysctl -w {sysctl}=1", where_to_look(&place)),
            format!(
                "{}, so that it stays: echo {sysctl}=1 > /etc/sysctl.d/90-forwarding.conf",
                where_to_look(&place)
            ),
            "If it is 0 again later, a hardening guide's file in /etc/sysctl.d says otherwise.".to_owned(),
        ],
        place: Where {
            direction: None,
            plane: Some(Plane::Pod),
            ..place
        },
    }
    .into()
}

/// What is so towards these is so towards all.
const PEERS: usize = 3;

/// The rules that stop packets between a node's pods and everything off the node.
pub(super) fn stops<'a>(scene: &Scene<'a>, node: NodeIndex) -> Vec<Stop<'a>> {
    match scene.hypothesis.filter.protocol {
        Some(protocol) => stops_of(scene, node, &[protocol]),
        None => stops_of(scene, node, Protocol::ALL),
    }
}

/// As [`stops`], for what is of these protocols.
pub(super) fn stops_of<'a>(scene: &Scene<'a>, node: NodeIndex, protocols: &[Protocol]) -> Vec<Stop<'a>> {
    let mut peers = scene.peers(node);
    peers.truncate(PEERS);
    let mut found = Vec::new();
    for way in [Way::Out, Way::In] {
        for plane in [Plane::Pod, Plane::Host] {
            // A way is stopped where all that goes there is.
            let tries = peers
                .iter()
                .flat_map(|peer| protocols.iter().map(move |protocol| (*peer, *protocol)));
            let all: Option<Vec<Stop<'a>>> = tries
                .map(|(peer, protocol)| forward_stop(scene, node, peer, plane, protocol, way))
                .collect();
            found.extend(all.and_then(|stops| stops.into_iter().next()));
        }
    }
    found
}

/// `forward-rejected`: a firewall answers with an ICMP error instead of handing packets on.
pub(super) fn forward_rejected(scene: &Scene<'_>) -> Opinion {
    if !is_of_pods(scene) || scene.hypothesis.filter.protocol.is_some() {
        return Opinion::Elsewhere;
    }
    let shown = at_nodes(scene, |stop| stop.rejects() && !is_of_policy(stop));
    let prohibited: Vec<_> = scene
        .icmp_errors()
        .filter(|(cell, _)| scene.model.judged(*cell).seen() == Some(Reason::AdminProhibited))
        .filter(|(cell, icmp)| !is_by_source(scene, *cell, icmp.from))
        .collect();
    let senders = by_senders(scene, prohibited.iter().map(|(_, icmp)| icmp.from));
    let nodes = if shown.nodes.is_empty() {
        senders
    } else {
        shown.nodes.clone()
    };
    if prohibited.is_empty() && shown.nodes.is_empty() {
        return Opinion::Elsewhere;
    }
    let is_placed = !nodes.is_empty() && scene.covers(&nodes);
    if prohibited.is_empty() && !is_placed {
        return Opinion::Elsewhere;
    }
    let place = if is_placed {
        scene.narrowed(&nodes)
    } else {
        scene.place.clone()
    };
    let mut evidence = shown.words;
    let mut advice = shown.removals;
    let at = where_to_look(&place);
    advice.push(format!("{at}, to see all such rules: nft -a list ruleset | grep -n reject; iptables-save | grep -n 'FORWARD.*REJECT'"));
    advice.push(format!("{at}, where firewalld runs, so that it stays: firewall-cmd --permanent --zone=trusted {} && firewall-cmd --reload", sources(scene)));
    if let Some((_, icmp)) = prohibited.first() {
        let by = match (icmp.kind, icmp.code) {
            (3, 13) => ", as nftables and firewalld send it",
            (3, 9 | 10) => ", as a REJECT of iptables sends it",
            _ => "",
        };
        // icmp_ratelimit (Linux, Documentation/networking/ip-sysctl.rst).
        let silent = if scene.seen(Reason::Timeout) > 0 {
            " Cells without an answer are no objection: kernels send such errors once a second at the most."
        } else {
            ""
        };
        evidence.push(format!(
            "ICMP {}/{} came from {}{by}.{silent}",
            icmp.kind, icmp.code, icmp.from
        ));
    }
    Case {
        proof: if is_placed { Proof::Shown } else { Proof::Likely },
        summary: format!(
            "A firewall on {} rejects packets that it must forward for its pods.",
            in_words(&place)
        ),
        evidence,
        advice,
        place: Where {
            direction: None,
            plane: Some(Plane::Pod),
            ..place
        },
    }
    .into()
}

/// The networks of all pods as firewalld's sources, where there are few and kernels tell of them.
fn sources(scene: &Scene<'_>) -> String {
    const MOST: usize = 8;
    let network = |to: NodeIndex| {
        let pod = scene.address(to, Plane::Pod)?;
        let mut others = scene.nodes().filter(|from| *from != to);
        others.find_map(|from| {
            let route = route_to(scene.host(from)?, pod)?;
            (route.to.len > 0).then(|| route.to.to_string())
        })
    };
    let networks: Option<BTreeSet<String>> = scene.nodes().take(MOST + 1).map(network).collect();
    match networks.filter(|networks| networks.len() <= MOST && !networks.is_empty()) {
        Some(networks) => {
            let sources: Vec<String> = networks.iter().map(|of| format!("--add-source={of}")).collect();
            sources.join(" ")
        }
        None => "--add-source=POD_CIDR".to_owned(),
    }
}

/// Whether a node's own packets were rejected by itself: then it is no forwarding that does so.
fn is_by_source(scene: &Scene<'_>, cell: CellIndex, sender: std::net::IpAddr) -> bool {
    let from = scene.model.nodes(cell).0;
    scene.model.plane_from(cell) == Some(Plane::Host) && from.is_some() && scene.node_of(sender) == from
}

/// `forward-dropped`: a policy or a rule drops what should be handed on.
pub(super) fn forward_dropped(scene: &Scene<'_>) -> Opinion {
    if !is_of_pods(scene) || scene.hypothesis.filter.protocol.is_some() {
        return Opinion::Elsewhere;
    }
    let shown = at_nodes(scene, |stop| !stop.rejects() && !is_of_policy(stop));
    let advice = |place: &Where| {
        let mut advice = shown.removals.clone();
        advice.push(format!("{}: iptables -S FORWARD; iptables-legacy-save | grep FORWARD; nft list ruleset | grep -A5 'hook forward'", where_to_look(place)));
        advice.push("What comes from and goes to the pod network must be accepted there: by the policy, or by a rule before the one that drops.".to_owned());
        advice
    };
    if !shown.nodes.is_empty() && scene.covers(&shown.nodes) {
        let place = scene.narrowed(&shown.nodes);
        return Case {
            proof: if shown.sure { Proof::Shown } else { Proof::Likely },
            summary: format!(
                "{} drops packets that it must forward for its pods.",
                in_words(&place)
            ),
            evidence: shown.words,
            advice: advice(&place),
            place: Where {
                direction: None,
                plane: Some(Plane::Pod),
                ..place
            },
        }
        .into();
    }
    let Scope::Node(node) = scene.hypothesis.scope else {
        return Opinion::Elsewhere;
    };
    if scene.hypothesis.family != Family::Forward {
        return Opinion::Elsewhere;
    }
    let Some(facts) = scene.host(node) else {
        return walked(scene, node, advice);
    };
    if rules_are_known(facts) {
        return Opinion::Against("no rule of the firewall there drops them".to_owned());
    }
    if scene.seen(Reason::AdminProhibited) > 0 {
        return Opinion::Elsewhere;
    }
    Case {
        proof: Proof::Likely,
        summary: format!("{} drops packets that it must forward for its pods.", in_words(&scene.place)),
        evidence: vec!["The kernel there forwards, the node itself reaches remote pods, and no ICMP error came; its firewall's rules could not be read.".to_owned()],
        advice: advice(&scene.place),
        place: Where { direction: None, plane: Some(Plane::Pod), ..scene.place.clone() },
    }
    .into()
}

/// Without the kernel's word, a walk tells: a node that forwards answers a packet whose TTL ends there.
fn walked(scene: &Scene<'_>, node: NodeIndex, advice: impl Fn(&Where) -> Vec<String>) -> Opinion {
    let mut walks = scene
        .others(node)
        .into_iter()
        .filter_map(|other| scene.walk(node, Plane::Pod, scene.address(other, Plane::Pod)?));
    let Some(first) = walks.next().and_then(|hops| hops.first()) else {
        return Opinion::Elsewhere;
    };
    if passed_on(first.answer).is_none() {
        return Opinion::Elsewhere;
    }
    Case {
        proof: Proof::Likely,
        summary: format!("{} drops packets that it must forward for its pods.", in_words(&scene.place)),
        evidence: vec!["A packet from its pod whose TTL ends at the node is answered (time exceeded), those that go on are not: it forwards, and something drops them.".to_owned()],
        advice: advice(&scene.place),
        place: Where { direction: None, plane: Some(Plane::Pod), ..scene.place.clone() },
    }
    .into()
}

/// Nodes whose rules stop what they should forward.
struct Stopped {
    nodes: Vec<NodeIndex>,
    words: Vec<String>,
    removals: Vec<String>,
    sure: bool,
}

fn at_nodes(scene: &Scene<'_>, counts: impl Fn(&Stop<'_>) -> bool) -> Stopped {
    let mut stopped = Stopped {
        nodes: Vec::new(),
        words: Vec::new(),
        removals: Vec::new(),
        sure: true,
    };
    for node in scene.suspects() {
        let facts = scene.host(node);
        let found: Vec<Stop<'_>> = stops(scene, node)
            .into_iter()
            .filter(|stop| counts(stop) && !facts.is_some_and(|facts| is_of_stale_backend(facts, stop)))
            .collect();
        let Some(stop) = found.iter().find(|stop| stop.sure).or(found.first()) else {
            continue;
        };
        stopped.sure &= stop.sure;
        stopped.words.push(scene.says(node, stop));
        stopped.removals.extend(scene.removal(node, stop));
        stopped.nodes.push(node);
    }
    stopped
}

/// The nodes that sent ICMP errors, by their addresses.
fn by_senders(scene: &Scene<'_>, senders: impl Iterator<Item = std::net::IpAddr>) -> Vec<NodeIndex> {
    let suspects = scene.suspects();
    let mut nodes: Vec<NodeIndex> = senders
        .filter_map(|from| scene.node_of(from))
        .filter(|node| suspects.contains(node))
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}
