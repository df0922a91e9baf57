//! Rules of the kernel's packet filter, of both back ends: nftables (which iptables-nft writes too) and the legacy tables of
//! iptables. What a rule tests that is not known here stays as words, so that nobody takes it for a rule without a test.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Prefix;
use crate::Port;

/// All tables that stand.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Netfilter {
    /// In the order in which they were read.
    pub tables: Vec<Table>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Who keeps it.
    pub backend: Backend,
    /// What packets it sees.
    pub family: TableFamily,
    /// Its name: `filter`, `nat`, `firewalld`.
    pub name: String,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// Which part of the kernel keeps a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// nf_tables: `nft` and iptables-nft.
    Nft,
    /// ip_tables: iptables-legacy.
    Legacy,
}

/// What packets a table sees (`NFPROTO_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableFamily {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Both.
    Inet,
    /// ARP.
    Arp,
    /// Frames on bridges.
    Bridge,
    /// Frames of one device.
    Netdev,
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
        })
    }
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where it hangs, if packets come to it by themselves; nowhere if its table is dormant.
    pub base: Option<Base>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// Where a chain hangs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// At which point of a packet's way.
    pub hook: Hook,
    /// The lower comes first; 0 is `filter`, -100 `dstnat`, 100 `srcnat`.
    pub priority: i32,
    /// What becomes of packets that no rule decides: accepted, else dropped.
    pub accepts: bool,
    /// What kind of chain: `filter`, `nat`, `route`.
    pub kind: String,
    /// The devices that it hangs on (tables of the netdev family).
    #[serde(default)]
    pub links: Vec<String>,
}

/// A point of a packet's way (`enum nf_inet_hooks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// All that comes in.
    Prerouting,
    /// What is for this machine.
    Input,
    /// What goes on to another.
    Forward,
    /// What this machine sends.
    Output,
    /// All that leaves.
    Postrouting,
    /// Of a device, before all others.
    Ingress,
    /// Of a device, after all others.
    Egress,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// As an operator would write it, near enough to find it again.
    pub text: String,
    /// What it tests; all must hold.
    pub tests: Vec<MatchTest>,
    /// What it does.
    pub action: Action,
    /// Packets that it met, where it counts.
    pub packets: Option<u64>,
    /// The number by which nftables knows it in its chain (`nft -a list ruleset`). Rules that are one there have one number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<u64>,
}

/// A test, and whether it is turned round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchTest {
    /// The test holds where the match does not.
    pub not: bool,
    /// What is tested.
    pub on: Match,
}

/// What a rule can test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// The protocol's number: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6.
    Protocol(u8),
    /// The source's address, in any of these.
    Source(Vec<Prefix>),
    /// The destination's address, in any of these.
    Destination(Vec<Prefix>),
    /// The source port, in any of these.
    SourcePort(Vec<PortRange>),
    /// The destination port, in any of these.
    DestinationPort(Vec<PortRange>),
    /// The device that it came by; a `+` at the end stands for anything.
    InLink(String),
    /// The device that it leaves by.
    OutLink(String),
    /// The state of its connection.
    Connection(ConnectionStates),
    /// The destination of its connection was translated (`ct status dnat`).
    DestinationTranslated,
    /// The packet's mark under a mask.
    Mark {
        /// What is wanted.
        value: u32,
        /// The bits that count.
        mask: u32,
    },
    /// The destination is an address of this machine (`fib daddr type local`, `--dst-type LOCAL`).
    DestinationIsLocal,
    /// The source is an address of this machine.
    SourceIsLocal,
    /// An ICMP or ICMPv6 message of this type, and of this code if one is given.
    Icmp {
        /// Its type: 8 echo request, 3 unreachable; 128 and 1 in ICMPv6.
        kind: u8,
        /// Its code.
        code: Option<u8>,
    },
    /// The IP packet's length in bytes, from and to.
    Length(u32, u32),
    /// True for a share of packets, 0 to 1.
    Random(f64),
    /// Always true: a remark.
    Comment(String),
    /// Something else, in words.
    Other(String),
}

/// Ports, from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub from: Port,
    /// The last.
    pub to: Port,
}

/// States of a connection (`NF_CT_STATE_*`); any of those that are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of flags, as the kernel has it"
)]
pub struct ConnectionStates {
    /// Belongs to none.
    pub invalid: bool,
    /// Packets went both ways.
    pub established: bool,
    /// Belongs to another one, as ICMP errors do.
    pub related: bool,
    /// Begins one.
    pub new: bool,
    /// Not tracked.
    pub untracked: bool,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Lets it pass this chain.
    Accept,
    /// Drops it silently.
    Drop,
    /// Drops it with an ICMP error of this type and code.
    Reject {
        /// The ICMP type.
        kind: u8,
        /// The ICMP code.
        code: u8,
    },
    /// Drops it with a TCP reset.
    Reset,
    /// Goes on in another chain, and comes back.
    Jump(String),
    /// Goes on in another chain.
    Goto(String),
    /// Goes back, or to the policy.
    Return,
    /// Translates the destination.
    DestinationNat {
        /// To which address, where it is fixed.
        address: Option<IpAddr>,
        /// To which port, where it is fixed.
        port: Option<Port>,
    },
    /// Translates the source.
    SourceNat {
        /// To which address; `None` for that of the outgoing device.
        address: Option<IpAddr>,
    },
    /// Sets the packet's mark.
    SetMark,
    /// Nothing that decides: it counts, logs.
    Continue,
    /// Something else, in words: a verdict map.
    Other(String),
}
