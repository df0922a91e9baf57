//! A cluster drawn at random: nodes, how pod packets travel, services, and who of the agents is not there.

use std::net::{IpAddr, Ipv4Addr};

use mesh_core::{
    Api, Backend, Cluster, Dns, NodePortService, Overlay, Presence, Roster, RosterAgent, RosterNode,
};
use mesh_proto::wire::Prepared;
use mesh_proto::{
    AgentIdentity, AgentIndex, AgentKey, BootId, IcmpMode, NodeName, OverlayKind, Plane, Port, Protocol,
    TrafficPolicy,
};

/// A NodePort service, with the nodes its backends stand on.
#[derive(Debug, Clone)]
pub struct NodePortSite {
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) policy: TrafficPolicy,
    pub(crate) backends: Vec<usize>,
}

/// The cluster as it stands before anything is broken.
#[derive(Debug, Clone)]
pub struct Site {
    pub(crate) names: Vec<NodeName>,
    pub(crate) encapsulation: OverlayKind,
    pub(crate) overlay_port: u16,
    /// What pods send off the pod network leaves with their node's address (Calico's natOutgoing).
    pub(crate) nat_outgoing: bool,
    /// Pods of one node reach each other by routes (Calico), and so through FORWARD, not by a bridge.
    pub(crate) routed_pods: bool,
    pub(crate) api: Vec<usize>,
    pub(crate) dns: Vec<usize>,
    pub(crate) node_ports: Vec<NodePortSite>,
    /// Agents that do not stand there, for no fault of the network.
    pub(crate) absent: Vec<(usize, Plane)>,
    /// Nodes without power: their links are dead.
    pub(crate) off: Vec<usize>,
    /// Nodes whose agents do not get the CPU that they need.
    pub(crate) starved: Vec<usize>,
    /// The share of ICMP errors that the kernels' rate limit lets through.
    pub(crate) icmp_errors: f64,
}

const RESPONDER: Port = Port(9_441);

