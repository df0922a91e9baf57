use mesh_proto::{Cause, Direction, Plane, ProbeKind, Protocol, Report, Severity, Verdict};

use crate::Target;
use crate::localise::protocol_of;
use crate::world::{Fate, Trip, World, forwards, prohibited, run_info};

/// Dead when it is.
fn dead_if(dead: bool) -> Fate {
    if dead { Fate::TimesOut } else { Fate::Passes }
}

fn only_finding(report: &Report) -> &mesh_proto::Finding {
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert_eq!(report.unexplained, 0);
    let not_whole = report.cells.iter().filter(|cell| {
        matches!(
            cell.state,
            mesh_proto::CellState::Failed | mesh_proto::CellState::Degraded
        )
    });
    assert_eq!(report.findings[0].explains as usize, not_whole.count());
    &report.findings[0]
}

fn nodes(report: &Report) -> Vec<&str> {
    only_finding(report)
        .place
        .nodes
        .iter()
        .map(mesh_proto::NodeName::as_str)
        .collect()
}

#[test]
fn a_healthy_cluster_has_no_finding() {
    for size in [2, 3, 5, 12] {
        let report = World::healthy(size).run();
        assert_eq!(report.verdict, Verdict::Reachable);
        assert!(report.findings.is_empty(), "{:#?}", report.findings);
        assert_eq!(report.coverage.observed, report.coverage.cells);
    }
}

#[test]
fn a_node_that_is_down_is_named_and_all_that_it_broke_is_explained() {
    for (size, node) in [(2, 1), (3, 0), (3, 2), (7, 4)] {
        let mut world = World::with(size, move |trip| dead_if(trip.touches(node) && trip.crosses()));
        world.absent = vec![node];
        let report = world.run();
        assert_eq!(nodes(&report), [&world.names[node]]);
        assert_eq!(report.findings[0].cause, Cause::NodeDown);
        assert_eq!(report.verdict, Verdict::Unreachable);
    }
}

