//! Where the cells of a round lie: which cell has which number, and which number has which cell, without a list of them.
//!
//! A round numbers its cells source by source, in the order of the roster, and only agents that take part have any. The row
//! of a source is
//!
//! 1. to each other agent that takes part, in the order of the roster, one cell for each of [`KINDS`];
//! 2. loopback, the API, DNS and its endpoints, and DNS as an application asks for it, where it does;
//! 3. the NodePorts, service by service in the order of the nodes.
//!
//! Only the last cell of the second part differs between rows, so that all else is arithmetic. A layout of some of the nodes
//! only ([`Layout::within`]) numbers the cells between those in the same way.

use std::collections::HashMap;
use std::ops::Range;

use mesh_proto::{AgentIndex, NodeName, OverlayKind, Plane, ProbeKind, Protocol, TrafficPolicy};

use super::{CellIndex, Target};
use crate::{NodeIndex, Presence, Roster};

/// What each agent sends to each other.
pub(crate) const KINDS: [ProbeKind; 4] = [
    ProbeKind::Icmp,
    ProbeKind::Tcp,
    ProbeKind::Udp,
    ProbeKind::PathMtu,
];

/// An agent that takes part.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) node: NodeIndex,
    pub(crate) plane: Plane,
    /// Its cells.
    pub(crate) row: Range<usize>,
    /// How many agents that take part stand before it in the roster.
    pub(crate) rank: usize,
}

/// Who stands where, and where the cells of each lie.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// By agent; `None` for those that do not take part.
    sources: Vec<Option<Source>>,
    /// Agents that take part, by rank.
    by_rank: Vec<AgentIndex>,
    /// Where each row begins, by rank, and where the last one ends.
    starts: Vec<usize>,
    agents_at: Vec<Vec<AgentIndex>>,
    /// The nodes that have cells, in order.
    here: Vec<NodeIndex>,
    /// By node: how many of those stand before it, if it is one.
    column: Vec<Option<usize>>,
    by_name: HashMap<NodeName, NodeIndex>,
    /// The nodes of the API's endpoints, as far as they are known.
    pub(crate) api: Vec<NodeIndex>,
    pub(crate) dns: Vec<Option<NodeIndex>>,
    /// The nodes of each NodePort's backends, and whether a node asks its own only.
    pub(crate) backends: Vec<(Vec<NodeIndex>, bool)>,
    /// NodePort services that have cells, and how they are asked.
    pub(crate) node_ports: Vec<(usize, ProbeKind)>,
    pub(crate) encapsulated: Option<bool>,
    /// The second part of each row, but for its last cell.
    fixed: Vec<(Target, ProbeKind)>,
}

/// Services may go by nodes that have no cells in a layout. Where these are more, one of them says little.
const FEW_BACKENDS: usize = 16;

/// What a row ends with in its second part, where its agent asks so.
const AS_APPLICATION: (Target, ProbeKind) = (Target::Dns { as_application: true }, ProbeKind::DnsUdp);

impl Layout {
    pub(crate) fn new(roster: &Roster) -> Self {
        Self::within(roster, |_| true)
    }

