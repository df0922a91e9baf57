//! Rules that somebody meant: network policies, and those of the cluster's own components when they stand twice.

use mesh_proto::{Backend, Direction, HostFacts, NodeName, Plane, Reason, Where};

use super::forwarding::{is_of_pods, stops};
use super::kernel::{Way, first, host_stop, link_to, port};
use super::place::{in_words, node_name, where_to_look};
use super::scene::Scene;
use super::signature::{Case, Opinion, Proof};
use crate::NodeIndex;
use crate::localise::{Family, Init, Scope};
use crate::netfilter::{IpProtocol, Packet, Stop};
use crate::round::Target;

/// Whether a rule was written by a policy engine.
pub(super) fn is_of_policy(stop: &Stop<'_>) -> bool {
    stop.of_policy_engine()
}

/// How the chains of a cluster's own components begin.
const COMPONENTS: [&str; 5] = ["KUBE-", "cali-", "CILIUM_", "FLANNEL-", "CNI-"];
/// Chains that the kubelet and kube-proxy put into either back end as a sign, with no rule that decides.
const SIGNS: [&str; 3] = ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY", "KUBE-PROXY-CANARY"];

/// Tables that components of a cluster keep in nftables under their own names.
const COMPONENT_TABLES: [&str; 3] = ["kube-proxy", "calico", "cilium"];
/// How the chains of a policy engine begin that it made for one pod.
const OF_ONE_POD: [&str; 7] = [
    "cali-tw-",
    "cali-fw-",
    "cali-pi-",
    "cali-po-",
    "filter-cali-",
    "KUBE-POD-FW-",
    "KUBE-NWPLCY-",
];

/// Whether a component of the cluster wrote a rule.
pub(super) fn is_of_component(stop: &Stop<'_>) -> bool {
    COMPONENT_TABLES.contains(&stop.table.name.as_str())
        || COMPONENTS.iter().any(|of| stop.chain.name.starts_with(of))
}

/// Whether components of the cluster have rules that decide something in a back end.
fn has_components(facts: &HostFacts, backend: Backend) -> bool {
    let mut tables = facts
        .netfilter
        .tables
        .iter()
        .filter(|table| table.backend == backend);
    tables.any(|table| {
        let theirs = COMPONENT_TABLES.contains(&table.name.as_str());
        table.chains.iter().any(|chain| {
            let named = COMPONENTS.iter().any(|of| chain.name.starts_with(of));
            (theirs || named) && !SIGNS.contains(&chain.name.as_str()) && !chain.rules.is_empty()
        })
    })
}

/// Whether components of the cluster have rules in both back ends.
fn is_split(facts: &HostFacts) -> bool {
    has_components(facts, Backend::Nft) && has_components(facts, Backend::Legacy)
}

/// Whether a rule that stops packets stands in one back end while components have rules in the other as well, and was not
/// made for the pod that it stops.
pub(super) fn is_of_stale_backend(facts: &HostFacts, stop: &Stop<'_>) -> bool {
    let of_pod = OF_ONE_POD.iter().any(|of| stop.chain.name.starts_with(of));
    let of_component = COMPONENTS.iter().any(|of| stop.chain.name.starts_with(of));
    !of_pod && (stop.table.backend == Backend::Legacy || of_component) && is_split(facts)
}

/// `iptables-split`: rules of the cluster's components stand in both back ends and contradict each other.
pub(super) fn iptables_split(scene: &Scene<'_>) -> Opinion {
    if !is_of_pods(scene) && !matches!(scene.hypothesis.family, Family::Wire | Family::Rules) {
        return Opinion::Elsewhere;
    }
    let mut split = Vec::new();
    let mut evidence = Vec::new();
    let mut sure = true;
    for node in scene.suspects() {
        let Some(facts) = scene.host(node).filter(|facts| is_split(facts)) else {
            continue;
        };
        // What is not forwarded, no rule for forwarding stops.
        let found = if scene.hypothesis.family == Family::Wire {
            own_stops(scene, node)
        } else {
            let own = to_own_node(scene, node, facts);
            stops(scene, node).into_iter().chain(own).collect()
        };
        let Some(stop) = found
            .into_iter()
            .filter(|stop| is_of_stale_backend(facts, stop))
            .max_by_key(|stop| stop.sure)
        else {
            continue;
        };
        let name = node_name(scene.model, node);
        evidence.push(format!(
            "On {name} rules of the cluster's components stand in nftables and in iptables-legacy."
        ));
        evidence.push(scene.says(node, &stop));
        sure &= stop.sure;
        split.push(node);
    }
    if split.is_empty() || !scene.covers(&split) {
        return Opinion::Elsewhere;
    }
    let place = scene.narrowed(&split);
    let at = where_to_look(&place);
    Case {
        proof: if sure { Proof::Shown } else { Proof::Likely },
        summary: format!("Old rules on {} contradict the new ones: rules of the cluster's components stand in both back ends of iptables.", in_words(&place)),
        evidence,
        advice: vec![
            format!("{at}, how many rules each back end has; the one that healthy nodes use is the one to keep: iptables-nft-save | grep -cE 'KUBE-|cali-'; iptables-legacy-save | grep -cE 'KUBE-|cali-'"),
            "To flush the old one while the node serves cuts connections: drain the node first. A reboot does the same, unless something restores rules when it starts.".to_owned(),
            format!("{at}, if the old rules are those of iptables-legacy: iptables-legacy -P FORWARD ACCEPT; for t in filter nat mangle raw security; do iptables-legacy -t $t -F; iptables-legacy -t $t -X; done"),
            "Then restart kube-proxy and the CNI's agent there, so that they write their rules again.".to_owned(),
        ],
        place: Where { direction: None, ..place },
    }
    .into()
}

