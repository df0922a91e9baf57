//! Which values a key of a fault takes in a certain lab: one place, for the check and for its words.

use std::fmt;
use std::ops::RangeInclusive;

use mesh_proto::{Cause, Port};

use super::Fault;
use crate::topology::{Role, Topology};

/// The values that a key takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowed {
    /// These words or names.
    OneOf(Vec<String>),
    /// These numbers; what they count.
    Number(RangeInclusive<u32>, &'static str),
    /// A port that is not taken.
    PortBut(Vec<Port>),
}

impl Allowed {
    /// What `key` of a fault takes in this lab; the fault's earlier keys have their values.
    pub(super) fn of(fault: &Fault, key: &str, topology: &Topology) -> Self {
        let words = |words: &[&str]| Self::OneOf(words.iter().map(|word| (*word).to_owned()).collect());
        let nodes_but = |but: &str| {
            let names = topology.nodes.iter().map(|node| node.name.as_str());
            names.filter(|name| *name != but).map(str::to_owned).collect()
        };
        match key {
            "node" if fault.cause == Cause::PodRoutesMissing => {
                let mut names: Vec<String> = nodes_but("");
                names.insert(0, "all".to_owned());
                Self::OneOf(names)
            }
            "node" if fault.cause == Cause::DnsEndpointDown => {
                let homes = topology.pods(Role::Dns);
                Self::OneOf(homes.map(|(node, _)| node.name.as_str().to_owned()).collect())
            }
            "peer" => Self::OneOf(nodes_but(fault.value("node"))),
            "to" => Self::OneOf(nodes_but(fault.value("from"))),
            "direction" => words(&["ingress", "egress", "both"]),
            "action" => words(&["drop", "reject"]),
            "how" => words(&["silent", "refused"]),
            "code" => words(&["13", "10", "9"]),
            "protocol" => words(&["icmp", "tcp", "udp"]),
            "service" => words(&["api", "dns"]),
            "share" => Self::Number(1..=100, "percent"),
            // What is no smaller than the network's own MTU takes nothing away. Linux wants 576 bytes to pass at least.
            "size" => Self::Number(576..=topology.options.mtu - 1, "bytes"),
            "port" => Self::PortBut(topology.options.ports()),
            _ => Self::OneOf(nodes_but("")),
        }
    }

    /// Whether it takes this one.
    pub(super) fn takes(&self, value: &str) -> bool {
        match self {
            Self::OneOf(all) => all.iter().any(|one| one == value),
            Self::Number(range, _) => value.parse().is_ok_and(|number| range.contains(&number)),
            Self::PortBut(taken) => {
                let port = value.parse().map(Port);
                port.is_ok_and(|port| port != Port(0) && !taken.contains(&port))
            }
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More would only be scrolled away.
        const SHOWN: usize = 12;
        match self {
            Self::OneOf(all) if all.len() == 1 => f.write_str(&all[0]),
            Self::OneOf(all) => {
                let shown: Vec<&str> = all.iter().take(SHOWN).map(String::as_str).collect();
                let more = if all.len() > SHOWN { ", ..." } else { "" };
                write!(f, "one of {}{more}", shown.join(", "))
            }
            Self::Number(range, unit) => write!(f, "{} to {} {unit}", range.start(), range.end()),
            Self::PortBut(taken) => {
                let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "a port from 1 to 65535 that the lab does not use (it uses {})",
                    taken.join(", ")
                )
            }
        }
    }
}
