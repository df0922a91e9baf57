//! The way of pod packets between nodes: routes that are missing, lead in a circle, or through a network that drops them.

use std::net::IpAddr;

use mesh_proto::{Plane, Reason, Where};

use super::cni::restart_agents;
use super::forwarding::{is_of_pods, stops};
use super::icmp_error::{Meaning, meaning};
use super::kernel::{forwards, has_own_route, is_encapsulated, route_to, rules_are_known, tunnel};
use super::overlay::{against_if, device_down};
use super::place::{in_words, node_name, where_to_look};
use super::scene::{Scene, passed_on};
use super::signature::{Case, Opinion, Proof};
use crate::NodeIndex;
use crate::localise::Family;

/// `pod-routes-missing`: a node does not know the way to other nodes' pods.
pub(super) fn pod_routes_missing(scene: &Scene<'_>) -> Opinion {
    if !is_of_pods(scene) || scene.hypothesis.filter.protocol.is_some() {
        return Opinion::Elsewhere;
    }
    if let Opinion::For(_) = device_down(scene) {
        return Opinion::Against("the device that they go by is down, and they went with it".to_owned());
    }
    let mut missing: Vec<(NodeIndex, NodeIndex)> = Vec::new();
    let mut present = 0_usize;
    for from in scene.nodes() {
        let Some(facts) = scene.host(from).filter(|facts| !facts.routes.is_empty()) else {
            continue;
        };
        for to in scene.nodes().filter(|to| *to != from) {
            let Some(pod) = scene.address(to, Plane::Pod) else {
                continue;
            };
            if has_own_route(facts, pod) {
                present += 1;
            } else {
                missing.push((from, to));
            }
        }
    }
    let between = |cell| match scene.model.nodes(cell) {
        // Inside a node no route to another's pods matters.
        (Some(from), Some(to)) => missing.contains(&(from, to)) || missing.contains(&(to, from)),
        _ => true,
    };
    let explained = scene.pick.explains.iter().filter(|cell| between(**cell)).count();
    if missing.is_empty() || explained * 20 < scene.pick.explains.len() * 19 {
        return against_if(
            present > 0,
            "the routes to the other nodes' pods stand".to_owned(),
        );
    }
    let suspects = scene.suspects();
    missing.retain(|(from, to)| suspects.contains(from) || suspects.contains(to));
    if missing.is_empty() {
        return against_if(
            present > 0,
            "the routes to the other nodes' pods stand".to_owned(),
        );
    }
    let mut from: Vec<NodeIndex> = missing.iter().map(|(from, _)| *from).collect();
    from.sort_unstable();
    from.dedup();
    let others = scene.nodes().count() - 1;
    let lacks_all = |node: &NodeIndex| missing.iter().filter(|(from, _)| from == node).count() == others;
    let all = (others + 1) * others;
    let place = if missing.len() == all {
        Where {
            nodes: Vec::new(),
            pairs: Vec::new(),
            ..scene.place.clone()
        }
    } else if from.iter().all(lacks_all) {
        let nodes = from.iter().map(|node| node_name(scene.model, *node)).collect();
        Where {
            nodes,
            pairs: Vec::new(),
            ..scene.place.clone()
        }
    } else {
        let pairs = missing
            .iter()
            .map(|(from, to)| (node_name(scene.model, *from), node_name(scene.model, *to)));
        Where {
            nodes: Vec::new(),
            pairs: pairs.collect(),
            ..scene.place.clone()
        }
    };
    let advice = missing_advice(scene, &missing, &place);
    Case {
        // Some networks between nodes route pod addresses by themselves; there every node lacks such routes.
        proof: if present > 0 { Proof::Shown } else { Proof::Likely },
        summary: format!(
            "The routes to other nodes' pods are missing: {}.",
            in_words(&place)
        ),
        evidence: missing_evidence(scene, &missing),
        advice,
        place: Where {
            direction: None,
            plane: Some(Plane::Pod),
            ..place
        },
    }
    .into()
}

/// What the kernels have instead of the routes that are missing, of a few of them.
fn missing_evidence(scene: &Scene<'_>, missing: &[(NodeIndex, NodeIndex)]) -> Vec<String> {
    let evidence = missing.iter().take(3).filter_map(|(from, to)| {
        let pod = scene.address(*to, Plane::Pod)?;
        let way = match route_to(scene.host(*from)?, pod) {
            Some(route) => format!(
                "only the route {} matches, by {}",
                route.to,
                route.link.as_deref().unwrap_or("nothing")
            ),
            None => "no route matches".to_owned(),
        };
        Some(format!(
            "On {}: for {pod} (a pod on {}) {way}.",
            node_name(scene.model, *from),
            node_name(scene.model, *to)
        ))
    });
    evidence.collect()
}

