//! The network of the nodes themselves: cut off, one way only, or the wrong machine behind an address.

use mesh_proto::{Plane, Protocol, Where};

use super::kernel::{Way, host_stop, port};
use super::place::{in_words, where_to_look};
use super::scene::Scene;
use super::signature::{Case, Opinion, Proof};
use crate::localise::{Family, Scope};
use crate::netfilter::IpProtocol;

/// `node-partitioned`: a node, a set of nodes or a pair is cut off on the node network, both ways.
pub(super) fn partitioned(scene: &Scene<'_>) -> Opinion {
    if scene.hypothesis.family != Family::Wire || scene.one_way || scene.hypothesis.filter.protocol.is_some()
    {
        return Opinion::Elsewhere;
    }
    let at = in_words(&scene.place);
    let mut place = scene.place.clone();
    let summary = match &scene.hypothesis.scope {
        Scope::Pair(..) => {
            format!(
                "The nodes {} cannot reach each other on the node network.",
                at.replace(" -> ", " and ")
            )
        }
        Scope::Cluster => "No node reaches any other on the node network.".to_owned(),
        Scope::Group(_) => format!("{at} are cut off from all other nodes on the node network."),
        _ => format!("{at} is cut off from all other nodes on the node network; its link still answers."),
    };
    if matches!(scene.hypothesis.scope, Scope::Pair(..)) {
        place.direction = None;
    }
    let (rules, mut advice): (Vec<String>, Vec<String>) = firewall(scene).into_iter().unzip();
    advice.retain(|removal| !removal.is_empty());
    advice.push(format!(
        "{}: ip -br addr; ip route; ip neigh; nft list ruleset; iptables-save",
        where_to_look(&place)
    ));
    if rules.is_empty() {
        advice.push("Between them: the switch port, the VLAN, security groups of the cloud.".to_owned());
    }
    Case {
        proof: Proof::Likely,
        summary,
        evidence: rules,
        advice,
        place,
    }
    .into()
}

/// Rules of the nodes themselves that stop everything between them, and how to take each away.
fn firewall(scene: &Scene<'_>) -> Vec<(String, String)> {
    let mut words = Vec::new();
    for node in scene.suspects() {
        let others = scene.others(node);
        let Some(peer) = others.first() else { continue };
        for way in [Way::In, Way::Out] {
            let stops = Protocol::ALL.iter().map(|protocol| {
                let towards = scene.address(node, Plane::Host)?;
                host_stop(
                    scene,
                    node,
                    *peer,
                    (IpProtocol::of(*protocol, towards), port(scene, *protocol)),
                    way,
                )
            });
            let stops: Option<Vec<_>> = stops.collect();
            if let Some(stop) = stops.and_then(|stops| stops.into_iter().next()) {
                let removal = scene.removal(node, &stop).unwrap_or_default();
                words.push((scene.says(node, &stop), removal));
            }
        }
    }
    words
}

/// `one-way-loss`: all that goes one way is lost. (Loss of a share is in `loss`.)
pub(super) fn one_way(scene: &Scene<'_>) -> Opinion {
    if !matches!(scene.hypothesis.family, Family::Wire | Family::Bare)
        || !scene.one_way
        || scene.hypothesis.filter.protocol.is_some()
    {
        return Opinion::Elsewhere;
    }
    Case {
        proof: Proof::Likely,
        summary: format!("Packets from {} are lost; those the other way arrive.", in_words(&scene.place)),
        evidence: vec!["Receive counters: requests arrive one way only, or only the answers are lost.".to_owned()],
        advice: vec!["Look for a firewall or an access list that names one direction, on both nodes and between them. On both: nft list ruleset; iptables-save".to_owned()],
        place: Where { loss: Some(1.0), ..scene.place.clone() },
    }
    .into()
}
