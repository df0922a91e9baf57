//! Matches: `-m conntrack`, `-m multiport` and so on. What is not decoded here stays as the match's name.

use std::fmt::Write;
use std::net::IpAddr;

use mesh_proto::{ConnectionStates, Match, MatchTest, PortRange};

use super::super::ip_sets::IpSets;
use super::super::octets::{address_at, text_at, u8_at, u16_at, u32_at};
use super::{other, plain, ports, prefixes_of_range};

/// What a match tests: all of these must hold.
pub(in crate::facts) fn match_tests(
    name: &str,
    revision: u32,
    info: &[u8],
    v6: bool,
    ip_sets: &IpSets,
) -> Vec<MatchTest> {
    let decoded = match (name, revision) {
        ("tcp", 0) => tcp(info),
        ("udp" | "udplite", 0) => udp(info),
        ("icmp" | "icmp6", 0) => icmp(info, v6),
        ("multiport", 0 | 1) => multiport(info, revision),
        ("conntrack", 1..=3) => conntrack(info, revision, v6),
        ("state", 0) => u32_at(info, 0).map(|mask| vec![connection(mask, false)]),
        ("addrtype", 0 | 1) => address_type(info, revision),
        ("mark", 1) => mark(info),
        ("connmark", 1) => connection_mark(info),
        ("comment", 0) => Some(vec![plain(Match::Comment(text_at(info, 0, 256)))]),
        ("statistic", 0) => statistic(info),
        ("length", 0) => length(info),
        ("iprange", 1) => address_range(info, v6),
        ("limit", 0) => limit(info),
        ("set", 1..) => set(info, ip_sets),
        ("rpfilter", 0) => reverse_path(info),
        ("physdev", 0) => Some(physical_device(info)),
        ("mac", 0) => mac(info),
        ("owner", 1) => owner(info),
        ("pkttype", 0) => packet_type(info),
        _ => None,
    };
    decoded.unwrap_or_else(|| vec![other(format!("-m {name}"))])
}

/// What is tested, turned round or not.
fn turned(not: bool, on: Match) -> MatchTest {
    MatchTest { not, on }
}

/// Source ports at the beginning, then destination ports, as far as they are not all ports.
fn port_tests(info: &[u8], inverted: u8) -> Option<Vec<MatchTest>> {
    const ALL: (u16, u16) = (0, u16::MAX);
    let range = |at: usize| Some((u16_at(info, at)?, u16_at(info, at + 2)?));
    let (source, destination) = (range(0)?, range(4)?);
    let test = |(from, to), not, on: fn(Vec<PortRange>) -> Match| {
        ((from, to) != ALL || not).then(|| turned(not, on(vec![ports(from, to)])))
    };
    let tests = [
        test(source, inverted & 1 != 0, Match::SourcePort),
        test(destination, inverted & 2 != 0, Match::DestinationPort),
    ];
    Some(tests.into_iter().flatten().collect())
}

/// `struct xt_tcp`.
fn tcp(info: &[u8]) -> Option<Vec<MatchTest>> {
    let inverted = u8_at(info, 11)?;
    let mut tests = port_tests(info, inverted)?;
    let (option, mask, set) = (u8_at(info, 8)?, u8_at(info, 9)?, u8_at(info, 10)?);
    if mask != 0 {
        let text = format!("--tcp-flags {} {}", tcp_flags(mask), tcp_flags(set));
        tests.push(turned(inverted & 4 != 0, Match::Other(text)));
    }
    if option != 0 {
        tests.push(turned(
            inverted & 8 != 0,
            Match::Other(format!("--tcp-option {option}")),
        ));
    }
    Some(tests)
}

/// The flags of RFC 9293 by name.
pub(in crate::facts) fn tcp_flags(flags: u8) -> String {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set = NAMES
        .iter()
        .enumerate()
        .filter(|(bit, _)| flags & (1 << bit) != 0);
    let names: Vec<&str> = set.map(|(_, name)| *name).collect();
    if names.is_empty() {
        "NONE".to_owned()
    } else {
        names.join(",")
    }
}

/// `struct xt_udp`.
fn udp(info: &[u8]) -> Option<Vec<MatchTest>> {
    port_tests(info, u8_at(info, 8)?)
}

