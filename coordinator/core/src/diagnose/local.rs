//! A kernel that refuses to send, or that has no room for another connection.

use mesh_proto::{Direction, HostFacts, Plane, Protocol, Reason, RouteKind, Where};

use super::evidence::icmp;
use super::icmp_error::{Meaning, meaning};
use super::kernel::{Way, host_stop, own_route_to, port};
use super::place::{in_words, list, node_name, where_to_look};
use super::scene::Scene;
use super::signature::{Case, Opinion, Proof};
use crate::NodeIndex;
use crate::localise::Family;
use crate::netfilter::IpProtocol;
use crate::round::CellIndex;

/// `local-egress-blocked`: the source's own kernel refuses to send.
pub(super) fn local_egress(scene: &Scene<'_>) -> Opinion {
    if scene.hypothesis.family == Family::Loopback {
        return Opinion::Elsewhere;
    }
    let cells_that = |is: &dyn Fn(CellIndex) -> bool| -> Vec<CellIndex> {
        let cells = scene.pick.explains.iter().copied();
        cells.filter(|cell| is(*cell)).collect()
    };
    let mut refused = cells_that(&|cell| is_refused(scene, cell));
    // A route of type unreachable gives the errors of a missing neighbour; then only the route itself is a proof.
    let is_unclear = refused.is_empty();
    if is_unclear {
        refused = cells_that(&|cell| is_failed_call(scene, cell));
    }
    let mut nodes: Vec<NodeIndex> = refused
        .iter()
        .filter_map(|cell| scene.model.nodes(*cell).0)
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    let names: Vec<_> = nodes.iter().map(|node| node_name(scene.model, *node)).collect();
    if names.is_empty() {
        return Opinion::Elsewhere;
    }
    if nodes.iter().any(|node| scene.host(*node).is_some_and(is_full)) {
        return Opinion::Against("the connection table there is full, which gives the same error".to_owned());
    }
    let reasons: Vec<Refusals> = nodes.iter().map(|node| reasons(scene, *node)).collect();
    // Several nodes refuse, or an error has several causes: then only what is written there is a proof, at each of them.
    if (is_unclear || nodes.len() > 1) && reasons.iter().any(|of| of.words.is_empty()) {
        return Opinion::Elsewhere;
    }
    let mut advice: Vec<String> = reasons.iter().flat_map(|of| of.removals.clone()).collect();
    let evidence: Vec<String> = reasons.into_iter().flat_map(|of| of.words).collect();
    // Of a few cells another fault may be the reason, unless the kernel itself says what it is.
    if !scene.covers(&nodes) || (evidence.is_empty() && refused.len() * 4 < scene.pick.explains.len()) {
        return Opinion::Elsewhere;
    }
    // The node is at fault whomever it refuses; where that is one peer, the sentence says which.
    let towards = scene.pair().map_or(String::new(), |(a, b)| {
        let peer = if nodes == [a] { b } else { a };
        format!(" to {}", node_name(scene.model, peer))
    });
    let at = list(&names);
    let addresses = scene
        .pair()
        .and_then(|(a, b)| scene.address(if nodes == [a] { b } else { a }, Plane::Host));
    let address = addresses.map_or_else(|| "ADDRESS".to_owned(), |address| address.to_string());
    advice.push(format!(
        "On {at}: iptables -S OUTPUT; nft list ruleset | grep -A5 'hook output'; ip route get {address}; ip rule"
    ));
    Case {
        proof: if evidence.is_empty() {
            Proof::Likely
        } else {
            Proof::Shown
        },
        summary: format!(
            "The kernel of {at} refuses to send{}: a rule in OUTPUT, or a route that forbids.",
            if nodes.len() == 1 { towards } else { String::new() }
        ),
        evidence,
        advice,
        place: Where {
            nodes: names,
            plane: scene.place.plane,
            direction: Some(Direction::Egress),
            ..Where::default()
        },
    }
    .into()
}

/// The kernel gave an error, or an ICMP error came from the source's own address, as a REJECT in OUTPUT gives it.
fn is_refused(scene: &Scene<'_>, cell: CellIndex) -> bool {
    let local = scene.model.judged(cell).seen() == Some(Reason::LocalError);
    let own = scene
        .model
        .nodes(cell)
        .0
        .and_then(|node| scene.address(node, Plane::Host));
    let from_host = scene.model.plane_from(cell) == Some(Plane::Host);
    local
        || from_host
            && own.is_some()
            && icmp(scene.model, cell)
                .is_some_and(|icmp| Some(icmp.from) == own && meaning(&icmp) == Meaning::Prohibited)
}

