//! Causes on the way between nodes, and between a node and its pods.

use mesh_proto::{Cause, Confidence, Direction, OverlayKind, Plane, Reason, Where};

use super::evidence::{evidence, icmp};
use super::place::{in_words, node_name, place, where_to_look};
use super::{Draft, direction};
use crate::NodeIndex;
use crate::judge::why_absent;
use crate::localise::{Family, Hypothesis, Init, Model, Pick, Scope};

/// A node that answers nobody, nor its link.
pub(super) fn node_down(model: &Model<'_>, pick: &Pick, node: NodeIndex) -> Draft {
    let name = node_name(model, node);
    let roster = model.matrix.round().roster();
    let mut seen = evidence(model, &pick.explains);
    for (index, agent) in roster.indexed().filter(|(_, agent)| agent.key.node == name) {
        seen.push(format!(
            "no link to the agent {}: {}",
            agent.key,
            why_absent(model.matrix, index)
        ));
    }
    Draft {
        cause: Cause::NodeDown,
        place: Where {
            nodes: vec![name.clone()],
            ..Where::default()
        },
        confidence: Confidence::Certain,
        summary: format!(
            "{name} is down: it answers nobody on any plane, and the links to its agents are dead."
        ),
        evidence: seen,
        advice: vec![
            format!("Look at {name}'s console or power state; from another node: ping its address."),
            format!("kubectl describe node {name}"),
        ],
        explains: pick.explains.clone(),
    }
}

/// Cells that no admissible place explains.
pub(super) fn nowhere(model: &Model<'_>, pick: &Pick) -> Draft {
    let mut pairs: Vec<_> = pick
        .explains
        .iter()
        .filter_map(|cell| match model.nodes(*cell) {
            (Some(from), Some(to)) if from != to => Some((node_name(model, from), node_name(model, to))),
            _ => None,
        })
        .collect();
    pairs.sort();
    pairs.dedup();
    Draft {
        cause: Cause::Unknown,
        place: Where {
            pairs,
            ..Where::default()
        },
        confidence: Confidence::Possible,
        summary: match pick.explains.len() {
            1 => "One cell is not whole, and no place explains it better than chance.".to_owned(),
            count => format!("{count} cells are not whole, and no single place explains them."),
        },
        evidence: evidence(model, &pick.explains),
        advice: vec!["Run again with -o wide and compare the failing cells with healthy ones.".to_owned()],
        explains: pick.explains.clone(),
    }
}

/// Everything else between nodes.
pub(super) fn network(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis) -> Draft {
    let mut draft = Draft {
        cause: Cause::Unknown,
        place: place(model, hypothesis),
        confidence: Confidence::Possible,
        summary: String::new(),
        evidence: evidence(model, &pick.explains),
        advice: Vec::new(),
        explains: pick.explains.clone(),
    };
    if refused_to_send(model, pick) {
        local_egress(model, pick, &mut draft);
        return draft;
    }
    if answered_by_others(model, pick) {
        duplicate_address(model, pick, &mut draft);
        return draft;
    }
    set_direction(model, pick, hypothesis, &mut draft);
    match hypothesis.family {
        Family::Wire => wire(hypothesis, &mut draft),
        Family::Bare => bare(&mut draft),
        Family::Overlay | Family::Routes => overlay(model, &mut draft),
        Family::Forward => forward(model, pick, hypothesis, &mut draft),
        _ => agent(hypothesis, &mut draft),
    }
    draft
}

/// The receive counters at the far side say which way packets are lost.
fn set_direction(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis, draft: &mut Draft) {
    match &hypothesis.scope {
        Scope::Node(node) if hypothesis.init == Init::Both => {
            draft.place.direction = direction::around(model, &pick.explains, *node);
        }
        Scope::Pair(a, b) if hypothesis.init == Init::Both => {
            let names = (node_name(model, *a), node_name(model, *b));
            match direction::between(model, &pick.explains, *a, *b) {
                (true, false) => draft.place.pairs = vec![names],
                (false, true) => draft.place.pairs = vec![(names.1, names.0)],
                (true, true) | (false, false) => return,
            }
            draft.cause = Cause::OneWayLoss;
            draft.place.loss = Some(1.0);
        }
        _ => {}
    }
}

fn wire(hypothesis: &Hypothesis, draft: &mut Draft) {
    let at = in_words(&draft.place);
    if draft.cause == Cause::OneWayLoss {
        // A stale neighbour entry on the sender looks the same from here.
        draft.confidence = Confidence::Possible;
        draft.summary = format!("Packets from {at} are lost; those the other way arrive.");
        draft
            .evidence
            .push("Receive counters: requests arrive one way only, or only the answers are lost.".to_owned());
        draft.advice = vec!["Look for a firewall or an access list that names one direction, on both nodes and between them: nft list ruleset; iptables-save".to_owned()];
        return;
    }
    draft.cause = Cause::NodePartitioned;
    draft.confidence = Confidence::Certain;
    draft.summary = match &hypothesis.scope {
        Scope::Pair(..) => format!(
            "The nodes {} cannot reach each other on the node network.",
            at.replace(" -> ", " and ")
        ),
        Scope::Cluster => "No node reaches any other on the node network.".to_owned(),
        Scope::Group(_) => format!("{at} are cut off from all other nodes on the node network."),
        _ => format!("{at} is cut off from all other nodes on the node network; its link still answers."),
    };
    if matches!(hypothesis.scope, Scope::Pair(..)) {
        draft.place.direction = None;
    }
    draft.advice = vec![
        "On each side: ip -br addr; ip route; ip neigh; nft list ruleset; iptables-save".to_owned(),
        "Between them: the switch port, the VLAN, security groups of the cloud.".to_owned(),
    ];
}

