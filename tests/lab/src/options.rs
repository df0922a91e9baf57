//! What a lab should look like.

use std::collections::BTreeSet;

use mesh_proto::{NodeName, Port};
use serde::{Deserialize, Serialize};

use crate::cidr::{Cidr, IpFamily};
use crate::oddity::{self, Oddity};

/// The shape of a lab. All of it may be chosen, so that nothing that holds in a lab hangs on a name or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabOptions {
    /// The nodes' names; their number is the lab's size.
    pub nodes: Vec<NodeName>,
    /// The networks of the family that agents use: that of most clusters' `status.podIP`.
    pub networks: Networks,
    /// Those of the other family, in a lab with dual stack.
    pub second_networks: Option<Networks>,
    /// How pod packets cross the node network.
    pub encapsulation: Encapsulation,
    /// How pods hang on their node.
    pub pod_network: PodNetwork,
    /// The MTU of the node network, in bytes.
    pub mtu: u32,
    /// Where agents answer probes.
    pub responder_port: Port,
    /// A NodePort of policy Cluster; the one after it has policy Local. Both TCP and UDP.
    pub node_port: Port,
    /// Where the API server listens on its node.
    pub api_port: Port,
    /// Pod traffic that leaves the pod network gets the node's address (Calico's natOutgoing).
    pub nat_outgoing: bool,
    /// What writes the rules of services.
    pub services: ServiceBackEnd,
    /// What is odd about it and does no harm.
    pub odd: BTreeSet<Oddity>,
}

/// The networks of a lab in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Networks {
    /// What the nodes stand in.
    pub nodes: Cidr,
    /// What pods stand in; each node has a /24 of it, of IPv6 a /64.
    pub pods: Cidr,
    /// Service addresses: the API is the first, DNS the tenth.
    pub services: Cidr,
}

/// What writes the rules of services, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceBackEnd {
    /// kube-proxy's iptables mode by iptables-nft.
    IptablesNft,
    /// kube-proxy's iptables mode by iptables-legacy.
    IptablesLegacy,
    /// kube-proxy's nftables mode.
    Nft,
}

/// How pod packets cross the node network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encapsulation {
    /// VXLAN on this UDP port.
    Vxlan(Port),
    /// IP in IP (RFC 2003), between nodes of IPv4.
    Ipip,
    /// Routed as they are.
    None,
}

/// How pods hang on their node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodNetwork {
    /// A /32 route for each, as Calico does.
    Routed,
    /// A bridge, as flannel does.
    Bridge,
}

/// Every node needs a /24 of the pod network and a device on the fabric's bridge.
pub const MOST_NODES: usize = 250;

