//! What a fault does besides: cells that the model's paths do not lead through the fault, though the kernel's do.

use mesh_proto::{Cause, CellState, Plane, ProbeKind, Reason};

use super::Draft;
use crate::NodeIndex;
use crate::localise::{Model, Symptom};
use crate::round::{CellIndex, Target};

/// Puts side effects under the fault that has them; its place and words stay.
pub(super) fn absorb(model: &Model<'_>, drafts: &[Draft]) -> Vec<Draft> {
    let fault_of = |number: usize| {
        let effect = &drafts[number];
        let mut others = drafts.iter().enumerate().filter(|(other, _)| *other != number);
        // Of two that could each be the other's effect, the one that explains more is the fault.
        let found = others.find(|(other, fault)| {
            has_effect(model, fault, effect) && (*other < number || !has_effect(model, effect, fault))
        });
        found.map(|(fault, _)| fault)
    };
    let faults: Vec<Option<usize>> = (0..drafts.len()).map(fault_of).collect();
    let mut kept = Vec::new();
    for (number, draft) in drafts
        .iter()
        .enumerate()
        .filter(|(number, _)| faults[*number].is_none())
    {
        let mut draft = draft.clone();
        let effects = drafts
            .iter()
            .zip(&faults)
            .filter(|(_, fault)| **fault == Some(number));
        for (effect, _) in effects {
            draft.evidence.extend(effect.evidence.iter().cloned());
            draft.explains.extend(effect.explains.iter().copied());
        }
        kept.push(draft);
    }
    kept
}

fn has_effect(model: &Model<'_>, fault: &Draft, effect: &Draft) -> bool {
    if is_of_services(model, effect) && stands_behind(model, fault, effect) {
        return true;
    }
    if matches!(
        fault.cause,
        Cause::RandomLoss | Cause::OneWayLoss | Cause::FlowLoss
    ) {
        return is_more_loss(model, fault, effect);
    }
    if let ([], [(a, b)]) = (fault.place.nodes.as_slice(), fault.place.pairs.as_slice()) {
        let roster = model.matrix.round().roster();
        let (Some(a), Some(b)) = (roster.node_index(a), roster.node_index(b)) else {
            return false;
        };
        return is_of_pair(fault)
            && !effect.shown
            && effect.explains.len() * 4 <= fault.explains.len()
            && effect
                .explains
                .iter()
                .all(|cell| may_pass_between(model, *cell, a, b));
    }
    // Of several nodes there is no telling whose effect it is.
    let [name] = fault.place.nodes.as_slice() else {
        return false;
    };
    let roster = model.matrix.round().roster();
    let Some(node) = roster.node_index(name) else {
        return false;
    };
    let all = |is: &dyn Fn(CellIndex) -> bool| effect.explains.iter().all(|cell| is(*cell));
    // What only fits beside what was shown is no fault of its own.
    if is_broad(fault) && !effect.shown && effect.explains.len() <= fault.explains.len() {
        return all(&|cell| may_cross(model, cell, node));
    }
    match fault.cause {
        // A node that does not forward does not answer for others by ARP either (Linux `net/ipv4/arp.c`), so that pods
        // with a /32 lose their gateway, and with it their own node.
        Cause::IpForwardOff => all(&|cell| inside(model, cell, node)),
        // Nor does it answer for others where it has no route to them.
        Cause::NodePartitioned => has_no_route(model, fault, node) && all(&|cell| inside(model, cell, node)),
        // With bridge-nf-call-iptables=1 packets between pods on one bridge pass FORWARD as well.
        Cause::ForwardDropped | Cause::ForwardRejected => {
            all(&|cell| inside(model, cell, node) && is_between_pods(model, cell))
        }
        // Large segments are lost first and then sent again in smaller ones.
        Cause::MtuBlackhole => all(&|cell| came_after_resend(model, cell) && touches(model, cell, node)),
        // A rule that stops all sending stops tunnels too; they never say so.
        Cause::LocalEgressBlocked => {
            effect.cause == Cause::Unknown && effect.place.nodes == fault.place.nodes
        }
        // Between the node and its own pods the same filter stands, in another chain.
        Cause::ProtocolFiltered => {
            effect.cause == Cause::Unknown
                && effect.place.nodes == fault.place.nodes
                && effect.place.protocol == fault.place.protocol
        }
        _ => false,
    }
}

/// Whether an effect is a share that services lose, or answer late.
fn is_of_services(model: &Model<'_>, effect: &Draft) -> bool {
    let asks = |cell: &CellIndex| !behind(model, *cell).is_empty();
    is_share(effect) && !effect.shown && effect.explains.iter().all(asks)
}

/// Whether what was seen is a share that is lost or late, of whatever it is an effect.
fn is_share(effect: &Draft) -> bool {
    matches!(
        effect.cause,
        Cause::Unknown | Cause::Slow | Cause::FlowLoss | Cause::RandomLoss
    )
}

/// The nodes of a place, those of its pairs included.
fn nodes_of(model: &Model<'_>, draft: &Draft) -> Vec<NodeIndex> {
    let roster = model.matrix.round().roster();
    let pairs = draft.place.pairs.iter().flat_map(|(from, to)| [from, to]);
    let names = draft.place.nodes.iter().chain(pairs);
    names.filter_map(|name| roster.node_index(name)).collect()
}

