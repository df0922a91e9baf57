//! The machine behind an address: hardware addresses that are out of date, and addresses that two have.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh_proto::{MacAddress, NeighbourState, Plane, Reason, Where};

use super::kernel::{link_to, mac_of, neighbour};
use super::overlay::{against_if, is_dead};
use super::place::{list, node_name};
use super::scene::Scene;
use super::signature::{Case, Opinion, Proof};
use crate::NodeIndex;
use crate::localise::Family;
use crate::round::{CellIndex, Target};

/// `neighbour-stale`: a node sends what is for another to a hardware address that is not the other's.
pub(super) fn neighbour_stale(scene: &Scene<'_>) -> Opinion {
    if !matches!(
        scene.hypothesis.family,
        Family::Wire | Family::Bare | Family::Overlay | Family::Agent(_) | Family::Between(..)
    ) {
        return Opinion::Elsewhere;
    }
    let mut wrong = Vec::new();
    let mut evidence = Vec::new();
    let mut right = 0_usize;
    for from in scene.nodes() {
        for to in scene.nodes().filter(|to| *to != from) {
            match entry(scene, from, to) {
                Some(Entry::Right) => right += 1,
                Some(Entry::Wrong {
                    theirs,
                    believed,
                    state,
                }) => {
                    let (from_name, to_name) = (node_name(scene.model, from), node_name(scene.model, to));
                    evidence.push((from, to, format!("{from_name}'s neighbour entry for {to_name} has {believed} ({state}), but {to_name}'s device has {theirs}{}.", if scene.host(to).is_none() { ", as other nodes know" } else { "" })));
                    wrong.push((from, to, believed, state));
                }
                None => {}
            }
        }
    }
    // Several nodes that learned of the same other machine were told so by it; and where somebody answers, somebody is there.
    // What was written by hand nobody told.
    let told = |to, believed| {
        let learned = wrong
            .iter()
            .filter(|(.., state)| *state != NeighbourState::Permanent);
        learned
            .filter(|(_, of, mac, _)| (*of, *mac) == (to, believed))
            .count()
    };
    let alone = wrong.iter().filter(|(from, to, believed, state)| {
        let is_lie = *state != NeighbourState::Permanent && told(*to, *believed) >= 2;
        !is_lie && !is_confirmed(scene, *from, *to)
    });
    let pairs: Vec<(NodeIndex, NodeIndex)> = alone.map(|(from, to, ..)| (*from, *to)).collect();
    let explained = scene
        .pick
        .explains
        .iter()
        .filter(|cell| match scene.model.nodes(**cell) {
            (Some(from), Some(to)) => pairs.contains(&(from, to)) || pairs.contains(&(to, from)),
            _ => true,
        });
    let explained = explained.count();
    if pairs.is_empty() || explained * 20 < scene.pick.explains.len() * 19 {
        return against_if(
            right > 0 && wrong.is_empty(),
            "neighbour entries have the right hardware addresses".to_owned(),
        );
    }
    let names: Vec<_> = pairs
        .iter()
        .map(|(from, to)| (node_name(scene.model, *from), node_name(scene.model, *to)))
        .collect();
    let (from, to) = names[0].clone();
    let mut advice: Vec<String> = pairs
        .iter()
        .filter_map(|(from, to)| removal(scene, *from, *to))
        .collect();
    advice.push(format!("On {from}: ip neigh show"));
    advice.push(format!("If the entry comes again, look for who writes it: a script or a configuration of the network (it is {}), a second machine with that address.", wrong[0].3));
    Case {
        proof: Proof::Shown,
        summary: format!(
            "{from} sends what is for {to} to a wrong hardware address: its neighbour entry is stale."
        ),
        evidence: evidence
            .into_iter()
            .filter(|(from, to, _)| pairs.contains(&(*from, *to)))
            .map(|(.., words)| words)
            .collect(),
        advice,
        place: Where {
            pairs: names,
            direction: None,
            plane: None,
            nodes: Vec::new(),
            ..scene.place.clone()
        },
    }
    .into()
}

