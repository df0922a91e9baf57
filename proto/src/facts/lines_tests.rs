use std::collections::{BTreeMap, BTreeSet};

use super::Fact;
use crate::{
    Action, Backend, Base, Carrier, Chain, Conntrack, ForwardingEntry, Hook, HostFacts, Link, LinkAddress,
    LinkCounters, Listening, MacAddress, Missing, Neighbour, NeighbourState, Netfilter, OverlayKind, Port,
    Protocol, Route, RouteKind, RoutingRule, Rule, Table, TableFamily, Tunnel,
};

fn link() -> Link {
    Link {
        name: "flannel.1".into(),
        index: 4,
        kind: "vxlan".into(),
        up: true,
        carrier: Carrier::Unknown,
        mtu: 1_450,
        mac: Some(MacAddress([2, 0, 0, 0, 0, 1])),
        master: Some("br0".into()),
        tunnel: Some(Tunnel {
            kind: OverlayKind::Vxlan,
            port: Some(Port(8_472)),
            vni: Some(1),
            local: Some([10, 0, 0, 1].into()),
            remote: None,
            below: Some("eth0".into()),
        }),
        counters: LinkCounters {
            received: 5,
            ..LinkCounters::default()
        },
        details: BTreeMap::from([("learning".into(), "no".into())]),
    }
}

fn route(to: &str, kind: RouteKind, gateway: Option<[u8; 4]>) -> Route {
    Route {
        table: 254,
        to: to.parse().unwrap(),
        kind,
        gateway: gateway.map(Into::into),
        link: gateway.map(|_| "eth0".into()),
        source: None,
        metric: 0,
        mtu: None,
        protocol: 4,
        dead: false,
    }
}

/// One of everything.
pub(crate) fn facts() -> HostFacts {
    let rule = |text: &str| Rule {
        text: text.into(),
        tests: vec![],
        action: Action::Drop,
        packets: Some(1),
        handle: Some(4),
    };
    let base = Base {
        hook: Hook::Forward,
        priority: 0,
        accepts: false,
        kind: "filter".into(),
        links: vec![],
    };
    let chain = Chain {
        name: "FORWARD".into(),
        base: Some(base),
        rules: vec![rule("-j DROP"), rule("-j ACCEPT")],
    };
    let table = Table {
        backend: Backend::Legacy,
        family: TableFamily::Ip,
        name: "filter".into(),
        chains: vec![chain],
    };
    HostFacts {
        kernel: "6.1.0".into(),
        uptime_s: 7,
        sysctls: BTreeMap::from([("net.ipv4.ip_forward".into(), "1".into())]),
        links: vec![
            link(),
            Link {
                name: "lo".into(),
                kind: String::new(),
                up: false,
                tunnel: None,
                ..link()
            },
        ],
        addresses: vec![LinkAddress {
            link: "lo".into(),
            address: [127, 0, 0, 1].into(),
            network: "127.0.0.1/8".parse().unwrap(),
        }],
        routes: vec![
            route("10.0.0.0/8", RouteKind::Blackhole, None),
            route("0.0.0.0/0", RouteKind::Unicast, Some([192, 0, 2, 1])),
            route("0.0.0.0/0", RouteKind::Unicast, Some([192, 0, 2, 2])),
        ],
        routing_rules: vec![RoutingRule {
            priority: 100,
            from: None,
            to: Some("10.0.0.0/8".parse().unwrap()),
            mark: Some((1, 0xff)),
            link: None,
            table: Some(254),
            v6: true,
            not: true,
            also: Some("oif eth0".into()),
        }],
        neighbours: vec![Neighbour {
            address: [10, 0, 0, 9].into(),
            link: "eth0".into(),
            mac: None,
            state: NeighbourState::Failed,
        }],
        forwarding_entries: vec![ForwardingEntry {
            link: "flannel.1".into(),
            mac: MacAddress([0; 6]),
            peer: Some([10, 0, 0, 2].into()),
        }],
        netfilter: Netfilter { tables: vec![table] },
        conntrack: Some(Conntrack {
            count: 1,
            max: 2,
            dropped: 3,
        }),
        counters: BTreeMap::from([("Ip.ForwDatagrams".into(), 9)]),
        listening: vec![Listening {
            protocol: Protocol::Udp,
            address: "::".parse().unwrap(),
            port: Port(8_472),
        }],
        missing: vec![Missing {
            what: "nftables rules".into(),
            why: "no CAP_NET_ADMIN".into(),
        }],
    }
}

#[test]
fn each_fact_is_a_line_with_a_name_of_its_own() {
    let lines = facts().lines();
    let told: BTreeMap<(&str, &str), &str> = lines
        .iter()
        .map(|Fact { group, name, value }| ((*group, name.as_str()), value.as_str()))
        .collect();
    assert_eq!(told.len(), lines.len(), "two lines have one name");
    let expected = [
        (("kernel", "release"), "6.1.0"),
        (("sysctl", "net.ipv4.ip_forward"), "1"),
        (
            ("link", "flannel.1"),
            "vxlan up mtu 1450 port 8472 vni 1 local 10.0.0.1 over eth0 master br0 learning no",
        ),
        (("link", "lo"), "device down mtu 1450 master br0 learning no"),
        (("mac", "flannel.1"), "02:00:00:00:00:01"),
        (("address", "lo 127.0.0.1"), "127.0.0.1/8"),
        (("route", "main 10.0.0.0/8"), "blackhole"),
        (("route", "main 0.0.0.0/0"), "via 192.0.2.1 dev eth0"),
        (("route", "main 0.0.0.0/0 #2"), "via 192.0.2.2 dev eth0"),
        (
            ("routing-rule", "ip6 100"),
            "not from all to 10.0.0.0/8 fwmark 0x1/0xff lookup main oif eth0",
        ),
        (("neighbour", "eth0 10.0.0.9"), "failed"),
        (("forwarding", "flannel.1 00:00:00:00:00:00"), "dst 10.0.0.2"),
        (
            ("chain", "legacy ip filter FORWARD"),
            "type filter hook forward priority 0 policy drop",
        ),
        (("rule", "legacy ip filter FORWARD 2"), "-j ACCEPT"),
        (("conntrack", "dropped"), "3"),
        (("listening", "udp [::]:8472"), "listens"),
        (("link-counter", "flannel.1 received"), "5"),
        (("counter", "Ip.ForwDatagrams"), "9"),
        (("missing", "nftables rules"), "no CAP_NET_ADMIN"),
    ];
    for (key, value) in expected {
        assert_eq!(told.get(&key), Some(&value), "{key:?}");
    }
}

#[test]
fn lines_of_a_group_stand_together() {
    let lines = facts().lines();
    let mut groups: Vec<&str> = lines.iter().map(|line| line.group).collect();
    groups.dedup();
    // Chains stand before their rules.
    groups.retain(|group| !matches!(*group, "chain" | "rule"));
    assert_eq!(
        groups.iter().collect::<BTreeSet<_>>().len(),
        groups.len(),
        "{groups:?}"
    );
}
