//! What the kernels of a pretended cluster say when all is well: a VXLAN overlay on port 8472 as flannel and Calico wire it,
//! and the firewall open. Tests then spoil one of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use mesh_proto::{
    Action, Backend, Base, Carrier, Chain, Conntrack, ForwardingEntry, Hook, HostFacts, Link, LinkAddress,
    LinkCounters, MacAddress, Match, MatchTest, Neighbour, NeighbourState, OverlayKind, Plane, Port, Prefix,
    Route, RouteKind, Rule, Table, TableFamily, Tunnel,
};

use super::address;

/// The facts of each node, in order.
pub(crate) fn kernels(nodes: usize) -> Vec<HostFacts> {
    (0..nodes).map(|node| kernel(node, nodes)).collect()
}

fn kernel(node: usize, nodes: usize) -> HostFacts {
    let mut facts = HostFacts {
        sysctls: [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into(),
        links: vec![
            link("lo", None),
            link("eth0", Some(uplink_mac(node))),
            overlay(node),
        ],
        conntrack: Some(Conntrack {
            count: 120,
            max: 262_144,
            dropped: 0,
        }),
        ..HostFacts::default()
    };
    facts.netfilter.tables.push(empty_filter());
    for (name, of) in [
        ("lo", IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ("eth0", address(node, Plane::Host, 10)),
        ("vxlan.calico", gateway(node)),
    ] {
        facts.addresses.push(LinkAddress {
            link: name.to_owned(),
            address: of,
            network: Prefix::host(of),
        });
    }
    facts.routes.push(route("10.0.3.0/24", None, "eth0"));
    facts
        .routes
        .push(route("0.0.0.0/0", Some(address(200, Plane::Host, 10)), "eth0"));
    let pod = Prefix::host(address(node, Plane::Pod, 10)).to_string();
    facts.routes.push(route(&pod, None, "cali1"));
    for other in (0..nodes).filter(|other| *other != node) {
        let network = format!("10.244.{}.0/24", other + 1);
        facts
            .routes
            .push(route(&network, Some(gateway(other)), "vxlan.calico"));
        facts
            .neighbours
            .push(neighbour(gateway(other), "vxlan.calico", overlay_mac(other)));
        facts.neighbours.push(neighbour(
            address(other, Plane::Host, 10),
            "eth0",
            uplink_mac(other),
        ));
        facts.forwarding_entries.push(ForwardingEntry {
            link: "vxlan.calico".to_owned(),
            mac: overlay_mac(other),
            peer: Some(address(other, Plane::Host, 10)),
        });
    }
    facts
}

/// The address of a node's overlay device.
pub(crate) fn gateway(node: usize) -> IpAddr {
    address(node, Plane::Pod, 0)
}

pub(crate) fn uplink_mac(node: usize) -> MacAddress {
    mac(0xa, node)
}

pub(crate) fn overlay_mac(node: usize) -> MacAddress {
    mac(0xb, node)
}

fn mac(kind: u8, node: usize) -> MacAddress {
    MacAddress([2, 0, 0, 0, kind, u8::try_from(node).unwrap()])
}

fn link(name: &str, mac: Option<MacAddress>) -> Link {
    Link {
        name: name.to_owned(),
        index: 1,
        kind: String::new(),
        up: true,
        carrier: Carrier::Up,
        mtu: 1500,
        mac,
        master: None,
        tunnel: None,
        counters: LinkCounters::default(),
        details: BTreeMap::new(),
    }
}

fn overlay(node: usize) -> Link {
    Link {
        kind: "vxlan".to_owned(),
        tunnel: Some(Tunnel {
            kind: OverlayKind::Vxlan,
            port: Some(Port(8472)),
            vni: Some(4096),
            local: Some(address(node, Plane::Host, 10)),
            remote: None,
            below: Some("eth0".to_owned()),
        }),
        ..link("vxlan.calico", Some(overlay_mac(node)))
    }
}

fn route(to: &str, gateway: Option<IpAddr>, link: &str) -> Route {
    Route {
        table: 254,
        to: to.parse().unwrap(),
        kind: RouteKind::Unicast,
        gateway,
        link: Some(link.to_owned()),
        source: None,
        metric: 0,
        mtu: None,
        protocol: 4,
        dead: false,
    }
}

fn neighbour(address: IpAddr, link: &str, mac: MacAddress) -> Neighbour {
    Neighbour {
        address,
        link: link.to_owned(),
        mac: Some(mac),
        state: NeighbourState::Reachable,
    }
}

/// INPUT, FORWARD and OUTPUT, which accept all.
fn empty_filter() -> Table {
    let chain = |(name, hook): (&str, Hook)| Chain {
        name: name.to_owned(),
        base: Some(Base {
            hook,
            priority: 0,
            accepts: true,
            kind: "filter".to_owned(),
            links: Vec::new(),
        }),
        rules: Vec::new(),
    };
    let hooks = [
        ("INPUT", Hook::Input),
        ("FORWARD", Hook::Forward),
        ("OUTPUT", Hook::Output),
    ];
    Table {
        backend: Backend::Nft,
        family: TableFamily::Ip,
        name: "filter".to_owned(),
        chains: hooks.map(chain).to_vec(),
    }
}

/// Adds a rule to a chain of the filter, in front.
pub(crate) fn insert(facts: &mut HostFacts, chain: &str, tests: &[Match], action: Action, text: &str) {
    let rule = Rule {
        packets: Some(7),
        handle: Some(41),
        ..rule(tests, action, text)
    };
    let chains = facts
        .netfilter
        .tables
        .iter_mut()
        .flat_map(|table| &mut table.chains);
    let chain = chains.into_iter().find(|of| of.name == chain).unwrap();
    chain.rules.insert(0, rule);
}

/// A rule that tests all of these.
pub(crate) fn rule(tests: &[Match], action: Action, text: &str) -> Rule {
    let plain = |on: &Match| MatchTest {
        not: false,
        on: on.clone(),
    };
    Rule {
        text: text.to_owned(),
        tests: tests.iter().map(plain).collect(),
        action,
        packets: None,
        handle: None,
    }
}