/// What stops packets between a node's own address and another's.
fn own_stops<'a>(scene: &Scene<'a>, node: NodeIndex) -> Vec<Stop<'a>> {
    let tcp = mesh_proto::Protocol::Tcp;
    let peers = scene.peers(node).into_iter().take(1);
    let tries = peers.flat_map(|peer| [Way::In, Way::Out].map(|way| (peer, way)));
    let stops = tries.filter_map(|(peer, way)| {
        let packet = (
            IpProtocol::of(tcp, scene.address(node, Plane::Host)?),
            port(scene, tcp),
        );
        host_stop(scene, node, peer, packet, way)
    });
    stops.collect()
}

/// What stops packets of a node's own pod to the node itself.
fn to_own_node<'a>(scene: &Scene<'a>, node: NodeIndex, facts: &'a HostFacts) -> Option<Stop<'a>> {
    let (pod, host) = (
        scene.address(node, Plane::Pod)?,
        scene.address(node, Plane::Host)?,
    );
    let packet = Packet {
        protocol: IpProtocol::of(mesh_proto::Protocol::Tcp, host),
        source: pod,
        destination: host,
        destination_port: port(scene, mesh_proto::Protocol::Tcp),
        in_link: link_to(facts, pod),
        out_link: Some(""),
        from_here: false,
        for_here: true,
    };
    first(
        facts,
        &[mesh_proto::Hook::Prerouting, mesh_proto::Hook::Input],
        &packet,
    )
}

/// `policy-blocked`: a network policy keeps pods apart, in one direction.
pub(super) fn policy_blocked(scene: &Scene<'_>) -> Opinion {
    if !is_of_pods(scene) {
        return Opinion::Elsewhere;
    }
    let mut blocked = Vec::new();
    let mut evidence = Vec::new();
    let mut sure = true;
    for node in scene.suspects() {
        let facts = scene.host(node);
        let mut found = stops(scene, node);
        found.extend(facts.and_then(|facts| to_own_node(scene, node, facts)));
        let found = found.into_iter().filter(|stop| {
            is_of_policy(stop) && !facts.is_some_and(|facts| is_of_stale_backend(facts, stop))
        });
        let Some(stop) = found.max_by_key(|stop| stop.sure) else {
            continue;
        };
        sure &= stop.sure;
        evidence.push(scene.says(node, &stop));
        blocked.push(node);
    }
    let advice = |place: &Where| {
        vec![
            "kubectl get networkpolicy -A".to_owned(),
            "Where Calico or Cilium runs: kubectl get globalnetworkpolicies.crd.projectcalico.org,ciliumnetworkpolicies,ciliumclusterwidenetworkpolicies -A".to_owned(),
            format!("{}, what they make of it: iptables-save | grep -E 'cali-|KUBE-NWPLCY'", where_to_look(place)),
            "Allow in the policy what is blocked, or leave the namespace of these pods out of it.".to_owned(),
        ]
    };
    if !blocked.is_empty() && scene.covers(&blocked) {
        let place = scene.narrowed(&blocked);
        let direction = init_direction(scene).or(place.direction);
        return Case {
            proof: if sure { Proof::Shown } else { Proof::Likely },
            summary: format!(
                "A network policy blocks {} the pods of {}.",
                way(direction),
                in_words(&place)
            ),
            evidence,
            advice: advice(&place),
            place: Where {
                direction,
                plane: Some(Plane::Pod),
                ..place
            },
        }
        .into();
    }
    // What is opened one way only, and answers pass: somebody keeps track of connections and allows one way.
    let one_way = init_direction(scene)
        .filter(|_| scene.hypothesis.filter.protocol.is_none())
        .filter(|_| matches!(scene.hypothesis.family, Family::Agent(Plane::Pod)));
    let Some(direction) =
        one_way.filter(|_| scene.seen(Reason::Timeout) + scene.seen(Reason::DataStalled) > 0)
    else {
        return Opinion::Elsewhere;
    };
    Case {
        proof: Proof::Likely,
        summary: format!("Connections {} the pods of {} are blocked while those opened the other way pass, as a network policy does it.", way(Some(direction)), in_words(&scene.place)),
        evidence: vec!["Answers to what is opened the other way come back, so packets pass in both directions.".to_owned()],
        advice: advice(&scene.place),
        place: Where { direction: Some(direction), plane: Some(Plane::Pod), ..scene.place.clone() },
    }
    .into()
}

