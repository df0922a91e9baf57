use mesh_proto::{
    AgentIndex, CellState, Ground, Millis, Observation, ProbeId, ProbeKind, Report, Starvation, Verdict,
};

use crate::world::{Fate, Trip, World};
use crate::{Matrix, Round, RunInfo, Stray, Target};

fn report(matrix: Matrix, strict: bool) -> Report {
    matrix.into_report(RunInfo {
        id: String::new(),
        ground: Ground::Inventory,
        started: String::new(),
        finished: String::new(),
        strict,
        all_cells: false,
        interrupted: false,
        notes: Vec::new(),
    })
}

#[test]
fn icmp_that_fails_between_ends_whose_tcp_and_udp_pass_is_green_unless_strict() {
    let no_icmp = || {
        World::with(3, |trip| {
            if trip.kind == ProbeKind::Icmp {
                Fate::TimesOut
            } else {
                Fate::Passes
            }
        })
    };
    assert_eq!(report(no_icmp().matrix(), false).verdict, Verdict::Reachable);
    assert_eq!(report(no_icmp().matrix(), true).verdict, Verdict::Unreachable);
    let no_udp_either = World::with(3, |trip| match trip.kind {
        ProbeKind::Icmp | ProbeKind::Udp => Fate::TimesOut,
        _ => Fate::Passes,
    });
    assert_eq!(
        report(no_udp_either.matrix(), false).verdict,
        Verdict::Unreachable
    );
}

#[test]
fn degraded_cells_are_green_unless_strict() {
    let lossy = || World::with(3, |_| Fate::Loses(1));
    assert_eq!(report(lossy().matrix(), false).verdict, Verdict::Reachable);
    assert_eq!(report(lossy().matrix(), true).verdict, Verdict::Unreachable);
}

#[test]
fn what_was_not_observed_is_unknown_and_never_a_pass() {
    let round = Round::plan(World::healthy(3).roster(), &crate::PlanOptions::default());
    let mut matrix = Matrix::new(round);
    matrix.lost(AgentIndex(0), "it was killed");
    let report = report(matrix, false);
    assert_eq!(report.verdict, Verdict::Unknown);
    assert_eq!(
        (report.coverage.observed, report.coverage.unknown),
        (0, report.coverage.cells)
    );
    assert!(report.cells.iter().any(|cell| {
        cell.reason
            .as_ref()
            .is_some_and(|why| why.to_string() == "it was killed")
    }));
}

#[test]
fn silence_of_a_starved_agent_does_not_count_against_it() {
    let silent = |trip: &Trip| trip.to == 1 && trip.kind == ProbeKind::Udp;
    let mut world = World::with(3, move |trip| {
        if silent(trip) {
            Fate::TimesOut
        } else {
            Fate::Passes
        }
    });
    world.service = Box::new(|_, target| {
        (!matches!(target, Target::Agent(_) | Target::Loopback)).then_some(Fate::Passes)
    });
    let mut matrix = world.matrix();
    let starved = Starvation {
        late_wakeups: 3,
        longest: Millis(4_000),
        dropped_by_socket: 0,
    };
    for agent in [2, 3] {
        matrix.tallies(AgentIndex(agent), Vec::new(), starved);
    }
    let report = report(matrix, false);
    assert_eq!(report.verdict, Verdict::Unknown);
    let udp = report
        .cells
        .iter()
        .filter(|cell| cell.state == CellState::Unknown);
    assert!(udp.clone().count() > 0 && udp.clone().all(|cell| cell.probe == ProbeKind::Udp));
}

#[test]
fn an_agent_that_observes_what_nobody_asked_or_twice_is_caught() {
    let round = Round::plan(World::healthy(2).roster(), &crate::PlanOptions::default());
    let mut matrix = Matrix::new(round);
    let strange = ProbeId(1_000_000);
    assert_eq!(
        matrix.take(AgentIndex(0), Observation::new(strange)),
        Err(Stray::NotPlanned(strange))
    );
    assert_eq!(
        matrix.take(AgentIndex(77), Observation::new(ProbeId(0))),
        Err(Stray::NotPlanned(ProbeId(0)))
    );
    assert_eq!(matrix.take(AgentIndex(0), Observation::new(ProbeId(0))), Ok(()));
    assert_eq!(
        matrix.take(AgentIndex(0), Observation::new(ProbeId(0))),
        Err(Stray::Twice(ProbeId(0)))
    );
}

#[test]
fn above_64_nodes_only_cells_that_are_not_reachable_are_listed_and_all_are_counted() {
    let world = World::with(66, |trip| {
        if trip.touches(3) && trip.crosses() {
            Fate::TimesOut
        } else {
            Fate::Passes
        }
    });
    let report = report(world.matrix(), false);
    assert!(report.cells.iter().all(|cell| cell.state != CellState::Reachable));
    assert!(report.coverage.observed as usize > report.cells.len());
    assert_eq!(report.findings.len(), 1);
}
