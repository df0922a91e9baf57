//! From a field and the values that it is compared with to what a rule tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mesh_proto::{ConnectionStates, Match, MatchTest, Prefix};

use super::super::links::{Names, name_of};
use super::super::xtables::{mask_len, ports, prefixes_of_range};
use super::field::Field;

/// Values from and to, in network byte order.
pub(super) type Span = (Vec<u8>, Vec<u8>);

/// What a comparison or a look-up comes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tested {
    /// All of these must hold.
    All(Vec<MatchTest>),
    /// One of these must; each is as above.
    OneOf(Vec<Vec<MatchTest>>),
}

/// Blocks of addresses of one test; ranges may need many.
const MOST_PREFIXES: usize = 512;

/// The number that bytes in network order are.
pub(super) fn number(value: &[u8]) -> u128 {
    value
        .iter()
        .take(16)
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// An address of which the first bytes are given, the others filled up.
pub(super) fn address(value: &[u8], v6: bool, fill: u8) -> Option<IpAddr> {
    let mut octets = [fill; 16];
    let len = if v6 { 16 } else { 4 };
    octets
        .get_mut(..value.len())
        .filter(|_| value.len() <= len)?
        .copy_from_slice(value);
    Some(if v6 {
        Ipv6Addr::from(octets).into()
    } else {
        Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into()
    })
}

/// A device's name, with a `+` at its end where a beginning is compared: then no zero ends it.
pub(super) fn link_name(value: &[u8]) -> String {
    const FULL: usize = 16;
    let name = super::super::octets::text(value);
    if value.contains(&0) || value.len() >= FULL {
        name
    } else {
        format!("{name}+")
    }
}

/// `NF_CT_STATE_BIT`: the same bits as in iptables, and one for what is not tracked.
fn states(bits: u128) -> ConnectionStates {
    ConnectionStates {
        invalid: bits & 1 != 0,
        established: bits & 2 != 0,
        related: bits & 4 != 0,
        new: bits & 8 != 0,
        untracked: bits & 64 != 0,
    }
}

/// The names of those bits.
pub(super) fn state_names(bits: u128) -> String {
    let names = [
        (1, "invalid"),
        (2, "established"),
        (4, "related"),
        (8, "new"),
        (64, "untracked"),
    ];
    let set: Vec<&str> = names
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    set.join(",")
}

/// All IPv4 or IPv6 packets: those with any source of that family.
pub(super) fn any_of(v6: bool) -> Match {
    let address: IpAddr = if v6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    Match::Source(vec![Prefix { address, len: 0 }])
}

/// What it means that a field is in one of the spans, or `not`. `None` where there is no type for it.
pub(super) fn tested(field: &Field, spans: &[Span], not: bool, names: &Names) -> Option<Tested> {
    let one = |on| Tested::All(vec![MatchTest { not, on }]);
    let ranges = || {
        let port = |value: &[u8]| u16::try_from(number(value)).ok();
        spans
            .iter()
            .map(|(from, to)| Some(ports(port(from)?, port(to)?)))
            .collect::<Option<Vec<_>>>()
    };
    let prefixes = |v6| {
        let mut all = Vec::new();
        for (from, to) in spans {
            all.extend(prefixes_of_range(
                address(from, v6, 0)?,
                address(to, v6, u8::MAX)?,
                MOST_PREFIXES,
            )?);
        }
        (all.len() <= MOST_PREFIXES).then_some(all)
    };
    let single = |of: &dyn Fn(&[u8]) -> Option<Match>| each(spans, not, of);
    match field {
        Field::Source { v6 } => Some(one(Match::Source(prefixes(*v6)?))),
        Field::Destination { v6 } => Some(one(Match::Destination(prefixes(*v6)?))),
        Field::SourcePort => Some(one(Match::SourcePort(ranges()?))),
        Field::DestinationPort => Some(one(Match::DestinationPort(ranges()?))),
        Field::ConnectionState => {
            // A packet has one state, so that any of several values is any of their bits.
            let bits = spans.iter().map(|(from, to)| (from == to).then(|| number(from)));
            Some(one(Match::Connection(states(bits.sum::<Option<u128>>()?))))
        }
        Field::Length => {
            let lengths = |(from, to): &Span| {
                Some(Match::Length(
                    u32::try_from(number(from)).ok()?,
                    u32::try_from(number(to)).ok()?,
                ))
            };
            alternatives(spans.iter().map(lengths).collect::<Option<Vec<_>>>()?, not)
        }
        Field::Random { modulus } => {
            let values: u128 = spans
                .iter()
                .map(|(from, to)| number(to).saturating_sub(number(from)) + 1)
                .sum();
            let share = f64::from(u32::try_from(values).ok()?) / f64::from((*modulus).max(1));
            Some(one(Match::Random(share.min(1.0))))
        }
        Field::Protocol => single(&|value| Some(Match::Protocol(*value.first()?))),
        Field::Family => single(&|value| match number(value) {
            2 => Some(any_of(false)),
            10 => Some(any_of(true)),
            _ => None,
        }),
        Field::EtherType => single(&|value| match number(value) {
            0x0800 => Some(any_of(false)),
            0x86dd => Some(any_of(true)),
            _ => None,
        }),
        Field::IcmpType => single(&|value| {
            Some(Match::Icmp {
                kind: *value.first()?,
                code: None,
            })
        }),
        Field::InLink => single(&|value| Some(Match::InLink(link_name(value)))),
        Field::OutLink => single(&|value| Some(Match::OutLink(link_name(value)))),
        Field::InLinkIndex => single(&|value| Some(Match::InLink(name_by_index(value, names)?))),
        Field::OutLinkIndex => single(&|value| Some(Match::OutLink(name_by_index(value, names)?))),
        Field::Mark => single(&|value| {
            Some(Match::Mark {
                value: u32::try_from(number(value)).ok()?,
                mask: u32::MAX,
            })
        }),
        Field::AddressType { source } => single(&|value| match (number(value), source) {
            (2, true) => Some(Match::SourceIsLocal),
            (2, false) => Some(Match::DestinationIsLocal),
            _ => None,
        }),
        Field::IcmpCode
        | Field::TcpFlags
        | Field::ConnectionStatus
        | Field::ConnectionDirection
        | Field::Other(_) => None,
    }
}

fn name_by_index(value: &[u8], names: &Names) -> Option<String> {
    Some(name_of(names, u32::try_from(number(value)).ok()?))
}

/// Of a match that takes one value: one for each value.
fn each(spans: &[Span], not: bool, of: &dyn Fn(&[u8]) -> Option<Match>) -> Option<Tested> {
    let single = spans
        .iter()
        .map(|(from, to)| if from == to { of(from) } else { None });
    alternatives(single.collect::<Option<Vec<_>>>()?, not)
}

/// One of these, or none of them.
fn alternatives(all: Vec<Match>, not: bool) -> Option<Tested> {
    let mut tests: Vec<MatchTest> = all.into_iter().map(|on| MatchTest { not, on }).collect();
    match tests.len() {
        0 => None,
        1 => tests.pop().map(|one| Tested::All(vec![one])),
        _ if not => Some(Tested::All(tests)),
        _ => Some(Tested::OneOf(tests.into_iter().map(|test| vec![test]).collect())),
    }
}

/// What it means that the bits of a field under a mask are, or are `not`, this value.
pub(super) fn masked(field: &Field, mask: &[u8], value: &[u8], not: bool) -> Option<MatchTest> {
    let bits = |value: &[u8]| u32::try_from(number(value)).ok();
    let zero = value.iter().all(|byte| *byte == 0);
    let on = match field {
        Field::Source { v6 } | Field::Destination { v6 } => {
            let prefix = Prefix {
                address: address(value, *v6, 0)?,
                len: mask_len(mask)?,
            };
            match field {
                Field::Source { .. } => Match::Source(vec![prefix]),
                _ => Match::Destination(vec![prefix]),
            }
        }
        Field::Mark => Match::Mark {
            value: bits(value)?,
            mask: bits(mask)?,
        },
        // One bit is set at a time: `& mask != 0` is any of the mask's, `& mask == value` any of the value's.
        Field::ConnectionState if zero => {
            return Some(MatchTest {
                not: !not,
                on: Match::Connection(states(number(mask))),
            });
        }
        Field::ConnectionState => Match::Connection(states(number(value))),
        Field::ConnectionStatus if number(mask) == IPS_DST_NAT => {
            return Some(MatchTest {
                not: not != zero,
                on: Match::DestinationTranslated,
            });
        }
        _ => return None,
    };
    Some(MatchTest { not, on })
}

/// From Linux `include/uapi/linux/netfilter/nf_conntrack_common.h`.
const IPS_DST_NAT: u128 = 1 << 5;
