//! What carries pod packets between nodes: the encapsulation's port, its devices, and what they know of their peers.

use std::net::IpAddr;

use mesh_proto::{Ask, IcmpError, NeighbourState, NodeName, OverlayKind, Plane, Port, Seen, Where};

use super::cni::restart_agents;
use super::icmp_error::{Meaning, meaning};
use super::kernel::{neighbour, route_to, tunnel};
use super::place::{in_words, node_name, where_to_look};
use super::scene::Scene;
use super::signature::{Case, Opinion, Proof};
use crate::NodeIndex;
use crate::localise::Family;

/// Whether the place is one where an overlay may be at fault.
pub(super) fn is_overlay(scene: &Scene<'_>) -> bool {
    let encapsulated = kind(scene).is_none_or(|kind| kind != OverlayKind::None);
    encapsulated
        && scene.hypothesis.filter.protocol.is_none()
        && matches!(scene.hypothesis.family, Family::Overlay | Family::Routes)
}

/// How pod packets travel, as the roster says, or the devices of most nodes.
pub(super) fn kind(scene: &Scene<'_>) -> Option<OverlayKind> {
    scene.cluster().overlay.map(|overlay| overlay.kind).or_else(|| {
        let mut kinds = scene
            .nodes()
            .filter_map(|node| Some(tunnel(scene.host(node)?, None)?.1.kind));
        kinds.next()
    })
}

/// The port that a node's overlay has.
fn port_of(scene: &Scene<'_>, node: NodeIndex) -> Option<Port> {
    tunnel(scene.host(node)?, kind(scene))?.1.port
}

/// The port that the overlay should have: that of most nodes, else what the roster says.
pub(super) fn usual_port(scene: &Scene<'_>, but: Option<NodeIndex>) -> Option<Port> {
    let said = scene.cluster().overlay.and_then(|overlay| overlay.port);
    let ports = |but: Option<NodeIndex>| -> Vec<Port> {
        let nodes = scene.nodes().filter(|node| Some(*node) != but);
        nodes.filter_map(|node| port_of(scene, node)).collect()
    };
    // Where the nodes are at odds and nobody says who is right, one is compared with the others.
    let all = ports(None);
    let votes = if said.is_some_and(|said| all.contains(&said)) {
        all
    } else {
        ports(but)
    };
    let count = |port: Port| votes.iter().filter(|of| **of == port).count();
    let most = votes
        .iter()
        .copied()
        .max_by_key(|port| (count(*port), Some(*port) == said));
    most.or(said)
}

/// `overlay-device-down`: the device that encapsulates is switched off or not there.
pub(super) fn device_down(scene: &Scene<'_>) -> Opinion {
    if !is_overlay(scene) {
        return Opinion::Elsewhere;
    }
    let wanted = kind(scene);
    let mut down = Vec::new();
    let mut evidence = Vec::new();
    let mut advice = Vec::new();
    let mut fine = Vec::new();
    for node in scene.suspects() {
        let Some(facts) = scene.host(node) else { continue };
        let name = node_name(scene.model, node);
        match tunnel(facts, wanted) {
            Some((link, _)) if link.up => fine.push(format!("{} on {name} is up", link.name)),
            Some((link, _)) => {
                evidence.push(format!("The kernel of {name}: the device {} is down.", link.name));
                advice.push(format!("On {name}: ip link set {} up", link.name));
                down.push(node);
            }
            None if wanted.is_some() && !facts.links.is_empty() => {
                let kind = wanted.map(|kind| kind.to_string()).unwrap_or_default();
                evidence.push(format!("The kernel of {name} has no {kind} device."));
                down.push(node);
            }
            None => {}
        }
    }
    if down.is_empty() || !scene.covers(&down) {
        return against_if(!fine.is_empty(), fine.join(", "));
    }
    let place = scene.narrowed(&down);
    let names: Vec<NodeName> = down.iter().map(|node| node_name(scene.model, *node)).collect();
    advice.extend(restart_agents(
        &names,
        "the device, and the routes that went with it,",
    ));
    advice.push(format!(
        "{}, to see that they are back: ip -d link show; ip route",
        where_to_look(&place)
    ));
    Case {
        proof: Proof::Shown,
        summary: format!(
            "The overlay device of {} is down or missing: its pods reach nothing off the node, and nothing reaches them.",
            in_words(&place)
        ),
        evidence,
        advice,
        place: Where { direction: None, ..place },
    }
    .into()
}

