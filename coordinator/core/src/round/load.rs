//! How hard each cell is tried, and how far first packets are spread: gentle on services, which all agents ask at once.

use std::collections::BTreeMap;

use mesh_proto::{AgentIndex, Millis, Port, ProbeKind};

use super::{KINDS, Round, Target};
use crate::{NodeIndex, PlanOptions, Roster};

/// The number of cells grows with the square of the nodes, so above this many each is tried with fewer flows and tries:
/// what one pair does not show, many pairs do.
const LARGE: usize = 10;

fn is_large(roster: &Roster) -> bool {
    roster.nodes.len() > LARGE
}

/// Flows of a cell, and tries on each.
pub(super) fn flows_and_tries(
    roster: &Roster,
    kind: ProbeKind,
    target: Target,
    options: &PlanOptions,
) -> (u16, u16) {
    match (kind, target) {
        // Every agent tries a NodePort on every node, and all of that meets at a few backends.
        (ProbeKind::Udp, Target::NodePort { .. }) if is_large(roster) => (1, options.udp_tries),
        (ProbeKind::Udp, _) if is_large(roster) => (options.udp_flows.div_ceil(2), options.udp_tries),
        (ProbeKind::Tcp, _) if is_large(roster) => (1, 1),
        (ProbeKind::Icmp, _) if is_large(roster) => (1, options.icmp_tries.min(3)),
        (ProbeKind::Icmp, _) => (1, options.icmp_tries),
        (ProbeKind::Udp, _) => (options.udp_flows, options.udp_tries),
        (ProbeKind::Tcp, _) => (options.tcp_flows, 1),
        (ProbeKind::Tls, _) => (options.tls_flows, 1),
        (ProbeKind::PathMtu, _) => (1, options.path_mtu_tries),
        (ProbeKind::DnsUdp | ProbeKind::DnsTcp, Target::Dns { as_application: true }) => (1, 1),
        (ProbeKind::DnsUdp | ProbeKind::DnsTcp, Target::DnsEndpoint(_)) => (options.dns_endpoint_flows, 1),
        (ProbeKind::DnsUdp | ProbeKind::DnsTcp, _) => (options.dns_flows, 1),
    }
}

/// How long first packets must be spread: so that no agent has to send faster than it may, and no service is asked
/// faster than a small server can answer.
pub(super) fn spread(round: &Round) -> Millis {
    /// New connections and queries a second that a small server takes.
    const PER_SECOND: u64 = 500;
    /// Large clusters have servers to match.
    const LONGEST: u64 = 10_000;
    let options = &round.options;
    let tries = |kind, target| {
        let (flows, tries) = flows_and_tries(&round.roster, kind, target, options);
        (
            u64::from(flows),
            u64::from(flows) * u64::from(tries) * weight(kind),
        )
    };
    let to_each: u64 = KINDS
        .iter()
        .map(|kind| tries(*kind, Target::Agent(AgentIndex(0))).1)
        .sum();
    let mut asked: BTreeMap<Port, u64> = BTreeMap::new();
    let mut most_sent = 0;
    for (agent, source) in round
        .layout
        .sources()
        .filter(|(agent, _)| round.is_present(*agent))
    {
        let others = round.agents_tried_by(agent, source);
        let mut sent = others as u64 * to_each;
        let mut ask = |target, kind, times: usize| {
            let (flows, packets) = tries(kind, target);
            sent += packets * times as u64;
            if target != Target::Loopback {
                // A service's cells have one port, and meet at the same backends.
                let (_, port) = round.address(agent, target, kind);
                *asked.entry(port).or_default() += flows * times as u64;
            }
        };
        let services = round.layout.services(source).start..round.layout.all_node_ports(source).start;
        for cell in services {
            let (target, kind) = round.layout.asked(source.rank, cell - source.row.start);
            ask(target, kind, 1);
        }
        for (rank, (service, kind)) in round.layout.node_ports.iter().enumerate() {
            let (service, node) = (*service, NodeIndex(0));
            let times = round.node_ports_tried(source, rank);
            ask(Target::NodePort { service, node }, *kind, times);
        }
        most_sent = most_sent.max(sent);
    }
    let busiest = |counts: u64, per_second: u64| counts * 1_000 / per_second.max(1);
    let service = busiest(asked.into_values().max().unwrap_or(0), PER_SECOND).min(LONGEST);
    let agent = busiest(most_sent, options.pacing.packets_per_second.into());
    options
        .pacing
        .spread
        .max(Millis(u32::try_from(service.max(agent)).unwrap_or(u32::MAX)))
}

/// Packets that one try sends, about.
fn weight(kind: ProbeKind) -> u64 {
    match kind {
        ProbeKind::Icmp | ProbeKind::Udp | ProbeKind::DnsUdp => 1,
        ProbeKind::PathMtu => 2,
        // A handshake, the data and its acknowledgements, the end.
        ProbeKind::Tcp | ProbeKind::Tls | ProbeKind::DnsTcp => 8,
    }
}
