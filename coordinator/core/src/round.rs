//! The planner: a roster becomes one plan per agent, and the cells that the plans will fill. Neither is kept: which cell has
//! which number is arithmetic ([`layout`]), and everything about one is computed when it is asked for.

mod budget;
mod layout;
mod load;
mod plan;
mod tried;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mesh_proto::{
    AgentIndex, Millis, NodeName, Pacing, Plan, PlannedProbe, Port, ProbeId, ProbeKind, TrafficPolicy,
};

pub use self::budget::{Fitting, Shortage};
pub(crate) use self::layout::{KINDS, Layout, Source};
use crate::{NodeIndex, PlanOptions, Presence, Roster, RosterAgent, Rotation};

/// A round: who asks whom what.
#[derive(Debug, Clone)]
pub struct Round {
    roster: Roster,
    options: PlanOptions,
    layout: Layout,
    /// How far first packets are spread.
    spread: Millis,
    /// The responder's port of an agent that did not say its own: all agents of a run have the same.
    usual_port: Port,
    /// By node: where its NodePorts are asked.
    entries: Vec<Option<IpAddr>>,
    /// What is tried in each row, whichever agent's it is.
    tried: Tried,
    /// By agent: whether it can be asked to probe, and whether it can be probed.
    present: Vec<bool>,
    addressed: Vec<bool>,
    /// How many cells are tried.
    all_tried: usize,
    /// Whose turn it is, where not everybody probes everybody.
    rotation: Option<Rotation>,
}

/// How many targets a row tries.
#[derive(Debug, Clone, Default)]
struct Tried {
    /// Agents that take part and have an address.
    agents: usize,
    /// Nodes, by NodePort service that has cells.
    node_ports: Vec<usize>,
}

/// A cell's number in its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellIndex(pub usize);

/// A cell before it is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

/// What is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
        node: NodeIndex,
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

/// How a cell is to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Planned {
    pub(crate) flows: u32,
    /// On each flow.
    pub(crate) tries: u32,
}

impl Round {
    /// Plans a round: for every agent all others in all plane combinations, loopback, the API, DNS and NodePorts. An agent
    /// whose node is not in the roster takes no part.
    pub fn plan(roster: Roster, options: &PlanOptions) -> Self {
        let layout = Layout::new(&roster);
        let prepared = roster.agents.iter().find_map(RosterAgent::prepared);
        let mut entries = vec![None; roster.nodes.len()];
        let hosts = roster
            .agents
            .iter()
            .filter(|agent| agent.key.plane == mesh_proto::Plane::Host);
        for host in hosts.rev() {
            if let Some(node) = layout.node(&host.key.node) {
                entries[node.0] = host.address;
            }
        }
        let rotation = options
            .peers
            .and_then(|peers| Rotation::new(&roster.nodes, peers));
        let mut round = Self {
            usual_port: prepared.map_or(Port(0), |prepared| prepared.responder_port),
            spread: Millis(0),
            tried: Tried::default(),
            present: roster
                .agents
                .iter()
                .map(|agent| agent.prepared().is_some())
                .collect(),
            addressed: roster
                .agents
                .iter()
                .map(|agent| agent.address.is_some())
                .collect(),
            options: options.clone(),
            roster,
            layout,
            entries,
            all_tried: 0,
            rotation,
        };
        let addressed = round
            .layout
            .sources()
            .filter(|(agent, _)| round.has_address(*agent));
        round.tried.agents = addressed.count();
        let nodes = || (0..round.layout.nodes()).map(NodeIndex);
        let services = round.layout.node_ports.iter();
        round.tried.node_ports = services
            .map(|(service, _)| {
                nodes()
                    .filter(|node| round.why_silent(*service, *node).is_none())
                    .count()
            })
            .collect();
        round.spread = load::spread(&round);
        let agents = round.roster.indexed();
        round.all_tried = agents.map(|(agent, _)| round.tried_by(agent)).sum();
        round
    }