/// `overlay-port-mismatch`: a device that sends to and listens on another port than all others.
pub(super) fn port_mismatch(scene: &Scene<'_>) -> Opinion {
    if !is_overlay(scene) {
        return Opinion::Elsewhere;
    }
    let mut odd = Vec::new();
    let mut evidence = Vec::new();
    let mut same = Vec::new();
    for node in scene.suspects() {
        let Some(port) = port_of(scene, node) else {
            continue;
        };
        let Some(usual) = usual_port(scene, Some(node)) else {
            continue;
        };
        let name = node_name(scene.model, node);
        if port == usual {
            same.push(format!("{name} has port {port}, as others have"));
            continue;
        }
        evidence.push(format!(
            "The overlay device of {name} has UDP port {port}, those of others have {usual}."
        ));
        evidence.extend(
            refusals(scene, node)
                .into_iter()
                .map(|icmp| refusal(&icmp, usual)),
        );
        odd.push((node, usual));
    }
    let nodes: Vec<NodeIndex> = odd.iter().map(|(node, _)| *node).collect();
    if let Some((_, usual)) = odd.first().filter(|_| scene.covers(&nodes)) {
        let place = scene.narrowed(&nodes);
        return Case {
            proof: Proof::Shown,
            summary: format!(
                "The overlay of {} uses another UDP port than the other nodes ({usual}), so they do not hear each other.",
                in_words(&place)
            ),
            evidence,
            advice: vec![
                format!("{}: ip -d link show type vxlan | grep dstport", where_to_look(&place)),
                format!("Set the port {usual} for all in the CNI's configuration (Calico: FelixConfiguration vxlanPort; flannel: Backend.Port; Cilium: tunnel-port); its agent makes the device anew when it starts."),
            ],
            place: Where { direction: None, ..place },
        }
        .into();
    }
    // Without the kernel's word: nothing listens where the others send to.
    let silent_kernel = scene.suspects().iter().all(|node| scene.host(*node).is_none());
    let refused = scene
        .suspects()
        .into_iter()
        .find_map(|node| refusals(scene, node).pop());
    match refused.filter(|_| silent_kernel) {
        Some(icmp) => Case {
            proof: Proof::Fits,
            summary: format!(
                "Nothing listens on the overlay's port at {}: its device has another port, or is down.",
                in_words(&scene.place)
            ),
            evidence: vec![refusal(&icmp, usual_port(scene, None).unwrap_or(Port(0)))],
            advice: vec![format!(
                "{}: ip -d link show type vxlan",
                where_to_look(&scene.place)
            )],
            place: Where {
                direction: None,
                ..scene.place.clone()
            },
        }
        .into(),
        None => against_if(!same.is_empty(), same.join(", ")),
    }
}

fn refusal(icmp: &IcmpError, port: Port) -> String {
    format!(
        "A datagram to the overlay's port {port} was refused (ICMP {}/{} from {}): nothing listens there.",
        icmp.kind, icmp.code, icmp.from
    )
}

/// Datagrams to the overlay's port of a node that were refused since nothing listens.
pub(super) fn refusals(scene: &Scene<'_>, node: NodeIndex) -> Vec<IcmpError> {
    knocks(scene, node)
        .filter(|icmp| meaning(icmp) == Meaning::PortUnreachable)
        .take(1)
        .collect()
}

/// The ICMP errors that datagrams to the overlay's port of a node got.
pub(super) fn knocks(scene: &Scene<'_>, node: NodeIndex) -> impl Iterator<Item = IcmpError> {
    let address = scene.address(node, Plane::Host);
    scene
        .looks()
        .filter_map(move |(from, _, ask, seen)| match (ask, seen) {
            (Ask::Knock { target, .. }, Seen::Knock(echo)) if Some(*target) == address && from != node => {
                echo.icmp
            }
            _ => None,
        })
}

/// `overlay-peer-stale`: one node sends what is for another's pods to the wrong machine.
pub(super) fn peer_stale(scene: &Scene<'_>) -> Opinion {
    if !is_overlay(scene) {
        return Opinion::Elsewhere;
    }
    let pairs: Vec<(NodeIndex, NodeIndex)> = if let Some((a, b)) = scene.pair() {
        vec![(a, b), (b, a)]
    } else {
        let suspects = scene.suspects();
        let touches = |a: &NodeIndex, b: &NodeIndex| suspects.contains(a) || suspects.contains(b);
        let all = scene.nodes().flat_map(|a| scene.nodes().map(move |b| (a, b)));
        all.filter(|(a, b)| a != b && touches(a, b)).collect()
    };
    let mut wrong = Vec::new();
    let (mut evidence, mut advice) = (Vec::new(), Vec::new());
    let mut is_missing = true;
    let mut right = 0_usize;
    for (a, b) in pairs {
        match entry(scene, a, b) {
            Some(Ok(())) => right += 1,
            Some(Err(stale)) => {
                evidence.push(stale.words);
                advice.extend(
                    stale
                        .cure
                        .map(|cure| format!("On {}: {cure}", node_name(scene.model, a))),
                );
                is_missing &= stale.is_missing;
                wrong.push((a, b));
            }
            None => {}
        }
    }
    if wrong.is_empty() || !explains_pairs(scene, &wrong) {
        return against_if(
            right > 0,
            "forwarding and neighbour entries lead to the right machines".to_owned(),
        );
    }
    let names = wrong
        .iter()
        .map(|(a, b)| (node_name(scene.model, *a), node_name(scene.model, *b)));
    let pairs: Vec<_> = names.collect();
    let (from, to) = pairs[0].clone();
    advice.extend(restart_agents(std::slice::from_ref(&from), "its entries"));
    advice.push(format!("On {from}, to compare: bridge fdb show; ip neigh show"));
    let place =
        if wrong.len() > 1 && wrong.iter().all(|(a, _)| *a == wrong[0].0) && scene.roster().nodes.len() > 2 {
            Where {
                nodes: vec![from.clone()],
                pairs: Vec::new(),
                direction: None,
                ..scene.place.clone()
            }
        } else {
            Where {
                nodes: Vec::new(),
                pairs,
                direction: None,
                ..scene.place.clone()
            }
        };
    Case {
        proof: Proof::Shown,
        summary: if is_missing {
            format!("The overlay of {from} does not know where to send what is for {to}: its entry for {to} is missing.")
        } else {
            format!("The overlay of {from} sends what is for {to} to the wrong machine: its entry for {to} is stale.")
        },
        evidence,
        advice,
        place,
    }
    .into()
}

