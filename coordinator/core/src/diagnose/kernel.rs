//! Questions to what a kernel says of itself.

use std::net::IpAddr;

use mesh_proto::{
    Action, Hook, HostFacts, Link, MacAddress, Match, Neighbour, OverlayKind, Plane, Port, Protocol, Route,
    RouteKind, RoutingRule, Rule, Tunnel,
};

use super::scene::{Scene, address_of, facts_of};
use crate::NodeIndex;
use crate::localise::Model;
use crate::netfilter::{IpProtocol, Packet, Stop, stop};

/// The kernel's table of its own addresses (`RT_TABLE_LOCAL`).
const LOCAL_TABLE: u32 = 255;
/// The kernel's usual tables behind it, `main` and `default`, where no rules are known.
const USUAL_TABLES: [u32; 2] = [254, 253];

/// The route that packets take which the kernel hands on to an address.
pub(super) fn route_to(facts: &HostFacts, to: IpAddr) -> Option<&Route> {
    look_up(facts, to, false)
}

/// The route that the machine's own packets take to an address.
pub(super) fn own_route_to(facts: &HostFacts, to: IpAddr) -> Option<&Route> {
    look_up(facts, to, true)
}

/// Goes through the routing rules in order, in each table to the longest prefix, as `net/core/fib_rules.c` does it. Rules that
/// test a source, a mark or a device are passed over, but for `iif lo`: that is what the machine sends itself.
fn look_up(facts: &HostFacts, to: IpAddr, own: bool) -> Option<&Route> {
    let mut rules: Vec<_> = facts.routing_rules.iter().collect();
    rules.sort_by_key(|rule| rule.priority);
    let applies = |rule: &&RoutingRule| {
        let to_there = rule
            .to
            .is_none_or(|prefix| prefix.len == 0 || prefix.contains(to));
        let by = rule.link.as_deref().is_none_or(|link| link == "lo" && own);
        rule.from.is_none_or(|prefix| prefix.len == 0) && rule.mark.is_none() && to_there && by
    };
    let mut tables: Vec<u32> = rules
        .into_iter()
        .filter(applies)
        .filter_map(|rule| rule.table)
        .collect();
    if tables.is_empty() {
        tables.extend(USUAL_TABLES);
    }
    let mut found = tables
        .into_iter()
        .filter(|table| *table != LOCAL_TABLE)
        .filter_map(|table| {
            let routes = facts.routes.iter();
            let fitting = routes.filter(|route| route.table == table && !route.dead && route.to.contains(to));
            fitting.min_by_key(|route| (std::cmp::Reverse(route.to.len), route.metric))
        });
    found.find(|route| route.kind != RouteKind::Throw)
}

/// Whether packets for an address have a route of their own, and not only the default one.
pub(super) fn has_own_route(facts: &HostFacts, to: IpAddr) -> bool {
    route_to(facts, to)
        .is_some_and(|route| route.to.len > 0 && matches!(route.kind, RouteKind::Unicast | RouteKind::Local))
}

/// The device that packets for an address leave by.
pub(super) fn link_to(facts: &HostFacts, to: IpAddr) -> Option<&str> {
    route_to(facts, to)?.link.as_deref()
}

/// The device that encapsulates pod packets.
pub(super) fn tunnel(facts: &HostFacts, kind: Option<OverlayKind>) -> Option<(&Link, &Tunnel)> {
    let mut tunnels = facts
        .links
        .iter()
        .filter_map(|link| Some((link, link.tunnel.as_ref()?)));
    // A machine's own tunnels to elsewhere have a fixed peer; those of a cluster network have many.
    tunnels.find(|(_, tunnel)| {
        kind.is_none_or(|kind| tunnel.kind == kind) && (tunnel.remote.is_none() || kind == Some(tunnel.kind))
    })
}

/// The device by which a node sends to others.
pub(super) fn uplink<'a>(model: &Model<'a>, node: NodeIndex) -> Option<&'a str> {
    let facts = facts_of(model, node, Plane::Host)?;
    let mut others = model.nodes_here().iter().filter(|other| **other != node);
    others.find_map(|other| link_to(facts, address_of(model, *other, Plane::Host)?))
}

