//! What an expression loads from a packet into a register, and what it is called.

use super::super::links::{Names, name_of};
use super::super::xtables::{protocol, tcp_flags};
use super::values::number;

/// A part of a packet, or something that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field {
    /// The protocol in Ethernet.
    EtherType,
    /// `NFPROTO_*`: IPv4 or IPv6.
    Family,
    /// The protocol above IP.
    Protocol,
    Source {
        v6: bool,
    },
    Destination {
        v6: bool,
    },
    SourcePort,
    DestinationPort,
    /// The length of the IP packet.
    Length,
    IcmpType,
    IcmpCode,
    TcpFlags,
    InLink,
    OutLink,
    InLinkIndex,
    OutLinkIndex,
    Mark,
    ConnectionState,
    ConnectionStatus,
    ConnectionDirection,
    /// The type of the source's or the destination's address (`RTN_*`).
    AddressType {
        source: bool,
    },
    /// A number below the modulus, at random or in turn.
    Random {
        modulus: u32,
    },
    /// Something else, by the name that `nft` has for it.
    Other(String),
}

/// What is known of a rule's packets so far: it decides what a place in them means.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context {
    /// IPv4 or IPv6.
    pub(super) v6: Option<bool>,
    /// The protocol above.
    pub(super) protocol: Option<u8>,
}

/// What a register holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Loaded {
    pub(super) what: What,
    /// In bytes.
    pub(super) len: usize,
    /// Numbers in the machine's byte order.
    pub(super) host_order: bool,
    /// Only these bits are looked at.
    pub(super) mask: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// Fields that lie side by side, with the length of each.
    Fields(Vec<(Field, usize)>),
    /// A value that the rule itself gives.
    Constant(Vec<u8>),
    /// What cannot be told but in words.
    Words(String),
}

impl Loaded {
    pub(super) fn field(field: Field, len: usize, host_order: bool) -> Self {
        Self {
            what: What::Fields(vec![(field, len)]),
            len,
            host_order,
            mask: None,
        }
    }

    pub(super) fn words(text: impl Into<String>, len: usize) -> Self {
        Self {
            what: What::Words(text.into()),
            len,
            host_order: false,
            mask: None,
        }
    }

    pub(super) fn constant(value: Vec<u8>) -> Self {
        Self {
            len: value.len(),
            what: What::Constant(value),
            host_order: false,
            mask: None,
        }
    }

    /// What it is called.
    pub(super) fn name(&self, context: Context) -> String {
        match &self.what {
            What::Fields(fields) => {
                let names: Vec<String> = fields.iter().map(|(field, _)| field.name(context)).collect();
                names.join(" . ")
            }
            What::Constant(value) => hex(value),
            What::Words(text) => text.clone(),
        }
    }
}

