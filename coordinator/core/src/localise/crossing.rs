//! Which cells cross a place, found without a look at those that cannot.

use std::collections::BTreeMap;

use mesh_proto::{AgentIndex, Plane, ProbeKind};

use super::family::{Family, Filter, Scope};
use super::hypothesis::Hypothesis;
use super::model::Model;
use super::path::{parts, parts_between};
use super::symptom::protocol_of;
use crate::NodeIndex;
use crate::round::{CellIndex, Layout, Source, Target};

impl Model<'_> {
    /// The cells that cross a place, and whether each must.
    pub(crate) fn crossing(&self, place: &Hypothesis) -> BTreeMap<CellIndex, bool> {
        let mut cells = BTreeMap::new();
        self.each_crossing(place, |cell, certain| {
            cells.insert(cell, certain);
        });
        cells
    }

    /// Whether a cell crosses a place; then whether it must.
    pub(super) fn crosses(&self, cell: CellIndex, place: &Hypothesis) -> Option<bool> {
        let asking = &self.asking[cell.0];
        if !self.passes(cell, place.filter) {
            return None;
        }
        crosses(&self.layout, asking.from, asking.target, place)
    }

    /// Calls for each cell that crosses a place, with whether it must; each once, in any order.
    pub(super) fn each_crossing(&self, place: &Hypothesis, mut call: impl FnMut(CellIndex, bool)) {
        self.each_near(place, |cell| {
            if let Some(certain) = self.crosses(cell, place) {
                call(cell, certain);
            }
        });
    }

    /// Calls for each cell between agents that must cross a place, each once.
    pub(super) fn each_between_agents(&self, place: &Hypothesis, mut call: impl FnMut(CellIndex)) {
        let layout = &self.layout;
        let mut look = |from: AgentIndex, to: AgentIndex| {
            let (Some(source), Some(target)) = (layout.source(from), layout.source(to)) else {
                return;
            };
            let mut must = false;
            let ends = ((source.node, source.plane), (target.node, target.plane));
            parts_between(layout, ends.0, ends.1, |part, certain| {
                must = must || certain && part.family == place.family && part.is_in(&place.scope, place.init);
            });
            if must {
                let cells = layout.between(from, to).map(CellIndex);
                cells
                    .filter(|cell| self.passes(*cell, place.filter))
                    .for_each(&mut call);
            }
        };
        match &place.scope {
            Scope::Node(node) => {
                for here in layout.agents_at(*node) {
                    for (other, of) in layout.sources() {
                        look(*here, other);
                        if of.node != *node {
                            look(other, *here);
                        }
                    }
                }
            }
            Scope::Pair(a, b) => {
                for (here, there) in layout
                    .agents_at(*a)
                    .iter()
                    .flat_map(|here| layout.agents_at(*b).iter().map(move |there| (here, there)))
                {
                    look(*here, *there);
                    look(*there, *here);
                }
            }
            Scope::OwnNode | Scope::OtherNodes | Scope::Group(_) | Scope::Cluster => {
                for (from, _) in layout.sources() {
                    for (to, _) in layout.sources() {
                        look(from, to);
                    }
                }
            }
        }
    }

    /// Calls for each cell that could cross a place, each once.
    fn each_near(&self, place: &Hypothesis, mut call: impl FnMut(CellIndex)) {
        let layout = &self.layout;
        let reach = Reach::of(place.family);
        let (first, second) = match place.scope {
            Scope::Node(node) => (node, None),
            Scope::Pair(a, b) => (a, Some(b)),
            Scope::OwnNode | Scope::OtherNodes | Scope::Group(_) | Scope::Cluster => {
                for (_, source) in layout.sources() {
                    let (services, node_ports) = (layout.services(source), layout.all_node_ports(source));
                    let parts = [
                        (reach.agents, source.row.start..services.start),
                        (reach.fixed, services.start..node_ports.start),
                        (reach.node_ports, node_ports),
                    ];
                    let reached = parts.into_iter().filter(|(reached, _)| *reached);
                    reached.for_each(|(_, cells)| cells.map(CellIndex).for_each(&mut call));
                }
                return;
            }
        };
        let is_end = |node: NodeIndex| node == first || Some(node) == second;
        let serves = |nodes: &[NodeIndex]| reach.endpoints && nodes.iter().any(|node| is_end(*node));
        let endpoints = || layout.dns.iter().flatten().copied().collect::<Vec<_>>();
        let serves_others = serves(&layout.api) || serves(&endpoints());
        let ends: Vec<NodeIndex> = [Some(first), second].into_iter().flatten().collect();
        let may_be_anywhere = serves_others || layout.backends.iter().any(|(nodes, _)| serves(nodes));
        let anywhere = second.is_none() || may_be_anywhere;
        for (_, source) in layout.sources() {
            let from_end = is_end(source.node);
            if !anywhere && !from_end {
                continue;
            }
            let (services, node_ports) = (layout.services(source), layout.all_node_ports(source));
            if reach.agents {
                if second.is_none() && from_end {
                    (source.row.start..services.start)
                        .map(CellIndex)
                        .for_each(&mut call);
                } else {
                    // Between the ends of a pair; to a node from anywhere.
                    let targets = ends
                        .iter()
                        .filter(|node| second.is_none() || from_end && **node != source.node);
                    for target in targets.flat_map(|node| layout.agents_at(*node)) {
                        let cells = layout.between(self.agent_of(source), *target);
                        cells.map(CellIndex).for_each(&mut call);
                    }
                }
            }
            if reach.fixed && (from_end || serves_others) {
                (services.start..node_ports.start)
                    .map(CellIndex)
                    .for_each(&mut call);
            }
            for (rank, (service, _)) in layout.node_ports.iter().enumerate().filter(|_| reach.node_ports) {
                let (backends, is_local) = &layout.backends[*service];
                // By the policy Local another node's endpoints serve nobody but a client that asks its own node.
                let own = Some(source.node).filter(|_| serves(backends) && *is_local && !from_end);
                let entries = if from_end || serves(backends) && !is_local {
                    layout.here()
                } else {
                    &ends
                };
                let entries = entries.iter().copied().chain(own);
                entries
                    .filter_map(|on| layout.node_port(source, rank, on))
                    .for_each(&mut call);
            }
        }
    }

    /// The cells that must cross a place between two nodes, if any does.
    pub(super) fn each_sure_of_pair(&self, place: &Hypothesis, mut call: impl FnMut(CellIndex)) {
        let Scope::Pair(a, b) = place.scope else { return };
        self.each_between_agents(place, &mut call);
        for (from, to) in [(a, b), (b, a)] {
            let sources = self.layout.agents_at(from).iter();
            for source in sources.filter_map(|agent| self.layout.source(*agent)) {
                let ranks = 0..self.layout.node_ports.len();
                ranks
                    .filter_map(|rank| self.layout.node_port(source, rank, to))
                    .filter(|cell| self.crosses(*cell, place) == Some(true))
                    .for_each(&mut call);
            }
        }
    }

    fn agent_of(&self, source: &Source) -> AgentIndex {
        self.asking[source.row.start].from
    }

    fn passes(&self, cell: CellIndex, filter: Filter) -> bool {
        let asking = &self.asking[cell.0];
        passes(asking.kind, asking.plane, filter)
    }
}

