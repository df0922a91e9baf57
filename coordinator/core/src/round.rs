//! The planner: a roster becomes one plan per agent, and the list of cells that the plans will fill.

mod load;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mesh_proto::{
    AgentIndex, DnsQuestion, Expect, NodeName, Pacing, Plan, PlannedProbe, Port, ProbeId, ProbeKind,
    Protocol, TrafficPolicy,
};

use crate::{PlanOptions, Presence, Roster, RosterAgent};

/// A round: who asks whom what.
#[derive(Debug, Clone)]
pub struct Round {
    roster: Roster,
    cells: Vec<PlannedCell>,
    plans: Vec<Option<Plan>>,
    /// For each agent: which cell each of its probes fills.
    cell_of_probe: Vec<Vec<CellIndex>>,
}

/// A cell's place in [`Round::cells`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellIndex(pub usize);

/// A cell before it is observed.
#[derive(Debug, Clone)]
pub struct PlannedCell {
    /// Who probes.
    pub from: AgentIndex,
    /// What is probed.
    pub target: Target,
    /// How.
    pub kind: ProbeKind,
    /// Where, if it has an address.
    pub address: Option<IpAddr>,
    /// At which port; 0 where the probe has none.
    pub port: Port,
    /// Whether it is tried at all.
    pub effort: Effort,
}

/// What is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Another agent.
    Agent(AgentIndex),
    /// The agent's own loopback address.
    Loopback,
    /// The API server's service.
    Api,
    /// kube-dns's service.
    Dns {
        /// Asked by resolv.conf.
        as_application: bool,
    },
    /// An endpoint of kube-dns: its place in `Dns::endpoints`.
    DnsEndpoint(usize),
    /// A NodePort service (its place in `Cluster::node_ports`) on a node.
    NodePort {
        /// Which service.
        service: usize,
        /// On which node.
        node: NodeName,
    },
}

/// Whether a cell is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effort {
    /// The agent tries it.
    Tried,
    /// Silent by design, in words.
    Skipped(String),
    /// It cannot be tried, in words.
    Impossible(String),
}

impl Round {
    /// Plans a round: for every agent all others in all plane combinations, loopback, the API, DNS and NodePorts.
    pub fn plan(roster: Roster, options: &PlanOptions) -> Self {
        let mut cells = Vec::new();
        for (from, agent) in roster.indexed() {
            if matches!(agent.presence, Presence::Skipped { .. }) {
                continue;
            }
            let mut row = Row {
                roster: &roster,
                from,
                agent,
                cells: &mut cells,
            };
            row.agents();
            row.loopback();
            row.api();
            row.dns();
            row.node_ports();
        }
        let (plans, cell_of_probe) = plans(&roster, &cells, options);
        Self {
            roster,
            cells,
            plans,
            cell_of_probe,
        }
    }

    /// The roster that was planned for.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// All cells, tried or not.
    pub fn cells(&self) -> &[PlannedCell] {
        &self.cells
    }

    /// The nodes that the endpoints of a service stand on; none for what is no service.
    pub(crate) fn nodes_behind(&self, target: &Target) -> Vec<&NodeName> {
        let cluster = &self.roster.cluster;
        match target {
            Target::Dns { .. } => {
                let endpoints = cluster.dns.iter().flat_map(|dns| &dns.endpoints);
                endpoints.map(|endpoint| &endpoint.node).collect()
            }
            Target::Api => {
                let endpoints = cluster.api.iter().flat_map(|api| &api.endpoints);
                let nodes = endpoints.filter_map(|endpoint| self.roster.node_of_host_address(endpoint.ip()));
                nodes.collect()
            }
            Target::NodePort { service, .. } => {
                let backends = cluster.node_ports.get(*service).into_iter();
                backends
                    .flat_map(|offer| &offer.backends)
                    .map(|backend| &backend.node)
                    .collect()
            }
            Target::Agent(_) | Target::Loopback | Target::DnsEndpoint(_) => Vec::new(),
        }
    }

    /// What an agent has to do; `None` for one that is not present.
    pub fn plan_of(&self, agent: AgentIndex) -> Option<&Plan> {
        self.plans.get(usize::try_from(agent.0).ok()?)?.as_ref()
    }