/// Whether the explained cells go between these pairs.
fn explains_pairs(scene: &Scene<'_>, pairs: &[(NodeIndex, NodeIndex)]) -> bool {
    scene
        .pick
        .explains
        .iter()
        .all(|cell| match scene.model.nodes(*cell) {
            (Some(from), Some(to)) => pairs.contains(&(from, to)) || pairs.contains(&(to, from)),
            _ => true,
        })
}

/// An entry that does not lead to the other node.
struct Stale {
    words: String,
    /// What writes the right one, where all of it is known.
    cure: Option<String>,
    /// There is none.
    is_missing: bool,
}

/// Whether what a node knows of another's overlay is right; `None` if the kernel does not say.
fn entry(scene: &Scene<'_>, a: NodeIndex, b: NodeIndex) -> Option<Result<(), Stale>> {
    let facts = scene.host(a)?;
    let (link, of) = tunnel(facts, kind(scene))?;
    if of.kind != OverlayKind::Vxlan {
        return None;
    }
    let route = route_to(facts, scene.address(b, Plane::Pod)?)?;
    if route.link.as_deref() != Some(link.name.as_str()) {
        return None;
    }
    let device = &link.name;
    let (from, to) = (node_name(scene.model, a), node_name(scene.model, b));
    let gateway = route.gateway?;
    // A route by way of another machine is no entry's fault.
    if scene.host(b).is_some_and(|facts| !facts.has_address(gateway)) {
        return None;
    }
    let theirs = scene.host(b);
    let their_mac = theirs.and_then(|facts| tunnel(facts, kind(scene))?.0.mac);
    let right_neighbour =
        || their_mac.map(|mac| format!("ip neigh replace {gateway} lladdr {mac} dev {device} nud permanent"));
    let Some(mac) = neighbour(facts, gateway, Some(device)).and_then(|of| of.mac) else {
        return Some(Err(Stale {
            words: format!("{from} has no neighbour entry for {gateway} (the overlay of {to}) on {device}."),
            cure: right_neighbour(),
            is_missing: true,
        }));
    };
    if let Some(their_mac) = their_mac.filter(|theirs| *theirs != mac) {
        return Some(Err(Stale {
            words: format!(
                "{from}'s neighbour entry for {gateway} on {device} has {mac}, but the overlay device of {to} has {their_mac}."
            ),
            cure: right_neighbour(),
            is_missing: false,
        }));
    }
    let wanted = scene.address(b, Plane::Host)?;
    let is_theirs =
        |address: IpAddr| address == wanted || theirs.is_some_and(|facts| facts.has_address(address));
    let peers: Vec<IpAddr> = facts
        .forwarding_entries
        .iter()
        .filter(|of| of.link == link.name && (of.mac == mac || of.mac.0 == [0; 6]))
        .filter_map(|of| of.peer)
        .collect();
    let cure = Some(format!("bridge fdb replace {mac} dev {device} dst {wanted}"));
    if peers.is_empty() {
        return Some(Err(Stale {
            words: format!("{from} has no forwarding entry for {mac} (the overlay of {to}) on {device}."),
            cure,
            is_missing: true,
        }));
    }
    if peers.iter().copied().any(is_theirs) {
        return Some(Ok(()));
    }
    let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
    Some(Err(Stale {
        words: format!(
            "{from} sends what is for {mac} (the overlay of {to}) to {}, but {to} is {wanted}.",
            peers.join(", ")
        ),
        cure,
        is_missing: false,
    }))
}

pub(super) fn against_if(is_known: bool, why: String) -> Opinion {
    if is_known {
        Opinion::Against(why)
    } else {
        Opinion::Elsewhere
    }
}

/// Entries that speak of trouble with a neighbour.
pub(super) fn is_dead(state: NeighbourState) -> bool {
    matches!(state, NeighbourState::Failed | NeighbourState::Incomplete)
}
