//! The same rules, written by `iptables` through both back ends.

use mesh_net::NetNamespace;
use mesh_proto::{Action, Backend, Base, Chain, Hook, HostFacts, Match, MatchTest, Port, TableFamily};

use super::super::host_facts;
use super::{ESTABLISHED, NEW, chain, command, is, nets, not, ports, told};

const BACKENDS: [(Backend, &str); 2] = [(Backend::Nft, "nft"), (Backend::Legacy, "legacy")];

/// Facts after rules of both families in the form of `iptables-save`, by one back end.
fn facts_with(backend: &str, v4: &str, v6: &str) -> HostFacts {
    let namespace = NetNamespace::create().unwrap();
    namespace
        .run(|| {
            for (name, rules) in [("iptables", v4), ("ip6tables", v6)] {
                if !rules.is_empty() {
                    command(&format!("{name}-{backend}-restore"), rules);
                }
            }
            host_facts()
        })
        .unwrap()
}

/// The tests in an order of their own: each back end has another.
fn sorted(chain: &Chain) -> Vec<(Vec<MatchTest>, Action)> {
    let mut all = told(chain);
    for (tests, _) in &mut all {
        tests.sort_by_key(|test| format!("{test:?}"));
    }
    all
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn both_back_ends_are_told_alike() {
    let dport = |all: &[(u16, u16)]| is(Match::DestinationPort(ports(all)));
    let (tcp, udp) = (|| is(Match::Protocol(6)), || is(Match::Protocol(17)));
    let other = |text: &str| is(Match::Other(text.to_owned()));
    let cases: Vec<(&str, Vec<MatchTest>, Action)> = vec![
        ("-j ACCEPT", vec![], Action::Accept),
        (
            "-s 10.0.0.0/8 -d 10.1.2.3 -j DROP",
            vec![
                is(Match::Source(nets(&["10.0.0.0/8"]))),
                is(Match::Destination(nets(&["10.1.2.3/32"]))),
            ],
            Action::Drop,
        ),
        (
            "! -s 10.0.0.0/20 -j RETURN",
            vec![not(Match::Source(nets(&["10.0.0.0/20"])))],
            Action::Return,
        ),
        (
            "-i eth0 ! -o cali+ -j ACCEPT",
            vec![
                is(Match::InLink("eth0".into())),
                not(Match::OutLink("cali+".into())),
            ],
            Action::Accept,
        ),
        (
            "-p udp -m udp --dport 4789 -j REJECT --reject-with icmp-host-prohibited",
            vec![udp(), dport(&[(4_789, 4_789)])],
            Action::Reject { kind: 3, code: 10 },
        ),
        (
            "-p tcp -m tcp --dport 8000:8080 --sport 1024:65535 -j ACCEPT",
            vec![
                tcp(),
                dport(&[(8_000, 8_080)]),
                is(Match::SourcePort(ports(&[(1_024, 65_535)]))),
            ],
            Action::Accept,
        ),
        (
            "-p tcp -m tcp ! --dport 22 -j REJECT --reject-with tcp-reset",
            vec![tcp(), not(Match::DestinationPort(ports(&[(22, 22)])))],
            Action::Reset,
        ),
        (
            "-p icmp -m icmp --icmp-type 3/4 -j DROP",
            vec![
                is(Match::Protocol(1)),
                is(Match::Icmp {
                    kind: 3,
                    code: Some(4),
                }),
            ],
            Action::Drop,
        ),
        (
            "-p icmp -m icmp --icmp-type 8 -j ACCEPT",
            vec![is(Match::Protocol(1)), is(Match::Icmp { kind: 8, code: None })],
            Action::Accept,
        ),
        (
            "-p tcp -m multiport --dports 80,443,8000:8100 -j ACCEPT",
            vec![tcp(), dport(&[(80, 80), (443, 443), (8_000, 8_100)])],
            Action::Accept,
        ),
        (
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            vec![is(Match::Connection(ESTABLISHED))],
            Action::Accept,
        ),
        (
            "-m conntrack ! --ctstate NEW -j ACCEPT",
            vec![not(Match::Connection(NEW))],
            Action::Accept,
        ),
        (
            "-m conntrack --ctstate DNAT -j ACCEPT",
            vec![is(Match::DestinationTranslated)],
            Action::Accept,
        ),
        (
            "-m conntrack --ctdir ORIGINAL -j ACCEPT",
            vec![other("-m conntrack --ctdir ORIGINAL")],
            Action::Accept,
        ),
        (
            "-m addrtype --dst-type LOCAL -j ACCEPT",
            vec![is(Match::DestinationIsLocal)],
            Action::Accept,
        ),
        (
            "-m addrtype ! --src-type LOCAL -j DROP",
            vec![not(Match::SourceIsLocal)],
            Action::Drop,
        ),
        (
            "-m addrtype --dst-type MULTICAST -j DROP",
            vec![other("-m addrtype --dst-type MULTICAST")],
            Action::Drop,
        ),
        (
            "-m mark --mark 0x8000/0x8000 -j DROP",
            vec![is(Match::Mark {
                value: 0x8000,
                mask: 0x8000,
            })],
            Action::Drop,
        ),
        (
            "-m comment --comment \"cluster IPs\" -j ACCEPT",
            vec![is(Match::Comment("cluster IPs".into()))],
            Action::Accept,
        ),
        (
            "-m statistic --mode random --probability 0.25 -j ACCEPT",
            vec![is(Match::Random(0.25))],
            Action::Accept,
        ),
        (
            "-m length --length 1451:65535 -j DROP",
            vec![is(Match::Length(1_451, 65_535))],
            Action::Drop,
        ),
        (
            "-m iprange --src-range 10.0.0.4-10.0.0.7 -j DROP",
            vec![is(Match::Source(nets(&["10.0.0.4/30"])))],
            Action::Drop,
        ),
        ("-j MARK --set-xmark 0x4000/0x4000", vec![], Action::SetMark),
        ("-j LOG --log-prefix \"seen \"", vec![], Action::Continue),
        (
            "-d 10.9.0.0/16",
            vec![is(Match::Destination(nets(&["10.9.0.0/16"])))],
            Action::Continue,
        ),
        ("-j MINE", vec![], Action::Jump("MINE".into())),
        ("-g MINE", vec![], Action::Goto("MINE".into())),
        (
            "-j REJECT --reject-with icmp-admin-prohibited",
            vec![],
            Action::Reject { kind: 3, code: 13 },
        ),
    ];
    let rules: Vec<String> = cases
        .iter()
        .map(|(rule, ..)| format!("-A FORWARD {rule}\n"))
        .collect();
    let rules = rules.concat();
    let text = format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:MINE - [0:0]\n{rules}-A MINE -j RETURN\nCOMMIT\n"
    );
    for (backend, command) in BACKENDS {
        let facts = facts_with(command, &text, "");
        let forward = chain(&facts, backend, TableFamily::Ip, "filter", "FORWARD");
        let expected = Base {
            hook: Hook::Forward,
            priority: 0,
            accepts: false,
            kind: "filter".into(),
            links: vec![],
        };
        assert_eq!(forward.base, Some(expected), "{command}");
        let told = sorted(forward);
        assert_eq!(told.len(), cases.len(), "{command}");
        for ((rule, tests, action), (found, does)) in cases.iter().zip(told) {
            let mut tests = tests.clone();
            tests.sort_by_key(|test| format!("{test:?}"));
            assert_eq!((found, does), (tests, action.clone()), "{command} {rule}");
        }
        let mine = chain(&facts, backend, TableFamily::Ip, "filter", "MINE");
        assert_eq!(told_of(mine), [Action::Return], "{command}");
        let input = chain(&facts, backend, TableFamily::Ip, "filter", "INPUT");
        assert!(
            input.base.as_ref().is_some_and(|base| base.accepts) && input.rules.is_empty(),
            "{command} {input:?}"
        );
    }
}

