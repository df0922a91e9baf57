use mesh_proto::{
    Cause, Confidence, Failure, Finding, IcmpError, Millis, OverlayKind, Plane, ProbeKind, Protocol, Reason,
    Report,
};

use crate::Target;
use crate::localise::protocol_of;
use crate::world::{Fate, Trip, World, prohibited};

fn dead_if(dead: bool) -> Fate {
    if dead { Fate::TimesOut } else { Fate::Passes }
}

fn only(report: &Report) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert_eq!(report.unexplained, 0);
    &report.findings[0]
}

fn of_cause(report: &Report, cause: Cause) -> &Finding {
    let found = report.findings.iter().find(|finding| finding.cause == cause);
    found.unwrap_or_else(|| panic!("no {cause}: {:#?}", report.findings))
}

/// Nothing answers for the service, and the client's own node says so.
fn port_unreachable() -> Failure {
    let from = "10.0.3.1".parse().unwrap();
    Failure {
        icmp: Some(IcmpError {
            kind: 3,
            code: 3,
            from,
        }),
        ..Failure::new(Reason::Refused)
    }
}

#[test]
fn a_rejecting_firewall_keeps_its_name_while_dns_is_down_too() {
    for (size, node) in [(4, 1), (5, 1), (5, 3)] {
        let mut world = World::with(size, move |trip| {
            if trip.forwarded_at(node) {
                Fate::Fails(prohibited("10.244.2.0".parse().unwrap()))
            } else {
                Fate::Passes
            }
        });
        world.service = Box::new(|_, target| {
            matches!(target, Target::Dns { .. } | Target::DnsEndpoint(_)).then_some(Fate::TimesOut)
        });
        let report = world.run();
        assert_eq!(report.findings.len(), 2, "{:#?}", report.findings);
        let rejected = of_cause(&report, Cause::ForwardRejected);
        assert_eq!(rejected.place.nodes, [world.names[node].parse().unwrap()]);
        assert!(of_cause(&report, Cause::DnsDown).place.nodes.is_empty());
    }
}

#[test]
fn a_node_without_service_rules_is_named_while_no_pod_reaches_another_node() {
    for refused in [true, false] {
        let mut world = World::with(5, |trip| dead_if(trip.overlaid()));
        world.service = Box::new(move |node, target| match target {
            Target::Dns { .. } | Target::Api if node == 3 => Some(Fate::TimesOut),
            Target::NodePort { node, .. } if node.0 == 3 => Some(if refused {
                Fate::Fails(Failure::new(Reason::Refused))
            } else {
                Fate::TimesOut
            }),
            _ => None,
        });
        let report = world.run();
        assert_eq!(report.findings.len(), 2, "{:#?}", report.findings);
        let rules = of_cause(&report, Cause::KubeProxyMissing);
        assert_eq!(rules.place.nodes, [world.names[3].parse().unwrap()]);
        // That its NodePorts are refused is a sign of its own; time-outs can be the other fault's.
        let sure = if refused {
            Confidence::Likely
        } else {
            Confidence::Possible
        };
        assert_eq!(rules.confidence, sure);
        let pods = of_cause(&report, Cause::Unknown);
        assert!(pods.place.nodes.is_empty() && pods.place.plane == Some(Plane::Pod));
    }
}

/// A node whose uplink is down: its kernel has no route, and does not answer its own pods' ARP either.
fn uplink_down(says_so: bool) -> World {
    World::with(4, move |trip| {
        let own_pods = trip.from == 2 && trip.to == 2 && trip.from_plane != trip.to_plane;
        let sends = trip.from == 2 && trip.crosses() && trip.from_plane == Plane::Host;
        if sends && says_so {
            Fate::Fails(Failure::new(Reason::NetUnreachable))
        } else {
            dead_if(own_pods || trip.touches(2) && trip.crosses())
        }
    })
}