    /// The roster that was planned for.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Where the cells lie.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many cells there are, tried or not.
    pub fn cell_count(&self) -> usize {
        self.layout.cells()
    }

    /// All cells in order, tried or not.
    pub fn cells(&self) -> impl Iterator<Item = PlannedCell> {
        (0..self.cell_count()).map(|cell| self.cell(CellIndex(cell)))
    }

    /// A cell by its number, which must be one of this round.
    pub fn cell(&self, cell: CellIndex) -> PlannedCell {
        let (from, target, kind) = self.layout.what(cell);
        let (address, port) = self.address(from, target, kind);
        PlannedCell {
            from,
            target,
            kind,
            address,
            port,
        }
    }

    fn address(&self, from: AgentIndex, target: Target, kind: ProbeKind) -> (Option<IpAddr>, Port) {
        const DOMAIN: Port = Port(53);
        let cluster = &self.roster.cluster;
        let responder = |agent: &RosterAgent, unknown: Port| match kind {
            ProbeKind::Icmp => Port(0),
            _ => agent
                .prepared()
                .map_or(unknown, |prepared| prepared.responder_port),
        };
        match target {
            Target::Agent(to) => self.roster.agent(to).map_or((None, Port(0)), |agent| {
                (agent.address, responder(agent, self.usual_port))
            }),
            Target::Loopback => {
                let agent = self.roster.agent(from);
                let address = match agent.and_then(|agent| agent.address) {
                    Some(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
                    Some(IpAddr::V4(_)) | None => IpAddr::V4(Ipv4Addr::LOCALHOST),
                };
                (
                    Some(address),
                    agent.map_or(Port(0), |agent| responder(agent, Port(0))),
                )
            }
            Target::Api => cluster
                .api
                .as_ref()
                .map_or((None, Port(0)), |api| (Some(api.address), api.port)),
            Target::Dns { .. } => (cluster.dns.as_ref().map(|dns| dns.address), DOMAIN),
            Target::DnsEndpoint(number) => {
                let dns = cluster.dns.as_ref();
                let endpoint = dns.and_then(|dns| dns.endpoints.get(number));
                (
                    endpoint.map(|endpoint| endpoint.address),
                    dns.map_or(DOMAIN, |dns| dns.endpoint_port),
                )
            }
            Target::NodePort { service, node } => {
                let port = cluster
                    .node_ports
                    .get(service)
                    .map_or(Port(0), |offer| offer.port);
                (self.entries[node.0], port)
            }
        }
    }

    /// Whether a cell is tried, and else why not.
    pub fn effort(&self, cell: CellIndex) -> Effort {
        let (from, target, _) = self.layout.what(cell);
        if !self.is_in_turn(from, target) {
            return Effort::Impossible("it has its turn in another look".to_owned());
        }
        let effort = match target {
            Target::Agent(to) => self.effort_towards(to),
            Target::NodePort { service, node } => match self.why_silent(service, node) {
                Some(why) => return Effort::Skipped(why.to_owned()),
                None => Effort::Tried,
            },
            Target::Loopback | Target::Api | Target::Dns { .. } | Target::DnsEndpoint(_) => Effort::Tried,
        };
        match self.roster.agent(from).map(|agent| &agent.presence) {
            Some(Presence::Absent { why }) => Effort::Impossible(format!("no agent to probe from: {why}")),
            _ => effort,
        }
    }

    fn effort_towards(&self, to: AgentIndex) -> Effort {
        let Some(agent) = self.roster.agent(to) else {
            return Effort::Impossible("nobody stands there".to_owned());
        };
        match (&agent.presence, agent.address) {
            (_, Some(_)) => Effort::Tried,
            (Presence::Absent { why }, None) => Effort::Impossible(format!("it has no address: {why}")),
            (_, None) => Effort::Impossible("its address is not known".to_owned()),
        }
    }

    /// Why nobody asks a node for a NodePort, where it is so.
    fn why_silent(&self, service: usize, node: NodeIndex) -> Option<&'static str> {
        let offer = self.roster.cluster.node_ports.get(service)?;
        let has_backend = || self.layout.backends[service].0.contains(&node);
        if offer.policy == TrafficPolicy::Local && !has_backend() {
            Some("externalTrafficPolicy Local and no backend on this node: silent by design")
        } else if self.entries[node.0].is_none() {
            Some("the node's own address is not known")
        } else {
            None
        }
    }

