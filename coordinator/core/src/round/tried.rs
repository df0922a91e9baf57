//! Which cells are tried: all between agents that are there, or, where not everybody probes everybody, those whose turn it is.

use mesh_proto::AgentIndex;

use super::layout::{KINDS, Source};
use super::{Round, Target};
use crate::{NodeIndex, Rotation};

impl Round {
    /// Whether the cells from an agent to a target have their turn in this look. Others are no part of it.
    pub(crate) fn is_in_turn(&self, from: AgentIndex, target: Target) -> bool {
        let Some(rotation) = &self.rotation else {
            return true;
        };
        let Some(source) = self.layout.source(from) else {
            return false;
        };
        let to = match target {
            Target::NodePort { node, .. } => Some(node),
            target => self.layout.ends(from, target).1,
        };
        to.is_none_or(|to| to == source.node || rotation.has(source.node, to))
    }

    /// Whose turn it is, where not everybody probes everybody.
    pub fn rotation(&self) -> Option<&Rotation> {
        self.rotation.as_ref()
    }

    /// How many cells of an agent have their turn, tried or not.
    pub(crate) fn in_turn_of(&self, agent: AgentIndex) -> usize {
        let Some(source) = self.layout.source(agent) else {
            return 0;
        };
        let Some(nodes) = self.nodes_in_turn(source) else {
            return source.row.len();
        };
        let others: usize = nodes.iter().map(|node| self.layout.agents_at(*node).len()).sum();
        KINDS.len() * (others - 1) + self.fixed_services(source) + self.layout.node_ports.len() * nodes.len()
    }

    /// How many of them are silent by design.
    pub(crate) fn skipped_by(&self, agent: AgentIndex) -> usize {
        let Some(source) = self.layout.source(agent) else {
            return 0;
        };
        let asked = (0..self.layout.node_ports.len()).map(|rank| self.node_ports_tried(source, rank));
        let nodes = match &self.rotation {
            Some(rotation) => 1 + rotation.count(),
            None => self.layout.nodes(),
        };
        asked.map(|tried| nodes - tried).sum()
    }

    /// The nodes that an agent has to do with in this look, its own among them; `None` for all.
    fn nodes_in_turn(&self, source: &Source) -> Option<Vec<NodeIndex>> {
        let peers = self.rotation.as_ref()?.peers_of(source.node);
        Some([source.node].into_iter().chain(peers).collect())
    }

    /// The places in an agent's row that have their turn, in order.
    pub(super) fn places_in_turn(&self, agent: AgentIndex, source: &Source) -> Vec<usize> {
        let layout = &self.layout;
        let begin = source.row.start;
        let Some(nodes) = self.nodes_in_turn(source) else {
            return (0..source.row.len()).collect();
        };
        let others = nodes.iter().flat_map(|node| layout.agents_at(*node));
        let cells = others.flat_map(|to| layout.between(agent, *to));
        let fixed = layout.services(source).start..layout.all_node_ports(source).start;
        let services = 0..layout.node_ports.len();
        let node_ports = services.flat_map(|rank| {
            let cells = nodes
                .iter()
                .filter_map(move |node| layout.node_port(source, rank, *node));
            cells.map(|cell| cell.0)
        });
        let mut places: Vec<usize> = cells
            .chain(fixed)
            .chain(node_ports)
            .map(|cell| cell - begin)
            .collect();
        places.sort_unstable();
        places
    }

    /// Whether the agent at the source of a cell tries it.
    pub(crate) fn is_tried(&self, from: AgentIndex, target: Target) -> bool {
        self.is_present(from)
            && self.is_in_turn(from, target)
            && match target {
                Target::Agent(to) => self.has_address(to),
                target => !self.is_skipped(target),
            }
    }

    /// How many cells are tried.
    pub(crate) fn all_tried(&self) -> usize {
        self.all_tried
    }

    /// How many cells an agent tries.
    pub fn tried_by(&self, agent: AgentIndex) -> usize {
        let Some(source) = self.layout.source(agent).filter(|_| self.is_present(agent)) else {
            return 0;
        };
        let node_ports = (0..self.layout.node_ports.len()).map(|rank| self.node_ports_tried(source, rank));
        KINDS.len() * self.agents_tried_by(agent, source)
            + self.fixed_services(source)
            + node_ports.sum::<usize>()
    }

    /// How many other agents an agent tries, if it is present.
    pub(super) fn agents_tried_by(&self, agent: AgentIndex, source: &Source) -> usize {
        let all = match self.nodes_in_turn(source) {
            None => self.tried.agents,
            Some(nodes) => {
                let agents = nodes.iter().flat_map(|node| self.layout.agents_at(*node));
                agents.filter(|agent| self.has_address(**agent)).count()
            }
        };
        all - usize::from(self.has_address(agent))
    }

    /// On how many nodes an agent asks for a NodePort service, by the service's place among those that have cells.
    pub(super) fn node_ports_tried(&self, source: &Source, rank: usize) -> usize {
        let service = self.layout.node_ports[rank].0;
        match self.nodes_in_turn(source) {
            None => self.tried.node_ports[rank],
            Some(nodes) => {
                let asked = nodes
                    .iter()
                    .filter(|node| self.why_silent(service, **node).is_none());
                asked.count()
            }
        }
    }

    /// How many services an agent asks, but for NodePorts.
    fn fixed_services(&self, source: &Source) -> usize {
        self.layout.services(source).len() - self.layout.all_node_ports(source).len()
    }
}