/// How missing routes come back: by hand, and by who writes them.
fn missing_advice(scene: &Scene<'_>, missing: &[(NodeIndex, NodeIndex)], place: &Where) -> Vec<String> {
    let mut advice: Vec<String> = missing
        .iter()
        .filter_map(|(from, to)| restored(scene, *from, *to))
        .take(RESTORED)
        .collect();
    if !scene
        .model
        .nodes_here()
        .iter()
        .any(|node| is_encapsulated(scene.model, *node))
    {
        advice.push("Without encapsulation such routes come by BGP or from the cloud; why they are missing was not seen.".to_owned());
        advice.push("Where Calico runs, whether its sessions stand: calicoctl node status".to_owned());
        advice.push("If they do not, and firewalld runs, on each node: firewall-cmd --permanent --add-port=179/tcp && firewall-cmd --reload".to_owned());
    }
    advice.extend(restart_agents(&place.nodes, "the routes"));
    advice.push(format!(
        "{}, to see that they are back: ip route",
        where_to_look(place)
    ));
    advice
}

/// How many routes are told that are to be written again.
const RESTORED: usize = 3;

/// The command that writes a missing route again, as another node has it.
fn restored(scene: &Scene<'_>, from: NodeIndex, to: NodeIndex) -> Option<String> {
    let pod = scene.address(to, Plane::Pod)?;
    let mut others = scene.nodes().filter(|other| *other != from && *other != to);
    let route = others.find_map(|other| {
        let facts = scene.host(other)?;
        has_own_route(facts, pod).then(|| route_to(facts, pod)).flatten()
    })?;
    // That node's own device must be here as well.
    let link = route.link.as_deref()?;
    scene.host(from)?.link(link).filter(|link| link.up)?;
    Some(format!(
        "On {}: ip route replace {} via {} dev {link}{}",
        node_name(scene.model, from),
        route.to,
        route.gateway?,
        if is_encapsulated(scene.model, from) {
            " onlink"
        } else {
            ""
        }
    ))
}

/// `underlay-drops-pods`: the network between the nodes does not carry pod addresses.
pub(super) fn underlay_drops_pods(scene: &Scene<'_>) -> Opinion {
    if scene.hypothesis.filter.protocol.is_some() {
        return Opinion::Elsewhere;
    }
    if !matches!(
        scene.hypothesis.family,
        Family::Overlay | Family::Routes | Family::Between(..) | Family::Forward
    ) {
        return Opinion::Elsewhere;
    }
    let said = scene.cluster().overlay.map(|overlay| overlay.kind);
    let encapsulated = match said {
        Some(kind) => kind != mesh_proto::OverlayKind::None,
        None => scene
            .nodes()
            .filter_map(|node| scene.host(node))
            .any(|facts| tunnel(facts, None).is_some()),
    };
    if encapsulated {
        return Opinion::Against("pod packets travel inside packets with node addresses".to_owned());
    }
    let suspects = scene.suspects();
    let known: Vec<_> = suspects
        .iter()
        .filter_map(|node| Some((*node, scene.host(*node)?)))
        .collect();
    if known.len() < suspects.len() {
        return Opinion::Elsewhere;
    }
    let carries = |(node, facts): &(NodeIndex, &mesh_proto::HostFacts)| {
        let mut pods = scene
            .nodes()
            .filter(|other| other != node)
            .filter_map(|other| scene.address(other, Plane::Pod));
        pods.all(|pod| has_own_route(facts, pod) && forwards(facts, pod) != Some(false))
    };
    if !known.iter().all(carries) {
        return Opinion::Elsewhere;
    }
    let in_order = known
        .iter()
        .all(|(node, facts)| rules_are_known(facts) && stops(scene, *node).is_empty());
    let at = in_words(&scene.place);
    Case {
        proof: if in_order { Proof::Likely } else { Proof::Fits },
        summary: format!("The network between the nodes drops packets with pod addresses: {at}."),
        evidence: if in_order {
            vec!["Routes stand, forwarding is on and no rule of the nodes drops them; packets with node addresses pass.".to_owned()]
        } else {
            Vec::new()
        },
        advice: vec![
            "Clouds and switches drop addresses that they do not know: switch off the source/destination check of the machines (AWS, GCP: canIpForward), allow the pod network in security groups and port security (OpenStack: allowed-address-pairs).".to_owned(),
            "Or let the CNI encapsulate: Calico vxlanMode: Always; flannel backend vxlan.".to_owned(),
        ],
        place: Where { direction: None, ..scene.place.clone() },
    }
    .into()
}

