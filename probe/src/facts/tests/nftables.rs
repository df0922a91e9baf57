//! Rules that `nft` wrote.

mod sets;
mod tested;

use mesh_net::NetNamespace;
use mesh_proto::{Action, Backend, Base, Hook, HostFacts, Match, Port, TableFamily};

use super::super::host_facts;
use super::{chain, command, is, nets, ports, told};

fn facts_with(rules: &str) -> HostFacts {
    let namespace = NetNamespace::create().unwrap();
    namespace
        .run(|| {
            command("nft -f -", rules);
            host_facts()
        })
        .unwrap()
}

/// The rules of a chain of IPv4 and IPv6.
fn rules(body: &str) -> Vec<(Vec<mesh_proto::MatchTest>, Action)> {
    let facts = facts_with(&format!("table inet t {{\n{body}\n}}"));
    told(chain(&facts, Backend::Nft, TableFamily::Inet, "t", "c"))
}

/// The only rule.
fn rule(text: &str) -> (Vec<mesh_proto::MatchTest>, Action) {
    let mut all = rules(&format!("chain c {{ {text} ; }}"));
    assert_eq!(all.len(), 1, "{text}: {all:?}");
    all.remove(0)
}

fn tcp() -> mesh_proto::MatchTest {
    is(Match::Protocol(6))
}

fn v4() -> mesh_proto::MatchTest {
    is(Match::Source(nets(&["0.0.0.0/0"])))
}

#[test]
fn chains_say_where_they_hang_and_what_becomes_of_the_rest() {
    let facts = facts_with(
        "table ip a { chain f { type filter hook forward priority 10 ; policy drop ; }
           chain plain { }
         }
         table ip6 b { chain n { type nat hook postrouting priority 100 ; }
         }
         table arp d { chain r { type filter hook input priority -5 ; }
         }
         table inet e { flags dormant
           chain i { type filter hook input priority 0 ; policy drop ; }
         }
         table netdev g { chain s { type filter hook ingress device lo priority 3 ; }
         }
         table bridge h { chain o { type filter hook output priority 0 ; }
         }",
    );
    let base = |hook, priority, accepts, kind: &str, links: &[&str]| {
        let links = links.iter().map(|link| (*link).to_owned()).collect();
        Some(Base {
            hook,
            priority,
            accepts,
            kind: kind.to_owned(),
            links,
        })
    };
    let expected = [
        (
            TableFamily::Ip,
            "a",
            "f",
            base(Hook::Forward, 10, false, "filter", &[]),
        ),
        (TableFamily::Ip, "a", "plain", None),
        (
            TableFamily::Ip6,
            "b",
            "n",
            base(Hook::Postrouting, 100, true, "nat", &[]),
        ),
        (
            TableFamily::Arp,
            "d",
            "r",
            base(Hook::Prerouting, -5, true, "filter", &[]),
        ),
        // A dormant table's chains hang nowhere.
        (TableFamily::Inet, "e", "i", None),
        (
            TableFamily::Netdev,
            "g",
            "s",
            base(Hook::Ingress, 3, true, "filter", &["lo"]),
        ),
        (
            TableFamily::Bridge,
            "h",
            "o",
            base(Hook::Output, 0, true, "filter", &[]),
        ),
    ];
    for (family, table, name, base) in expected {
        assert_eq!(
            chain(&facts, Backend::Nft, family, table, name).base,
            base,
            "{table} {name}"
        );
    }
}

#[test]
fn verdicts_and_what_is_sent_back_are_told() {
    let refused = |kind, code| Action::Reject { kind, code };
    let v6 = || is(Match::Source(nets(&["::/0"])));
    let cases = [
        ("accept", vec![], Action::Accept),
        ("counter drop", vec![], Action::Drop),
        ("return", vec![], Action::Return),
        ("continue", vec![], Action::Continue),
        ("counter", vec![], Action::Continue),
        ("log prefix \"x \" drop", vec![], Action::Drop),
        ("reject with icmpx admin-prohibited", vec![], refused(3, 13)),
        ("reject with icmpx port-unreachable", vec![], refused(3, 3)),
        ("reject with icmpx host-unreachable", vec![], refused(3, 1)),
        ("reject with icmpx no-route", vec![], refused(3, 0)),
        ("reject with icmp host-prohibited", vec![v4()], refused(3, 10)),
        ("reject with icmpv6 admin-prohibited", vec![v6()], refused(1, 1)),
        (
            "meta l4proto tcp reject with tcp reset",
            vec![tcp()],
            Action::Reset,
        ),
        ("meta mark set 0x4000", vec![], Action::SetMark),
        ("meta mark set mark or 0x4000 return", vec![], Action::Return),
        ("notrack", vec![], Action::Other("notrack".to_owned())),
    ];
    for (text, tests, action) in cases {
        assert_eq!(rule(text), (tests, action), "{text}");
    }
    let jumps = rules("chain d { }\nchain c { jump d ; goto d ; }");
    assert_eq!(
        jumps,
        [
            (vec![], Action::Jump("d".to_owned())),
            (vec![], Action::Goto("d".to_owned()))
        ]
    );
}

