//! IP networks and families.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IP network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    base: IpAddr,
    len: u8,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Text that is no IP network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no IP network such as 10.244.0.0/16 or fd00:10:244::/48")]
pub struct BadCidr(String);

impl Cidr {
    /// Its family.
    pub fn family(self) -> IpFamily {
        IpFamily::of(self.base)
    }

    /// The address so far from the beginning.
    pub fn address(self, offset: u32) -> IpAddr {
        self.plus(u128::from(offset))
    }

    /// The last address but one: in IPv4 the last one is the broadcast.
    pub fn last(self) -> IpAddr {
        self.plus(self.host_mask().saturating_sub(1))
    }

    /// The part with this number, as large as a node's share of the pod network is: a /24, of IPv6 a /64.
    #[must_use]
    pub fn node_share(self, number: u32) -> Self {
        let len = self.family().node_share();
        let width = self.family().width() - len;
        Self {
            base: self.plus(u128::from(number) << width),
            len,
        }
    }

    /// The prefix length.
    pub fn prefix_len(self) -> u8 {
        self.len
    }

    /// Whether an address is of this network.
    pub fn contains(self, address: IpAddr) -> bool {
        self.overlaps(Self {
            base: address,
            len: IpFamily::of(address).width(),
        })
    }

    /// What some of its addresses are for, if machines cannot have them (RFC 6890, RFC 4291 and `net/ipv4/fib_frontend.c`).
    pub(crate) fn special_use(self) -> Option<&'static str> {
        const SPECIAL: [(Cidr, &str); 8] = [
            (
                Cidr::v4([0, 0, 0, 0], 8),
                "0.0.0.0/8 means this network (RFC 791)",
            ),
            (Cidr::v4([127, 0, 0, 0], 8), "127.0.0.0/8 is loopback (RFC 1122)"),
            (
                Cidr::v4([169, 254, 0, 0], 16),
                "169.254.0.0/16 is link-local (RFC 3927)",
            ),
            (Cidr::v4([224, 0, 0, 0], 4), "224.0.0.0/4 is multicast (RFC 5771)"),
            (Cidr::v4([240, 0, 0, 0], 4), "240.0.0.0/4 is reserved (RFC 1112)"),
            (
                Cidr::v6([0; 3], 8),
                "::/8 holds loopback and mapped IPv4 (RFC 4291)",
            ),
            (Cidr::v6([0xfe80, 0, 0], 10), "fe80::/10 is link-local (RFC 4291)"),
            (Cidr::v6([0xff00, 0, 0], 8), "ff00::/8 is multicast (RFC 4291)"),
        ];
        SPECIAL
            .into_iter()
            .find(|(special, _)| self.overlaps(*special))
            .map(|(_, why)| why)
    }

    pub(crate) const fn v4([a, b, c, d]: [u8; 4], len: u8) -> Self {
        Self {
            base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            len,
        }
    }

    /// The beginning of an IPv6 network: the groups that follow are zero.
    pub(crate) const fn v6([a, b, c]: [u16; 3], len: u8) -> Self {
        Self {
            base: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)),
            len,
        }
    }

    /// Whether two networks share addresses.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let width = self.family().width();
        let len = self.len.min(other.len);
        let network = |cidr: Self| bits(cidr.base).checked_shr(u32::from(width - len)).unwrap_or(0);
        self.family() == other.family() && network(self) == network(other)
    }

    fn plus(self, offset: u128) -> IpAddr {
        let sum = bits(self.base).wrapping_add(offset);
        match self.base {
            // The network is within 32 bits, and the offset is within the network.
            IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(sum & u128::from(u32::MAX)).unwrap_or(0)).into(),
            IpAddr::V6(_) => Ipv6Addr::from(sum).into(),
        }
    }

    /// The bits that are the host's.
    fn host_mask(self) -> u128 {
        let hosts = u32::from(self.family().width() - self.len);
        u128::MAX.checked_shr(128 - hosts).unwrap_or(0)
    }
}

impl IpFamily {
    /// Of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// How many bits an address has: the prefix length of a single one.
    pub fn width(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The prefix length of a node's share of the pod network, as kube-controller-manager chooses it.
    pub(crate) fn node_share(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }
}

impl fmt::Display for IpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let bad = || BadCidr(text.to_owned());
        let (base, len) = text.split_once('/').ok_or_else(bad)?;
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let len: u8 = len.parse().map_err(|_| bad())?;
        let cidr = Self { base, len };
        if !(1..=cidr.family().width() - 2).contains(&len) || bits(base) & cidr.host_mask() != 0 {
            return Err(bad());
        }
        Ok(cidr)
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
    fn networks_are_read_strictly() {
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.1/24",
            "10.0.0.0/31",
            "10.0.0.0/0",
            "10.0.0.0/x",
            "fd00::1/64",
            "fd00::/127",
            "fd00::/0",
            "::ffff:10.0.0.0/33",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        for good in ["10.244.0.0/16", "fd00:10:244::/48", "fd00::/126", "128.0.0.0/1"] {
            assert_eq!(good.parse::<Cidr>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn addresses_are_counted_in_both_families() {
        let cases = [
            ("10.244.0.0/16", 3, 20, "10.244.3.20", "10.244.255.254"),
            (
                "fd00:10:244::/48",
                0x1f,
                10,
                "fd00:10:244:1f::a",
                "fd00:10:244:ffff:ffff:ffff:ffff:fffe",
            ),
            (
                "fd00::/56",
                250,
                1,
                "fd00:0:0:fa::1",
                "fd00::ff:ffff:ffff:ffff:fffe",
            ),
        ];
        for (network, share, offset, address, last) in cases {
            let cidr: Cidr = network.parse().unwrap();
            let share = cidr.node_share(share);
            assert_eq!(share.address(offset).to_string(), address, "{network}");
            assert_eq!(cidr.last().to_string(), last, "{network}");
            assert!(
                cidr.contains(share.address(offset)) && cidr.overlaps(share),
                "{network}"
            );
            assert_eq!(share.family(), cidr.family());
        }
    }

    #[test]
    fn families_never_overlap() {
        let (four, six): (Cidr, Cidr) = ("128.0.0.0/1".parse().unwrap(), "8000::/1".parse().unwrap());
        assert!(!four.overlaps(six) && !six.overlaps(four));
        let (a, b): (Cidr, Cidr) = ("fd00::/48".parse().unwrap(), "fd00:0:0:7::/64".parse().unwrap());
        assert!(a.overlaps(b) && b.overlaps(a));
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
            "::/64",
            "fe80::/64",
            "ff02::/16",
            "f000::/4",
        ] {
            assert!(
                special.parse::<Cidr>().unwrap().special_use().is_some(),
                "{special}"
            );
        }
        for usual in [
            "10.0.0.0/8",
            "100.64.0.0/10",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "fd00::/8",
            "2001:db8::/32",
        ] {
            assert_eq!(usual.parse::<Cidr>().unwrap().special_use(), None, "{usual}");
        }
    }
}
