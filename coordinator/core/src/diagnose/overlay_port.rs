//! `overlay-port-blocked`: what encapsulates pod packets is dropped or rejected at a node.

use mesh_proto::{Direction, HostFacts, OverlayKind, Plane, Protocol, Where};

use super::icmp_error::{Meaning, meaning};
use super::kernel::{Way, host_stop, port, route_to, rules_are_known, tunnel};
use super::overlay::{is_overlay, kind, knocks, refusals, usual_port};
use super::place::{in_words, node_name, where_to_look};
use super::scene::Scene;
use super::signature::{Case, Opinion, Proof};
use crate::NodeIndex;
use crate::localise::{Family, Scope};
use crate::netfilter::{IpProtocol, Stop};

/// `overlay-port-blocked`: the encapsulation's port is dropped or rejected at a node.
pub(super) fn port_blocked(scene: &Scene<'_>) -> Opinion {
    if !is_overlay(scene) {
        return Opinion::Elsewhere;
    }
    if let Some(case) = by_rules(scene).or_else(|| by_knocks(scene)) {
        return case.into();
    }
    if scene
        .suspects()
        .into_iter()
        .any(|node| !refusals(scene, node).is_empty())
    {
        return Opinion::Against("the port answers that nothing listens there, so packets get in".to_owned());
    }
    by_what_is_left(scene).map_or(Opinion::Elsewhere, Opinion::from)
}

/// What carries pod packets, in words: `vxlan on UDP port 4789`.
fn carrier(scene: &Scene<'_>) -> String {
    let kind = kind(scene);
    let name = kind.map_or("the overlay".to_owned(), |kind| kind.to_string());
    match usual_port(scene, None) {
        _ if kind == Some(OverlayKind::Ipip) => "IP in IP (protocol 4)".to_owned(),
        Some(port) => format!("{name} on UDP port {port}"),
        None => name,
    }
}

fn advice(scene: &Scene<'_>, place: &Where, mut advice: Vec<String>) -> Vec<String> {
    let at = where_to_look(place);
    if let Some(port) = usual_port(scene, None).filter(|_| kind(scene) != Some(OverlayKind::Ipip)) {
        advice.push(format!(
            "{at}, where firewalld runs: firewall-cmd --permanent --add-port={port}/udp && firewall-cmd --reload"
        ));
        advice.push(format!("{at}, where ufw runs: ufw allow {port}/udp"));
        advice.push(format!(
            "Allow UDP port {port} between all nodes, in and out, in the cloud's security groups as well."
        ));
    }
    advice.push(format!(
        "{at}, to see all rules that stop something: nft -a list ruleset | grep -nE 'drop|reject'; iptables-save | grep -nE 'DROP|REJECT'; iptables-legacy-save"
    ));
    advice
}

/// Rules of the nodes themselves stop it.
fn by_rules(scene: &Scene<'_>) -> Option<Case> {
    let shown = blocking_rules(scene);
    let nodes: Vec<NodeIndex> = shown.iter().map(|blocked| blocked.node).collect();
    if shown.is_empty() || !scene.covers(&nodes) {
        return None;
    }
    let mut place = scene.narrowed(&nodes);
    if place.pairs.is_empty() && !place.nodes.is_empty() {
        place.direction = direction_of(&shown);
    }
    let does = if shown.iter().any(|blocked| blocked.rejects) {
        "rejects"
    } else {
        "drops"
    };
    let sure = shown.iter().all(|blocked| blocked.sure);
    let mut removals: Vec<String> = shown
        .iter()
        .filter_map(|blocked| blocked.removal.clone())
        .collect();
    removals.dedup();
    let words = shown.into_iter().map(|blocked| blocked.words);
    Some(Case {
        proof: if sure { Proof::Shown } else { Proof::Likely },
        summary: summary_of_firewall(scene, &place, does),
        evidence: words.chain(knock_words(scene)).collect(),
        advice: advice(scene, &place, removals),
        place,
    })
}

/// A datagram to the port was answered by an ICMP error that says so.
fn by_knocks(scene: &Scene<'_>) -> Option<Case> {
    // Who asks may be kept from sending by its own kernel.
    let prohibited = |node: &NodeIndex| {
        let of_node = |from| scene.node_of(from).is_none_or(|of| of == *node);
        knocks(scene, *node).any(|icmp| meaning(&icmp) == Meaning::Prohibited && of_node(icmp.from))
    };
    let rejected: Vec<NodeIndex> = scene.suspects().into_iter().filter(prohibited).collect();
    if rejected.is_empty() || !scene.covers(&rejected) {
        return None;
    }
    let place = scene.narrowed(&rejected);
    Some(Case {
        proof: Proof::Shown,
        summary: summary_of_firewall(scene, &place, "rejects"),
        evidence: knock_words(scene),
        advice: advice(scene, &place, Vec::new()),
        place: Where {
            direction: scene.place.direction.or(Some(Direction::Ingress)),
            ..place
        },
    })
}

fn summary_of_firewall(scene: &Scene<'_>, place: &Where, does: &str) -> String {
    format!(
        "A firewall on {} {does} the overlay's packets ({}), so its pods are cut off from those of other nodes.",
        in_words(place),
        carrier(scene)
    )
}

