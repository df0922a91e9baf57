//! Network devices and what hangs on them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Prefix;
use crate::{OverlayKind, Port};

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its number in its namespace.
    pub index: u32,
    /// What kind it is (`IFLA_INFO_KIND`): `vxlan`, `ipip`, `veth`, `bridge`; empty for hardware and loopback.
    pub kind: String,
    /// It is switched on (`IFF_UP`).
    pub up: bool,
    /// Whether anything is at the other end (`IFLA_OPERSTATE`).
    pub carrier: Carrier,
    /// The largest packet that it takes, in bytes.
    pub mtu: u32,
    /// Its hardware address, where it has one.
    pub mac: Option<MacAddress>,
    /// The bridge or bond that it belongs to.
    pub master: Option<String>,
    /// Where its packets go, if it is a tunnel.
    pub tunnel: Option<Tunnel>,
    /// What went through.
    pub counters: LinkCounters,
    /// What else its kind says of itself (`IFLA_INFO_DATA`, `IFLA_INFO_SLAVE_DATA`): `hairpin` of a bridge's port,
    /// `learning` and `udp-checksum` of a VXLAN device.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
}

/// Whether a device has a connection (RFC 2863, `IF_OPER_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// It has.
    Up,
    /// It has none.
    Down,
    /// The device does not say, as loopback and many tunnels.
    Unknown,
}

/// A device that encapsulates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// How.
    pub kind: OverlayKind,
    /// The UDP port that it sends to and listens on, where it has one.
    pub port: Option<Port>,
    /// The VXLAN or Geneve network, where it has one.
    pub vni: Option<u32>,
    /// The outer source address, where it is fixed.
    pub local: Option<IpAddr>,
    /// The only peer, where there is only one.
    pub remote: Option<IpAddr>,
    /// The device below, where it is fixed.
    pub below: Option<String>,
}

/// Packets that went through a device (`IFLA_STATS64`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkCounters {
    /// Received packets.
    pub received: u64,
    /// Sent packets.
    pub sent: u64,
    /// Received and then dropped.
    pub receive_dropped: u64,
    /// Dropped before they were sent.
    pub send_dropped: u64,
    /// Errors on receiving.
    pub receive_errors: u64,
    /// Errors on sending.
    pub send_errors: u64,
}

/// An address of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkAddress {
    /// The device.
    pub link: String,
    /// The address.
    pub address: IpAddr,
    /// The network that it spans.
    pub network: Prefix,
}

/// Where a MAC address is: behind which peer of a VXLAN device, or which port of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardingEntry {
    /// The VXLAN device, or the bridge's port.
    pub link: String,
    /// The address; all zeros means whatever has no entry of its own.
    pub mac: MacAddress,
    /// The peer's outer address (VXLAN).
    pub peer: Option<IpAddr>,
}

/// A hardware address of six bytes (IEEE 802).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

/// Text that is no hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no hardware address such as 02:00:00:00:00:01")]
pub struct BadMacAddress(String);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let between = if place == 0 { "" } else { ":" };
            write!(f, "{between}{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for MacAddress {
    type Err = BadMacAddress;

    fn from_str(text: &str) -> Result<Self, BadMacAddress> {
        let bad = || BadMacAddress(text.to_owned());
        let bytes: Result<Vec<u8>, _> = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
        let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(bad)
    }
}

impl TryFrom<String> for MacAddress {
    type Error = BadMacAddress;

    fn try_from(text: String) -> Result<Self, BadMacAddress> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}