#[test]
fn translations_are_told() {
    let facts = facts_with(
        "table ip t { map m { type ipv4_addr : ipv4_addr ; elements = { 10.0.0.1 : 10.0.0.2 } ; }

          chain p { type nat hook prerouting priority -100 ;
            ip daddr 10.0.0.9 tcp dport 80 dnat to 10.1.1.1:8080
            ip daddr 10.0.0.8 dnat to 10.1.1.2
            tcp dport 22 redirect to :2222
            ip daddr 10.0.0.7 dnat to 10.1.1.1-10.1.1.9
            dnat to ip daddr map @m
          }
          chain s { type nat hook postrouting priority 100 ;
            ip saddr 10.0.0.0/8 masquerade
            snat to 192.0.2.1
          }
         }
         table ip6 u { chain p { type nat hook prerouting priority -100 ; tcp dport 80 dnat to [2001:db8::1]:8080 ; }
         }",
    );
    let actions = |family, table, name| -> Vec<Action> {
        told(chain(&facts, Backend::Nft, family, table, name))
            .into_iter()
            .map(|(_, action)| action)
            .collect()
    };
    let to = |address: Option<&str>, port: Option<u16>| Action::DestinationNat {
        address: address.map(|address| address.parse().unwrap()),
        port: port.map(Port),
    };
    let expected = [
        to(Some("10.1.1.1"), Some(8_080)),
        to(Some("10.1.1.2"), None),
        to(None, Some(2_222)),
        to(None, None),
        to(None, None),
    ];
    assert_eq!(actions(TableFamily::Ip, "t", "p"), expected);
    let from = |address: Option<&str>| Action::SourceNat {
        address: address.map(|address| address.parse().unwrap()),
    };
    assert_eq!(
        actions(TableFamily::Ip, "t", "s"),
        [from(None), from(Some("192.0.2.1"))]
    );
    assert_eq!(
        actions(TableFamily::Ip6, "u", "p"),
        [to(Some("2001:db8::1"), Some(8_080))]
    );
    let text = &chain(&facts, Backend::Nft, TableFamily::Ip, "t", "p").rules[4].text;
    assert_eq!(text, "dnat to ip daddr map @m { 10.0.0.1 : 10.0.0.2 }");
}

#[test]
fn texts_are_near_to_what_nft_writes_and_packets_are_counted() {
    let facts = facts_with(
        "table inet t { chain c {
            tcp dport 22 ip saddr 10.0.0.0/8 ct state new counter packets 7 bytes 9 accept
            meta mark & 0xff == 0x10 iifname \"veth*\" reject with icmpx admin-prohibited comment \"no way\"
            ct state vmap { invalid : drop, established : accept }
         }
         }",
    );
    let chain = chain(&facts, Backend::Nft, TableFamily::Inet, "t", "c");
    let texts: Vec<&str> = chain.rules.iter().map(|rule| rule.text.as_str()).collect();
    assert_eq!(
        texts[..2],
        [
            "meta l4proto tcp tcp dport 22 meta nfproto ipv4 ip saddr 10.0.0.0/8 ct state new accept",
            "meta mark & 0xff == 0x10 iifname \"veth+\" reject with icmp admin-prohibited comment \"no way\"",
        ]
    );
    assert_eq!(chain.rules[0].packets, Some(7));
    assert_eq!(chain.rules[1].packets, None);
    let handles: Vec<u64> = chain.rules.iter().filter_map(|rule| rule.handle).collect();
    assert!(
        handles.len() == chain.rules.len() && handles[0] < handles[1],
        "{handles:?}"
    );
    assert!(
        texts[2].starts_with("ct state vmap { ") && texts[2].contains("invalid : drop"),
        "{}",
        texts[2]
    );
}
