//! How hard each cell is tried, and how far first packets are spread: gentle on services, which all agents ask at once.

use std::collections::BTreeMap;

use mesh_proto::{AgentIndex, Millis, Port, ProbeKind};

use super::{Effort, PlannedCell, Target};
use crate::{PlanOptions, Roster};

/// The number of cells grows with the square of the nodes, so above this many each is tried with fewer flows and tries:
/// what one pair does not show, many pairs do.
const LARGE: usize = 10;

fn is_large(roster: &Roster) -> bool {
    roster.nodes.len() > LARGE
}

/// Flows of a cell, and tries on each.
pub(super) fn flows_and_tries(roster: &Roster, cell: &PlannedCell, options: &PlanOptions) -> (u16, u16) {
    match (cell.kind, &cell.target) {
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
pub(super) fn spread(roster: &Roster, cells: &[PlannedCell], options: &PlanOptions) -> Millis {
    /// New connections and queries a second that a small server takes.
    const PER_SECOND: u64 = 500;
    /// Large clusters have servers to match.
    const LONGEST: u64 = 10_000;
    let mut asked: BTreeMap<Port, u64> = BTreeMap::new();
    let mut sent: BTreeMap<AgentIndex, u64> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| matches!(cell.effort, Effort::Tried)) {
        let (flows, tries) = flows_and_tries(roster, cell, options);
        *sent.entry(cell.from).or_default() += u64::from(flows) * u64::from(tries) * weight(cell.kind);
        if !matches!(cell.target, Target::Agent(_) | Target::Loopback) {
            // A service's cells have one port, and meet at the same backends.
            *asked.entry(cell.port).or_default() += u64::from(flows);
        }
    }
    let busiest = |counts: u64, per_second: u64| counts * 1_000 / per_second.max(1);
    let service = busiest(asked.into_values().max().unwrap_or(0), PER_SECOND).min(LONGEST);
    let agent = busiest(
        sent.into_values().max().unwrap_or(0),
        options.pacing.packets_per_second.into(),
    );
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
