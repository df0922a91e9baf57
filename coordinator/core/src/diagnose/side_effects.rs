//! What a fault does besides: cells that the model's paths do not lead through the fault, though the kernel's do.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mesh_proto::{Cause, CellState, Plane, ProbeKind, Reason};

use super::{Draft, down};
use crate::NodeIndex;
use crate::localise::{Family, Model, Symptom};
use crate::round::{CellIndex, Target};

/// Puts side effects under the fault that has them; its place and words stay.
pub(super) fn absorb(model: &Model<'_>, drafts: Vec<Draft>) -> Vec<Draft> {
    let is_stray = |draft: &Draft| draft.at_no_place || is_needless(model, &drafts, draft);
    let flags: Vec<bool> = drafts.iter().map(is_stray).collect();
    let (mut strays, mut placed) = (Vec::new(), Vec::new());
    for (draft, is_stray) in drafts.into_iter().zip(flags) {
        if is_stray {
            strays.push(draft);
        } else {
            placed.push(draft);
        }
    }
    let mut kept = absorb_whole(model, &placed);
    for stray in strays {
        let left = hand_out(model, &mut kept, &stray);
        kept.extend(left);
    }
    kept
}

/// Whether a place is only guessed, while faults elsewhere that are known account for each of its cells: several faults can
/// make all pairs ill, or all that a third node has.
fn is_needless(model: &Model<'_>, drafts: &[Draft], guess: &Draft) -> bool {
    let is_silent = is_silent_server(model, guess);
    let is_of_all = nodes_of(model, guess).is_empty() && guess.place.service.is_none();
    let is_guess = !guess.shown && (is_of_all || guess.cause == Cause::Unknown);
    if !is_silent && !is_guess {
        return false;
    }
    let others: Vec<&Draft> = drafts
        .iter()
        .filter(|other| !std::ptr::eq(*other, guess))
        .collect();
    let of_node = |fault: &&&Draft| is_broad(fault) && nodes_of(model, fault).len() == 1;
    let of_pair = |fault: &&&Draft| {
        (fault.cause == Cause::NodePartitioned || is_of_pair(fault)) && fault.place.pairs.len() == 1
    };
    let without_rules: Vec<NodeIndex> = others
        .iter()
        .filter(|fault| fault.cause == Cause::KubeProxyMissing && fault.shown)
        .flat_map(|fault| nodes_of(model, fault))
        .collect();
    let nodes: Vec<(&Draft, NodeIndex)> = others
        .iter()
        .filter(of_node)
        .map(|fault| (*fault, nodes_of(model, fault)[0]))
        .collect();
    let pairs: Vec<Vec<NodeIndex>> = others
        .iter()
        .filter(of_pair)
        .map(|fault| nodes_of(model, fault))
        .collect();
    let is_told = |cell: &CellIndex| {
        nodes
            .iter()
            .any(|(fault, node)| may_stop(model, fault, *cell, *node))
            || translates_at(model, *cell).is_some_and(|node| without_rules.contains(&node))
            || pairs
                .iter()
                .any(|ends| matches!(ends.as_slice(), [a, b] if may_pass_between(model, *cell, *a, *b)))
    };
    let enough = if is_silent { 1 } else { 2 };
    nodes.len() + pairs.len() + without_rules.len() >= enough && guess.explains.iter().all(is_told)
}

/// Cells that are together only since no place explains them go each to the fault that it may be an effect of. What is left.
fn hand_out(model: &Model<'_>, faults: &mut [Draft], stray: &Draft) -> Option<Draft> {
    let mut alone = stray.clone();
    alone.at_no_place = true;
    let mut left = Vec::new();
    for cell in &stray.explains {
        alone.explains = vec![*cell];
        match faults.iter_mut().find(|fault| has_effect(model, fault, &alone)) {
            Some(fault) => fault.explains.push(*cell),
            None => left.push(*cell),
        }
    }
    (!left.is_empty()).then(|| down::nowhere(model, &left))
}

