//! Faults that a lab can have: a table of them, their spelling on the command line, and where each stands. What each does
//! to the network is in [`actions`].

mod actions;
mod allowed;
mod spec;

use mesh_proto::{Cause, Direction, Plane};
use serde::{Deserialize, Serialize};

pub(crate) use self::actions::Action;
pub use self::spec::{FaultError, FaultSpec};
use crate::topology::{Role, Topology};

/// A kind of fault, as `mesh lab faults` lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultKind {
    /// Its name: that of the cause that mesh should find.
    pub cause: Cause,
    /// The keys that it takes, each with what it says.
    pub keys: &'static [(&'static str, &'static str)],
    /// What it does.
    pub meaning: &'static str,
}

const NODE: (&str, &str) = ("node", "NAME of a node; the second if left out");
const PEER: (&str, &str) = (
    "peer",
    "NAME of the other node; the first that is not the node if left out",
);
const SHARE: (&str, &str) = ("share", "of packets that are lost, in percent");
const HOW: (&str, &str) = ("how", "silent (default) or refused");

/// All faults, in the order of the causes. A new one has its row here and its arm in `fault/actions.rs`.
pub const FAULTS: &[FaultKind] = &[
    FaultKind {
        cause: Cause::NodeDown,
        keys: &[NODE],
        meaning: "the node's uplink is cut and its agents are killed",
    },
    FaultKind {
        cause: Cause::NodePartitioned,
        keys: &[NODE, ("peer", "NAME of a node: then only this pair is cut")],
        meaning: "the fabric passes nothing to and from the node, or between the pair",
    },
    FaultKind {
        cause: Cause::OverlayPortBlocked,
        keys: &[
            NODE,
            ("direction", "ingress (default), egress or both"),
            ("action", "drop (default) or reject"),
        ],
        meaning: "the node's firewall blocks the overlay's UDP port",
    },
    FaultKind {
        cause: Cause::OverlayPortMismatch,
        keys: &[
            NODE,
            (
                "port",
                "the port that the node's overlay has instead; the next free one if left out",
            ),
        ],
        meaning: "the node's overlay uses another UDP port",
    },
    FaultKind {
        cause: Cause::OverlayDeviceDown,
        keys: &[NODE],
        meaning: "the node's overlay device is down",
    },
    FaultKind {
        cause: Cause::OverlayPeerStale,
        keys: &[NODE, PEER],
        meaning: "the node's overlay sends what is for the peer to nobody",
    },
    FaultKind {
        cause: Cause::NeighbourStale,
        keys: &[NODE, PEER],
        meaning: "the node's ARP entry for the peer has a wrong MAC address",
    },
    FaultKind {
        cause: Cause::ForwardRejected,
        keys: &[NODE, ("code", "of ICMP type 3: 13 (default), 10 or 9")],
        meaning: "the node's firewall rejects forwarded packets",
    },
    FaultKind {
        cause: Cause::ForwardDropped,
        keys: &[NODE],
        meaning: "the policy of FORWARD on the node is DROP",
    },
    FaultKind {
        cause: Cause::IpForwardOff,
        keys: &[NODE],
        meaning: "net.ipv4.ip_forward is 0 on the node",
    },
    FaultKind {
        cause: Cause::PodRoutesMissing,
        keys: &[("node", "NAME of a node, or all (default)")],
        meaning: "the routes to other nodes' pods are gone",
    },
    FaultKind {
        cause: Cause::UnderlayDropsPods,
        keys: &[],
        meaning: "the fabric drops packets with pod addresses (encapsulation none)",
    },
    FaultKind {
        cause: Cause::MtuBlackhole,
        keys: &[
            NODE,
            (
                "size",
                "in bytes, of the largest IP packet that passes; 1400 if left out, or 100 below the MTU",
            ),
        ],
        meaning: "the fabric loses larger packets to and from the node, without a word",
    },
    FaultKind {
        cause: Cause::LoopbackDown,
        keys: &[NODE],
        meaning: "lo is down on the node",
    },
    FaultKind {
        cause: Cause::KubeProxyMissing,
        keys: &[NODE],
        meaning: "the node has no service rules",
    },
    FaultKind {
        cause: Cause::ServiceNoEndpoints,
        keys: &[("service", "api or dns (default)")],
        meaning: "every node rejects what is for the service",
    },
    FaultKind {
        cause: Cause::ApiServerDown,
        keys: &[HOW],
        meaning: "nothing listens where the API server should",
    },
    FaultKind {
        cause: Cause::DnsEndpointDown,
        keys: &[
            (
                "node",
                "NAME of the DNS pod's node; the first that has one if left out",
            ),
            HOW,
        ],
        meaning: "one DNS server is dead",
    },
    FaultKind {
        cause: Cause::DnsDown,
        keys: &[HOW],
        meaning: "all DNS servers are dead",
    },
    FaultKind {
        cause: Cause::ProtocolFiltered,
        keys: &[NODE, ("protocol", "icmp, tcp or udp (default)")],
        meaning: "the node drops the protocol, coming in and forwarded",
    },
    FaultKind {
        cause: Cause::OneWayLoss,
        keys: &[
            ("from", "NAME of a node; the first if left out"),
            ("to", "NAME of a node; the second if left out"),
            SHARE,
        ],
        meaning: "the fabric loses packets from one node to another (all of them if no share is given)",
    },
    FaultKind {
        cause: Cause::FlowLoss,
        keys: &[NODE],
        meaning: "the fabric loses a quarter of all flows to the node, always the same ones",
    },
    FaultKind {
        cause: Cause::RandomLoss,
        keys: &[NODE, SHARE],
        meaning: "the fabric loses a share (20 if left out) of all packets to and from the node",
    },
    FaultKind {
        cause: Cause::LocalEgressBlocked,
        keys: &[NODE],
        meaning: "the node's own firewall refuses to send what is not for itself",
    },
];

