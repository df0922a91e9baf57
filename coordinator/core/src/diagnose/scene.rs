//! What signatures look at: a place that is at fault, the cells that it explains, what their kernels say, and what the
//! second look brought.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mesh_proto::{Ask, HopAnswer, HostFacts, IcmpError, NodeName, Plane, Reason, Seen, Where};

use super::direction;
use super::evidence::icmp;
use super::icmp_error::{Meaning, meaning};
use super::place::{node_name, place};
use crate::localise::{Hypothesis, Init, Model, Pick, Scope};
use crate::netfilter::Stop;
use crate::round::{CellIndex, Target};
use crate::{Cluster, NodeIndex, Roster};

/// One place, and everything known about it.
pub(super) struct Scene<'a> {
    pub(super) model: &'a Model<'a>,
    pub(super) pick: &'a Pick,
    pub(super) hypothesis: &'a Hypothesis,
    /// Where it is, in the report's terms, as the cells and the receive counters tell.
    pub(super) place: Where,
    /// Between two nodes only one direction loses.
    pub(super) one_way: bool,
}

impl<'a> Scene<'a> {
    pub(super) fn new(model: &'a Model<'a>, pick: &'a Pick, hypothesis: &'a Hypothesis) -> Self {
        let mut place = place(model, hypothesis);
        let mut one_way = false;
        if hypothesis.init == Init::Both {
            match &hypothesis.scope {
                Scope::Node(node) => place.direction = direction::around(model, &pick.explains, *node),
                Scope::Pair(a, b) => {
                    let names = (node_name(model, *a), node_name(model, *b));
                    let lossy = direction::between(model, &pick.explains, *a, *b);
                    one_way = lossy.0 != lossy.1;
                    if lossy == (false, true) {
                        place.pairs = vec![(names.1, names.0)];
                    }
                }
                _ => {}
            }
        }
        Self {
            model,
            pick,
            hypothesis,
            place,
            one_way,
        }
    }

