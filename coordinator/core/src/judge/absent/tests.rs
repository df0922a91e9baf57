use mesh_proto::{AgentIndex, CellState, Failure, Observation, Plane, Reason};

use super::super::{Judge, Judged};
use crate::matrix::Matrix;
use crate::round::Target;
use crate::world::{Fate, World};
use crate::{CellIndex, PlanOptions, Round};

fn judged(matrix: &Matrix) -> Vec<Judged> {
    let judge = Judge::new(matrix);
    let cells = (0..matrix.round().cell_count()).map(CellIndex);
    cells.map(|cell| judge.of(cell)).collect()
}

#[test]
fn a_node_that_left_meanwhile_is_not_known_and_has_not_failed() {
    let world = World::with(3, |trip| {
        if trip.touches(2) {
            Fate::TimesOut
        } else {
            Fate::Passes
        }
    });
    let failed = |matrix: &Matrix| {
        let judged = judged(matrix);
        judged.iter().filter(|of| of.state == CellState::Failed).count()
    };
    let mut matrix = world.matrix();
    assert!(failed(&matrix) > 0);
    matrix.left(world.names[2].parse().unwrap());
    assert_eq!(failed(&matrix), 0, "its DNS endpoint left with it");
}

/// NodePorts that agents stand behind, and that do not answer.
fn dead_services() -> Matrix {
    let mut roster = World::healthy(3).roster();
    for service in &mut roster.cluster.node_ports {
        for backend in &mut service.backends {
            let agent = roster
                .agents
                .iter()
                .find(|agent| agent.key.plane == Plane::Pod && agent.key.node == backend.node);
            backend.address = agent.and_then(|agent| agent.address).unwrap();
        }
    }
    let mut matrix = Matrix::new(Round::plan(roster, &PlanOptions::default()));
    let agents = (0..).map(AgentIndex).take(matrix.round().roster().agents.len());
    for agent in agents {
        for probe in matrix.round().plan_of(agent).unwrap().probes.clone() {
            let cell = matrix.round().cell_of(agent, probe.id).unwrap();
            let dead = matches!(matrix.round().cell(cell).target, Target::NodePort { .. });
            let seen = Observation {
                sent: 12,
                received: if dead { 0 } else { 12 },
                failure: dead.then(|| Failure::new(Reason::Timeout)),
                ..Observation::new(probe.id)
            };
            matrix.take(agent, seen).unwrap();
        }
    }
    matrix
}

#[test]
fn a_service_that_sends_to_an_agent_that_takes_no_part_is_not_known() {
    let states = |matrix: &Matrix| {
        let judged = judged(matrix);
        let cells = matrix.round().cells().zip(&judged);
        let of_services = cells.filter(|(cell, _)| matches!(cell.target, Target::NodePort { .. }));
        of_services.map(|(_, judged)| judged.state).collect::<Vec<_>>()
    };
    let mut matrix = dead_services();
    assert!(states(&matrix).contains(&CellState::Failed));
    let node = matrix.round().roster().cluster.node_ports[0].backends[0]
        .node
        .clone();
    let (behind, _) = matrix.round().roster().find(&node, Plane::Pod).unwrap();
    matrix.lost(behind, "gone".to_owned());
    let states = states(&matrix);
    assert!(
        states.contains(&CellState::Unknown) && !states.contains(&CellState::Failed),
        "{states:?}"
    );
}
