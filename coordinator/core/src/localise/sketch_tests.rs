use mesh_proto::{CellState, Plane, Report};

use crate::world::{Fate, Lossy, World};

/// More nodes than are looked at one by one.
const NODES: usize = 90;

fn dead_if(dead: bool) -> Fate {
    if dead { Fate::TimesOut } else { Fate::Passes }
}

/// How many cells are not whole, listed or not.
fn not_whole(report: &Report) -> usize {
    let listed = report
        .cells
        .iter()
        .filter(|cell| matches!(cell.state, CellState::Failed | CellState::Degraded));
    listed.count() + (report.left_out.failed + report.left_out.degraded) as usize
}

fn explained(report: &Report) -> usize {
    report
        .findings
        .iter()
        .map(|finding| finding.explains as usize)
        .sum()
}

fn run(world: &World) -> Report {
    let info = crate::RunInfo {
        all_cells: false,
        ..crate::world::run_info()
    };
    world.matrix().into_report(info)
}

#[test]
fn a_node_and_a_pair_of_many_are_named_and_every_cell_is_counted() {
    let world = World::with(NODES, |trip| {
        let pair = trip.touches(3) && trip.touches(77) && trip.crosses();
        dead_if(pair || trip.overlaid() && trip.touches(41))
    });
    let report = run(&world);
    let name = |node: usize| world.names[node].parse().unwrap();
    assert_eq!(report.findings.len(), 2, "{:#?}", report.findings);
    assert_eq!(report.findings[0].place.nodes, [name(41)]);
    assert_eq!(report.findings[0].place.plane, Some(Plane::Pod));
    assert_eq!(report.findings[1].place.pairs, [(name(3), name(77))]);
    assert_eq!(explained(&report), not_whole(&report));
    assert!(report.unexplained == 0 && report.left_out.is_none());
}

#[test]
fn what_is_broken_everywhere_is_the_clusters_and_counted_at_every_node() {
    let report = run(&World::with(NODES, |trip| dead_if(trip.overlaid())));
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    let place = &report.findings[0].place;
    assert!(place.nodes.is_empty() && place.pairs.is_empty() && place.plane == Some(Plane::Pod));
    assert_eq!(explained(&report), not_whole(&report));
    assert!(report.findings[0].explains as usize >= NODES * (NODES - 1) * 4);
    assert!(report.left_out.failed > 0 && report.cells.len() < not_whole(&report));
    assert!(report.notes.iter().any(|note| note.contains("counted only")));
}

#[test]
fn loss_everywhere_hides_no_node_and_is_counted_to_the_last_cell() {
    let mut world = World::with(NODES, |trip| dead_if(trip.touches(50) && trip.crosses()));
    world.lossy = Some(Lossy::new(5, |_, _| 0.01));
    let report = run(&world);
    let of_node = report
        .findings
        .iter()
        .find(|finding| finding.place.nodes == [world.names[50].parse().unwrap()]);
    assert!(of_node.is_some(), "{:#?}", report.findings);
    assert!(report.findings.len() <= 3, "{:#?}", report.findings);
    assert_eq!(explained(&report), not_whole(&report));
}

#[test]
fn one_cell_of_many_is_found_wherever_it_is() {
    let world = World::with(NODES, |trip| {
        dead_if(
            trip.from == 13 && trip.to == 60 && trip.kind == mesh_proto::ProbeKind::Tcp && !trip.overlaid(),
        )
    });
    let report = run(&world);
    assert!(!report.findings.is_empty());
    assert_eq!(explained(&report), not_whole(&report));
}
