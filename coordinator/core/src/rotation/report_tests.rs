//! What a report says of a look at some of the pairs.

use mesh_proto::{CellState, Plane, Report, TargetKind, Verdict};

use super::{Peers, Rotation};
use crate::world::{Fate, Trip, World, run_info};
use crate::{NodeIndex, RunInfo};

/// A cluster that is looked at as a whole, and one that is not.
const SIZES: [usize; 2] = [24, 90];

fn world(nodes: usize, turn: usize, dead: impl Fn(&Trip) -> bool + 'static) -> World {
    let fate = move |trip: &Trip| if dead(trip) { Fate::TimesOut } else { Fate::Passes };
    World {
        peers: Some(Peers { count: 8, turn }),
        ..World::with(nodes, fate)
    }
}

fn run(world: &World) -> Report {
    let info = RunInfo {
        all_cells: false,
        ..run_info()
    };
    world.matrix().into_report(info)
}

fn rotation(world: &World) -> Rotation {
    Rotation::new(&world.roster().nodes, world.peers.unwrap()).unwrap()
}

#[test]
fn a_healthy_cluster_is_reachable_as_far_as_it_was_looked_at_and_the_report_says_how_far() {
    for nodes in SIZES {
        let world = world(nodes, 3, |_| false);
        let report = run(&world);
        assert_eq!((report.verdict, report.findings.len()), (Verdict::Reachable, 0));
        let coverage = report.coverage;
        let round = world.matrix().round().all_tried();
        assert_eq!((coverage.observed as usize, coverage.unknown), (round, 0));
        assert_eq!(coverage.cells, coverage.observed);
        let said = coverage.rotation.unwrap();
        assert_eq!((said.peers, said.of as usize, said.next), (8, nodes - 1, 7));
        assert_eq!(said.runs as usize, (nodes - 1 - 4_usize).div_ceil(4));
        let listed = report.cells.iter().filter(|cell| cell.to.kind == TargetKind::Pod);
        let reachable = listed.filter(|cell| cell.state == CellState::Reachable).count();
        // Four kinds to both planes' agents: eight peers, and the host's own pod.
        assert_eq!(reachable, if nodes <= 64 { nodes * (2 * 8 + 1) * 4 } else { 0 });
    }
}

#[test]
fn a_node_that_fails_is_named_whatever_the_turn() {
    for nodes in SIZES {
        for turn in [0, 4, 11] {
            let report = run(&world(nodes, turn, |trip| trip.overlaid() && trip.touches(17)));
            assert_eq!(report.verdict, Verdict::Unreachable);
            let world = World::healthy(nodes);
            let [finding] = report.findings.as_slice() else {
                panic!("{nodes} nodes, turn {turn}: {:#?}", report.findings);
            };
            assert_eq!(
                finding.place.nodes,
                [world.names[17].parse().unwrap()],
                "{finding:#?}"
            );
            assert_eq!((finding.place.plane, report.unexplained), (Some(Plane::Pod), 0));
        }
    }
}

#[test]
fn what_is_broken_everywhere_is_the_clusters() {
    for nodes in SIZES {
        let report = run(&world(nodes, 9, Trip::overlaid));
        let [finding] = report.findings.as_slice() else {
            panic!("{nodes} nodes: {:#?}", report.findings);
        };
        assert!(
            finding.place.nodes.is_empty() && finding.place.pairs.is_empty(),
            "{finding:#?}"
        );
        assert_eq!(report.unexplained, 0);
    }
}

#[test]
fn a_pair_is_named_in_its_turn_and_nothing_is_said_of_it_before() {
    for nodes in SIZES {
        let dead = |trip: &Trip| trip.touches(3) && trip.touches(20) && trip.crosses();
        let mut named = 0;
        for turn in (0..nodes - 1 - 4).step_by(3) {
            let world = world(nodes, turn, dead);
            let report = run(&world);
            let (a, b) = (NodeIndex(3), NodeIndex(20));
            let rotation = rotation(&world);
            if !rotation.has(a, b) && !rotation.has(b, a) {
                assert_eq!((report.verdict, report.findings.len()), (Verdict::Reachable, 0));
                continue;
            }
            assert_eq!(report.verdict, Verdict::Unreachable);
            for finding in &report.findings {
                assert!(
                    finding.place.nodes.is_empty(),
                    "{nodes} nodes, turn {turn}: {finding:#?}"
                );
            }
            named += usize::from(
                report
                    .findings
                    .iter()
                    .any(|finding| !finding.place.pairs.is_empty()),
            );
        }
        assert!(named > 0, "it had its turn");
    }
}

#[test]
fn who_is_absent_is_unknown_for_those_who_would_have_probed() {
    for nodes in SIZES {
        let mut world = world(nodes, 2, |_| false);
        world.absent = vec![5];
        let report = run(&world);
        assert_eq!(report.verdict, Verdict::Unknown);
        assert!(report.findings.is_empty(), "{:#?}", report.findings);
        let unknown = report
            .cells
            .iter()
            .filter(|cell| cell.state == CellState::Unknown)
            .count();
        assert_eq!(unknown, report.coverage.unknown as usize);
        assert!(report.coverage.unknown > 0);
    }
}