fn init_direction(scene: &Scene<'_>) -> Option<Direction> {
    match scene.hypothesis.init {
        Init::In => Some(Direction::Ingress),
        Init::Out => Some(Direction::Egress),
        Init::Both => None,
    }
}

fn way(direction: Option<Direction>) -> &'static str {
    match direction {
        Some(Direction::Ingress) => "what is opened to",
        Some(Direction::Egress) => "what is opened from",
        _ => "what goes to and from",
    }
}

/// `policy-node-port`: from pods, NodePorts answer on the client's own node only, or on the others only.
pub(super) fn policy_node_port(scene: &Scene<'_>) -> Opinion {
    if !matches!(scene.hypothesis.family, Family::NodePort(_) | Family::AnyNodePort) {
        return Opinion::Elsewhere;
    }
    let mut own = (0_usize, 0_usize);
    let mut other = (0_usize, 0_usize);
    let mut sources: Vec<NodeName> = Vec::new();
    let roster = scene.roster();
    let clients: Vec<_> = scene
        .pick
        .explains
        .iter()
        .map(|cell| scene.model.cell(*cell).from)
        .collect();
    let from_pods = scene
        .pick
        .explains
        .iter()
        .all(|cell| scene.model.plane_from(*cell) == Some(Plane::Pod));
    if !from_pods {
        return Opinion::Elsewhere;
    }
    for number in scene.model.cells() {
        let Target::NodePort { node, .. } = scene.model.target(number) else {
            continue;
        };
        let (cell, node) = (scene.model.cell(number), roster.node_name(node));
        if !clients.contains(&cell.from) || !scene.model.observed(number) {
            continue;
        }
        let Some(from) = roster.agent(cell.from).map(|agent| &agent.key.node) else {
            continue;
        };
        let failed = scene.pick.explains.contains(&number);
        let tally = if from == node { &mut own } else { &mut other };
        if failed {
            tally.0 += 1;
            if !sources.contains(from) {
                sources.push(from.clone());
            }
        } else if scene.model.judged(number).came_through() {
            tally.1 += 1;
        }
    }
    let (which, by) = match (own, other) {
        ((1.., 0), (0, 1..)) => ("on its own node and answer on the others", "ipBlock"),
        ((0, 1..), (1.., 0)) => ("on other nodes and answer on its own", "podSelector"),
        _ => return Opinion::Elsewhere,
    };
    // Where a node's rules or the way between nodes is broken, the nodes themselves see it as well.
    let all_sources = sources.len() == scene.nodes().count();
    let place = Where {
        nodes: if all_sources
            && matches!(
                scene.hypothesis.scope,
                Scope::OwnNode | Scope::OtherNodes | Scope::Cluster
            ) {
            Vec::new()
        } else {
            sources
        },
        pairs: Vec::new(),
        plane: Some(Plane::Pod),
        direction: Some(Direction::Egress),
        ..scene.place.clone()
    };
    Case {
        proof: Proof::Likely,
        summary: format!("From a pod, NodePorts time out {which}: an egress policy with {by} looks at the address before or after it is translated."),
        evidence: vec!["From the nodes themselves the same NodePorts work everywhere.".to_owned()],
        advice: vec![
            "Which policies govern what leaves: kubectl get networkpolicy -A -o custom-columns='NAMESPACE:.metadata.namespace,NAME:.metadata.name,TYPES:.spec.policyTypes,EGRESS:.spec.egress'".to_owned(),
            "Use the ClusterIP inside the cluster; or allow both in the policy: the node network (ipBlock) and the backend's pods (podSelector).".to_owned(),
        ],
        place,
    }
    .into()
}
