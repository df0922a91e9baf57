//! What stands before the endpoints of a service: kube-proxy's rules, the endpoints they know, the masquerade they need.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mesh_proto::{Ask, Hook, HostFacts, Plane, Port, Protocol, Reason, Seen, TargetKind, Where};

use super::asked::Asked;
use super::evidence::icmp;
use super::kernel::{backends, first, masquerades};
use super::overlay::against_if;
use super::place::{in_words, list, node_name};
use super::scene::Scene;
use super::signature::{Case, Opinion, Proof};
use crate::localise::{Family, Filter, Hypothesis, Scope};
use crate::netfilter::{IpProtocol, Packet};
use crate::round::{CellIndex, Target};
use crate::{Dns, NodeIndex, NodePortService};

/// The service at fault, where the place is one.
pub(super) fn asked(scene: &Scene<'_>) -> Option<Asked> {
    Asked::of(scene.hypothesis.family, scene.cluster())
        .filter(|asked| !matches!(asked, Asked::DnsEndpoint(_)))
}

/// The place of a service: it is of no plane unless it fails from one alone, and has no direction.
pub(super) fn service_place(scene: &Scene<'_>, asked: Asked) -> Where {
    let mut place = Where {
        direction: None,
        ..scene.place.clone()
    };
    asked.put(scene.cluster(), &mut place);
    if scene.hypothesis.filter.from.is_none() {
        place.plane = None;
    }
    place
}

/// Whether all nodes that there are see it; in a cluster of one node that is the node.
pub(super) fn is_everywhere(scene: &Scene<'_>) -> bool {
    scene.hypothesis.scope == Scope::Cluster || has_one_node(scene)
}

pub(super) fn has_one_node(scene: &Scene<'_>) -> bool {
    scene.roster().nodes.len() == 1
}

/// `kube-proxy-missing`: a node has no rules for services.
pub(super) fn kube_proxy_missing(scene: &Scene<'_>) -> Opinion {
    let Hypothesis { family, filter, .. } = scene.hypothesis;
    if *family != Family::Rules || *filter != Filter::ALL {
        return Opinion::Elsewhere;
    }
    let Scope::Node(node) = scene.hypothesis.scope else {
        return Opinion::Elsewhere;
    };
    if kinds_asked(scene, &scene.pick.covers).len() < 2 {
        return Opinion::Elsewhere;
    }
    // Of some services another fault may be the reason as well.
    let refused = scene.pick.covers.iter().any(|cell| {
        matches!(scene.model.cell(*cell).target, Target::NodePort { .. })
            && scene.model.judged(*cell).seen() == Some(Reason::Refused)
    });
    let beyond_doubt = refused || kinds_asked(scene, &scene.pick.explains).len() >= 2;
    let lacks = scene.host(node).map(|_| !knows_services(scene, node));
    let others_know = scene
        .others(node)
        .into_iter()
        .any(|other| knows_services(scene, other));
    let at = in_words(&scene.place);
    let proof = match lacks {
        Some(true) if others_know => Proof::Shown,
        Some(false) => return Opinion::Against("rules for the services stand there".to_owned()),
        _ if beyond_doubt => Proof::Likely,
        _ => Proof::Fits,
    };
    Case {
        proof,
        summary: format!("{at} has no service rules: kube-proxy does not run there, or its rules were flushed."),
        evidence: if proof == Proof::Shown {
            vec![format!("No rule on {at} leads from the services' addresses anywhere; on other nodes there are such rules.")]
        } else {
            vec!["The addresses behind the services are reachable from there, the services are not.".to_owned()]
        },
        advice: vec![
            format!("Whether kube-proxy runs there: kubectl -n kube-system get pods -o wide -l k8s-app=kube-proxy --field-selector spec.nodeName={at}"),
            format!("If it does, start it anew: kubectl -n kube-system delete pods -l k8s-app=kube-proxy --field-selector spec.nodeName={at}"),
            format!("On {at}, whether its rules are back: iptables-save | grep -c KUBE-SVC; nft list table ip kube-proxy; ipvsadm -Ln"),
        ],
        place: Where { direction: None, ..scene.place.clone() },
    }
    .into()
}

