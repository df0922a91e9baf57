//! Devices, addresses, routes, neighbours, sysctls, sockets.

use std::net::UdpSocket;

use mesh_net::NetNamespace;
use mesh_proto::{
    Carrier, Fact, ForwardingEntry, HostFacts, Listening, MacAddress, Neighbour, NeighbourState, OverlayKind,
    Port, Protocol, Route, RouteKind, RoutingRule, Tunnel,
};

use super::super::host_facts;
use super::{command, facts_after};

/// Two devices, a VXLAN device over one of them in a bridge with the other, and addresses of both families.
const PLACE: &[&str] = &[
    "ip link set lo up",
    "ip link add near mtu 1400 address 02:00:00:00:00:11 type veth peer name far",
    "ip link set near up",
    "ip link set far up",
    "ip address add 192.0.2.7/24 dev near",
    "ip address add 2001:db8::7/64 dev near nodad",
    "ip link add br7 type bridge nf_call_iptables 1",
    "ip link add ov7 mtu 1350 type vxlan id 77 dstport 8473 local 192.0.2.7 dev near nolearning",
    "ip link set ov7 master br7",
    "ip link set ov7 type bridge_slave hairpin on",
    "ip link set br7 up",
    "ip link set ov7 up",
];

fn with(more: &[&'static str]) -> HostFacts {
    facts_after(&[PLACE, more].concat())
}

#[test]
fn devices_say_what_they_are() {
    let facts = with(&[]);
    let near = facts.link("near").unwrap();
    assert_eq!(
        (near.kind.as_str(), near.up, near.mtu, near.carrier),
        ("veth", true, 1_400, Carrier::Up)
    );
    assert_eq!(near.mac, Some(MacAddress([2, 0, 0, 0, 0, 0x11])));
    assert!(near.counters.sent > 0, "{near:?}");
    assert!(
        near.details.is_empty() && near.tunnel.is_none() && near.master.is_none(),
        "{near:?}"
    );

    let overlay = facts.link("ov7").unwrap();
    assert_eq!(overlay.kind, "vxlan");
    assert_eq!(overlay.master.as_deref(), Some("br7"));
    let expected = Tunnel {
        kind: OverlayKind::Vxlan,
        port: Some(Port(8_473)),
        vni: Some(77),
        local: Some("192.0.2.7".parse().unwrap()),
        remote: None,
        below: Some("near".to_owned()),
    };
    assert_eq!(overlay.tunnel, Some(expected));
    let detail = |link: &str, name: &str| facts.link(link).unwrap().details.get(name).map(String::as_str);
    assert_eq!(detail("ov7", "hairpin"), Some("yes"));
    assert_eq!(detail("ov7", "port-state"), Some("3"));
    assert_eq!(detail("br7", "nf-call-iptables"), Some("yes"));

    let lo = facts.link("lo").unwrap();
    assert_eq!(
        (lo.kind.as_str(), lo.up, lo.mtu, lo.carrier),
        ("", true, 65_536, Carrier::Unknown)
    );
}

#[test]
fn a_device_that_is_off_says_so() {
    let facts = with(&["ip link set ov7 down", "ip link set far down"]);
    let overlay = facts.link("ov7").unwrap();
    assert!(!overlay.up);
    assert_eq!(overlay.carrier, Carrier::Down);
    let near = facts.link("near").unwrap();
    assert!(near.up);
    assert_eq!(near.carrier, Carrier::Down);
}

#[test]
fn addresses_have_their_networks() {
    let facts = with(&["ip address add 198.51.100.1 peer 198.51.100.2/31 dev far"]);
    let of = |address: &str| {
        let address: std::net::IpAddr = address.parse().unwrap();
        let found = facts.addresses.iter().find(|of| of.address == address).unwrap();
        (found.link.as_str(), found.network.to_string())
    };
    assert_eq!(of("192.0.2.7"), ("near", "192.0.2.7/24".to_owned()));
    assert_eq!(of("2001:db8::7"), ("near", "2001:db8::7/64".to_owned()));
    assert_eq!(of("198.51.100.1"), ("far", "198.51.100.2/31".to_owned()));
    assert!(facts.has_address("127.0.0.1".parse().unwrap()));
}

#[test]
fn routes_of_all_tables_and_kinds_are_there() {
    let facts = with(&[
        "ip route add 203.0.113.0/24 via 192.0.2.1 metric 50 mtu 1300 src 192.0.2.7",
        "ip route add blackhole 203.0.113.64/26",
        "ip route add unreachable 203.0.113.128/26",
        "ip route add prohibit 203.0.113.192/26 table 77",
        "ip route add throw 203.0.113.32/27",
        "ip -6 route add 2001:db8:5::/48 via 2001:db8::1",
        "ip -6 route add blackhole 2001:db8:6::/48",
        "ip route add default nexthop via 192.0.2.2 weight 1 nexthop via 192.0.2.3 weight 2",
    ]);
    let to = |prefix: &str| -> Vec<&Route> {
        let prefix = prefix.parse().unwrap();
        facts.routes.iter().filter(|route| route.to == prefix).collect()
    };
    let one = |prefix: &str| {
        let found = to(prefix);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    let expected = Route {
        table: 254,
        to: "203.0.113.0/24".parse().unwrap(),
        kind: RouteKind::Unicast,
        gateway: Some("192.0.2.1".parse().unwrap()),
        link: Some("near".to_owned()),
        source: Some("192.0.2.7".parse().unwrap()),
        metric: 50,
        mtu: Some(1_300),
        protocol: 3,
        dead: false,
    };
    assert_eq!(one("203.0.113.0/24"), expected);
    let kinds = [
        ("203.0.113.64/26", RouteKind::Blackhole, 254),
        ("203.0.113.128/26", RouteKind::Unreachable, 254),
        ("203.0.113.192/26", RouteKind::Prohibit, 77),
        ("203.0.113.32/27", RouteKind::Throw, 254),
        ("2001:db8:5::/48", RouteKind::Unicast, 254),
        ("2001:db8:6::/48", RouteKind::Blackhole, 254),
        ("192.0.2.7/32", RouteKind::Local, 255),
        ("192.0.2.255/32", RouteKind::Other, 255),
    ];
    for (prefix, kind, table) in kinds {
        let route = one(prefix);
        assert_eq!((route.kind, route.table), (kind, table), "{prefix}");
    }
    assert_eq!(
        one("2001:db8:5::/48").gateway,
        Some("2001:db8::1".parse().unwrap())
    );
    let hops: Vec<String> = to("0.0.0.0/0")
        .iter()
        .map(|route| route.gateway.unwrap().to_string())
        .collect();
    assert_eq!(hops, ["192.0.2.2", "192.0.2.3"]);
}

#[test]
fn a_route_by_a_dead_device_says_so() {
    let facts = with(&[
        "ip route add 203.0.113.0/24 via 192.0.2.1",
        "ip link set far down",
    ]);
    let prefix = "203.0.113.0/24".parse().unwrap();
    assert!(facts.routes.iter().any(|route| route.to == prefix && route.dead));
}

#[test]
fn routing_rules_of_both_families_are_there() {
    let facts = with(&[
        "ip rule add priority 100 from 10.1.0.0/16 to 10.2.0.0/16 fwmark 0x80/0xf0 iif near lookup 77",
        "ip rule add priority 101 not from 10.3.0.0/16 prohibit",
        "ip -6 rule add priority 102 from 2001:db8::/32 lookup 78 suppress_prefixlength 0",
    ]);
    let at = |priority: u32| {
        facts
            .routing_rules
            .iter()
            .find(|rule| rule.priority == priority)
            .unwrap()
            .clone()
    };
    let plain = RoutingRule {
        priority: 100,
        from: Some("10.1.0.0/16".parse().unwrap()),
        to: Some("10.2.0.0/16".parse().unwrap()),
        mark: Some((0x80, 0xf0)),
        link: Some("near".to_owned()),
        table: Some(77),
        v6: false,
        not: false,
        also: None,
    };
    assert_eq!(at(100), plain);
    let odd = at(101);
    assert_eq!(
        (odd.not, odd.table, odd.also.as_deref()),
        (true, None, Some("prohibit"))
    );
    let suppressed = at(102);
    assert!(suppressed.v6);
    assert_eq!(
        (suppressed.table, suppressed.also.as_deref()),
        (Some(78), Some("suppress_prefixlength 0"))
    );
    assert_eq!(
        facts
            .routing_rules
            .iter()
            .filter(|rule| rule.table == Some(254))
            .count(),
        2
    );
}

#[test]
fn neighbours_and_forwarding_entries_are_there() {
    let facts = with(&[
        "ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:99 dev near nud permanent",
        "ip neighbour add 2001:db8::9 lladdr 02:00:00:00:00:98 dev near nud stale",
        "bridge fdb append 00:00:00:00:00:00 dev ov7 dst 198.51.100.5",
        "bridge fdb append 02:00:00:00:00:42 dev ov7 dst 198.51.100.6 self permanent",
        "ip link set far master br7",
        "bridge fdb add 02:00:00:00:00:43 dev far master static",
    ]);
    let neighbour = |address: &str| {
        let address: std::net::IpAddr = address.parse().unwrap();
        facts
            .neighbours
            .iter()
            .find(|of| of.address == address)
            .unwrap()
            .clone()
    };
    let permanent = Neighbour {
        address: "192.0.2.9".parse().unwrap(),
        link: "near".to_owned(),
        mac: Some(MacAddress([2, 0, 0, 0, 0, 0x99])),
        state: NeighbourState::Permanent,
    };
    assert_eq!(neighbour("192.0.2.9"), permanent);
    assert_eq!(neighbour("2001:db8::9").state, NeighbourState::Stale);
    let entry = |link: &str, mac: u8, peer: Option<&str>| ForwardingEntry {
        link: link.to_owned(),
        mac: MacAddress(if mac == 0 { [0; 6] } else { [2, 0, 0, 0, 0, mac] }),
        peer: peer.map(|peer| peer.parse().unwrap()),
    };
    for expected in [
        entry("ov7", 0, Some("198.51.100.5")),
        entry("ov7", 0x42, Some("198.51.100.6")),
        entry("far", 0x43, None),
    ] {
        assert!(
            facts.forwarding_entries.contains(&expected),
            "{expected:?}: {:#?}",
            facts.forwarding_entries
        );
    }
}

#[test]
fn sysctls_are_those_of_the_place_and_of_each_device() {
    let facts = with(&[
        "sysctl -qw net.ipv4.ip_forward=1",
        "sysctl -qw net.ipv4.conf.near.rp_filter=2",
        "sysctl -qw net.ipv4.conf.near.accept_local=1",
        "sysctl -qw net.ipv4.conf.far.route_localnet=1",
        "sysctl -qw net.ipv4.conf.far.arp_ignore=1",
        "sysctl -qw net.ipv4.conf.far.arp_filter=1",
        "sysctl -qw net.ipv6.conf.far.disable_ipv6=1",
        "sysctl -qw net.ipv6.conf.near.forwarding=1",
        "sysctl -qw net.ipv4.icmp_ratelimit=500",
    ]);
    let expected = [
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.conf.all.forwarding", "1"),
        ("net.ipv4.conf.near.forwarding", "1"),
        ("net.ipv4.conf.near.rp_filter", "2"),
        ("net.ipv4.conf.near.accept_local", "1"),
        ("net.ipv4.conf.far.accept_local", "0"),
        ("net.ipv4.conf.far.route_localnet", "1"),
        ("net.ipv4.conf.far.arp_ignore", "1"),
        ("net.ipv4.conf.far.arp_filter", "1"),
        ("net.ipv6.conf.far.disable_ipv6", "1"),
        ("net.ipv6.conf.near.disable_ipv6", "0"),
        ("net.ipv6.conf.near.forwarding", "1"),
        ("net.ipv4.icmp_ratelimit", "500"),
        ("net.ipv4.ping_group_range", "1 0"),
    ];
    for (name, value) in expected {
        assert_eq!(facts.sysctl(name), Some(value), "{name}");
    }
}

#[test]
fn what_listens_is_there_and_what_is_connected_is_not() {
    let namespace = NetNamespace::create().unwrap();
    let (facts, connected) = namespace
        .run(|| {
            command("ip link set lo up", "");
            let listener = std::net::TcpListener::bind("127.0.0.1:7001").unwrap();
            let listener6 = std::net::TcpListener::bind("[::1]:7002").unwrap();
            let udp = UdpSocket::bind("0.0.0.0:7003").unwrap();
            let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
            connected.connect("127.0.0.1:7003").unwrap();
            let stream = std::net::TcpStream::connect("127.0.0.1:7001").unwrap();
            let facts = host_facts();
            drop((listener, listener6, udp, stream));
            (facts, connected.local_addr().unwrap().port())
        })
        .unwrap();
    let at = |protocol, address: &str, port| Listening {
        protocol,
        address: address.parse().unwrap(),
        port: Port(port),
    };
    let expected = [
        at(Protocol::Tcp, "127.0.0.1", 7_001),
        at(Protocol::Tcp, "::1", 7_002),
        at(Protocol::Udp, "0.0.0.0", 7_003),
    ];
    let mut listening = facts.listening.clone();
    listening.sort_by_key(|of| of.port.0);
    assert_eq!(listening, expected, "the connected one is at {connected}");
    assert!(facts.counters["Tcp.PassiveOpens"] >= 1);
    assert!(facts.counters.contains_key("TcpExt.IPReversePathFilter"));
    assert!(facts.counters.contains_key("Ip6.InReceives"));
}

#[test]
fn all_of_it_can_be_told_in_lines() {
    let facts = with(&["ip route add 203.0.113.0/24 via 192.0.2.1"]);
    let lines = facts.lines();
    let value = |group: &str, name: &str| {
        let found: Vec<&Fact> = lines
            .iter()
            .filter(|line| line.group == group && line.name == name)
            .collect();
        assert_eq!(found.len(), 1, "{group} {name}: {found:?}");
        found[0].value.clone()
    };
    assert!(
        value("link", "ov7").starts_with("vxlan up mtu 1350 "),
        "{}",
        value("link", "ov7")
    );
    assert!(value("link", "ov7").contains("port 8473"));
    assert_eq!(value("route", "main 203.0.113.0/24"), "via 192.0.2.1 dev near");
    assert!(value("address", "near 192.0.2.7").starts_with("192.0.2.7/24"));
}
