//! How hard each cell is tried, and how far first packets are spread: gentle on services, which all agents ask at once.

use std::collections::BTreeMap;

use mesh_proto::{Millis, Port, ProbeKind};

use super::{Effort, PlannedCell, Target};
use crate::{PlanOptions, Roster};

/// Every agent tries a NodePort on every node, and all of that meets at a few backends: above this many nodes one flow
/// each has to do.
const LARGE: usize = 10;

fn is_large(roster: &Roster) -> bool {
    roster.nodes.len() > LARGE
}

/// Flows of a cell, and tries on each.
pub(super) fn flows_and_tries(roster: &Roster, cell: &PlannedCell, options: &PlanOptions) -> (u16, u16) {
    match (cell.kind, &cell.target) {
        (ProbeKind::Icmp, _) => (1, options.icmp_tries),
        (ProbeKind::Udp, Target::NodePort { .. }) if is_large(roster) => (1, options.udp_tries),
        (ProbeKind::Tcp, Target::NodePort { .. }) if is_large(roster) => (1, 1),
        (ProbeKind::Udp, _) => (options.udp_flows, options.udp_tries),
        (ProbeKind::Tcp, _) => (options.tcp_flows, 1),
        (ProbeKind::Tls, _) => (options.tls_flows, 1),
        (ProbeKind::PathMtu, _) => (1, options.path_mtu_tries),
        (ProbeKind::DnsUdp | ProbeKind::DnsTcp, Target::Dns { as_application: true }) => (1, 1),
        (ProbeKind::DnsUdp | ProbeKind::DnsTcp, Target::DnsEndpoint(_)) => (options.dns_endpoint_flows, 1),
        (ProbeKind::DnsUdp | ProbeKind::DnsTcp, _) => (options.dns_flows, 1),
    }
}

/// How long first packets must be spread so that no service is asked faster than a small server can answer.
pub(super) fn gentle_spread(roster: &Roster, cells: &[PlannedCell], options: &PlanOptions) -> Millis {
    /// New connections and queries a second that a single-threaded server takes which starts a process for each.
    const PER_SECOND: u64 = 400;
    /// Large clusters have servers to match.
    const LONGEST: u64 = 5_000;
    let mut asked: BTreeMap<Port, u64> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| matches!(cell.effort, Effort::Tried)) {
        if !matches!(cell.target, Target::Agent(_) | Target::Loopback) {
            let (flows, tries) = flows_and_tries(roster, cell, options);
            // A service's cells have one port, and meet at the same backends.
            *asked.entry(cell.port).or_default() += u64::from(flows) * u64::from(tries);
        }
    }
    let busiest = asked.into_values().max().unwrap_or(0);
    Millis(u32::try_from((busiest * 1_000 / PER_SECOND).min(LONGEST)).unwrap_or(0))
}
