//! Addresses, routes and routing rules (`rtnetlink(7)`, Linux `include/uapi/linux/rtnetlink.h`, `fib_rules.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mesh_net::{Attribute, Attributes};
use mesh_proto::{LinkAddress, Prefix, Route, RouteKind, RoutingRule};

use super::links::{Names, name_of};
use super::octets::{u8_at, u16_at, u32_at};
use super::reader::Reader;

const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETRULE: u16 = 34;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `struct ifaddrmsg`: family, prefix length, flags, scope, device.
const IFADDRMSG: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// `struct rtmsg`: family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
const RTMSG: usize = 12;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTAX_MTU: u16 = 2;

/// `struct fib_rule_hdr`, of the same length: family, lengths, TOS, table, two reserved, action, flags.
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;

/// All addresses of all devices.
pub(super) fn addresses(reader: &mut Reader<'_>, names: &Names) -> Vec<LinkAddress> {
    reader.all("addresses", RTM_GETADDR, &[0; IFADDRMSG], |content, list| {
        list.extend(address(names, content));
    })
}

pub(super) fn address(names: &Names, content: &[u8]) -> Option<LinkAddress> {
    let attributes = Attributes::after(IFADDRMSG, content);
    let of = |kind| attributes.find(kind).and_then(|address| address.address());
    // On a link between two, the first is the peer's; else both are the same, or there is only the first.
    let network = of(IFA_ADDRESS);
    let address = of(IFA_LOCAL).or(network)?;
    let len = bounded(u8_at(content, 1)?, address);
    Some(LinkAddress {
        link: name_of(names, u32_at(content, 4)?),
        address,
        network: Prefix {
            address: network.unwrap_or(address),
            len,
        },
    })
}

fn bounded(len: u8, address: IpAddr) -> u8 {
    len.min(if address.is_ipv4() { 32 } else { 128 })
}

/// All routes of both families and all tables.
pub(super) fn routes(reader: &mut Reader<'_>, names: &Names) -> Vec<Route> {
    reader.all_before(
        "routes",
        RTM_GETROUTE,
        &[0; RTMSG],
        is_notable,
        |content, list| {
            // One that cannot be read is none that the kernel forwards by.
            let _ = route(names, content, list);
        },
    )
}

/// The way out of here, and all that is not simply sent on: worth more than one of thousands of routes alike.
pub(super) fn is_notable(route: &Route) -> bool {
    route.kind != RouteKind::Unicast || route.to.len == 0
}

/// Whether a message is of IPv6, not IPv4; those of multicast routing have families of their own.
fn is_v6(content: &[u8]) -> Option<bool> {
    match u8_at(content, 0)? {
        AF_INET => Some(false),
        AF_INET6 => Some(true),
        _ => None,
    }
}

