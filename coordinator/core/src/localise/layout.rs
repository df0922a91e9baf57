//! Where the cells of a round lie, and who stands where: cells of two nodes are found without a look at all the others.
//!
//! A round lists its cells source by source: those to other agents in the roster's order, then those to loopback and
//! services, NodePorts last, service by service in the order of the nodes.

use std::collections::HashMap;
use std::ops::Range;

use mesh_proto::{AgentIndex, NodeName, OverlayKind, Plane, Protocol, TrafficPolicy};

use crate::matrix::Matrix;
use crate::round::{CellIndex, PlannedCell, Target};
use crate::{NodeIndex, Presence};

/// How many kinds of probe each agent sends to each other: ICMP, TCP, UDP, path MTU.
pub(super) const KINDS: usize = 4;

/// An agent that takes part.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) node: NodeIndex,
    pub(super) plane: Plane,
    /// Its cells.
    pub(super) row: Range<usize>,
    /// How many agents that take part stand before it in the roster.
    rank: usize,
}

/// Who stands where.
#[derive(Debug, Default)]
pub(super) struct Layout<'a> {
    /// By agent; `None` for those that do not take part.
    sources: Vec<Option<Source>>,
    /// How many agents take part.
    taking_part: usize,
    agents_at: Vec<Vec<AgentIndex>>,
    by_name: HashMap<&'a NodeName, NodeIndex>,
    /// The nodes of the API's endpoints, as far as they are known.
    pub(super) api: Vec<NodeIndex>,
    pub(super) dns: Vec<Option<NodeIndex>>,
    /// The nodes of each NodePort's backends, and whether a node asks its own only.
    pub(super) backends: Vec<(Vec<NodeIndex>, bool)>,
    /// NodePort services that have cells.
    pub(super) node_ports: Vec<usize>,
    pub(super) encapsulated: Option<bool>,
}

impl<'a> Layout<'a> {
    pub(super) fn new(matrix: &'a Matrix) -> Self {
        let roster = matrix.round().roster();
        let cluster = &roster.cluster;
        let by_name: HashMap<&NodeName, NodeIndex> = roster
            .nodes
            .iter()
            .enumerate()
            .map(|(number, node)| (&node.name, NodeIndex(number)))
            .collect();
        let node = |name: &NodeName| by_name.get(name).copied();
        let cells = matrix.round().cells();
        let mut agents_at = vec![Vec::new(); roster.nodes.len()];
        let mut sources = Vec::with_capacity(roster.agents.len());
        let (mut begin, mut rank) = (0, 0);
        for (index, agent) in roster.indexed() {
            if matches!(agent.presence, Presence::Skipped { .. }) {
                sources.push(None);
                continue;
            }
            let end = begin + cells[begin..].partition_point(|cell| cell.from <= index);
            sources.push(node(&agent.key.node).map(|node| Source {
                node,
                plane: agent.key.plane,
                row: begin..end,
                rank,
            }));
            if let Some(node) = node(&agent.key.node) {
                agents_at[node.0].push(index);
            }
            (begin, rank) = (end, rank + 1);
        }
        let endpoints = cluster.api.iter().flat_map(|api| &api.endpoints);
        let api = endpoints.filter_map(|endpoint| node(roster.node_of_host_address(endpoint.ip())?));
        let dns = cluster.dns.iter().flat_map(|dns| &dns.endpoints);
        let offers = cluster.node_ports.iter().enumerate();
        Self {
            api: api.collect(),
            dns: dns.map(|endpoint| node(&endpoint.node)).collect(),
            backends: cluster
                .node_ports
                .iter()
                .map(|offer| {
                    let nodes = offer.backends.iter().filter_map(|backend| node(&backend.node));
                    (nodes.collect(), offer.policy == TrafficPolicy::Local)
                })
                .collect(),
            node_ports: offers
                .filter(|(_, offer)| offer.protocol != Protocol::Icmp)
                .map(|(number, _)| number)
                .collect(),
            encapsulated: cluster.overlay.map(|overlay| overlay.kind != OverlayKind::None),
            sources,
            taking_part: rank,
            agents_at,
            by_name,
        }
    }

    pub(super) fn node(&self, name: &NodeName) -> Option<NodeIndex> {
        self.by_name.get(name).copied()
    }

    pub(super) fn nodes(&self) -> usize {
        self.agents_at.len()
    }

    pub(super) fn source(&self, agent: AgentIndex) -> Option<&Source> {
        self.sources.get(usize::try_from(agent.0).ok()?)?.as_ref()
    }

    /// Agents that take part.
    pub(super) fn sources(&self) -> impl Iterator<Item = (AgentIndex, &Source)> {
        let numbered = (0..).map(AgentIndex).zip(&self.sources);
        numbered.filter_map(|(agent, source)| Some((agent, source.as_ref()?)))
    }

    pub(super) fn agents_at(&self, node: NodeIndex) -> &[AgentIndex] {
        &self.agents_at[node.0]
    }

    /// The cells from an agent to another.
    pub(super) fn between(&self, from: AgentIndex, to: AgentIndex) -> Range<usize> {
        let (Some(source), Some(target)) = (self.source(from), self.source(to)) else {
            return 0..0;
        };
        if from == to {
            return 0..0;
        }
        let place = target.rank - usize::from(source.rank < target.rank);
        let begin = source.row.start + KINDS * place;
        begin..begin + KINDS
    }

    /// The cells from an agent that ask services or loopback.
    pub(super) fn services(&self, source: &Source) -> Range<usize> {
        source.row.start + KINDS * (self.taking_part - 1)..source.row.end
    }

    /// Those of them that ask NodePorts.
    pub(super) fn all_node_ports(&self, source: &Source) -> Range<usize> {
        source.row.end - self.node_ports.len() * self.nodes()..source.row.end
    }

    /// The cell from an agent to a NodePort of a node; `rank` is the service's place among those that have cells.
    pub(super) fn node_port(&self, source: &Source, rank: usize, on: NodeIndex) -> CellIndex {
        CellIndex(self.all_node_ports(source).start + rank * self.nodes() + on.0)
    }

    /// The nodes that a cell's source and target stand on; the target's only where it is an agent.
    pub(super) fn ends(&self, cell: &PlannedCell) -> (Option<NodeIndex>, Option<NodeIndex>) {
        let node = |agent| self.source(agent).map(|source| source.node);
        let to = match cell.target {
            Target::Agent(to) => node(to),
            _ => None,
        };
        (node(cell.from), to)
    }
}