    /// Whether a cell is silent by design.
    pub(crate) fn is_skipped(&self, target: Target) -> bool {
        matches!(target, Target::NodePort { service, node } if self.why_silent(service, node).is_some())
    }

    fn is_present(&self, agent: AgentIndex) -> bool {
        self.present.get(agent.0 as usize).copied().unwrap_or(false)
    }

    fn has_address(&self, agent: AgentIndex) -> bool {
        self.addressed.get(agent.0 as usize).copied().unwrap_or(false)
    }

    /// The probe that fills a cell, and its agent; `None` if the cell is not tried.
    pub(crate) fn probe_of(&self, cell: CellIndex) -> Option<(AgentIndex, PlannedProbe)> {
        let (from, place) = self.layout.locate(cell);
        let rank = self.layout.source(from)?.rank;
        Some((from, plan::probe(self, from, rank, place)?))
    }

    /// How a cell is to be tried, at least once.
    pub(crate) fn planned(&self, from: AgentIndex, target: Target, kind: ProbeKind) -> Planned {
        if !self.is_tried(from, target) {
            return Planned { flows: 1, tries: 1 };
        }
        let (flows, tries) = load::flows_and_tries(&self.roster, kind, target, &self.options);
        Planned {
            flows: u32::from(flows).max(1),
            tries: u32::from(tries).max(1),
        }
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
                let nodes = self.layout.api.iter();
                nodes.map(|node| self.roster.node_name(*node)).collect()
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

    /// What an agent has to do; `None` for one that is not present. It is made each time.
    pub fn plan_of(&self, agent: AgentIndex) -> Option<Plan> {
        plan::plan(self, agent)
    }

    /// How agents send.
    pub(crate) fn pacing(&self) -> Pacing {
        Pacing {
            spread: self.spread,
            ..self.options.pacing
        }
    }

    /// The cells of an agent that ask NodePorts and are tried, and the probes that fill them, in order.
    pub(crate) fn tried_node_ports(&self, agent: AgentIndex) -> impl Iterator<Item = (CellIndex, ProbeId)> {
        let source = self.layout.source(agent).into_iter();
        source.flat_map(move |source| {
            self.layout.all_node_ports(source).filter_map(move |cell| {
                let place = cell - source.row.start;
                let (target, _) = self.layout.asked(source.rank, place);
                let id = ProbeId(u32::try_from(place).ok()?);
                self.is_tried(agent, target).then_some((CellIndex(cell), id))
            })
        })
    }

    /// A probe of an agent by its number; `None` if there is no such probe.
    pub fn probe(&self, agent: AgentIndex, id: ProbeId) -> Option<PlannedProbe> {
        self.probe_of(self.cell_of(agent, id)?).map(|(_, probe)| probe)
    }

    /// The cell that a probe of an agent fills; `None` if there is no such probe.
    pub fn cell_of(&self, agent: AgentIndex, probe: ProbeId) -> Option<CellIndex> {
        let source = self.layout.source(agent)?;
        let place = usize::try_from(probe.0).ok()?;
        let cell = CellIndex(source.row.start.checked_add(place)?);
        let (target, _) = source
            .row
            .contains(&cell.0)
            .then(|| self.layout.asked(source.rank, place))?;
        self.is_tried(agent, target).then_some(cell)
    }
}

#[cfg(test)]
mod tests;
