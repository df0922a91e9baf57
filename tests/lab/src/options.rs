//! What a lab should look like.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use mesh_proto::{NodeName, Port};
use serde::{Deserialize, Serialize};

/// The shape of a lab. All of it may be chosen, so that nothing that holds in a lab hangs on a name or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabOptions {
    /// The nodes' names; their number is the lab's size.
    pub nodes: Vec<NodeName>,
    /// The network that the nodes stand in.
    pub node_cidr: Cidr,
    /// The pod network; each node has a /24 of it.
    pub pod_cidr: Cidr,
    /// Service addresses: the API is the first, DNS the tenth.
    pub service_cidr: Cidr,
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
}

/// How pod packets cross the node network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encapsulation {
    /// VXLAN on this UDP port.
    Vxlan(Port),
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
    /// Two networks share addresses.
    #[error("--{a} and --{b} overlap")]
    Overlap {
        /// One flag.
        a: &'static str,
        /// The other.
        b: &'static str,
    },
    /// An MTU that IPv4 cannot work with.
    #[error("--mtu {0} is not between 1000 and 9000")]
    Mtu(u32),
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
            node_cidr: Cidr::new([172, 18, 0, 0], 16),
            pod_cidr: Cidr::new([10, 244, 0, 0], 16),
            service_cidr: Cidr::new([10, 96, 0, 0], 12),
            encapsulation: Encapsulation::Vxlan(Port(4789)),
            pod_network: PodNetwork::Routed,
            mtu: 1_500,
            responder_port: Port(9441),
            node_port: Port(30080),
            api_port: Port(6443),
            nat_outgoing: true,
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
        let networks = [
            ("node-cidr", self.node_cidr, 24),
            // A /24 for each node, and the first is left free.
            (
                "pod-cidr",
                self.pod_cidr,
                24 - u8::try_from((nodes + 1).next_power_of_two().ilog2()).unwrap_or(8),
            ),
            ("service-cidr", self.service_cidr, 28),
        ];
        for (flag, cidr, longest) in networks {
            if let Some(why) = cidr.special_use() {
                return Err(OptionsError::Special { flag, cidr, why });
            }
            if cidr.len > longest {
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
        if !(1_000..=9_000).contains(&self.mtu) {
            return Err(OptionsError::Mtu(self.mtu));
        }
        self.check_ports()
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

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    base: Ipv4Addr,
    len: u8,
}

/// Text that is no IPv4 network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no IPv4 network such as 10.244.0.0/16")]
pub struct BadCidr(String);

impl Cidr {
    /// The address so far from the beginning.
    pub fn address(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base).wrapping_add(offset))
    }

    /// The last address but the broadcast.
    pub fn last(self) -> Ipv4Addr {
        self.address((u32::MAX >> self.len).saturating_sub(1))
    }

    /// The /24 with this number.
    #[must_use]
    pub fn slash_24(self, number: u32) -> Self {
        Self {
            base: self.address(number << 8),
            len: 24,
        }
    }

    /// The prefix length.
    pub fn prefix_len(self) -> u8 {
        self.len
    }

    /// What some of its addresses are for, if machines cannot have them (RFC 6890 and `net/ipv4/fib_frontend.c`).
    fn special_use(self) -> Option<&'static str> {
        const SPECIAL: [(Cidr, &str); 5] = [
            (
                Cidr::new([0, 0, 0, 0], 8),
                "0.0.0.0/8 means this network (RFC 791)",
            ),
            (Cidr::new([127, 0, 0, 0], 8), "127.0.0.0/8 is loopback (RFC 1122)"),
            (
                Cidr::new([169, 254, 0, 0], 16),
                "169.254.0.0/16 is link-local (RFC 3927)",
            ),
            (
                Cidr::new([224, 0, 0, 0], 4),
                "224.0.0.0/4 is multicast (RFC 5771)",
            ),
            (Cidr::new([240, 0, 0, 0], 4), "240.0.0.0/4 is reserved (RFC 1112)"),
        ];
        SPECIAL
            .into_iter()
            .find(|(special, _)| self.overlaps(*special))
            .map(|(_, why)| why)
    }

    const fn new([a, b, c, d]: [u8; 4], len: u8) -> Self {
        Self {
            base: Ipv4Addr::new(a, b, c, d),
            len,
        }
    }

    fn overlaps(self, other: Self) -> bool {
        let len = self.len.min(other.len);
        let mask = if len == 0 { 0 } else { u32::MAX << (32 - len) };
        u32::from(self.base) & mask == u32::from(other.base) & mask
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let bad = || BadCidr(text.to_owned());
        let (base, len) = text.split_once('/').ok_or_else(bad)?;
        let base: Ipv4Addr = base.parse().map_err(|_| bad())?;
        let len: u8 = len.parse().map_err(|_| bad())?;
        if !(1..=30).contains(&len) || u32::from(base) & (u32::MAX >> len) != 0 {
            return Err(bad());
        }
        Ok(Self { base, len })
    }
}