/// Whether a node puts pod packets into packets between nodes, as the roster says, or its devices.
pub(super) fn is_encapsulated(model: &Model<'_>, node: NodeIndex) -> bool {
    let said = model.matrix.round().roster().cluster.overlay;
    match said {
        Some(overlay) => overlay.kind != OverlayKind::None,
        None => facts_of(model, node, Plane::Host).is_some_and(|facts| tunnel(facts, None).is_some()),
    }
}

/// The hardware address of the device that has an address.
pub(super) fn mac_of(facts: &HostFacts, address: IpAddr) -> Option<MacAddress> {
    let of = facts.addresses.iter().find(|of| of.address == address)?;
    facts.link(&of.link)?.mac
}

/// Who has an address, as the kernel believes.
pub(super) fn neighbour<'a>(
    facts: &'a HostFacts,
    address: IpAddr,
    link: Option<&str>,
) -> Option<&'a Neighbour> {
    let mut of = facts.neighbours.iter().filter(|of| of.address == address);
    of.find(|of| link.is_none_or(|link| of.link == link))
}

/// Whether the kernel forwards packets of this family that come by any device.
pub(super) fn forwards(facts: &HostFacts, towards: IpAddr) -> Option<bool> {
    let name = if towards.is_ipv4() {
        "net.ipv4.ip_forward"
    } else {
        "net.ipv6.conf.all.forwarding"
    };
    facts.sysctl(name).map(|value| value != "0")
}

/// Whether packets are dropped that come by another device than answers would leave by, where they come by `link` (the
/// larger of the two sysctls counts; 1 is strict: `Documentation/networking/ip-sysctl.rst`).
pub(super) fn is_strict(facts: &HostFacts, link: &str) -> bool {
    let value = |name: &str| -> u8 {
        let value = facts.sysctl(&format!("net.ipv4.conf.{name}.rp_filter"));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    value("all").max(value(link)) == 1
}

/// Where packets for a service are sent, by the rules of a kernel: the targets of all DNAT rules that its rules lead to.
/// `None` where no rule speaks of it, or not in terms that are known.
pub(super) fn backends(facts: &HostFacts, packet: &Packet<'_>) -> Option<Vec<(IpAddr, Option<Port>)>> {
    let found = crate::netfilter::translations(&facts.netfilter, packet);
    (!found.is_empty()).then_some(found)
}

/// Whether a kernel translates the source of what was marked on its way to a service: there is a chain that tests a mark and
/// translates.
pub(super) fn masquerades(facts: &HostFacts) -> bool {
    let mut chains = facts.netfilter.tables.iter().flat_map(|table| &table.chains);
    chains.any(|chain| {
        let by_mark = |rule: &Rule| {
            rule.tests
                .iter()
                .any(|test| matches!(test.on, Match::Mark { .. }))
        };
        let translates = |rule: &Rule| matches!(rule.action, Action::SourceNat { .. });
        chain.rules.iter().any(by_mark) && chain.rules.iter().any(translates)
    })
}

/// Which way a packet goes at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From another node or its pods.
    In,
    /// To another node or its pods.
    Out,
}

/// What stops packets between a node's own pod and another's, at the node.
pub(super) fn forward_stop<'a>(
    scene: &Scene<'a>,
    node: NodeIndex,
    peer: NodeIndex,
    peer_plane: Plane,
    protocol: Protocol,
    way: Way,
) -> Option<Stop<'a>> {
    let facts = scene.host(node)?;
    let own = scene.address(node, Plane::Pod)?;
    let other = scene.address(peer, peer_plane)?;
    let (own_link, other_link) = (link_to(facts, own), link_to(facts, other));
    let (source, destination, in_link, out_link) = match way {
        Way::Out => (own, other, own_link, other_link),
        Way::In => (other, own, other_link, own_link),
    };
    let packet = Packet {
        protocol: IpProtocol::of(protocol, destination),
        source,
        destination,
        destination_port: port(scene, protocol),
        in_link,
        out_link,
        from_here: false,
        for_here: false,
    };
    let hooks = [Hook::Prerouting, Hook::Forward, Hook::Postrouting];
    first(facts, &hooks, &packet)
}