/// Whether of each service that is asked there something stands at the fault, so that it is chosen now and then.
fn stands_behind(model: &Model<'_>, fault: &Draft, effect: &Draft) -> bool {
    let at = nodes_of(model, fault);
    let of_network = !matches!(fault.cause, Cause::Unknown | Cause::MtuBlackhole | Cause::Slow);
    let reaches = |cell: &CellIndex| behind(model, *cell).iter().any(|node| at.contains(node));
    of_network && effect.explains.len() <= fault.explains.len() && effect.explains.iter().all(reaches)
}

/// The nodes that the endpoints of the service stand on that a cell asks; none where it asks no service.
fn behind(model: &Model<'_>, cell: CellIndex) -> Vec<NodeIndex> {
    let round = model.matrix.round();
    let names = round.nodes_behind(&model.cell(cell).target).into_iter();
    names.filter_map(|name| round.roster().node_index(name)).collect()
}

/// Whether a fault that a kernel or a packet told of stops whatever a node sends on, sends or receives.
fn is_broad(fault: &Draft) -> bool {
    let stops_all = matches!(
        fault.cause,
        Cause::ConntrackFull
            | Cause::LocalEgressBlocked
            | Cause::DuplicateAddress
            | Cause::IptablesSplit
            | Cause::IpForwardOff
            | Cause::ForwardDropped
            | Cause::ForwardRejected
            | Cause::PolicyBlocked
            | Cause::ReversePathFilter
            | Cause::PodRoutesMissing
            | Cause::OverlayDeviceDown
            | Cause::OverlayPortBlocked
            | Cause::OverlayPortMismatch
    );
    stops_all && fault.shown
}

/// Whether it is known to stop everything, or what the overlay carries, between two nodes.
fn is_of_pair(fault: &Draft) -> bool {
    let stops = matches!(
        fault.cause,
        Cause::OverlayPeerStale | Cause::NeighbourStale | Cause::RoutingLoop | Cause::PodRoutesMissing
    );
    stops && fault.shown
}

/// Whether a cell's packets may go between two nodes, by any way that the network could take.
fn may_pass_between(model: &Model<'_>, cell: CellIndex, a: NodeIndex, b: NodeIndex) -> bool {
    let is_between = |from, to| (from, to) == (a, b) || (from, to) == (b, a);
    model
        .parts_of(cell)
        .iter()
        .any(|(part, _)| is_between(part.from, part.to))
}

/// Whether a cell's packets may cross the node, by any way that the network could take.
fn may_cross(model: &Model<'_>, cell: CellIndex, node: NodeIndex) -> bool {
    model
        .parts_of(cell)
        .iter()
        .any(|(part, _)| part.from == node || part.to == node)
}

/// Where a share of all packets is lost, some probe loses more than its share. What is wholly dead is not that: where
/// chance can have done it, the localiser has put it under the loss already.
fn is_more_loss(model: &Model<'_>, fault: &Draft, effect: &Draft) -> bool {
    let lossy = nodes_of(model, fault);
    let is_loss = |cell: CellIndex| {
        model.symptom(cell) == Some(Symptom::Partial) && lossy.iter().any(|node| touches(model, cell, *node))
    };
    is_share(effect) && effect.explains.iter().all(|cell| is_loss(*cell))
}

/// From the node or its pods to the node or its pods.
fn inside(model: &Model<'_>, cell: CellIndex, node: NodeIndex) -> bool {
    let roster = model.matrix.round().roster();
    let (from, to) = model.nodes(cell);
    let to = match &model.cell(cell).target {
        Target::DnsEndpoint(number) => roster
            .cluster
            .dns
            .as_ref()
            .and_then(|dns| dns.endpoints.get(*number))
            .and_then(|endpoint| roster.node_index(&endpoint.node)),
        Target::NodePort { node, .. } => roster.node_index(node),
        // Only where all that answers it stands there.
        Target::Api => {
            let nodes = behind(model, cell);
            nodes
                .first()
                .copied()
                .filter(|first| nodes.iter().all(|node| node == first))
        }
        // Its own endpoint is one of those that answer it.
        Target::Dns { .. } if behind(model, cell).contains(&node) => Some(node),
        _ => to,
    };
    from == Some(node) && to == Some(node)
}

/// Whether the node's own kernel says that it has no route to others: then its link is down, and its routes went with it.
fn has_no_route(model: &Model<'_>, fault: &Draft, node: NodeIndex) -> bool {
    fault.explains.iter().any(|cell| {
        model.nodes(*cell).0 == Some(node)
            && model.plane_from(*cell) == Some(Plane::Host)
            && model.judged(*cell).seen() == Some(Reason::NetUnreachable)
    })
}

fn touches(model: &Model<'_>, cell: CellIndex, node: NodeIndex) -> bool {
    let (from, to) = model.nodes(cell);
    // A service's packets may go by any node.
    from == Some(node) || to == Some(node) || !matches!(model.cell(cell).target, Target::Agent(_))
}

fn is_between_pods(model: &Model<'_>, cell: CellIndex) -> bool {
    model.plane_from(cell) == Some(Plane::Pod) && model.plane_to(cell) != Some(Plane::Host)
}

fn came_after_resend(model: &Model<'_>, cell: CellIndex) -> bool {
    let by_tcp = matches!(
        model.kind(cell),
        ProbeKind::Tcp | ProbeKind::Tls | ProbeKind::DnsTcp
    );
    by_tcp && model.judged(cell).state == CellState::Degraded
}
