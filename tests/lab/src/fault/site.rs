//! A fault in its lab, as the rows of the table see it: the values of its keys as nodes, words and numbers, and the
//! families of addresses that the lab has.

use std::net::IpAddr;

use mesh_proto::{Direction, NodeName, Plane};

use super::values::Value;
use super::{Action, Fault, Place};
use crate::topology::{Node, Topology};

/// A fault in its lab.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) topology: &'a Topology,
    /// The lab as each family of its addresses sees it.
    pub(super) views: Vec<Topology>,
    /// Tells its rules from those of other faults.
    pub(super) number: usize,
    fault: &'a Fault,
}

impl<'a> Site<'a> {
    pub(super) fn new(fault: &'a Fault, topology: &'a Topology, number: usize) -> Self {
        Self {
            topology,
            views: topology.views(),
            number,
            fault,
        }
    }

    /// The nodes that a key names; none if it is left out.
    pub(super) fn nodes(&self, key: &str) -> Vec<&'a Node> {
        let topology = self.topology;
        match self.fault.values.get(key) {
            Some(Value::All) => topology.nodes.iter().collect(),
            Some(Value::Nodes(names)) => names.iter().filter_map(|name| topology.node(name)).collect(),
            _ => Vec::new(),
        }
    }

    /// All nodes but those that a key names.
    pub(super) fn others(&self, key: &str) -> Vec<&'a Node> {
        let named = self.nodes(key);
        let all = self.topology.nodes.iter();
        all.filter(|node| !named.iter().any(|one| one.number == node.number))
            .collect()
    }

    /// The nodes of `peer`, or where that is left out, or `all`, all but those of `node`.
    pub(super) fn peers(&self) -> Vec<&'a Node> {
        if self.names_peers() {
            self.nodes("peer")
        } else {
            self.others("node")
        }
    }

    /// Whether some peers are named, not all.
    fn names_peers(&self) -> bool {
        self.has("peer") && !self.is_all("peer")
    }

    /// Whether a key says `all`.
    pub(super) fn is_all(&self, key: &str) -> bool {
        matches!(self.fault.values.get(key), Some(Value::All))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.fault.values.contains_key(key)
    }

    /// The word of a key; empty if it has none.
    pub(super) fn word(&self, key: &str) -> &'static str {
        match self.fault.values.get(key) {
            Some(Value::Word(word)) => word,
            _ => "",
        }
    }

    pub(super) fn number_of(&self, key: &str) -> Option<u32> {
        match self.fault.values.get(key) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn address_of(&self, key: &str) -> Option<IpAddr> {
        match self.fault.values.get(key) {
            Some(Value::Address(address)) => Some(*address),
            _ => None,
        }
    }

    /// What `act` does for each node of the key `node`, in each family.
    pub(super) fn per_node(&self, mut act: impl FnMut(&Topology, &Node) -> Vec<Action>) -> Vec<Action> {
        let mut actions = Vec::new();
        for node in self.nodes("node") {
            for view in &self.views {
                // The views have the same nodes, with other addresses.
                if let Some(node) = view.node(&node.name) {
                    actions.extend(act(view, node));
                }
            }
        }
        actions
    }

    /// What `act` does for each node of the key `node` and each of its peers, in each family. All others are its peers if
    /// none is named.
    pub(super) fn per_pair(
        &self,
        mut act: impl FnMut(&Topology, &Node, &Node) -> Vec<Action>,
    ) -> Vec<Action> {
        let peers = if self.names_peers() {
            self.nodes("peer")
        } else {
            self.topology.nodes.iter().collect()
        };
        let peers: Vec<&NodeName> = peers.iter().map(|peer| &peer.name).collect();
        self.per_node(|view, node| {
            let others = peers.iter().filter(|name| ***name != node.name);
            let others = others.filter_map(|name| view.node(name));
            others.flat_map(|peer| act(view, node, peer)).collect()
        })
    }

    /// A place at each node of the key `node`; with `all` it is the whole cluster's.
    pub(super) fn at_nodes(&self, plane: Option<Plane>, direction: Option<Direction>) -> Vec<Place> {
        let whole = Place {
            plane,
            direction,
            ..Place::default()
        };
        if self.is_all("node") {
            return vec![whole];
        }
        let at = |node: &Node| Place {
            nodes: vec![name(node)],
            ..whole.clone()
        };
        self.nodes("node").into_iter().map(at).collect()
    }

    /// As [`Site::at_nodes`], or, where some peers are named, at each pair.
    pub(super) fn at_nodes_or_pairs(&self, plane: Option<Plane>, direction: Option<Direction>) -> Vec<Place> {
        let (all, peers, nodes) = (
            self.topology.nodes.len(),
            self.nodes("peer").len(),
            self.nodes("node").len(),
        );
        // Of several nodes the pairs among themselves are spared.
        let are_all = all > 2 && nodes == 1 && peers + 1 == all;
        if !self.names_peers() || are_all {
            return self.at_nodes(plane, direction);
        }
        self.at_pairs(plane)
    }

    /// A place between each node of the key `node` and each of `peer`.
    pub(super) fn at_pairs(&self, plane: Option<Plane>) -> Vec<Place> {
        let pair = |node: &Node, peer: &Node| Place {
            pairs: vec![(name(node), name(peer))],
            plane,
            ..Place::default()
        };
        let peers = self.nodes("peer");
        let mut places = Vec::new();
        for node in self.nodes("node") {
            let others = peers.iter().filter(|peer| peer.number != node.number);
            places.extend(others.map(|peer| pair(node, peer)));
        }
        places
    }

    /// `ingress`, `egress`, or neither, as the key `direction` says.
    pub(super) fn direction(&self) -> Option<Direction> {
        match self.word("direction") {
            "ingress" => Some(Direction::Ingress),
            "egress" => Some(Direction::Egress),
            _ => None,
        }
    }
}

/// A node's name, for a place.
pub(super) fn name(node: &Node) -> String {
    node.name.as_str().to_owned()
}