/// The source's own call failed, as it does without a route or a neighbour.
fn is_failed_call(scene: &Scene<'_>, cell: CellIndex) -> bool {
    let failure = scene.model.failure(cell);
    failure.is_some_and(|failure| failure.local.is_some() && failure.icmp.is_none())
}

/// What in a kernel refuses, in words, and how to take it away.
#[derive(Default)]
struct Refusals {
    words: Vec<String>,
    removals: Vec<String>,
}

/// What in the kernel refuses: a rule that meets all that it sends to a peer, or a route.
fn reasons(scene: &Scene<'_>, node: NodeIndex) -> Refusals {
    let name = node_name(scene.model, node);
    let peers = scene.peers(node);
    let Refusals {
        mut words,
        mut removals,
    } = Refusals::default();
    for peer in peers {
        let stops = Protocol::ALL.iter().map(|protocol| {
            let towards = scene.address(peer, Plane::Host)?;
            let packet = (IpProtocol::of(*protocol, towards), port(scene, *protocol));
            host_stop(scene, node, peer, packet, Way::Out).filter(|stop| stop.sure)
        });
        let stops: Option<Vec<_>> = stops.collect();
        let rule = stops.and_then(|stops| stops.into_iter().next());
        words.extend(rule.map(|stop| scene.says(node, &stop)));
        removals.extend(rule.and_then(|stop| scene.removal(node, &stop)));
        let route = scene
            .host(node)
            .zip(scene.address(peer, Plane::Host))
            .and_then(|(facts, to)| own_route_to(facts, to));
        let forbids = route.and_then(|route| Some((route, forbidding(route.kind)?)));
        removals.extend(forbids.map(|(route, kind)| {
            format!(
                "On {name}: ip route del {kind} {} table {}",
                route.to, route.table
            )
        }));
        words.extend(forbids.map(|(route, kind)| {
            format!(
                "On {name}: the route {} of table {} is of type {kind}.",
                route.to, route.table
            )
        }));
    }
    words.dedup();
    removals.dedup();
    Refusals { words, removals }
}

fn forbidding(kind: RouteKind) -> Option<&'static str> {
    match kind {
        RouteKind::Blackhole => Some("blackhole"),
        RouteKind::Unreachable => Some("unreachable"),
        RouteKind::Prohibit => Some("prohibit"),
        RouteKind::Unicast | RouteKind::Local | RouteKind::Other | RouteKind::Throw => None,
    }
}

/// Whether the connection table has no room.
fn is_full(facts: &HostFacts) -> bool {
    facts
        .conntrack
        .is_some_and(|table| table.max > 0 && table.count * 100 >= table.max * 95)
}

/// `conntrack-full`: the node's connection table has no room for another.
pub(super) fn conntrack_full(scene: &Scene<'_>) -> Opinion {
    let suspects = scene.suspects();
    let full: Vec<NodeIndex> = suspects
        .into_iter()
        .filter(|node| scene.host(*node).is_some_and(is_full))
        .collect();
    if full.is_empty() || !scene.covers(&full) {
        return Opinion::Elsewhere;
    }
    let place = scene.narrowed(&full);
    let evidence = full.iter().filter_map(|node| {
        let table = scene.host(*node)?.conntrack?;
        Some(format!(
            "The kernel of {}: {} of {} connections are tracked, {} packets were dropped for want of room.",
            node_name(scene.model, *node),
            table.count,
            table.max,
            table.dropped
        ))
    });
    Case {
        proof: Proof::Shown,
        summary: format!("The connection table of {} is full: new connections are dropped there.", in_words(&place)),
        evidence: evidence.collect(),
        advice: vec![
            format!("{}: sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max", where_to_look(&place)),
            format!("{}: sysctl -w net.netfilter.nf_conntrack_max=1048576", where_to_look(&place)),
            "kube-proxy writes that limit when it starts: set conntrack.maxPerCore in its configuration as well.".to_owned(),
            "Who fills it: conntrack -L | awk '{print $4,$5}' | sort | uniq -c | sort -n | tail".to_owned(),
        ],
        place: Where { plane: None, direction: None, ..place },
    }
    .into()
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
