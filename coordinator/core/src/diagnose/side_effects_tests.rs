use mesh_proto::{Action, Cause, CellState, Match, Plane, Port, PortRange, ProbeKind, Severity};

use crate::Target;
use crate::world::kernel::{insert, kernels};
use crate::world::{Fate, Trip, World};

/// Four nodes, the third of which drops the overlay's packets.
fn blocked_at_third(elsewhere: fn(&Trip) -> Fate) -> World {
    let mut world = World::with(4, move |trip| {
        if trip.overlaid() && trip.touches(2) {
            Fate::TimesOut
        } else {
            elsewhere(trip)
        }
    });
    let mut facts = kernels(4);
    let port = PortRange {
        from: Port(8472),
        to: Port(8472),
    };
    let tests = [Match::Protocol(17), Match::DestinationPort(vec![port])];
    insert(
        &mut facts[2],
        "INPUT",
        &tests,
        Action::Drop,
        "udp dport 8472 drop",
    );
    world.facts = facts.into_iter().enumerate().collect();
    world
}

#[test]
fn what_is_late_on_the_node_network_is_no_effect_of_a_blocked_overlay() {
    let late_to_third = |trip: &Trip| {
        let is_late = trip.crosses() && trip.to == 2 && trip.to_plane == Plane::Host;
        if is_late && trip.kind == ProbeKind::Tcp {
            Fate::Loses(1)
        } else {
            Fate::Passes
        }
    };
    let causes = |world: &World| {
        let report = world.run();
        let of = report.findings.iter().map(|of| (of.cause, of.severity));
        of.collect::<Vec<_>>()
    };
    assert_eq!(
        causes(&blocked_at_third(|_| Fate::Passes)),
        [(Cause::OverlayPortBlocked, Severity::Failure)]
    );
    let both = causes(&blocked_at_third(late_to_third));
    assert_eq!(both[0], (Cause::OverlayPortBlocked, Severity::Failure));
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!(both[1].1, Severity::Warning);
}

#[test]
fn streams_that_stall_towards_a_black_hole_of_one_direction_are_its_effect() {
    // What the third node sends is too large for its way out: its own probes see it, and others' streams stall.
    let world = World::with(4, |trip| match (trip.crosses(), trip.kind) {
        (true, ProbeKind::PathMtu) if trip.from == 2 => Fate::Shrinks(1_300),
        (true, ProbeKind::Tcp) if trip.touches(2) => {
            Fate::Fails(mesh_proto::Failure::new(mesh_proto::Reason::DataStalled))
        }
        _ => Fate::Passes,
    });
    let report = world.run();
    let [finding] = report.findings.as_slice() else {
        panic!("{:#?}", report.findings)
    };
    assert_eq!(finding.cause, Cause::MtuBlackhole);
    assert_eq!(finding.place.nodes, [world.names[2].parse().unwrap()]);
    let failed = report.cells.iter().filter(|cell| cell.state == CellState::Failed);
    assert_eq!(finding.explains as usize, failed.count());
}

#[test]
fn a_fault_at_one_node_does_not_explain_a_service_that_fails_everybody() {
    let mut world = World::with(5, |trip| {
        if trip.overlaid() && trip.touches(2) {
            Fate::TimesOut
        } else {
            Fate::Passes
        }
    });
    let mut facts = kernels(5);
    facts[2].links[2].up = false;
    facts[2].conntrack = Some(mesh_proto::Conntrack {
        count: 1_000,
        max: 1_000,
        dropped: 1,
    });
    world.facts = facts.into_iter().enumerate().collect();
    world.service = Box::new(|_, target| {
        matches!(target, Target::Dns { .. } | Target::DnsEndpoint(_)).then_some(Fate::TimesOut)
    });
    let report = world.run();
    let causes: Vec<Cause> = report.findings.iter().map(|of| of.cause).collect();
    assert!(causes.contains(&Cause::DnsDown), "{causes:?}");
    // Two kernels' words at one place are two findings.
    assert!(causes.contains(&Cause::ConntrackFull), "{causes:?}");
    assert!(causes.contains(&Cause::OverlayDeviceDown), "{causes:?}");
    let explained: u32 = report.findings.iter().map(|of| of.explains).sum();
    let ill = report
        .cells
        .iter()
        .filter(|cell| matches!(cell.state, CellState::Failed | CellState::Degraded));
    assert_eq!(explained as usize, ill.count());
}

#[test]
fn loss_between_two_pairs_that_share_a_node_is_two_findings() {
    let world = World::with(14, |trip| {
        let is_lossy = |a, b| trip.crosses() && trip.touches(a) && trip.touches(b);
        if is_lossy(1, 2) || is_lossy(2, 4) {
            Fate::Loses(4)
        } else {
            Fate::Passes
        }
    });
    let report = world.run();
    let mut pairs: Vec<_> = report
        .findings
        .iter()
        .flat_map(|of| of.place.pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())))
        .collect();
    pairs.sort();
    let name = |node: usize| world.names[node].clone();
    let mut expected = vec![(name(1), name(2)), (name(2), name(4))];
    expected.sort();
    assert_eq!(pairs, expected, "{:#?}", report.findings);
}

#[test]
fn a_third_node_that_two_known_faults_leave_nobody_to_talk_to_is_no_place() {
    let mut world = World::with(3, |trip| {
        let is_cut = trip.crosses() && trip.touches(0) && trip.touches(1);
        if is_cut || trip.forwarded_at(2) {
            Fate::TimesOut
        } else {
            Fate::Passes
        }
    });
    let mut facts = kernels(3);
    facts[2]
        .sysctls
        .insert("net.ipv4.ip_forward".to_owned(), "0".to_owned());
    world.facts = facts.into_iter().enumerate().collect();
    let report = world.run();
    let mut found: Vec<(Cause, usize)> = report
        .findings
        .iter()
        .map(|of| (of.cause, of.place.pairs.len()))
        .collect();
    found.sort();
    let mut expected = vec![(Cause::NodePartitioned, 1), (Cause::IpForwardOff, 0)];
    expected.sort();
    assert_eq!(found, expected, "{:#?}", report.findings);
}

#[test]
fn an_effect_of_an_effect_is_not_lost() {
    let faults = [None, Some(0), Some(1), Some(4), Some(3)];
    let last: Vec<Option<usize>> = (0..5).map(|number| super::last_of(&faults, number)).collect();
    assert_eq!(last, [None, Some(0), Some(0), None, None]);
}

#[test]
fn what_carries_pods_is_looked_at_where_cells_that_would_tell_are_dead_too() {
    let mut world = World::with(4, |trip| {
        if trip.forwarded_at(2) {
            Fate::TimesOut
        } else {
            Fate::Passes
        }
    });
    let mut facts = kernels(4);
    facts[2].links[2].up = false;
    world.facts = facts.into_iter().enumerate().collect();
    let report = world.run();
    let [finding] = report.findings.as_slice() else {
        panic!("{:#?}", report.findings)
    };
    assert_eq!(finding.cause, Cause::OverlayDeviceDown);
    assert_eq!(finding.place.nodes, [world.names[2].parse().unwrap()]);
}