fn bare(draft: &mut Draft) {
    let at = in_words(&draft.place);
    draft.cause = Cause::Unknown;
    draft.summary = format!("Node addresses are unreachable at {at}, while the pod network there works.");
    draft.advice = vec![format!(
        "{}: nft list chain ip filter INPUT; iptables-save | grep -E 'INPUT|OUTPUT'",
        where_to_look(&draft.place)
    )];
}

fn overlay(model: &Model<'_>, draft: &mut Draft) {
    let at = in_words(&draft.place);
    draft.cause = Cause::Unknown;
    let overlay = model.matrix.round().roster().cluster.overlay;
    let carrier = match overlay {
        Some(overlay) if overlay.kind != OverlayKind::None => match overlay.port {
            Some(port) => format!("{} on UDP port {port}", overlay.kind),
            None => overlay.kind.to_string(),
        },
        Some(_) => "routes, without encapsulation".to_owned(),
        None => "overlay or routes".to_owned(),
    };
    draft.summary = format!(
        "Pod packets do not pass between {at} and other nodes, while the node network is fine: what carries them ({carrier}) fails there."
    );
    if let [(from, to)] = draft.place.pairs.as_slice() {
        draft.summary = format!(
            "Pod packets do not pass from {from} to {to}, while the node network between them is fine: what carries them ({carrier}) fails there."
        );
    }
    if draft.place.nodes.is_empty() && draft.place.pairs.is_empty() {
        draft.summary = format!(
            "Pod packets pass between no two nodes, while the node network is fine: what carries them ({carrier}) fails everywhere."
        );
    }
    draft.advice = vec![format!(
        "{}: {}",
        where_to_look(&draft.place),
        look_at_carrier(overlay.map(|overlay| overlay.kind))
    )];
    if let Some(port) = overlay.and_then(|overlay| overlay.port) {
        draft.advice.insert(0, format!("Allow UDP port {port} between all nodes, in and out, in the host firewall and in the cloud's."));
    }
}

/// What shows how pod packets travel, by what carries them.
fn look_at_carrier(kind: Option<OverlayKind>) -> &'static str {
    match kind {
        Some(OverlayKind::None) => {
            "ip route; ip neigh; nft list ruleset; iptables-save; and whether BGP, or what else makes the routes, runs"
        }
        Some(OverlayKind::Wireguard) => "wg show; ip route; nft list ruleset; iptables-save",
        Some(OverlayKind::Ipip) => "ip -d tunnel show; ip route; nft list ruleset; iptables-save",
        Some(OverlayKind::Geneve) => "ip -d link show type geneve; ip route; nft list ruleset; iptables-save",
        Some(OverlayKind::Vxlan) => {
            "ip -d link show type vxlan; ip route; bridge fdb show; nft list ruleset; iptables-save"
        }
        None => "ip -d link; ip route; nft list ruleset; iptables-save",
    }
}

fn forward(model: &Model<'_>, pick: &Pick, hypothesis: &Hypothesis, draft: &mut Draft) {
    let at = in_words(&draft.place);
    // A host keeps pods from forwarding, whichever way packets go.
    draft.place.direction = None;
    let prohibited = pick.explains.iter().any(|cell| {
        model.judged(*cell).seen() == Some(Reason::AdminProhibited) && icmp(model, *cell).is_some()
    });
    if prohibited {
        draft.cause = Cause::ForwardRejected;
        draft.confidence = Confidence::Likely;
        draft.summary = format!("A firewall on {at} rejects packets that it must forward for its pods.");
        draft.advice = vec![
            "Allow forwarding for the pod network: firewall-cmd --permanent --zone=trusted --add-source=POD_CIDR; firewall-cmd --reload".to_owned(),
            "Or look for REJECT in the forward chains: nft list ruleset | grep -n reject; iptables-save | grep -n 'FORWARD.*REJECT'".to_owned(),
        ];
        return;
    }
    let forwards = match &hypothesis.scope {
        Scope::Node(node) => ip_forward(model, *node),
        _ => None,
    };
    match forwards {
        Some(false) => {
            draft.cause = Cause::IpForwardOff;
            draft.confidence = Confidence::Certain;
            draft.summary = format!(
                "{at} does not forward: its pods reach nothing off the node, and nothing reaches them."
            );
            draft
                .evidence
                .push("The kernel there says net.ipv4.ip_forward = 0.".to_owned());
            draft.advice = vec![
                "sysctl -w net.ipv4.ip_forward=1, and keep it: echo net.ipv4.ip_forward=1 > /etc/sysctl.d/90-mesh-ip-forward.conf".to_owned(),
            ];
        }
        Some(true) => {
            draft.cause = Cause::ForwardDropped;
            draft.confidence = Confidence::Likely;
            draft.summary = format!("{at} drops packets that it must forward for its pods.");
            draft.evidence.push("The kernel there says net.ipv4.ip_forward = 1, the node itself reaches remote pods, and no ICMP error came.".to_owned());
            draft.advice = vec![
                "Look at the policy and the rules of FORWARD: iptables -S FORWARD; iptables-legacy-save | grep FORWARD; nft list ruleset | grep -A3 'hook forward'".to_owned(),
                "iptables -P FORWARD ACCEPT, or accept the pod network there.".to_owned(),
            ];
        }
        None => {
            draft.summary = format!(
                "{at} does not forward for its pods: they reach nothing off the node, and nothing reaches them."
            );
            draft.advice = vec![format!(
                "{}: sysctl net.ipv4.ip_forward; iptables -S FORWARD; nft list ruleset | grep -A3 'hook forward'",
                where_to_look(&draft.place)
            )];
        }
    }
}