/// `routing-loop`: packets circle until their TTL ends.
pub(super) fn routing_loop(scene: &Scene<'_>) -> Opinion {
    let exceeded: Vec<_> = scene
        .icmp_errors()
        .filter(|(_, icmp)| meaning(icmp) == Meaning::TimeExceeded)
        .collect();
    let suspects = scene.suspects();
    let circles = scene.looks().filter_map(|(from, _, _, seen)| match seen {
        mesh_proto::Seen::Walk(hops) if suspects.contains(&from) || scene.pair().is_none() => circle(hops),
        _ => None,
    });
    let circles: Vec<Vec<std::net::IpAddr>> = circles.collect();
    let by_reason = scene.seen(Reason::TtlExceeded);
    if let Some(case) = by_routes(scene) {
        return case.into();
    }
    let walked = scene.pair().is_some() && !circles.is_empty() && is_of_pods(scene);
    if exceeded.is_empty() && by_reason == 0 && !walked {
        return Opinion::Elsewhere;
    }
    let mut members: Vec<NodeIndex> = circles
        .iter()
        .flatten()
        .filter_map(|hop| scene.node_of(*hop))
        .collect();
    members.extend(exceeded.iter().filter_map(|(_, icmp)| scene.node_of(icmp.from)));
    members.sort_unstable();
    members.dedup();
    let mut place = scene.place.clone();
    if let [a, b] = members.as_slice() {
        place.nodes = Vec::new();
        place.pairs = vec![(node_name(scene.model, *a), node_name(scene.model, *b))];
    } else if let ([one], true) = (
        members.as_slice(),
        scene.pair().is_none() && scene.covers(&members),
    ) {
        place = scene.narrowed(&[*one]);
    }
    let mut evidence: Vec<String> = circles
        .iter()
        .take(2)
        .map(|circle| {
            let hops: Vec<String> = circle.iter().map(ToString::to_string).collect();
            format!(
                "A walk comes by the same hops again and again: {}.",
                hops.join(", ")
            )
        })
        .collect();
    if let Some((_, icmp)) = exceeded.first() {
        evidence.push(format!(
            "ICMP {}/{} (time exceeded) came from {}.",
            icmp.kind, icmp.code, icmp.from
        ));
    }
    let target = scene
        .pick
        .explains
        .iter()
        .find_map(|cell| scene.model.cell(*cell).address);
    circling(place, evidence, target).into()
}

fn circling(place: Where, evidence: Vec<String>, target: Option<IpAddr>) -> Case {
    let target = target.map_or_else(|| "ADDRESS".to_owned(), |target| target.to_string());
    Case {
        proof: Proof::Shown,
        summary: format!("Packets circle until their TTL ends: {}.", in_words(&place)),
        evidence,
        advice: vec![format!(
            "{}, hop by hop; one sends back where it came from, and that route must go: ip route get {target}",
            where_to_look(&place)
        )],
        place: Where {
            direction: None,
            ..place
        },
    }
}

/// Two nodes whose routes send what is for a third's pods to each other. Errors are rate-limited, and none may have come.
fn by_routes(scene: &Scene<'_>) -> Option<Case> {
    if !is_of_pods(scene) || scene.hypothesis.filter.protocol.is_some() {
        return None;
    }
    let next = |node: NodeIndex, to: IpAddr| scene.node_of(route_to(scene.host(node)?, to)?.gateway?);
    let circle_towards = |to: NodeIndex, from: NodeIndex| {
        let pod = scene.address(to, Plane::Pod)?;
        let first = next(from, pod).filter(|first| *first != to && *first != from)?;
        let second = next(first, pod)?;
        // It may lead into the circle or be a part of it.
        let (a, b) = if next(second, pod)? == first {
            (first, second)
        } else {
            return None;
        };
        (a != b && a != to && b != to).then_some((a.min(b), a.max(b), pod))
    };
    let mut circles = Vec::new();
    for cell in &scene.pick.explains {
        let (Some(from), Some(to)) = scene.model.nodes(*cell) else {
            continue;
        };
        circles.push(circle_towards(to, from).or_else(|| circle_towards(from, to))?);
    }
    let (a, b, pod) = *circles.first()?;
    if circles.iter().any(|(x, y, _)| (*x, *y) != (a, b)) {
        return None;
    }
    let (first, second) = (node_name(scene.model, a), node_name(scene.model, b));
    let evidence = format!(
        "The routes of {first} send what is for {pod} to {second}, and those of {second} to {first}."
    );
    let place = Where {
        nodes: Vec::new(),
        pairs: vec![(first, second)],
        ..scene.place.clone()
    };
    Some(circling(place, vec![evidence], Some(pod)))
}

/// Hops that answer at more than one distance, with others between.
fn circle(hops: &[mesh_proto::Hop]) -> Option<Vec<IpAddr>> {
    let mut first: Vec<(u8, IpAddr)> = Vec::new();
    let mut again = Vec::new();
    for hop in hops {
        let Some(from) = passed_on(hop.answer) else {
            continue;
        };
        match first.iter().find(|(_, seen)| *seen == from) {
            Some((ttl, _)) if hop.ttl >= ttl + 2 && !again.contains(&from) => again.push(from),
            Some(_) => {}
            None => first.push((hop.ttl, from)),
        }
    }
    (!again.is_empty()).then_some(again)
}
