//! Who stands where: nodes and pods with their addresses, pure.

use std::net::{Ipv4Addr, SocketAddrV4};

use mesh_proto::{NodeName, Port};
use serde::{Deserialize, Serialize};

use crate::options::{Encapsulation, LabOptions};

/// A lab's nodes and pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// What it was made from.
    pub options: LabOptions,
    /// Its nodes, in order.
    pub nodes: Vec<Node>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// From 1; its /24 of the pod network has this number.
    pub number: u32,
    /// On the node network.
    pub address: Ipv4Addr,
    /// Its overlay device's, or, without one, its bridge's.
    pub overlay: Ipv4Addr,
    /// Its pods.
    pub pods: Vec<Pod>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// What runs in it.
    pub role: Role,
    /// On the pod network.
    pub address: Ipv4Addr,
}

/// What runs in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The agent of the pod plane.
    Agent,
    /// A DNS server.
    Dns,
    /// What NodePorts lead to: it accepts TCP and echoes UDP.
    Backend,
}

impl Role {
    /// The last number of its address, and its name in `mesh lab exec NODE/NAME`.
    pub fn facts(self) -> (u32, &'static str) {
        match self {
            Self::Agent => (10, "pod"),
            Self::Dns => (20, "dns"),
            Self::Backend => (30, "backend"),
        }
    }
}

/// The port that backends serve on.
pub const BACKEND_PORT: Port = Port(8080);
/// The name that the lab's DNS servers know, as in every cluster.
pub const API_NAME: &str = "kubernetes.default.svc.cluster.local";

impl Topology {
    /// Lays a lab out. The options must have been checked.
    pub fn of(options: &LabOptions) -> Self {
        let count = options.nodes.len();
        // DNS on two nodes, where there are two: the first and the last. Backends on the second.
        let dns = [0, count.saturating_sub(1)];
        let backend = usize::from(count > 1);
        let nodes = (1..)
            .zip(&options.nodes)
            .enumerate()
            .map(|(index, (number, name))| {
                let pods = options.pod_cidr.slash_24(number);
                let mut roles = vec![Role::Agent];
                if dns.contains(&index) {
                    roles.push(Role::Dns);
                }
                if index == backend {
                    roles.push(Role::Backend);
                }
                let pod = |role: Role| Pod {
                    role,
                    address: pods.address(role.facts().0),
                };
                Node {
                    name: name.clone(),
                    number,
                    address: options.node_cidr.address(number),
                    overlay: pods.address(0),
                    pods: roles.into_iter().map(pod).collect(),
                }
            });
        Self {
            options: options.clone(),
            nodes: nodes.collect(),
        }
    }

    /// The API's ClusterIP.
    pub fn api(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.options.service_cidr.address(1), 443)
    }

    /// Where the API server stands: on the first node.
    pub fn api_endpoint(&self) -> SocketAddrV4 {
        let address = self
            .nodes
            .first()
            .map_or(Ipv4Addr::UNSPECIFIED, |node| node.address);
        SocketAddrV4::new(address, self.options.api_port.0)
    }

    /// The DNS service's ClusterIP.
    pub fn dns(&self) -> Ipv4Addr {
        self.options.service_cidr.address(10)
    }

    /// NodePorts: policy Cluster, then Local.
    pub fn node_ports(&self) -> [Port; 2] {
        [
            self.options.node_port,
            Port(self.options.node_port.0.saturating_add(1)),
        ]
    }

    /// All pods of a role, with their nodes.
    pub fn pods(&self, role: Role) -> impl Iterator<Item = (&Node, &Pod)> {
        self.nodes
            .iter()
            .flat_map(|node| node.pods.iter().map(move |pod| (node, pod)))
            .filter(move |(_, pod)| pod.role == role)
    }

    /// A node by its name.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    /// The node network's gateway.
    pub fn gateway(&self) -> Ipv4Addr {
        self.options.node_cidr.last()
    }

    /// The MTU of pods, in bytes.
    pub fn pod_mtu(&self) -> u32 {
        match self.options.encapsulation {
            // RFC 7348: outer Ethernet is not counted; IP 20, UDP 8, VXLAN 8, inner Ethernet 14.
            Encapsulation::Vxlan(_) => self.options.mtu - 50,
            Encapsulation::None => self.options.mtu,
        }
    }
}

impl Node {
    /// The network of its pods.
    pub fn pod_network(&self, options: &LabOptions) -> crate::options::Cidr {
        options.pod_cidr.slash_24(self.number)
    }

    /// The bridge's address, where pods hang on one.
    pub fn bridge_address(&self, options: &LabOptions) -> Ipv4Addr {
        self.pod_network(options).address(1)
    }

    /// Its device on the fabric's bridge.
    pub fn fabric_port(&self) -> String {
        format!("port-{}", self.number)
    }

    /// The MAC address of its uplink.
    pub fn uplink_mac(&self) -> String {
        mac(0x0a, self.number)
    }

    /// The MAC address of its overlay device.
    pub fn overlay_mac(&self) -> String {
        mac(0x0b, self.number)
    }
}

/// A locally administered address (IEEE 802): stable, so that entries can be permanent.
fn mac(kind: u8, number: u32) -> String {
    let [_, _, high, low] = number.to_be_bytes();
    format!("02:6d:{kind:02x}:00:{high:02x}:{low:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_nodes_have_two_dns_servers_and_a_backend() {
        let topology = Topology::of(&LabOptions::of_size(3).unwrap());
        let names = |role| {
            topology
                .pods(role)
                .map(|(node, _)| node.name.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(Role::Agent), ["node-1", "node-2", "node-3"]);
        assert_eq!(names(Role::Dns), ["node-1", "node-3"]);
        assert_eq!(names(Role::Backend), ["node-2"]);
        assert_eq!(topology.api().to_string(), "10.96.0.1:443");
        assert_eq!(topology.dns().to_string(), "10.96.0.10");
        assert_eq!(topology.api_endpoint().to_string(), "172.18.0.1:6443");
    }

    #[test]
    fn a_single_node_has_everything() {
        let topology = Topology::of(&LabOptions::of_size(1).unwrap());
        let roles: Vec<Role> = topology.nodes[0].pods.iter().map(|pod| pod.role).collect();
        assert_eq!(roles, [Role::Agent, Role::Dns, Role::Backend]);
    }
}