/// Options that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// None, or too many.
    #[error("a lab has 1 to {MOST_NODES} nodes, not {0}")]
    NodeCount(usize),
    /// Two nodes of one name.
    #[error("two nodes are called {0}")]
    SameName(NodeName),
    /// A name that means something else where nodes are named.
    #[error("a node of a lab cannot be called {name}: {why}")]
    Name {
        /// The name.
        name: NodeName,
        /// What it means.
        why: &'static str,
    },
    /// Addresses that the kernel gives another meaning.
    #[error("--{flag} {cidr} cannot be used: {why}")]
    Special {
        /// Which flag.
        flag: &'static str,
        /// What it said.
        cidr: Cidr,
        /// What the addresses are for.
        why: &'static str,
    },
    /// Too narrow a network.
    #[error("--{flag} {cidr} is too small for {nodes} nodes: a /{longest} or wider is needed")]
    TooSmall {
        /// Which flag.
        flag: &'static str,
        /// What it said.
        cidr: Cidr,
        /// How many nodes are wanted.
        nodes: usize,
        /// The longest prefix that would do.
        longest: u8,
    },
    /// Networks of one family beside one of the other.
    #[error("--{flag} {cidr} is not {family}, as --ip-family says")]
    Family {
        /// Which flag.
        flag: &'static str,
        /// What it said.
        cidr: Cidr,
        /// The family that it should have.
        family: IpFamily,
    },
    /// Dual stack with twice the same family.
    #[error("dual stack needs networks of both families, and these are {0} twice")]
    OneFamily(IpFamily),
    /// What would do harm in this lab.
    #[error("--odd {oddity} needs {needs}")]
    NotOdd {
        /// Which oddity.
        oddity: Oddity,
        /// What it needs.
        needs: &'static str,
    },
    /// There is no such device of IPv6 that knows more than one peer.
    #[error("--encapsulation ipip works with --ip-family ipv4 only")]
    IpipIsIpv4,
    /// Two networks share addresses.
    #[error("--{a} and --{b} overlap")]
    Overlap {
        /// One flag.
        a: &'static str,
        /// The other.
        b: &'static str,
    },
    /// An MTU that no such network has.
    #[error("--mtu {0} is not between 1000 and 9000")]
    Mtu(u32),
    /// An MTU that IPv6 cannot work with.
    #[error("--mtu {mtu} is too small: IPv6 needs 1280 bytes in pods, so {} here", 1_280 + taken)]
    Ipv6Mtu {
        /// What it said.
        mtu: u32,
        /// What the encapsulation takes, and what is odd.
        taken: u32,
    },
    /// Two servers on one port of a node.
    #[error("port {0} is used twice: node ports (two in a row), API, responder and overlay must differ")]
    SamePort(Port),
    /// A port that does not exist.
    #[error("port 0, or a node port without one after it")]
    NoPort,
}

impl LabOptions {
    /// A lab of so many nodes, called node-1 and so on, with the addresses that most clusters have.
    pub fn of_size(nodes: usize) -> Result<Self, OptionsError> {
        let names = (1..=nodes.min(MOST_NODES + 1)).map(|number| format!("node-{number}").parse());
        let names: Result<Vec<NodeName>, _> = names.collect();
        let Ok(names) = names else {
            return Err(OptionsError::NodeCount(nodes));
        };
        if nodes > MOST_NODES {
            return Err(OptionsError::NodeCount(nodes));
        }
        Ok(Self {
            nodes: names,
            networks: Networks::usual(IpFamily::V4),
            second_networks: None,
            encapsulation: Encapsulation::Vxlan(Port(4789)),
            pod_network: PodNetwork::Routed,
            mtu: 1_500,
            responder_port: Port(9441),
            node_port: Port(30080),
            api_port: Port(6443),
            nat_outgoing: true,
            services: ServiceBackEnd::IptablesNft,
            odd: BTreeSet::new(),
        })
    }

    /// Checks that a lab can be so.
    pub fn check(&self) -> Result<(), OptionsError> {
        let nodes = self.nodes.len();
        if !(1..=MOST_NODES).contains(&nodes) {
            return Err(OptionsError::NodeCount(nodes));
        }
        let mut names: Vec<_> = self.nodes.iter().collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(OptionsError::SameName(pair[0].clone()));
        }
        for name in &self.nodes {
            if let Some(why) = other_meaning(name) {
                let name = name.clone();
                return Err(OptionsError::Name { name, why });
            }
        }
        for networks in self.families() {
            networks.check(nodes)?;
        }
        if let Some(second) = self.second_networks
            && second.family() == self.networks.family()
        {
            return Err(OptionsError::OneFamily(second.family()));
        }
        if self.encapsulation == Encapsulation::Ipip
            && self.families().any(|networks| networks.family() == IpFamily::V6)
        {
            return Err(OptionsError::IpipIsIpv4);
        }
        if !(1_000..=9_000).contains(&self.mtu) {
            return Err(OptionsError::Mtu(self.mtu));
        }
        for networks in self
            .families()
            .filter(|networks| networks.family() == IpFamily::V6)
        {
            let taken = self.taken_of_mtu(networks.family());
            // RFC 8200 section 5.
            if self.mtu - taken < 1_280 {
                return Err(OptionsError::Ipv6Mtu { mtu: self.mtu, taken });
            }
        }
        oddity::check(self)?;
        self.check_ports()
    }

    /// The networks of each family that the lab has, that of the agents first.
    pub fn families(&self) -> impl Iterator<Item = Networks> {
        [Some(self.networks), self.second_networks].into_iter().flatten()
    }

    /// What pods have not of the node network's MTU, in bytes.
    pub(crate) fn taken_of_mtu(&self, family: IpFamily) -> u32 {
        let odd = if self.odd.contains(&Oddity::SmallPodMtu) {
            100
        } else {
            0
        };
        self.encapsulation.overhead(family) + odd
    }

    /// All ports that are taken on a node.
    pub(crate) fn ports(&self) -> Vec<Port> {
        let local = Port(self.node_port.0.wrapping_add(1));
        let mut ports = vec![self.node_port, local, self.api_port, self.responder_port];
        if let Encapsulation::Vxlan(port) = self.encapsulation {
            ports.push(port);
        }
        ports.sort();
        ports
    }

    fn check_ports(&self) -> Result<(), OptionsError> {
        let ports = self.ports();
        if ports[0] == Port(0) {
            return Err(OptionsError::NoPort);
        }
        match ports.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(OptionsError::SamePort(pair[0])),
            None => Ok(()),
        }
    }
}