#[test]
fn a_node_that_lost_its_routes_with_its_link_is_one_finding() {
    let report = uplink_down(true).run();
    assert_eq!(only(&report).cause, Cause::NodePartitioned);
    let report = uplink_down(false).run();
    assert_eq!(
        report.findings.len(),
        2,
        "silence alone does not tell that it is one fault"
    );
}

/// What becomes of a service.
type OfTarget = fn(&Target) -> Option<Fate>;

#[test]
fn in_a_cluster_of_one_node_services_fail_under_their_names() {
    let cases: [(OfTarget, Cause); 4] = [
        (
            |target| matches!(target, Target::Dns { .. } | Target::DnsEndpoint(_)).then_some(Fate::TimesOut),
            Cause::DnsDown,
        ),
        (
            |target| matches!(target, Target::Dns { .. }).then(|| Fate::Fails(port_unreachable())),
            Cause::ServiceNoEndpoints,
        ),
        (
            |target| matches!(target, Target::Api).then(|| Fate::Fails(port_unreachable())),
            Cause::ServiceNoEndpoints,
        ),
        (
            |target| matches!(target, Target::Api).then(|| Fate::Fails(Failure::new(Reason::Refused))),
            Cause::ApiServerDown,
        ),
    ];
    for (fate, cause) in cases {
        let mut world = World::healthy(1);
        world.service = Box::new(move |_, target| fate(target));
        let report = world.run();
        let finding = only(&report);
        assert_eq!(finding.cause, cause, "{finding:#?}");
        assert!(
            finding.confidence != Confidence::Certain,
            "one node has no other to compare with"
        );
    }
    // Silence of the API alone has many reasons.
    let mut world = World::healthy(1);
    world.service = Box::new(|_, target| matches!(target, Target::Api).then_some(Fate::TimesOut));
    assert_eq!(only(&world.run()).cause, Cause::Unknown);
}

#[test]
fn advice_speaks_of_that_node_only_where_one_is_named_and_of_vxlan_only_where_there_is_some() {
    let udp = |trip: &Trip| trip.crosses() && protocol_of(trip.kind) == Protocol::Udp;
    let of_pair = move |trip: &Trip| udp(trip) && trip.touches(0) && trip.touches(2);
    for (world, begins) in [
        (World::with(3, move |trip| dead_if(udp(trip))), "On each node: "),
        (
            World::with(4, move |trip| dead_if(of_pair(trip))),
            "On ip-10-0-3-11.ec2.internal and ip-10-0-3-25.ec2.internal: ",
        ),
    ] {
        let report = world.run();
        assert!(
            only(&report).advice[0].starts_with(begins),
            "{:#?}",
            report.findings
        );
    }
    let mut world = World::with(3, |trip| dead_if(trip.overlaid() && trip.touches(2)));
    for (kind, tells_of_vxlan) in [
        (OverlayKind::Vxlan, true),
        (OverlayKind::None, false),
        (OverlayKind::Ipip, false),
    ] {
        world.overlay = kind;
        let report = world.run();
        let told = only(&report).advice.iter().any(|advice| advice.contains("vxlan"));
        assert_eq!(told, tells_of_vxlan, "{kind}");
    }
}

/// TCP of several pairs times out, and these nodes' agents were starved.
fn starved(size: usize, nodes: &[usize]) -> World {
    let mut world = World::with(size, |trip| {
        let pair = trip.touches(0) && trip.touches(1) || trip.touches(1) && trip.touches(2);
        dead_if(pair && trip.crosses() && protocol_of(trip.kind) == Protocol::Tcp)
    });
    world.starved = nodes.iter().map(|node| (*node, Millis(1_700))).collect();
    world
}

