//! Who stands where: nodes and pods with their addresses, pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mesh_proto::{NodeName, Port};
use serde::{Deserialize, Serialize};

use crate::cidr::{Cidr, IpFamily};
use crate::options::{LabOptions, Networks};

/// A lab's nodes and pods, as one family of addresses sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// What it was made from.
    pub options: LabOptions,
    /// Its nodes, in order.
    pub nodes: Vec<Node>,
    /// Whether this is the view of the family that agents do not use.
    pub is_second: bool,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// From 1; its share of the pod network has this number.
    pub number: u32,
    /// On the node network.
    pub address: IpAddr,
    /// Its overlay device's, or, without one, its bridge's.
    pub overlay: IpAddr,
    /// Its pods.
    pub pods: Vec<Pod>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// What runs in it.
    pub role: Role,
    /// On the pod network.
    pub address: IpAddr,
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
    /// Lays a lab out, with the addresses of its first family. The options must have been checked.
    pub fn of(options: &LabOptions) -> Self {
        let count = options.nodes.len();
        // DNS on two nodes, where there are two: the first and the last. Backends on the second.
        let dns = [0, count.saturating_sub(1)];
        let backend = usize::from(count > 1);
        let nodes = (1..)
            .zip(&options.nodes)
            .enumerate()
            .map(|(index, (number, name))| {
                let pods = options.networks.pods.node_share(number);
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
                    address: options.networks.nodes.address(number),
                    overlay: overlay_address(pods),
                    pods: roles.into_iter().map(pod).collect(),
                }
            });
        Self {
            options: options.clone(),
            nodes: nodes.collect(),
            is_second: false,
        }
    }

    /// The same nodes and pods in each family that the lab has, that of the agents first.
    pub fn views(&self) -> Vec<Self> {
        let second = self.options.second_networks.map(|networks| Self {
            options: self.options.clone(),
            is_second: true,
            ..Self::of(&LabOptions {
                networks,
                ..self.options.clone()
            })
        });
        std::iter::once(self.clone()).chain(second).collect()
    }

    /// The networks that its addresses are of.
    pub fn networks(&self) -> Networks {
        match self.options.second_networks {
            Some(second) if self.is_second => second,
            _ => self.options.networks,
        }
    }

    /// The family of its addresses.
    pub fn family(&self) -> IpFamily {
        self.networks().family()
    }

    /// The API's ClusterIP.
    pub fn api(&self) -> SocketAddr {
        SocketAddr::new(self.networks().services.address(1), 443)
    }

    /// Where the API server stands: on the first node.
    pub fn api_endpoint(&self) -> SocketAddr {
        let first = self.nodes.first();
        let address = first.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |node| node.address);
        SocketAddr::new(address, self.options.api_port.0)
    }

    /// The DNS service's ClusterIP.
    pub fn dns(&self) -> IpAddr {
        self.networks().services.address(10)
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
    pub fn gateway(&self) -> IpAddr {
        self.networks().nodes.last()
    }

    /// A node's share of the pod network.
    pub fn pods_of(&self, node: &Node) -> Cidr {
        self.networks().pods.node_share(node.number)
    }

    /// The address of a node's bridge, where pods hang on one.
    pub fn bridge_address(&self, node: &Node) -> IpAddr {
        self.pods_of(node).address(1)
    }

    /// The MTU of pods, in bytes: what is left by the encapsulation of each family.
    pub fn pod_mtu(&self) -> u32 {
        let families = self.options.families();
        let taken = families.map(|networks| self.options.taken_of_mtu(networks.family()));
        self.options.mtu - taken.max().unwrap_or(0)
    }

    /// The MTU of the overlay's device, in bytes.
    pub(crate) fn overlay_mtu(&self) -> u32 {
        self.options.mtu - self.options.encapsulation.overhead(self.family())
    }
}

impl Node {
    /// Its device on the fabric's bridge.
    pub fn fabric_port(&self) -> String {
        format!("port-{}", self.number)
    }

    /// The MAC address of its uplink.
    pub fn uplink_mac(&self) -> String {
        mac(0x0a, self.number)
    }

    /// The MAC address of its overlay device: with dual stack there is one for each family.
    pub fn overlay_mac(&self) -> String {
        match self.address {
            IpAddr::V4(_) => mac(0x0b, self.number),
            IpAddr::V6(_) => mac(0x0c, self.number),
        }
    }
}

/// The first of a node's pod addresses; of IPv6 that is the anycast address of routers (RFC 4291 section 2.6.1).
fn overlay_address(pods: Cidr) -> IpAddr {
    pods.address(match pods.family() {
        IpFamily::V4 => 0,
        IpFamily::V6 => 0x100,
    })
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

    #[test]
    fn dual_stack_is_the_same_lab_seen_twice() {
        let mut options = LabOptions::of_size(3).unwrap();
        options.second_networks = Some(Networks::usual(IpFamily::V6));
        let views = Topology::of(&options).views();
        let [four, six] = &views[..] else {
            panic!("a view for each family");
        };
        assert_eq!(four, &Topology::of(&options));
        assert_eq!((four.family(), six.family()), (IpFamily::V4, IpFamily::V6));
        assert_eq!(six.api().to_string(), "[fd00:10:96::1]:443");
        assert_eq!(six.dns().to_string(), "fd00:10:96::a");
        assert_eq!(six.api_endpoint().to_string(), "[fd00:172:18::1]:6443");
        for (a, b) in four.nodes.iter().zip(&six.nodes) {
            assert_eq!((&a.name, a.number), (&b.name, b.number));
            let roles = |node: &Node| node.pods.iter().map(|pod| pod.role).collect::<Vec<_>>();
            assert_eq!(roles(a), roles(b));
            assert!(b.pods.iter().all(|pod| six.pods_of(b).contains(pod.address)));
            assert_ne!(a.overlay_mac(), b.overlay_mac());
        }
        assert_eq!(Topology::of(&LabOptions::of_size(3).unwrap()).views().len(), 1);
    }

    #[test]
    fn no_two_addresses_of_a_node_are_the_same() {
        for family in [IpFamily::V4, IpFamily::V6] {
            let mut options = LabOptions::of_size(250).unwrap();
            options.networks = Networks::usual(family);
            let topology = Topology::of(&options);
            let mut all = vec![topology.gateway()];
            for node in &topology.nodes {
                all.extend([node.address, node.overlay, topology.bridge_address(node)]);
                all.extend(node.pods.iter().map(|pod| pod.address));
            }
            let count = all.len();
            all.sort();
            all.dedup();
            assert_eq!(all.len(), count, "{family}");
        }
    }
}
