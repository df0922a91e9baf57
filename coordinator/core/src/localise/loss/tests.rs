use mesh_proto::{Cause, Finding, Plane, ProbeKind, Report};
use proptest::prelude::*;

use crate::localise::protocol_of;
use crate::world::{Fate, Lossy, Trip, World};

fn dead_if(dead: bool) -> Fate {
    if dead { Fate::TimesOut } else { Fate::Passes }
}

/// A cluster in which the links of a node lose this share of all packets, both ways.
fn lossy_node(size: usize, node: usize, share: f64, seed: u64) -> World {
    let mut world = World::healthy(size);
    world.lossy = Some(Lossy::new(seed, move |from, to| {
        if from == node || to == node { share } else { 0.0 }
    }));
    world
}

/// A cluster in which a share of the packets from one node to another is lost.
fn lossy_way(size: usize, way: (usize, usize), share: f64, seed: u64) -> World {
    let mut world = World::healthy(size);
    world.lossy = Some(Lossy::new(
        seed,
        move |from, to| {
            if (from, to) == way { share } else { 0.0 }
        },
    ));
    world
}

fn only(report: &Report) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert_eq!(report.unexplained, 0);
    &report.findings[0]
}

fn is_near(loss: Option<f64>, share: f64) {
    assert!(
        loss.is_some_and(|loss| (loss - share).abs() < 0.12),
        "{loss:?} {share}"
    );
}

fn is_random_loss_at_its_node(world: &World, size: usize, node: usize, share: f64) {
    let report = world.run();
    let finding = only(&report);
    assert_eq!(finding.cause, Cause::RandomLoss, "{finding:#?}");
    is_near(finding.place.loss, 1.0 - (1.0 - share) * (1.0 - share));
    if size == 2 {
        assert_eq!(finding.place.pairs.len(), 1, "{finding:#?}");
    } else {
        assert_eq!(finding.place.nodes, [world.names[node].parse().unwrap()]);
    }
}

#[test]
fn random_loss_of_any_share_is_one_finding_with_that_share() {
    for seed in 0..3 {
        for (size, node) in [(2, 1), (3, 0), (5, 4)] {
            for share in [0.05, 0.2, 0.6, 0.75] {
                is_random_loss_at_its_node(&lossy_node(size, node, share, seed), size, node, share);
            }
        }
    }
}

#[test]
fn a_share_that_is_lost_in_one_direction_names_the_direction_and_its_share() {
    for seed in 0..3 {
        for (size, way) in [(2, (0, 1)), (4, (3, 1))] {
            for share in [0.1, 0.3, 0.6, 0.9] {
                let world = lossy_way(size, way, share, seed);
                let report = world.run();
                let finding = only(&report);
                assert_eq!(finding.cause, Cause::OneWayLoss, "{share} {finding:#?}");
                let (from, to) = way;
                let pair = (
                    world.names[from].parse().unwrap(),
                    world.names[to].parse().unwrap(),
                );
                assert_eq!(finding.place.pairs, [pair]);
                is_near(finding.place.loss, share);
            }
        }
    }
}

#[test]
fn what_a_node_loses_of_all_that_comes_in_is_the_nodes_ingress() {
    let mut world = World::healthy(4);
    world.lossy = Some(Lossy::new(7, |_, to| if to == 2 { 0.3 } else { 0.0 }));
    let report = world.run();
    let finding = only(&report);
    assert_eq!(finding.cause, Cause::OneWayLoss, "{finding:#?}");
    assert_eq!(finding.place.nodes, [world.names[2].parse().unwrap()]);
    assert_eq!(finding.place.direction, Some(mesh_proto::Direction::Ingress));
    is_near(finding.place.loss, 0.3);
}

#[test]
fn one_bad_path_of_four_is_one_finding_at_its_node() {
    for seed in 0..6 {
        for (size, node) in [(2, 0), (3, 1), (5, 4)] {
            let mut world = World::healthy(size);
            world.lossy = Some(Lossy::bad_path(seed, node));
            let report = world.run();
            let finding = only(&report);
            assert_eq!(finding.cause, Cause::FlowLoss, "{finding:#?}");
            if size > 2 {
                assert_eq!(finding.place.nodes, [world.names[node].parse().unwrap()]);
            }
        }
    }
}

fn causes(report: &Report) -> Vec<Cause> {
    let mut causes: Vec<Cause> = report.findings.iter().map(|finding| finding.cause).collect();
    causes.sort_by_key(ToString::to_string);
    causes
}

