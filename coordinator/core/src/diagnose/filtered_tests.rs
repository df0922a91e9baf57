use mesh_proto::{
    Action, Cause, Confidence, Direction, Finding, HostFacts, Match, Plane, Port, PortRange, Prefix,
    ProbeKind, Protocol, Report,
};

use crate::Target;
use crate::localise::protocol_of;
use crate::world::kernel::{insert, kernels};
use crate::world::{Fate, Trip, World};

const NODES: usize = 4;

fn of(number: u8) -> Match {
    Match::Protocol(number)
}

fn port(port: u16) -> Match {
    let port = Port(port);
    Match::DestinationPort(vec![PortRange { from: port, to: port }])
}

fn report(mut world: World, spoil: impl FnOnce(&mut [HostFacts])) -> Report {
    let mut facts = kernels(NODES);
    spoil(&mut facts);
    world.facts = facts.into_iter().enumerate().collect();
    world.run()
}

fn only(report: &Report) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    &report.findings[0]
}

fn at(finding: &Finding, wanted: (Cause, &str, Protocol, Option<u16>)) {
    let place = &finding.place;
    assert_eq!(
        (finding.cause, finding.confidence, place.protocol, place.port),
        (wanted.0, Confidence::Certain, Some(wanted.2), wanted.3.map(Port)),
        "{finding:#?}"
    );
    let [node] = place.nodes.as_slice() else {
        panic!("{finding:#?}")
    };
    assert!(node.as_str().contains(wanted.1), "{finding:#?}");
    assert!(finding.advice[0].contains("iptables -D"), "{finding:#?}");
}

/// TCP between the second and the third node's own addresses.
fn tcp_of_pair(trip: &Trip) -> bool {
    let both = trip.touches(1) && trip.touches(2);
    let own = trip.from_plane == Plane::Host && trip.to_plane == Plane::Host;
    both && own && protocol_of(trip.kind) == Protocol::Tcp
}

fn dead_if(dead: bool) -> Fate {
    if dead { Fate::TimesOut } else { Fate::Passes }
}

#[test]
fn who_refuses_to_send_one_protocol_to_a_peer_is_named_and_so_is_who_does_not_take_it() {
    let peer = |address: &str| vec![Prefix::host(address.parse().unwrap())];
    let world = || World::with(NODES, |trip| dead_if(tcp_of_pair(trip)));
    let sent = report(world(), |facts| {
        let tests = [of(6), Match::Destination(peer("10.0.3.3"))];
        insert(
            &mut facts[1],
            "OUTPUT",
            &tests,
            Action::Drop,
            "-p tcp -d 10.0.3.3/32 -j DROP",
        );
    });
    let finding = only(&sent);
    at(finding, (Cause::LocalEgressBlocked, "-18.", Protocol::Tcp, None));
    assert_eq!(finding.place.direction, Some(Direction::Egress));
    let mut forwarding = world();
    // What comes to a NodePort is handed on.
    forwarding.service =
        Box::new(|_, target| matches!(target, Target::NodePort { .. }).then_some(Fate::Passes));
    let taken = report(forwarding, |facts| {
        let tests = [of(6), Match::Source(peer("10.0.3.2"))];
        insert(
            &mut facts[2],
            "INPUT",
            &tests,
            Action::Drop,
            "-p tcp -s 10.0.3.2/32 -j DROP",
        );
    });
    at(
        only(&taken),
        (Cause::ProtocolFiltered, "-25.", Protocol::Tcp, None),
    );
}