    /// What each agent has to do.
    pub fn plans(&self) -> Vec<Option<Plan>> {
        self.plans.clone()
    }

    /// The cell that a probe of an agent fills; `None` if there is no such probe.
    pub fn cell_of(&self, agent: AgentIndex, probe: ProbeId) -> Option<CellIndex> {
        let probes = self.cell_of_probe.get(usize::try_from(agent.0).ok()?)?;
        probes.get(usize::try_from(probe.0).ok()?).copied()
    }
}

/// The cells of one source.
struct Row<'a> {
    roster: &'a Roster,
    from: AgentIndex,
    agent: &'a RosterAgent,
    cells: &'a mut Vec<PlannedCell>,
}

impl Row<'_> {
    fn push(&mut self, target: Target, kind: ProbeKind, address: Option<IpAddr>, port: Port, effort: Effort) {
        let effort = match (&self.agent.presence, effort) {
            (_, Effort::Skipped(why)) => Effort::Skipped(why),
            (Presence::Absent { why }, _) => Effort::Impossible(format!("no agent to probe from: {why}")),
            (_, effort) => effort,
        };
        self.cells.push(PlannedCell {
            from: self.from,
            target,
            kind,
            address,
            port,
            effort,
        });
    }

    fn agents(&mut self) {
        // An absent agent's port is not known from itself; all agents of a run have the same.
        let usual_port = self
            .roster
            .agents
            .iter()
            .find_map(|agent| agent.prepared().map(|p| p.responder_port));
        for (index, other) in self.roster.indexed() {
            if index == self.from || matches!(other.presence, Presence::Skipped { .. }) {
                continue;
            }
            let responder = other
                .prepared()
                .map(|prepared| prepared.responder_port)
                .or(usual_port);
            for kind in [
                ProbeKind::Icmp,
                ProbeKind::Tcp,
                ProbeKind::Udp,
                ProbeKind::PathMtu,
            ] {
                let port = if kind == ProbeKind::Icmp {
                    Port(0)
                } else {
                    responder.unwrap_or(Port(0))
                };
                let effort = match (&other.presence, other.address) {
                    (_, Some(_)) => Effort::Tried,
                    (Presence::Absent { why }, None) => {
                        Effort::Impossible(format!("it has no address: {why}"))
                    }
                    (_, None) => Effort::Impossible("its address is not known".to_owned()),
                };
                self.push(Target::Agent(index), kind, other.address, port, effort);
            }
        }
    }

    fn loopback(&mut self) {
        let address = match self.agent.address {
            Some(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            Some(IpAddr::V4(_)) | None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let own_port = self
            .agent
            .prepared()
            .map_or(Port(0), |prepared| prepared.responder_port);
        for kind in [ProbeKind::Icmp, ProbeKind::Tcp, ProbeKind::Udp] {
            let port = if kind == ProbeKind::Icmp {
                Port(0)
            } else {
                own_port
            };
            self.push(Target::Loopback, kind, Some(address), port, Effort::Tried);
        }
    }

    fn api(&mut self) {
        let Some(api) = &self.roster.cluster.api else {
            return;
        };
        for kind in [ProbeKind::Tcp, ProbeKind::Tls] {
            self.push(Target::Api, kind, Some(api.address), api.port, Effort::Tried);
        }
    }

    fn dns(&mut self) {
        const DOMAIN: Port = Port(53);
        let Some(dns) = &self.roster.cluster.dns else {
            return;
        };
        for kind in [ProbeKind::DnsUdp, ProbeKind::DnsTcp] {
            let target = Target::Dns {
                as_application: false,
            };
            self.push(target, kind, Some(dns.address), DOMAIN, Effort::Tried);
            for (number, endpoint) in dns.endpoints.iter().enumerate() {
                self.push(
                    Target::DnsEndpoint(number),
                    kind,
                    Some(endpoint.address),
                    dns.endpoint_port,
                    Effort::Tried,
                );
            }
        }
        // Only where resolv.conf names the cluster's DNS and nothing else: a node's own resolver is not under test.
        let asks_cluster = self.agent.prepared().is_some_and(|prepared| {
            !prepared.nameservers.is_empty()
                && prepared.nameservers.iter().all(|server| *server == dns.address)
        });
        if asks_cluster {
            let target = Target::Dns { as_application: true };
            self.push(
                target,
                ProbeKind::DnsUdp,
                Some(dns.address),
                DOMAIN,
                Effort::Tried,
            );
        }
    }

    fn node_ports(&mut self) {
        for (service, offer) in self.roster.cluster.node_ports.iter().enumerate() {
            let kind = match offer.protocol {
                Protocol::Tcp => ProbeKind::Tcp,
                Protocol::Udp => ProbeKind::Udp,
                Protocol::Icmp => continue,
            };
            for node in &self.roster.nodes {
                let host = self
                    .roster
                    .find(&node.name, mesh_proto::Plane::Host)
                    .and_then(|(_, agent)| agent.address);
                let has_backend = offer.backends.iter().any(|backend| backend.node == node.name);
                let effort = if offer.policy == TrafficPolicy::Local && !has_backend {
                    Effort::Skipped(
                        "externalTrafficPolicy Local and no backend on this node: silent by design".into(),
                    )
                } else if host.is_none() {
                    Effort::Skipped("the node's own address is not known".to_owned())
                } else {
                    Effort::Tried
                };
                let target = Target::NodePort {
                    service,
                    node: node.name.clone(),
                };
                self.push(target, kind, host, offer.port, effort);
            }
        }
    }
}

fn plans(
    roster: &Roster,
    cells: &[PlannedCell],
    options: &PlanOptions,
) -> (Vec<Option<Plan>>, Vec<Vec<CellIndex>>) {
    let pacing = Pacing {
        spread: load::spread(roster, cells, options),
        ..options.pacing
    };
    let mut plans: Vec<Option<Plan>> = roster
        .agents
        .iter()
        .map(|agent| {
            agent.prepared().map(|_| Plan {
                pacing,
                probes: Vec::new(),
            })
        })
        .collect();
    let mut cell_of_probe = vec![Vec::new(); roster.agents.len()];
    for (number, cell) in cells.iter().enumerate() {
        let Ok(row) = usize::try_from(cell.from.0) else {
            continue;
        };
        let (Effort::Tried, Some(address), Some(plan)) = (&cell.effort, cell.address, plans[row].as_mut())
        else {
            continue;
        };
        let id = ProbeId(u32::try_from(cell_of_probe[row].len()).unwrap_or(u32::MAX));
        plan.probes.push(probe(roster, cell, id, address, options));
        cell_of_probe[row].push(CellIndex(number));
    }
    // Each agent begins behind itself, so that not all of them fall upon the first node at once.
    for (row, plan) in plans.iter_mut().enumerate() {
        if let Some(plan) = plan {
            let begin = plan.probes.len() * row / roster.agents.len().max(1);
            plan.probes.rotate_left(begin);
        }
    }
    (plans, cell_of_probe)
}

fn probe(
    roster: &Roster,
    cell: &PlannedCell,
    id: ProbeId,
    address: IpAddr,
    options: &PlanOptions,
) -> PlannedProbe {
    let (flows, tries) = load::flows_and_tries(roster, cell, options);
    let expect = match cell.target {
        Target::Agent(index) => Expect::Agent(index),
        Target::Loopback => Expect::Agent(cell.from),
        Target::Api | Target::Dns { .. } | Target::DnsEndpoint(_) | Target::NodePort { .. } => Expect::Anyone,
    };
    let dns = match cell.target {
        Target::Dns { as_application } => Some(as_application),
        Target::DnsEndpoint(_) => Some(false),
        _ => None,
    };
    let name = roster
        .cluster
        .dns
        .as_ref()
        .map(|dns| dns.name.clone())
        .unwrap_or_default();
    PlannedProbe {
        id,
        kind: cell.kind,
        address,
        port: cell.port,
        expect,
        flows,
        tries,
        interval: options.interval,
        timeout: options.timeout,
        dns: dns.map(|as_application| DnsQuestion { name, as_application }),
    }
}

#[cfg(test)]
mod tests;