/// A fault in a certain lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its kind, by its cause.
    pub cause: Cause,
    values: std::collections::BTreeMap<String, String>,
}

/// Where mesh should find a fault, in the report's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The nodes at fault.
    pub nodes: Vec<String>,
    /// `[from, to]` pairs at fault; of a pair that is cut both ways one order.
    pub pairs: Vec<(String, String)>,
    /// The plane at fault; `None` where it is both, or the report may leave it open.
    pub plane: Option<Plane>,
    /// Which way; `None` where the report may leave it open.
    pub direction: Option<Direction>,
}

impl Fault {
    /// Where it stands.
    pub fn place(&self, topology: &Topology) -> Place {
        let node = || vec![self.value("node").to_owned()];
        let pair = |a: &str, b: &str| vec![(self.value(a).to_owned(), self.value(b).to_owned())];
        match self.cause {
            Cause::NodePartitioned if self.has("peer") => Place {
                pairs: pair("node", "peer"),
                ..Place::default()
            },
            Cause::OverlayPeerStale => Place {
                pairs: pair("node", "peer"),
                plane: Some(Plane::Pod),
                ..Place::default()
            },
            Cause::NeighbourStale => Place {
                pairs: pair("node", "peer"),
                ..Place::default()
            },
            Cause::OneWayLoss => Place {
                pairs: pair("from", "to"),
                ..Place::default()
            },
            Cause::OverlayPortBlocked => Place {
                nodes: node(),
                plane: Some(Plane::Pod),
                direction: match self.value("direction") {
                    "egress" => Some(Direction::Egress),
                    "both" => None,
                    _ => Some(Direction::Ingress),
                },
                ..Place::default()
            },
            Cause::PodRoutesMissing if self.value("node") == "all" => Place {
                plane: Some(Plane::Pod),
                ..Place::default()
            },
            Cause::OverlayPortMismatch
            | Cause::OverlayDeviceDown
            | Cause::ForwardRejected
            | Cause::ForwardDropped
            | Cause::IpForwardOff
            | Cause::PodRoutesMissing => Place {
                nodes: node(),
                plane: Some(Plane::Pod),
                ..Place::default()
            },
            Cause::UnderlayDropsPods | Cause::ServiceNoEndpoints | Cause::DnsDown => Place::default(),
            Cause::ApiServerDown => {
                let home = topology.nodes.first().map(|node| node.name.as_str().to_owned());
                Place {
                    nodes: home.into_iter().collect(),
                    ..Place::default()
                }
            }
            _ => Place {
                nodes: node(),
                ..Place::default()
            },
        }
    }

    fn value(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }

    fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// A key's value if none is given.
    fn default_of(&self, key: &str, topology: &Topology) -> Option<String> {
        let name = |index: usize| {
            topology
                .nodes
                .get(index)
                .map(|node| node.name.as_str().to_owned())
        };
        match (self.cause, key) {
            (Cause::PodRoutesMissing, "node") => Some("all".to_owned()),
            (Cause::DnsEndpointDown, "node") => topology
                .pods(Role::Dns)
                .next()
                .map(|(node, _)| node.name.as_str().to_owned()),
            (Cause::NodePartitioned, "peer") | (Cause::OneWayLoss, "share") => None,
            (Cause::OverlayPortMismatch, "port") => match topology.options.encapsulation {
                crate::options::Encapsulation::Vxlan(port) => {
                    let taken = topology.options.ports();
                    let after = (port.0..=u16::MAX).chain(1..port.0).map(mesh_proto::Port);
                    let mut free = after.filter(|port| !taken.contains(port));
                    free.next().map(|port| port.to_string())
                }
                crate::options::Encapsulation::None => None,
            },
            (_, "node" | "to") => name(1).or_else(|| name(0)),
            (_, "from") => name(0),
            (_, "peer") => topology
                .nodes
                .iter()
                .map(|node| node.name.as_str().to_owned())
                .find(|name| name != self.value("node")),
            (_, "direction") => Some("ingress".to_owned()),
            (_, "action") => Some("drop".to_owned()),
            (_, "how") => Some("silent".to_owned()),
            (_, "code") => Some("13".to_owned()),
            (_, "size") => Some(1_400.min(topology.options.mtu - 100).to_string()),
            (_, "share") => Some("20".to_owned()),
            (_, "protocol") => Some("udp".to_owned()),
            (_, "service") => Some("dns".to_owned()),
            _ => None,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.cause)?;
        for (place, (key, value)) in self.values.iter().enumerate() {
            let before = if place == 0 { ':' } else { ',' };
            write!(f, "{before}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