/// Which cells can cross parts of a family at all.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "which of the parts of a row, each by itself"
)]
struct Reach {
    agents: bool,
    /// Loopback, the API, DNS.
    fixed: bool,
    node_ports: bool,
    /// Wherever the endpoints of a service stand; else only where its client or its entry does.
    endpoints: bool,
}

impl Reach {
    fn of(family: Family) -> Self {
        let (agents, fixed, node_ports, endpoints) = match family {
            Family::Wire
            | Family::Bare
            | Family::Overlay
            | Family::Forward
            | Family::Routes
            | Family::Local
            | Family::Agent(_) => (true, true, true, true),
            Family::Between(..) => (true, false, false, false),
            Family::DnsAll
            | Family::DnsEndpoint(_)
            | Family::DnsService
            | Family::ApiService
            | Family::Loopback => (false, true, false, false),
            Family::NodePort(_) | Family::AnyNodePort => (false, false, true, false),
            Family::Rules => (false, true, true, false),
        };
        Self {
            agents,
            fixed,
            node_ports,
            endpoints,
        }
    }
}

/// Whether what goes from an agent to a target crosses a place, whatever it is asked by; then whether it must.
pub(super) fn crosses(layout: &Layout, from: AgentIndex, target: Target, place: &Hypothesis) -> Option<bool> {
    let mut crosses = None;
    parts(layout, from, target, |part, certain| {
        if part.family == place.family && crosses != Some(true) && part.is_in(&place.scope, place.init) {
            crosses = Some(certain);
        }
    });
    crosses
}

/// Whether a place hits what is asked so from a plane.
pub(super) fn passes(kind: ProbeKind, from: Plane, filter: Filter) -> bool {
    let protocol = filter.protocol;
    protocol.is_none_or(|protocol| protocol_of(kind) == protocol)
        && filter.from.is_none_or(|plane| from == plane)
}