/// What to type to have a node learn another's hardware address anew.
fn removal(scene: &Scene<'_>, from: NodeIndex, to: NodeIndex) -> Option<String> {
    let address = scene.address(to, Plane::Host)?;
    let link = link_to(scene.host(from)?, address)?;
    Some(format!(
        "On {}: ip neigh del {address} dev {link}",
        node_name(scene.model, from)
    ))
}

/// What a node believes of another's hardware address.
enum Entry {
    Right,
    Wrong {
        theirs: MacAddress,
        believed: MacAddress,
        state: NeighbourState,
    },
}

/// `None` where they are not on one link, or a kernel does not say.
fn entry(scene: &Scene<'_>, from: NodeIndex, to: NodeIndex) -> Option<Entry> {
    let facts = scene.host(from)?;
    let address = scene.address(to, Plane::Host)?;
    // Where the other itself cannot be asked, who was answered by it lately knows.
    let theirs = match scene.host(to) {
        Some(facts) => mac_of(facts, address)?,
        None => agreed(scene, from, to, address)?,
    };
    let of = neighbour(facts, address, link_to(facts, address))?;
    let believed = of.mac.filter(|_| !is_dead(of.state))?;
    Some(if believed == theirs {
        Entry::Right
    } else {
        Entry::Wrong {
            theirs,
            believed,
            state: of.state,
        }
    })
}

/// The hardware address at which all others but one were answered lately (`NUD_REACHABLE`) by a node that cannot be asked itself.
fn agreed(scene: &Scene<'_>, but: NodeIndex, to: NodeIndex, address: IpAddr) -> Option<MacAddress> {
    let others = scene.nodes().filter(|other| *other != but && *other != to);
    let believed = others.filter_map(|other| {
        let facts = scene.host(other)?;
        let of = neighbour(facts, address, link_to(facts, address))?;
        of.mac.filter(|_| of.state == NeighbourState::Reachable)
    });
    let mut believed = believed.collect::<Vec<_>>().into_iter();
    let first = believed.next()?;
    believed.all(|mac| mac == first).then_some(first)
}

/// `duplicate-address`: somebody else answers at an address.
pub(super) fn duplicate_address(scene: &Scene<'_>) -> Opinion {
    let impostor = impostors(scene);
    if let Some((node, mac, believers)) = impostor
        && scene.covers(&[node])
    {
        let believers: Vec<_> = believers
            .into_iter()
            .map(|node| node_name(scene.model, node))
            .collect();
        let (name, address) = (node_name(scene.model, node), scene.address(node, Plane::Host));
        let words = address.map(|address| address.to_string()).unwrap_or_default();
        return Case {
            proof: Proof::Shown,
            summary: format!("Another machine has the address of {name} ({words}): who talks to it gets one or the other."),
            evidence: vec![format!("{words} is known at {mac}, which is not {name}'s device, by {}.", list(&believers))],
            advice: vec![
                format!("On another node: arping -D -I {} {words}; ip neigh show {words}", device(scene, node, address)),
                format!("Find {mac} at the switch (its vendor is in the first three bytes), and give that machine another address."),
            ],
            place: Where { nodes: vec![name], pairs: Vec::new(), plane: None, direction: None, address, ..Where::default() },
        }
        .into();
    }
    let wrong = scene
        .pick
        .explains
        .iter()
        .filter(|cell| scene.model.judged(**cell).seen() == Some(Reason::WrongResponder))
        // A service is answered from elsewhere by design; what is not translated back is no second machine.
        .filter(|cell| matches!(scene.model.cell(**cell).target, Target::Agent(_)));
    let mut addresses: BTreeMap<IpAddr, (usize, CellIndex)> = BTreeMap::new();
    for cell in wrong {
        if let Some(address) = scene.model.cell(*cell).address {
            addresses.entry(address).or_insert((0, *cell)).0 += 1;
        }
    }
    let most = addresses.into_iter().max_by_key(|(_, (count, _))| *count);
    let Some((address, (count, cell))) =
        most.filter(|(_, (count, _))| count * 4 >= scene.pick.explains.len())
    else {
        return Opinion::Elsewhere;
    };
    let (_, to) = scene.model.nodes(cell);
    let mut place = Where {
        address: Some(address),
        ..scene.place.clone()
    };
    if let Some(node) = to.filter(|node| scene.covers(&[*node])) {
        place = Where {
            nodes: vec![node_name(scene.model, node)],
            pairs: Vec::new(),
            address: Some(address),
            plane: scene.place.plane,
            ..Where::default()
        };
    }
    let seen = scene.model.observation(cell);
    let asks = scene
        .nodes()
        .find(|node| Some(*node) != to && scene.host(*node).is_some());
    let device = asks.map_or_else(
        || "DEVICE".to_owned(),
        |asks| device_at(scene, asks, Some(address)),
    );
    let who = seen
        .as_ref()
        .and_then(|seen| seen.responder.as_ref())
        .map(|who| format!(" ({} answered)", who.key))
        .unwrap_or_default();
    Case {
        proof: Proof::Shown,
        summary: format!("Somebody else answers at {address}: two machines or pods have this address."),
        evidence: vec![format!(
            "{count} cells were answered by another agent than the one that has the address{who}."
        )],
        advice: vec![
            format!("Which pods have it: kubectl get pods -A -o wide | grep -w {address}"),
            format!(
                "On each node, which way it lies: ip route get {address}; arping -D -I {device} {address}"
            ),
        ],
        place,
    }
    .into()
}

