use mesh_proto::{
    Action, Backend, Base, Chain, ConnectionStates, Hook, Match, MatchTest, Netfilter, Port, PortRange,
    Protocol, Rule, Table, TableFamily,
};

use super::{IpProtocol, Packet, met, stop, translations};

fn rule(tests: &[Match], action: Action) -> Rule {
    crate::world::kernel::rule(tests, action, "a rule")
}

fn not(on: Match) -> MatchTest {
    MatchTest { not: true, on }
}

fn chain(name: &str, base: Option<(Hook, i32, bool)>, rules: Vec<Rule>) -> Chain {
    let base = base.map(|(hook, priority, accepts)| Base {
        hook,
        priority,
        accepts,
        kind: "filter".to_owned(),
        links: Vec::new(),
    });
    Chain {
        name: name.to_owned(),
        base,
        rules,
    }
}

fn filter(chains: Vec<Chain>) -> Netfilter {
    let table = Table {
        backend: Backend::Nft,
        family: TableFamily::Ip,
        name: "filter".to_owned(),
        chains,
    };
    Netfilter { tables: vec![table] }
}

fn packet() -> Packet<'static> {
    Packet {
        protocol: IpProtocol::UDP,
        source: "172.18.0.2".parse().unwrap(),
        destination: "172.18.0.3".parse().unwrap(),
        destination_port: Some(Port(4789)),
        in_link: Some("eth0"),
        out_link: None,
        from_here: false,
        for_here: true,
    }
}

fn port(port: u16) -> Match {
    Match::DestinationPort(vec![PortRange {
        from: Port(port),
        to: Port(port),
    }])
}

const INPUT: Option<(Hook, i32, bool)> = Some((Hook::Input, 0, true));

/// What stops the packet: the rule's place in its chain, if a rule does, and whether that is sure.
fn stopped(filter: &Netfilter) -> Option<(Option<usize>, bool)> {
    stop(filter, Hook::Input, &packet()).map(|stop| (stop.rule.map(|(place, _)| place), stop.sure))
}

#[test]
fn a_rule_that_drops_the_port_stops_it_and_others_do_not() {
    let drop = |tests: &[Match]| filter(vec![chain("INPUT", INPUT, vec![rule(tests, Action::Drop)])]);
    let cases: [(&[Match], bool); 10] = [
        (&[Match::Protocol(17), port(4789)], true),
        (&[Match::Protocol(17), port(4790)], false),
        (&[Match::Protocol(6)], false),
        (&[Match::Source(vec!["172.18.0.0/16".parse().unwrap()])], true),
        (&[Match::Source(vec!["172.19.0.0/16".parse().unwrap()])], false),
        (&[Match::InLink("eth+".to_owned())], true),
        (&[Match::InLink("lo".to_owned())], false),
        (
            &[Match::Mark {
                value: 0x8000,
                mask: 0x8000,
            }],
            false,
        ),
        (&[Match::Comment("a remark".to_owned())], true),
        (
            &[Match::Connection(ConnectionStates {
                established: true,
                ..ConnectionStates::default()
            })],
            false,
        ),
    ];
    for (tests, stops) in cases {
        assert_eq!(
            stopped(&drop(tests)),
            stops.then_some((Some(0), true)),
            "{tests:?}"
        );
    }
}

#[test]
fn a_test_turned_round_is_turned_round() {
    let mut drops = rule(&[], Action::Drop);
    drops.tests = vec![not(Match::Source(vec!["10.0.0.0/8".parse().unwrap()]))];
    assert_eq!(
        stopped(&filter(vec![chain("INPUT", INPUT, vec![drops])])),
        Some((Some(0), true))
    );
}

#[test]
fn what_is_not_known_makes_a_stop_unsure_but_never_hides_it() {
    let odd = Match::Other("ipset of somebody".to_owned());
    let may_drop = filter(vec![chain(
        "INPUT",
        INPUT,
        vec![rule(std::slice::from_ref(&odd), Action::Drop)],
    )]);
    assert_eq!(stopped(&may_drop), Some((Some(0), false)));
    let may_accept = vec![rule(&[odd], Action::Accept), rule(&[], Action::Drop)];
    assert_eq!(
        stopped(&filter(vec![chain("INPUT", INPUT, may_accept)])),
        Some((Some(1), false))
    );
}

