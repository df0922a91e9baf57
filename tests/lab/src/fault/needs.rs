//! What a lab must be like for a fault.

use super::Fault;
use super::values::Value;
use crate::cidr::IpFamily;
use crate::options::{Encapsulation, PodNetwork};
use crate::topology::Topology;

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