    /// The layout of the cells whose ends stand on some of the nodes.
    pub(crate) fn within(roster: &Roster, is_here: impl Fn(NodeIndex) -> bool) -> Self {
        let cluster = &roster.cluster;
        let numbered = roster.nodes.iter().enumerate();
        let by_name: HashMap<NodeName, NodeIndex> = numbered
            .map(|(number, node)| (node.name.clone(), NodeIndex(number)))
            .collect();
        let node = |name: &NodeName| by_name.get(name).copied();
        let endpoints = cluster.api.iter().flat_map(|api| &api.endpoints);
        let api = endpoints.filter_map(|endpoint| node(roster.node_of_host_address(endpoint.ip())?));
        let dns = cluster.dns.iter().flat_map(|dns| &dns.endpoints);
        let backends = cluster.node_ports.iter().map(|offer| {
            let are_few = offer.backends.len() <= FEW_BACKENDS;
            let nodes = offer.backends.iter().filter_map(|backend| node(&backend.node));
            let nodes = nodes.filter(|node| are_few || is_here(*node));
            (nodes.collect(), offer.policy == TrafficPolicy::Local)
        });
        let node_ports = cluster
            .node_ports
            .iter()
            .enumerate()
            .filter_map(|(number, offer)| {
                let kind = match offer.protocol {
                    Protocol::Tcp => ProbeKind::Tcp,
                    Protocol::Udp => ProbeKind::Udp,
                    Protocol::Icmp => return None,
                };
                Some((number, kind))
            });
        let here: Vec<NodeIndex> = (0..roster.nodes.len())
            .map(NodeIndex)
            .filter(|node| is_here(*node))
            .collect();
        let mut column = vec![None; roster.nodes.len()];
        for (number, node) in here.iter().enumerate() {
            column[node.0] = Some(number);
        }
        let mut layout = Self {
            column,
            api: api.collect(),
            dns: dns.map(|endpoint| node(&endpoint.node)).collect(),
            backends: backends.collect(),
            node_ports: node_ports.collect(),
            encapsulated: cluster.overlay.map(|overlay| overlay.kind != OverlayKind::None),
            fixed: fixed(roster),
            agents_at: vec![Vec::new(); roster.nodes.len()],
            ..Self::default()
        };
        let standing: Vec<Option<(NodeIndex, Plane)>> = roster
            .agents
            .iter()
            .map(|agent| match agent.presence {
                Presence::Skipped { .. } => None,
                Presence::Present(_) | Presence::Absent { .. } => {
                    let node = node(&agent.key.node).filter(|node| is_here(*node))?;
                    Some((node, agent.key.plane))
                }
            })
            .collect();
        let taking_part = standing.iter().flatten().count();
        let usual = KINDS.len() * taking_part.saturating_sub(1)
            + layout.fixed.len()
            + layout.node_ports.len() * here.len();
        let mut begin = 0;
        for ((index, agent), place) in roster.indexed().zip(standing) {
            layout.sources.push(place.map(|(node, plane)| {
                let end = begin + usual + usize::from(asks_as_application(roster, agent));
                let source = Source {
                    node,
                    plane,
                    row: begin..end,
                    rank: layout.by_rank.len(),
                };
                layout.starts.push(begin);
                layout.by_rank.push(index);
                layout.agents_at[node.0].push(index);
                begin = end;
                source
            }));
        }
        layout.starts.push(begin);
        layout.here = here;
        layout.by_name = by_name;
        layout
    }

    /// How many cells there are.
    pub(crate) fn cells(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    pub(crate) fn node(&self, name: &NodeName) -> Option<NodeIndex> {
        self.by_name.get(name).copied()
    }

    /// How many nodes there are, whether they have cells or not.
    pub(crate) fn nodes(&self) -> usize {
        self.agents_at.len()
    }

    /// The nodes that have cells.
    pub(crate) fn here(&self) -> &[NodeIndex] {
        &self.here
    }

    fn node_port_cells(&self) -> usize {
        self.node_ports.len() * self.here.len()
    }

    pub(crate) fn source(&self, agent: AgentIndex) -> Option<&Source> {
        self.sources.get(usize::try_from(agent.0).ok()?)?.as_ref()
    }

    /// Agents that take part.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (AgentIndex, &Source)> {
        let numbered = (0..).map(AgentIndex).zip(&self.sources);
        numbered.filter_map(|(agent, source)| Some((agent, source.as_ref()?)))
    }

    /// How many agents take part.
    pub(crate) fn taking_part(&self) -> usize {
        self.by_rank.len()
    }

    pub(crate) fn agents_at(&self, node: NodeIndex) -> &[AgentIndex] {
        &self.agents_at[node.0]
    }

    /// How many cells of a row go to other agents.
    pub(crate) fn to_agents(&self) -> usize {
        KINDS.len() * self.by_rank.len().saturating_sub(1)
    }

    /// The rank of the source of a cell.
    pub(crate) fn rank_of(&self, CellIndex(cell): CellIndex) -> usize {
        debug_assert!(cell < self.cells(), "there is such a cell");
        // Rows are of one length, or one cell longer: the guess is too small by few.
        let longest = self.to_agents() + self.fixed.len() + 1 + self.node_port_cells();
        let mut rank = cell / longest;
        while self.starts[rank + 1] <= cell {
            rank += 1;
        }
        rank
    }

    /// The source of a cell, and its place in the row.
    pub(crate) fn locate(&self, cell: CellIndex) -> (AgentIndex, usize) {
        let rank = self.rank_of(cell);
        (self.by_rank[rank], cell.0 - self.starts[rank])
    }

    /// Who asks what in a cell, and how.
    pub(crate) fn what(&self, cell: CellIndex) -> (AgentIndex, Target, ProbeKind) {
        let rank = self.rank_of(cell);
        let (from, place) = (self.by_rank[rank], cell.0 - self.starts[rank]);
        let (target, kind) = self.asked(rank, place);
        (from, target, kind)
    }

