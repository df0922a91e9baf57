//! Rules of a node's own firewall that stop one protocol, at some port or towards some peer, so that no place of the model has
//! all that they stop and nothing besides.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mesh_proto::{Cause, Confidence, Direction, Hook, Match, NodeName, Plane, Port, Protocol, Where};

use super::Draft;
use super::evidence::evidence;
use super::meetings::{Meeting, meetings};
use super::place::node_name;
use super::scene::{removal, says};
use crate::NodeIndex;
use crate::localise::{Family, Model, Pick, Place, Scope, Symptom, protocol_of};
use crate::netfilter::Stop;
use crate::round::{CellIndex, Target};

/// More cells than this are no matter of one port or one peer.
const MOST_CELLS: usize = 2_000;

/// A rule that stops a protocol, and what it stops.
struct Filter<'a> {
    at: NodeIndex,
    stop: Stop<'a>,
    protocol: Protocol,
    /// It stops what goes to some only.
    has_peer: bool,
    cells: BTreeSet<CellIndex>,
}

/// Takes cells that such rules stop out of their places, and names the rules.
pub(super) fn named(model: &Model<'_>, picks: &mut [Pick]) -> Vec<Draft> {
    let mut filters = filters(model, picks);
    filters.retain(|filter| filter.cells.len() >= 2 && !passes(model, filter));
    filters.sort_by_key(|filter| std::cmp::Reverse(filter.cells.len()));
    let mut drafts = Vec::new();
    for filter in filters {
        let is_its = |pick: &Pick| {
            let stopped = pick
                .explains
                .iter()
                .filter(|cell| filter.cells.contains(cell))
                .count();
            is_of_one(model, pick) == Some(filter.protocol) && stopped * 20 >= pick.explains.len() * 19
        };
        let mut taken = Vec::new();
        for pick in picks.iter_mut().filter(|pick| is_its(pick)) {
            taken.append(&mut pick.explains);
        }
        if !taken.is_empty() {
            // What no place has and this rule stops is its as well.
            for pick in picks
                .iter_mut()
                .filter(|pick| matches!(pick.place, Place::Nowhere))
            {
                let (stopped, left) = pick.explains.iter().partition(|cell| filter.cells.contains(cell));
                pick.explains = left;
                taken.extend::<Vec<_>>(stopped);
            }
            drafts.push(draft(model, &filter, taken));
        }
    }
    drafts
}

/// The protocol of all cells of a place that may be such a rule's doing.
fn is_of_one(model: &Model<'_>, pick: &Pick) -> Option<Protocol> {
    let Place::At(hypothesis) = &pick.place else {
        return None;
    };
    // What is so on each node has no rule of one.
    if matches!(hypothesis.scope, Scope::OwnNode | Scope::OtherNodes) || pick.symptom == Symptom::Large {
        return None;
    }
    // An API server that answers nobody is down, whatever keeps it from answering; all that it is asked is TCP.
    if (&hypothesis.scope, hypothesis.family) == (&Scope::Cluster, Family::ApiService) {
        return None;
    }
    let mut protocols = pick.explains.iter().map(|cell| protocol_of(model.kind(*cell)));
    let first = protocols.next()?;
    protocols.all(|protocol| protocol == first).then_some(first)
}

fn filters<'a>(model: &Model<'a>, picks: &[Pick]) -> Vec<Filter<'a>> {
    let mut filters: Vec<Filter<'a>> = Vec::new();
    let cells = picks
        .iter()
        .filter(|pick| pick.explains.len() <= MOST_CELLS)
        .filter(|pick| matches!(pick.place, Place::Nowhere) || is_of_one(model, pick).is_some())
        .flat_map(|pick| pick.explains.iter().copied());
    for cell in cells.take(MOST_CELLS) {
        let protocol = protocol_of(model.kind(cell));
        for meeting in meetings(model, cell) {
            let Some(stop) = meeting
                .stop()
                .filter(|stop| is_of_protocol(&meeting, stop, protocol))
            else {
                continue;
            };
            let is_it = |filter: &&mut Filter<'a>| {
                (filter.at, filter.protocol) == (meeting.at, protocol) && filter.stop.is(&stop)
            };
            match filters.iter_mut().find(is_it) {
                Some(filter) => {
                    filter.cells.insert(cell);
                }
                None => filters.push(Filter {
                    at: meeting.at,
                    stop,
                    protocol,
                    has_peer: !meeting.is_stopped_to_anybody(&stop),
                    cells: [cell].into(),
                }),
            }
        }
    }
    filters
}

/// Whether a rule spares the other protocols.
fn is_of_protocol(meeting: &Meeting<'_>, stop: &Stop<'_>, protocol: Protocol) -> bool {
    let mut others = Protocol::ALL.iter().filter(|other| **other != protocol);
    stop.rule.is_some() && others.all(|other| !meeting.is_stopped_as(*other, stop))
}

