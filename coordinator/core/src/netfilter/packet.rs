//! A packet as rules see it, and whether it meets one.

use std::net::IpAddr;

use mesh_proto::{ConnectionStates, Match, MatchTest, Port, Prefix, Protocol, Rule};

/// The number of an IP protocol (RFC 5237).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IpProtocol(pub(crate) u8);

impl IpProtocol {
    const TCP: Self = Self(6);
    pub(crate) const UDP: Self = Self(17);
    /// IPv4 in IP.
    pub(crate) const IPIP: Self = Self(4);

    /// The number of a protocol towards an address.
    pub(crate) fn of(protocol: Protocol, towards: IpAddr) -> Self {
        match protocol {
            Protocol::Icmp if towards.is_ipv4() => Self(1),
            Protocol::Icmp => Self(58),
            Protocol::Tcp => Self::TCP,
            Protocol::Udp => Self::UDP,
        }
    }
}

/// The first packet of a connection, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) protocol: IpProtocol,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// `None` where it has none, or any.
    pub(crate) destination_port: Option<Port>,
    /// The device it comes by; `None` if not known.
    pub(crate) in_link: Option<&'a str>,
    /// The device it leaves by; `None` if not known.
    pub(crate) out_link: Option<&'a str>,
    /// The source is this machine.
    pub(crate) from_here: bool,
    /// The destination is this machine.
    pub(crate) for_here: bool,
}

/// Whether something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    No,
    Perhaps,
    Yes,
}

impl Holds {
    /// Both.
    pub(super) fn and(self, other: Self) -> Self {
        self.min(other)
    }

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Perhaps => Self::Perhaps,
            Self::Yes => Self::No,
        }
    }
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// Whether a rule meets a packet. Packets have no mark unless a rule before may have set one.
pub(super) fn holds(rule: &Rule, packet: &Packet<'_>, marked: bool) -> Holds {
    let tests = rule.tests.iter().map(|test| test_holds(test, packet, marked));
    tests.fold(Holds::Yes, Holds::and)
}

fn test_holds(MatchTest { not, on }: &MatchTest, packet: &Packet<'_>, marked: bool) -> Holds {
    let within = |prefixes: &[Prefix], address| Holds::from(prefixes.iter().any(|of| of.contains(address)));
    let holds = match on {
        Match::Protocol(number) => Holds::from(*number == packet.protocol.0),
        Match::Source(prefixes) => within(prefixes, packet.source),
        Match::Destination(prefixes) => within(prefixes, packet.destination),
        Match::SourcePort(_) | Match::DestinationPort(_) if !has_ports(packet) => Holds::No,
        Match::DestinationPort(ranges) => packet.destination_port.map_or(Holds::Perhaps, |port| {
            Holds::from(ranges.iter().any(|range| (range.from..=range.to).contains(&port)))
        }),
        Match::InLink(name) => named(name, packet.in_link),
        Match::OutLink(name) => named(name, packet.out_link),
        Match::Connection(ConnectionStates { new, .. }) => Holds::from(*new),
        Match::DestinationTranslated => Holds::No,
        Match::Mark { value, mask } if !marked => Holds::from(value & mask == 0),
        Match::DestinationIsLocal => Holds::from(packet.for_here),
        Match::SourceIsLocal => Holds::from(packet.from_here),
        Match::Icmp { kind, .. } => {
            Holds::from([1, 58].contains(&packet.protocol.0) && matches!(kind, 8 | 128))
        }
        // Probes are small; what large ones meet is told by sizes.
        Match::Length(from, to) => Holds::from((*from..=*to).contains(&SMALL)),
        Match::Random(share) => {
            if *share >= 1.0 {
                Holds::Yes
            } else {
                Holds::Perhaps
            }
        }
        Match::Comment(_) => Holds::Yes,
        // A probe's own port is one of many, and what rules before have marked is not followed.
        Match::SourcePort(_) | Match::Mark { .. } | Match::Other(_) => Holds::Perhaps,
    };
    if *not && !matches!(on, Match::Comment(_)) {
        holds.not()
    } else {
        holds
    }
}

/// The length of a small packet, in bytes.
const SMALL: u32 = 84;

fn has_ports(packet: &Packet<'_>) -> bool {
    [IpProtocol::TCP, IpProtocol::UDP].contains(&packet.protocol)
}

/// Names of devices; a `+` at the end stands for anything (iptables), a `*` as well (nft).
fn named(pattern: &str, link: Option<&str>) -> Holds {
    let Some(link) = link else {
        return Holds::Perhaps;
    };
    match pattern.strip_suffix(['+', '*']) {
        Some(beginning) => Holds::from(link.starts_with(beginning)),
        None => Holds::from(pattern == link),
    }
}
