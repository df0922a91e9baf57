//! Where packets go: routes, routing rules, neighbours.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::MacAddress;

/// A route, by one way: a route with several next hops is there once for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its table; 254 is `main`, 255 `local`.
    pub table: u32,
    /// What it is for; a prefix of length 0 is the default route.
    pub to: Prefix,
    /// What becomes of packets.
    pub kind: RouteKind,
    /// The next hop, where there is one.
    pub gateway: Option<IpAddr>,
    /// The device.
    pub link: Option<String>,
    /// The source address that it suggests.
    pub source: Option<IpAddr>,
    /// Its metric; the lower wins.
    pub metric: u32,
    /// The MTU that it sets for its packets, in bytes (`RTAX_MTU`).
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Who wrote it (`RTPROT_*`): 2 the kernel, 3 and 4 somebody by hand, 12 and 186 a BGP daemon.
    #[serde(default)]
    pub protocol: u8,
    /// Its device is off or has no carrier, so that the kernel passes it over (`RTNH_F_DEAD`, `RTNH_F_LINKDOWN`).
    #[serde(default)]
    pub dead: bool,
}

/// What a route does with packets (`rtm_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteKind {
    /// Sends them on.
    Unicast,
    /// They are for this machine.
    Local,
    /// Broadcast, multicast, anycast.
    Other,
    /// Drops them silently; local senders get EINVAL.
    Blackhole,
    /// Drops them, with ICMP host unreachable.
    Unreachable,
    /// Drops them, with ICMP administratively prohibited.
    Prohibit,
    /// Ends the search in this table.
    Throw,
}

/// A rule of policy routing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingRule {
    /// The lower comes first.
    pub priority: u32,
    /// Only from here.
    pub from: Option<Prefix>,
    /// Only to here.
    pub to: Option<Prefix>,
    /// Only with this mark, under this mask.
    pub mark: Option<(u32, u32)>,
    /// Only from this device.
    pub link: Option<String>,
    /// The table to look into; `None` for a rule that ends the search.
    pub table: Option<u32>,
    /// It is for IPv6; else for IPv4.
    #[serde(default)]
    pub v6: bool,
    /// It is turned round: it holds where one of its tests does not.
    #[serde(default)]
    pub not: bool,
    /// What else it tests or does, in words: `prohibit`, `suppress_prefixlength 0`.
    #[serde(default)]
    pub also: Option<String>,
}

/// Who has an address on a device (ARP, NDP).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The address.
    pub address: IpAddr,
    /// The device.
    pub link: String,
    /// Its hardware address, where known.
    pub mac: Option<MacAddress>,
    /// How sure that is.
    pub state: NeighbourState,
}

/// How sure a neighbour entry is (`NUD_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NeighbourState {
    /// It answered lately.
    Reachable,
    /// It answered once; stale, delay and probe.
    Stale,
    /// Being asked for.
    Incomplete,
    /// It did not answer.
    Failed,
    /// Somebody wrote it by hand.
    Permanent,
    /// The device needs no ARP.
    NoArp,
}

impl fmt::Display for NeighbourState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Permanent => "permanent",
            Self::NoArp => "noarp",
        })
    }
}

/// A network: an address and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    /// The address; bits that do not count may be set.
    pub address: IpAddr,
    /// How many bits count.
    pub len: u8,
}

/// Text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network such as 10.244.0.0/16 or fd00::/64")]
pub struct BadPrefix(String);

impl Prefix {
    /// A single address.
    pub fn host(address: IpAddr) -> Self {
        let len = if address.is_ipv4() { 32 } else { 128 };
        Self { address, len }
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (bits(self.address), bits(address)) {
            ((base, all), (other, width)) if all == width => {
                let free = all.saturating_sub(u32::from(self.len));
                free >= 128 || base >> free == other >> free
            }
            _ => false,
        }
    }

    /// Whether every address of the other is in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.len <= other.len && self.contains(other.address)
    }
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u32::from(v4).into(), 32),
        IpAddr::V6(v6) => (v6.into(), 128),
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl FromStr for Prefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let bad = || BadPrefix(text.to_owned());
        let (address, len) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let len: u8 = len.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if len <= most {
            Ok(Self { address, len })
        } else {
            Err(bad())
        }
    }
}

impl TryFrom<String> for Prefix {
    type Error = BadPrefix;

    fn try_from(text: String) -> Result<Self, BadPrefix> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}
