//! Sets, maps and verdict maps.

use mesh_proto::{Action, Backend, ConnectionStates, Match, TableFamily};

use super::super::{chain, is, nets, not, told};
use super::{facts_with, ports, rule, rules, tcp, v4};

#[test]
fn small_verdict_maps_are_as_good_as_rules() {
    let invalid = ConnectionStates {
        invalid: true,
        ..ConnectionStates::default()
    };
    let only = |states| vec![is(Match::Connection(states))];
    let established = ConnectionStates {
        established: true,
        ..ConnectionStates::default()
    };
    let mut told = rules("chain c { ct state vmap { invalid : drop, established : accept } ; }");
    told.sort_by_key(|(_, action)| format!("{action:?}"));
    assert_eq!(
        told,
        [(only(established), Action::Accept), (only(invalid), Action::Drop)]
    );

    let goto = |chain: &str| Action::Goto(chain.to_owned());
    let shares = rules(
        "chain a { }
         chain b { }
         chain d { }
         chain c { numgen random mod 3 vmap { 0 : goto a, 1 : goto b, 2 : goto d } ; }",
    );
    let random = |share| vec![is(Match::Random(share))];
    assert_eq!(
        shares.iter().map(|(tests, _)| tests.clone()).collect::<Vec<_>>(),
        [random(1.0 / 3.0), random(0.5), random(1.0)]
    );
    for chain in ["a", "b", "d"] {
        assert!(
            shares.iter().any(|(_, action)| *action == goto(chain)),
            "{shares:?}"
        );
    }
}

#[test]
fn verdict_maps_with_a_name_are_told_as_what_is_in_them() {
    let facts = facts_with(
        "table ip kp { chain svc { }
          map ips { type ipv4_addr . inet_proto . inet_service : verdict
            elements = { 10.96.0.1 . tcp . 443 : goto svc }
          }
          chain c { ip daddr . meta l4proto . th dport vmap @ips ; }
         }",
    );
    let words = "ip daddr . meta l4proto . th dport vmap @ips { 10.96.0.1 . tcp . 443 : goto svc }";
    let found = chain(&facts, Backend::Nft, TableFamily::Ip, "kp", "c");
    let service = vec![
        is(Match::Destination(vec!["10.96.0.1/32".parse().unwrap()])),
        is(Match::Protocol(6)),
        is(Match::DestinationPort(ports(&[(443, 443)]))),
    ];
    assert_eq!(told(found), [(service, Action::Goto("svc".to_owned()))]);
    assert_eq!(found.rules[0].text, words);
}

#[test]
fn a_rule_for_one_of_several_is_told_once_for_each() {
    let told = rules("chain c { meta l4proto { tcp, udp } th dport 53 iifname { eth0, eth1 } drop ; }");
    let dport = || is(Match::DestinationPort(ports(&[(53, 53)])));
    assert_eq!(told.len(), 4);
    for protocol in [6, 17] {
        for link in ["eth0", "eth1"] {
            let tests = vec![
                is(Match::Protocol(protocol)),
                dport(),
                is(Match::InLink(link.to_owned())),
            ];
            assert!(told.contains(&(tests, Action::Drop)), "{told:?}");
        }
    }
    // None of several needs no alternatives.
    let none = rule("meta l4proto != { tcp, udp } drop");
    assert_eq!(
        none,
        (
            vec![not(Match::Protocol(6)), not(Match::Protocol(17))],
            Action::Drop
        )
    );
    let pairs = rules("chain c { ip daddr . tcp dport { 10.0.0.1 . 80, 10.0.0.2 . 81 } accept ; }");
    assert_eq!(pairs.len(), 2);
    let first = [
        v4(),
        tcp(),
        is(Match::Destination(nets(&["10.0.0.1/32"]))),
        is(Match::DestinationPort(ports(&[(80, 80)]))),
    ];
    assert!(
        pairs
            .iter()
            .any(|(tests, _)| first.iter().all(|test| tests.contains(test))),
        "{pairs:?}"
    );
}

#[test]
fn sets_with_a_name_are_looked_into() {
    let told = rules(
        "set bad { type ipv4_addr ; flags interval ; elements = { 10.7.0.0/16, 10.9.0.1 } ; }
         set none { type inet_service ; }
         chain c { ip saddr @bad drop ; ip daddr != @bad accept ; tcp dport @none drop ; }",
    );
    let bad = || nets(&["10.7.0.0/16", "10.9.0.1/32"]);
    assert_eq!(told[0], (vec![v4(), is(Match::Source(bad()))], Action::Drop));
    assert_eq!(
        told[1],
        (vec![v4(), not(Match::Destination(bad()))], Action::Accept)
    );
    assert_eq!(
        told[2],
        (vec![tcp(), is(Match::DestinationPort(vec![]))], Action::Drop)
    );
}