#[test]
fn what_is_wholly_dead_beside_a_share_of_loss_is_a_finding_of_its_own() {
    let pair_of_pods = |trip: &Trip| trip.overlaid() && trip.touches(0) && trip.touches(1);
    for seed in 0..4 {
        let mut world = lossy_way(5, (0, 1), 0.3, seed);
        world.fate = Box::new(move |trip| dead_if(pair_of_pods(trip)));
        let report = world.run();
        assert_eq!(
            causes(&report),
            [Cause::OneWayLoss, Cause::Unknown],
            "{:#?}",
            report.findings
        );
        let dead = report
            .findings
            .iter()
            .find(|of| of.cause == Cause::Unknown)
            .unwrap();
        assert_eq!((dead.place.plane, dead.place.pairs.len()), (Some(Plane::Pod), 1));

        let mut world = lossy_node(5, 3, 0.6, seed);
        world.fate = Box::new(|trip| dead_if(trip.overlaid() && trip.touches(1)));
        let report = world.run();
        assert_eq!(
            causes(&report),
            [Cause::RandomLoss, Cause::Unknown],
            "{:#?}",
            report.findings
        );
        let dead = report
            .findings
            .iter()
            .find(|of| of.cause == Cause::Unknown)
            .unwrap();
        assert_eq!(dead.place.nodes, [world.names[1].parse().unwrap()]);
        let loss = report
            .findings
            .iter()
            .find(|of| of.cause == Cause::RandomLoss)
            .unwrap();
        assert_eq!(loss.place.nodes, [world.names[3].parse().unwrap()]);
        is_near(loss.place.loss, 0.84);
    }
}

#[test]
fn two_nodes_that_lose_different_shares_are_two_findings() {
    for seed in 0..3 {
        for shares in [(0.1, 0.4), (0.3, 0.3), (0.5, 0.05)] {
            let mut world = World::healthy(5);
            world.lossy = Some(Lossy::new(seed, move |from, to| {
                let of = |node, share| {
                    if from == node || to == node {
                        1.0 - share
                    } else {
                        1.0
                    }
                };
                1.0 - of(0, shares.0) * of(3, shares.1)
            }));
            let report = world.run();
            assert_eq!(
                causes(&report),
                [Cause::RandomLoss; 2],
                "{shares:?} {:#?}",
                report.findings
            );
            for node in [0, 3] {
                let name = [world.names[node].parse().unwrap()];
                assert!(
                    report.findings.iter().any(|of| of.place.nodes == name),
                    "{:#?}",
                    report.findings
                );
            }
        }
    }
}

#[test]
fn a_protocol_that_is_filtered_where_others_lose_a_share_is_still_found() {
    for seed in 0..3 {
        for dropped in [ProbeKind::Tcp, ProbeKind::Icmp] {
            let mut world = lossy_node(4, 2, 0.2, seed);
            world.fate = Box::new(move |trip| {
                dead_if(trip.crosses() && trip.touches(2) && protocol_of(trip.kind) == protocol_of(dropped))
            });
            let report = world.run();
            assert_eq!(
                causes(&report),
                [Cause::ProtocolFiltered, Cause::RandomLoss],
                "{dropped} {:#?}",
                report.findings
            );
        }
    }
}

#[test]
fn a_black_hole_for_large_packets_is_found_beside_loss_with_its_true_size() {
    for seed in 0..6 {
        let mut world = lossy_node(4, 2, 0.1, seed);
        world.fate = Box::new(|trip| {
            if trip.touches(2) && trip.crosses() {
                Fate::Shrinks(1400)
            } else {
                Fate::Passes
            }
        });
        let report = world.run();
        assert_eq!(
            causes(&report),
            [Cause::MtuBlackhole, Cause::RandomLoss],
            "{:#?}",
            report.findings
        );
        let hole = report
            .findings
            .iter()
            .find(|of| of.cause == Cause::MtuBlackhole)
            .unwrap();
        assert_eq!(hole.place.mtu, Some(1400));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_seed_makes_loss_look_like_something_else(
        seed: u64,
        size in 3_usize..7,
        node in 0_usize..7,
        percent in 5_u32..80,
    ) {
        let node = node % size;
        let share = f64::from(percent) / 100.0;
        is_random_loss_at_its_node(&lossy_node(size, node, share, seed), size, node, share);
    }
}