    /// What the cell at a place of a row asks.
    pub(crate) fn asked(&self, rank: usize, place: usize) -> (Target, ProbeKind) {
        let agents = self.to_agents();
        if place < agents {
            let (other, kind) = (place / KINDS.len(), place % KINDS.len());
            let to = self.by_rank[other + usize::from(other >= rank)];
            return (Target::Agent(to), KINDS[kind]);
        }
        let length = self.starts[rank + 1] - self.starts[rank];
        let from_end = length - place;
        let node_ports = self.node_port_cells();
        if from_end > node_ports {
            return *self.fixed.get(place - agents).unwrap_or(&AS_APPLICATION);
        }
        let number = node_ports - from_end;
        let (service, kind) = self.node_ports[number / self.here.len()];
        let node = self.here[number % self.here.len()];
        (Target::NodePort { service, node }, kind)
    }

    /// The cells from an agent to another.
    pub(crate) fn between(&self, from: AgentIndex, to: AgentIndex) -> Range<usize> {
        let (Some(source), Some(target)) = (self.source(from), self.source(to)) else {
            return 0..0;
        };
        if from == to {
            return 0..0;
        }
        let place = target.rank - usize::from(source.rank < target.rank);
        let begin = source.row.start + KINDS.len() * place;
        begin..begin + KINDS.len()
    }

    /// The cells from an agent that ask services or loopback.
    pub(crate) fn services(&self, source: &Source) -> Range<usize> {
        source.row.start + self.to_agents()..source.row.end
    }

    /// Those of them that ask NodePorts.
    pub(crate) fn all_node_ports(&self, source: &Source) -> Range<usize> {
        source.row.end - self.node_port_cells()..source.row.end
    }

    /// The cell from an agent to a NodePort of a node that has cells; `rank` is the service's place among those that have.
    pub(crate) fn node_port(&self, source: &Source, rank: usize, on: NodeIndex) -> Option<CellIndex> {
        let column = self.column.get(on.0).copied().flatten()?;
        Some(CellIndex(
            self.all_node_ports(source).start + rank * self.here.len() + column,
        ))
    }

    /// Whether the cells from an agent to a target are of this layout.
    pub(crate) fn holds(&self, from: AgentIndex, target: Target) -> bool {
        self.source(from).is_some()
            && match target {
                Target::Agent(to) => self.source(to).is_some(),
                Target::NodePort { node, .. } => self.column[node.0].is_some(),
                _ => true,
            }
    }

    /// The number that a cell of this layout has in another one; `None` where it has none there.
    pub(crate) fn number_in(&self, other: &Self, cell: CellIndex) -> Option<CellIndex> {
        let rank = self.rank_of(cell);
        let place = cell.0 - self.starts[rank];
        let from = self.by_rank[rank];
        let source = other.source(from)?;
        let (target, _) = self.asked(rank, place);
        match target {
            Target::Agent(to) => {
                let cells = other.between(from, to);
                (!cells.is_empty()).then(|| CellIndex(cells.start + place % KINDS.len()))
            }
            Target::NodePort { service, node } => {
                let rank = self.node_ports.iter().position(|(of, _)| *of == service)?;
                other.node_port(source, rank, node)
            }
            _ => Some(CellIndex(other.services(source).start + place - self.to_agents())),
        }
    }

    /// The nodes that a cell's source and target stand on; the target's only where it is an agent.
    pub(crate) fn ends(&self, from: AgentIndex, target: Target) -> (Option<NodeIndex>, Option<NodeIndex>) {
        let node = |agent| self.source(agent).map(|source| source.node);
        let to = match target {
            Target::Agent(to) => node(to),
            _ => None,
        };
        (node(from), to)
    }
}

/// Loopback, the API, DNS.
fn fixed(roster: &Roster) -> Vec<(Target, ProbeKind)> {
    let mut fixed: Vec<(Target, ProbeKind)> = [ProbeKind::Icmp, ProbeKind::Tcp, ProbeKind::Udp]
        .map(|kind| (Target::Loopback, kind))
        .into();
    if roster.cluster.api.is_some() {
        fixed.extend([ProbeKind::Tcp, ProbeKind::Tls].map(|kind| (Target::Api, kind)));
    }
    if let Some(dns) = &roster.cluster.dns {
        for kind in [ProbeKind::DnsUdp, ProbeKind::DnsTcp] {
            let service = Target::Dns {
                as_application: false,
            };
            fixed.push((service, kind));
            fixed.extend((0..dns.endpoints.len()).map(|number| (Target::DnsEndpoint(number), kind)));
        }
    }
    fixed
}

/// Only where resolv.conf names the cluster's DNS and nothing else: a node's own resolver is not under test.
fn asks_as_application(roster: &Roster, agent: &crate::RosterAgent) -> bool {
    roster.cluster.dns.as_ref().is_some_and(|dns| {
        agent.prepared().is_some_and(|prepared| {
            !prepared.nameservers.is_empty()
                && prepared.nameservers.iter().all(|server| *server == dns.address)
        })
    })
}

#[cfg(test)]
mod tests;
