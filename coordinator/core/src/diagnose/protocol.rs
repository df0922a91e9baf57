//! One protocol is dropped, the others pass.

use std::collections::BTreeSet;

use mesh_proto::{Plane, Protocol, Where};

use super::asked::Asked;
use super::forwarding::stops_of;
use super::kernel::{Way, host_stop, port};
use super::place::{in_words, where_to_look};
use super::policy::is_of_policy;
use super::scene::Scene;
use super::signature::{Case, Opinion, Proof};
use crate::NodeIndex;
use crate::localise::{Filter, Hypothesis, Model, Pick, Scope, Symptom, protocol_of};
use crate::netfilter::{IpProtocol, Stop};
use crate::round::{CellIndex, Target};

/// `protocol-filtered`: a place that spares the other protocols.
pub(super) fn protocol_filtered(scene: &Scene<'_>) -> Opinion {
    let Some(protocol) = scene.hypothesis.filter.protocol else {
        return Opinion::Elsewhere;
    };
    // A port that one service lacks is no filtered protocol: more than one cell, and none of that protocol well there.
    let cells = scene.pick.explains.iter();
    let of_protocol = cells
        .filter(|cell| protocol_of(scene.model.kind(**cell)) == protocol)
        .count();
    // What comes through late or in part is not dropped.
    let is_dropped = scene.pick.symptom == Symptom::Dead;
    if !is_dropped
        || of_protocol < 2
        || spares(scene)
        || !others_pass(scene.model, scene.pick, scene.hypothesis)
    {
        return Opinion::Elsewhere;
    }
    let (place, at) = whereabouts(scene);
    let stops = rules(scene, protocol);
    if stops.iter().any(|(_, stop)| is_of_policy(stop)) {
        return Opinion::Against("the rule that drops it is of a network policy".to_owned());
    }
    let rules: Vec<String> = stops.iter().map(|(node, stop)| scene.says(*node, stop)).collect();
    let name = protocol.meaning();
    let mut advice: Vec<String> = stops
        .iter()
        .filter_map(|(node, stop)| scene.removal(*node, stop))
        .collect();
    advice.push(format!(
        "{1}: iptables-save | grep -i -- '-p {0}'; nft list ruleset | grep -n {0}",
        name.to_ascii_lowercase(),
        where_to_look(&place)
    ));
    Case {
        proof: if rules.is_empty() {
            Proof::Likely
        } else {
            Proof::Shown
        },
        summary: format!("{name} is dropped at {at}, other protocols pass."),
        evidence: rules,
        advice,
        place,
    }
    .into()
}

/// The place, and in words who does not answer the protocol: where that is a service or an endpoint, the way there is not at
/// fault.
pub(super) fn whereabouts(scene: &Scene<'_>) -> (Where, String) {
    let cluster = scene.cluster();
    let mut place = scene.place.clone();
    let Some(asked) = Asked::of(scene.hypothesis.family, cluster) else {
        let at = in_words(&place);
        return (place, at);
    };
    let protocol = place.protocol;
    asked.put(cluster, &mut place);
    place.protocol = protocol;
    let (whom, from) = (asked.words(cluster), in_words(&place));
    if let (Asked::DnsEndpoint(number), Scope::Cluster) = (asked, &scene.hypothesis.scope) {
        let endpoint = cluster.dns.as_ref().and_then(|dns| dns.endpoints.get(number));
        place.nodes = endpoint.map(|of| of.node.clone()).into_iter().collect();
        return (place, whom);
    }
    (place, format!("{whom}, asked at {from}"))
}

/// Rules of the suspects that stop this protocol and not the others as well, one for each.
fn rules<'a>(scene: &Scene<'a>, protocol: Protocol) -> Vec<(NodeIndex, Stop<'a>)> {
    let mut rules = Vec::new();
    for node in scene.suspects() {
        let others = Protocol::ALL.iter().filter(|other| **other != protocol);
        let of_others: Vec<Vec<String>> = others
            .map(|other| found_at(scene, node, *other).iter().map(Stop::words).collect())
            .collect();
        let stops_all = |stop: &Stop<'_>| of_others.iter().all(|words| words.contains(&stop.words()));
        let found = found_at(scene, node, protocol).into_iter();
        rules.extend(
            found
                .filter(|stop| stop.sure)
                .find(|stop| !stops_all(stop))
                .map(|stop| (node, stop)),
        );
    }
    rules
}

/// What stops a protocol at a node, between its pods and others, or the node itself and others.
fn found_at<'a>(scene: &Scene<'a>, node: NodeIndex, protocol: Protocol) -> Vec<Stop<'a>> {
    let mut found = stops_of(scene, node, &[protocol]);
    if let (Some(peer), Some(towards)) = (scene.others(node).first(), scene.address(node, Plane::Host)) {
        let packet = (IpProtocol::of(protocol, towards), port(scene, protocol));
        let ways = [Way::In, Way::Out].into_iter();
        found.extend(ways.filter_map(|way| host_stop(scene, node, *peer, packet, way)));
    }
    found
}

/// Whether the protocol is well somewhere at the place. Where the place is between nodes or at one, a service says nothing: by
/// which way it goes is not known.
fn spares(scene: &Scene<'_>) -> bool {
    if Asked::of(scene.hypothesis.family, scene.cluster()).is_some() {
        return scene.pick.spared > 0;
    }
    let crossing = scene.model.crossing(scene.hypothesis);
    crossing.into_keys().any(|cell| {
        let of_agent = matches!(scene.model.cell(cell).target, Target::Agent(_));
        of_agent && scene.model.observed(cell) && scene.model.symptom(cell).is_none()
    })
}

/// Whether most of what crosses the place by other protocols comes through; else it is no filter.
fn others_pass(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> bool {
    let explained: BTreeSet<CellIndex> = pick.explains.iter().copied().collect();
    let crossing = model.crossing(&Hypothesis {
        filter: Filter {
            protocol: None,
            ..hypothesis.filter
        },
        ..hypothesis.clone()
    });
    let others = crossing
        .into_iter()
        .filter(|(cell, certain)| *certain && model.observed(*cell) && !explained.contains(cell))
        .map(|(cell, _)| cell)
        .filter(|cell| Some(protocol_of(model.kind(*cell))) != hypothesis.filter.protocol);
    let (passing, failing): (Vec<_>, Vec<_>) = others.partition(|cell| model.judged(*cell).came_through());
    passing.len() >= failing.len().max(1)
}