/// Devices, entries and routes are what they should be, and yet nothing comes through.
fn by_what_is_left(scene: &Scene<'_>) -> Option<Case> {
    let known = kind(scene).is_some() && scene.hypothesis.family == Family::Overlay;
    let in_order = |node: &NodeIndex| {
        scene
            .host(*node)
            .is_some_and(|facts| is_in_order(scene, *node, facts))
    };
    if !known || !scene.suspects().iter().all(in_order) {
        return None;
    }
    let rules_known = |node: &NodeIndex| scene.host(*node).is_some_and(rules_are_known);
    let rules = if scene.suspects().iter().all(rules_known) {
        "no rule on the nodes themselves drops it, so it is dropped on the way between them"
    } else {
        "the rules of the firewall could not be read there"
    };
    let (at, carrier) = (in_words(&scene.place), carrier(scene));
    let where_not = match &scene.hypothesis.scope {
        Scope::Cluster => "pass between no two nodes".to_owned(),
        Scope::Pair(..) => format!("do not pass on {at}"),
        _ => format!("do not pass to or from {at}"),
    };
    // Between two of many nodes only, a port is seldom blocked.
    let is_pair = matches!(scene.hypothesis.scope, Scope::Pair(..)) && scene.roster().nodes.len() > 2;
    Some(Case {
        proof: if is_pair { Proof::Fits } else { Proof::Likely },
        summary: format!("The overlay's packets ({carrier}) {where_not}, while the node network is fine."),
        evidence: vec![format!(
            "Overlay devices, their ports, entries and routes are in order; {rules}."
        )],
        advice: advice(scene, &scene.place, Vec::new()),
        place: scene.place.clone(),
    })
}

/// Whether device and routes of a node are what they should be.
fn is_in_order(scene: &Scene<'_>, node: NodeIndex, facts: &HostFacts) -> bool {
    let Some((link, _)) = tunnel(facts, kind(scene)) else {
        return false;
    };
    let mut pods = scene
        .others(node)
        .into_iter()
        .filter_map(|other| scene.address(other, Plane::Pod));
    link.up
        && pods.all(|pod| route_to(facts, pod).is_some_and(|route| route.link.as_deref() == Some(&link.name)))
}

/// A rule that stops the overlay's packets.
struct Blocked {
    node: NodeIndex,
    way: Way,
    sure: bool,
    rejects: bool,
    words: String,
    removal: Option<String>,
}

fn blocking_rules(scene: &Scene<'_>) -> Vec<Blocked> {
    let outer = match kind(scene) {
        Some(OverlayKind::Ipip) => (IpProtocol::IPIP, None),
        _ => match usual_port(scene, None) {
            Some(port) => (IpProtocol::UDP, Some(port)),
            None => return Vec::new(),
        },
    };
    let mut found: Vec<Blocked> = Vec::new();
    for node in scene.suspects() {
        let peers = scene.peers(node);
        for way in [Way::In, Way::Out] {
            let stops = peers.iter().map(|peer| host_stop(scene, node, *peer, outer, way));
            let stops: Vec<_> = stops.collect();
            // What stops the packets of one peer alone is no fault of all.
            let (Some(Some(stop)), true) = (stops.first(), stops.iter().all(Option::is_some)) else {
                continue;
            };
            // What refuses all that is sent is no matter of the overlay.
            if way == Way::Out
                && peers
                    .first()
                    .is_some_and(|peer| stops_all(scene, node, *peer, stop))
            {
                continue;
            }
            found.push(Blocked {
                node,
                way,
                sure: stops.iter().flatten().all(|stop| stop.sure),
                rejects: stop.rejects(),
                words: scene.says(node, stop),
                removal: scene.removal(node, stop),
            });
        }
    }
    found
}

/// Whether a rule stops whatever a node sends to another.
fn stops_all(scene: &Scene<'_>, node: NodeIndex, peer: NodeIndex, stop: &Stop<'_>) -> bool {
    let Some(towards) = scene.address(peer, Plane::Host) else {
        return false;
    };
    Protocol::ALL.iter().all(|protocol| {
        let packet = (IpProtocol::of(*protocol, towards), port(scene, *protocol));
        host_stop(scene, node, peer, packet, Way::Out).is_some_and(|other| other.words() == stop.words())
    })
}

fn direction_of(blocked: &[Blocked]) -> Option<Direction> {
    let has = |way| blocked.iter().any(|blocked| blocked.way == way);
    match (has(Way::In), has(Way::Out)) {
        (true, true) => Some(Direction::Both),
        (true, false) => Some(Direction::Ingress),
        (false, true) => Some(Direction::Egress),
        (false, false) => None,
    }
}

/// What datagrams to the overlay's port brought, in words.
fn knock_words(scene: &Scene<'_>) -> Vec<String> {
    let suspects = scene.suspects();
    let errors = suspects
        .iter()
        .flat_map(|node| knocks(scene, *node).take(1).map(move |icmp| (*node, icmp)));
    let words = errors.map(|(node, icmp)| {
        let name = node_name(scene.model, node);
        format!(
            "A datagram to the overlay's port at {name} brought ICMP {}/{} from {}.",
            icmp.kind, icmp.code, icmp.from
        )
    });
    words.collect()
}