fn absorb_whole(model: &Model<'_>, drafts: &[Draft]) -> Vec<Draft> {
    let fault_of = |number: usize| {
        let effect = &drafts[number];
        let mut others = drafts.iter().enumerate().filter(|(other, _)| *other != number);
        // Of two that could each be the other's effect, the one that explains more is the fault.
        let found = others.find(|(other, fault)| {
            has_effect(model, fault, effect) && (*other < number || !has_effect(model, effect, fault))
        });
        found.map(|(fault, _)| fault)
    };
    let found: Vec<Option<usize>> = (0..drafts.len()).map(fault_of).collect();
    let faults: Vec<Option<usize>> = (0..drafts.len()).map(|number| last_of(&found, number)).collect();
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

/// An effect of an effect is one of what is behind both. `None` for what is no effect, and for what would be its own.
fn last_of(faults: &[Option<usize>], number: usize) -> Option<usize> {
    let mut last = faults[number]?;
    for _ in 0..faults.len() {
        match faults[last] {
            Some(next) => last = next,
            None => return Some(last),
        }
    }
    None
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
    if is_between_all_nodes(fault) {
        let asks_elsewhere = |cell: &CellIndex| {
            translates_at(model, *cell).is_some_and(|at| behind(model, *cell).iter().any(|node| *node != at))
        };
        return !effect.shown
            && effect.explains.len() * 2 <= fault.explains.len()
            && effect.explains.iter().all(asks_elsewhere);
    }
    if let ([], [(a, b)]) = (fault.place.nodes.as_slice(), fault.place.pairs.as_slice()) {
        let roster = model.matrix.round().roster();
        let (Some(a), Some(b)) = (roster.node_index(a), roster.node_index(b)) else {
            return false;
        };
        // Packets circle elsewhere than between the ends that miss them.
        let mut ways = vec![(a, b)];
        if fault.cause == Cause::RoutingLoop {
            ways.extend(ends(model, fault));
        }
        let is_cut = fault.cause == Cause::NodePartitioned && effect.cause == Cause::Unknown;
        let stops = is_of_pair(fault) && !effect.shown && effect.explains.len() * 4 <= fault.explains.len();
        let is_hit = |cell: &CellIndex| {
            (stops
                || is_cut && !effect.shown
                || fault.cause == Cause::MtuBlackhole && is_of_large_segments(model, *cell))
                && ways.iter().any(|(a, b)| may_pass_between(model, *cell, *a, *b))
        };
        return effect.explains.iter().all(is_hit);
    }
    // Where rules lead astray, whatever asks that service by them may go astray.
    if fault.cause == Cause::EndpointStale {
        return !effect.shown && effect.explains.iter().all(|cell| asks_same(model, *cell, fault));
    }
    // What a node does not send it does not send inside the overlay either, and there it gives no error. And where two have an
    // address, what the one is asked may be answered to the other.
    let hides = matches!(fault.cause, Cause::LocalEgressBlocked | Cause::DuplicateAddress);
    if hides && fault.shown && !effect.shown && is_between_the_same(model, fault, effect) {
        return true;
    }
    if fault.cause == Cause::KubeProxyMissing && fault.shown && !effect.shown {
        let at = nodes_of(model, fault);
        let is_hit = |cell: &CellIndex| translates_at(model, *cell).is_some_and(|node| at.contains(&node));
        return effect.explains.iter().all(is_hit);
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
    let is_told = effect.shown && !is_silent_server(model, effect);
    if is_broad(fault) && !is_told && effect.explains.len() <= fault.explains.len() {
        return all(&|cell| may_stop(model, fault, cell, node));
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
        Cause::MtuBlackhole => all(&|cell| is_of_large_segments(model, cell) && touches(model, cell, node)),
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

/// Whether an endpoint is said to be dead only since nobody gets an answer from it; none that refuses is silent.
fn is_silent_server(model: &Model<'_>, effect: &Draft) -> bool {
    let of_servers = matches!(
        effect.cause,
        Cause::DnsEndpointDown | Cause::DnsDown | Cause::ApiServerDown
    );
    let is_refused = |cell: &CellIndex| model.judged(*cell).seen() == Some(Reason::Refused);
    of_servers && !effect.explains.iter().any(is_refused)
}

/// Whether an effect is between the very nodes between which a fault is.
fn is_between_the_same(model: &Model<'_>, fault: &Draft, effect: &Draft) -> bool {
    let (of_effect, of_fault) = (ends(model, effect), ends(model, fault));
    !of_effect.is_empty() && of_effect.is_subset(&of_fault)
}

/// The nodes that cells between agents are between, the lower first.
fn ends(model: &Model<'_>, draft: &Draft) -> BTreeSet<(NodeIndex, NodeIndex)> {
    let cells = draft.explains.iter().map(|cell| model.nodes(*cell));
    cells
        .filter_map(|(from, to)| Some((from?.min(to?), from?.max(to?))))
        .collect()
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
    let of_network = !matches!(fault.cause, Cause::Unknown | Cause::MtuBlackhole);
    let reaches = |cell: &CellIndex| behind(model, *cell).iter().any(|node| at.contains(node));
    // What is slow makes others late, and lets a resolver give up; it loses nothing that is asked again.
    let fits = |cell: &CellIndex| {
        let is_lookup = matches!(model.cell(*cell).target, Target::Dns { as_application: true });
        fault.cause != Cause::Slow || is_lookup || model.judged(*cell).state == CellState::Degraded
    };
    of_network
        && effect.explains.iter().all(fits)
        && effect.explains.len() <= fault.explains.len()
        && effect.explains.iter().all(reaches)
}

/// The nodes that the endpoints stand on that a cell asks, by their service or one of them; none where it asks neither.
fn behind(model: &Model<'_>, cell: CellIndex) -> Vec<NodeIndex> {
    let round = model.matrix.round();
    let target = model.target(cell);
    let endpoint = match target {
        Target::DnsEndpoint(number) => round
            .roster()
            .cluster
            .dns
            .as_ref()
            .and_then(|dns| dns.endpoints.get(number)),
        _ => None,
    };
    let names = round
        .nodes_behind(&target)
        .into_iter()
        .chain(endpoint.map(|endpoint| &endpoint.node));
    names.filter_map(|name| round.roster().node_index(name)).collect()
}

/// The node whose rules translate what asks a service; `None` for what asks none.
pub(super) fn translates_at(model: &Model<'_>, cell: CellIndex) -> Option<NodeIndex> {
    match &model.cell(cell).target {
        Target::NodePort { node, .. } => Some(*node),
        Target::Api | Target::Dns { .. } => model.nodes(cell).0,
        Target::Agent(_) | Target::Loopback | Target::DnsEndpoint(_) => None,
    }
}

/// Whether a cell asks the service that a fault is of, by the rules of the nodes at fault.
fn asks_same(model: &Model<'_>, cell: CellIndex, fault: &Draft) -> bool {
    let roster = model.matrix.round().roster();
    let is_there = |node: Option<NodeIndex>| {
        fault.place.nodes.is_empty() || node.is_some_and(|node| nodes_of(model, fault).contains(&node))
    };
    let is_of = |address: Option<IpAddr>| address.is_some() && fault.place.service == address;
    match &model.cell(cell).target {
        Target::Dns { .. } => {
            is_of(roster.cluster.dns.as_ref().map(|dns| dns.address)) && is_there(model.nodes(cell).0)
        }
        Target::Api => {
            is_of(roster.cluster.api.as_ref().map(|api| api.address)) && is_there(model.nodes(cell).0)
        }
        Target::NodePort { node: at, service } => {
            let port = roster.cluster.node_ports.get(*service).map(|offer| offer.port);
            fault.place.port == port && is_there(Some(*at))
        }
        Target::Agent(_) | Target::Loopback | Target::DnsEndpoint(_) => false,
    }
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

/// Whether pods' packets pass between no two nodes, so that a service answers as often as it chooses an endpoint of the very node
/// that translates.
fn is_between_all_nodes(fault: &Draft) -> bool {
    let carries = matches!(
        fault.cause,
        Cause::PodRoutesMissing
            | Cause::OverlayDeviceDown
            | Cause::OverlayPortBlocked
            | Cause::OverlayPortMismatch
            | Cause::UnderlayDropsPods
    );
    carries && fault.place.nodes.is_empty() && fault.place.pairs.is_empty() && fault.place.service.is_none()
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
pub(super) fn may_pass_between(model: &Model<'_>, cell: CellIndex, a: NodeIndex, b: NodeIndex) -> bool {
    let is_between = |from, to| (from, to) == (a, b) || (from, to) == (b, a);
    model
        .parts_of(cell)
        .iter()
        .any(|(part, _)| is_between(part.from, part.to))
}

/// Whether a fault that stops what a node sends on, sends or receives may be what ails a cell: its packets may cross the node by
/// any way that the network could take, and it is not merely late. What asks a service may have met another endpoint first.
fn may_stop(model: &Model<'_>, fault: &Draft, cell: CellIndex, node: NodeIndex) -> bool {
    let is_overlays = matches!(
        fault.cause,
        Cause::OverlayDeviceDown | Cause::OverlayPortBlocked | Cause::OverlayPortMismatch
    );
    let is_late = model.symptom(cell) == Some(Symptom::Partial)
        && matches!(model.cell(cell).target, Target::Agent(_) | Target::Loopback)
        && fault.cause != Cause::ConntrackFull;
    // What is between the nodes' own addresses is neither forwarded nor encapsulated.
    let stops_own = matches!(
        fault.cause,
        Cause::ConntrackFull | Cause::LocalEgressBlocked | Cause::DuplicateAddress | Cause::ReversePathFilter
    );
    let parts = model.parts_of(cell);
    !is_late
        && (stops_own || !model.host_to_host(cell))
        && parts.iter().any(|(part, _)| {
            let is_hit = !is_overlays || matches!(part.family, Family::Overlay | Family::Routes);
            is_hit && (part.from == node || part.to == node)
        })
}

/// Where a share of all packets is lost, some probe loses more than its share. What is wholly dead is not that: where
/// chance can have done it, the localiser has put it under the loss already.
fn is_more_loss(model: &Model<'_>, fault: &Draft, effect: &Draft) -> bool {
    let lossy = nodes_of(model, fault);
    // Beside one of its ends only, it is another way.
    let is_at = |cell: CellIndex| match model.nodes(cell) {
        (Some(from), Some(to)) if fault.place.nodes.is_empty() => {
            lossy.contains(&from) && lossy.contains(&to)
        }
        _ => lossy.iter().any(|node| touches(model, cell, *node)),
    };
    // A search for the size that passes goes astray where some sizes are lost by chance.
    let is_share_lost = |cell: CellIndex| match model.symptom(cell) {
        Some(Symptom::Partial) => true,
        Some(Symptom::Large) => model.kind(cell) == ProbeKind::PathMtu,
        _ => false,
    };
    let is_loss = |cell: CellIndex| is_share_lost(cell) && is_at(cell);
    is_share(effect) && effect.explains.iter().all(|cell| is_loss(*cell))
}

/// From the node or its pods to the node or its pods.
fn inside(model: &Model<'_>, cell: CellIndex, node: NodeIndex) -> bool {
    let roster = model.matrix.round().roster();
    let (from, to) = model.nodes(cell);
    let to = match model.target(cell) {
        Target::DnsEndpoint(number) => roster
            .cluster
            .dns
            .as_ref()
            .and_then(|dns| dns.endpoints.get(number))
            .and_then(|endpoint| roster.node_index(&endpoint.node)),
        Target::NodePort { node, .. } => Some(node),
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

/// A stream that came through only after resends, since large segments were lost first and then sent again in smaller ones; or
/// that stalled, whichever end began it: its answers are large as well.
fn is_of_large_segments(model: &Model<'_>, cell: CellIndex) -> bool {
    let by_tcp = matches!(
        model.kind(cell),
        ProbeKind::Tcp | ProbeKind::Tls | ProbeKind::DnsTcp
    );
    let stalled = model.symptom(cell) == Some(Symptom::Large);
    by_tcp && (stalled || model.judged(cell).state == CellState::Degraded)
}

#[cfg(test)]
#[path = "side_effects_tests.rs"]
mod tests;