#[test]
fn an_absent_agent_on_a_node_that_answers_makes_its_cells_unknown_not_failed() {
    let mut world = World::with(3, |trip| dead_if(trip.to == 1 && trip.kind != ProbeKind::Icmp));
    world.service = Box::new(|_, target| match target {
        Target::Agent(_) | Target::Loopback => None,
        _ => Some(Fate::Passes),
    });
    world.absent = vec![1];
    let report = world.run();
    assert_eq!(report.verdict, Verdict::Unknown);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

#[test]
fn a_node_that_is_cut_off_but_whose_link_answers_is_partitioned() {
    for (size, node) in [(3, 1), (6, 0)] {
        let world = World::with(size, move |trip| dead_if(trip.touches(node) && trip.crosses()));
        let report = world.run();
        assert_eq!(nodes(&report), [&world.names[node]]);
        assert_eq!(report.findings[0].cause, Cause::NodePartitioned);
    }
}

#[test]
fn a_pair_that_is_cut_is_a_pair() {
    for (size, a, b) in [(3, 0, 2), (5, 3, 1), (2, 0, 1)] {
        let mut world = World::with(size, move |trip| {
            dead_if(trip.touches(a) && trip.touches(b) && trip.crosses())
        });
        world.arrives = Box::new(|_| false);
        let report = world.run();
        let finding = only_finding(&report);
        assert_eq!(finding.cause, Cause::NodePartitioned);
        let (low, high) = (a.min(b), a.max(b));
        let pair = (
            world.names[low].parse().unwrap(),
            world.names[high].parse().unwrap(),
        );
        assert_eq!(finding.place.pairs, [pair]);
        assert!(finding.place.nodes.is_empty());
    }
}

#[test]
fn loss_in_one_direction_of_a_pair_names_the_direction_that_loses() {
    let mut world = World::with(4, |trip| dead_if(trip.touches(1) && trip.touches(3)));
    // What goes from 3 to 1 is lost: requests of 1 arrive at 3, their answers do not.
    world.fate = Box::new(|trip| dead_if(trip.touches(1) && trip.touches(3) && trip.crosses()));
    world.arrives = Box::new(|trip| trip.from == 1);
    let report = world.run();
    let finding = only_finding(&report);
    assert_eq!(finding.cause, Cause::OneWayLoss);
    assert_eq!(
        finding.place.pairs,
        [(world.names[3].parse().unwrap(), world.names[1].parse().unwrap())]
    );
}

#[test]
fn a_set_of_nodes_that_is_cut_off_is_one_finding() {
    let inside = |node: usize| node == 1 || node == 4;
    let world = World::with(6, move |trip| dead_if(inside(trip.from) != inside(trip.to)));
    let report = world.run();
    assert_eq!(nodes(&report), [&world.names[1], &world.names[4]]);
    assert_eq!(report.findings[0].cause, Cause::NodePartitioned);
}

#[test]
fn a_broken_overlay_at_a_node_is_placed_in_its_pod_plane() {
    for (size, node) in [(3, 2), (3, 0), (8, 5)] {
        let world = World::with(size, move |trip| dead_if(trip.overlaid() && trip.touches(node)));
        let report = world.run();
        assert_eq!(nodes(&report), [&world.names[node]]);
        assert_eq!(report.findings[0].place.plane, Some(Plane::Pod));
    }
}

#[test]
fn a_node_that_asks_itself_meets_any_endpoint_although_the_policy_is_local() {
    let unlucky = |backends: Vec<usize>| {
        let mut world = World::with(5, |trip| dead_if(trip.overlaid() && trip.touches(2)));
        world.backends = backends;
        world.service = Box::new(|node, target| match target {
            Target::NodePort { service: 1, node: on } if (node, on.0) == (4, 4) => Some(Fate::TimesOut),
            Target::NodePort { .. } => Some(Fate::Passes),
            _ => None,
        });
        world.run()
    };
    assert_eq!(
        nodes(&unlucky(vec![1, 2, 4])).len(),
        1,
        "chance led all flows to the third node"
    );
    assert_eq!(
        unlucky(vec![1, 4]).findings.len(),
        2,
        "no endpoint is behind the overlay that is dead"
    );
}

#[test]
fn an_overlay_that_loses_only_what_comes_in_says_ingress() {
    let mut world = World::with(4, |trip| dead_if(trip.overlaid() && trip.touches(2)));
    world.arrives = Box::new(|trip| trip.from == 2);
    let report = world.run();
    assert_eq!(only_finding(&report).place.direction, Some(Direction::Ingress));
}

#[test]
fn an_overlay_broken_everywhere_is_the_clusters() {
    let report = World::with(4, |trip| dead_if(trip.overlaid())).run();
    let finding = only_finding(&report);
    assert!(finding.place.nodes.is_empty() && finding.place.pairs.is_empty());
    assert_eq!(finding.place.plane, Some(Plane::Pod));
}

#[test]
fn a_broken_overlay_between_two_of_two_nodes_blames_neither() {
    let world = World::with(2, |trip| dead_if(trip.overlaid()));
    let report = world.run();
    let finding = only_finding(&report);
    assert!(finding.place.nodes.is_empty());
    assert_eq!(finding.place.pairs.len(), 1);
}

#[test]
fn a_node_that_does_not_forward_is_told_from_a_broken_overlay_and_named_by_its_sysctl() {
    for (size, node, value, cause) in [
        (3, 1, "0", Cause::IpForwardOff),
        (2, 0, "0", Cause::IpForwardOff),
        (5, 4, "1", Cause::ForwardDropped),
        (3, 2, "1", Cause::ForwardDropped),
    ] {
        let mut world = World::with(size, move |trip| dead_if(trip.forwarded_at(node)));
        world.facts = vec![(node, forwards(value))];
        let report = world.run();
        assert_eq!(nodes(&report), [&world.names[node]]);
        assert_eq!(report.findings[0].cause, cause);
    }
}

#[test]
fn a_firewall_that_rejects_what_it_must_forward_is_named_by_its_icmp_error() {
    let world = World::with(3, |trip| {
        if trip.forwarded_at(1) {
            Fate::Fails(prohibited("10.244.2.0".parse().unwrap()))
        } else {
            Fate::Passes
        }
    });
    let report = world.run();
    assert_eq!(nodes(&report), [&world.names[1]]);
    assert_eq!(report.findings[0].cause, Cause::ForwardRejected);
}

#[test]
fn a_protocol_that_a_node_drops_is_named_with_the_node() {
    let cases = [Protocol::Udp, Protocol::Tcp, Protocol::Icmp];
    for (size, node, protocol) in
        cases
            .map(|protocol| (3, 1, protocol))
            .into_iter()
            .chain([(6, 5, Protocol::Udp)])
    {
        let dropped =
            move |trip: &Trip| trip.touches(node) && trip.crosses() && protocol_of(trip.kind) == protocol;
        let world = World::with(size, move |trip| dead_if(dropped(trip)));
        let report = world.run();
        assert_eq!(nodes(&report), [&world.names[node]], "{protocol}");
        let finding = &report.findings[0];
        assert_eq!(finding.cause, Cause::ProtocolFiltered);
        assert_eq!(finding.place.protocol, Some(protocol));
        let only_icmp = protocol == Protocol::Icmp;
        assert_eq!(
            finding.severity,
            if only_icmp {
                Severity::Warning
            } else {
                Severity::Failure
            }
        );
        assert_eq!(
            report.verdict,
            if only_icmp {
                Verdict::Reachable
            } else {
                Verdict::Unreachable
            }
        );
    }
}

#[test]
fn a_dead_dns_endpoint_is_named_and_explains_the_share_that_the_service_loses() {
    let mut world = World::healthy(4);
    world.service = Box::new(|_, target| match target {
        Target::DnsEndpoint(1) => Some(Fate::TimesOut),
        Target::Dns { .. } => Some(Fate::Loses(3)),
        _ => None,
    });
    let report = world.run();
    let finding = only_finding(&report);
    assert_eq!(finding.cause, Cause::DnsEndpointDown);
    assert_eq!(finding.place.endpoint, Some("10.244.4.20".parse().unwrap()));
    assert_eq!(nodes(&report), [&world.names[3]]);

    // Where nobody on its node is heard, it may be the node.
    let mut matrix = world.matrix();
    let name = world.names[3].parse().unwrap();
    for plane in [Plane::Pod, Plane::Host] {
        let (agent, _) = matrix.round().roster().find(&name, plane).unwrap();
        matrix.lost(agent, "gone");
    }
    let report = matrix.into_report(run_info());
    let causes: Vec<Cause> = report.findings.iter().map(|finding| finding.cause).collect();
    assert_eq!(causes, [Cause::Unknown]);
    assert_eq!(nodes(&report), [&world.names[3]]);
}

#[test]
fn dns_without_any_endpoint_is_down() {
    let mut world = World::healthy(3);
    world.service = Box::new(|_, target| match target {
        Target::DnsEndpoint(_) | Target::Dns { .. } => Some(Fate::TimesOut),
        _ => None,
    });
    assert_eq!(only_finding(&world.run()).cause, Cause::DnsDown);
}

#[test]
fn a_node_without_service_rules_is_named() {
    let mut world = World::healthy(3);
    world.service = Box::new(|node, target| match target {
        Target::Dns { .. } | Target::Api if node == 1 => Some(Fate::TimesOut),
        Target::NodePort { node, .. } if node.0 == 1 => Some(Fate::TimesOut),
        _ => None,
    });
    let report = world.run();
    assert_eq!(nodes(&report), [&world.names[1]]);
    assert_eq!(report.findings[0].cause, Cause::KubeProxyMissing);
}

#[test]
fn an_mtu_black_hole_is_placed_with_the_size_that_passes() {
    let shrink = |trip: &Trip| {
        if trip.to_plane == Plane::Pod {
            Fate::Shrinks(1350)
        } else {
            Fate::Shrinks(1400)
        }
    };
    let at_node = World::with(4, move |trip| {
        if trip.touches(2) && trip.crosses() {
            shrink(trip)
        } else {
            Fate::Passes
        }
    });
    let report = at_node.run();
    assert_eq!(nodes(&report), [&at_node.names[2]]);
    assert_eq!(report.findings[0].cause, Cause::MtuBlackhole);
    assert_eq!(report.findings[0].place.mtu, Some(1400));

    let of_pair = World::with(3, move |trip| {
        if trip.touches(0) && trip.touches(1) && trip.crosses() {
            shrink(trip)
        } else {
            Fate::Passes
        }
    });
    let report = of_pair.run();
    assert_eq!(only_finding(&report).place.pairs.len(), 1);
}

#[test]
fn loss_on_a_nodes_link_is_a_warning_at_that_node() {
    let world = World::with(4, |trip| {
        if trip.touches(3) && trip.crosses() {
            Fate::Loses(1)
        } else {
            Fate::Passes
        }
    });
    let report = world.run();
    assert_eq!(nodes(&report), [&world.names[3]]);
    assert_eq!(report.findings[0].cause, Cause::RandomLoss);
    assert_eq!(report.findings[0].severity, Severity::Warning);
    assert_eq!(report.verdict, Verdict::Reachable);
}

#[test]
fn a_server_that_loses_requests_is_named_by_its_port() {
    let mut world = World::with(3, |_| Fate::Passes);
    world.service =
        Box::new(|_, target| matches!(target, Target::NodePort { service: 0, .. }).then_some(Fate::Loses(1)));
    let report = world.run();
    let finding = only_finding(&report);
    assert_eq!(finding.cause, Cause::RandomLoss);
    assert!(
        finding.place.port.is_some() && finding.summary.contains("NodePort"),
        "{finding:#?}"
    );
}

#[test]
fn what_a_dead_overlay_does_to_services_is_its_effect_where_they_may_cross_it() {
    for (backends, findings) in [(vec![1, 3], 1), (vec![1], 2)] {
        let mut world = World::with(5, |trip| dead_if(trip.overlaid() && trip.touches(3)));
        world.backends = backends;
        world.service = Box::new(|_, target| {
            matches!(target, Target::NodePort { service: 0, .. }).then_some(Fate::Loses(1))
        });
        let report = world.run();
        assert_eq!(report.findings.len(), findings, "{:#?}", report.findings);
        assert_eq!(report.findings[0].place.nodes, [world.names[3].parse().unwrap()]);
    }
}

#[test]
fn two_faults_are_two_findings() {
    let world = World::with(6, |trip| {
        dead_if(trip.forwarded_at(1) || trip.touches(2) && trip.touches(4) && trip.crosses())
    });
    let report = world.run();
    assert_eq!(report.findings.len(), 2, "{:#?}", report.findings);
    assert!(
        report
            .findings
            .iter()
            .any(|f| f.place.nodes == [world.names[1].parse().unwrap()])
    );
    assert!(
        report
            .findings
            .iter()
            .any(|f| f.place.pairs.len() == 1 && f.cause == Cause::NodePartitioned)
    );

    let mut world = World::with(5, |trip| dead_if(trip.overlaid() && trip.touches(3)));
    world.service = Box::new(|_, target| matches!(target, Target::DnsEndpoint(0)).then_some(Fate::TimesOut));
    let report = world.run();
    assert_eq!(report.findings.len(), 2, "{:#?}", report.findings);
    assert!(report.findings.iter().any(|f| f.cause == Cause::DnsEndpointDown));
}