/// Whether a node's rules send what is for the API or DNS to anywhere. Chains that nothing leads to any more may still speak of
/// their addresses.
fn knows_services(scene: &Scene<'_>, node: NodeIndex) -> bool {
    let to = |asked| {
        scene
            .host(node)
            .and_then(|facts| targets(scene, asked, node, facts))
    };
    to(Asked::Api).or_else(|| to(Asked::Dns)).is_some()
}

/// The kinds of services that these cells ask.
fn kinds_asked(scene: &Scene<'_>, cells: &[CellIndex]) -> BTreeSet<TargetKind> {
    let kinds = cells
        .iter()
        .filter_map(|cell| match scene.model.cell(*cell).target {
            Target::Api => Some(TargetKind::Api),
            Target::Dns { .. } => Some(TargetKind::Dns),
            Target::NodePort { .. } => Some(TargetKind::NodePort),
            _ => None,
        });
    kinds.collect()
}

/// `service-no-endpoints`: kube-proxy rejects on the service's behalf.
pub(super) fn no_endpoints(scene: &Scene<'_>) -> Opinion {
    let Some(asked) = asked(scene) else {
        return Opinion::Elsewhere;
    };
    if !is_everywhere(scene) || scene.hypothesis.filter.from.is_some() || !refused_with_icmp(scene) {
        return Opinion::Elsewhere;
    }
    let mut place = service_place(scene, asked);
    if has_one_node(scene) {
        place.nodes.clear();
    }
    let what = asked.words(scene.cluster());
    let rules = rejections(scene, asked);
    Case {
        proof: if rules.is_empty() { Proof::Likely } else { Proof::Shown },
        summary: if asked == Asked::Dns && asked.endpoints(scene.cluster()).is_empty() {
            "DNS is down: its service has no endpoint, so every node refuses on its behalf.".to_owned()
        } else {
            format!("{} has no ready endpoint: every node refuses on its behalf.", capital(&what))
        },
        evidence: [
            "ICMP port unreachable came at once from the client's own node, which is how kube-proxy refuses; a closed port is refused by a TCP reset.".to_owned(),
        ]
        .into_iter()
        .chain(rules)
        .collect(),
        advice: asked.advice(scene.cluster()),
        place,
    }
    .into()
}

/// Rules that reject what is for the service, of a few nodes.
fn rejections(scene: &Scene<'_>, asked: Asked) -> Vec<String> {
    const SHOWN: usize = 2;
    let of_node = |node: NodeIndex| {
        let facts = scene.host(node)?;
        let packets = packets(scene, asked, node);
        let mut stops = packets
            .iter()
            .filter_map(|packet| first(facts, &[Hook::Output, Hook::Input], packet));
        let stop = stops.find(|stop| stop.sure && stop.rejects())?;
        Some(scene.says(node, &stop))
    };
    scene.nodes().filter_map(of_node).take(SHOWN).collect()
}

/// ICMP port unreachable, by the client's own node. Such errors are rate-limited, so some cells may have seen none; but none
/// may have been answered otherwise.
fn refused_with_icmp(scene: &Scene<'_>) -> bool {
    let rejected = |cell: &CellIndex| {
        scene.model.judged(*cell).seen() == Some(Reason::Refused) && icmp(scene.model, *cell).is_some()
    };
    // Who cannot send at all was not answered by anybody.
    let silent = |cell: &CellIndex| {
        matches!(
            scene.model.judged(*cell).seen(),
            Some(Reason::Timeout | Reason::LocalError | Reason::HostUnreachable | Reason::NetUnreachable)
        )
    };
    // A resolver library keeps to itself how its name servers failed.
    let by_resolver = |cell: &CellIndex| {
        matches!(
            scene.model.cell(*cell).target,
            Target::Dns { as_application: true }
        )
    };
    let asked = scene.pick.explains.iter().filter(|cell| !by_resolver(cell));
    let (rejections, others): (Vec<_>, Vec<_>) = asked.partition(|cell| rejected(cell));
    rejections.len() >= others.len().max(1) && others.into_iter().all(silent)
}