impl TryFrom<String> for Cidr {
    type Error = BadCidr;

    fn try_from(text: String) -> Result<Self, BadCidr> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_lab_fits_at_any_size() {
        for nodes in [1, 2, 3, 30, MOST_NODES] {
            assert_eq!(LabOptions::of_size(nodes).unwrap().check(), Ok(()), "{nodes}");
        }
        assert_eq!(LabOptions::of_size(251), Err(OptionsError::NodeCount(251)));
        assert_eq!(
            LabOptions::of_size(0).unwrap().check(),
            Err(OptionsError::NodeCount(0))
        );
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let usual = LabOptions::of_size(3).unwrap();
        let with = |change: fn(&mut LabOptions)| {
            let mut options = usual.clone();
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        let cases = [
            (
                with(|lab| lab.nodes[0] = lab.nodes[1].clone()),
                "two nodes are called node-2",
            ),
            (
                with(|lab| lab.pod_cidr = "10.244.0.0/24".parse().unwrap()),
                "--pod-cidr 10.244.0.0/24 is too small",
            ),
            (
                with(|lab| lab.service_cidr = "10.244.0.0/20".parse().unwrap()),
                "--pod-cidr and --service-cidr overlap",
            ),
            (with(|lab| lab.mtu = 9_001), "--mtu 9001"),
            (with(|lab| lab.api_port = Port(30081)), "port 30081 is used twice"),
            (
                with(|lab| lab.nodes[1] = "fabric".parse().unwrap()),
                "a node of a lab cannot be called fabric: that is the place between the nodes",
            ),
            (
                with(|lab| lab.nodes[1] = "all".parse().unwrap()),
                "cannot be called all",
            ),
            (
                with(|lab| lab.nodes[1] = "..".parse().unwrap()),
                "cannot be called ..",
            ),
            (
                with(|lab| lab.nodes[1] = "-v".parse().unwrap()),
                "it looks like a flag",
            ),
            (with(|lab| lab.node_port = Port(65_535)), "port 0"),
        ];
        for (said, expected) in cases {
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn machines_have_no_special_addresses() {
        for special in [
            "0.0.0.0/8",
            "0.0.0.0/1",
            "127.0.0.0/8",
            "127.8.0.0/16",
            "169.254.0.0/16",
            "224.0.0.0/8",
            "240.0.0.0/8",
            "192.0.0.0/2",
        ] {
            let cidr: Cidr = special.parse().unwrap();
            for flag in ["node-cidr", "pod-cidr", "service-cidr"] {
                let mut lab = LabOptions::of_size(3).unwrap();
                *match flag {
                    "node-cidr" => &mut lab.node_cidr,
                    "pod-cidr" => &mut lab.pod_cidr,
                    _ => &mut lab.service_cidr,
                } = cidr;
                let said = lab.check().map_err(|error| error.to_string());
                let expected = format!("--{flag} {special} cannot be used: ");
                assert!(
                    matches!(&said, Err(said) if said.starts_with(&expected)),
                    "{said:?}"
                );
            }
        }
    }

    #[test]
    fn networks_are_read_strictly() {
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.1/24",
            "10.0.0.0/31",
            "10.0.0.0/0",
            "fd00::/64",
            "10.0.0.0/x",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        let cidr: Cidr = "10.244.0.0/16".parse().unwrap();
        assert_eq!(cidr.to_string(), "10.244.0.0/16");
        assert_eq!(cidr.slash_24(3).address(20), Ipv4Addr::new(10, 244, 3, 20));
        assert_eq!(cidr.last(), Ipv4Addr::new(10, 244, 255, 254));
    }
}