/// What the host agent of a node read of its kernel.
fn ip_forward(model: &Model<'_>, node: NodeIndex) -> Option<bool> {
    let name = node_name(model, node);
    let (host, _) = model.matrix.round().roster().find(&name, Plane::Host)?;
    let facts = model.matrix.agent(host)?.facts.as_ref()?;
    facts.sysctl("net.ipv4.ip_forward").map(|value| value == "1")
}

fn agent(hypothesis: &Hypothesis, draft: &mut Draft) {
    let at = in_words(&draft.place);
    let what = match hypothesis.family {
        Family::Local => format!("Between {at} and its own pods nothing passes."),
        Family::Loopback => format!("Loopback does not work on {at}."),
        Family::Agent(plane) => match hypothesis.init {
            Init::Both => format!("Nothing passes to or from the {plane} network of {at}."),
            Init::In => format!("Nothing that is opened from elsewhere reaches the {plane} network of {at}."),
            Init::Out => format!("The {plane} network of {at} reaches nothing."),
        },
        Family::Between(from, to) => {
            format!("From the {from} network to the {to} network nothing passes: {at}.")
        }
        _ => format!("Nothing passes at {at}."),
    };
    draft.cause = Cause::Unknown;
    draft.summary = what;
    draft.advice = vec![format!(
        "{}: ip -br addr; ip route; ip rule; nft list ruleset; iptables-save",
        where_to_look(&draft.place)
    )];
}

/// The source's kernel refused to send most of what it was asked to.
fn refused_to_send(model: &Model<'_>, pick: &Pick) -> bool {
    let refused = pick
        .explains
        .iter()
        .filter(|cell| model.judged(**cell).seen() == Some(Reason::LocalError))
        .count();
    refused > 0 && refused * 4 >= pick.explains.len()
}

fn local_egress(model: &Model<'_>, pick: &Pick, draft: &mut Draft) {
    let mut nodes: Vec<_> = pick
        .explains
        .iter()
        .filter(|cell| model.judged(**cell).seen() == Some(Reason::LocalError))
        .filter_map(|cell| model.nodes(*cell).0)
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    let [node] = nodes.as_slice() else {
        draft.summary = format!("The kernel refuses to send at {}.", in_words(&draft.place));
        return;
    };
    draft.cause = Cause::LocalEgressBlocked;
    draft.confidence = Confidence::Likely;
    draft.place = Where {
        nodes: vec![node_name(model, *node)],
        plane: draft.place.plane,
        direction: Some(Direction::Egress),
        ..Where::default()
    };
    draft.summary = format!(
        "The kernel of {} refuses to send: a rule in OUTPUT, or a route that forbids.",
        in_words(&draft.place)
    );
    draft.advice = vec![format!(
        "{}: iptables -S OUTPUT; nft list ruleset | grep -A5 'hook output'; ip route get ADDRESS",
        where_to_look(&draft.place)
    )];
}

fn answered_by_others(model: &Model<'_>, pick: &Pick) -> bool {
    let wrong = pick
        .explains
        .iter()
        .filter(|c| model.judged(**c).seen() == Some(Reason::WrongResponder))
        .count();
    wrong > 0 && wrong * 4 >= pick.explains.len()
}

fn duplicate_address(model: &Model<'_>, pick: &Pick, draft: &mut Draft) {
    let wrong = pick
        .explains
        .iter()
        .find(|c| model.judged(**c).seen() == Some(Reason::WrongResponder));
    let address = wrong.and_then(|cell| model.cell(*cell).address);
    draft.cause = Cause::DuplicateAddress;
    draft.confidence = Confidence::Likely;
    draft.place.address = address;
    let address = address.map(|address| address.to_string()).unwrap_or_default();
    draft.summary = format!("Somebody else answers at {address}: two machines or pods have this address.");
    draft.advice = vec![format!(
        "Ask who has it: arping -D -I DEVICE {address}; kubectl get pods -A -o wide | grep -w {address}"
    )];
}