/// `endpoint-stale`: the rules send to an address that is no endpoint any more.
pub(super) fn endpoint_stale(scene: &Scene<'_>) -> Opinion {
    let Some(asked) = asked(scene) else {
        return Opinion::Elsewhere;
    };
    let endpoints = asked.endpoints(scene.cluster());
    // The rules may know more of a service that was made for the run: pods that came up after it began.
    if endpoints.is_empty() || asked.is_fresh(scene.cluster()) {
        return Opinion::Elsewhere;
    }
    let mut stale: BTreeSet<IpAddr> = BTreeSet::new();
    let mut at: Vec<NodeIndex> = Vec::new();
    let mut evidence = Vec::new();
    let mut asked_of = 0_usize;
    for node in scene.nodes() {
        let Some(targets) = scene
            .host(node)
            .and_then(|facts| targets(scene, asked, node, facts))
        else {
            continue;
        };
        asked_of += 1;
        let wrong: Vec<IpAddr> = targets.into_iter().filter(|to| !endpoints.contains(to)).collect();
        if let Some(to) = wrong.first() {
            let (name, what) = (node_name(scene.model, node), asked.words(scene.cluster()));
            evidence.push(format!(
                "The rules of {name} send {what} to {to}, which is none of its endpoints."
            ));
            at.push(node);
        }
        stale.extend(wrong);
    }
    evidence.truncate(RULES_SHOWN);
    let mut place = service_place(scene, asked);
    let advice = vec![
        "kubectl get endpointslices -A -o wide".to_owned(),
            "On the node, to compare: iptables-save -t nat | grep -E 'KUBE-(SVC|SEP)'; nft list table ip kube-proxy".to_owned(),
        "Restart kube-proxy where the rules are old; if the EndpointSlice itself names the address, delete the slice: its controller writes it anew.".to_owned(),
    ];
    // A node's own rules translate what its pods and it send, and what comes to its NodePorts.
    let by_rules = |cell: &CellIndex| match &scene.model.cell(*cell).target {
        Target::NodePort { node, .. } => at.contains(node),
        _ => scene.model.nodes(*cell).0.is_some_and(|node| at.contains(&node)),
    };
    if let Some(address) = stale.first().filter(|_| scene.pick.explains.iter().all(by_rules)) {
        let everywhere = at.len() == asked_of && asked_of > 1;
        let names = at.iter().map(|node| node_name(scene.model, *node));
        (place.plane, place.protocol, place.pairs) = (None, None, Vec::new());
        place.nodes = if everywhere { Vec::new() } else { names.collect() };
        place.endpoint = Some(*address);
        return Case {
            proof: Proof::Shown,
            summary: format!(
                "{} sends to an endpoint that is gone: {address}.",
                capital(&asked.words(scene.cluster()))
            ),
            evidence,
            advice,
            place,
        }
        .into();
    }
    if asked_of > 0 {
        return Opinion::Against("the rules send to the service's own endpoints only".to_owned());
    }
    // Whoever answers behind the service answers everybody, and yet the service does not.
    if !answer_directly(scene, asked) || !is_everywhere(scene) || scene.hypothesis.filter.from.is_some() {
        return Opinion::Elsewhere;
    }
    Case {
        proof: Proof::Fits,
        summary: format!(
            "{} does not answer, but every endpoint of it does: the rules send elsewhere.",
            capital(&asked.words(scene.cluster()))
        ),
        evidence: vec!["Asked by their own addresses, all endpoints answer.".to_owned()],
        advice,
        place,
    }
    .into()
}

/// Enough to find the others by.
const RULES_SHOWN: usize = 3;

/// Where the rules of a node send what is for a service.
fn targets(scene: &Scene<'_>, asked: Asked, node: NodeIndex, facts: &HostFacts) -> Option<Vec<IpAddr>> {
    let packets = packets(scene, asked, node);
    let targets = packets
        .iter()
        .filter_map(|packet| backends(facts, packet))
        .flatten();
    let targets: Vec<IpAddr> = targets.map(|(address, _)| address).collect();
    (!targets.is_empty()).then_some(targets)
}