fn told_of(chain: &Chain) -> Vec<Action> {
    told(chain).into_iter().map(|(_, action)| action).collect()
}

#[test]
fn translations_of_both_back_ends_are_told_alike() {
    let v4 = "*nat\n:SVC - [0:0]\n:POST - [0:0]\n\
              -A PREROUTING -j SVC\n\
              -A SVC -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.1.1:8080\n\
              -A SVC -d 10.0.0.9 -j DNAT --to-destination 10.1.1.2\n\
              -A SVC -p tcp -m tcp --dport 22 -j REDIRECT --to-ports 2222\n\
              -A POSTROUTING -j POST\n\
              -A POST -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully\n\
              -A POST -s 10.0.0.0/8 -j SNAT --to-source 192.0.2.1\nCOMMIT\n";
    let v6 = "*nat\n-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination [2001:db8::1]:8080\n\
              -A POSTROUTING -s 2001:db8::/32 -j MASQUERADE\nCOMMIT\n\
              *filter\n-A INPUT -p udp -m udp --dport 53 -j REJECT --reject-with icmp6-adm-prohibited\n\
              -A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 2 -j DROP\nCOMMIT\n";
    let to = |address: Option<&str>, port: Option<u16>| Action::DestinationNat {
        address: address.map(|address| address.parse().unwrap()),
        port: port.map(Port),
    };
    let from = |address: Option<&str>| Action::SourceNat {
        address: address.map(|address| address.parse().unwrap()),
    };
    for (backend, command) in BACKENDS {
        let facts = facts_with(command, v4, v6);
        let does = |family, table, name| told_of(chain(&facts, backend, family, table, name));
        let services = [
            to(Some("10.1.1.1"), Some(8_080)),
            to(Some("10.1.1.2"), None),
            to(None, Some(2_222)),
        ];
        assert_eq!(does(TableFamily::Ip, "nat", "SVC"), services, "{command}");
        assert_eq!(
            does(TableFamily::Ip, "nat", "POST"),
            [from(None), from(Some("192.0.2.1"))],
            "{command}"
        );
        assert_eq!(
            does(TableFamily::Ip6, "nat", "PREROUTING"),
            [to(Some("2001:db8::1"), Some(8_080))],
            "{command}"
        );
        assert_eq!(
            does(TableFamily::Ip6, "nat", "POSTROUTING"),
            [from(None)],
            "{command}"
        );
        assert_eq!(
            does(TableFamily::Ip6, "filter", "INPUT"),
            [Action::Reject { kind: 1, code: 1 }, Action::Drop],
            "{command}"
        );
        let input = chain(&facts, backend, TableFamily::Ip6, "filter", "INPUT");
        let icmp = &input.rules[1].tests;
        assert!(
            icmp.contains(&is(Match::Icmp { kind: 2, code: None })),
            "{command} {icmp:?}"
        );
        let base = chain(&facts, backend, TableFamily::Ip, "nat", "POSTROUTING")
            .base
            .clone()
            .unwrap();
        assert_eq!(
            (base.hook, base.priority, base.kind.as_str()),
            (Hook::Postrouting, 100, "nat"),
            "{command}"
        );
    }
}