/// Whether more than a few of the cells come through that a rule is sure to stop: then it does not do so.
fn passes(model: &Model<'_>, filter: &Filter<'_>) -> bool {
    let is_sure = |cell: &CellIndex| {
        meetings(model, *cell).iter().any(|meeting| {
            meeting.is_sure
                && meeting.at == filter.at
                && meeting.stop().is_some_and(|stop| stop.is(&filter.stop))
        })
    };
    let whole = model.cells().filter(|cell| {
        protocol_of(model.kind(*cell)) == filter.protocol
            && model.observed(*cell)
            && model.symptom(*cell).is_none()
            && may_meet(model, *cell, filter.at)
    });
    whole.filter(is_sure).count() * 20 > filter.cells.len()
}

fn may_meet(model: &Model<'_>, cell: CellIndex, at: NodeIndex) -> bool {
    match model.nodes(cell) {
        (from, Some(to)) => from == Some(at) || to == at,
        _ => true,
    }
}

fn draft(model: &Model<'_>, filter: &Filter<'_>, cells: Vec<CellIndex>) -> Draft {
    let at = node_name(model, filter.at);
    let hook = hook(&filter.stop);
    let does = if filter.stop.rejects() { "rejects" } else { "drops" };
    let name = filter.protocol.meaning();
    let port = port(&filter.stop);
    let at_port = port.map_or(String::new(), |port| format!(" to port {port}"));
    let endpoint = dns_endpoint(model, &cells);
    let whom = match (peer(model, filter, &cells), endpoint) {
        (_, Some(endpoint)) => format!(" of the DNS endpoint {endpoint}"),
        (Some(peer), None) => format!(" between it and {peer}"),
        (None, None) => String::new(),
    };
    // Who is not sent to whatever it is has a source that refuses.
    let refuses = hook == Some(Hook::Output) && filter.has_peer;
    let (cause, summary) = if refuses {
        let words = format!(
            "The kernel of {at} refuses to send {name}{at_port}{whom}: its own firewall {does} it, other protocols pass."
        );
        (Cause::LocalEgressBlocked, words)
    } else {
        let words = format!("The firewall of {at} {does} {name}{at_port}{whom}, other protocols pass.");
        (Cause::ProtocolFiltered, words)
    };
    let mut words = vec![says(model, filter.at, &filter.stop)];
    words.extend(evidence(model, &cells));
    let mut advice: Vec<String> = removal(model, filter.at, &filter.stop).into_iter().collect();
    let by_number = port.map_or(String::new(), |port| {
        format!("; firewall-cmd --list-all | grep {port}; ufw status | grep {port}")
    });
    advice.push(format!(
        "Who wrote it may write it again; on {at}: nft list ruleset | grep -n {}{by_number}",
        name.to_ascii_lowercase()
    ));
    Draft {
        cause,
        place: Where {
            nodes: vec![at],
            protocol: Some(filter.protocol),
            port,
            plane: match hook {
                Some(Hook::Forward) => Some(Plane::Pod),
                Some(Hook::Input | Hook::Output) => Some(Plane::Host),
                _ => None,
            },
            direction: match hook {
                Some(Hook::Input | Hook::Prerouting) => Some(Direction::Ingress),
                Some(Hook::Output | Hook::Postrouting) => Some(Direction::Egress),
                _ => None,
            },
            endpoint,
            ..Where::default()
        },
        confidence: Confidence::Certain,
        summary,
        evidence: words,
        advice,
        ruled_out: Vec::new(),
        shown: true,
        at_no_place: false,
        explains: cells,
    }
}

/// The only endpoint of DNS that the cells ask, if they ask nothing else than DNS.
fn dns_endpoint(model: &Model<'_>, cells: &[CellIndex]) -> Option<IpAddr> {
    let mut numbers = BTreeSet::new();
    for cell in cells {
        match model.target(*cell) {
            Target::DnsEndpoint(number) => _ = numbers.insert(number),
            Target::Dns { .. } => {}
            _ => return None,
        }
    }
    let only = numbers.first().filter(|_| numbers.len() == 1)?;
    let dns = model.matrix.round().roster().cluster.dns.as_ref()?;
    Some(dns.endpoints.get(*only)?.address)
}

/// The only node that the rule keeps from the one where it stands, where there are more that it could.
fn peer(model: &Model<'_>, filter: &Filter<'_>, cells: &[CellIndex]) -> Option<NodeName> {
    let ends = cells.iter().filter_map(|cell| match model.nodes(*cell) {
        (Some(from), Some(to)) if from != to => Some(if from == filter.at { to } else { from }),
        _ => None,
    });
    let peers: BTreeSet<NodeIndex> = ends.collect();
    let only = peers
        .first()
        .filter(|_| peers.len() == 1 && model.nodes_here().len() > 2)?;
    Some(node_name(model, *only))
}

/// Where the rule's chain hangs, if it hangs anywhere itself.
fn hook(stop: &Stop<'_>) -> Option<Hook> {
    stop.chain.base.as_ref().map(|base| base.hook)
}

/// The only port that a rule is about.
fn port(stop: &Stop<'_>) -> Option<Port> {
    let (_, rule) = stop.rule?;
    let mut ports = rule.tests.iter().filter_map(|test| match &test.on {
        Match::DestinationPort(ranges) if !test.not => Some(ranges.as_slice()),
        _ => None,
    });
    match (ports.next(), ports.next()) {
        (Some([range]), None) if range.from == range.to => Some(range.from),
        _ => None,
    }
}

#[cfg(test)]
#[path = "filtered_tests.rs"]
mod tests;