impl Encapsulation {
    /// What it takes of the MTU, in bytes, between nodes of this family.
    pub(crate) fn overhead(self, family: IpFamily) -> u32 {
        let outer = match family {
            IpFamily::V4 => 20,
            IpFamily::V6 => 40,
        };
        match self {
            // RFC 7348: UDP 8, VXLAN 8, inner Ethernet 14.
            Self::Vxlan(_) => outer + 30,
            Self::Ipip => outer,
            Self::None => 0,
        }
    }
}

impl Networks {
    /// Those that most clusters have.
    pub fn usual(family: IpFamily) -> Self {
        match family {
            IpFamily::V4 => Self {
                nodes: Cidr::v4([172, 18, 0, 0], 16),
                pods: Cidr::v4([10, 244, 0, 0], 16),
                services: Cidr::v4([10, 96, 0, 0], 12),
            },
            IpFamily::V6 => Self {
                nodes: Cidr::v6([0xfd00, 0x172, 0x18], 64),
                pods: Cidr::v6([0xfd00, 0x10, 0x244], 48),
                services: Cidr::v6([0xfd00, 0x10, 0x96], 112),
            },
        }
    }

    /// Their family.
    pub fn family(&self) -> IpFamily {
        self.nodes.family()
    }

    /// Checks that so many nodes can live in them.
    fn check(&self, nodes: usize) -> Result<(), OptionsError> {
        let family = self.family();
        // A share for each node, and the first is left free.
        let shares = u8::try_from((nodes + 1).next_power_of_two().ilog2()).unwrap_or(8);
        let networks = [
            ("node-cidr", self.nodes, family.width() - 8),
            ("pod-cidr", self.pods, family.node_share() - shares),
            ("service-cidr", self.services, family.width() - 4),
        ];
        for (flag, cidr, longest) in networks {
            if cidr.family() != family {
                return Err(OptionsError::Family { flag, cidr, family });
            }
            if let Some(why) = cidr.special_use() {
                return Err(OptionsError::Special { flag, cidr, why });
            }
            if cidr.prefix_len() > longest {
                return Err(OptionsError::TooSmall {
                    flag,
                    cidr,
                    nodes,
                    longest,
                });
            }
        }
        for (index, (a, first, _)) in networks.iter().enumerate() {
            if let Some((b, ..)) = networks[index + 1..]
                .iter()
                .find(|(_, second, _)| first.overlaps(*second))
            {
                return Err(OptionsError::Overlap { a, b });
            }
        }
        Ok(())
    }
}

/// What a name means already where a place of a lab is named, or a flag is expected.
fn other_meaning(name: &NodeName) -> Option<&'static str> {
    match name.as_str() {
        "fabric" => Some("that is the place between the nodes"),
        "all" => Some("in a fault that means every node"),
        "." | ".." => Some("that is a folder"),
        name if name.starts_with('-') => Some("it looks like a flag"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
