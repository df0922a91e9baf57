//! What stands behind the services that every cluster has: the API server and DNS.

use mesh_proto::{AgentIndex, Reason, Where};

use super::asked::Asked;
use super::evidence::icmp;
use super::meetings::meetings;
use super::place::node_name;
use super::scene::Scene;
use super::services::{direct_tries, has_one_node, is_everywhere, service_place};
use super::signature::{Case, Opinion, Proof};
use crate::localise::{Family, Filter};
use crate::round::CellIndex;
use crate::{Presence, RosterAgent};

/// `api-server-down`: the endpoint itself refuses or does not answer.
pub(super) fn api_server_down(scene: &Scene<'_>) -> Opinion {
    if scene.hypothesis.family != Family::ApiService
        || !is_everywhere(scene)
        || scene.hypothesis.filter.from.is_some()
    {
        return Opinion::Elsewhere;
    }
    let endpoints = Asked::Api.endpoints(scene.cluster());
    let tries = direct_tries(scene, &endpoints);
    let answered = tries.iter().any(|(_, came)| *came);
    if answered {
        return Opinion::Against("an endpoint answers when it is asked by its own address".to_owned());
    }
    let mut place = service_place(scene, Asked::Api);
    let mut nodes: Vec<_> = endpoints
        .iter()
        .filter_map(|address| scene.roster().node_of_host_address(*address).cloned())
        .collect();
    nodes.sort();
    nodes.dedup();
    place.nodes = nodes;
    place.endpoint = endpoints.first().copied().filter(|_| endpoints.len() == 1);
    let refused = all_refused(scene);
    if !refused && tries.is_empty() {
        return Opinion::Elsewhere;
    }
    let asked = if tries.is_empty() {
        None
    } else {
        let asked: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        Some(format!(
            "Asked by their own addresses ({}), its endpoints do not answer either.",
            asked.join(", ")
        ))
    };
    let (rules, removals): (Vec<String>, Vec<Option<String>>) = closed(scene, &place).into_iter().unzip();
    let removals = removals.into_iter().flatten();
    Case {
        proof: if tries.len() >= 2 || (refused && !tries.is_empty()) {
            Proof::Shown
        } else {
            Proof::Likely
        },
        summary: if refused {
            "The API server refuses connections: its endpoint answers with a reset, to everybody.".into()
        } else {
            "The API server does not answer: neither the service nor its endpoints, to nobody.".into()
        },
        evidence: rules.into_iter().chain(asked).collect(),
        advice: removals.chain(Asked::Api.advice(scene.cluster())).collect(),
        place,
    }
    .into()
}

/// Rules of its own node that keep all from it, and how to take them away.
fn closed(scene: &Scene<'_>, place: &Where) -> Vec<(String, Option<String>)> {
    let is_there = |node| place.nodes.contains(&node_name(scene.model, node));
    let met = scene
        .pick
        .explains
        .first()
        .map(|cell| meetings(scene.model, *cell))
        .unwrap_or_default();
    let stops = met
        .iter()
        .filter(|meeting| is_there(meeting.at))
        .filter_map(|meeting| Some((meeting.at, meeting.stop()?)));
    let mut rules: Vec<_> = stops
        .map(|(at, stop)| (scene.says(at, &stop), scene.removal(at, &stop)))
        .collect();
    rules.dedup();
    rules
}

/// Resets from the endpoint. Who is silent instead may be kept from it by another fault, so long as most are not.
fn all_refused(scene: &Scene<'_>) -> bool {
    let is_reset = |cell: &&CellIndex| {
        scene.model.judged(**cell).seen() == Some(Reason::Refused) && icmp(scene.model, **cell).is_none()
    };
    let (resets, others): (Vec<_>, Vec<_>) = scene.pick.explains.iter().partition(is_reset);
    // A node that does not forward gives its pods no neighbour either.
    let silent = |cell: &CellIndex| {
        matches!(
            scene.model.judged(*cell).seen(),
            Some(Reason::Timeout | Reason::HostUnreachable)
        )
    };
    resets.len() > others.len() && others.into_iter().all(silent)
}