/// `struct ipt_icmp`, `struct ip6t_icmp`: a type and a range of codes.
fn icmp(info: &[u8], v6: bool) -> Option<Vec<MatchTest>> {
    const ANY: u8 = 0xff;
    let (kind, from, to) = (u8_at(info, 0)?, u8_at(info, 1)?, u8_at(info, 2)?);
    let not = u8_at(info, 3)? & 1 != 0;
    let on = match (from, to) {
        (0, u8::MAX) if kind == ANY && !v6 => return Some(Vec::new()),
        (0, u8::MAX) => Match::Icmp { kind, code: None },
        (from, to) if from == to => Match::Icmp {
            kind,
            code: Some(from),
        },
        (from, to) => Match::Other(format!("--icmp-type {kind}/{from}-{to}")),
    };
    Some(vec![turned(not, on)])
}

/// `struct xt_multiport`, `struct xt_multiport_v1`.
fn multiport(info: &[u8], revision: u32) -> Option<Vec<MatchTest>> {
    const PORTS: usize = 15;
    const FLAGS: usize = 2 + 2 * PORTS;
    let (which, count) = (u8_at(info, 0)?, usize::from(u8_at(info, 1)?).min(PORTS));
    let not = revision == 1 && u8_at(info, FLAGS + PORTS)? != 0;
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < count {
        let from = u16_at(info, 2 + 2 * at)?;
        // A flag says that the next one is the end of a range.
        if revision == 1 && u8_at(info, FLAGS + at)? != 0 && at + 1 < count {
            at += 1;
            ranges.push(ports(from, u16_at(info, 2 + 2 * at)?));
        } else {
            ranges.push(ports(from, from));
        }
        at += 1;
    }
    Some(vec![match which {
        0 => turned(not, Match::SourcePort(ranges)),
        1 => turned(not, Match::DestinationPort(ranges)),
        _ => {
            let texts: Vec<String> = ranges
                .iter()
                .map(|range| super::text::port_range(*range))
                .collect();
            turned(
                not,
                Match::Other(format!("-m multiport --ports {}", texts.join(","))),
            )
        }
    }])
}

/// States as `XT_CONNTRACK_STATE_BIT` has them: bits 1 to 3 are those of the connection, bit 0 stands for none.
fn connection(mask: u32, not: bool) -> MatchTest {
    let states = ConnectionStates {
        invalid: mask & 1 != 0,
        established: mask & 2 != 0,
        related: mask & 4 != 0,
        new: mask & 8 != 0,
        untracked: mask & (1 << 6 | 1 << 8) != 0,
    };
    turned(not, Match::Connection(states))
}

/// `struct xt_conntrack_mtinfo1` to `3`: eight addresses of 16 bytes, two times of expiry, the protocol, ports, then what
/// of it counts.
fn conntrack(info: &[u8], revision: u32, v6: bool) -> Option<Vec<MatchTest>> {
    const AFTER_PORTS: usize = 8 * 16 + 2 * 4 + 2 + 4 * 2;
    const STATE: u16 = 1;
    const PROTO: u16 = 1 << 1;
    const STATUS: u16 = 1 << 6;
    const DIRECTION: u16 = 1 << 12;
    /// `XT_CONNTRACK_STATE_SNAT` and `_DNAT`: five states, then one each.
    const SNAT: u32 = 1 << 6;
    const DNAT: u32 = 1 << 7;
    /// `XT_CONNTRACK_STATE_UNTRACKED`.
    const UNTRACKED: u32 = 1 << 8;
    let (flags, inverted) = (u16_at(info, AFTER_PORTS)?, u16_at(info, AFTER_PORTS + 2)?);
    let (state, status) = if revision == 1 {
        (
            u32::from(u8_at(info, AFTER_PORTS + 4)?),
            u32::from(u8_at(info, AFTER_PORTS + 5)?),
        )
    } else {
        (
            u32::from(u16_at(info, AFTER_PORTS + 4)?),
            u32::from(u16_at(info, AFTER_PORTS + 6)?),
        )
    };
    let mut tests = Vec::new();
    let not = |flag| inverted & flag != 0;
    if flags & STATE != 0 {
        let of_connection = state & (0b1111 | UNTRACKED) != 0;
        let translated = state & (SNAT | DNAT);
        match (of_connection, translated) {
            (_, 0) => {
                let untracked = if state & UNTRACKED != 0 { 1 << 6 } else { 0 };
                tests.push(connection(state & 0b1111 | untracked, not(STATE)));
            }
            (false, DNAT) => tests.push(turned(not(STATE), Match::DestinationTranslated)),
            // One of both kinds: there is no single test for that.
            _ => tests.push(turned(
                not(STATE),
                Match::Other(format!("-m conntrack --ctstate {state:#x}")),
            )),
        }
    }
    if flags & STATUS != 0 {
        const IPS_DST_NAT: u32 = 1 << 5;
        tests.push(turned(
            not(STATUS),
            match status {
                IPS_DST_NAT => Match::DestinationTranslated,
                other => Match::Other(format!("-m conntrack --ctstatus {other:#x}")),
            },
        ));
    }
    if flags & DIRECTION != 0 {
        let direction = if not(DIRECTION) { "REPLY" } else { "ORIGINAL" };
        tests.push(other(format!("-m conntrack --ctdir {direction}")));
    }
    if flags & PROTO != 0 {
        let number = u16_at(info, 8 * 16 + 2 * 4)?;
        tests.push(turned(
            not(PROTO),
            Match::Other(format!("-m conntrack --ctproto {number}")),
        ));
    }
    for (bit, at, name) in [
        (2, 0, "--ctorigsrc"),
        (3, 32, "--ctorigdst"),
        (4, 64, "--ctreplsrc"),
        (5, 96, "--ctrepldst"),
    ] {
        if flags & (1 << bit) != 0 {
            let address = address_at(info, at, v6)?;
            tests.push(turned(
                not(1 << bit),
                Match::Other(format!("-m conntrack {name} {address}")),
            ));
        }
    }
    // Expiry, and ports of the connection: rare, and each its own structure.
    if flags & 0b1111_1000_0000 != 0 {
        tests.push(other(format!("-m conntrack (flags {flags:#x})")));
    }
    Some(tests)
}