/// What stops packets between two nodes' own addresses, at the first.
pub(super) fn host_stop<'a>(
    scene: &Scene<'a>,
    node: NodeIndex,
    peer: NodeIndex,
    (protocol, port): (IpProtocol, Option<Port>),
    way: Way,
) -> Option<Stop<'a>> {
    let facts = scene.host(node)?;
    let (own, other) = (
        scene.address(node, Plane::Host)?,
        scene.address(peer, Plane::Host)?,
    );
    let link = link_to(facts, other);
    let packet = |source, destination, in_link, out_link, from_here| Packet {
        protocol,
        source,
        destination,
        destination_port: port,
        in_link,
        out_link,
        from_here,
        for_here: !from_here,
    };
    match way {
        Way::In => first(
            facts,
            &[Hook::Prerouting, Hook::Input],
            &packet(other, own, link, Some(""), false),
        ),
        Way::Out => first(
            facts,
            &[Hook::Output, Hook::Postrouting],
            &packet(own, other, Some(""), link, true),
        ),
    }
}

/// What stops whatever a node and a peer send each other by their own addresses, whichever protocol and port.
pub(super) fn ban<'a>(model: &Model<'a>, node: NodeIndex, peer: NodeIndex, way: Way) -> Option<Stop<'a>> {
    let facts = facts_of(model, node, Plane::Host)?;
    let (own, other) = (
        address_of(model, node, Plane::Host)?,
        address_of(model, peer, Plane::Host)?,
    );
    let link = link_to(facts, other);
    let stop_of = |protocol| {
        let packet = Packet {
            protocol,
            source: if way == Way::In { other } else { own },
            destination: if way == Way::In { own } else { other },
            // Where a rule before lets a port pass, it is not known whether this one does.
            destination_port: None,
            in_link: if way == Way::In { link } else { Some("") },
            out_link: if way == Way::In { Some("") } else { link },
            from_here: way == Way::Out,
            for_here: way == Way::In,
        };
        let hooks: &[Hook] = match way {
            Way::In => &[Hook::Prerouting, Hook::Input],
            Way::Out => &[Hook::Output, Hook::Postrouting],
        };
        first(facts, hooks, &packet).filter(|stop| stop.sure)
    };
    let protocols = Protocol::ALL
        .iter()
        .map(|protocol| IpProtocol::of(*protocol, other));
    let stops: Option<Vec<Stop<'a>>> = protocols.chain([IpProtocol::IPIP]).map(stop_of).collect();
    let stops = stops?;
    let (one, rest) = stops.split_first()?;
    rest.iter().all(|stop| stop.is(one)).then_some(*one)
}

/// Whether what stops packets at a node's input stops those that it sends to itself as well.
pub(super) fn stops_itself(model: &Model<'_>, node: NodeIndex, stop: &Stop<'_>) -> bool {
    let Some((facts, own)) = facts_of(model, node, Plane::Host).zip(address_of(model, node, Plane::Host))
    else {
        return false;
    };
    let packet = Packet {
        protocol: IpProtocol::of(Protocol::Tcp, own),
        source: own,
        destination: own,
        destination_port: None,
        in_link: Some("lo"),
        out_link: Some(""),
        from_here: false,
        for_here: true,
    };
    first(facts, &[Hook::Prerouting, Hook::Input], &packet).is_some_and(|found| found.sure && found.is(stop))
}

/// The surest of what stops a packet at several points of its way.
pub(super) fn first<'a>(facts: &'a HostFacts, hooks: &[Hook], packet: &Packet<'_>) -> Option<Stop<'a>> {
    let stops: Vec<Stop<'a>> = hooks
        .iter()
        .filter_map(|hook| stop(&facts.netfilter, *hook, packet))
        .collect();
    let sure = stops.iter().find(|stop| stop.sure);
    sure.or(stops.first()).copied()
}

/// The port that agents answer probes on.
pub(super) fn port(scene: &Scene<'_>, protocol: Protocol) -> Option<Port> {
    if protocol == Protocol::Icmp {
        return None;
    }
    let agents = scene.roster().agents.iter();
    agents
        .filter_map(|agent| agent.prepared())
        .map(|prepared| prepared.responder_port)
        .next()
}

/// Whether both rule sets of a node were read, so that no stop means that there is none.
pub(super) fn rules_are_known(facts: &HostFacts) -> bool {
    facts.why_missing(mesh_proto::NFTABLES_RULES).is_none()
        && facts.why_missing(mesh_proto::LEGACY_RULES).is_none()
}
