//! Traffic of a machine or pod with itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mesh_proto::{Action, Ask, Hook, HostFacts, Plane, Seen, Where};

use super::kernel::first;
use super::overlay::against_if;
use super::place::{in_words, node_name, where_to_look};
use super::scene::Scene;
use super::signature::{Case, Opinion, Proof};
use crate::localise::{Family, Scope};
use crate::netfilter::{IpProtocol, Packet, Stop};
use crate::{NodeIndex, Target};

/// Where it fails: node, plane, and what the kernel of that place says.
fn sites<'a>(scene: &Scene<'a>) -> Vec<(NodeIndex, Plane, Option<&'a HostFacts>)> {
    let mut sites = Vec::new();
    for cell in &scene.pick.explains {
        let (Some(node), Some(plane)) = (scene.model.nodes(*cell).0, scene.model.plane_from(*cell)) else {
            continue;
        };
        if scene.model.cell(*cell).target == Target::Loopback
            && !sites
                .iter()
                .any(|(of, in_plane, _)| (*of, *in_plane) == (node, plane))
        {
            sites.push((node, plane, scene.facts(node, plane)));
        }
    }
    sites
}

fn place(scene: &Scene<'_>, sites: &[(NodeIndex, Plane)]) -> Where {
    let mut nodes: Vec<NodeIndex> = sites.iter().map(|(node, _)| *node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let mut planes: Vec<Plane> = sites.iter().map(|(_, plane)| *plane).collect();
    planes.sort_unstable();
    planes.dedup();
    let everywhere =
        scene.hypothesis.scope == Scope::Cluster && nodes.len() == scene.nodes().count() && nodes.len() > 1;
    Where {
        nodes: if everywhere {
            Vec::new()
        } else {
            nodes.iter().map(|node| node_name(scene.model, *node)).collect()
        },
        plane: match planes.as_slice() {
            [one] => Some(*one),
            _ => None,
        },
        ..Where::default()
    }
}

/// `loopback-down`: the loopback device or its address is missing.
pub(super) fn loopback_down(scene: &Scene<'_>) -> Opinion {
    if scene.hypothesis.family != Family::Loopback {
        return Opinion::Elsewhere;
    }
    let mut down = Vec::new();
    let mut evidence = Vec::new();
    let mut fine = 0_usize;
    for (node, plane, facts) in sites(scene) {
        let Some(facts) = facts.filter(|facts| !facts.links.is_empty()) else {
            continue;
        };
        let name = node_name(scene.model, node);
        // Of the family that was asked; the other's address may stand.
        let address = facts
            .addresses
            .iter()
            .any(|of| of.address.is_loopback() && of.address.is_ipv4() == is_v4(scene));
        match facts.link("lo") {
            Some(link) if link.up && address => {
                fine += 1;
                continue;
            }
            Some(link) if link.up => evidence.push(format!("On {name} ({plane}) lo has no address.")),
            Some(_) => evidence.push(format!("On {name} ({plane}) the device lo is down.")),
            None => evidence.push(format!("On {name} ({plane}) there is no device lo.")),
        }
        down.push((node, plane));
    }
    if down.is_empty() {
        return against_if(fine > 0, "lo is up and has its address".to_owned());
    }
    let place = place(scene, &down);
    Case {
        proof: Proof::Shown,
        summary: format!(
            "The loopback interface of {} is down or has no address.",
            in_words(&place)
        ),
        evidence,
        advice: vec![
            format!(
                "{}: ip link set lo up; ip addr add 127.0.0.1/8 dev lo",
                where_to_look(&place)
            ),
            "Then look for what took it down: a network manager, a chain of CNI plugins without loopback."
                .to_owned(),
        ],
        place,
    }
    .into()
}

/// `loopback-source`: what goes to 127.0.0.1 leaves with another source, and the node drops it.
pub(super) fn loopback_source(scene: &Scene<'_>) -> Opinion {
    if scene.hypothesis.family != Family::Loopback || matches!(loopback_down(scene), Opinion::For(_)) {
        return Opinion::Elsewhere;
    }
    let mut found = Vec::new();
    let mut evidence = Vec::new();
    let mut removals: Vec<String> = Vec::new();
    let mut shown = true;
    for (node, plane, facts) in sites(scene) {
        let name = node_name(scene.model, node);
        let before = evidence.len();
        if let Some(source) = chosen_source(scene, node, plane) {
            evidence.push(format!(
                "On {name} ({plane}) a socket that connects to loopback gets the source {source}."
            ));
        }
        if let Some(facts) = facts {
            if let Some(rule) = translated_by(facts) {
                evidence.push(format!(
                    "On {name} ({plane}) a rule translates the source of what stays on the machine: {}",
                    rule.words()
                ));
                removals.extend(scene.removal(node, &rule));
            }
            if evidence.len() > before
                && let Some(stop) = dropped_by(scene, node, plane, facts)
            {
                evidence.push(format!("On {name} ({plane}) such packets are dropped: {stop}"));
            }
        }
        if evidence.len() == before && bound_works(scene, node, plane) {
            evidence.push(format!(
                "On {name} ({plane}) the same works from a socket that is bound to 127.0.0.1."
            ));
            shown = false;
        }
        if evidence.len() > before {
            found.push((node, plane));
        }
    }
    if found.is_empty() {
        return Opinion::Elsewhere;
    }
    let place = place(scene, &found);
    let at = where_to_look(&place);
    let see = [
        format!(
            "{at}, the rules that translate sources: iptables -t nat -S POSTROUTING; nft -a list chain ip nat POSTROUTING"
        ),
        format!(
            "{at}, the way that the kernel takes: ip route get 127.0.0.1; ip route show table local; ip rule"
        ),
    ];
    let mut advice = removals;
    if advice.is_empty() {
        advice.push("A route or a rule that gives 127.0.0.1 another source must go.".to_owned());
    } else {
        advice.push(
            "Then write it anew so that loopback is left out: with `! -o lo` among its conditions."
                .to_owned(),
        );
    }
    advice.push("Leave the rule that drops (KUBE-FIREWALL) alone: it protects the node.".to_owned());
    advice.extend(see);
    Case {
        proof: if shown { Proof::Shown } else { Proof::Likely },
        summary: format!(
            "Traffic to 127.0.0.1 on {} leaves with a source that is not loopback, and the node drops it.",
            in_words(&place)
        ),
        evidence,
        advice,
        place,
    }
    .into()
}

fn is_v4(scene: &Scene<'_>) -> bool {
    let mut asked = scene
        .pick
        .explains
        .iter()
        .filter_map(|cell| scene.model.cell(*cell).address);
    asked.all(|address| address.is_ipv4())
}

fn is_loopback_target(target: IpAddr) -> bool {
    target == IpAddr::V4(Ipv4Addr::LOCALHOST) || target == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

/// The source that the kernel chooses towards loopback, where it is not loopback.
fn chosen_source(scene: &Scene<'_>, node: NodeIndex, plane: Plane) -> Option<IpAddr> {
    scene.looks().find_map(|(from, of, ask, seen)| match (ask, seen) {
        (Ask::Route { target }, Seen::Route(chosen))
            if (from, of) == (node, plane) && is_loopback_target(*target) =>
        {
            chosen.source.filter(|source| !source.is_loopback())
        }
        _ => None,
    })
}

fn bound_works(scene: &Scene<'_>, node: NodeIndex, plane: Plane) -> bool {
    scene.looks().any(|(from, of, ask, seen)| match (ask, seen) {
        (
            Ask::Probe {
                source: Some(source), ..
            },
            Seen::Probe(observation),
        ) if (from, of) == (node, plane) && source.is_loopback() => observation.received > 0,
        _ => false,
    })
}

/// A packet of the machine to itself.
fn to_itself(source: IpAddr) -> Packet<'static> {
    Packet {
        protocol: IpProtocol::UDP,
        source,
        destination: IpAddr::V4(Ipv4Addr::LOCALHOST),
        destination_port: None,
        in_link: Some("lo"),
        out_link: Some("lo"),
        from_here: true,
        for_here: true,
    }
}

fn translated_by(facts: &HostFacts) -> Option<Stop<'_>> {
    let packet = to_itself(IpAddr::V4(Ipv4Addr::LOCALHOST));
    crate::netfilter::met(&facts.netfilter, Hook::Postrouting, &packet, |action| {
        matches!(action, Action::SourceNat { .. })
    })
}

fn dropped_by(scene: &Scene<'_>, node: NodeIndex, plane: Plane, facts: &HostFacts) -> Option<String> {
    let source = chosen_source(scene, node, plane).or(scene.address(node, plane))?;
    let stop = first(facts, &[Hook::Output, Hook::Input], &to_itself(source))?;
    Some(stop.words())
}