#[test]
fn where_many_agents_were_starved_no_filter_is_claimed_and_nothing_is_sure() {
    let report = starved(5, &[4]).run();
    let finding = only(&report);
    assert_eq!(
        (finding.cause, finding.confidence),
        (Cause::Unknown, Confidence::Possible)
    );
    assert!(
        finding.evidence[0].contains("2 of 10 agents were starved"),
        "{finding:#?}"
    );

    let report = starved(6, &[5]).run();
    assert_eq!(
        of_cause(&report, Cause::ProtocolFiltered).confidence,
        Confidence::Likely
    );
}

#[test]
fn a_few_late_cells_of_a_starved_run_are_no_finding_and_many_are() {
    let slow_to_third = |share: usize| {
        let mut world = World::with(6, move |trip| {
            let is_late = trip.kind == ProbeKind::Tcp && trip.to == 2 && trip.crosses();
            let is_hit = is_late
                && (trip.from + 6 * trip.from_plane as usize + trip.to_plane as usize).is_multiple_of(share);
            if is_hit { Fate::Loses(1) } else { Fate::Passes }
        });
        world.starved = vec![(4, Millis(2_000)), (5, Millis(2_000))];
        world.run().findings.len()
    };
    assert_eq!(slow_to_third(1), 1);
    assert_eq!(slow_to_third(4), 0);
}

#[test]
fn a_refused_node_port_is_not_put_under_a_network_that_passes_nothing() {
    let mut world = World::with(5, |trip| dead_if(trip.overlaid()));
    world.service = Box::new(move |_, target| match target {
        Target::NodePort { node, .. } if node.0 == 3 => Some(Fate::Fails(Failure::new(Reason::Refused))),
        _ => None,
    });
    let report = world.run();
    assert_eq!(report.findings.len(), 2, "{:#?}", report.findings);
    let third = [world.names[3].parse().unwrap()];
    assert!(
        report.findings.iter().any(|of| of.place.nodes == third),
        "{:#?}",
        report.findings
    );
}

#[test]
fn a_few_cells_that_may_cross_a_place_do_not_outweigh_those_that_must() {
    let mut world = World::with(3, |trip| dead_if(trip.forwarded_at(0)));
    // All queries of the node itself went to the endpoint that stands on it, by chance.
    world.service = Box::new(|node, target| {
        (node == 0 && matches!(target, Target::Dns { .. })).then_some(Fate::TimesOut)
    });
    world.facts = vec![(0, crate::world::forwards("0"))];
    assert_eq!(only(&world.run()).cause, Cause::IpForwardOff);
}

#[test]
fn one_probe_alone_finds_no_black_hole() {
    let world = World::with(3, |trip| {
        let one = (trip.from, trip.to) == (0, 1) && trip.from_plane == trip.to_plane;
        if one && trip.from_plane == Plane::Host && trip.kind == ProbeKind::PathMtu {
            Fate::Shrinks(1449)
        } else {
            Fate::Passes
        }
    });
    assert_eq!(only(&world.run()).cause, Cause::Unknown);
}

#[test]
fn a_protocol_is_filtered_only_where_the_others_pass() {
    // Nearly all is lost: of ICMP a little comes through, of the rest nothing.
    let world = World::with(4, |trip| {
        let at = trip.crosses() && trip.touches(2);
        if at && trip.kind == ProbeKind::Icmp && trip.from == 2 && trip.to == 0 {
            Fate::Loses(2)
        } else {
            dead_if(at)
        }
    });
    let report = world.run();
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
fn an_api_server_that_refuses_is_named_though_some_pods_do_not_get_there() {
    let mut world = World::with(4, |trip| dead_if(trip.forwarded_at(2)));
    world.service = Box::new(|node, target| {
        let fate = match node {
            2 => Fate::TimesOut,
            _ => Fate::Fails(Failure::new(Reason::Refused)),
        };
        matches!(target, Target::Api).then_some(fate)
    });
    let report = world.run();
    let api = of_cause(&report, Cause::ApiServerDown);
    assert_eq!(api.place.nodes, [world.names[0].parse().unwrap()]);
}
