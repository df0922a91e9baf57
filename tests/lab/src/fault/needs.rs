//! What a lab must be like for a fault.

use mesh_proto::NodeName;

use super::Fault;
use super::values::Value;
use crate::cidr::IpFamily;
use crate::options::{Encapsulation, PodNetwork};
use crate::topology::{Role, Topology};

/// What a lab must be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Any encapsulation.
    Overlay,
    Vxlan,
    NoOverlay,
    /// Pods keep their address on their way out.
    NoNatOutgoing,
    /// Pods on a bridge.
    Bridge,
    /// Agents use IPv4.
    Ipv4,
    /// So many nodes or more.
    Nodes(usize),
    /// Another node than the one where the NodePorts' backend stands: what comes to that one is not sent on.
    AwayFromBackend,
    /// Nodes where pods stand that serve: elsewhere no pod asks a service for one of its own bridge.
    ServingPods,
    /// Only where this key has this word.
    When(&'static str, &'static str, &'static Need),
}

impl Need {
    /// What is missing.
    pub(super) fn missing(self, fault: &Fault, topology: &Topology) -> Option<String> {
        let options = &topology.options;
        let encapsulation = options.encapsulation;
        let (met, words) = match self {
            Self::Overlay => (
                encapsulation != Encapsulation::None,
                "an overlay (--encapsulation vxlan or ipip)",
            ),
            Self::Vxlan => (
                matches!(encapsulation, Encapsulation::Vxlan(_)),
                "an overlay of VXLAN (--encapsulation vxlan)",
            ),
            Self::NoOverlay => (
                encapsulation == Encapsulation::None,
                "a lab without an overlay (--encapsulation none)",
            ),
            Self::NoNatOutgoing => (
                !options.nat_outgoing,
                "pods that keep their address (--no-nat-outgoing)",
            ),
            Self::Bridge => (
                options.pod_network == PodNetwork::Bridge,
                "pods on a bridge (--pod-network bridge)",
            ),
            Self::Ipv4 => (
                topology.family() == IpFamily::V4,
                "agents that use IPv4 (--ip-family)",
            ),
            Self::Nodes(least) => {
                let words = ["no node", "one node", "two nodes", "three nodes"].get(least);
                (topology.nodes.len() >= least, *words.unwrap_or(&"more nodes"))
            }
            Self::AwayFromBackend => {
                let homes: Vec<&NodeName> =
                    topology.pods(Role::Backend).map(|(home, _)| &home.name).collect();
                let met = match fault.values.get("node") {
                    Some(Value::Nodes(names)) => !names.iter().any(|name| homes.contains(&name)),
                    _ => topology.nodes.len() > homes.len(),
                };
                (met, "a node that the NodePorts' backend does not stand on")
            }
            Self::ServingPods => {
                let serves = |name: &NodeName| {
                    let mut homes = topology.pods(Role::Dns).chain(topology.pods(Role::Backend));
                    homes.any(|(home, _)| home.name == *name)
                };
                let met = match fault.values.get("node") {
                    Some(Value::Nodes(names)) => names.iter().all(serves),
                    _ => true,
                };
                (met, "nodes that a DNS pod or the NodePorts' backend stands on")
            }
            Self::When(key, word, need) => {
                let holds = matches!(fault.values.get(key), Some(Value::Word(value)) if *value == word);
                let missing = need.missing(fault, topology).filter(|_| holds)?;
                return Some(format!("with {key}={word} {missing}"));
            }
        };
        let more = if matches!(self, Self::Nodes(_)) {
            " or more"
        } else {
            ""
        };
        (!met).then(|| format!("{words}{more}"))
    }
}