/// Bytes as a number that nft would take.
pub(super) fn hex(value: &[u8]) -> String {
    value
        .iter()
        .fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

const LINK_HEADER: u32 = 0;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
const TCP: u8 = 6;

/// The fields at a place of a packet; nft loads several at once where they lie side by side. A field may be loaded in
/// part, from its beginning, where only that counts.
pub(super) fn payload(base: u32, mut offset: u32, len: u32, context: Context) -> Loaded {
    let all = usize::try_from(len).unwrap_or(0);
    let header = ["ll", "nh", "th", "ih"][base.min(3) as usize];
    let raw = Loaded::words(
        format!("@{header},{},{}", u64::from(offset) * 8, u64::from(len) * 8),
        all,
    );
    let (mut fields, mut left) = (Vec::new(), all);
    while left > 0 {
        let Some((field, size)) = field_at(base, offset, context) else {
            return raw;
        };
        let taken = size.min(left);
        // Only of an address a part means something.
        if taken < size && !matches!(field, Field::Source { .. } | Field::Destination { .. }) {
            return raw;
        }
        fields.push((field, taken));
        offset = offset.saturating_add(u32::try_from(taken).unwrap_or(0));
        left -= taken;
    }
    Loaded {
        what: What::Fields(fields),
        len: all,
        host_order: false,
        mask: None,
    }
}

/// The field that begins there, and its length (RFC 791, RFC 8200, RFC 792, RFC 9293, RFC 768).
fn field_at(base: u32, offset: u32, context: Context) -> Option<(Field, usize)> {
    let other = |text: &str| Field::Other(text.to_owned());
    Some(match (base, context.v6, offset) {
        (LINK_HEADER, _, 0) => (other("ether daddr"), 6),
        (LINK_HEADER, _, 6) => (other("ether saddr"), 6),
        (LINK_HEADER, _, 12) => (Field::EtherType, 2),
        (NETWORK_HEADER, Some(false), 1) => (other("ip dscp"), 1),
        (NETWORK_HEADER, Some(false), 2) => (Field::Length, 2),
        (NETWORK_HEADER, Some(false), 4) => (other("ip id"), 2),
        (NETWORK_HEADER, Some(false), 6) => (other("ip frag-off"), 2),
        (NETWORK_HEADER, Some(false), 8) => (other("ip ttl"), 1),
        (NETWORK_HEADER, Some(false), 9) | (NETWORK_HEADER, Some(true), 6) => (Field::Protocol, 1),
        (NETWORK_HEADER, Some(false), 12) => (Field::Source { v6: false }, 4),
        (NETWORK_HEADER, Some(false), 16) => (Field::Destination { v6: false }, 4),
        (NETWORK_HEADER, Some(true), 4) => (other("ip6 length"), 2),
        (NETWORK_HEADER, Some(true), 7) => (other("ip6 hoplimit"), 1),
        (NETWORK_HEADER, Some(true), 8) => (Field::Source { v6: true }, 16),
        (NETWORK_HEADER, Some(true), 24) => (Field::Destination { v6: true }, 16),
        (TRANSPORT_HEADER, _, offset) => match (context.protocol, offset) {
            (Some(ICMP | ICMP_V6), 0) => (Field::IcmpType, 1),
            (Some(ICMP | ICMP_V6), 1) => (Field::IcmpCode, 1),
            (Some(ICMP | ICMP_V6), _) => return None,
            (_, 0) => (Field::SourcePort, 2),
            (_, 2) => (Field::DestinationPort, 2),
            (Some(TCP), 13) => (Field::TcpFlags, 1),
            _ => return None,
        },
        _ => return None,
    })
}

impl Field {
    /// As `nft` calls it.
    pub(super) fn name(&self, context: Context) -> String {
        let transport = || {
            context
                .protocol
                .filter(|number| matches!(number, 6 | 17 | 132))
                .map_or("th".to_owned(), protocol)
        };
        let icmp = || {
            if context.protocol == Some(ICMP_V6) {
                "icmpv6"
            } else {
                "icmp"
            }
        };
        match self {
            Self::EtherType => "ether type".to_owned(),
            Self::Family => "meta nfproto".to_owned(),
            Self::Protocol => "meta l4proto".to_owned(),
            Self::Source { v6: false } => "ip saddr".to_owned(),
            Self::Source { v6: true } => "ip6 saddr".to_owned(),
            Self::Destination { v6: false } => "ip daddr".to_owned(),
            Self::Destination { v6: true } => "ip6 daddr".to_owned(),
            Self::SourcePort => format!("{} sport", transport()),
            Self::DestinationPort => format!("{} dport", transport()),
            Self::Length => "meta length".to_owned(),
            Self::IcmpType => format!("{} type", icmp()),
            Self::IcmpCode => format!("{} code", icmp()),
            Self::TcpFlags => "tcp flags".to_owned(),
            Self::InLink => "iifname".to_owned(),
            Self::OutLink => "oifname".to_owned(),
            Self::InLinkIndex => "iif".to_owned(),
            Self::OutLinkIndex => "oif".to_owned(),
            Self::Mark => "meta mark".to_owned(),
            Self::ConnectionState => "ct state".to_owned(),
            Self::ConnectionStatus => "ct status".to_owned(),
            Self::ConnectionDirection => "ct direction".to_owned(),
            Self::AddressType { source: true } => "fib saddr type".to_owned(),
            Self::AddressType { source: false } => "fib daddr type".to_owned(),
            Self::Random { modulus } => format!("numgen random mod {modulus}"),
            Self::Other(text) => text.clone(),
        }
    }

    /// A value of it, in network byte order, as `nft` writes it.
    pub(super) fn value(&self, value: &[u8], names: &Names) -> String {
        match self {
            Self::Protocol => value.first().map_or_else(String::new, |number| protocol(*number)),
            Self::Source { v6 } | Self::Destination { v6 } => match super::values::address(value, *v6, 0) {
                Some(address) if value.len() == if *v6 { 16 } else { 4 } => address.to_string(),
                Some(address) => format!("{address}/{}", value.len() * 8),
                None => hex(value),
            },
            Self::SourcePort | Self::DestinationPort | Self::Length | Self::IcmpType | Self::IcmpCode => {
                number(value).to_string()
            }
            Self::Random { .. } => number(value).to_string(),
            Self::InLink | Self::OutLink => format!("\"{}\"", super::values::link_name(value)),
            Self::InLinkIndex | Self::OutLinkIndex => {
                format!(
                    "\"{}\"",
                    name_of(names, u32::try_from(number(value)).unwrap_or(0))
                )
            }
            Self::TcpFlags => tcp_flags(value.first().copied().unwrap_or(0)).to_lowercase(),
            Self::Family | Self::EtherType => match number(value) {
                2 | 0x0800 => "ipv4".to_owned(),
                10 | 0x86dd => "ipv6".to_owned(),
                0x0806 => "arp".to_owned(),
                _ => hex(value),
            },
            Self::ConnectionState => super::values::state_names(number(value)),
            Self::ConnectionStatus => match number(value) {
                0x20 => "dnat".to_owned(),
                0x10 => "snat".to_owned(),
                _ => hex(value),
            },
            Self::ConnectionDirection => match number(value) {
                0 => "original".to_owned(),
                _ => "reply".to_owned(),
            },
            Self::AddressType { .. } => address_type(number(value)),
            Self::Mark => format!("{:#x}", number(value)),
            Self::Other(_) if value.len() <= 4 => number(value).to_string(),
            Self::Other(_) => hex(value),
        }
    }
}

/// `RTN_*`.
fn address_type(number: u128) -> String {
    const NAMES: [&str; 10] = [
        "unspec",
        "unicast",
        "local",
        "broadcast",
        "anycast",
        "multicast",
        "blackhole",
        "unreachable",
        "prohibit",
        "throw",
    ];
    let name = usize::try_from(number).ok().and_then(|number| NAMES.get(number));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}