/// `struct xt_addrtype_info`, `_v1`: types as bits of `RTN_*`.
fn address_type(info: &[u8], revision: u32) -> Option<Vec<MatchTest>> {
    const LOCAL: u16 = 1 << 2;
    let (source, destination) = (u16_at(info, 0)?, u16_at(info, 2)?);
    let flags = u32_at(info, 4)?;
    let (not_source, not_destination, limited) = if revision == 0 {
        (flags != 0, u32_at(info, 8)? != 0, 0)
    } else {
        (flags & 1 != 0, flags & 2 != 0, flags & 0b1100)
    };
    let mut tests = Vec::new();
    for (types, not, local, flag) in [
        (source, not_source, Match::SourceIsLocal, "--src-type"),
        (
            destination,
            not_destination,
            Match::DestinationIsLocal,
            "--dst-type",
        ),
    ] {
        match types {
            0 => {}
            LOCAL if limited == 0 => tests.push(turned(not, local)),
            types => {
                let limit = match limited {
                    0 => "",
                    4 => " --limit-iface-in",
                    _ => " --limit-iface-out",
                };
                let text = format!("-m addrtype {flag} {}{limit}", address_types(types));
                tests.push(turned(not, Match::Other(text)));
            }
        }
    }
    Some(tests)
}

