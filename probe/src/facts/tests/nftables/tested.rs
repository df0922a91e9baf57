//! What rules test.

use mesh_proto::{Action, ConnectionStates, Match};

use super::super::{ESTABLISHED, NEW, is, nets, not};
use super::{ports, rule, tcp, v4};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn tests_are_told() {
    let dport = |all: &[(u16, u16)]| is(Match::DestinationPort(ports(all)));
    let state = |states| is(Match::Connection(states));
    let cases = [
        (
            "ip saddr 10.0.0.0/8",
            vec![v4(), is(Match::Source(nets(&["10.0.0.0/8"])))],
        ),
        (
            "ip daddr 10.1.2.0/23",
            vec![v4(), is(Match::Destination(nets(&["10.1.2.0/23"])))],
        ),
        (
            "ip daddr != 10.1.2.3",
            vec![v4(), not(Match::Destination(nets(&["10.1.2.3/32"])))],
        ),
        (
            "ip saddr 10.0.0.1 ip daddr 10.0.0.2",
            vec![
                v4(),
                is(Match::Source(nets(&["10.0.0.1/32"]))),
                is(Match::Destination(nets(&["10.0.0.2/32"]))),
            ],
        ),
        (
            "ip saddr 10.0.0.3-10.0.0.8",
            vec![
                v4(),
                is(Match::Source(nets(&[
                    "10.0.0.3/32",
                    "10.0.0.4/30",
                    "10.0.0.8/32",
                ]))),
            ],
        ),
        (
            "ip saddr { 10.0.0.0/24, 10.0.2.0/23, 10.9.9.9 }",
            vec![
                v4(),
                is(Match::Source(nets(&[
                    "10.0.0.0/24",
                    "10.0.2.0/23",
                    "10.9.9.9/32",
                ]))),
            ],
        ),
        (
            "ip6 daddr 2001:db8::/32",
            vec![
                is(Match::Source(nets(&["::/0"]))),
                is(Match::Destination(nets(&["2001:db8::/32"]))),
            ],
        ),
        ("tcp dport 80", vec![tcp(), dport(&[(80, 80)])]),
        ("tcp dport 8000-8080", vec![tcp(), dport(&[(8_000, 8_080)])]),
        (
            "tcp dport != 8000-8080",
            vec![tcp(), not(Match::DestinationPort(ports(&[(8_000, 8_080)])))],
        ),
        (
            "udp dport { 53, 4789, 8472-8475 }",
            vec![
                is(Match::Protocol(17)),
                dport(&[(53, 53), (4_789, 4_789), (8_472, 8_475)]),
            ],
        ),
        (
            "udp sport >= 1024",
            vec![
                is(Match::Protocol(17)),
                is(Match::SourcePort(ports(&[(1_024, 65_535)]))),
            ],
        ),
        (
            "udp sport < 1024",
            vec![
                is(Match::Protocol(17)),
                not(Match::SourcePort(ports(&[(1_024, 65_535)]))),
            ],
        ),
        (
            "tcp sport 7 tcp dport 9",
            vec![tcp(), is(Match::SourcePort(ports(&[(7, 7)]))), dport(&[(9, 9)])],
        ),
        ("iifname eth0", vec![is(Match::InLink("eth0".to_owned()))]),
        ("iifname \"cali*\"", vec![is(Match::InLink("cali+".to_owned()))]),
        ("oifname != lo", vec![not(Match::OutLink("lo".to_owned()))]),
        ("iif lo", vec![is(Match::InLink("lo".to_owned()))]),
        ("ct state established,related", vec![state(ESTABLISHED)]),
        (
            "ct state { new, invalid }",
            vec![state(ConnectionStates { invalid: true, ..NEW })],
        ),
        ("ct state new", vec![state(NEW)]),
        (
            "ct state != invalid",
            vec![not(Match::Connection(ConnectionStates {
                invalid: true,
                ..ConnectionStates::default()
            }))],
        ),
        ("ct status dnat", vec![is(Match::DestinationTranslated)]),
        (
            "meta mark 0x10",
            vec![is(Match::Mark {
                value: 0x10,
                mask: u32::MAX,
            })],
        ),
        (
            "meta mark and 0xff00 == 0x4000",
            vec![is(Match::Mark {
                value: 0x4000,
                mask: 0xff00,
            })],
        ),
        (
            "meta mark and 0x8000 != 0",
            vec![not(Match::Mark {
                value: 0,
                mask: 0x8000,
            })],
        ),
        ("fib daddr type local", vec![is(Match::DestinationIsLocal)]),
        ("fib saddr type != local", vec![not(Match::SourceIsLocal)]),
        ("meta length 1451-65535", vec![is(Match::Length(1_451, u32::MAX))]),
        ("numgen random mod 4 0", vec![is(Match::Random(0.25))]),
        (
            "icmp type echo-request",
            vec![
                v4(),
                is(Match::Protocol(1)),
                is(Match::Icmp { kind: 8, code: None }),
            ],
        ),
        (
            "icmp type destination-unreachable icmp code frag-needed",
            vec![
                v4(),
                is(Match::Protocol(1)),
                is(Match::Icmp {
                    kind: 3,
                    code: Some(4),
                }),
            ],
        ),
        (
            "meta l4proto icmpv6 icmpv6 type 2",
            vec![is(Match::Protocol(58)), is(Match::Icmp { kind: 2, code: None })],
        ),
        ("meta l4proto != tcp", vec![not(Match::Protocol(6))]),
        ("meta nfproto ipv4", vec![v4()]),
        (
            "comment \"as agreed\"",
            vec![is(Match::Comment("as agreed".to_owned()))],
        ),
    ];
    for (text, mut tests) in cases {
        let text = match text.strip_prefix("comment") {
            Some(_) => format!("drop {text}"),
            None => format!("{text} drop"),
        };
        let (mut told, action) = rule(&text);
        assert_eq!(action, Action::Drop, "{text}");
        // What a test needs first is put before it by nft, now and then in another place.
        let order = |test: &mesh_proto::MatchTest| format!("{test:?}");
        told.sort_by_key(order);
        tests.sort_by_key(order);
        // The longest length is all ones in the register, and the largest of its type in the rule.
        for test in &mut told {
            if let Match::Length(_, to) = &mut test.on {
                *to = u32::MAX;
            }
        }
        assert_eq!(told, tests, "{text}");
    }
}

#[test]
fn what_has_no_type_stays_as_words() {
    let cases = [
        ("limit rate 5/second", "limit rate 5/second"),
        ("tcp flags & (fin|syn|rst|ack) == syn", "tcp flags & "),
        ("ct mark 0x7", "ct mark 7"),
        ("meta skuid 1000", "meta skuid 1000"),
        ("ip ttl 1", "ip ttl 1"),
        ("fib saddr . iif oif missing", "fib saddr . iif oif"),
        ("@th,64,8 7", "@th,64,8"),
        ("meta pkttype broadcast", "meta pkttype"),
        ("ct direction reply", "ct direction reply"),
        ("tcp option maxseg exists", "tcp option maxseg exists"),
        (
            "ip daddr . tcp dport != { 10.0.0.1 . 80 }",
            "ip daddr . tcp dport != { 10.0.0.1 . 80 }",
        ),
    ];
    for (text, words) in cases {
        let (tests, action) = rule(&format!("{text} drop"));
        assert_eq!(action, Action::Drop, "{text}");
        let other = tests.iter().find_map(|test| match &test.on {
            Match::Other(words) => Some(words),
            _ => None,
        });
        assert!(
            other.is_some_and(|other| other.starts_with(words)),
            "{text}: {tests:?}"
        );
    }
}
