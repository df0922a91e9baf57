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
    if matches!(
        fault.cause,
        Cause::RandomLoss | Cause::OneWayLoss | Cause::FlowLoss
    ) {
        return is_more_loss(model, fault, effect);
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

/// Where a share of all packets is lost, some probe loses more than its share. What is wholly dead is not that: where
/// chance can have done it, the localiser has put it under the loss already.
fn is_more_loss(model: &Model<'_>, fault: &Draft, effect: &Draft) -> bool {
    let roster = model.matrix.round().roster();
    let pairs = fault.place.pairs.iter().flat_map(|(from, to)| [from, to]);
    let lossy: Vec<NodeIndex> = fault
        .place
        .nodes
        .iter()
        .chain(pairs)
        .filter_map(|name| roster.node_index(name))
        .collect();
    let is_loss = |cell: CellIndex| {
        model.symptom(cell) == Some(Symptom::Partial) && lossy.iter().any(|node| touches(model, cell, *node))
    };
    matches!(
        effect.cause,
        Cause::Unknown | Cause::RandomLoss | Cause::FlowLoss | Cause::Slow
    ) && effect.explains.iter().all(|cell| is_loss(*cell))
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
        Target::Api => api_node(model),
        // Its own endpoint is one of those that answer it.
        Target::Dns { .. } if has_dns_endpoint(model, node) => Some(node),
        _ => to,
    };
    from == Some(node) && to == Some(node)
}

/// The node that all endpoints of the API stand on, if it is one.
fn api_node(model: &Model<'_>) -> Option<NodeIndex> {
    let roster = model.matrix.round().roster();
    let mut endpoints = roster.cluster.api.as_ref()?.endpoints.iter();
    let node = roster.node_of_host_address(endpoints.next()?.ip())?;
    let same = endpoints.all(|endpoint| roster.node_of_host_address(endpoint.ip()) == Some(node));
    same.then(|| roster.node_index(node)).flatten()
}

fn has_dns_endpoint(model: &Model<'_>, node: NodeIndex) -> bool {
    let roster = model.matrix.round().roster();
    let dns = roster.cluster.dns.iter().flat_map(|dns| &dns.endpoints);
    dns.into_iter()
        .any(|endpoint| roster.node_index(&endpoint.node) == Some(node))
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