/// The device by which others than a node reach an address.
fn device(scene: &Scene<'_>, but: NodeIndex, address: Option<IpAddr>) -> String {
    let other = scene
        .nodes()
        .find(|node| *node != but && scene.host(*node).is_some());
    other.map_or_else(|| "DEVICE".to_owned(), |other| device_at(scene, other, address))
}

fn device_at(scene: &Scene<'_>, node: NodeIndex, address: Option<IpAddr>) -> String {
    let link = scene
        .host(node)
        .zip(address)
        .and_then(|(facts, address)| link_to(facts, address));
    link.unwrap_or("DEVICE").to_owned()
}

/// Whether somebody is there whom a node takes for another: its kernel was answered lately (`NUD_REACHABLE`), or its probes
/// were.
fn is_confirmed(scene: &Scene<'_>, from: NodeIndex, to: NodeIndex) -> bool {
    let believes = entry(scene, from, to);
    let lately = matches!(
        believes,
        Some(Entry::Wrong {
            state: NeighbourState::Reachable,
            ..
        })
    );
    lately || answers(scene, from, to)
}

/// Whether somebody answers what a node sends to another's address.
fn answers(scene: &Scene<'_>, from: NodeIndex, to: NodeIndex) -> bool {
    let mut between = scene
        .model
        .cells()
        .filter(|cell| scene.model.host_to_host(*cell) && scene.model.nodes(*cell) == (Some(from), Some(to)));
    between.any(|cell| {
        let seen = scene.model.judged(cell).seen();
        scene.model.observed(cell) && scene.model.judged(cell).came_through()
            || matches!(
                seen,
                Some(Reason::Refused | Reason::Reset | Reason::WrongResponder)
            )
    })
}

/// A node whose address others know at another machine's device, where somebody answers or several agree: the node, that
/// device, who believes it.
fn impostors(scene: &Scene<'_>) -> Option<(NodeIndex, MacAddress, Vec<NodeIndex>)> {
    let mut believers: BTreeMap<(NodeIndex, MacAddress), (Vec<NodeIndex>, bool)> = BTreeMap::new();
    for to in scene.nodes() {
        for from in scene.nodes().filter(|from| *from != to) {
            if let Some(Entry::Wrong { believed, state, .. }) = entry(scene, from, to)
                && state != NeighbourState::Permanent
            {
                let of = believers.entry((to, believed)).or_default();
                of.0.push(from);
                of.1 |= is_confirmed(scene, from, to);
            }
        }
    }
    let believed = believers
        .into_iter()
        .filter(|(_, (who, answered))| who.len() >= 2 || *answered);
    let ((node, mac), (who, _)) = believed.max_by_key(|(_, (who, _))| who.len())?;
    Some((node, mac, who))
}
