//! What is odd about a lab and does no harm: firewalls that accept what they must, rules that somebody left behind, kernels
//! that are set otherwise. Nothing of it may make a cell red. Pure.

mod firewalld;
mod leftovers;
mod ufw;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cidr::IpFamily;
use crate::fault::Action;
use crate::options::{Encapsulation, LabOptions, OptionsError};
use crate::space::Space;
use crate::topology::{Node, Topology};

/// An oddity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oddity {
    /// On every node an nft table as firewalld writes it, which trusts the cluster's networks and rejects all others.
    Firewalld,
    /// On every node iptables chains as ufw writes them, whose policy is DROP, and which accept the cluster's networks.
    Ufw,
    /// In the other back end of iptables rules of a pod network that is gone: its dispatch to pods that are no more.
    Leftovers,
    /// Packets must come from where answers go (`rp_filter` 1), which they do here.
    StrictRpFilter,
    /// The kernel's ICMP errors are not limited.
    IcmpUnlimited,
    /// Pods have 100 bytes less than the network would let them have.
    SmallPodMtu,
    /// What a node asks of a service has the node's address on the pod network, as with kube-proxy's clusterCIDR.
    ServiceMasquerade,
}

impl Oddity {
    /// All of them, as `--odd` names them, each with what it is.
    pub const ALL: [(Self, &'static str, &'static str); 7] = [
        (
            Self::Firewalld,
            "firewalld",
            "an nft firewall like firewalld's, which trusts the cluster's networks",
        ),
        (
            Self::Ufw,
            "ufw",
            "iptables chains like ufw's, which accept the cluster's networks",
        ),
        (
            Self::Leftovers,
            "leftovers",
            "rules for pods that are gone, in the back end of iptables that is not used",
        ),
        (
            Self::StrictRpFilter,
            "strict-rp-filter",
            "rp_filter is 1 where packets come from where answers go",
        ),
        (
            Self::IcmpUnlimited,
            "icmp-unlimited",
            "ICMP errors are sent as fast as they come",
        ),
        (
            Self::SmallPodMtu,
            "small-pod-mtu",
            "pods have an MTU that is smaller than it need be",
        ),
        (
            Self::ServiceMasquerade,
            "service-masquerade",
            "nodes ask services with their address on the pod network",
        ),
    ];

    fn name(self) -> &'static str {
        let row = Self::ALL.into_iter().find(|(oddity, ..)| *oddity == self);
        row.map_or("", |(_, name, _)| name)
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether the oddities of a lab do no harm there.
pub(crate) fn check(options: &LabOptions) -> Result<(), OptionsError> {
    let has = |oddity| options.odd.contains(&oddity);
    // Without natOutgoing a pod's packets go to nodes as they are, and answers come by the overlay.
    if has(Oddity::StrictRpFilter) && !options.nat_outgoing && options.encapsulation != Encapsulation::None {
        return Err(OptionsError::NotOdd {
            oddity: Oddity::StrictRpFilter,
            needs: "--encapsulation none or natOutgoing, or packets do not come from where answers go",
        });
    }
    if has(Oddity::StrictRpFilter)
        && options
            .families()
            .all(|networks| networks.family() == IpFamily::V6)
    {
        return Err(OptionsError::NotOdd {
            oddity: Oddity::StrictRpFilter,
            needs: "IPv4: IPv6 has no rp_filter",
        });
    }
    Ok(())
}

/// What makes a node odd, in one family.
pub(crate) fn actions(topology: &Topology, node: &Node) -> Vec<Action> {
    let odd = &topology.options.odd;
    odd.iter()
        .flat_map(|oddity| match oddity {
            Oddity::Firewalld => firewalld::action(topology, node).into_iter().collect(),
            Oddity::Ufw => vec![ufw::action(topology, node)],
            Oddity::Leftovers => vec![leftovers::action(topology, node)],
            Oddity::StrictRpFilter => match topology.family() {
                IpFamily::V4 => vec![sysctl(node, "net/ipv4/conf/all/rp_filter", "1")],
                IpFamily::V6 => Vec::new(),
            },
            Oddity::IcmpUnlimited => vec![match topology.family() {
                IpFamily::V4 => sysctl(node, "net/ipv4/icmp_ratelimit", "0"),
                IpFamily::V6 => sysctl(node, "net/ipv6/icmp/ratelimit", "0"),
            }],
            // Part of the wiring and of the services.
            Oddity::SmallPodMtu | Oddity::ServiceMasquerade => Vec::new(),
        })
        .collect()
}

fn sysctl(node: &Node, name: &str, value: &'static str) -> Action {
    Action::Sysctl {
        space: Space::of_node(node),
        name: name.to_owned(),
        value,
    }
}

#[cfg(test)]
mod tests;
