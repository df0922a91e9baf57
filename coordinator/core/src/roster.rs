//! Who takes part in a run, and what the cluster offers.

use std::net::{IpAddr, SocketAddr};

use mesh_proto::wire::Prepared;
use mesh_proto::{AgentIndex, AgentKey, NodeName, OverlayKind, Plane, Port, Protocol, TrafficPolicy};

/// What a ground hands over: agents, present or not, and the cluster's services.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// Every node that should take part, in the order reports show them.
    pub nodes: Vec<RosterNode>,
    /// Every agent that should stand there; its place in this list is its [`AgentIndex`].
    pub agents: Vec<RosterAgent>,
    /// What the cluster offers.
    pub cluster: Cluster,
}

/// A node.
#[derive(Debug, Clone)]
pub struct RosterNode {
    /// Its name.
    pub name: NodeName,
    /// Its failure zone, where known.
    pub zone: Option<String>,
    /// What the cluster says of it.
    pub readiness: Readiness,
}

/// What a cluster's control plane says of a node. It believes a node that fell silent for a while (40 s by default,
/// `--node-monitor-grace-period` of kube-controller-manager).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Readiness {
    /// Nobody keeps watch over it.
    #[default]
    NotWatched,
    /// Its kubelet reports that it is ready, or did so a moment ago.
    Ready,
    /// It is not, or has not been heard of, with the reason in words.
    NotReady(String),
}

/// An agent, present or not.
#[derive(Debug, Clone)]
pub struct RosterAgent {
    /// Node and plane.
    pub key: AgentKey,
    /// Where probes reach it; `None` where it has no address yet.
    pub address: Option<IpAddr>,
    /// Whether its link answers.
    pub presence: Presence,
}

/// Whether an agent can be asked to probe.
#[derive(Debug, Clone)]
pub enum Presence {
    /// Its link answers; what it said of itself.
    Present(Prepared),
    /// It cannot be reached, and why.
    Absent {
        /// In words: the event's text, the link's error.
        why: String,
    },
    /// It was not asked for.
    Skipped {
        /// In words.
        why: String,
    },
}

/// What the cluster offers; what is absent is not probed.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// The API server's service.
    pub api: Option<Api>,
    /// kube-dns.
    pub dns: Option<Dns>,
    /// NodePort services.
    pub node_ports: Vec<NodePortService>,
    /// How pod packets travel between nodes, where known.
    pub overlay: Option<Overlay>,
}

/// The API server's service.
#[derive(Debug, Clone)]
pub struct Api {
    /// Its ClusterIP.
    pub address: IpAddr,
    /// Its port.
    pub port: Port,
    /// Where it leads.
    pub endpoints: Vec<SocketAddr>,
}

/// kube-dns.
#[derive(Debug, Clone)]
pub struct Dns {
    /// Its ClusterIP.
    pub address: IpAddr,
    /// The name to ask for.
    pub name: String,
    /// Where it leads.
    pub endpoints: Vec<Backend>,
    /// Where these listen: not always 53, where the service listens (OpenShift: 5353).
    pub endpoint_port: Port,
}

/// A pod behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Its address.
    pub address: IpAddr,
    /// The node it runs on.
    pub node: NodeName,
}

/// A NodePort service.
#[derive(Debug, Clone)]
pub struct NodePortService {
    /// The port, the same on every node.
    pub port: Port,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// `externalTrafficPolicy`.
    pub policy: TrafficPolicy,
    /// The pods behind it.
    pub backends: Vec<Backend>,
    /// It was made for the run: nodes may still be writing its rules, which takes a second or more.
    pub fresh: bool,
}

/// How pod packets travel between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlay {
    /// The encapsulation.
    pub kind: OverlayKind,
    /// Its UDP port, where it has one.
    pub port: Option<Port>,
}

impl Overlay {
    /// Whether pod packets travel inside UDP between the nodes.
    pub fn rides_on_udp(self) -> bool {
        matches!(
            self.kind,
            OverlayKind::Vxlan | OverlayKind::Geneve | OverlayKind::Wireguard
        )
    }
}

impl Roster {
    /// The agents with their numbers.
    pub fn indexed(&self) -> impl Iterator<Item = (AgentIndex, &RosterAgent)> {
        (0..).map(AgentIndex).zip(&self.agents)
    }

    /// The agent with this number, if there is one.
    pub fn agent(&self, index: AgentIndex) -> Option<&RosterAgent> {
        self.agents.get(usize::try_from(index.0).ok()?)
    }

    /// The agent of a node and plane, if there is one.
    pub fn find(&self, node: &NodeName, plane: Plane) -> Option<(AgentIndex, &RosterAgent)> {
        self.indexed()
            .find(|(_, agent)| agent.key.plane == plane && agent.key.node == *node)
    }

    /// The node that has this address on its own network, if an agent says so.
    pub fn node_of_host_address(&self, address: IpAddr) -> Option<&NodeName> {
        let on_host = |agent: &&RosterAgent| agent.key.plane == Plane::Host && agent.address == Some(address);
        self.agents.iter().find(on_host).map(|agent| &agent.key.node)
    }

    /// The name of a node, for words.
    pub fn node_name(&self, node: NodeIndex) -> &NodeName {
        &self.nodes[node.0].name
    }

    /// The number of a node by its name.
    pub fn node_index(&self, name: &NodeName) -> Option<NodeIndex> {
        self.nodes
            .iter()
            .position(|node| node.name == *name)
            .map(NodeIndex)
    }
}

/// A node's place in [`Roster::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub usize);

impl RosterAgent {
    /// What the agent said of itself, if it is present.
    pub fn prepared(&self) -> Option<&Prepared> {
        match &self.presence {
            Presence::Present(prepared) => Some(prepared),
            Presence::Absent { .. } | Presence::Skipped { .. } => None,
        }
    }
}