/// A message of `RTM_NEWROUTE`: one route for each of its next hops.
pub(super) fn route(names: &Names, content: &[u8], routes: &mut Vec<Route>) -> Option<()> {
    let v6 = is_v6(content)?;
    let attributes = Attributes::after(RTMSG, content);
    let number = |kind| attributes.find(kind).and_then(|number| number.u32());
    let metrics = attributes.find(RTA_METRICS).map(|metrics| metrics.nested());
    let one = Route {
        table: number(RTA_TABLE).unwrap_or(u8_at(content, 4)?.into()),
        to: prefix(attributes.find(RTA_DST), u8_at(content, 1)?, v6),
        kind: kind(u8_at(content, 7)?),
        gateway: gateway(&attributes),
        link: number(RTA_OIF).map(|index| name_of(names, index)),
        source: attributes.find(RTA_PREFSRC).and_then(|source| source.address()),
        metric: number(RTA_PRIORITY).unwrap_or(0),
        mtu: metrics
            .and_then(|metrics| metrics.find(RTAX_MTU))
            .and_then(|mtu| mtu.u32()),
        protocol: u8_at(content, 5)?,
        dead: u32_at(content, 8)? & DEAD != 0,
    };
    let Some(hops) = attributes.find(RTA_MULTIPATH) else {
        routes.push(one);
        return Some(());
    };
    // `struct rtnexthop`: length, flags, weight, device, then attributes; aligned to four bytes.
    let mut rest = hops.value;
    while let Some(length) = u16_at(rest, 0)
        .map(usize::from)
        .filter(|length| *length >= RTNEXTHOP)
    {
        let hop = rest.get(..length)?;
        let attributes = Attributes::after(RTNEXTHOP, hop);
        routes.push(Route {
            gateway: gateway(&attributes),
            link: u32_at(hop, 4).map(|index| name_of(names, index)),
            dead: u32::from(u8_at(hop, 2)?) & DEAD != 0,
            ..one.clone()
        });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(())
}

const RTNEXTHOP: usize = 8;
/// `RTNH_F_DEAD` and `RTNH_F_LINKDOWN`.
const DEAD: u32 = 1 | 16;

/// Of the route's own family, or of the other one behind it (RFC 5549).
fn gateway(attributes: &Attributes<'_>) -> Option<IpAddr> {
    let via = || {
        let via = attributes.find(RTA_VIA)?;
        Attribute {
            kind: RTA_VIA,
            value: via.value.get(2..)?,
        }
        .address()
    };
    attributes
        .find(RTA_GATEWAY)
        .and_then(|gateway| gateway.address())
        .or_else(via)
}

fn prefix(address: Option<Attribute<'_>>, len: u8, v6: bool) -> Prefix {
    let any: IpAddr = if v6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let address = address.and_then(|address| address.address()).unwrap_or(any);
    Prefix {
        address,
        len: bounded(len, address),
    }
}

/// `rtm_type`.
fn kind(kind: u8) -> RouteKind {
    match kind {
        1 => RouteKind::Unicast,
        2 => RouteKind::Local,
        6 => RouteKind::Blackhole,
        7 => RouteKind::Unreachable,
        8 => RouteKind::Prohibit,
        9 => RouteKind::Throw,
        _ => RouteKind::Other,
    }
}

/// All rules of both families.
pub(super) fn rules(reader: &mut Reader<'_>) -> Vec<RoutingRule> {
    reader.all("routing rules", RTM_GETRULE, &[0; RTMSG], |content, list| {
        list.extend(rule(content));
    })
}

pub(super) fn rule(content: &[u8]) -> Option<RoutingRule> {
    const FR_ACT_TO_TBL: u8 = 1;
    const FIB_RULE_INVERT: u32 = 2;
    let v6 = is_v6(content)?;
    let attributes = Attributes::after(RTMSG, content);
    let number = |kind| attributes.find(kind).and_then(|number| number.u32());
    let net = |kind, len| match attributes.find(kind) {
        None if len == 0 => None,
        address => Some(prefix(address, len, v6)),
    };
    let action = u8_at(content, 7)?;
    let table = number(FRA_TABLE).unwrap_or(u8_at(content, 4)?.into());
    let bits = number(FRA_FWMASK).unwrap_or(u32::MAX);
    let mark = number(FRA_FWMARK).or((bits != u32::MAX).then_some(0));
    let also = also(&attributes, action);
    Some(RoutingRule {
        priority: number(FRA_PRIORITY).unwrap_or(0),
        from: net(FRA_SRC, u8_at(content, 2)?),
        to: net(FRA_DST, u8_at(content, 1)?),
        mark: mark
            .map(|mark| (mark, bits))
            .filter(|(mark, bits)| (*mark, *bits) != (0, 0)),
        link: attributes.find(FRA_IIFNAME).map(|name| name.text()),
        table: Some(table).filter(|table| action == FR_ACT_TO_TBL && *table != 0),
        v6,
        not: u32_at(content, 8)? & FIB_RULE_INVERT != 0,
        also: (!also.is_empty()).then(|| also.join(" ")),
    })
}

/// What a rule tests or does besides.
fn also(attributes: &Attributes<'_>, action: u8) -> Vec<String> {
    let mut also = Vec::new();
    let range = |value: &[u8]| match (u16_at(value, 0), u16_at(value, 2)) {
        (Some(from), Some(to)) if from != to => format!("{from}-{to}"),
        (from, _) => from.unwrap_or(0).to_string(),
    };
    for attribute in attributes.clone() {
        let number = attribute.u32().unwrap_or(0);
        also.push(match attribute.kind {
            FRA_OIFNAME => format!("oif {}", attribute.text()),
            FRA_UID_RANGE => format!("uidrange {number}-{}", u32_at(attribute.value, 4).unwrap_or(0)),
            FRA_IP_PROTO => format!("ipproto {}", attribute.u8().unwrap_or(0)),
            FRA_SPORT_RANGE => format!("sport {}", range(attribute.value)),
            FRA_DPORT_RANGE => format!("dport {}", range(attribute.value)),
            FRA_L3MDEV if attribute.u8() == Some(1) => "l3mdev".to_owned(),
            // -1 stands for none.
            FRA_SUPPRESS_PREFIXLEN if number != u32::MAX => format!("suppress_prefixlength {number}"),
            FRA_GOTO if action == 2 => format!("goto {number}"),
            _ => continue,
        });
    }
    let action = match action {
        3 => Some("nop"),
        6 => Some("blackhole"),
        7 => Some("unreachable"),
        8 => Some("prohibit"),
        _ => None,
    };
    also.extend(action.map(str::to_owned));
    also
}
