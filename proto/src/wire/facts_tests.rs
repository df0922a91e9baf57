use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;

use crate::wire::v1;
use crate::{
    Action, Backend, Base, Chain, ConnectionStates, Hook, HostFacts, MacAddress, Match, MatchTest, Missing,
    Neighbour, NeighbourState, Netfilter, Port, PortRange, Prefix, Route, RouteKind, Rule, Table,
    TableFamily,
};

fn prefix() -> impl Strategy<Value = Prefix> {
    (any::<IpAddr>(), any::<u8>()).prop_map(|(address, len)| Prefix {
        address,
        len: len % if address.is_ipv4() { 33 } else { 129 },
    })
}

fn prefixes() -> impl Strategy<Value = Vec<Prefix>> {
    prop::collection::vec(prefix(), 0..4)
}

fn ports() -> impl Strategy<Value = Vec<PortRange>> {
    let range = any::<(u16, u16)>().prop_map(|(from, to)| PortRange {
        from: Port(from),
        to: Port(to),
    });
    prop::collection::vec(range, 0..4)
}

fn on() -> impl Strategy<Value = Match> {
    let states = any::<[bool; 5]>().prop_map(|[invalid, established, related, new, untracked]| {
        Match::Connection(ConnectionStates {
            invalid,
            established,
            related,
            new,
            untracked,
        })
    });
    prop_oneof![
        any::<u8>().prop_map(Match::Protocol),
        prefixes().prop_map(Match::Source),
        prefixes().prop_map(Match::Destination),
        ports().prop_map(Match::SourcePort),
        ports().prop_map(Match::DestinationPort),
        "[a-z0-9+]{1,15}".prop_map(Match::InLink),
        "[a-z0-9+]{1,15}".prop_map(Match::OutLink),
        states,
        Just(Match::DestinationTranslated),
        any::<(u32, u32)>().prop_map(|(value, mask)| Match::Mark { value, mask }),
        Just(Match::DestinationIsLocal),
        Just(Match::SourceIsLocal),
        any::<(u8, Option<u8>)>().prop_map(|(kind, code)| Match::Icmp { kind, code }),
        any::<(u32, u32)>().prop_map(|(from, to)| Match::Length(from, to)),
        (0..1_000_u32).prop_map(|share| Match::Random(f64::from(share) / 1_000.0)),
        "[ -~]{0,20}".prop_map(Match::Comment),
        "[ -~]{0,20}".prop_map(Match::Other),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let name = || "[A-Z-]{1,20}";
    prop_oneof![
        prop::sample::select(vec![
            Action::Accept,
            Action::Drop,
            Action::Reset,
            Action::Return,
            Action::SetMark,
            Action::Continue,
        ]),
        any::<(u8, u8)>().prop_map(|(kind, code)| Action::Reject { kind, code }),
        name().prop_map(Action::Jump),
        name().prop_map(Action::Goto),
        name().prop_map(Action::Other),
        any::<(Option<IpAddr>, Option<u16>)>().prop_map(|(address, port)| Action::DestinationNat {
            address,
            port: port.map(Port)
        }),
        any::<Option<IpAddr>>().prop_map(|address| Action::SourceNat { address }),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let test = (any::<bool>(), on()).prop_map(|(not, on)| MatchTest { not, on });
    let tests = prop::collection::vec(test, 0..4);
    let number = any::<Option<u64>>;
    ("[ -~]{0,30}", tests, action(), number(), number()).prop_map(|(text, tests, action, packets, handle)| {
        Rule {
            text,
            tests,
            action,
            packets,
            handle,
        }
    })
}

fn table() -> impl Strategy<Value = Table> {
    let base = (any::<i32>(), any::<bool>()).prop_map(|(priority, accepts)| Base {
        hook: Hook::Forward,
        priority,
        accepts,
        kind: "filter".into(),
        links: vec!["eth0".into()],
    });
    let chain = (
        "[a-z]{1,9}",
        prop::option::of(base),
        prop::collection::vec(rule(), 0..4),
    );
    let chain = chain.prop_map(|(name, base, rules)| Chain { name, base, rules });
    prop::collection::vec(chain, 0..3).prop_map(|chains| Table {
        backend: Backend::Legacy,
        family: TableFamily::Inet,
        name: "filter".into(),
        chains,
    })
}

fn route() -> impl Strategy<Value = Route> {
    let options = any::<(Option<IpAddr>, Option<IpAddr>, Option<u32>, bool)>();
    (any::<u32>(), prefix(), options, any::<u8>()).prop_map(
        |(table, to, (gateway, source, mtu, dead), protocol)| Route {
            table,
            to,
            kind: RouteKind::Blackhole,
            gateway,
            link: Some("eth0".into()),
            source,
            metric: table / 2,
            mtu,
            protocol,
            dead,
        },
    )
}

proptest! {
    #[test]
    fn facts_come_back_as_they_were_sent(
        tables in prop::collection::vec(table(), 0..3),
        routes in prop::collection::vec(route(), 0..4),
        mac: [u8; 6],
        address: IpAddr,
    ) {
        let neighbour = Neighbour {
            address,
            link: "eth0".into(),
            mac: Some(MacAddress(mac)),
            state: NeighbourState::NoArp,
        };
        let facts = HostFacts {
            kernel: "6.1".into(),
            sysctls: BTreeMap::from([("net.ipv4.ip_forward".into(), "1".into())]),
            routes,
            neighbours: vec![neighbour],
            netfilter: Netfilter { tables },
            missing: vec![Missing { what: "links".into(), why: "no such thing".into() }],
            ..HostFacts::default()
        };
        let message = facts.to_wire();
        prop_assert_eq!(facts.document_len(), message.document.len());
        prop_assert_eq!(HostFacts::from_wire(&message), Ok(facts));
    }

    #[test]
    fn any_document_is_taken_or_refused(document: Vec<u8>) {
        let _ = HostFacts::from_wire(&v1::FactsReply { document });
    }
}

#[test]
fn what_is_no_facts_is_refused_by_field() {
    for document in [
        "",
        "7",
        "{\"kernel\": 7}",
        "{\"unheard_of\": 1}",
        "{\"links\": [{}]}",
    ] {
        let message = v1::FactsReply {
            document: document.as_bytes().to_vec(),
        };
        let error = HostFacts::from_wire(&message).unwrap_err();
        assert!(error.to_string().contains("facts.document"), "{error}");
    }
}

#[test]
fn control_characters_do_not_come_through() {
    let facts = HostFacts {
        kernel: "6.1\u{1b}[31m\n".into(),
        ..HostFacts::default()
    };
    let read = HostFacts::from_wire(&facts.to_wire()).unwrap();
    assert_eq!(read.kernel, "6.1 [31m ");
}