#[test]
fn an_earlier_accept_saves_it_and_a_policy_drops_what_is_left() {
    let drops = Some((Hook::Input, 0, false));
    let accepted = vec![rule(&[Match::Protocol(17)], Action::Accept)];
    assert_eq!(stopped(&filter(vec![chain("INPUT", drops, accepted)])), None);
    let others = vec![rule(&[Match::Protocol(6)], Action::Accept)];
    assert_eq!(
        stopped(&filter(vec![chain("INPUT", drops, others)])),
        Some((None, true))
    );
}

#[test]
fn chains_are_entered_left_and_ended_as_the_kernel_does() {
    let with = |to: Action, user: Vec<Rule>, after: Vec<Rule>| {
        let mut rules = vec![rule(&[], to)];
        rules.extend(after);
        filter(vec![chain("INPUT", INPUT, rules), chain("user", None, user)])
    };
    let jump = || Action::Jump("user".to_owned());
    let goto = || Action::Goto("user".to_owned());
    let drop = || vec![rule(&[], Action::Drop)];
    assert_eq!(stopped(&with(jump(), drop(), vec![])), Some((Some(0), true)));
    assert_eq!(
        stopped(&with(jump(), vec![rule(&[], Action::Return)], drop())),
        Some((Some(1), true))
    );
    assert_eq!(
        stopped(&with(jump(), vec![rule(&[], Action::Accept)], drop())),
        None
    );
    assert_eq!(
        stopped(&with(goto(), vec![], drop())),
        None,
        "goto does not come back"
    );
    assert_eq!(stopped(&with(jump(), vec![], drop())), Some((Some(1), true)));
}

#[test]
fn every_base_chain_of_the_hook_has_its_say() {
    let accept = chain(
        "first",
        Some((Hook::Input, -10, true)),
        vec![rule(&[], Action::Accept)],
    );
    let drop = chain(
        "second",
        Some((Hook::Input, 10, true)),
        vec![rule(&[], Action::Drop)],
    );
    assert_eq!(stopped(&filter(vec![accept, drop])), Some((Some(0), true)));
    let elsewhere = chain("forward", Some((Hook::Forward, 0, false)), vec![]);
    assert_eq!(stopped(&filter(vec![elsewhere])), None);
}

#[test]
fn a_loop_of_chains_ends() {
    let to = |name: &str| vec![rule(&[], Action::Jump(name.to_owned()))];
    let looping = filter(vec![
        chain("INPUT", INPUT, to("a")),
        chain("a", None, to("b")),
        chain("b", None, to("a")),
    ]);
    assert_eq!(stopped(&looping), None);
}

#[test]
fn translations_follow_the_rules_of_the_service_only() {
    let dnat = |address: &str| Action::DestinationNat {
        address: Some(address.parse().unwrap()),
        port: Some(Port(53)),
    };
    let of = |address: &str| Match::Destination(vec![format!("{address}/32").parse().unwrap()]);
    let services = vec![
        rule(&[of("172.18.0.3"), port(4789)], Action::Jump("svc".to_owned())),
        rule(&[of("10.96.0.11")], dnat("10.244.9.9")),
    ];
    let endpoints = vec![
        rule(&[Match::Random(0.5)], dnat("10.244.1.20")),
        rule(&[], dnat("10.244.3.20")),
    ];
    let hook = Some((Hook::Prerouting, -100, true));
    let nat = filter(vec![
        chain("PREROUTING", hook, services),
        chain("svc", None, endpoints),
    ]);
    let found = translations(&nat, &packet());
    let expected: Vec<(std::net::IpAddr, Option<Port>)> = ["10.244.1.20", "10.244.3.20"]
        .map(|address| (address.parse().unwrap(), Some(Port(53))))
        .to_vec();
    assert_eq!(found, expected);
}

#[test]
fn a_rule_that_is_surely_met_is_found_in_a_chain_below() {
    let snat = Action::SourceNat { address: None };
    let hook = Some((Hook::Postrouting, 100, true));
    let below = vec![
        rule(&[Match::OutLink("lo".to_owned())], snat.clone()),
        rule(&[], snat),
    ];
    let nat = filter(vec![
        chain(
            "POSTROUTING",
            hook,
            vec![rule(&[], Action::Jump("below".to_owned()))],
        ),
        chain("below", None, below),
    ]);
    let found = met(&nat, Hook::Postrouting, &packet(), |action| {
        matches!(action, Action::SourceNat { .. })
    });
    assert!(
        found.is_some_and(|found| found.rule.is_some_and(|(place, _)| place == 1)),
        "where it leaves is not known, so the first may not meet it"
    );
    assert_eq!(
        IpProtocol::of(Protocol::Icmp, packet().destination),
        IpProtocol(1)
    );
}
