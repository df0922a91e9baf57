//! What a kernel says of itself and its network: read by an agent in the place where it stands, compared and weighed in
//! `mesh-core`. Facts are typed where something is decided by them, and all of them can be shown as lines.

mod lines;
mod link;
mod netfilter;
mod route;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use self::lines::Fact;
pub use self::link::{
    BadMacAddress, Carrier, ForwardingEntry, Link, LinkAddress, LinkCounters, MacAddress, Tunnel,
};
pub use self::netfilter::{
    Action, Backend, Base, Chain, ConnectionStates, Hook, Match, MatchTest, Netfilter, PortRange, Rule,
    Table, TableFamily,
};
pub use self::route::{BadPrefix, Neighbour, NeighbourState, Prefix, Route, RouteKind, RoutingRule};
use crate::{Port, Protocol};

/// All that was read in one place, and what could not be.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostFacts {
    /// The kernel's release, as `uname -r` says it.
    pub kernel: String,
    /// Since the machine started, in seconds.
    pub uptime_s: u64,
    /// Sysctls by their dotted names (`net.ipv4.ip_forward`). Per interface: `net.ipv4.conf.eth0.rp_filter`.
    pub sysctls: BTreeMap<String, String>,
    /// Network devices (rtnetlink `RTM_GETLINK`).
    pub links: Vec<Link>,
    /// Their addresses (`RTM_GETADDR`).
    pub addresses: Vec<LinkAddress>,
    /// Routes of all tables (`RTM_GETROUTE`).
    pub routes: Vec<Route>,
    /// Policy routing (`RTM_GETRULE`).
    pub routing_rules: Vec<RoutingRule>,
    /// ARP and NDP entries (`RTM_GETNEIGH`).
    pub neighbours: Vec<Neighbour>,
    /// Entries of VXLAN devices and bridges: which MAC address is where (`RTM_GETNEIGH`, `AF_BRIDGE`).
    pub forwarding_entries: Vec<ForwardingEntry>,
    /// Firewall and NAT rules of both back ends.
    pub netfilter: Netfilter,
    /// The connection table, where there is one.
    pub conntrack: Option<Conntrack>,
    /// Counters of the protocols by `Group.Name`, as `/proc/net/snmp` and `/proc/net/netstat` have them:
    /// `Ip.ForwDatagrams`, `TcpExt.IPReversePathFilter`.
    pub counters: BTreeMap<String, u64>,
    /// What listens.
    pub listening: Vec<Listening>,
    /// What could not be read.
    pub missing: Vec<Missing>,
}

/// The connection table (`nf_conntrack`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Conntrack {
    /// Entries in it, of this network namespace.
    pub count: u64,
    /// How many there may be.
    pub max: u64,
    /// Packets dropped since an entry could not be made (`/proc/net/stat/nf_conntrack`, `drop` and `early_drop`).
    pub dropped: u64,
}

/// A socket that waits for others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listening {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where; unspecified for all addresses.
    pub address: IpAddr,
    /// At which port.
    pub port: Port,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What: `nftables rules`.
    pub what: String,
    /// Why, in words: `no CAP_NET_ADMIN`.
    pub why: String,
}

impl HostFacts {
    /// A sysctl, by its dotted name.
    pub fn sysctl(&self, name: &str) -> Option<&str> {
        self.sysctls.get(name).map(String::as_str)
    }

    /// A device, by its name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Whether the machine itself has this address.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|of| of.address == address)
    }

    /// Why something that is called so could not be read, if it could not.
    pub fn why_missing(&self, what: &str) -> Option<&str> {
        self.missing
            .iter()
            .find(|of| of.what == what)
            .map(|of| of.why.as_str())
    }
}

/// The name under which [`HostFacts::missing`] speaks of the rules of nftables.
pub const NFTABLES_RULES: &str = "nftables rules";
/// The name under which [`HostFacts::missing`] speaks of the rules of the legacy back end of iptables.
pub const LEGACY_RULES: &str = "iptables-legacy rules";
