//! Whatever the kernel of another year says: nothing panics, and a rule that is not understood is never one without tests.

use mesh_net::put_attribute;
use mesh_proto::Match;
use proptest::prelude::*;

use super::super::ip_sets::IpSets;
use super::super::ip_tables;
use super::super::links::{Names, device};
use super::super::neighbours::{forwarding_entry, neighbour};
use super::super::nftables::RuleFuzz;
use super::super::routes::{address, route, rule};
use super::super::tables::Tables;
use super::super::xtables::{match_tests, target};

fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let value = prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..24);
    prop::collection::vec((0..12_u16, value), 0..6).prop_map(|all| {
        let mut bytes = Vec::new();
        for (kind, value) in all {
            put_attribute(&mut bytes, kind, &value);
        }
        bytes
    })
}

const EXPRESSIONS: [&str; 28] = [
    "cmp",
    "range",
    "lookup",
    "immediate",
    "bitwise",
    "byteorder",
    "match",
    "target",
    "payload",
    "meta",
    "ct",
    "fib",
    "rt",
    "exthdr",
    "numgen",
    "hash",
    "socket",
    "counter",
    "log",
    "limit",
    "reject",
    "nat",
    "masq",
    "redir",
    "queue",
    "dynset",
    "objref",
    "inner",
];

const EXTENSIONS: [&str; 22] = [
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "multiport",
    "conntrack",
    "state",
    "addrtype",
    "mark",
    "comment",
    "statistic",
    "length",
    "iprange",
    "limit",
    "set",
    "physdev",
    "owner",
    "REJECT",
    "SNAT",
    "DNAT",
    "CT",
    "TCPMSS",
];

proptest! {
    #[test]
    fn messages_of_routing(header in prop::collection::vec(any::<u8>(), 0..16), attributes in attributes(), rest: Vec<u8>) {
        let content = [header, attributes, rest].concat();
        let names = Names::default();
        let _ = (device(&content), address(&names, &content), rule(&content));
        let _ = (neighbour(&names, &content), forwarding_entry(&names, &content));
        let _ = route(&names, &content, &mut Vec::new());
    }

    #[test]
    fn extensions(name in prop::sample::select(&EXTENSIONS[..]), revision in 0..5_u32, info: Vec<u8>, v6: bool) {
        let _ = match_tests(name, revision, &info, v6, &IpSets::default());
        let _ = target(name, revision, &info, v6);
    }

    #[test]
    fn legacy_tables(mut entries in prop::collection::vec(any::<u8>(), 0..800), v6: bool, hook in 0..900_u32, length in 0..300_u16) {
        // A length that is likely leads further in.
        let place = if v6 { 142 } else { 90 };
        if let Some(field) = entries.get_mut(place..place + 2) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
        let table = mesh_net::LegacyTable { valid_hooks: 31, hook_entry: [0, hook, 0, 0, 0], underflow: [hook; 5], entries };
        ip_tables::put(v6, "filter", &table, &IpSets::default(), &mut Tables::default());
    }

    #[test]
    fn rules_of_nftables(
        family in prop::sample::select(&[1_u8, 2, 5, 7, 10][..]),
        expressions in prop::collection::vec((prop::sample::select(&EXPRESSIONS[..]), attributes()), 0..9),
    ) {
        let mut list = Vec::new();
        for (name, data) in &expressions {
            let mut expression = Vec::new();
            put_attribute(&mut expression, 1, name.as_bytes());
            put_attribute(&mut expression, 2, data);
            put_attribute(&mut list, 1, &expression);
        }
        let mut message = Vec::new();
        put_attribute(&mut message, 4, &list);
        let told = RuleFuzz::default().rules(family, &message);
        prop_assert!(!told.is_empty());
        // One that is not known may be a test, and is told as one.
        if expressions.iter().any(|(name, _)| *name == "inner") {
            for rule in told {
                prop_assert!(rule.tests.iter().any(|test| matches!(&test.on, Match::Other(words) if words == "inner")));
            }
        }
    }
}