fn address_types(types: u16) -> String {
    const NAMES: [&str; 10] = [
        "UNSPEC",
        "UNICAST",
        "LOCAL",
        "BROADCAST",
        "ANYCAST",
        "MULTICAST",
        "BLACKHOLE",
        "UNREACHABLE",
        "PROHIBIT",
        "THROW",
    ];
    let set = NAMES
        .iter()
        .enumerate()
        .filter(|(bit, _)| types & (1 << bit) != 0);
    set.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

/// `struct xt_mark_mtinfo1`.
fn mark(info: &[u8]) -> Option<Vec<MatchTest>> {
    let (value, mask) = (u32_at(info, 0)?, u32_at(info, 4)?);
    Some(vec![turned(u8_at(info, 8)? != 0, Match::Mark { value, mask })])
}

/// `struct xt_connmark_mtinfo1`.
fn connection_mark(info: &[u8]) -> Option<Vec<MatchTest>> {
    let (value, mask) = (u32_at(info, 0)?, u32_at(info, 4)?);
    let text = format!("-m connmark --mark {value:#x}/{mask:#x}");
    Some(vec![turned(u8_at(info, 8)? != 0, Match::Other(text))])
}

/// `struct xt_statistic_info`: a share of 2^31, or every n-th.
fn statistic(info: &[u8]) -> Option<Vec<MatchTest>> {
    let not = u16_at(info, 2)? & 1 != 0;
    let share = match u16_at(info, 0)? {
        0 => f64::from(u32_at(info, 4)?) / f64::from(1_u32 << 31),
        _ => 1.0 / (f64::from(u32_at(info, 4)?) + 1.0),
    };
    Some(vec![turned(not, Match::Random(share))])
}

/// `struct xt_length_info`.
fn length(info: &[u8]) -> Option<Vec<MatchTest>> {
    let on = Match::Length(u16_at(info, 0)?.into(), u16_at(info, 2)?.into());
    Some(vec![turned(u8_at(info, 4)? != 0, on)])
}

/// `struct xt_iprange_mtinfo`.
fn address_range(info: &[u8], v6: bool) -> Option<Vec<MatchTest>> {
    /// More blocks than any range of addresses has.
    const MOST: usize = 256;
    let flags = u8_at(info, 64)?;
    let range = |from: IpAddr, to: IpAddr| prefixes_of_range(from, to, MOST);
    let mut tests = Vec::new();
    if flags & 1 != 0 {
        let prefixes = range(address_at(info, 0, v6)?, address_at(info, 16, v6)?)?;
        tests.push(turned(flags & 0x10 != 0, Match::Source(prefixes)));
    }
    if flags & 2 != 0 {
        let prefixes = range(address_at(info, 32, v6)?, address_at(info, 48, v6)?)?;
        tests.push(turned(flags & 0x20 != 0, Match::Destination(prefixes)));
    }
    Some(tests)
}

/// `struct xt_rateinfo`: 10,000ths of a second between two packets.
fn limit(info: &[u8]) -> Option<Vec<MatchTest>> {
    let (every, burst) = (u32_at(info, 0)?, u32_at(info, 4)?);
    let per_second = 10_000.0 / f64::from(every.max(1));
    let text = if per_second >= 1.0 {
        format!("-m limit --limit {per_second:.0}/sec --limit-burst {burst}")
    } else {
        format!(
            "-m limit --limit {:.0}/hour --limit-burst {burst}",
            per_second * 3_600.0
        )
    };
    Some(vec![other(text)])
}

/// `struct xt_set_info`, which all revisions begin with.
fn set(info: &[u8], ip_sets: &IpSets) -> Option<Vec<MatchTest>> {
    let (index, dimensions, flags) = (u16_at(info, 0)?, u8_at(info, 2)?, u8_at(info, 3)?);
    let source = |dimension: u8| flags & (1 << (dimension + 1)) != 0;
    let sides: Vec<bool> = (0..dimensions.min(6)).map(source).collect();
    Some(vec![turned(flags & 1 != 0, ip_sets.test(index, &sides))])
}

/// `struct xt_rpfilter_info`.
fn reverse_path(info: &[u8]) -> Option<Vec<MatchTest>> {
    let flags = u8_at(info, 0)?;
    let names = [
        (1, "--loose"),
        (2, "--validmark"),
        (4, "--accept-local"),
        (8, "--invert"),
    ];
    let set = names
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, name)| format!(" {name}"));
    Some(vec![other(format!("-m rpfilter{}", set.collect::<String>()))])
}

/// `struct xt_physdev_info`.
fn physical_device(info: &[u8]) -> Vec<MatchTest> {
    let (inward, outward) = (text_at(info, 0, 16), text_at(info, 32, 16));
    let mut text = "-m physdev".to_owned();
    for (flag, name) in [("--physdev-in", inward), ("--physdev-out", outward)] {
        if !name.is_empty() {
            let _ = write!(text, " {flag} {name}");
        }
    }
    vec![other(text)]
}

/// `struct xt_mac_info`.
fn mac(info: &[u8]) -> Option<Vec<MatchTest>> {
    let address: [u8; 6] = info.first_chunk().copied()?;
    let text = format!("-m mac --mac-source {}", mesh_proto::MacAddress(address));
    Some(vec![turned(u32_at(info, 8)? != 0, Match::Other(text))])
}

/// `struct xt_owner_match_info`.
fn owner(info: &[u8]) -> Option<Vec<MatchTest>> {
    let (which, inverted) = (u8_at(info, 16)?, u8_at(info, 17)?);
    let mut tests = Vec::new();
    for (flag, at, name) in [(1, 0, "--uid-owner"), (2, 8, "--gid-owner")] {
        if which & flag != 0 {
            let text = format!("-m owner {name} {}-{}", u32_at(info, at)?, u32_at(info, at + 4)?);
            tests.push(turned(inverted & flag != 0, Match::Other(text)));
        }
    }
    if which & 4 != 0 {
        tests.push(turned(
            inverted & 4 != 0,
            Match::Other("-m owner --socket-exists".to_owned()),
        ));
    }
    Some(tests)
}

/// `struct xt_pkttype_info`: `PACKET_*`.
fn packet_type(info: &[u8]) -> Option<Vec<MatchTest>> {
    let name = match u32_at(info, 0)? {
        0 => "unicast",
        1 => "broadcast",
        2 => "multicast",
        _ => "other",
    };
    let text = format!("-m pkttype --pkt-type {name}");
    Some(vec![turned(u32_at(info, 4)? != 0, Match::Other(text))])
}