#[test]
fn texts_are_near_to_what_iptables_writes() {
    let rules = "*filter\n-A FORWARD -s 10.0.0.0/8 -p tcp -m conntrack --ctstate NEW -m tcp --dport 80 -m comment --comment \
                 \"as agreed\" -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n";
    for (backend, command) in BACKENDS {
        let facts = facts_with(command, rules, "");
        let text = &chain(&facts, backend, TableFamily::Ip, "filter", "FORWARD").rules[0].text;
        for part in [
            "-s 10.0.0.0/8",
            "-p tcp",
            "--ctstate NEW",
            "--dport 80",
            "--comment \"as agreed\"",
            "-j REJECT --reject-with icmp-port-unreachable",
        ] {
            assert!(text.contains(part), "{command}: {part} in {text}");
        }
    }
}

#[test]
fn what_has_no_type_is_told_as_each_back_end_keeps_it() {
    let cases = [
        (
            "-m tcp --tcp-flags SYN,RST SYN",
            "tcp flags & syn,rst == syn",
            "--tcp-flags SYN,RST SYN",
        ),
        (
            "-m limit --limit 5/sec --limit-burst 7",
            "limit rate 5/second burst 7",
            "-m limit --limit 5/sec --limit-burst 7",
        ),
    ];
    for (test, nft, legacy) in cases {
        let rules = format!("*filter\n-A FORWARD -p tcp {test} -j DROP\nCOMMIT\n");
        for ((backend, command), words) in BACKENDS.into_iter().zip([nft, legacy]) {
            let facts = facts_with(command, &rules, "");
            let told = told(chain(&facts, backend, TableFamily::Ip, "filter", "FORWARD"));
            let tests = vec![is(Match::Protocol(6)), is(Match::Other(words.to_owned()))];
            assert_eq!(told, [(tests, Action::Drop)], "{command}");
        }
    }
}

#[test]
fn sets_of_ipset_are_looked_into() {
    for (backend, iptables) in BACKENDS {
        let namespace = NetNamespace::create().unwrap();
        let facts = namespace
            .run(|| {
                command(
                    "ipset restore",
                    "create pods hash:net\nadd pods 10.7.0.0/16\nadd pods 10.9.0.1\n\
                    create dest hash:ip,port\nadd dest 10.0.0.1,tcp:80\n",
                );
                let rules = "*filter\n-A FORWARD -m set --match-set pods src -j ACCEPT\n\
                             -A FORWARD -m set ! --match-set pods dst -j DROP\n\
                             -A FORWARD -m set --match-set dest dst,dst -j DROP\nCOMMIT\n";
                command(&format!("iptables-{iptables}-restore"), rules);
                host_facts()
            })
            .unwrap();
        let mut told = told(chain(&facts, backend, TableFamily::Ip, "filter", "FORWARD"));
        for (tests, _) in &mut told {
            for test in tests {
                if let Match::Source(all) | Match::Destination(all) = &mut test.on {
                    all.sort();
                }
            }
        }
        let pods = || nets(&["10.7.0.0/16", "10.9.0.1/32"]);
        let words = Match::Other("-m set --match-set dest dst,dst".to_owned());
        let expected = [
            (vec![is(Match::Source(pods()))], Action::Accept),
            (vec![not(Match::Destination(pods()))], Action::Drop),
            (vec![is(words)], Action::Drop),
        ];
        assert_eq!(told, expected, "{iptables}");
    }
}

#[test]
fn looking_makes_no_table() {
    let namespace = NetNamespace::create().unwrap();
    let names = namespace
        .run(|| {
            let facts = host_facts();
            assert_eq!(facts.netfilter.tables, []);
            assert!(facts.missing.is_empty(), "{:?}", facts.missing);
            std::fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap()
        })
        .unwrap();
    assert_eq!(names, "");
}