/// What a node itself sends to a service, by each protocol and port of it.
fn packets(scene: &Scene<'_>, asked: Asked, node: NodeIndex) -> Vec<Packet<'static>> {
    const DOMAIN: Port = Port(53);
    let cluster = scene.cluster();
    let Some(own) = scene.address(node, Plane::Host) else {
        return Vec::new();
    };
    let packet = |protocol: Protocol, destination: IpAddr, port: Port| Packet {
        protocol: IpProtocol::of(protocol, destination),
        source: own,
        destination,
        destination_port: Some(port),
        in_link: None,
        out_link: None,
        from_here: true,
        for_here: destination == own,
    };
    let node_port = |offer: &NodePortService| packet(offer.protocol, own, offer.port);
    match asked {
        Asked::Api => cluster
            .api
            .iter()
            .map(|api| packet(Protocol::Tcp, api.address, api.port))
            .collect(),
        Asked::Dns => {
            let by = |dns: &Dns| {
                [Protocol::Udp, Protocol::Tcp].map(|protocol| packet(protocol, dns.address, DOMAIN))
            };
            cluster.dns.iter().flat_map(by).collect()
        }
        Asked::NodePort(number) => cluster
            .node_ports
            .get(number)
            .map(node_port)
            .into_iter()
            .collect(),
        Asked::NodePorts => cluster.node_ports.iter().map(node_port).collect(),
        Asked::DnsEndpoint(_) => Vec::new(),
    }
}

/// Whether the endpoints answer when they are asked by their own addresses.
fn answer_directly(scene: &Scene<'_>, asked: Asked) -> bool {
    match asked {
        Asked::Dns | Asked::DnsEndpoint(_) => {
            let cells = scene.model.cells();
            let mut direct = cells
                .filter(|cell| matches!(scene.model.target(*cell), Target::DnsEndpoint(_)))
                .peekable();
            direct.peek().is_some()
                && direct.all(|cell| !scene.model.observed(cell) || scene.model.judged(cell).came_through())
        }
        Asked::Api | Asked::NodePort(_) | Asked::NodePorts => {
            let tried = direct_tries(scene, &asked.endpoints(scene.cluster()));
            !tried.is_empty() && tried.iter().all(|(_, came)| *came)
        }
    }
}

/// Probes of the second look at certain addresses: which, and whether they came through. A service that is asked again by a
/// node's address is not that node's server.
pub(super) fn direct_tries(scene: &Scene<'_>, addresses: &[IpAddr]) -> Vec<(IpAddr, bool)> {
    let looks = scene.model.matrix.looks().iter();
    let tries = looks.filter_map(|look| match (&look.ask, &look.seen) {
        (Ask::Probe { probe, source: None }, Some(Seen::Probe(seen)))
            if look.again.is_none() && addresses.contains(&probe.address) && seen.untried.is_none() =>
        {
            Some((probe.address, seen.received > 0))
        }
        _ => None,
    });
    tries.collect()
}

/// `masquerade-missing`: the source is not translated where answers would go another way else.
pub(super) fn masquerade_missing(scene: &Scene<'_>) -> Opinion {
    if let Some(case) = hairpin(scene) {
        return case.into();
    }
    if !matches!(scene.hypothesis.family, Family::NodePort(_) | Family::AnyNodePort) {
        return Opinion::Elsewhere;
    }
    let known: Vec<(NodeIndex, bool)> = scene
        .nodes()
        .filter_map(|node| Some((node, scene.host(node).filter(|_| knows_services(scene, node))?)))
        .map(|(node, facts)| (node, masquerades(facts)))
        .collect();
    let lacking: Vec<NodeIndex> = known
        .iter()
        .filter(|(_, has)| !has)
        .map(|(node, _)| *node)
        .collect();
    let how = if lacking.len() < known.len() {
        ", as on other nodes"
    } else {
        ""
    };
    let evidence: Vec<String> = lacking
        .iter()
        .map(|node| {
            let name = node_name(scene.model, *node);
            format!("On {name} no rule translates the source of what was sent on for a service{how}.")
        })
        .collect();
    let reaches = |cell: &CellIndex| match &scene.model.cell(*cell).target {
        Target::NodePort { node, .. } => lacking.contains(node),
        _ => false,
    };
    if lacking.is_empty() || !scene.pick.explains.iter().all(reaches) {
        return against_if(!known.is_empty(), "sources are translated there".to_owned());
    }
    let all = lacking.len() == scene.nodes().count() && lacking.len() > 1;
    let nodes = if all {
        Vec::new()
    } else {
        lacking.iter().map(|node| node_name(scene.model, *node)).collect()
    };
    let mut place = Where {
        nodes,
        pairs: Vec::new(),
        plane: None,
        direction: None,
        ..scene.place.clone()
    };
    if let Some(asked) = asked(scene) {
        asked.put(scene.cluster(), &mut place);
    }
    Case {
        proof: Proof::Shown,
        summary: format!("What comes to NodePorts is sent on without translating its source, so answers go past the node that it came to: {}.", in_words(&place)),
        evidence,
        advice: vec![
            "On the node: iptables -t nat -S KUBE-POSTROUTING; nft list chain ip kube-proxy masquerading".to_owned(),
            "Then restart kube-proxy there, which writes them anew.".to_owned(),
            "Its --masquerade-all or --cluster-cidr may have been changed: kubectl -n kube-system get configmap kube-proxy -o yaml".to_owned(),
        ],
        place,
    }
    .into()
}

/// A pod that asks a service and is sent to a pod of its own bridge is answered by that pod itself, past the rules that would
/// translate the answer back.
fn hairpin(scene: &Scene<'_>) -> Option<Case> {
    const SYSCTL: &str = "net.bridge.bridge-nf-call-iptables";
    let round = scene.model.matrix.round();
    let mut nodes: Vec<NodeIndex> = Vec::new();
    let mut answered = 0_usize;
    for cell in &scene.pick.explains {
        let from = scene.model.nodes(*cell).0?;
        let behind = round.nodes_behind(&scene.model.cell(*cell).target);
        let is_own = behind
            .iter()
            .any(|name| scene.roster().node_index(name) == Some(from));
        if scene.model.plane_from(*cell) != Some(Plane::Pod) || !is_own {
            return None;
        }
        answered += usize::from(scene.model.judged(*cell).seen() == Some(Reason::WrongResponder));
        nodes.push(from);
    }
    nodes.sort_unstable();
    nodes.dedup();
    if answered == 0 {
        return None;
    }
    let is_off = |node: &NodeIndex| {
        let facts = scene.host(*node);
        facts.and_then(|facts| facts.sysctl(SYSCTL)) == Some("0")
    };
    let off = nodes.iter().all(is_off);
    let names: Vec<_> = nodes.iter().map(|node| node_name(scene.model, *node)).collect();
    let at = list(&names);
    let told = off
        .then(|| format!("{SYSCTL} = 0 on {at}: what goes between pods of one bridge bypasses the rules."));
    Some(Case {
        proof: if off { Proof::Shown } else { Proof::Likely },
        summary: format!("Pods of {at} that ask a service are answered by a pod of the same node under its own address: the answer is not translated back."),
        evidence: told.into_iter().collect(),
        advice: vec![
            format!("On {at}: modprobe br_netfilter; sysctl -w {SYSCTL}=1 net.bridge.bridge-nf-call-ip6tables=1"),
            "Where pods ask services of their own node, the CNI's bridge needs hairpin mode, and kube-proxy must masquerade what comes back to its sender.".to_owned(),
        ],
        place: Where {
            nodes: names,
            pairs: Vec::new(),
            plane: Some(Plane::Pod),
            direction: None,
            ..scene.place.clone()
        },
    })
}

/// With a capital at the beginning.
pub(super) fn capital(words: &str) -> String {
    let mut characters = words.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