#[test]
fn what_is_dropped_at_the_endpoint_is_no_fault_of_those_who_ask() {
    let mut world = World::healthy(NODES);
    world.service = Box::new(|node, target| match target {
        // Half of the queries go to the first node's endpoint, and what its own pods ask passes it too.
        Target::DnsEndpoint(0) if node != 0 => Some(Fate::TimesOut),
        Target::Dns { .. } if node != 0 => Some(Fate::Loses(4)),
        _ => None,
    });
    let report = report(world, |facts| {
        let tests = [of(17), port(53)];
        insert(
            &mut facts[0],
            "FORWARD",
            &tests,
            Action::Drop,
            "-p udp --dport 53 -j DROP",
        );
    });
    // The pretended cluster fails TCP with UDP, which such a rule does not: then it is not claimed.
    assert!(
        report
            .findings
            .iter()
            .all(|of| of.cause != Cause::ProtocolFiltered),
        "{:#?}",
        report.findings
    );
}

#[test]
fn a_rule_that_keeps_queries_from_one_endpoint_names_it() {
    let world = World::with(NODES, |trip| {
        dead_if(trip.kind == ProbeKind::DnsUdp && trip.to == 0 && trip.from != 0)
    });
    let endpoint: std::net::IpAddr = "10.244.1.20".parse().unwrap();
    let report = report(world, |facts| {
        let to = Match::Destination(vec![Prefix::host(endpoint)]);
        let text = "-d 10.244.1.20/32 -p udp --dport 53 -j DROP";
        insert(
            &mut facts[0],
            "FORWARD",
            &[of(17), port(53), to],
            Action::Drop,
            text,
        );
    });
    let finding = &report.findings[0];
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert_eq!(finding.cause, Cause::ProtocolFiltered);
    assert_eq!(finding.place.endpoint, Some(endpoint));
    assert!(finding.summary.contains("10.244.1.20"), "{finding:#?}");
}

#[test]
fn a_rule_before_the_translation_is_found_for_a_node_port() {
    let mut world = World::healthy(NODES);
    // What the node and its pods send does not come by that device.
    world.service = Box::new(|from, target| match target {
        Target::NodePort { service: 0, node } if node.0 == 2 && from != 2 => Some(Fate::TimesOut),
        _ => None,
    });
    let report = report(world, |facts| {
        let mut raw = facts[2].netfilter.tables[0].clone();
        raw.name = "raw".to_owned();
        raw.chains.truncate(1);
        raw.chains[0].name = "PREROUTING".to_owned();
        raw.chains[0].base.as_mut().unwrap().hook = mesh_proto::Hook::Prerouting;
        let tests = [Match::InLink("eth0".to_owned()), of(6), port(30080)];
        raw.chains[0].rules = vec![crate::world::kernel::rule(
            &tests,
            Action::Drop,
            "-p tcp --dport 30080 -j DROP",
        )];
        facts[2].netfilter.tables.push(raw);
    });
    let finding = only(&report);
    assert_eq!(finding.cause, Cause::ProtocolFiltered, "{finding:#?}");
    assert_eq!(finding.place.port, Some(Port(30080)));
    assert!(
        finding.advice[0].contains("iptables -t raw -D PREROUTING 1"),
        "{finding:#?}"
    );
}

#[test]
fn rules_of_the_clusters_components_are_not_blamed() {
    let mut world = World::healthy(NODES);
    world.service = Box::new(|_, target| match target {
        Target::NodePort { service: 0, node } if node.0 == 2 => Some(Fate::TimesOut),
        _ => None,
    });
    let report = report(world, |facts| {
        let jump = Action::Jump("KUBE-EXTERNAL-SERVICES".to_owned());
        insert(&mut facts[2], "FORWARD", &[], jump, "-j KUBE-EXTERNAL-SERVICES");
        let tests = [of(6)];
        facts[2].netfilter.tables[0].chains.push(mesh_proto::Chain {
            name: "KUBE-EXTERNAL-SERVICES".to_owned(),
            base: None,
            rules: vec![crate::world::kernel::rule(&tests, Action::Drop, "no endpoints")],
        });
    });
    assert!(
        report
            .findings
            .iter()
            .all(|of| of.cause != Cause::ProtocolFiltered),
        "{:#?}",
        report.findings
    );
}
