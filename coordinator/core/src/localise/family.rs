//! The parts of a network that can be at fault, and where.

use mesh_proto::{Plane, Protocol};

use crate::NodeIndex;

/// A kind of part. The order is the order of preference when two places explain the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    /// What joins two nodes, for whatever travels on it.
    Wire,
    /// What joins two nodes, for packets with node addresses: the nodes' own input and output.
    Bare,
    /// What carries pod packets between two nodes, encapsulated or routed.
    Overlay,
    /// A node's forwarding between its pods and everything off the node.
    Forward,
    /// A node's routes to another node's pods.
    Routes,
    /// Between a node and its own pods.
    Local,
    /// All of DNS: the service and every endpoint.
    DnsAll,
    /// One DNS endpoint, by its place in the roster.
    DnsEndpoint(usize),
    /// The DNS service.
    DnsService,
    /// The API service.
    ApiService,
    /// One NodePort service, by its place in the roster.
    NodePort(usize),
    /// All NodePorts.
    AnyNodePort,
    /// A node's service rules (kube-proxy).
    Rules,
    /// An agent's loopback.
    Loopback,
    /// An agent's own network: whatever comes to it (`Init::In`) or leaves it (`Init::Out`).
    Agent(Plane),
    /// From agents of one plane to agents of another, on different nodes.
    Between(Plane, Plane),
}

/// Where a part is. The order is the order of preference: the smaller place first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    /// Between two nodes.
    Pair(NodeIndex, NodeIndex),
    /// At a node.
    Node(NodeIndex),
    /// From each node to itself.
    OwnNode,
    /// From each node to all others.
    OtherNodes,
    /// Between these nodes and the others.
    Group(Vec<NodeIndex>),
    /// Everywhere.
    Cluster,
}

impl Scope {
    /// How large a place is, for choosing between places that explain the same.
    pub(super) fn size(&self) -> u8 {
        match self {
            Self::Pair(..) => 0,
            Self::Node(_) => 1,
            Self::OwnNode | Self::OtherNodes => 2,
            Self::Group(_) => 3,
            Self::Cluster => 4,
        }
    }
}

/// Which way the connections are opened that a place hits; answers travel the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Init {
    /// Whoever opens them.
    Both,
    /// Those towards the node (or towards the second of the pair).
    In,
    /// Those from the node (or from the first of the pair).
    Out,
}

/// Which cells among those that cross a place it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Filter {
    /// Only this protocol.
    pub(crate) protocol: Option<Protocol>,
    /// Only from this plane.
    pub(crate) from: Option<Plane>,
}

impl Filter {
    /// Hits everything.
    pub(crate) const ALL: Self = Self {
        protocol: None,
        from: None,
    };
}

/// One part that a cell crosses: an edge of a family. `from == to` for parts that sit at one node; `init` then says
/// whether the cell goes in or out there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Part {
    pub(crate) family: Family,
    pub(crate) from: NodeIndex,
    pub(crate) to: NodeIndex,
    pub(crate) init: Init,
}

impl Part {
    pub(crate) fn between(family: Family, from: NodeIndex, to: NodeIndex) -> Self {
        Self {
            family,
            from,
            to,
            init: Init::Both,
        }
    }

    pub(crate) fn at(family: Family, node: NodeIndex, init: Init) -> Self {
        Self {
            family,
            from: node,
            to: node,
            init,
        }
    }

    /// Whether a place covers this part.
    pub(crate) fn is_in(&self, scope: &Scope, init: Init) -> bool {
        let own = self.from == self.to;
        match scope {
            // Which way at a node, each of them for itself; between nodes there is no way in or out.
            Scope::Cluster => init == Init::Both || own && self.init == init,
            Scope::OwnNode => own,
            Scope::OtherNodes => !own,
            Scope::Group(nodes) => nodes.contains(&self.from) != nodes.contains(&self.to),
            Scope::Pair(a, b) => {
                let there = self.from == *a && self.to == *b;
                let back = self.from == *b && self.to == *a;
                match init {
                    Init::Both => there || back,
                    Init::Out => there,
                    Init::In => back,
                }
            }
            Scope::Node(node) => match init {
                Init::Both => self.from == *node || self.to == *node,
                Init::In if own && self.init != Init::Both => self.from == *node && self.init == Init::In,
                Init::Out if own && self.init != Init::Both => self.from == *node && self.init == Init::Out,
                Init::In => self.to == *node,
                Init::Out => self.from == *node,
            },
        }
    }
}