/// `dns-endpoint-down`: one endpoint answers nobody, others do.
pub(super) fn dns_endpoint_down(scene: &Scene<'_>) -> Opinion {
    let Some((endpoint, only_one)) = dead_endpoint(scene) else {
        return Opinion::Elsewhere;
    };
    if only_one {
        return Opinion::Elsewhere;
    }
    if let Some(why) = may_be_its_node(scene, endpoint) {
        return Opinion::Against(why);
    }
    dns_endpoint(
        scene,
        endpoint,
        format!(
            "The DNS endpoint {} on {} answers nobody; others do, so a share of the queries fails.",
            endpoint.address, endpoint.node
        ),
    )
    .into()
}

/// `dns-down`: no endpoint answers, or there is none.
pub(super) fn dns_down(scene: &Scene<'_>) -> Opinion {
    if let Some((endpoint, true)) = dead_endpoint(scene) {
        if let Some(why) = may_be_its_node(scene, endpoint) {
            return Opinion::Against(why);
        }
        return dns_endpoint(
            scene,
            endpoint,
            format!(
                "DNS is down: its only endpoint {} on {} answers nobody.",
                endpoint.address, endpoint.node
            ),
        )
        .into();
    }
    if scene.hypothesis.family != Family::DnsAll
        || !is_everywhere(scene)
        || scene.hypothesis.filter.from.is_some()
    {
        return Opinion::Elsewhere;
    }
    let mut place = service_place(scene, Asked::Dns);
    if has_one_node(scene) {
        place.nodes.clear();
    }
    Case {
        // From elsewhere it may look otherwise, where there is an elsewhere.
        proof: if has_one_node(scene) {
            Proof::Likely
        } else {
            Proof::Shown
        },
        summary: if Asked::Dns.endpoints(scene.cluster()).is_empty() {
            "DNS is down: its service has no endpoint, so nobody is there to answer.".into()
        } else {
            "DNS is down: neither the service nor any endpoint answers anybody.".into()
        },
        evidence: Vec::new(),
        advice: Asked::Dns.advice(scene.cluster()),
        place,
    }
    .into()
}

/// The endpoint that answers nobody, and whether it is the only one.
fn dead_endpoint<'a>(scene: &Scene<'a>) -> Option<(&'a crate::Backend, bool)> {
    let Family::DnsEndpoint(number) = scene.hypothesis.family else {
        return None;
    };
    if scene.hypothesis.filter != Filter::ALL {
        return None;
    }
    let dns = scene.cluster().dns.as_ref()?;
    let endpoint = dns.endpoints.get(number).filter(|_| is_everywhere(scene))?;
    Some((endpoint, dns.endpoints.len() == 1))
}

/// Why it may be the endpoint's node that answers nobody: none of the agents that should stand there is heard.
pub(super) fn may_be_its_node(scene: &Scene<'_>, endpoint: &crate::Backend) -> Option<String> {
    let node = &endpoint.node;
    let expected = |agent: &&(AgentIndex, &RosterAgent)| {
        agent.1.key.node == *node && !matches!(agent.1.presence, Presence::Skipped { .. })
    };
    let agents: Vec<_> = scene.roster().indexed().collect();
    let mut expected = agents.iter().filter(expected).peekable();
    let is_known = expected.peek().is_some();
    let is_silent = expected.all(|(agent, _)| !scene.model.matrix.stands(*agent));
    (is_known && is_silent).then(|| format!("no agent on {node} is heard either, so it may be all of {node}"))
}

fn dns_endpoint(scene: &Scene<'_>, endpoint: &crate::Backend, summary: String) -> Case {
    Case {
        proof: Proof::Shown,
        summary,
        evidence: Vec::new(),
        advice: Asked::Dns.advice(scene.cluster()),
        place: Where {
            nodes: vec![endpoint.node.clone()],
            endpoint: Some(endpoint.address),
            service: scene.cluster().dns.as_ref().map(|dns| dns.address),
            ..Where::default()
        },
    }
}
