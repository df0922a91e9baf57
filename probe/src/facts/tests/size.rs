//! Giant rule sets fit into one document.

use std::fmt::Write;

use mesh_net::NetNamespace;
use mesh_proto::{Action, Backend, HostFacts, TableFamily};

use super::super::host_facts;
use super::super::left_out::LARGEST;
use super::{chain, command};

/// As kube-proxy writes it for so many services of two endpoints each, behind a firewall that stands last.
fn giant(services: usize) -> String {
    let mut rules = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -s 10.9.0.0/16 -j REJECT\nCOMMIT\n*nat\n:SERVICES - [0:0]\n".to_owned();
    let end = |service: usize, end: usize| format!("SEP-{service:05}-{end}-ABCDEFGHIJ");
    for service in 0..services {
        let _ = write!(
            rules,
            ":SVC-{service:05}-ABCDEFGHIJKLMN - [0:0]\n:{} - [0:0]\n:{} - [0:0]\n",
            end(service, 1),
            end(service, 2)
        );
    }
    rules.push_str("-A PREROUTING -j SERVICES\n-A POSTROUTING -s 10.244.0.0/16 -j MASQUERADE\n");
    for service in 0..services {
        let (high, low) = (service / 250, service % 250);
        let _ = write!(
            rules,
            "-A SERVICES -d 10.{}.{high}.{low}/32 -p tcp -m comment --comment \"default/service-{service} cluster IP\" -m tcp \
             --dport 80 -j SVC-{service:05}-ABCDEFGHIJKLMN\n\
             -A SVC-{service:05}-ABCDEFGHIJKLMN -m statistic --mode random --probability 0.5 -j {}\n\
             -A SVC-{service:05}-ABCDEFGHIJKLMN -j {}\n",
            96,
            end(service, 1),
            end(service, 2)
        );
        for number in [1, 2] {
            let _ = writeln!(
                rules,
                "-A {} -p tcp -m tcp -j DNAT --to-destination 10.244.{high}.{low}:80{number}",
                end(service, number)
            );
        }
    }
    rules.push_str("COMMIT\n");
    rules
}

fn facts_with(restore: &str, rules: &str) -> HostFacts {
    let namespace = NetNamespace::create().unwrap();
    namespace
        .run(|| {
            command(restore, rules);
            host_facts()
        })
        .unwrap()
}

#[test]
fn of_giant_rule_sets_what_decides_is_told_first() {
    const SERVICES: usize = 3_000;
    let rules = giant(SERVICES);
    for (backend, restore) in [
        (Backend::Legacy, "iptables-legacy-restore"),
        (Backend::Nft, "iptables-nft-restore"),
    ] {
        let facts = facts_with(restore, &rules);
        let length = facts.to_wire().document.len();
        assert!(length < LARGEST, "{length}");
        assert!(length > LARGEST / 2, "{length}: there is room for more");
        let why = facts.why_missing("some nftables rules").unwrap();
        assert!(
            why.contains(&format!("of {} are left out", SERVICES * 5 + 3)),
            "{why}"
        );
        let first =
            |table: &str, name: &str| chain(&facts, backend, TableFamily::Ip, table, name).rules[0].clone();
        assert!(matches!(first("filter", "FORWARD").action, Action::Reject { .. }));
        assert_eq!(
            first("nat", "POSTROUTING").action,
            Action::SourceNat { address: None }
        );
        assert_eq!(
            first("nat", "PREROUTING").action,
            Action::Jump("SERVICES".to_owned())
        );
        let table = facts
            .netfilter
            .tables
            .iter()
            .find(|table| table.name == "nat")
            .unwrap();
        assert!(
            table.chains.len() < SERVICES * 3,
            "chains of which nothing is left take room as well"
        );
    }
}

#[test]
fn giant_routing_tables_are_cut() {
    let mut batch = "link add near type veth peer name far\nlink set near up\nlink set far up\n".to_owned();
    batch.push_str("address add 192.0.2.7/24 dev near\n");
    for number in 0..17_000 {
        let (high, low) = (number / 250, number % 250);
        let _ = writeln!(batch, "route add 10.{high}.{low}.0/24 via 192.0.2.1");
    }
    batch.push_str("route add blackhole 203.0.113.0/24\nroute add default via 192.0.2.1\n");
    let facts = facts_with("ip -batch -", &batch);
    assert!(facts.to_wire().document.len() < LARGEST);
    assert!(facts.why_missing("some routes").is_some(), "{:?}", facts.missing);
    for prefix in ["0.0.0.0/0", "192.0.2.7/32"] {
        let prefix = prefix.parse().unwrap();
        assert!(facts.routes.iter().any(|route| route.to == prefix), "{prefix}");
    }
}