impl Site {
    /// Draws a cluster of so many nodes.
    pub(crate) fn draw(nodes: usize, rng: &mut fastrand::Rng) -> Self {
        let encapsulations = [
            OverlayKind::Vxlan,
            OverlayKind::Vxlan,
            OverlayKind::Vxlan,
            OverlayKind::Ipip,
            OverlayKind::Geneve,
            OverlayKind::None,
        ];
        let some = |rng: &mut fastrand::Rng, most: usize| {
            let count = rng.usize(1..=most.min(nodes));
            rng.choose_multiple(0..nodes, count)
        };
        let style = rng.usize(0..3);
        let first = rng.usize(1..40);
        let names = (0..nodes).map(|number| name(style, first, number)).collect();
        let api = if rng.bool() {
            vec![rng.usize(0..nodes)]
        } else {
            some(rng, 3)
        };
        let dns = some(rng, 3);
        let offers = rng.usize(1..=2);
        let node_ports = (0..offers)
            .map(|offer| NodePortSite {
                port: rng.u16(30_000..32_700),
                protocol: if offer == 0 { Protocol::Tcp } else { Protocol::Udp },
                policy: if offer == 1 && rng.bool() {
                    TrafficPolicy::Local
                } else {
                    TrafficPolicy::Cluster
                },
                backends: some(rng, 3),
            })
            .collect();
        let mut site = Self {
            names,
            encapsulation: encapsulations[rng.usize(0..encapsulations.len())],
            overlay_port: [8_472, 4_789, 4_799, 6_081][rng.usize(0..4)],
            nat_outgoing: rng.usize(0..4) > 0,
            routed_pods: rng.bool(),
            api,
            dns,
            node_ports,
            absent: Vec::new(),
            off: Vec::new(),
            starved: Vec::new(),
            icmp_errors: [1.0, 0.3, 0.05][rng.usize(0..3)],
        };
        if rng.usize(0..5) == 0 {
            let plane = if rng.bool() { Plane::Pod } else { Plane::Host };
            site.absent.push((rng.usize(0..nodes), plane));
        }
        if rng.usize(0..10) == 0 {
            site.starved.push(rng.usize(0..nodes));
        }
        site
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn encapsulated(&self) -> bool {
        self.encapsulation != OverlayKind::None
    }

    pub(crate) fn overlay(&self) -> Overlay {
        let rides_on_udp = matches!(
            self.encapsulation,
            OverlayKind::Vxlan | OverlayKind::Geneve | OverlayKind::Wireguard
        );
        Overlay {
            kind: self.encapsulation,
            port: rides_on_udp.then_some(Port(self.overlay_port)),
        }
    }

    /// Bytes that the encapsulation adds (RFC 7348, RFC 8926, RFC 2003).
    pub(crate) fn overhead(&self) -> u32 {
        match self.encapsulation {
            OverlayKind::Vxlan | OverlayKind::Geneve => 50,
            OverlayKind::Wireguard => 80,
            OverlayKind::Ipip => 20,
            OverlayKind::None => 0,
        }
    }

    pub(crate) fn is_absent(&self, node: usize, plane: Plane) -> bool {
        self.off.contains(&node) || self.absent.contains(&(node, plane))
    }

    pub(crate) fn address(node: usize, plane: Plane, host: u8) -> IpAddr {
        let (high, low) = (
            u8::try_from(node / 250).unwrap_or(u8::MAX),
            u8::try_from(node % 250).unwrap_or(0),
        );
        IpAddr::V4(match plane {
            Plane::Pod => Ipv4Addr::new(
                10,
                128 + (high >> 1),
                (high & 1) << 7 | (low >> 1),
                (low & 1) << 7 | host,
            ),
            Plane::Host => Ipv4Addr::new(172, 20, high, low + 2),
        })
    }

    pub(crate) fn dns_service() -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10))
    }

    pub(crate) fn api_service() -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1))
    }

    fn backend(&self, node: usize, host: u8) -> Backend {
        Backend {
            address: Self::address(node, Plane::Pod, host),
            node: self.names[node].clone(),
        }
    }

    /// What a ground would hand over of it.
    pub(crate) fn roster(&self) -> Roster {
        let agents = (0..self.nodes()).flat_map(|node| [(node, Plane::Pod), (node, Plane::Host)]);
        Roster {
            nodes: self
                .names
                .iter()
                .map(|name| RosterNode {
                    name: name.clone(),
                    zone: None,
                    readiness: mesh_core::Readiness::NotWatched,
                })
                .collect(),
            agents: agents.map(|(node, plane)| self.agent(node, plane)).collect(),
            cluster: Cluster {
                api: Some(Api {
                    address: Self::api_service(),
                    port: Port(443),
                    endpoints: self
                        .api
                        .iter()
                        .map(|node| (Self::address(*node, Plane::Host, 0), 6_443).into())
                        .collect(),
                }),
                dns: Some(Dns {
                    address: Self::dns_service(),
                    name: "kubernetes.default.svc.cluster.local".to_owned(),
                    endpoints: self.dns.iter().map(|node| self.backend(*node, 20)).collect(),
                    endpoint_port: Port(53),
                }),
                node_ports: self.node_ports.iter().map(|of| self.node_port(of)).collect(),
                overlay: Some(self.overlay()),
            },
        }
    }

    fn node_port(&self, of: &NodePortSite) -> NodePortService {
        NodePortService {
            port: Port(of.port),
            protocol: of.protocol,
            policy: of.policy,
            backends: of.backends.iter().map(|node| self.backend(*node, 30)).collect(),
            fresh: false,
        }
    }

    fn agent(&self, node: usize, plane: Plane) -> RosterAgent {
        let key = AgentKey {
            node: self.names[node].clone(),
            plane,
        };
        let has_address = plane == Plane::Host || !self.absent.contains(&(node, plane));
        let presence = if self.is_absent(node, plane) {
            Presence::Absent {
                why: "the link does not answer".to_owned(),
            }
        } else {
            Presence::Present(Prepared {
                identity: AgentIdentity {
                    key: key.clone(),
                    boot_id: BootId([0; 16]),
                },
                responder_port: RESPONDER,
                icmp: IcmpMode::Raw,
                icmp_why: String::new(),
                nameservers: Vec::new(),
            })
        };
        RosterAgent {
            key,
            address: has_address.then(|| Self::address(node, plane, 10)),
            presence,
        }
    }
}

/// The agent of a node and plane: each node has a pod's and then a host's.
pub(crate) fn agent_of(node: usize, plane: Plane) -> AgentIndex {
    let number = 2 * node + usize::from(plane == Plane::Host);
    AgentIndex(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The node and plane of an agent.
pub(crate) fn place_of(agent: AgentIndex) -> (usize, Plane) {
    let number = agent.0 as usize;
    (
        number / 2,
        if number.is_multiple_of(2) {
            Plane::Pod
        } else {
            Plane::Host
        },
    )
}

fn name(style: usize, first: usize, number: usize) -> NodeName {
    let text = match style {
        0 => format!("worker-{}", first + number),
        1 => format!("ip-10-3-{}-{}.internal", number / 250, number % 250),
        _ => format!("rack{}-{:03}", number % 7, first + number),
    };
    #[expect(
        clippy::unwrap_used,
        reason = "made of letters, digits, dots and dashes just now"
    )]
    text.parse().unwrap()
}