    pub(super) fn roster(&self) -> &'a Roster {
        self.model.matrix.round().roster()
    }

    pub(super) fn cluster(&self) -> &'a Cluster {
        &self.roster().cluster
    }

    /// All nodes that are looked at.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeIndex> + use<'a> {
        self.model.nodes_here().iter().copied()
    }

    /// The nodes that may be at fault.
    pub(super) fn suspects(&self) -> Vec<NodeIndex> {
        match &self.hypothesis.scope {
            // Of two nodes either may be at fault: everything that one of them breaks breaks between both.
            Scope::Node(_) if self.roster().nodes.len() == 2 => self.nodes().collect(),
            Scope::Node(node) => vec![*node],
            Scope::Pair(a, b) => vec![*a, *b],
            // What cuts a set of nodes off from the others may stand on either side.
            Scope::Group(_) | Scope::OwnNode | Scope::OtherNodes | Scope::Cluster => self.nodes().collect(),
        }
    }

    /// Nodes that a suspect is compared with, healthy as far as this place goes; all others where none is.
    pub(super) fn others(&self, node: NodeIndex) -> Vec<NodeIndex> {
        let suspects = self.suspects();
        let healthy: Vec<NodeIndex> = self.nodes().filter(|other| !suspects.contains(other)).collect();
        if healthy.is_empty() {
            self.nodes().filter(|other| *other != node).collect()
        } else {
            healthy
        }
    }

    /// The nodes that a suspect talks to through the place: the other end of a pair, else all others.
    pub(super) fn peers(&self, node: NodeIndex) -> Vec<NodeIndex> {
        match self.pair() {
            Some((a, b)) => vec![if a == node { b } else { a }],
            None => self.nodes().filter(|other| *other != node).collect(),
        }
    }

    /// What stops packets at a node, in words.
    pub(super) fn says(&self, node: NodeIndex, stop: &Stop<'_>) -> String {
        says(self.model, node, stop)
    }

    /// What to type on a node to take away what stops packets there.
    pub(super) fn removal(&self, node: NodeIndex, stop: &Stop<'_>) -> Option<String> {
        removal(self.model, node, stop)
    }

    /// The two nodes between which the place is, if it is a pair.
    pub(super) fn pair(&self) -> Option<(NodeIndex, NodeIndex)> {
        match self.hypothesis.scope {
            Scope::Pair(a, b) => Some((a, b)),
            _ => None,
        }
    }

    /// What the kernel of a node says of itself; `None` where no host agent could be asked.
    pub(super) fn host(&self, node: NodeIndex) -> Option<&'a HostFacts> {
        self.facts(node, Plane::Host)
    }

    /// What the kernel says in an agent's place.
    pub(super) fn facts(&self, node: NodeIndex, plane: Plane) -> Option<&'a HostFacts> {
        facts_of(self.model, node, plane)
    }

    /// The address of a node's agent.
    pub(super) fn address(&self, node: NodeIndex, plane: Plane) -> Option<IpAddr> {
        address_of(self.model, node, plane)
    }

    /// The node that an address belongs to, as far as agents and kernels say.
    pub(super) fn node_of(&self, address: IpAddr) -> Option<NodeIndex> {
        let by_agent = self
            .roster()
            .agents
            .iter()
            .find(|agent| agent.address == Some(address));
        let by_agent = by_agent.and_then(|agent| self.roster().node_index(&agent.key.node));
        by_agent.or_else(|| {
            self.nodes()
                .find(|node| self.host(*node).is_some_and(|facts| facts.has_address(address)))
        })
    }

    /// How many of the cells were seen to fail so.
    pub(super) fn seen(&self, reason: Reason) -> usize {
        let cells = self.pick.explains.iter();
        cells
            .filter(|cell| self.model.judged(**cell).seen() == Some(reason))
            .count()
    }

    /// The ICMP errors that the cells got.
    pub(super) fn icmp_errors(&self) -> impl Iterator<Item = (CellIndex, IcmpError)> {
        let cells = self.pick.explains.iter();
        cells.filter_map(|cell| Some((*cell, icmp(self.model, *cell)?)))
    }

    /// What was asked besides and answered: by which node, in which plane, what.
    pub(super) fn looks(&self) -> impl Iterator<Item = (NodeIndex, Plane, &'a Ask, &'a Seen)> {
        let roster = self.roster();
        self.model.matrix.looks().iter().filter_map(move |look| {
            let key = &roster.agent(look.from)?.key;
            Some((
                roster.node_index(&key.node)?,
                key.plane,
                &look.ask,
                look.seen.as_ref()?,
            ))
        })
    }

    /// Who answered at each hop from an agent to an address, where that was tried.
    pub(super) fn walk(&self, from: NodeIndex, plane: Plane, to: IpAddr) -> Option<&'a [mesh_proto::Hop]> {
        self.looks().find_map(|(node, of, ask, seen)| match (ask, seen) {
            (Ask::Walk { target, .. }, Seen::Walk(hops)) if (node, of, *target) == (from, plane, to) => {
                Some(hops.as_slice())
            }
            _ => None,
        })
    }

    /// Whether what was shown at these nodes accounts for the cells: each of them touches one. What asks a service may go by
    /// any node, and counts only where nothing else does.
    pub(super) fn covers(&self, nodes: &[NodeIndex]) -> bool {
        let mut known = 0_usize;
        let mut touching = 0_usize;
        for cell in &self.pick.explains {
            let (Some(from), Some(to)) = self.model.nodes(*cell) else {
                continue;
            };
            known += 1;
            touching += usize::from(nodes.contains(&from) || nodes.contains(&to));
        }
        if known == 0 {
            known = self.pick.explains.len();
            let cells = self.pick.explains.iter();
            touching = cells.filter(|cell| self.must_touch(**cell, nodes)).count();
        }
        touching * 20 >= known * 19
    }

    /// Whether a cell that asks a service cannot go past these nodes: the client is there, the node that it asks, or all that
    /// may answer.
    fn must_touch(&self, cell: CellIndex, nodes: &[NodeIndex]) -> bool {
        let roster = self.roster();
        let is_there = |name: &NodeName| roster.node_index(name).is_some_and(|node| nodes.contains(&node));
        let target = &self.model.cell(cell).target;
        let asked = match target {
            Target::NodePort { node, .. } => nodes.contains(node),
            Target::DnsEndpoint(number) => {
                let dns = self.cluster().dns.as_ref();
                dns.and_then(|dns| dns.endpoints.get(*number))
                    .is_some_and(|endpoint| is_there(&endpoint.node))
            }
            _ => false,
        };
        let behind = self.model.matrix.round().nodes_behind(target);
        asked
            || self.model.nodes(cell).0.is_some_and(|from| nodes.contains(&from))
            || !behind.is_empty() && behind.into_iter().all(is_there)
    }

    /// The place, where the nodes at fault are known more closely than the cells alone tell.
    pub(super) fn narrowed(&self, nodes: &[NodeIndex]) -> Where {
        let mut place = self.place.clone();
        // A node that is named for several reasons is one.
        let nodes: BTreeSet<NodeIndex> = nodes.iter().copied().collect();
        let all = self.nodes().count();
        let narrow = match &self.hypothesis.scope {
            // Of the two ends the one that has it.
            Scope::Pair(..) => nodes.len() == 1,
            Scope::Node(_) => all == 2 && nodes.len() == 1,
            _ => nodes.len() < all || all == 1,
        };
        if narrow {
            place.nodes = nodes.iter().map(|node| node_name(self.model, *node)).collect();
            place.pairs = Vec::new();
        }
        place
    }
}

/// What the kernel says in the place of a node's agent.
pub(super) fn facts_of<'a>(model: &Model<'a>, node: NodeIndex, plane: Plane) -> Option<&'a HostFacts> {
    let agent = model.agent_at(node, plane)?;
    model.matrix.agent(agent)?.facts.as_ref()
}

/// The address of a node's agent.
pub(super) fn address_of(model: &Model<'_>, node: NodeIndex, plane: Plane) -> Option<IpAddr> {
    let agent = model.agent_at(node, plane)?;
    model.matrix.round().roster().agent(agent)?.address
}

/// What stops packets at a node, in words.
pub(super) fn says(model: &Model<'_>, node: NodeIndex, stop: &Stop<'_>) -> String {
    format!("On {}: {}", node_name(model, node), stop.words())
}

/// What to type on a node to take away what stops packets there.
pub(super) fn removal(model: &Model<'_>, node: NodeIndex, stop: &Stop<'_>) -> Option<String> {
    let command = stop.removal()?;
    Some(format!("On {}: {command}", node_name(model, node)))
}

/// Whether somebody answered a hop with time exceeded.
pub(super) fn passed_on(answer: HopAnswer) -> Option<IpAddr> {
    match answer {
        HopAnswer::Error(icmp) if meaning(&icmp) == Meaning::TimeExceeded => Some(icmp.from),
        _ => None,
    }
}
